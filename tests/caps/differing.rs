//! Where our caps differ from matroskademux's, and why.

use gstkvs::output::caps::track_caps;

use crate::matroska::{Entry, audio, file, video};
use crate::private::{Bits, opus_head, wave};
use crate::{differences, read, tracks};

/// The fields that differ for one track, without their values.
fn differing(entry: Entry) -> Vec<String> {
    let [(track, theirs)] = &tracks(&[entry])[..] else { panic!("one track") };
    differences(track, theirs).iter().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

/// Releases of GStreamer that count the LFE as a full channel find no level for 7.1; newer ones do.
#[test]
fn aac_with_seven_one_channels() {
    let private = Bits::default().put(5, 2).put(4, 3).put(4, 7).bytes();
    let fields = differing(audio("A_AAC", private, 48_000.0, 8, 16));
    assert!(fields.is_empty() || fields == ["level"], "{fields:?}");
}

/// matroskademux makes a configuration of 8 for eight channels, which is reserved; 7 is the one with eight.
#[test]
fn aac_by_codec_id_with_eight_channels() {
    assert_eq!(differing(audio("A_AAC/MPEG4/LC", Vec::new(), 48_000.0, 8, 16)), ["codec_data"]);
}

/// A private that is no av1C would mislead parsers.
#[test]
fn av1_with_other_private() {
    assert_eq!(differing(video("V_AV1", vec![0x0a, 0x0b, 0, 0, 0], &[])), ["codec_data"]);
}

/// Raw audio of more than two channels without a mask is what no element takes.
#[test]
fn wave_without_channel_order() {
    for channels in [3, 7_u16] {
        let private = wave(1, channels, 48_000, channels * 2, 16, b"");
        assert_eq!(differing(audio("A_MS/ACM", private, 48_000.0, channels.into(), 16)), ["channel-mask"]);
    }
}

/// Without an Audio element matroskademux takes the defaults, 8000 Hz and one channel, over what CodecPrivate knows.
#[test]
fn a_track_without_audio_element() {
    let entry = |codec_id, codec_private| Entry { kind: 2, codec_id, codec_private, ..Entry::default() };
    assert_eq!(differing(entry("A_AAC", vec![0x11, 0x90])), ["channels"]);
    assert_eq!(differing(entry("A_MS/ACM", wave(7, 2, 16_000, 2, 8, b""))), ["rate", "channels"]);
    assert_eq!(differing(entry("A_MS/ACM", wave(7, 1, 8000, 1, 8, b""))), [""; 0]);
    let opus = differing(entry("A_OPUS", opus_head(2, 312, 48_000, 0, b"")));
    assert_eq!(opus, ["rate", "channels", "streamheader"]);
}

/// CodecPrivate and frames with start codes: called "avc" by matroskademux, which no parser can follow.
#[test]
fn h264_and_h265_with_start_codes() {
    let h264 = [&[0, 0, 0, 1, 0x67, 77, 0x40, 30][..], &[0xaa, 0xbb], &[0, 0, 0, 1, 0x68, 1]].concat();
    let h265 =
        [&[0, 0, 1, 0x40, 1, 9][..], &[0, 0, 1, 0x42, 1, 1], &[1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93]].concat();
    // With the bytes that prevent start codes in it, as encoders write it, and any number of zeros before.
    let prevented = [
        &[0, 0, 0, 0, 1, 0x40, 1, 9][..],
        &[0, 0, 0, 0, 1, 0x42, 1, 1],
        &[1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 93],
    ]
    .concat();
    let zeros = [&[0, 0][..], &h264].concat();
    for (codec_id, private, expected) in [
        (
            "V_MPEG4/ISO/AVC",
            h264,
            "video/x-h264, level=(string)3, profile=(string)main, stream-format=(string)byte-stream",
        ),
        (
            "V_MPEGH/ISO/HEVC",
            h265,
            "video/x-h265, level=(string)3.1, tier=(string)main, profile=(string)main, stream-format=(string)byte-stream",
        ),
        (
            "V_MPEG4/ISO/AVC",
            zeros,
            "video/x-h264, level=(string)3, profile=(string)main, stream-format=(string)byte-stream",
        ),
        (
            "V_MPEGH/ISO/HEVC",
            prevented,
            "video/x-h265, level=(string)3.1, tier=(string)main, profile=(string)main, stream-format=(string)byte-stream",
        ),
    ] {
        let [(track, theirs)] = &tracks(&[video(codec_id, private, &[])])[..] else { panic!("one track") };
        let theirs = theirs.structure(0).expect("one structure").get::<&str>("stream-format");
        assert!(matches!(theirs, Ok("avc" | "hvc1")), "{theirs:?}");
        let caps = track_caps(track).expect("caps").to_string();
        assert_eq!(caps, format!("{expected}, width=(int)640, height=(int)360, framerate=(fraction)0/1"));
    }
}

/// What has no elementary caps here is an unknown or a guess of matroskademux.
#[test]
fn refused() {
    let cases = [
        (video("V_THEORA", vec![2], &[]), "codec V_THEORA has no elementary format"),
        (audio("A_AC3", vec![], 48_000.0, 2, 16), "codec A_AC3 has no elementary format"),
        (audio("A_AAC", vec![], 48_000.0, 2, 16), "codec A_AAC needs a CodecPrivate and the track has none"),
        (
            audio("A_PCM/INT/LIT", vec![], 48_000.0, 2, 20),
            "codec A_PCM/INT/LIT with 20 bits a sample has no elementary format",
        ),
        (
            audio("A_PCM/FLOAT/IEEE", vec![], 48_000.0, 2, 16),
            "codec A_PCM/FLOAT/IEEE with 16 bits a sample has no elementary format",
        ),
        (
            audio("A_MS/ACM", wave(2, 2, 48_000, 4, 4, b""), 48_000.0, 2, 4),
            "codec A_MS/ACM with format tag 0x0002 has no elementary format",
        ),
        (
            video("V_MS/VFW/FOURCC", [&[0; 16][..], b"H264", &[0; 20]].concat(), &[]),
            "codec V_MS/VFW/FOURCC with FourCC 'H264' has no elementary format",
        ),
    ];
    let entries: Vec<_> = cases.iter().map(|(entry, _)| entry.clone()).collect();
    let (ours, _) = read(&file(&entries));
    gst::init().expect("GStreamer");
    for (track, (_, reason)) in ours.iter().zip(cases) {
        assert_eq!(track_caps(track).expect_err(&track.codec_id).to_string(), reason);
    }
}
