//! Audio tracks: media type, rate, channels, raw sample formats.

use super::{CapsError, aac, opus, wave, xiph};
use crate::mkv::{Audio, Track};

/// Rate and channels as caps have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub rate: i32,
    pub channels: i32,
}

impl Format {
    /// What the Audio element says. Its defaults (8000 Hz, 1 channel) also stand where the element is missing: then
    /// `private`, the rate and channels in CodecPrivate (0 where unknown), is better informed.
    pub fn new(track: &Track, audio: &Audio, private: Option<(u32, u32)>) -> Result<Self, CapsError> {
        let defaults = Audio::default();
        // Zero is no value, so the default holds.
        let mut rate =
            if audio.sampling_frequency == 0.0 { defaults.sampling_frequency } else { audio.sampling_frequency };
        let mut channels = if audio.channels == 0 { defaults.channels } else { audio.channels };
        if rate == defaults.sampling_frequency
            && channels == defaults.channels
            && let Some((private_rate, private_channels)) = private
        {
            rate = if private_rate == 0 { rate } else { f64::from(private_rate) };
            channels = if private_channels == 0 { channels } else { u64::from(private_channels) };
        }
        // Half of what caps can carry: SBR doubles the rate.
        if !(1.0..f64::from(i32::MAX / 2)).contains(&rate) {
            return Err(CapsError::invalid_audio(track, "SamplingFrequency out of range"));
        }
        let channels = u8::try_from(channels).map_err(|_| CapsError::invalid_audio(track, "more than 255 channels"))?;
        // Truncated, as matroskademux does with rates that are no integer.
        Ok(Self { rate: rate as i32, channels: i32::from(channels) })
    }
}

/// Every format that [`structure`] can give.
pub(super) fn template_caps() -> gst::Caps {
    gst::Caps::builder_full()
        .structure(
            gst::Structure::builder("audio/mpeg")
                .field("mpegversion", gst::List::new([4_i32, 2]))
                .field("framed", true)
                .field("stream-format", gst::List::new(["raw", "adts"]))
                .build(),
        )
        .structure(
            gst::Structure::builder("audio/mpeg")
                .field("mpegversion", 1_i32)
                .field("layer", gst::IntRange::new(1_i32, 3))
                .build(),
        )
        .structure(
            gst::Structure::builder("audio/x-opus")
                .field("channel-mapping-family", gst::IntRange::new(0_i32, 255))
                .build(),
        )
        .structure(gst::Structure::new_empty("audio/x-flac"))
        .structure(gst::Structure::new_empty("audio/x-vorbis"))
        .structure(gst::Structure::new_empty("audio/x-alaw"))
        .structure(gst::Structure::new_empty("audio/x-mulaw"))
        .structure(
            gst::Structure::builder("audio/x-raw")
                .field(
                    "format",
                    gst::List::new(["S16LE", "S16BE", "S24LE", "S24BE", "S32LE", "S32BE", "U8", "F32LE", "F64LE"]),
                )
                .field("layout", "interleaved")
                .build(),
        )
        .build()
}

/// The caps of an audio track.
pub(super) fn structure(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    match track.codec_id.as_str() {
        "A_AAC" => aac::structure(track, audio),
        "A_OPUS" | "A_OPUS/EXPERIMENTAL" => opus::structure(track, audio),
        "A_MS/ACM" => wave::structure(track, audio),
        "A_PCM/INT/LIT" | "A_PCM/INT/BIG" | "A_PCM/FLOAT/IEEE" => pcm(track, audio),
        "A_MPEG/L1" => mpeg1(track, audio, 1),
        "A_MPEG/L2" => mpeg1(track, audio, 2),
        "A_MPEG/L3" => mpeg1(track, audio, 3),
        "A_FLAC" => xiph::flac(track, audio),
        "A_VORBIS" => xiph::vorbis(track, audio),
        _ => aac::from_codec_id(track, audio),
    }
}

/// Bytes a sample, rounded up to a power of two, of raw audio; 1 for everything else.
pub(super) fn frame_alignment(track: &Track, audio: &Audio) -> usize {
    let format = match track.codec_id.as_str() {
        "A_MS/ACM" => wave::sample_format(track),
        "A_PCM/INT/LIT" | "A_PCM/INT/BIG" | "A_PCM/FLOAT/IEEE" => sample_format(track, audio),
        _ => return 1,
    };
    match format {
        Ok("S16LE" | "S16BE") => 2,
        Ok("S24LE" | "S24BE" | "S32LE" | "S32BE" | "F32LE") => 4,
        Ok("F64LE") => 8,
        _ => 1,
    }
}

/// MPEG-1 audio of a layer.
fn mpeg1(track: &Track, audio: &Audio, layer: i32) -> Result<gst::Structure, CapsError> {
    let format = Format::new(track, audio, None)?;
    Ok(gst::Structure::builder("audio/mpeg")
        .field("mpegversion", 1_i32)
        .field("layer", layer)
        .field("channels", format.channels)
        .field("rate", format.rate)
        .build())
}

/// Raw audio: A_PCM.
fn pcm(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    let format = Format::new(track, audio, None)?;
    let sample_format = sample_format(track, audio)?;
    Ok(raw(sample_format, format, Some(fallback_channel_mask(format.channels))))
}

/// Interleaved raw audio.
pub(super) fn raw(sample_format: &str, format: Format, channel_mask: Option<u64>) -> gst::Structure {
    gst::Structure::builder("audio/x-raw")
        .field("format", sample_format)
        .field("layout", "interleaved")
        .field_if_some("channel-mask", channel_mask.map(gst::Bitmask::new))
        .field("channels", format.channels)
        .field("rate", format.rate)
        .build()
}

/// The sample format of A_PCM. Integers are 16 bits wide where the track does not tell, as matroskademux has it; a
/// float of unknown width is an error.
fn sample_format(track: &Track, audio: &Audio) -> Result<&'static str, CapsError> {
    let bit_depth = audio.bit_depth.filter(|bits| *bits > 0);
    let unsupported = |bit_depth| CapsError::UnsupportedBitDepth { codec_id: track.codec_id.clone(), bit_depth };
    if track.codec_id == "A_PCM/FLOAT/IEEE" {
        return match bit_depth {
            Some(32) => Ok("F32LE"),
            Some(64) => Ok("F64LE"),
            other => Err(unsupported(other.unwrap_or(0))),
        };
    }
    let big_endian = track.codec_id == "A_PCM/INT/BIG";
    integer_format(bit_depth.unwrap_or(16), big_endian).ok_or_else(|| unsupported(bit_depth.unwrap_or(16)))
}

/// The format of integer samples as wide as they are deep; 8 bits are unsigned.
pub(super) fn integer_format(bits: u64, big_endian: bool) -> Option<&'static str> {
    Some(match (bits, big_endian) {
        (8, _) => "U8",
        (16, false) => "S16LE",
        (16, true) => "S16BE",
        (24, false) => "S24LE",
        (24, true) => "S24BE",
        (32, false) => "S32LE",
        (32, true) => "S32BE",
        _ => return None,
    })
}

/// The channel mask where a track tells no positions (gst_audio_channel_get_fallback_mask): FL FR, then 2.1, 4.0, 5.0,
/// 5.1, 6.1, 7.1; 0, which is no positions, for one channel and for more than eight.
pub(super) fn fallback_channel_mask(channels: i32) -> u64 {
    match channels {
        2 => 0x3,
        3 => 0xb,
        4 => 0x33,
        5 => 0x37,
        6 => 0x3f,
        7 => 0x13f,
        8 => 0xc3f,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{frame_alignment, test, track_caps};
    use super::*;

    fn pcm(codec_id: &str, channels: u64, bit_depth: u64) -> Track {
        test::audio(codec_id, &[], Audio { channels, bit_depth: Some(bit_depth), ..test::STEREO })
    }

    #[test]
    fn raw_formats_and_their_alignment() {
        for (codec_id, bits, format, alignment) in [
            ("A_PCM/INT/LIT", 8, "U8", 1),
            ("A_PCM/INT/BIG", 8, "U8", 1),
            ("A_PCM/INT/LIT", 16, "S16LE", 2),
            ("A_PCM/INT/BIG", 16, "S16BE", 2),
            ("A_PCM/INT/LIT", 24, "S24LE", 4),
            ("A_PCM/INT/BIG", 32, "S32BE", 4),
            ("A_PCM/FLOAT/IEEE", 32, "F32LE", 4),
            ("A_PCM/FLOAT/IEEE", 64, "F64LE", 8),
        ] {
            let track = pcm(codec_id, 2, bits);
            let caps = format!(
                "audio/x-raw, format=(string){format}, layout=(string)interleaved, \
                 channel-mask=(bitmask)0x0000000000000003, channels=(int)2, rate=(int)48000"
            );
            assert_eq!(test::caps(&track), caps);
            assert_eq!(frame_alignment(&track), alignment, "{codec_id} {bits}");
        }
        assert_eq!(frame_alignment(&test::audio("A_MPEG/L3", &[], test::STEREO)), 1);
        assert_eq!(frame_alignment(&test::video("V_VP8", &[])), 1);
    }

    #[test]
    fn sizes_that_gstreamer_has_not() {
        for (codec_id, bits) in [("A_PCM/INT/LIT", 20), ("A_PCM/INT/BIG", 64), ("A_PCM/FLOAT/IEEE", 16)] {
            let error = track_caps(&pcm(codec_id, 1, bits)).expect_err("no such format").to_string();
            assert_eq!(error, format!("codec {codec_id} with {bits} bits a sample has no elementary format"));
        }
    }

    #[test]
    fn rates_and_channels_that_caps_cannot_hold() {
        for rate in [f64::NAN, f64::INFINITY, -1.0, 0.5, 4e9] {
            let audio = Audio { sampling_frequency: rate, ..test::STEREO };
            let error = track_caps(&test::audio("A_MPEG/L3", &[], audio)).expect_err("no such rate").to_string();
            assert_eq!(error, "Audio element of codec A_MPEG/L3 is invalid: SamplingFrequency out of range");
        }
        let error = track_caps(&pcm("A_PCM/INT/LIT", 256, 16)).expect_err("too many").to_string();
        assert_eq!(error, "Audio element of codec A_PCM/INT/LIT is invalid: more than 255 channels");
    }

    #[test]
    fn zeros_are_the_defaults() {
        let audio = Audio { sampling_frequency: 0.0, channels: 0, ..Audio::default() };
        assert_eq!(
            test::caps(&test::audio("A_MPEG/L2", &[], audio)),
            "audio/mpeg, mpegversion=(int)1, layer=(int)2, channels=(int)1, rate=(int)8000"
        );
    }
}
