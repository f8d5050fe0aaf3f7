//! A_MS/ACM: the WAVEFORMATEX in CodecPrivate.

use super::audio::{self, Format};
use super::{CapsError, bytes_at, codec_private};
use crate::mkv::{Audio, Track};

/// Size of a WAVEFORMATEX; what follows it is the codec's own.
const WAVE_FORMAT_SIZE: usize = 18;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;

/// A WAVEFORMATEX. The bit rate is left out, and cbSize too: the data behind is as long as CodecPrivate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WaveFormat {
    format_tag: u16,
    channels: u16,
    rate: u32,
    block_align: u16,
    bits: u16,
}

/// The caps of an A_MS/ACM track: G.711 and raw samples.
pub(super) fn structure(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    let wave = WaveFormat::parse(track)?;
    let format = Format::new(track, audio, Some((wave.rate, u32::from(wave.channels))))?;
    let mut structure = match wave.format_tag {
        A_LAW => g711("audio/x-alaw", format),
        MU_LAW => g711("audio/x-mulaw", format),
        _ => audio::raw(sample_format(track)?, format, channel_mask(format.channels)),
    };
    if let Some(private) = codec_private(track).filter(|private| private.len() > WAVE_FORMAT_SIZE) {
        structure.set("codec_data", gst::Buffer::from_slice(private.slice(WAVE_FORMAT_SIZE..)));
    }
    Ok(structure)
}

/// The raw sample format, or that there is none.
pub(super) fn sample_format(track: &Track) -> Result<&'static str, CapsError> {
    let wave = WaveFormat::parse(track)?;
    let container_bits = u64::from(wave.block_align) * 8 / u64::from(wave.channels.max(1));
    let unsupported = |bit_depth| CapsError::UnsupportedBitDepth { codec_id: track.codec_id.clone(), bit_depth };
    match wave.format_tag {
        PCM => {
            // Samples fill their container from the top, so its width is the format's; the block size tells it unless
            // it is missing or absurd.
            let bits = if (1..=32).contains(&container_bits) {
                container_bits
            } else {
                u64::from(wave.bits).next_multiple_of(8)
            };
            audio::integer_format(bits, false).ok_or_else(|| unsupported(bits))
        }
        FLOAT => match container_bits {
            32 => Ok("F32LE"),
            64 => Ok("F64LE"),
            bits => Err(unsupported(bits)),
        },
        format_tag => Err(CapsError::UnsupportedFormatTag { codec_id: track.codec_id.clone(), format_tag }),
    }
}

fn g711(name: &str, format: Format) -> gst::Structure {
    gst::Structure::builder(name).field("rate", format.rate).field("channels", format.channels).build()
}

/// The order that wave files have in practice, which is ALSA's; none for one channel. For counts without such an order
/// matroskademux gives no mask at all, which no element takes for more than two channels: the fallback stands in.
fn channel_mask(channels: i32) -> Option<u64> {
    match channels {
        1 => None,
        channels => Some(audio::fallback_channel_mask(channels)),
    }
}

impl WaveFormat {
    fn parse(track: &Track) -> Result<Self, CapsError> {
        let private = codec_private(track).ok_or_else(|| CapsError::missing_codec_private(track))?;
        let fields: [u8; 16] = bytes_at(private, 0)
            .ok_or_else(|| CapsError::invalid_codec_private(track, "shorter than a WAVEFORMATEX"))?;
        let [t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, a0, a1, b0, b1] = fields;
        Ok(Self {
            format_tag: u16::from_le_bytes([t0, t1]),
            channels: u16::from_le_bytes([c0, c1]),
            rate: u32::from_le_bytes([r0, r1, r2, r3]),
            block_align: u16::from_le_bytes([a0, a1]),
            bits: u16::from_le_bytes([b0, b1]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{frame_alignment, test, track_caps};
    use super::*;

    fn wave(format_tag: u16, channels: u16, block_align: u16, bits: u16) -> Vec<u8> {
        let mut private = Vec::new();
        private.extend(format_tag.to_le_bytes());
        private.extend(channels.to_le_bytes());
        private.extend(16000_u32.to_le_bytes());
        private.extend([0; 4]);
        private.extend(block_align.to_le_bytes());
        private.extend(bits.to_le_bytes());
        private
    }

    fn track(private: &[u8]) -> Track {
        test::audio("A_MS/ACM", private, test::STEREO)
    }

    #[test]
    fn g711_with_and_without_data_behind() {
        assert_eq!(test::caps(&track(&wave(6, 2, 2, 8))), "audio/x-alaw, rate=(int)48000, channels=(int)2");
        let private = [&wave(7, 2, 2, 8)[..], &[3, 0, 1, 2, 3]].concat();
        let caps = "audio/x-mulaw, rate=(int)48000, channels=(int)2, codec_data=(buffer)010203";
        assert_eq!(test::caps(&track(&private)), caps);
        // Without an Audio element the WAVEFORMATEX tells.
        let track = test::audio("A_MS/ACM", &wave(7, 2, 2, 8), Audio::default());
        assert_eq!(test::caps(&track), "audio/x-mulaw, rate=(int)16000, channels=(int)2");
    }

    #[test]
    fn samples_are_as_wide_as_their_container() {
        for (private, format, alignment) in [
            (wave(1, 2, 2, 8), "U8", 1),
            (wave(1, 2, 4, 16), "S16LE", 2),
            (wave(1, 2, 6, 20), "S24LE", 4),
            (wave(1, 2, 8, 24), "S32LE", 4),
            (wave(3, 2, 8, 32), "F32LE", 4),
            (wave(3, 2, 16, 64), "F64LE", 8),
            // A block size that is missing or absurd, no channels.
            (wave(1, 2, 0, 16), "S16LE", 2),
            (wave(1, 2, 1000, 12), "S16LE", 2),
            (wave(1, 0, 2, 16), "S16LE", 2),
        ] {
            let track = track(&private);
            let caps = track_caps(&track).expect("caps");
            assert_eq!(caps.structure(0).expect("one structure").get::<&str>("format"), Ok(format));
            assert_eq!(frame_alignment(&track), alignment);
        }
    }

    #[test]
    fn what_is_refused() {
        for (private, expected) in [
            (vec![], "codec A_MS/ACM needs a CodecPrivate and the track has none"),
            (vec![6; 15], "CodecPrivate of codec A_MS/ACM is invalid: shorter than a WAVEFORMATEX"),
            (wave(0xfffe, 2, 4, 16), "codec A_MS/ACM with format tag 0xfffe has no elementary format"),
            (wave(1, 2, 0, 60), "codec A_MS/ACM with 64 bits a sample has no elementary format"),
            (wave(3, 2, 4, 16), "codec A_MS/ACM with 16 bits a sample has no elementary format"),
            (wave(1, 2, 0, u16::MAX), "codec A_MS/ACM with 65536 bits a sample has no elementary format"),
        ] {
            assert_eq!(track_caps(&track(&private)).expect_err(expected).to_string(), expected);
        }
    }
}
