//! A_MS/ACM: the WAVEFORMATEX or WAVEFORMATEXTENSIBLE in CodecPrivate.

use super::audio::{self, Format};
use super::{CapsError, bytes_at, codec_private};
use crate::mkv::{Audio, Track};

/// Size of a WAVEFORMATEX; what follows it is the codec's own.
const WAVE_FORMAT_SIZE: usize = 18;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;

/// The format tag of a WAVEFORMATEXTENSIBLE: what the samples are stands behind the WAVEFORMATEX, in 22 bytes.
const EXTENSIBLE: u16 = 0xfffe;
const EXTENSION_SIZE: usize = 22;

/// A SubFormat that stands for a format tag ends so, behind the two bytes of the tag (KSDATAFORMAT_SUBTYPE of ksmedia.h).
const OF_FORMAT_TAG: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

/// A WAVEFORMATEX, or what a WAVEFORMATEXTENSIBLE says in its stead. The bit rate is left out, and cbSize too: the data
/// behind is as long as CodecPrivate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WaveFormat {
    format_tag: u16,
    channels: u16,
    rate: u32,
    block_align: u16,
    bits: u16,
    /// dwChannelMask: where the channels are; `None` where it is not told.
    mask: Option<u32>,
}

/// The caps of an A_MS/ACM track: G.711 and raw samples.
pub(super) fn structure(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    let wave = WaveFormat::parse(track)?;
    let format = Format::new(track, audio, Some((wave.rate, u32::from(wave.channels))))?;
    let mut structure = match wave.format_tag {
        A_LAW => g711("audio/x-alaw", format),
        MU_LAW => g711("audio/x-mulaw", format),
        _ => audio::raw(sample_format(track)?, format, channel_mask(&wave, format.channels)),
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

/// The speakers of a dwChannelMask that have the same order in GStreamer: from the front ones to the side ones.
const IN_ORDER: u32 = 0x7ff;

/// GStreamer's bits for the speakers of a dwChannelMask: the second low frequency stands before the side ones.
fn positions(mask: u32) -> u64 {
    u64::from(mask & 0x1ff | (mask & 0x600) << 1)
}

/// What the format says, if that is as many channels as there are. Else the order that wave files have in practice, which
/// is ALSA's; none for one channel. For counts without such an order matroskademux gives no mask at all, which no element
/// takes for more than two channels: the fallback stands in.
fn channel_mask(wave: &WaveFormat, channels: i32) -> Option<u64> {
    let fits = |mask: &u32| i32::try_from(mask.count_ones()).is_ok_and(|count| count == channels);
    let told = wave.mask.filter(|mask| mask & !IN_ORDER == 0).filter(fits);
    match (channels, told) {
        (_, Some(mask)) => Some(positions(mask)),
        (1, None) => None,
        (channels, None) => Some(audio::fallback_channel_mask(channels)),
    }
}

impl WaveFormat {
    fn parse(track: &Track) -> Result<Self, CapsError> {
        let private = codec_private(track).ok_or_else(|| CapsError::missing_codec_private(track))?;
        let fields: [u8; 16] = bytes_at(private, 0)
            .ok_or_else(|| CapsError::invalid_codec_private(track, "shorter than a WAVEFORMATEX"))?;
        let [t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, a0, a1, b0, b1] = fields;
        let format = Self {
            format_tag: u16::from_le_bytes([t0, t1]),
            channels: u16::from_le_bytes([c0, c1]),
            rate: u32::from_le_bytes([r0, r1, r2, r3]),
            block_align: u16::from_le_bytes([a0, a1]),
            bits: u16::from_le_bytes([b0, b1]),
            mask: None,
        };
        let extension: Option<[u8; EXTENSION_SIZE]> = bytes_at(private, WAVE_FORMAT_SIZE);
        Ok(extension.and_then(|extension| format.extended(extension)).unwrap_or(format))
    }

    /// With what a WAVEFORMATEXTENSIBLE says; `None` where it is none, or of a format without a tag. Samples are as wide
    /// as the WAVEFORMATEX says: wValidBitsPerSample says how many of these bits count.
    fn extended(self, extension: [u8; EXTENSION_SIZE]) -> Option<Self> {
        let [_, _, m0, m1, m2, m3, t0, t1, rest @ ..] = extension;
        let is_extensible = self.format_tag == EXTENSIBLE && rest == OF_FORMAT_TAG;
        let mask = u32::from_le_bytes([m0, m1, m2, m3]);
        is_extensible.then_some(Self {
            format_tag: u16::from_le_bytes([t0, t1]),
            mask: Some(mask).filter(|mask| *mask != 0),
            ..self
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
    fn an_extensible_format_says_what_it_is_behind() {
        let extensible = |bits: u16, channels: u16, mask: u32, tag: u16| {
            let mut private = wave(0xfffe, channels, channels * bits / 8, bits);
            private.extend(22_u16.to_le_bytes());
            private.extend(bits.to_le_bytes());
            private.extend(mask.to_le_bytes());
            private.extend(tag.to_le_bytes());
            private.extend(OF_FORMAT_TAG);
            test::audio("A_MS/ACM", &private, Audio { channels: channels.into(), ..test::STEREO })
        };
        let caps = test::caps(&extensible(16, 2, 3, 1));
        assert!(caps.contains("S16LE") && caps.contains("channel-mask=(bitmask)0x0000000000000003"), "{caps}");
        assert_eq!(frame_alignment(&extensible(24, 2, 3, 1)), 4);
        // 5.1 with side speakers; a mask of other channels than there are.
        for (mask, told) in [(0x60f, "0x0000000000000c0f"), (3, "0x000000000000003f"), (0x303f, "0x000000000000003f")] {
            let caps = test::caps(&extensible(32, 6, mask, 3));
            assert!(caps.contains("F32LE") && caps.contains(told), "{caps}");
        }
        assert!(test::caps(&extensible(8, 1, 4, 6)).starts_with("audio/x-alaw, rate=(int)48000, channels=(int)1"));
        let error = track_caps(&extensible(16, 2, 3, 0x11)).expect_err("ADPCM").to_string();
        assert_eq!(error, "codec A_MS/ACM with format tag 0x0011 has no elementary format");
        // Cut short, it is a format without a name.
        let mut short = extensible(16, 2, 3, 1);
        short.codec_private = short.codec_private.map(|private| private.slice(..39));
        let error = track_caps(&short).expect_err("cut short").to_string();
        assert_eq!(error, "codec A_MS/ACM with format tag 0xfffe has no elementary format");
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
