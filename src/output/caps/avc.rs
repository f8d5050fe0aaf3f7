//! H.264: the AVCDecoderConfigurationRecord in CodecPrivate (ISO/IEC 14496-15 section 5.3.3.1).

use super::{CapsError, bytes_at, codec_private};
use crate::mkv::Track;

/// The caps of a V_MPEG4/ISO/AVC track. Without CodecPrivate, or with one made of start codes, the frames are taken for
/// a byte stream: what producers write that hand on an encoder's output as it is.
pub(super) fn structure(track: &Track) -> Result<gst::Structure, CapsError> {
    let Some(private) = codec_private(track) else {
        return Ok(gst::Structure::builder("video/x-h264").field("stream-format", "byte-stream").build());
    };
    if has_start_code(private) {
        let parameters = parameter_set(private, |header| header & 0x1f == 7).and_then(|set| bytes_at(set, 1));
        return Ok(gst::Structure::builder("video/x-h264")
            .field_if_some("level", parameters.and_then(level))
            .field_if_some("profile", parameters.and_then(profile))
            .field("stream-format", "byte-stream")
            .build());
    }
    if private.len() < 7 {
        return Err(CapsError::invalid_codec_private(track, "shorter than an AVCDecoderConfigurationRecord"));
    }
    if private.first() != Some(&1) {
        return Err(CapsError::invalid_codec_private(track, "AVCDecoderConfigurationRecord of a version other than 1"));
    }
    let parameters = bytes_at(private, 1);
    Ok(gst::Structure::builder("video/x-h264")
        .field_if_some("level", parameters.and_then(level))
        .field_if_some("profile", parameters.and_then(profile))
        .field("codec_data", gst::Buffer::from_slice(private.clone()))
        .field("stream-format", "avc")
        .field("alignment", "au")
        .build())
}

/// Whether the bytes begin with a start code (H.264 and H.265 annex B).
pub(super) fn has_start_code(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// The first NAL unit, header included, whose first byte `wanted` accepts; what follows it is not cut off.
pub(super) fn parameter_set(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let starts = bytes.windows(4).enumerate().filter(|(_, window)| window.starts_with(&[0, 0, 1]));
    starts
        .filter_map(|(at, window)| Some((at, *window.last()?)))
        .find(|(_, header)| wanted(*header))
        .and_then(|(at, _)| bytes.get(at.checked_add(3)?..))
}

/// The profile's name for profile_idc, constraint flags and level_idc (H.264 annex A).
fn profile([profile, constraints, _]: [u8; 3]) -> Option<&'static str> {
    // The flags count from the top bit: set0 is 0x80, set5 is 0x04.
    let set = |flag: u8| constraints & (0x80 >> flag) != 0;
    Some(match profile {
        44 => "cavlc-4:4:4-intra",
        66 if set(1) => "constrained-baseline",
        66 => "baseline",
        77 => "main",
        83 if set(5) => "scalable-constrained-baseline",
        83 => "scalable-baseline",
        86 if set(3) => "scalable-high-intra",
        86 if set(5) => "scalable-constrained-high",
        86 => "scalable-high",
        88 => "extended",
        100 if set(4) && set(5) => "constrained-high",
        100 if set(4) => "progressive-high",
        100 => "high",
        110 if set(3) => "high-10-intra",
        110 if set(4) => "progressive-high-10",
        110 => "high-10",
        118 => "multiview-high",
        122 if set(3) => "high-4:2:2-intra",
        122 => "high-4:2:2",
        128 => "stereo-high",
        244 if set(3) => "high-4:4:4-intra",
        244 => "high-4:4:4",
        _ => return None,
    })
}

/// The level's name for profile_idc, constraint flags and level_idc (H.264 annex A).
fn level([_, constraints, level]: [u8; 3]) -> Option<&'static str> {
    Some(match level {
        9 => "1b",
        11 if constraints & 0x10 != 0 => "1b",
        10 => "1",
        11 => "1.1",
        12 => "1.2",
        13 => "1.3",
        20 => "2",
        21 => "2.1",
        22 => "2.2",
        30 => "3",
        31 => "3.1",
        32 => "3.2",
        40 => "4",
        41 => "4.1",
        42 => "4.2",
        50 => "5",
        51 => "5.1",
        52 => "5.2",
        60 => "6",
        61 => "6.1",
        62 => "6.2",
        _ => return None,
    })
}
