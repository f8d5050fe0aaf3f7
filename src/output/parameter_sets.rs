//! How far pictures are out of order, by what H.264 and H.265 say of themselves: in CodecPrivate or in their frames.

use std::num::NonZeroUsize;

use bytes::Bytes;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::{PicOrderCntType, Profile, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};

use crate::fragment::Reordering;
use crate::mkv::Pieces;

/// How many bytes of a frame are searched for parameter sets, which stand before its pictures.
const SEARCHED: usize = 4096;

/// What a stream is taken for whose parameter sets are not there or make no sense: as far out of order as encoders go
/// that are not told to go further, so that its first frames have decoding times.
const UNKNOWN_DEPTH: u32 = 2;

/// Pyramids of pictures are not deeper in practice where they do not say how deep they are.
const USUAL_DEPTH: u32 = 4;

/// Distances between frames, in ns, that are taken at their word: others are ticks of a clock.
const PLAUSIBLE_SPACING: std::ops::RangeInclusive<u64> = 2_000_000..=10_000_000_000;

/// level_idc of H.264's level 6.2.
const HIGHEST_LEVEL: u8 = 62;

/// The H.265 NAL unit header is two bytes long (section 7.3.1.2).
const H265_HEADER: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    H264,
    H265,
}

/// The sequence parameter set of a track.
#[derive(Clone, Debug)]
pub struct ParameterSets {
    codec: Codec,
    framing: Framing,
    /// The one that was read last, as it came.
    sequence: Vec<u8>,
    /// The beginning of a frame that came in pieces.
    scratch: Vec<u8>,
}

/// What stands between the NAL units of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Start codes (annex B of both standards).
    StartCodes,
    /// Before each its length, a number of so many bytes (ISO/IEC 14496-15).
    Lengths(usize),
}

impl ParameterSets {
    /// Those in CodecPrivate of a track with these caps, and how far its pictures are out of order by them, where they
    /// say it; `None` where its codec is another one.
    pub fn new(caps: &gst::CapsRef, private: Option<&Bytes>) -> Option<(Self, Option<Reordering>)> {
        let format = caps.structure(0)?;
        let codec = match format.name().as_str() {
            "video/x-h264" => Codec::H264,
            "video/x-h265" => Codec::H265,
            _ => return None,
        };
        let private = private.map(Bytes::as_ref).unwrap_or_default();
        let mut this = Self { codec, framing: Framing::StartCodes, sequence: Vec::new(), scratch: Vec::new() };
        if format.get("stream-format") == Ok("byte-stream") {
            let found = this.find(private);
            return Some((this, found));
        }
        // Where both records tell how many bytes a length has, in the lowest two bits.
        let lengths = private.get(if codec == Codec::H264 { 4 } else { 21 }).copied().unwrap_or(3);
        this.framing = Framing::Lengths(usize::from(lengths & 3).saturating_add(1));
        let found = match codec {
            Codec::H264 => AvcDecoderConfigurationRecord::try_from(private)
                .ok()
                .and_then(|record| this.take(record.sequence_parameter_sets().next()?.ok()?)),
            Codec::H265 => sequence_of_record(private).and_then(|unit| this.take(unit)),
        };
        Some((this, found))
    }

    /// How far pictures are out of order from this keyframe on, where it says something new.
    pub fn of_keyframe(&mut self, frame: &Pieces) -> Option<Reordering> {
        match frame {
            Pieces::One(bytes) => self.find(bytes.get(..SEARCHED).unwrap_or(bytes)),
            Pieces::Many(pieces) => {
                let mut beginning = std::mem::take(&mut self.scratch);
                beginning.clear();
                for piece in pieces {
                    let room = SEARCHED.saturating_sub(beginning.len());
                    beginning.extend_from_slice(piece.get(..room).unwrap_or(piece));
                }
                let found = self.find(&beginning);
                self.scratch = beginning;
                found
            }
        }
    }

    /// Looks for a sequence parameter set among the NAL units at the beginning.
    fn find(&mut self, bytes: &[u8]) -> Option<Reordering> {
        let mut rest = bytes;
        while let Some((unit, behind)) = self.framing.split(rest) {
            match self.kind(unit) {
                Some(Kind::Sequence) => return self.take(unit),
                Some(Kind::Picture) => return None,
                _ => rest = behind,
            }
        }
        None
    }

    fn kind(&self, unit: &[u8]) -> Option<Kind> {
        Some(match (self.codec, unit) {
            (Codec::H264, [header, ..]) => match header & 0x1f {
                7 => Kind::Sequence,
                1..=5 => Kind::Picture,
                _ => Kind::Other,
            },
            // Of the base layer only.
            (Codec::H265, [first, second, ..]) => match (first >> 1 & 0x3f, first & 1, second >> 3) {
                (33, 0, 0) => Kind::Sequence,
                (0..=31, ..) => Kind::Picture,
                _ => Kind::Other,
            },
            _ => return None,
        })
    }

    /// Reads a sequence parameter set, unless it is the one that was read last.
    fn take(&mut self, unit: &[u8]) -> Option<Reordering> {
        if self.sequence == unit {
            return None;
        }
        self.sequence.clear();
        self.sequence.extend_from_slice(unit);
        // Zeros behind it belong to the next start code.
        let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let unit = unit.get(..end)?;
        Some(match self.codec {
            Codec::H264 => {
                // The reader refuses streams that are beyond the level they claim.
                let mut unit = unit.to_vec();
                if let Some(level) = unit.get_mut(3) {
                    *level = HIGHEST_LEVEL;
                }
                let bits = BitReader::new(ByteReader::skipping_h264_header(unit.as_slice()));
                SeqParameterSet::from_bits(bits).map_or_else(|_| unknown(), |sequence| h264(&sequence))
            }
            Codec::H265 => {
                let bits = BitReader::new(ByteReader::skipping_bytes(unit, H265_HEADER));
                h265(bits).unwrap_or_else(|_| unknown())
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sequence,
    /// A part of one.
    Picture,
    Other,
}

impl Framing {
    /// The first NAL unit, and what follows it.
    fn split(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        match self {
            Self::StartCodes => {
                let start = start_code(bytes)?.checked_add(3)?;
                let unit = bytes.get(start..)?;
                let end = start_code(unit).unwrap_or(unit.len());
                unit.split_at_checked(end)
            }
            Self::Lengths(size) => {
                let (length, rest) = bytes.split_at_checked(size)?;
                let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                // A picture is longer than what is looked at.
                rest.split_at_checked(length.min(rest.len())).filter(|(unit, _)| !unit.is_empty())
            }
        }
    }
}

/// Where the first start code is.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

/// The first sequence parameter set of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 8.3.3.1).
fn sequence_of_record(record: &[u8]) -> Option<&[u8]> {
    let (arrays, mut rest) = record.get(22..)?.split_first()?;
    for _ in 0..*arrays {
        let (header, behind) = rest.split_first_chunk::<3>()?;
        rest = behind;
        let [kind, high, low] = *header;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            if kind & 0x3f == 33 {
                return Some(unit);
            }
            rest = behind;
        }
    }
    None
}

/// What is assumed of a stream that says nothing.
pub fn unknown() -> Reordering {
    reordering(UNKNOWN_DEPTH, None)
}

fn reordering(depth: u32, spacing: Option<u64>) -> Reordering {
    Reordering {
        depth: usize::try_from(depth).unwrap_or(usize::MAX).min(crate::fragment::MAX_DEPTH),
        spacing: plausible(spacing),
    }
}

/// A distance between frames, in ns, if it can be one.
pub fn plausible(spacing: Option<u64>) -> Option<u64> {
    spacing.filter(|spacing| PLAUSIBLE_SPACING.contains(spacing))
}

/// H.264 section E.2.1, max_num_reorder_frames.
fn h264(sequence: &SeqParameterSet) -> Reordering {
    let vui = sequence.vui_parameters.as_ref();
    let timing = vui.and_then(|vui| vui.timing_info.as_ref());
    // A tick is that of a field (section E.2.1, num_units_in_tick).
    let spacing = timing.and_then(|timing| {
        let units = u64::from(timing.num_units_in_tick).checked_mul(2_000_000_000)?;
        units.checked_div(timing.time_scale.into())
    });
    let told = vui.and_then(|vui| vui.bitstream_restrictions.as_ref()).map(|told| told.max_num_reorder_frames);
    let depth = told.unwrap_or_else(|| if comes_in_order(sequence) { 0 } else { likely_depth(sequence) });
    reordering(depth, spacing)
}

/// Whether a stream is decoded in the order in which it is shown, by its profile or by how it counts pictures (sections
/// 8.2.1.3, A.2 and E.2.1).
fn comes_in_order(sequence: &SeqParameterSet) -> bool {
    let flags = sequence.constraint_flags;
    let without_b_slices = match sequence.profile() {
        Profile::Baseline
        | Profile::ConstrainedBaseline
        | Profile::ScalableBase
        | Profile::ScalableConstrainedBaseline => true,
        Profile::CavlcIntra444 | Profile::High10Intra | Profile::High422Intra | Profile::High444Intra => true,
        Profile::ScalableHighIntra | Profile::ConstrainedHigh => true,
        Profile::High | Profile::ProgressiveHigh => flags.flag3(),
        Profile::Main | Profile::Extended => flags.flag5(),
        _ => false,
    };
    without_b_slices || sequence.pic_order_cnt == PicOrderCntType::TypeTwo
}

/// How far a stream is out of order that does not say it. The standard lets it be as far as the decoder's buffer reaches;
/// but what is decoded before its time is what others refer to, from both sides: one picture less than there are
/// references.
fn likely_depth(sequence: &SeqParameterSet) -> u32 {
    sequence.max_num_ref_frames.saturating_sub(1).min(USUAL_DEPTH)
}

/// sps_max_num_reorder_pics of the highest sub-layer (H.265 section 7.3.2.2.1).
fn h265(mut bits: impl BitRead) -> Result<Reordering, BitReaderError> {
    bits.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers: u32 = bits.read::<3, _>("sps_max_sub_layers_minus1")?;
    bits.skip(1, "sps_temporal_id_nesting_flag")?;
    skip_profile_tier_level(&mut bits, sub_layers)?;
    bits.read_ue("sps_seq_parameter_set_id")?;
    if bits.read_ue("chroma_format_idc")? == 3 {
        bits.skip(1, "separate_colour_plane_flag")?;
    }
    bits.read_ue("pic_width_in_luma_samples")?;
    bits.read_ue("pic_height_in_luma_samples")?;
    if bits.read_bit("conformance_window_flag")? {
        for _ in 0..4 {
            bits.read_ue("conf_win_offset")?;
        }
    }
    bits.read_ue("bit_depth_luma_minus8")?;
    bits.read_ue("bit_depth_chroma_minus8")?;
    bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
    let each = bits.read_bit("sps_sub_layer_ordering_info_present_flag")?;
    let mut depth = 0;
    for _ in if each { 0 } else { sub_layers }..=sub_layers {
        bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
        depth = bits.read_ue("sps_max_num_reorder_pics")?;
        bits.read_ue("sps_max_latency_increase_plus1")?;
    }
    Ok(reordering(depth, None))
}

/// H.265 section 7.3.3.
fn skip_profile_tier_level(bits: &mut impl BitRead, sub_layers: u32) -> Result<(), BitReaderError> {
    const PROFILE: u32 = 88;
    const LEVEL: u32 = 8;
    bits.skip(PROFILE + LEVEL, "general_profile_tier_level")?;
    let mut length = 0;
    for _ in 0..sub_layers {
        let has_profile = bits.read_bit("sub_layer_profile_present_flag")?;
        let has_level = bits.read_bit("sub_layer_level_present_flag")?;
        length += if has_profile { PROFILE } else { 0 } + if has_level { LEVEL } else { 0 };
    }
    if sub_layers > 0 {
        // Two bits for each of up to eight sub-layers.
        bits.skip(8_u32.saturating_sub(sub_layers) * 2, "reserved_zero_2bits")?;
    }
    bits.skip(length, "sub_layer_profile_tier_level")
}

#[cfg(test)]
mod tests;
