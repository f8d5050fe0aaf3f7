//! A Matroska track as GStreamer caps: which media type a codec is, and what is the same for all of them.
//!
//! The caps are those that matroskademux gives for the same track, field by field; where they differ on purpose, the
//! place says why.

mod aac;
mod audio;
mod avc;
mod colorimetry;
mod hevc;
mod opus;
mod video;
mod wave;
mod xiph;

use bytes::Bytes;

use crate::mkv::{Track, TrackKind};

/// Why a track has no elementary caps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapsError {
    /// A codec that only the container output can carry.
    #[error("codec {codec_id} has no elementary format")]
    UnsupportedCodec { codec_id: String },
    /// A TrackType other than video and audio.
    #[error("track of type {track_type} with codec {codec_id} is neither video nor audio")]
    UnsupportedTrackType { codec_id: String, track_type: u64 },
    /// A BITMAPINFOHEADER that names a codec without elementary caps.
    #[error("codec {codec_id} with FourCC '{fourcc}' has no elementary format")]
    UnsupportedFourcc { codec_id: String, fourcc: String },
    /// A WAVEFORMATEX that names a codec without elementary caps.
    #[error("codec {codec_id} with format tag {format_tag:#06x} has no elementary format")]
    UnsupportedFormatTag { codec_id: String, format_tag: u16 },
    /// Raw audio of a sample size that GStreamer does not have.
    #[error("codec {codec_id} with {bit_depth} bits a sample has no elementary format")]
    UnsupportedBitDepth { codec_id: String, bit_depth: u64 },
    /// The codec cannot be described without CodecPrivate.
    #[error("codec {codec_id} needs a CodecPrivate and the track has none")]
    MissingCodecPrivate { codec_id: String },
    /// CodecPrivate is not what the codec has there.
    #[error("CodecPrivate of codec {codec_id} is invalid: {reason}")]
    InvalidCodecPrivate { codec_id: String, reason: &'static str },
    /// The Audio element cannot be expressed in caps.
    #[error("Audio element of codec {codec_id} is invalid: {reason}")]
    InvalidAudio { codec_id: String, reason: &'static str },
}

impl CapsError {
    fn unsupported_codec(track: &Track) -> Self {
        Self::UnsupportedCodec { codec_id: track.codec_id.clone() }
    }

    fn missing_codec_private(track: &Track) -> Self {
        Self::MissingCodecPrivate { codec_id: track.codec_id.clone() }
    }

    fn invalid_codec_private(track: &Track, reason: &'static str) -> Self {
        Self::InvalidCodecPrivate { codec_id: track.codec_id.clone(), reason }
    }

    fn invalid_audio(track: &Track, reason: &'static str) -> Self {
        Self::InvalidAudio { codec_id: track.codec_id.clone(), reason }
    }
}

/// The caps of a track's frames, or why there are none. GStreamer must be initialised.
///
/// Frames go out as the blocks have them, with header stripping undone; beyond that they need [`stream_headers`] before
/// the first of them and [`frame_alignment`].
pub fn track_caps(track: &Track) -> Result<gst::Caps, CapsError> {
    let structure = match &track.kind {
        TrackKind::Video(video) => video::structure(track, video)?,
        TrackKind::Audio(audio) => audio::structure(track, audio)?,
        TrackKind::Other(track_type) => {
            return Err(CapsError::UnsupportedTrackType { codec_id: track.codec_id.clone(), track_type: *track_type });
        }
    };
    Ok(gst::Caps::builder_full().structure(structure).build())
}

/// The buffers that go out, with the HEADER flag and no times, after the caps and before the first frame: the three
/// headers of Vorbis, `fLaC` and the metadata blocks of FLAC, the parameter sets of H.264 or H.265 with start codes.
/// Empty for every other track.
pub fn stream_headers(track: &Track) -> Vec<Bytes> {
    match track.codec_id.as_str() {
        "A_VORBIS" => xiph::vorbis_headers(track).unwrap_or_default(),
        "A_FLAC" => xiph::flac_headers(track).unwrap_or_default(),
        "V_MPEG4/ISO/AVC" | "V_MPEGH/ISO/HEVC" => {
            codec_private(track).filter(|private| avc::has_start_code(private)).cloned().into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Bytes to which the memory of a track's frames must be aligned: that of one sample for raw audio, which elements
/// read as an array of numbers; 1 for everything else.
pub fn frame_alignment(track: &Track) -> usize {
    match &track.kind {
        TrackKind::Audio(audio) => audio::frame_alignment(track, audio),
        _ => 1,
    }
}

/// Every elementary format that [`track_caps`] can give, for a pad template.
pub fn elementary_template_caps() -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    caps.merge(video::template_caps());
    caps.merge(audio::template_caps());
    caps
}

/// CodecPrivate; `None` also for an empty one.
fn codec_private(track: &Track) -> Option<&Bytes> {
    track.codec_private.as_ref().filter(|private| !private.is_empty())
}

/// The buffers of a `streamheader` field.
fn stream_header_array(headers: impl IntoIterator<Item = Bytes>) -> gst::Array {
    gst::Array::new(headers.into_iter().map(gst::Buffer::from_slice))
}

/// `bytes[at..at + N]`, or `None` past the end.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
