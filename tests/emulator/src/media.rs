//! Media made by hand, for streams that no muxer writes: headers with any track, clusters with any block.

use bytes::Bytes;

use crate::fragment;
use crate::matroska::{self, id};

/// What a track holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrackKind {
    /// Pictures, in pixels.
    Video {
        /// Pixels across.
        width: u64,
        /// Pixels down.
        height: u64,
    },
    /// Sound.
    Audio {
        /// Samples a second.
        rate: f64,
        /// Channels.
        channels: u64,
        /// Bits a sample; 0 leaves it out.
        bit_depth: u64,
    },
    /// Anything else, by its Matroska track type.
    Other(u64),
}

/// One track of a header.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackEntry {
    /// The number that blocks name.
    pub number: u64,
    /// What it holds.
    pub kind: TrackKind,
    /// Such as `V_MPEG4/ISO/AVC`.
    pub codec_id: String,
    /// The codec's own header; empty leaves it out.
    pub codec_private: Bytes,
    /// Empty leaves it out.
    pub name: String,
    /// Nanoseconds a frame.
    pub default_duration: Option<u64>,
    /// More children of TrackEntry, as written by [`crate::matroska::element`] and its like.
    pub more: Vec<u8>,
}

impl TrackEntry {
    /// A-law in one channel, of so many frames a second: any bytes are good ones.
    pub fn alaw(number: u64, rate: u32) -> Self {
        let mut format: [u8; 18] = [6, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0];
        format[4..8].copy_from_slice(&rate.to_le_bytes());
        format[8..12].copy_from_slice(&rate.to_le_bytes());
        let kind = TrackKind::Audio { rate: rate.into(), channels: 1, bit_depth: 8 };
        Self::new(number, kind, "A_MS/ACM").codec_private(format.to_vec())
    }

    /// A track with nothing but what every track has.
    pub fn new(number: u64, kind: TrackKind, codec_id: &str) -> Self {
        Self {
            number,
            kind,
            codec_id: codec_id.to_owned(),
            codec_private: Bytes::new(),
            name: String::new(),
            default_duration: None,
            more: Vec::new(),
        }
    }

    /// The same with a codec's own header.
    pub fn codec_private(mut self, codec_private: impl Into<Bytes>) -> Self {
        self.codec_private = codec_private.into();
        self
    }

    /// The same with a duration of each frame, in nanoseconds.
    pub fn default_duration(mut self, nanoseconds: u64) -> Self {
        self.default_duration = Some(nanoseconds);
        self
    }

    /// The same with a name.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    fn element(&self) -> Vec<u8> {
        let mut body = matroska::uint(id::TRACK_NUMBER, self.number);
        body.extend(matroska::uint(id::TRACK_UID, self.number));
        let (track_type, settings) = match self.kind {
            TrackKind::Video { width, height } => {
                let pixels =
                    [matroska::uint(id::PIXEL_WIDTH, width), matroska::uint(id::PIXEL_HEIGHT, height)].concat();
                (1, matroska::element(id::VIDEO, &pixels))
            }
            TrackKind::Audio { rate, channels, bit_depth } => {
                let mut sound =
                    [matroska::float(id::SAMPLING_FREQUENCY, rate), matroska::uint(id::CHANNELS, channels)].concat();
                if bit_depth > 0 {
                    sound.extend(matroska::uint(id::BIT_DEPTH, bit_depth));
                }
                (2, matroska::element(id::AUDIO, &sound))
            }
            TrackKind::Other(track_type) => (track_type, Vec::new()),
        };
        body.extend(matroska::uint(id::TRACK_TYPE, track_type));
        body.extend(matroska::string(id::CODEC_ID, &self.codec_id));
        if !self.codec_private.is_empty() {
            body.extend(matroska::element(id::CODEC_PRIVATE, &self.codec_private));
        }
        if !self.name.is_empty() {
            body.extend(matroska::string(id::NAME, &self.name));
        }
        if let Some(nanoseconds) = self.default_duration {
            body.extend(matroska::uint(id::DEFAULT_DURATION, nanoseconds));
        }
        body.extend(settings);
        body.extend_from_slice(&self.more);
        matroska::element(id::TRACK_ENTRY, &body)
    }
}

/// EBML header, Segment of unknown size, Info with a timestamp scale in nanoseconds, and Tracks.
pub fn header(timestamp_scale: u64, tracks: &[TrackEntry]) -> Bytes {
    let info = [
        matroska::uint(id::TIMESTAMP_SCALE, timestamp_scale),
        matroska::string(id::MUXING_APP, "kvs-emulator"),
        matroska::string(id::WRITING_APP, "kvs-emulator"),
    ]
    .concat();
    let entries: Vec<u8> = tracks.iter().flat_map(TrackEntry::element).collect();
    let mut out = fragment::bare_header().to_vec();
    out.extend(matroska::element(id::INFO, &info));
    out.extend(matroska::element(id::TRACKS, &entries));
    out.into()
}

/// A Cluster that is put together block by block.
#[derive(Clone, Debug)]
pub struct Cluster {
    body: Vec<u8>,
    unknown_size: bool,
}

impl Cluster {
    /// A cluster of known size at a time in ticks.
    pub fn new(timestamp: u64) -> Self {
        Self { body: matroska::uint(id::TIMESTAMP, timestamp), unknown_size: false }
    }

    /// The same, but written with the unknown size.
    pub fn unknown_size(mut self) -> Self {
        self.unknown_size = true;
        self
    }

    /// Adds a SimpleBlock with one frame, its time in ticks relative to the cluster's.
    pub fn simple_block(mut self, track: u64, relative: i16, keyframe: bool, frame: &[u8]) -> Self {
        let flags = if keyframe { 0x80 } else { 0 };
        self.body.extend(matroska::element(id::SIMPLE_BLOCK, &block(track, relative, flags, frame)));
        self
    }

    /// Adds a BlockGroup with one frame and its duration in ticks.
    pub fn block_group(
        mut self,
        track: u64,
        relative: i16,
        duration: Option<u64>,
        keyframe: bool,
        frame: &[u8],
    ) -> Self {
        let mut group = matroska::element(id::BLOCK, &block(track, relative, 0, frame));
        if let Some(duration) = duration {
            group.extend(matroska::uint(id::BLOCK_DURATION, duration));
        }
        if !keyframe {
            group.extend(matroska::element(id::REFERENCE_BLOCK, &[0xFF]));
        }
        self.body.extend(matroska::element(id::BLOCK_GROUP, &group));
        self
    }

    /// Adds any element, as written by [`crate::matroska::element`] and its like.
    pub fn element(mut self, element: &[u8]) -> Self {
        self.body.extend_from_slice(element);
        self
    }

    /// The cluster's bytes.
    pub fn bytes(&self) -> Bytes {
        if self.unknown_size {
            return [matroska::unknown_size(id::CLUSTER), self.body.clone()].concat().into();
        }
        matroska::element(id::CLUSTER, &self.body).into()
    }
}

fn block(track: u64, relative: i16, flags: u8, frame: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(frame.len() + 12);
    matroska::put_size(&mut body, usize::try_from(track).unwrap_or(usize::MAX));
    body.extend_from_slice(&relative.to_be_bytes());
    body.push(flags);
    body.extend_from_slice(frame);
    body
}
