//! Tracks that no encoder at hand writes: every field of a TrackEntry that caps tell of, in many values.

use crate::matroska::{Entry, audio, master, uint, video};
use crate::private::{Bits, opus_head, wave};
use crate::{differences, tracks};

/// All entries have equal caps.
fn judge(entries: &[Entry]) {
    assert!(!entries.is_empty());
    for (track, theirs) in tracks(entries) {
        let lines = differences(&track, &theirs);
        assert!(lines.is_empty(), "{track:?}\nmatroskademux: {theirs}\n{}", lines.join("\n"));
    }
}

/// A known sequence of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.next()).expect("31 bits") % values.len()]
    }
}

#[test]
fn frame_rates() {
    let mut numbers = Numbers(1);
    let common = [
        1,
        2,
        3,
        999,
        63_000,
        100_000,
        100_001,
        1_000_000,
        4_166_666,
        8_333_333,
        16_666_666,
        16_666_667,
        16_683_333,
        16_700_000,
        20_000_000,
        33_000_000,
        33_333_333,
        33_366_666,
        33_366_667,
        40_000_000,
        41_666_666,
        41_708_333,
        66_666_667,
        83_416_667,
        133_333_333,
        200_000_000,
        400_400_000,
        999_999_999,
        1_000_000_000,
        2_000_000_000,
        10_000_000_000,
        10_010_000_000,
        3_600_000_000_000,
        20_000_000_000_000,
    ];
    let random = (0..600).map(|_| numbers.next() << (numbers.next() % 12) >> (numbers.next() % 24));
    let entries: Vec<_> = common
        .into_iter()
        .chain(random)
        .filter(|duration| *duration > 0)
        .map(|duration| Entry { default_duration: Some(duration), ..video("V_VP8", Vec::new(), &[]) })
        .collect();
    judge(&entries);
}

#[test]
fn display_sizes() {
    let sizes = [None, Some(0), Some(1), Some(16), Some(360), Some(640), Some(1024), Some(1919)];
    let entries: Vec<_> = sizes
        .into_iter()
        .flat_map(|width| sizes.map(|height| (width, height)))
        .flat_map(|size| [0, 1, 2, 3, 4].map(|unit| (size, unit)))
        .map(|((width, height), unit)| {
            let settings = [width.map(|width| uint(0x54b0, width)), height.map(|height| uint(0x54ba, height))];
            let settings: Vec<_> = settings.into_iter().flatten().chain([uint(0x54b2, unit)]).collect();
            video("V_VP9", Vec::new(), &settings)
        })
        .collect();
    judge(&entries);
}

#[test]
fn a_track_without_picture_size() {
    judge(&[Entry { kind: 1, codec_id: "V_VP8", settings: vec![uint(0x9a, 2)], ..Entry::default() }]);
}

#[test]
fn interlacing() {
    let entries: Vec<_> = (0..4)
        .flat_map(|interlaced| [0, 1, 2, 6, 9, 14, 77].map(|order| (interlaced, order)))
        .map(|(interlaced, order)| video("V_MJPEG", Vec::new(), &[uint(0x9a, interlaced), uint(0x9d, order)]))
        .chain([video("V_MJPEG", Vec::new(), &[uint(0x9a, 1)])])
        .collect();
    judge(&entries);
}

#[test]
fn colours() {
    let mut numbers = Numbers(2);
    let colour = |[matrix, transfer, primaries, range]: [u64; 4]| {
        let children = [uint(0x55b1, matrix), uint(0x55ba, transfer), uint(0x55bb, primaries), uint(0x55b9, range)];
        video("V_VP9", Vec::new(), &[master(0x55b0, &children)])
    };
    let single = (0..26_u64).flat_map(|code| {
        [[0x55b1, 0x55ba], [0x55bb, 0x55b9]]
            .concat()
            .into_iter()
            .map(move |id| video("V_VP9", Vec::new(), &[master(0x55b0, &[uint(id, code)])]))
    });
    // What has a name, then anything.
    let named = [
        [5, 6, 6, 1],
        [6, 6, 6, 1],
        [1, 1, 1, 1],
        [7, 7, 7, 1],
        [0, 13, 1, 2],
        [9, 15, 9, 1],
        [9, 14, 9, 1],
        [9, 16, 9, 1],
        [9, 18, 9, 1],
        [1, 1, 1, 2],
        [2, 2, 2, 0],
        [0, 0, 0, 0],
        [6, 2, 2, 2],
    ];
    let random: Vec<_> =
        (0..200).map(|_| [numbers.next() % 24, numbers.next() % 24, numbers.next() % 24, numbers.next() % 4]).collect();
    let entries: Vec<_> = single.chain(named.into_iter().chain(random).map(colour)).collect();
    judge(&entries);
}

#[test]
fn h264_profiles_and_levels() {
    let mut numbers = Numbers(3);
    let profiles = [44, 66, 77, 83, 86, 88, 100, 110, 118, 122, 128, 244, 0, 99];
    let levels = [9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62, 0, 14, 255];
    let all_profiles = profiles.into_iter().flat_map(|profile| (0..64_u8).map(move |flags| (profile, flags << 2)));
    let entries: Vec<_> = all_profiles
        .map(|(profile, flags)| {
            let private = vec![1, profile, flags, numbers.of(&levels), 0xff, 0xe1, 0, 0];
            video("V_MPEG4/ISO/AVC", private, &[])
        })
        .chain(levels.map(|level| video("V_MPEG4/ISO/AVC", vec![1, 77, 0x10, level, 0xff, 0xe1, 0, 0], &[])))
        .collect();
    judge(&entries);
}

#[test]
fn h265_profiles_tiers_and_levels() {
    let mut numbers = Numbers(4);
    let levels = [0, 1, 30, 60, 63, 90, 93, 120, 123, 150, 153, 156, 180, 183, 186, 210, 255];
    let constraints: [u8; 8] = [0x00, 0x0f, 0x07, 0x0e, 0x01, 0x09, 0x0d, 0xff];
    let entries: Vec<_> = (0..1500)
        .map(|_| {
            let byte = |numbers: &mut Numbers| numbers.next().to_be_bytes()[7];
            let mut private = vec![0; 23];
            private[0] = 1;
            private[1] =
                byte(&mut numbers) & 0xe0 | numbers.of(&[0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12, 31]);
            // Mostly one compatibility flag or none, sometimes any.
            let one = 0x8000_0000_u32 >> (numbers.next() % 14);
            let flags = numbers.of(&[0, 0, one]);
            let flags = if numbers.of(&[true, false, false, false]) {
                u32::try_from(numbers.next()).expect("31 bits")
            } else {
                flags
            };
            private[2..6].copy_from_slice(&flags.to_be_bytes());
            private[6] = byte(&mut numbers) & 0xf0 | numbers.of(&constraints) & 0x0f;
            let any = byte(&mut numbers);
            private[7] = numbers.of(&[0x08, 0x00, 0x88, 0xc8, 0xe8, 0x20, 0xa0, 0x30, 0x0c, 0x8c, any]);
            private[12] = numbers.of(&levels);
            video("V_MPEGH/ISO/HEVC", private, &[])
        })
        .collect();
    judge(&entries);
}

#[test]
fn video_without_codec_private() {
    judge(
        &["V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC", "V_VP8", "V_VP9", "V_AV1", "V_MJPEG"].map(|id| video(id, vec![], &[])),
    );
}

#[test]
fn av1_with_codec_private() {
    judge(&[video("V_AV1", vec![0x81, 0x05, 0x0c, 0x00, 0x0a, 0x0b], &[])]);
}

#[test]
fn motion_jpeg_in_video_for_windows() {
    let header = |fourcc: &[u8; 4], extra: &[u8]| {
        let mut header = vec![40, 0, 0, 0, 0x20, 3, 0, 0, 0x58, 2, 0, 0, 1, 0, 24, 0];
        header.extend(fourcc);
        header.resize(40, 0);
        header.extend(extra);
        header
    };
    judge(&[
        video("V_MS/VFW/FOURCC", header(b"MJPG", b""), &[]),
        video("V_MS/VFW/FOURCC", header(b"MJPG", b"extra"), &[]),
        video("V_MS/VFW/FOURCC", header(b"JPEG", b""), &[]),
        Entry { settings: vec![uint(0x9a, 0)], ..video("V_MS/VFW/FOURCC", header(b"MJPG", b""), &[]) },
    ]);
}

#[test]
fn aac_configurations() {
    // Level for an LFE: see `aac_with_seven_one_channels`.
    let channel_configurations = [0, 1, 2, 3, 4, 5, 6, 8, 15];
    let mut entries = Vec::new();
    for object_type in [1, 2, 3, 4, 5, 29, 23, 0] {
        for index in [0, 1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 15] {
            for channels in channel_configurations {
                let mut bits = Bits::default().put(5, object_type).put(4, index);
                if index == 15 {
                    bits = bits.put(24, 44_100);
                }
                bits = bits.put(4, channels);
                if matches!(object_type, 5 | 29) {
                    bits = bits.put(4, index.saturating_sub(3)).put(5, 2);
                }
                entries.push(audio("A_AAC", bits.bytes(), 24_000.0, 2, 16));
            }
        }
    }
    // Sync extensions that say yes and no, an escaped object type, and one cut short.
    for private in
        [&[0x12, 0x10, 0x56, 0xe5, 0xa0][..], &[0x11, 0x90, 0x56, 0xe5, 0x00], &[0xf9, 0x48, 0x40], &[0x17, 0x80]]
    {
        entries.push(audio("A_AAC", private.to_vec(), 44_100.0, 1, 16));
    }
    judge(&entries);
}

#[test]
fn aac_by_codec_id() {
    let mut entries = Vec::new();
    for codec_id in [
        "A_AAC/MPEG2/MAIN",
        "A_AAC/MPEG2/LC",
        "A_AAC/MPEG2/LC/SBR",
        "A_AAC/MPEG2/SSR",
        "A_AAC/MPEG4/MAIN",
        "A_AAC/MPEG4/LC",
        "A_AAC/MPEG4/LC/SBR",
        "A_AAC/MPEG4/SSR",
        "A_AAC/MPEG4/LTP",
    ] {
        // On both sides of where the next index begins.
        for rate in [9391, 11_502, 13_856, 18_783, 23_004, 27_713, 37_566, 46_009, 55_426, 75_132, 92_017] {
            entries.extend([rate, rate - 1].map(|rate| audio(codec_id, Vec::new(), f64::from(rate), 2, 16)));
        }
        entries.extend((1..=6).map(|channels| audio(codec_id, Vec::new(), 48_000.0, channels, 16)));
        entries.push(audio(codec_id, vec![0x11, 0x90], 48_000.0, 2, 16));
    }
    judge(&entries);
}

#[test]
fn raw_audio() {
    let mut entries = Vec::new();
    for channels in 1..=10 {
        for codec_id in ["A_PCM/INT/LIT", "A_PCM/INT/BIG"] {
            entries.extend([8, 16, 24, 32].map(|bits| audio(codec_id, Vec::new(), 44_100.0, channels, bits)));
        }
        entries.extend([32, 64].map(|bits| audio("A_PCM/FLOAT/IEEE", Vec::new(), 48_000.0, channels, bits)));
    }
    // The defaults, and a rate that is no integer.
    entries.push(Entry { kind: 2, codec_id: "A_PCM/INT/LIT", ..Entry::default() });
    entries.push(audio("A_PCM/INT/LIT", Vec::new(), 22_050.75, 2, 16));
    judge(&entries);
}

#[test]
fn wave_formats() {
    let mut entries = Vec::new();
    for tag in [6, 7] {
        for (channels, rate) in [(1, 8000), (2, 8000), (1, 16_000), (2, 48_000)] {
            for (bits, align) in [(8, channels), (0, 0), (16, 2 * channels)] {
                for extra in [&b""[..], b"xyz"] {
                    let private = wave(tag, channels, rate, align, bits, extra);
                    entries.push(audio("A_MS/ACM", private, f64::from(rate), channels.into(), 8));
                }
            }
        }
    }
    // Counts of channels that have an order: see `wave_without_channel_order`.
    for channels in [1, 2, 4, 5, 6, 8_u16] {
        for (tag, bits) in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)] {
            let private = wave(tag, channels, 48_000, channels * bits / 8, bits, b"");
            entries.push(audio("A_MS/ACM", private, 48_000.0, channels.into(), bits.into()));
        }
    }
    // The same as WAVEFORMATEXTENSIBLE, with the masks that speakers have.
    for (channels, mask) in [(1, 4), (2, 3), (4, 0x33), (6, 0x3f), (6, 0x60f), (8, 0x63f_u32)] {
        for (tag, bits) in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64_u16)] {
            let mut extra: Vec<u8> = bits.to_le_bytes().into();
            extra.extend(mask.to_le_bytes());
            extra.extend([tag, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
            let private = wave(0xfffe, channels, 48_000, channels * bits / 8, bits, &extra);
            entries.push(audio("A_MS/ACM", private, 48_000.0, channels.into(), bits.into()));
        }
    }
    // 20 bits in 24.
    entries.push(audio("A_MS/ACM", wave(1, 2, 48_000, 6, 20, b""), 48_000.0, 2, 20));
    judge(&entries);
}

#[test]
fn opus_heads() {
    let mut entries = Vec::new();
    for (channels, family, mapping) in [
        (1, 0, &[][..]),
        (2, 0, &[]),
        (1, 1, &[1, 0, 0]),
        (3, 1, &[2, 1, 0, 2, 1]),
        (6, 1, &[4, 2, 0, 4, 1, 2, 3, 5]),
        (8, 1, &[5, 3, 0, 6, 1, 2, 3, 4, 5, 7]),
        (4, 255, &[4, 0, 0, 1, 2, 3]),
    ] {
        for (head_rate, rate) in [(48_000, 48_000.0), (16_000, 16_000.0), (44_100, 48_000.0), (0, 48_000.0)] {
            for delay in [None, Some(0), Some(6_500_000), Some(80_000_000), Some(6_510_416), Some(6_510_417)] {
                let head = opus_head(channels, 312, head_rate, family, mapping);
                entries.push(Entry { codec_delay: delay, ..audio("A_OPUS", head, rate, channels.into(), 16) });
            }
        }
    }
    entries.push(audio("A_OPUS", opus_head(2, 0, 48_000, 0, b"trailing"), 48_000.0, 2, 16));
    entries.push(audio("A_OPUS", Vec::new(), 48_000.0, 1, 16));
    entries.push(audio("A_OPUS", Vec::new(), 16_000.0, 2, 16));
    judge(&entries);
}

#[test]
fn mpeg_audio() {
    judge(&["A_MPEG/L1", "A_MPEG/L2", "A_MPEG/L3"].map(|id| audio(id, Vec::new(), 32_000.0, 1, 16)));
}
