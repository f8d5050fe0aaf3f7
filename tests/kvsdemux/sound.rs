//! Sound whose header does not say all, or says what is not to be heard.

use super::bench::Bench;
use super::body::{Block, Fragment, START_MS, Track, body, element, unsigned};
use super::support::{Outcome, STREAM, emulator, emulator_with_body, init, run, run_to_end, source};

/// Samples of one channel behind a decoder.
fn samples(description: &str) -> usize {
    let caps = "audio/x-raw,format=S16LE,channels=1,layout=interleaved";
    let outcome = run(&format!("{description} ! audioconvert"), caps).ok();
    outcome.frames.iter().map(|frame| frame.bytes.len() / 2).sum()
}

/// A file that ffmpeg makes of five seconds of a tone.
fn tone(folder: &tempfile::TempDir, name: &str, encoding: &[&str]) -> std::path::PathBuf {
    let path = folder.path().join(name);
    let input = "sine=frequency=440:sample_rate=48000:duration=5";
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", input])
        .args(encoding)
        .arg(&path)
        .status()
        .expect("ffmpeg is missing");
    assert!(made.success());
    path
}

/// The samples that ffmpeg decodes in a file.
fn samples_of_ffmpeg(path: &std::path::Path) -> usize {
    let decoded = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "s16le", "-ac", "1", "-"])
        .output()
        .expect("ffmpeg is missing");
    assert!(decoded.status.success());
    decoded.stdout.len() / 2
}

#[test]
fn opus_is_as_long_as_what_was_encoded() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = tone(&folder, "tone.webm", &["-c:a", "libopus", "-b:a", "32k"]);
    assert_eq!(samples_of_ffmpeg(&path), 240_000);
    assert_eq!(samples(&format!("filesrc location={} ! kvsdemux ! opusdec", path.display())), 240_000);
    let bytes = std::fs::read(&path).unwrap();
    let verbatim = emulator_with_body(bytes.clone());
    let stored = emulator();
    stored.import_bytes_at(STREAM, bytes, START_MS).unwrap();
    for emulator in [verbatim, stored] {
        for through in ["", "kvsdemux ! ", "matroskademux ! "] {
            assert_eq!(samples(&format!("{} ! {through}opusdec", source(&emulator))), 240_000, "{through}");
        }
    }
}

/// An Opus frame of one channel and 20 ms, that says so and holds silence.
const OPUS_FRAME: [u8; 3] = [0x78 | 0x80, 0xFF, 0xFE];

/// What the clipping metas of the buffers say, in samples.
fn clippings(bench: &Bench) -> Vec<(u64, u64)> {
    let buffers = bench.outlet("audio_0").buffers();
    let clipping = |buffer: &gst::Buffer| {
        let meta = buffer.meta::<gst_audio::AudioClippingMeta>();
        meta.map_or((0, 0), |meta| {
            assert_eq!(meta.start().format(), gst::Format::Default);
            (meta.start().value() as u64, meta.end().value() as u64)
        })
    };
    buffers.iter().map(clipping).collect()
}

#[test]
fn clippings_are_the_delay_before_zero_and_the_padding_of_blocks() {
    let head = [&b"OpusHead\x01\x01"[..], &[0x38, 1], &16_000_u32.to_le_bytes(), &[0, 0, 0]].concat();
    let audio = element(&[0xE1], &[element(&[0xB5], &16_000_f64.to_be_bytes()), unsigned(&[0x9F], 1)].concat());
    // 26.5 ms: more than the first frame.
    let more = [audio, unsigned(&[0x56, 0xAA], 26_500_000), unsigned(&[0x23, 0xE3, 0x83], 20_000_000)].concat();
    let mut fragment = Fragment::audio(0, 0);
    fragment.tracks = vec![Track { codec: "A_OPUS", private: head, more, ..Track::alaw(1, "tone") }];
    let group = |time: u8, padding: i64| {
        let block = [&[0x81, 0, time, 0][..], &OPUS_FRAME].concat();
        let padding = element(&[0x75, 0xA2], &padding.to_be_bytes());
        element(&[0xA0], &[element(&[0xA1], &block), padding].concat())
    };
    let blocks = [group(0, 0), group(20, 0), group(40, -5_000_000), group(60, 13_500_000), group(80, i64::MIN)];
    let cluster = [unsigned(&[0xE7], 0), blocks.concat()].concat();
    let bench = Bench::new();
    let bytes = [fragment.until_cluster(), element(&[0x1F, 0x43, 0xB6, 0x75], &cluster)].concat();
    bench.begin_in_bytes().push_bytes(bytes).unwrap();
    // Opus counts in samples of 48 kHz, whatever the Audio element says: 26.5 ms, 6.5 ms, 5 ms, 13.5 ms, and at most a second.
    assert_eq!(clippings(&bench), [(1272, 0), (312, 0), (240, 0), (0, 648), (48_000, 0)]);
    let times: Vec<_> =
        bench.outlet("audio_0").buffers().iter().map(|buffer| (buffer.pts(), buffer.duration())).collect();
    let us = |us| Some(gst::ClockTime::from_useconds(us));
    assert_eq!(times[..3], [(us(0), us(0)), (us(0), us(13_500)), (us(13_500), us(20_000))]);
}

/// Frames of AAC LC, 48 kHz, one channel, in a stream format.
fn aac(stream_format: &str) -> Vec<Vec<u8>> {
    let encoder = "audiotestsrc num-buffers=140 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! avenc_aac";
    let caps = format!("audio/mpeg,stream-format={stream_format}");
    let outcome = run(&format!("{encoder} ! aacparse"), &caps).ok();
    outcome.frames.into_iter().map(|frame| frame.bytes).collect()
}

/// Fragments of ten frames each, with this CodecPrivate, beside a track of pictures if there are any.
fn fragments(frames: &[Vec<u8>], private: impl Fn(u64) -> Vec<u8>, pictures: bool) -> Vec<Fragment> {
    let audio = element(&[0xE1], &[element(&[0xB5], &48_000_f64.to_be_bytes()), unsigned(&[0x9F], 1)].concat());
    let fragment = |(index, frames): (usize, &[Vec<u8>])| {
        let index = index as u64;
        let mut fragment = Fragment::audio(index, 0);
        fragment.cluster = index * 640 / 3;
        fragment.producer_ms = START_MS + fragment.cluster;
        let sound = Track { codec: "A_AAC", private: private(index), more: audio.clone(), ..Track::alaw(2, "tone") };
        let picture = Track { kind: 1, codec: "V_MJPEG", private: Vec::new(), ..Track::alaw(1, "door") };
        fragment.tracks = if pictures { vec![picture, sound] } else { vec![sound] };
        let block = |(at, payload): (usize, &Vec<u8>)| {
            let time = i16::try_from(at * 64 / 3).unwrap();
            let sound = Block { track: 2, time, keyframe: true, payload: payload.clone() };
            let picture = Block { track: 1, payload: vec![0xFF, 0xD8, index as u8, at as u8], ..sound.clone() };
            if pictures { vec![picture, sound] } else { vec![sound] }
        };
        let mut blocks: Vec<_> = frames.iter().enumerate().flat_map(block).collect();
        if index == 0 {
            // Several pictures come before the first frame of sound.
            blocks[..6].sort_by_key(|block| block.track);
        }
        fragment.blocks = blocks;
        fragment
    };
    frames.chunks(10).enumerate().map(fragment).collect()
}

/// What a decoder makes of frames with these caps.
fn decoded(frames: &[Vec<u8>]) -> usize {
    // matroskademux and ffmpeg read the same bytes, so that nothing here judges itself.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.mkv");
    std::fs::write(&path, body(&fragments(frames, |_| Vec::new(), true))).unwrap();
    let decoded = std::process::Command::new("ffmpeg")
        .args(["-v", "quiet", "-i"])
        .arg(&path)
        .args(["-map", "0:a", "-f", "s16le", "-ac", "1", "-"])
        .output()
        .expect("ffmpeg is missing");
    decoded.stdout.len() / 2
}

fn track_of(outcome: &Outcome) -> (String, i32) {
    let caps = outcome.caps.last().unwrap().structure(0).unwrap().to_owned();
    (caps.get("stream-format").unwrap(), caps.get("rate").unwrap())
}

#[test]
fn aac_without_codec_private_is_heard() {
    init();
    for stream_format in ["raw", "adts"] {
        let frames = aac(stream_format);
        assert!(frames.len() > 90);
        let expected = decoded(&frames);
        assert!(expected > 90 * 1024, "{expected}");
        for pictures in [false, true] {
            let bytes = body(&fragments(&frames, |_| Vec::new(), pictures));
            let emulator = emulator_with_body(bytes.clone());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            for read in [
                format!("{} track=2", source(&emulator)),
                format!("{} ! kvsdemux name=d d.audio_0", source(&emulator)),
                format!("filesrc location={} ! kvsdemux name=d d.audio_0", file.path().display()),
                format!("filesrc location={} blocksize=1000 ! kvsdemux name=d d.audio_0", file.path().display()),
            ] {
                let outcome = run(&read, "audio/mpeg").ok();
                assert_eq!(track_of(&outcome), (stream_format.to_owned(), 48_000), "{read}");
                assert!(outcome.payloads().iter().eq(frames.iter()), "{read}");
                let times: Vec<u64> = (0..frames.len() as u64).map(|at| at / 10 * 640 / 3 + at % 10 * 64 / 3).collect();
                assert_eq!(outcome.pts_ms(), times, "{read}");
                let samples = samples(&format!("{read} ! aacparse ! avdec_aac"));
                assert!(samples.abs_diff(expected) <= 2048, "{samples} and {expected}: {read}");
            }
        }
    }
}

/// What is held back until the first frame of sound has come keeps its times, its metas and its order.
#[test]
fn what_is_held_back_for_a_first_frame_comes_as_it_was() {
    init();
    let frames = aac("raw");
    let described = fragments(&frames, |_| vec![0x11, 0x88], true);
    let bare = fragments(&frames, |_| Vec::new(), true);
    let read = |fragments: &[Fragment], pad: &str| {
        let emulator = emulator_with_body(body(fragments));
        let outcome = run(&format!("{} ! kvsdemux name=d d.{pad}", source(&emulator)), "ANY").ok();
        let rows = outcome.frames.into_iter().map(|frame| (frame.pts, frame.captured, frame.flags, frame.bytes));
        rows.collect::<Vec<_>>()
    };
    for pad in ["video_0", "audio_0"] {
        assert_eq!(read(&bare, pad), read(&described, pad), "{pad}");
    }
}

/// A track that has no frame for a while keeps no other one waiting.
#[test]
fn sound_that_does_not_come_holds_nothing_back_for_long() {
    let frames = vec![vec![0x21, 0x10, 4]; 10];
    let mut fragment = fragments(&frames, |_| Vec::new(), true).remove(0);
    fragment.blocks.retain(|block| block.track == 1);
    for (at, block) in fragment.blocks.iter_mut().enumerate() {
        block.time = i16::try_from(at * 200).unwrap();
    }
    let bench = Bench::new();
    let whole = body(std::slice::from_ref(&fragment));
    let cut = whole.len() - whole.rsplit(|byte| *byte == 0xD8).take(3).map(|rest| rest.len() + 1).sum::<usize>();
    bench.begin_in_bytes().push_bytes(&whole[..cut]).unwrap();
    assert!(bench.outlet("video_0").buffers().len() >= 6);
    bench.push_bytes(&whole[cut..]).unwrap();
    assert!(bench.end());
    assert_eq!(bench.outlet("video_0").buffers().len(), 10);
    // One that is over at once, too.
    fragment.blocks.truncate(2);
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&[fragment])).unwrap();
    assert!(bench.end());
    assert_eq!(bench.outlet("video_0").buffers().len(), 2);
}

#[test]
fn a_private_that_comes_later_is_taken_over() {
    init();
    let frames = aac("raw");
    let late = |index| if index == 0 { Vec::new() } else { vec![0x11, 0x88] };
    let emulator = emulator_with_body(body(&fragments(&frames, late, false)));
    for read in [source(&emulator), format!("{} ! kvsdemux", source(&emulator))] {
        assert!(run(&read, "audio/mpeg").ok().payloads().iter().eq(frames.iter()), "{read}");
    }
}

#[test]
fn a_first_fragment_that_nothing_describes_is_a_warning_and_a_gap() {
    init();
    let frames = aac("raw");
    let late = |index| if index == 0 { vec![0x11] } else { vec![0x11, 0x88] };
    let emulator = emulator_with_body(body(&fragments(&frames, late, false)));
    for read in [source(&emulator), format!("{} ! kvsdemux", source(&emulator))] {
        let outcome = run(&read, "audio/mpeg").ok();
        assert!(outcome.payloads().iter().eq(frames[10..].iter()), "{read}");
        assert_eq!(outcome.pts_ms()[0], 213, "{read}");
        assert!(outcome.frames[0].flags.contains(gst::BufferFlags::DISCONT), "{read}");
        let [(_, debug)] = &outcome.warnings[..] else { panic!("{:?}", outcome.warnings) };
        assert!(debug.contains("shorter than an AudioSpecificConfig"), "{debug}");
    }
    // Where none ever does, that is an error.
    for count in [3, 12] {
        let never = fragments(&frames, |_| vec![0x11], false);
        let emulator = emulator_with_body(body(&never[..count]));
        run(&source(&emulator), "audio/mpeg").failed(gst::CoreError::Negotiation);
        run_to_end(&format!("{} ! kvsdemux ! fakesink", source(&emulator))).failed(gst::StreamError::CodecNotFound);
    }
}

/// Start codes with zeros before them: what h264parse and a decoder make of it is what they make of an avcC.
#[test]
fn parameter_sets_behind_start_codes_of_any_length() {
    init();
    let encoder = "videotestsrc num-buffers=20 ! video/x-raw,width=64,height=64 ! x264enc key-int-max=10 bframes=0";
    let outcome = run(&format!("{encoder} ! h264parse"), "video/x-h264,stream-format=byte-stream,alignment=au").ok();
    let frames: Vec<Vec<u8>> = outcome.frames.into_iter().map(|frame| frame.bytes).collect();
    // An access unit begins with the parameter sets: up to the slice, they are a CodecPrivate.
    let first = &frames[0];
    let unit = |kind: u8| {
        let starts: Vec<usize> = (0..first.len() - 4).filter(|at| first[*at..].starts_with(&[0, 0, 1])).collect();
        let at = *starts.iter().find(|at| first[**at + 3] & 0x1F == kind).unwrap();
        let end = starts.iter().find(|start| **start > at).map_or(first.len(), |end| *end);
        let unit = &first[at + 3..end];
        unit[..unit.len() - usize::from(unit.ends_with(&[0]))].to_vec()
    };
    let code = [0, 0, 0, 0, 1];
    let private = [&code[..], &unit(7), &code, &unit(8)].concat();
    let mut fragment = Fragment::audio(0, 0);
    fragment.tracks = vec![Track { kind: 1, codec: "V_MPEG4/ISO/AVC", private, ..Track::alaw(1, "door") }];
    let block = |(at, payload): (usize, &Vec<u8>)| Block {
        track: 1,
        time: at as i16 * 40,
        keyframe: at % 10 == 0,
        payload: payload.clone(),
    };
    fragment.blocks = frames.iter().enumerate().map(block).collect();
    let emulator = emulator_with_body(body(&[fragment]));
    for read in [source(&emulator), format!("{} ! kvsdemux", source(&emulator))] {
        let pictures = run(&format!("{read} ! h264parse ! avdec_h264"), "video/x-raw").ok();
        assert_eq!(pictures.frames.len(), 20, "{read}");
    }
}
