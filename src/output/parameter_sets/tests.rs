use h264_reader::nal::WritableNal;
use h264_reader::nal::sps::{BitstreamRestrictions, ConstraintFlags, TimingInfo};
use h264_reader::rbsp::{BitWriter, ByteWriter};
use proptest::prelude::*;

use super::*;
use crate::output::caps::test;
use crate::output::caps::track_caps;

/// x264 with `bframes=3`, at 25 frames a second.
const H264: &str = "6764000cacd941419f9f011000000300100000030320f1429960";
/// x265 as it is by default.
const H265: &str = "42010101600000030090000003000003003ca00a080b9f796566924caf016808000003000800000300c840";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect()
}

fn with_start_code(unit: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1], unit].concat()
}

fn avcc(unit: &[u8]) -> Vec<u8> {
    let length = u16::try_from(unit.len()).unwrap().to_be_bytes();
    [&[1, unit[1], unit[2], unit[3], 0xff, 0xe1][..], &length, unit, &[0]].concat()
}

fn hvcc(unit: &[u8]) -> Vec<u8> {
    let length = u16::try_from(unit.len()).unwrap().to_be_bytes();
    let mut record = vec![0; 21];
    record[0] = 1;
    // An array with another parameter set stands first.
    record.extend([0xff, 2, 0x20, 0, 1, 0, 2, 0x40, 1, 0x21, 0, 1]);
    [&record[..], &length, unit].concat()
}

fn of_private(codec: &str, private: &[u8]) -> (ParameterSets, Option<Reordering>) {
    let track = test::video(codec, private);
    ParameterSets::new(&track_caps(&track).unwrap(), track.codec_private.as_ref()).unwrap()
}

/// What an SPS says that differs from that of x264.
fn changed(change: impl FnOnce(&mut SeqParameterSet)) -> Reordering {
    let unit = bytes(H264);
    let mut sequence = SeqParameterSet::from_bits(BitReader::new(ByteReader::skipping_h264_header(&unit[..]))).unwrap();
    change(&mut sequence);
    let mut unit = vec![0x67];
    sequence.write_bits(&mut BitWriter::new(ByteWriter::new(&mut unit))).unwrap();
    let (_, found) = of_private("V_MPEG4/ISO/AVC", &avcc(&unit));
    found.unwrap()
}

fn silent(sequence: &mut SeqParameterSet) {
    sequence.vui_parameters.as_mut().unwrap().bitstream_restrictions = None;
}

#[test]
fn both_codecs_say_it_in_every_form_of_codec_private() {
    let h264 = Reordering { depth: 2, spacing: Some(40_000_000) };
    let h265 = Reordering { depth: 2, spacing: None };
    for (codec, private, expected) in [
        ("V_MPEG4/ISO/AVC", avcc(&bytes(H264)), h264),
        ("V_MPEG4/ISO/AVC", with_start_code(&bytes(H264)), h264),
        ("V_MPEGH/ISO/HEVC", hvcc(&bytes(H265)), h265),
        ("V_MPEGH/ISO/HEVC", with_start_code(&bytes(H265)), h265),
    ] {
        assert_eq!(of_private(codec, &private).1, Some(expected), "{codec} {private:02x?}");
    }
    gst::init().unwrap();
    assert!(ParameterSets::new(&gst::Caps::new_empty_simple("video/x-vp8"), None).is_none());
}

#[test]
fn a_keyframe_says_it_anew_where_it_differs() {
    for (codec, private, unit, delimiter, picture) in [
        ("V_MPEG4/ISO/AVC", avcc(&bytes(H264)), bytes(H264), [9, 0x10], [0x65, 0x88]),
        ("V_MPEGH/ISO/HEVC", hvcc(&bytes(H265)), bytes(H265), [0x46, 1], [0x26, 1]),
    ] {
        let frame = |units: &[&[u8]], in_lengths: bool| -> Vec<u8> {
            let framed = units.iter().map(|unit| {
                let length = u32::try_from(unit.len()).unwrap().to_be_bytes();
                [if in_lengths { &length[..] } else { &[0, 0, 1][..] }, unit].concat()
            });
            framed.collect::<Vec<_>>().concat()
        };
        let (mut sets, said) = of_private(codec, &private);
        let said = said.unwrap();
        let mut other = unit.clone();
        *other.last_mut().unwrap() ^= 0x08;
        let frames = [
            (frame(&[&delimiter, &unit, &picture], true), false),
            (frame(&[&delimiter, &other, &picture], true), true),
            (frame(&[&delimiter, &other, &picture], true), false),
            // Behind a picture, another frame would begin.
            (frame(&[&picture, &unit], true), false),
            (frame(&[&unit], true), true),
        ];
        for (frame, news) in frames {
            let whole = sets.clone().of_keyframe(&Pieces::One(frame.clone().into()));
            assert_eq!(whole.map(|found| found.depth), news.then_some(said.depth), "{codec}");
            // One byte at a time.
            let pieces = frame.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
            assert_eq!(sets.of_keyframe(&Pieces::Many(pieces)), whole);
        }

        // Without CodecPrivate, frames have start codes.
        let (mut sets, said) = of_private(codec, &[]);
        assert_eq!(said, None);
        let mut keyframe = |units: &[&[u8]]| sets.of_keyframe(&Pieces::One(frame(units, false).into()));
        assert_eq!(keyframe(&[&delimiter, &picture]), None);
        assert_eq!(keyframe(&[&delimiter, &unit, &picture]).map(|found| found.depth), Some(2));
        assert_eq!(keyframe(&[&delimiter, &unit, &picture]), None);
    }
}

#[test]
fn what_does_not_say_it_is_told_by_its_profile() {
    let with = |profile: u8, flags: u8| {
        changed(|sequence| {
            silent(sequence);
            sequence.profile_idc = profile.into();
            sequence.constraint_flags = ConstraintFlags::from(flags);
        })
        .depth
    };
    for (profile, flags) in
        [(66, 0), (66, 0x40), (77, 0x04), (100, 0x0c), (110, 0x10), (122, 0x10), (244, 0x10), (44, 0)]
    {
        assert_eq!(with(profile, flags), 0, "profile {profile}, flags {flags:#x}");
    }
    for (profile, flags) in [(77, 0), (77, 0x10), (88, 0), (100, 0), (110, 0), (122, 0), (244, 0)] {
        assert_eq!(with(profile, flags), 3, "profile {profile}, flags {flags:#x}");
    }
}

#[test]
fn what_no_profile_tells_is_told_by_references_and_counting() {
    let references = |references: u32| {
        changed(|sequence| {
            silent(sequence);
            sequence.max_num_ref_frames = references;
        })
        .depth
    };
    assert_eq!([0, 1, 2, 4, 16].map(references), [0, 0, 1, 3, 4]);
    let in_order = changed(|sequence| {
        silent(sequence);
        sequence.pic_order_cnt = PicOrderCntType::TypeTwo;
    });
    assert_eq!(in_order.depth, 0);
    assert_eq!(changed(|sequence| sequence.vui_parameters = None), Reordering { depth: 3, spacing: None });
    let told = |depth: u32| {
        changed(|sequence| {
            sequence.level_idc = 10;
            let vui = sequence.vui_parameters.as_mut().unwrap();
            let told = BitstreamRestrictions {
                max_num_reorder_frames: depth,
                max_dec_frame_buffering: 16,
                ..Default::default()
            };
            vui.bitstream_restrictions = Some(told);
        })
        .depth
    };
    assert_eq!([0, 1, 16].map(told), [0, 1, 16]);
}

#[test]
fn distances_of_frames_that_cannot_be_are_not_known() {
    let spacing = |units: u32, scale: u32| {
        let timing = TimingInfo { num_units_in_tick: units, time_scale: scale, fixed_frame_rate_flag: true };
        changed(|sequence| sequence.vui_parameters.as_mut().unwrap().timing_info = Some(timing)).spacing
    };
    assert_eq!(spacing(1001, 60000), Some(33_366_666));
    assert_eq!(spacing(1, 10), Some(200_000_000));
    for (units, scale) in [(0, 50), (1, 0), (1, 2_000), (u32::MAX, 1), (1, u32::MAX)] {
        assert_eq!(spacing(units, scale), None, "{units}/{scale}");
    }
}

#[test]
fn what_makes_no_sense_is_taken_for_a_stream_with_pictures_out_of_order() {
    for (codec, private) in [
        ("V_MPEG4/ISO/AVC", avcc(&[0x67, 100, 0, 12])),
        ("V_MPEG4/ISO/AVC", avcc(&[0x67, 100, 0, 12, 0, 0, 3])),
        ("V_MPEGH/ISO/HEVC", hvcc(&bytes(H265)[..8])),
    ] {
        assert_eq!(of_private(codec, &private).1, Some(unknown()));
    }
    assert_eq!(of_private("V_MPEG4/ISO/AVC", &[1, 100, 0, 12, 0xff, 0xe0, 0]).1, None);
}

fn any_parameter_set() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let near = |hex: &'static str| {
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4).prop_map(move |changes| {
            let mut unit = bytes(hex);
            for (index, byte) in changes {
                let at = index.index(unit.len());
                unit[at] = byte;
            }
            unit
        })
    };
    let noise = || proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(1)], 4..100);
    prop_oneof![
        prop_oneof![near(H264), noise()].prop_map(|unit| ("V_MPEG4/ISO/AVC", unit)),
        prop_oneof![near(H265), noise()].prop_map(|unit| ("V_MPEGH/ISO/HEVC", unit)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_can_be_read((codec, unit) in any_parameter_set(), lengths in any::<bool>(), cut in 0_usize..100) {
        let mut private = match (lengths, codec) {
            (false, _) => with_start_code(&unit),
            (true, "V_MPEG4/ISO/AVC") => avcc(&unit),
            (true, _) => hvcc(&unit),
        };
        private.truncate(private.len().saturating_sub(cut).max(23));
        private.resize(private.len().max(23), 0);
        if let Ok(caps) = track_caps(&test::video(codec, &private)) {
            let (mut sets, said) = ParameterSets::new(&caps, Some(&private.clone().into())).unwrap();
            prop_assert!(said.is_none_or(|said| said.depth <= crate::fragment::MAX_DEPTH));
            sets.of_keyframe(&Pieces::One(unit.into()));
        }
    }
}
