//! A_MS/ACM: the WAVEFORMATEX in CodecPrivate.

use bytes::Bytes;

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
    let extra = codec_private(track).and_then(|private| private.get(WAVE_FORMAT_SIZE..));
    if let Some(extra) = extra.filter(|extra| !extra.is_empty()) {
        structure.set("codec_data", gst::Buffer::from_slice(Bytes::copy_from_slice(extra)));
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
