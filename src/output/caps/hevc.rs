//! H.265: the HEVCDecoderConfigurationRecord in CodecPrivate (ISO/IEC 14496-15 section 8.3.3.1).

use super::{CapsError, avc, bytes_at, codec_private};
use crate::mkv::Track;

/// profile_tier_level up to general_level_idc (H.265 section 7.3.3).
type ProfileTierLevel = [u8; 12];

/// The caps of a V_MPEGH/ISO/HEVC track; a byte stream under the same conditions as H.264.
pub(super) fn structure(track: &Track) -> Result<gst::Structure, CapsError> {
    let Some(private) = codec_private(track) else {
        return Ok(gst::Structure::builder("video/x-h265").field("stream-format", "byte-stream").build());
    };
    if avc::has_start_code(private) {
        // A sequence parameter set has profile_tier_level behind a header of two bytes and one of its own.
        let set = avc::parameter_set(private, |header| header >> 1 & 0x3f == 33);
        let parameters = set.and_then(|set| bytes_at(&set, 3));
        return Ok(with_parameters(parameters).field("stream-format", "byte-stream").build());
    }
    if private.len() < 23 {
        return Err(CapsError::invalid_codec_private(track, "shorter than an HEVCDecoderConfigurationRecord"));
    }
    // Version 0 is what muxers wrote before the record was standardised; the layout is the same.
    if private.first().is_none_or(|version| *version > 1) {
        return Err(CapsError::invalid_codec_private(track, "HEVCDecoderConfigurationRecord of an unknown version"));
    }
    Ok(with_parameters(bytes_at(private, 1))
        .field("codec_data", gst::Buffer::from_slice(private.clone()))
        .field("stream-format", "hvc1")
        .field("alignment", "au")
        .build())
}

fn with_parameters(parameters: Option<ProfileTierLevel>) -> gst::structure::Builder {
    gst::Structure::builder("video/x-h265")
        .field_if_some("level", parameters.as_ref().and_then(level))
        .field_if_some("tier", parameters.as_ref().map(tier))
        .field_if_some("profile", parameters.as_ref().and_then(profile))
}

fn level(parameters: &ProfileTierLevel) -> Option<&'static str> {
    Some(match parameters[11] {
        30 => "1",
        60 => "2",
        63 => "2.1",
        90 => "3",
        93 => "3.1",
        120 => "4",
        123 => "4.1",
        150 => "5",
        153 => "5.1",
        156 => "5.2",
        180 => "6",
        183 => "6.1",
        186 => "6.2",
        189 => "6.3",
        210 => "7",
        213 => "7.1",
        216 => "7.2",
        _ => return None,
    })
}

fn tier(parameters: &ProfileTierLevel) -> &'static str {
    if parameters[0] & 0x20 == 0 { "main" } else { "high" }
}

/// The name of general_profile_idc; of a profile that needs them, by compatibility and constraint flags.
fn profile(parameters: &ProfileTierLevel) -> Option<&'static str> {
    let [first, c0, c1, c2, c3, low, high, ..] = *parameters;
    let number = first & 0x1f;
    let compatibility = u32::from_be_bytes([c0, c1, c2, c3]);
    let is = |wanted: u8| number == wanted || compatibility & (0x8000_0000 >> wanted) != 0;
    let named = |number: u8| match number {
        1 => Some("main"),
        2 => Some("main-10"),
        3 => Some("main-still-picture"),
        _ => None,
    };
    if let Some(name) = named(number).or_else(|| (1..=3).filter(|profile| is(*profile)).find_map(named)) {
        return Some(name);
    }
    if !(4..=11).contains(&number) {
        return None;
    }
    // The nine flags from general_max_12bit_constraint_flag to general_lower_bit_rate_constraint_flag, in order, and
    // before them general_max_14bit_constraint_flag, which only some profiles have.
    let mut constraints = u16::from(low & 0x0f) << 5 | u16::from(high >> 3);
    if is(5) || is(9) || is(10) || is(11) {
        constraints |= u16::from(high >> 2 & 1) << 9;
    }
    let profiles = match () {
        () if is(4) => FORMAT_RANGE,
        () if is(5) => HIGH_THROUGHPUT,
        () if is(6) => MULTIVIEW,
        () if is(7) => SCALABLE,
        () if is(8) => THREE_DIMENSIONAL,
        () if is(9) || is(11) => SCREEN_CONTENT,
        () => SCALABLE_FORMAT_RANGE,
    };
    closest(profiles, constraints)
}

/// Of the profiles whose constraints the stream keeps: the first that it matches exactly, else the last of those with
/// the fewest constraints beyond their own.
fn closest(profiles: &[(&'static str, u16)], constraints: u16) -> Option<&'static str> {
    let mut best: Option<(&'static str, u32)> = None;
    for (name, required) in profiles {
        if required & !constraints != 0 {
            continue;
        }
        // The lowest bit allows a lower bit rate: it restricts nothing.
        let extra = (constraints & !required & !1).count_ones();
        if extra == 0 {
            return Some(name);
        }
        if best.is_none_or(|(_, least)| extra <= least) {
            best = Some((name, extra));
        }
    }
    best.map(|(name, _)| name)
}

// Names and constraint flags of H.265 tables A.2, A.3, A.5, G.11, H.11 and I.11. The bits, from the left: max_14bit,
// max_12bit, max_10bit, max_8bit, max_422chroma, max_420chroma, max_monochrome, intra, one_picture_only, lower_bit_rate.
const FORMAT_RANGE: &[(&str, u16)] = &[
    ("monochrome", 0b0_111_111_001),
    ("monochrome-10", 0b0_110_111_001),
    ("monochrome-12", 0b0_100_111_001),
    ("monochrome-16", 0b0_000_111_001),
    ("main-12", 0b0_100_110_001),
    ("main-422-10", 0b0_110_100_001),
    ("main-422-12", 0b0_100_100_001),
    ("main-444", 0b0_111_000_001),
    ("main-444-10", 0b0_110_000_001),
    ("main-444-12", 0b0_100_000_001),
    ("main-intra", 0b0_111_110_100),
    ("main-10-intra", 0b0_110_110_100),
    ("main-12-intra", 0b0_100_110_100),
    ("main-422-10-intra", 0b0_110_100_100),
    ("main-422-12-intra", 0b0_100_100_100),
    ("main-444-intra", 0b0_111_000_100),
    ("main-444-10-intra", 0b0_110_000_100),
    ("main-444-12-intra", 0b0_100_000_100),
    ("main-444-16-intra", 0b0_000_000_100),
    ("main-444-still-picture", 0b0_111_000_110),
    ("main-444-16-still-picture", 0b0_000_000_110),
];
const HIGH_THROUGHPUT: &[(&str, u16)] = &[
    ("high-throughput-444", 0b1_111_000_001),
    ("high-throughput-444-10", 0b1_110_000_001),
    ("high-throughput-444-14", 0b1_000_000_001),
    ("high-throughput-444-16-intra", 0b0_000_000_100),
];
const MULTIVIEW: &[(&str, u16)] = &[("multiview-main", 0b0_111_110_001)];
const SCALABLE: &[(&str, u16)] = &[("scalable-main", 0b0_111_110_001), ("scalable-main-10", 0b0_110_110_001)];
const THREE_DIMENSIONAL: &[(&str, u16)] = &[("3d-main", 0b0_111_110_001)];
const SCREEN_CONTENT: &[(&str, u16)] = &[
    ("screen-extended-main", 0b1_111_110_001),
    ("screen-extended-main-10", 0b1_110_110_001),
    ("screen-extended-main-444", 0b1_111_000_001),
    ("screen-extended-main-444-10", 0b1_110_000_001),
    // The high throughput ones with the flags of screen-extended-main-444 and -10 follow here in the standard: the
    // flags alone cannot tell them apart, and a stream with more constraints is nearest to the last of equals.
    ("screen-extended-high-throughput-444", 0b1_111_000_001),
    ("screen-extended-high-throughput-444-10", 0b1_110_000_001),
    ("screen-extended-high-throughput-444-14", 0b1_000_000_001),
];
const SCALABLE_FORMAT_RANGE: &[(&str, u16)] = &[
    ("scalable-monochrome", 0b1_111_111_001),
    ("scalable-monochrome-12", 0b1_100_111_001),
    ("scalable-monochrome-16", 0b0_000_111_001),
    ("scalable-main-444", 0b1_111_000_001),
];

#[cfg(test)]
mod tests {
    use super::super::{stream_headers, test, track_caps};
    use super::*;

    const CODEC: &str = "V_MPEGH/ISO/HEVC";

    fn parameters(first: u8, compatibility: u32, constraints: [u8; 2], level: u8) -> ProfileTierLevel {
        let [c0, c1, c2, c3] = compatibility.to_be_bytes();
        [first, c0, c1, c2, c3, constraints[0], constraints[1], 0, 0, 0, 0, level]
    }

    #[test]
    fn an_hvcc_is_codec_data() {
        for version in [0, 1] {
            let mut private = [0; 23];
            private[0] = version;
            private[1..13].copy_from_slice(&parameters(0x22, 0x2000_0000, [0x90, 0], 120));
            let data: String = private.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(
                test::caps(&test::video(CODEC, &private)),
                format!(
                    "video/x-h265, level=(string)4, tier=(string)high, profile=(string)main-10, \
                     codec_data=(buffer){data}, stream-format=(string)hvc1, alignment=(string)au, \
                     framerate=(fraction)0/1"
                )
            );
        }
    }

    #[test]
    fn profiles_by_number_compatibility_and_constraints() {
        for (expected, first, compatibility, constraints) in [
            (Some("main"), 1, 0, [0, 0]),
            (Some("main-still-picture"), 3, 0, [0, 0]),
            (Some("main-10"), 4, 0x2000_0000, [0, 0]),
            // Exactly Main 4:2:2 10: 12 and 10 bits, 4:2:2, lower bit rate.
            (Some("main-422-10"), 4, 0x0800_0000, [0x0d, 0x08]),
            // Main 4:4:4 Still Picture beats Main 4:4:4 Intra by one flag.
            (Some("main-444-still-picture"), 4, 0x0800_0000, [0x0e, 0x30]),
            (Some("screen-extended-main-444"), 9, 0x0040_0000, [0x0e, 0x0c]),
            (Some("scalable-main-10"), 7, 0, [0x0d, 0x88]),
            // Keeps none of the constraints of any scalable profile.
            (None, 7, 0, [0, 0]),
            (None, 12, 0, [0xff, 0xff]),
            (None, 0, 0, [0xff, 0xff]),
        ] {
            assert_eq!(profile(&parameters(first, compatibility, constraints, 93)), expected, "{first}");
        }
    }

    #[test]
    fn start_codes_make_a_byte_stream() {
        let mut private = vec![0, 0, 0, 1, 0x40, 1, 0xaa, 0, 0, 0, 1, 0x42, 1, 1];
        private.extend(parameters(1, 0x6000_0000, [0x90, 0], 93));
        let track = test::video(CODEC, &private);
        assert_eq!(
            test::caps(&track),
            "video/x-h265, level=(string)3.1, tier=(string)main, profile=(string)main, \
             stream-format=(string)byte-stream, framerate=(fraction)0/1"
        );
        assert_eq!(stream_headers(&track), [&private[..]]);
    }

    #[test]
    fn bytes_that_prevent_start_codes_are_not_the_parameter_sets() {
        // general_constraint_indicator_flags are zeros but for the first byte, as x265 writes them.
        let mut private = vec![0, 0, 0, 0, 1, 0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 93];
        private.extend([0xa0, 0x02, 0x80]);
        assert_eq!(
            test::caps(&test::video(CODEC, &private)),
            "video/x-h265, level=(string)3.1, tier=(string)main, profile=(string)main, \
             stream-format=(string)byte-stream, framerate=(fraction)0/1"
        );
    }

    #[test]
    fn what_is_neither_is_refused() {
        let mut unknown = [0; 23];
        unknown[0] = 2;
        for (private, reason) in [
            (&[1; 22][..], "shorter than an HEVCDecoderConfigurationRecord"),
            (&unknown, "HEVCDecoderConfigurationRecord of an unknown version"),
        ] {
            let error = track_caps(&test::video(CODEC, private)).expect_err(reason).to_string();
            assert_eq!(error, format!("CodecPrivate of codec {CODEC} is invalid: {reason}"));
        }
    }
}
