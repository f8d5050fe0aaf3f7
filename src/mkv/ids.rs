//! Element IDs (RFC 8794 section 11, RFC 9559 section 5) and their names.

use std::fmt;

/// An element ID with its length marker, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub u32);

macro_rules! ids {
    ($($constant:ident = $value:literal, $name:literal;)*) => {
        impl Id {
            $(pub const $constant: Id = Id($value);)*

            /// The element's name in the specification; `None` where this room does not know the element.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Id::$constant => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

ids! {
    // Any level.
    VOID = 0xEC, "Void";
    CRC_32 = 0xBF, "CRC-32";
    // The EBML header.
    EBML = 0x1A45_DFA3, "EBML";
    EBML_VERSION = 0x4286, "EBMLVersion";
    EBML_READ_VERSION = 0x42F7, "EBMLReadVersion";
    EBML_MAX_ID_LENGTH = 0x42F2, "EBMLMaxIDLength";
    EBML_MAX_SIZE_LENGTH = 0x42F3, "EBMLMaxSizeLength";
    DOC_TYPE = 0x4282, "DocType";
    DOC_TYPE_VERSION = 0x4287, "DocTypeVersion";
    DOC_TYPE_READ_VERSION = 0x4285, "DocTypeReadVersion";
    // Segment and its children.
    SEGMENT = 0x1853_8067, "Segment";
    SEEK_HEAD = 0x114D_9B74, "SeekHead";
    INFO = 0x1549_A966, "Info";
    TRACKS = 0x1654_AE6B, "Tracks";
    CHAPTERS = 0x1043_A770, "Chapters";
    CLUSTER = 0x1F43_B675, "Cluster";
    CUES = 0x1C53_BB6B, "Cues";
    ATTACHMENTS = 0x1941_A469, "Attachments";
    TAGS = 0x1254_C367, "Tags";
    // Info.
    TIMESTAMP_SCALE = 0x2A_D7B1, "TimestampScale";
    DATE_UTC = 0x4461, "DateUTC";
    TITLE = 0x7BA9, "Title";
    MUXING_APP = 0x4D80, "MuxingApp";
    WRITING_APP = 0x5741, "WritingApp";
    // Tracks.
    TRACK_ENTRY = 0xAE, "TrackEntry";
    TRACK_NUMBER = 0xD7, "TrackNumber";
    TRACK_UID = 0x73C5, "TrackUID";
    TRACK_TYPE = 0x83, "TrackType";
    CODEC_ID = 0x86, "CodecID";
    CODEC_PRIVATE = 0x63A2, "CodecPrivate";
    NAME = 0x536E, "Name";
    LANGUAGE = 0x22_B59C, "Language";
    LANGUAGE_BCP47 = 0x22_B59D, "LanguageBCP47";
    DEFAULT_DURATION = 0x23_E383, "DefaultDuration";
    CODEC_DELAY = 0x56AA, "CodecDelay";
    VIDEO = 0xE0, "Video";
    PIXEL_WIDTH = 0xB0, "PixelWidth";
    PIXEL_HEIGHT = 0xBA, "PixelHeight";
    DISPLAY_WIDTH = 0x54B0, "DisplayWidth";
    DISPLAY_HEIGHT = 0x54BA, "DisplayHeight";
    DISPLAY_UNIT = 0x54B2, "DisplayUnit";
    FLAG_INTERLACED = 0x9A, "FlagInterlaced";
    FIELD_ORDER = 0x9D, "FieldOrder";
    COLOUR = 0x55B0, "Colour";
    MATRIX_COEFFICIENTS = 0x55B1, "MatrixCoefficients";
    RANGE = 0x55B9, "Range";
    TRANSFER_CHARACTERISTICS = 0x55BA, "TransferCharacteristics";
    PRIMARIES = 0x55BB, "Primaries";
    AUDIO = 0xE1, "Audio";
    SAMPLING_FREQUENCY = 0xB5, "SamplingFrequency";
    OUTPUT_SAMPLING_FREQUENCY = 0x78B5, "OutputSamplingFrequency";
    CHANNELS = 0x9F, "Channels";
    BIT_DEPTH = 0x6264, "BitDepth";
    CONTENT_ENCODINGS = 0x6D80, "ContentEncodings";
    CONTENT_ENCODING = 0x6240, "ContentEncoding";
    CONTENT_ENCODING_SCOPE = 0x5032, "ContentEncodingScope";
    CONTENT_ENCODING_TYPE = 0x5033, "ContentEncodingType";
    CONTENT_COMPRESSION = 0x5034, "ContentCompression";
    CONTENT_COMP_ALGO = 0x4254, "ContentCompAlgo";
    CONTENT_COMP_SETTINGS = 0x4255, "ContentCompSettings";
    // Cluster.
    TIMESTAMP = 0xE7, "Timestamp";
    SIMPLE_BLOCK = 0xA3, "SimpleBlock";
    BLOCK_GROUP = 0xA0, "BlockGroup";
    BLOCK = 0xA1, "Block";
    BLOCK_DURATION = 0x9B, "BlockDuration";
    REFERENCE_BLOCK = 0xFB, "ReferenceBlock";
    DISCARD_PADDING = 0x75A2, "DiscardPadding";
    // Tags.
    TAG = 0x7373, "Tag";
    TARGETS = 0x63C0, "Targets";
    TARGET_TYPE_VALUE = 0x68CA, "TargetTypeValue";
    TAG_TRACK_UID = 0x63C5, "TagTrackUID";
    SIMPLE_TAG = 0x67C8, "SimpleTag";
    TAG_NAME = 0x45A3, "TagName";
    TAG_STRING = 0x4487, "TagString";
    TAG_BINARY = 0x4485, "TagBinary";
}

impl Id {
    /// An element of which not even the ID and size were read.
    pub const UNREAD: Id = Id(0);

    /// Whether this element stands beside or above Cluster, so that it ends a Cluster of unknown size
    /// (RFC 8794 section 6.2).
    pub(super) fn ends_cluster(self) -> bool {
        matches!(
            self,
            Id::EBML
                | Id::SEGMENT
                | Id::SEEK_HEAD
                | Id::INFO
                | Id::TRACKS
                | Id::CHAPTERS
                | Id::CLUSTER
                | Id::CUES
                | Id::ATTACHMENTS
                | Id::TAGS
        )
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.name()) {
            (Id::UNREAD, _) => f.write_str("element header"),
            (_, Some(name)) => f.write_str(name),
            (Id(id), None) => write!(f, "element 0x{id:X}"),
        }
    }
}
