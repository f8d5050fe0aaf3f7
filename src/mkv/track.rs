//! What a Tracks element says of each track (RFC 9559 section 5.1.4).

use bytes::Bytes;

/// One TrackEntry.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// TrackNumber: what a block names.
    pub number: u64,
    /// TrackUID; 0 where the header does not tell.
    pub uid: u64,
    pub kind: TrackKind,
    /// CodecID, as written.
    pub codec_id: String,
    /// CodecPrivate, as written; with header stripping undone where its scope covers the private data.
    pub codec_private: Option<Bytes>,
    /// Name.
    pub name: Option<String>,
    /// Language (ISO 639-2) or LanguageBCP47, which wins.
    pub language: Option<String>,
    /// DefaultDuration: ns a frame.
    pub default_duration: Option<u64>,
    /// CodecDelay, in ns.
    pub codec_delay: u64,
    /// The bytes that header-stripping compression took off the front of every frame; empty without it.
    pub stripped_header: Bytes,
    /// What else was done to the track's frames, by its ContentEncodings; `None`: nothing.
    pub unsupported_encoding: Option<String>,
    /// How the track's first frame begins, with its stripped header, where [`needs_a_frame`](Self::needs_a_frame) and one
    /// has come: no TrackEntry says that.
    pub first_frame: Option<Bytes>,
}

impl Track {
    /// Whether nothing but a frame tells in what form the track's frames are: AAC without CodecPrivate, which producers
    /// send that hand on ADTS frames or forget to describe raw ones.
    pub fn needs_a_frame(&self) -> bool {
        let described = self.codec_private.as_ref().is_some_and(|private| !private.is_empty());
        self.codec_id == "A_AAC" && !described && self.first_frame.is_none()
    }
}

/// The TrackType, with what only that type has.
#[derive(Clone, Debug, PartialEq)]
pub enum TrackKind {
    Video(Video),
    Audio(Audio),
    /// Any other TrackType, by its number.
    Other(u64),
}

/// The Video element.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// PixelWidth and PixelHeight; 0 where missing.
    pub pixel_width: u32,
    pub pixel_height: u32,
    pub display_width: Option<u32>,
    pub display_height: Option<u32>,
    /// DisplayUnit: 0 pixels, 1 centimetres, 2 inches, 3 aspect ratio, 4 unknown.
    pub display_unit: u64,
    /// FlagInterlaced: 0 undetermined, 1 interlaced, 2 progressive.
    pub interlaced: u64,
    /// FieldOrder; 2 (undetermined) where missing.
    pub field_order: u64,
    pub colour: Option<Colour>,
}

impl Default for Video {
    fn default() -> Self {
        Self {
            pixel_width: 0,
            pixel_height: 0,
            display_width: None,
            display_height: None,
            display_unit: 0,
            interlaced: 0,
            field_order: 2,
            colour: None,
        }
    }
}

/// The Colour element: code points of ISO/IEC 23091-4 / ITU-T H.273.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Colour {
    pub matrix_coefficients: Option<u64>,
    pub transfer_characteristics: Option<u64>,
    pub primaries: Option<u64>,
    /// 0 unspecified, 1 broadcast (limited), 2 full, 3 by matrix and transfer.
    pub range: Option<u64>,
}

/// The Audio element, with the defaults that Matroska gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// SamplingFrequency, in Hz.
    pub sampling_frequency: f64,
    /// OutputSamplingFrequency, in Hz.
    pub output_sampling_frequency: Option<f64>,
    pub channels: u64,
    /// BitDepth, in bits a sample.
    pub bit_depth: Option<u64>,
}

impl Default for Audio {
    fn default() -> Self {
        Self { sampling_frequency: 8000.0, output_sampling_frequency: None, channels: 1, bit_depth: None }
    }
}
