//! H.264: the AVCDecoderConfigurationRecord in CodecPrivate (ISO/IEC 14496-15 section 5.3.3.1).

use super::{CapsError, bytes_at, codec_private};
use crate::mkv::Track;

/// profile_idc, the constraint flags, level_idc (H.264 section 7.3.2.1.1).
type Parameters = [u8; 3];

/// The caps of a V_MPEG4/ISO/AVC track. Without CodecPrivate, or with one made of start codes, the frames are taken for
/// a byte stream: what producers write that hand on an encoder's output as it is.
pub(super) fn structure(track: &Track) -> Result<gst::Structure, CapsError> {
    let Some(private) = codec_private(track) else {
        return Ok(gst::Structure::builder("video/x-h264").field("stream-format", "byte-stream").build());
    };
    if has_start_code(private) {
        let set = parameter_set(private, |header| header & 0x1f == 7);
        let parameters = set.and_then(|set| bytes_at(&set, 1));
        return Ok(with_parameters(parameters).field("stream-format", "byte-stream").build());
    }
    if private.len() < 7 {
        return Err(CapsError::invalid_codec_private(track, "shorter than an AVCDecoderConfigurationRecord"));
    }
    if private.first() != Some(&1) {
        return Err(CapsError::invalid_codec_private(track, "AVCDecoderConfigurationRecord of a version other than 1"));
    }
    Ok(with_parameters(bytes_at(private, 1))
        .field("codec_data", gst::Buffer::from_slice(private.clone()))
        .field("stream-format", "avc")
        .field("alignment", "au")
        .build())
}

fn with_parameters(parameters: Option<Parameters>) -> gst::structure::Builder {
    gst::Structure::builder("video/x-h264")
        .field_if_some("level", parameters.and_then(level))
        .field_if_some("profile", parameters.and_then(profile))
}

/// How much of a parameter set is looked at, in bytes: more than what comes before the level.
const BEGINNING: usize = 32;

/// Whether the bytes begin with a start code, before which there may be any number of zeros (H.264 and H.265 annex B:
/// leading_zero_8bits, zero_byte, start_code_prefix_one_3bytes).
pub(in crate::output) fn has_start_code(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    zeros >= 2 && bytes.get(zeros) == Some(&1)
}

/// The beginning of the first NAL unit, header included, whose first byte `wanted` accepts, without the bytes that prevent
/// start codes in it (H.264 section 7.4.1.1, H.265 section 7.4.2); what follows the unit is not cut off.
pub(super) fn parameter_set(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let starts = bytes.windows(4).enumerate().filter(|(_, window)| window.starts_with(&[0, 0, 1]));
    let unit = starts
        .filter_map(|(at, window)| Some((at, *window.last()?)))
        .find(|(_, header)| wanted(*header))
        .and_then(|(at, _)| bytes.get(at.checked_add(3)?..))?;
    let mut zeros = 0_usize;
    let own = unit.iter().copied().filter(|byte| {
        // A 3 after two zeros is never the unit's own.
        let prevents = zeros >= 2 && *byte == 3;
        zeros = if *byte == 0 { zeros.saturating_add(1) } else { 0 };
        !prevents
    });
    Some(own.take(BEGINNING).collect())
}

/// The profile's name (H.264 annex A).
fn profile([profile, constraints, _]: Parameters) -> Option<&'static str> {
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

/// The level's name (H.264 annex A).
fn level([_, constraints, level]: Parameters) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::super::{stream_headers, test, track_caps};

    const CODEC: &str = "V_MPEG4/ISO/AVC";

    #[test]
    fn an_avcc_is_codec_data() {
        let caps = test::caps(&test::video(CODEC, &[1, 100, 0x0c, 41, 0xff, 0xe1, 0]));
        assert_eq!(
            caps,
            "video/x-h264, level=(string)4.1, profile=(string)constrained-high, codec_data=(buffer)01640c29ffe100, \
             stream-format=(string)avc, alignment=(string)au, framerate=(fraction)0/1"
        );
    }

    #[test]
    fn start_codes_make_a_byte_stream_whose_parameter_sets_go_first() {
        let private = [0, 0, 0, 1, 0x67, 66, 0xc0, 31, 0xaa, 0, 0, 0, 1, 0x68, 0xce];
        let track = test::video(CODEC, &private);
        assert_eq!(
            test::caps(&track),
            "video/x-h264, level=(string)3.1, profile=(string)constrained-baseline, \
             stream-format=(string)byte-stream, framerate=(fraction)0/1"
        );
        assert_eq!(stream_headers(&track), [&private[..]]);
        assert!(stream_headers(&test::video(CODEC, &[1, 66, 0, 10, 0xff, 0xe0, 0])).is_empty());
    }

    #[test]
    fn start_codes_may_have_any_number_of_zeros_before_them() {
        for zeros in 2..7 {
            let code = [vec![0; zeros], vec![1]].concat();
            let private = [&code[..], &[0x67, 66, 0xc0, 31, 0xaa], &code[..], &[0x68, 0xce]].concat();
            let track = test::video(CODEC, &private);
            assert_eq!(
                test::caps(&track),
                "video/x-h264, level=(string)3.1, profile=(string)constrained-baseline, \
                 stream-format=(string)byte-stream, framerate=(fraction)0/1"
            );
            assert_eq!(stream_headers(&track), [&private[..]]);
        }
    }

    #[test]
    fn a_start_code_at_the_end_is_no_parameter_set() {
        for private in [&[0, 0, 1][..], &[0, 0, 0, 1], &[0, 0, 1, 0x67], &[0, 0, 1, 0x67, 66, 0]] {
            let caps = test::caps(&test::video(CODEC, private));
            assert_eq!(caps, "video/x-h264, stream-format=(string)byte-stream, framerate=(fraction)0/1");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (private, reason) in [
            (&[1, 66, 0, 10, 0xff, 0xe1][..], "shorter than an AVCDecoderConfigurationRecord"),
            (&[2, 66, 0, 10, 0xff, 0xe1, 0], "AVCDecoderConfigurationRecord of a version other than 1"),
        ] {
            let error = track_caps(&test::video(CODEC, private)).expect_err(reason).to_string();
            assert_eq!(error, format!("CodecPrivate of codec {CODEC} is invalid: {reason}"));
        }
    }
}
