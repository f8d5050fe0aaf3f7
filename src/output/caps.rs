//! A Matroska track as GStreamer caps: which media type a codec is, and what is the same for all of them.
//!
//! The caps are those that matroskademux gives for the same track, field by field; where they differ on purpose, the
//! place says why. HDR metadata, chroma siting, stereo and alpha modes are left out: a [`Track`] does not tell
//! them.

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

pub(super) use self::aac::is_alike as aac_is_alike;
pub(super) use self::avc::has_start_code;
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
    /// Frames that are compressed or encrypted in a way that only the container output can carry.
    #[error("codec {codec_id} with {encoding} has no elementary format")]
    UnsupportedEncoding { codec_id: String, encoding: String },
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
    /// Whether the stream's next header may describe the track: this one lacks something, or is damaged.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::MissingCodecPrivate { .. } | Self::InvalidCodecPrivate { .. } | Self::InvalidAudio { .. })
    }

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
    expect_plain(track)?;
    let structure = match &track.kind {
        TrackKind::Video(video) => video::structure(track, video)?,
        TrackKind::Audio(audio) => audio::structure(track, audio)?,
        TrackKind::Other(track_type) => {
            return Err(CapsError::UnsupportedTrackType { codec_id: track.codec_id.clone(), track_type: *track_type });
        }
    };
    Ok(gst::Caps::builder_full().structure(structure).build())
}

/// Whether the track's frames are in its blocks as its codec has them, but for header stripping.
pub(super) fn expect_plain(track: &Track) -> Result<(), CapsError> {
    track.unsupported_encoding.as_ref().map_or(Ok(()), |encoding| {
        Err(CapsError::UnsupportedEncoding { codec_id: track.codec_id.clone(), encoding: encoding.clone() })
    })
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

/// Tracks for the tests of this room.
#[cfg(test)]
pub(super) mod test {
    use super::*;
    use crate::mkv::{Audio, Video};

    pub const STEREO: Audio =
        Audio { sampling_frequency: 48000.0, output_sampling_frequency: None, channels: 2, bit_depth: None };

    pub fn video(codec_id: &str, codec_private: &[u8]) -> Track {
        track(TrackKind::Video(Video::default()), codec_id, codec_private)
    }

    pub fn audio(codec_id: &str, codec_private: &[u8], audio: Audio) -> Track {
        track(TrackKind::Audio(audio), codec_id, codec_private)
    }

    pub fn caps(track: &Track) -> String {
        track_caps(track).expect("caps").to_string()
    }

    pub fn track(kind: TrackKind, codec_id: &str, codec_private: &[u8]) -> Track {
        gst::init().expect("GStreamer");
        Track {
            number: 1,
            uid: 1,
            kind,
            codec_id: codec_id.to_owned(),
            codec_private: (!codec_private.is_empty()).then(|| Bytes::copy_from_slice(codec_private)),
            name: None,
            language: None,
            default_duration: None,
            codec_delay: 0,
            stripped_header: Bytes::new(),
            unsupported_encoding: None,
            first_frame: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [(bool, &str); 26] = [
        (true, "V_MPEG4/ISO/AVC"),
        (true, "V_MPEGH/ISO/HEVC"),
        (true, "V_VP8"),
        (true, "V_VP9"),
        (true, "V_AV1"),
        (true, "V_MJPEG"),
        (true, "V_MS/VFW/FOURCC"),
        (true, "V_UNCOMPRESSED"),
        (false, "A_AAC"),
        (false, "A_AAC/MPEG2/LC"),
        (false, "A_AAC/MPEG4/LC/SBR"),
        (false, "A_AAC/"),
        (false, "A_MS/ACM"),
        (false, "A_PCM/INT/LIT"),
        (false, "A_PCM/INT/BIG"),
        (false, "A_PCM/FLOAT/IEEE"),
        (false, "A_OPUS"),
        (false, "A_OPUS/EXPERIMENTAL"),
        (false, "A_MPEG/L1"),
        (false, "A_MPEG/L2"),
        (false, "A_MPEG/L3"),
        (false, "A_FLAC"),
        (false, "A_VORBIS"),
        (false, "A_AC3"),
        (false, ""),
        (true, ""),
    ];

    /// Beginnings of every kind of CodecPrivate, and noise.
    fn privates() -> Vec<Vec<u8>> {
        let mut noise = 1_u64;
        let mut privates: Vec<Vec<u8>> = [
            &b"\x01\x64\x00\x1f\xff\xe1\x00\x10"[..],
            b"\0\0\0\x01\x67\x42\0\0\0\0\x01\x42\x01",
            b"OpusHead\x01\xff\0\0\0\0\0\0\0\0\x01\xff\xff",
            b"fLaC\0\0\0\x22",
            b"\x02\xff\xff\xff\x01\x1e",
            b"\x01\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
            b"\x06\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"(\0\0\0\0\0\0\x80\0\0\0\x80\x01\0\x18\0MJPG",
            b"\xff\xff\xff\xff\xff",
            b"",
        ]
        .map(<[u8]>::to_vec)
        .into();
        for private in &mut privates {
            while private.len() < 80 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                private.push(noise.to_be_bytes()[0]);
            }
        }
        privates
    }

    #[test]
    fn any_codec_private_of_any_length_gives_caps_of_the_template_or_an_error() {
        let audio = |rate, channels, bits| crate::mkv::Audio {
            sampling_frequency: rate,
            output_sampling_frequency: None,
            channels,
            bit_depth: bits,
        };
        let audios = [audio(48000.0, 2, Some(16)), audio(8000.0, 1, None), audio(-0.0, u64::MAX, Some(u64::MAX))];
        let template = {
            gst::init().expect("GStreamer");
            elementary_template_caps()
        };
        let mut described = 0;
        for (is_video, codec_id) in CODECS {
            for private in privates() {
                for length in 0..=private.len() {
                    for audio in &audios {
                        let private = &private[..length];
                        let track = match is_video {
                            true => test::video(codec_id, private),
                            false => test::audio(codec_id, private, audio.clone()),
                        };
                        let _ = (stream_headers(&track), frame_alignment(&track));
                        if let Ok(caps) = track_caps(&track) {
                            assert!(caps.is_fixed() && caps.is_subset(&template), "{caps}");
                            described += 1;
                        }
                    }
                }
            }
        }
        assert!(described > 1000, "{described} tracks had caps");
    }

    #[test]
    fn codecs_without_elementary_format_are_named() {
        for (track, expected) in [
            (test::video("V_THEORA", &[]), "codec V_THEORA has no elementary format"),
            (test::audio("A_AC3", &[], test::STEREO), "codec A_AC3 has no elementary format"),
            // A codec of the other kind.
            (test::video("A_OPUS", &[]), "codec A_OPUS has no elementary format"),
            (
                test::track(TrackKind::Other(17), "S_TEXT/UTF8", &[]),
                "track of type 17 with codec S_TEXT/UTF8 is neither video nor audio",
            ),
        ] {
            assert_eq!(track_caps(&track).expect_err(expected).to_string(), expected);
        }
    }

    #[test]
    fn frames_that_are_encoded_have_no_caps() {
        let track = Track {
            unsupported_encoding: Some("encryption".to_owned()),
            ..test::audio("A_MPEG/L3", &[], test::STEREO)
        };
        let error = track_caps(&track).expect_err("encrypted");
        assert_eq!(error.to_string(), "codec A_MPEG/L3 with encryption has no elementary format");
    }

    #[test]
    fn av1_has_codec_data_only_of_an_av1c() {
        let caps = "video/x-av1, stream-format=(string)obu-stream, alignment=(string)tu";
        for (private, data) in [
            (&[0x81, 5, 12, 0][..], ", codec_data=(buffer)81050c00"),
            (&[0x81, 5, 12], ""),
            (&[0x0a, 0x0b, 0, 0, 0], ""),
            (&[], ""),
        ] {
            assert_eq!(test::caps(&test::video("V_AV1", private)), format!("{caps}{data}, framerate=(fraction)0/1"));
        }
    }
}
