//! What producers of AWS's own send, put by PutMedia and read back: block for block, capture time for capture time.
//!
//! The bodies are recordings of kvssink, and one of the same layout that is made here. What is in them is read by the few
//! lines at the end of this file, which mkvinfo must agree with, and by neither the plugin's reader nor the emulator's.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{Frame, STREAM, capture, emulator, printed, run, source_for_ever};
use super::{body, judges};
use kvs_emulator::Emulator;

/// One block of a body.
#[derive(Debug, PartialEq)]
struct Block {
    track: u8,
    /// By the cluster's time and the block's own, in ns.
    time: u64,
    keyframe: bool,
    payload: Vec<u8>,
}

/// What a body holds.
#[derive(Debug, Default)]
struct Content {
    /// Number and codec of each track.
    tracks: Vec<(u8, String)>,
    /// How many blocks each cluster has.
    clusters: Vec<usize>,
    blocks: Vec<Block>,
}

/// Puts a file as kvssink does, by the library that kvssink uses: the headers of HTTP/1.1 are signed, and an empty payload.
fn put(emulator: &Emulator, file: &Path) -> Vec<serde_json::Value> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--noproxy", "*"]);
    command.args(["--aws-sigv4", &format!("aws:amz:{}:kinesisvideo", emulator.region())]);
    command.args(["--user", &format!("{}:{}", emulator.access_key(), emulator.secret_key())]);
    for header in [
        "connection: keep-alive",
        "transfer-encoding: chunked",
        "expect: 100-continue",
        &format!("x-amzn-stream-name: {STREAM}"),
        "x-amzn-fragment-timecode-type: ABSOLUTE",
        "x-amzn-producer-start-timestamp: 1767607200",
        "x-amzn-fragment-acknowledgment-required: 1",
    ] {
        command.args(["--header", header]);
    }
    command.args(["--request", "POST", "--upload-file"]).arg(file);
    let (answer, _) = printed(command.arg(format!("{}/putMedia", emulator.put_media_url())));
    answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts a body into a stream of its own and reads it back in every way.
#[track_caller]
fn round_trip(file: &Path) {
    let content = read(&std::fs::read(file).unwrap());
    assert_judged_alike(&content, file);
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    let acknowledged = put(&emulator, file);
    let events: Vec<&str> = acknowledged.iter().map(|line| line["EventType"].as_str().unwrap()).collect();
    assert_eq!(events, ["BUFFERING", "RECEIVED", "PERSISTED"].repeat(content.clusters.len()), "{acknowledged:?}");

    let last = content.blocks.iter().map(|block| block.time).max().unwrap();
    let end = jiff::Timestamp::from_millisecond(i64::try_from(last / 1_000_000).unwrap() + 1000).unwrap();
    // On a machine whose clock is behind the recording, the stream ends for want of anything new.
    let source =
        format!("{} start-selector=earliest end-timestamp={end} idle-timeout=10000", source_for_ever(&emulator));
    for (number, codec) in &content.tracks {
        let caps = match codec.as_str() {
            "V_MPEG4/ISO/AVC" => "video/x-h264",
            "V_MPEGH/ISO/HEVC" => "video/x-h265",
            "A_AAC" => "audio/mpeg",
            "A_MS/ACM" => "audio/x-alaw",
            other => panic!("a codec without caps: {other}"),
        };
        let wanted: Vec<&Block> = content.blocks.iter().filter(|block| block.track == *number).collect();
        let elementary = run(&format!("{source} track={number}"), caps).ok();
        assert_eq!(elementary.warnings.len(), 0, "{:?}", elementary.warnings);
        assert_frames(&elementary.frames, &wanted, caps);
        for (frame, block) in elementary.frames.iter().zip(&wanted) {
            assert_eq!(frame.captured, Some(block.time), "{caps}");
            let delta = frame.flags.contains(gst::BufferFlags::DELTA_UNIT);
            // Audio frames stand alone, and kvssink marks none of them beside video.
            assert_eq!(delta, !block.keyframe && caps.starts_with("video"), "{caps}");
        }
        // The same by way of the container, as a stock demuxer takes it apart; of tracks alike the sink gets the first.
        if content.tracks.iter().find(|(_, other)| other == codec).is_some_and(|(first, _)| first == number) {
            let demuxed = run(&format!("{source} ! matroskademux"), caps).ok();
            assert_frames(&demuxed.frames, &wanted, caps);
        }
    }

    let container = run(&source, "video/x-matroska; audio/x-matroska").ok();
    let written = read(&container.frames.iter().flat_map(|frame| &frame.bytes).copied().collect::<Vec<u8>>());
    assert_eq!(written.tracks, content.tracks);
    assert_eq!(written.clusters, content.clusters);
    let first = content.blocks[0].time;
    let began = written.blocks[0].time;
    assert_eq!(written.blocks.len(), content.blocks.len());
    for (written, block) in written.blocks.iter().zip(&content.blocks) {
        assert!(written.payload == block.payload, "other bytes at {}", block.time);
        let (track, keyframe) = (written.track, written.keyframe);
        assert_eq!((track, keyframe, written.time - began), (block.track, block.keyframe, block.time - first));
    }
    let captured = container.frames.iter().filter_map(|frame| frame.captured);
    let mut captured: Vec<u64> = captured.collect();
    captured.dedup();
    let mut wanted: Vec<u64> = content.blocks.iter().map(|block| block.time).collect();
    wanted.dedup();
    assert_eq!(captured, wanted);
}

#[track_caller]
fn assert_frames(frames: &[Frame], wanted: &[&Block], caps: &str) {
    assert_eq!(frames.len(), wanted.len(), "{caps}");
    let (begin, first) = (frames[0].pts.unwrap(), wanted[0].time);
    for (frame, block) in frames.iter().zip(wanted) {
        assert!(frame.bytes == block.payload, "{caps}: other bytes at {}", block.time);
        assert_eq!(frame.pts.map(|pts| pts - begin), Some(block.time - first), "{caps}");
    }
}

#[test]
fn what_kvssink_sends_comes_back() {
    let Some(folder) = capture("kvssink") else { return };
    let mut bodies: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    bodies.retain(|path| path.to_string_lossy().ends_with(".put0.mkv"));
    assert!(!bodies.is_empty(), "a folder without bodies");
    bodies.sort();
    for body in bodies {
        println!("{}", body.display());
        round_trip(&body);
    }
}

#[test]
fn what_is_laid_out_like_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made.mkv");
    std::fs::write(&file, made()).unwrap();
    round_trip(&file);
}

/// Three fragments of two tracks: one header, sizes as kvssink writes them, tags before and between the clusters, one
/// fragment that says its end, and the end of all.
fn made() -> Vec<u8> {
    let start = body::START_MS;
    let ebml = [
        element(&[0x42, 0x86], &[1]),
        element(&[0x42, 0xF7], &[1]),
        element(&[0x42, 0xF2], &[4]),
        element(&[0x42, 0xF3], &[8]),
        element(&[0x42, 0x82], b"matroska"),
        element(&[0x42, 0x87], &[2]),
        element(&[0x42, 0x85], &[2]),
    ];
    let info = [
        element(&[0x73, 0xA4], &[0x4B; 16]),
        element(&[0x2A, 0xD7, 0xB1], &[0x0F, 0x42, 0x40]),
        element(&[0x7B, 0xA9], b"Kinesis Video SDK"),
        element(&[0x4D, 0x80], b"Kinesis Video SDK 1.1.0"),
        element(&[0x57, 0x41], b"Kinesis Video SDK 1.1.0"),
    ];
    let format: [u8; 18] = [6, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 0, 0];
    let track = |number: u8| {
        let sound = [element(&[0xB5], &8000_f64.to_be_bytes()), element(&[0x9F], &[1])].concat();
        let entry = [
            element(&[0xD7], &[number]),
            element(&[0x73, 0xC5], &[0, 0, 0, 0, 0, 0, 0, number]),
            element(&[0x83], &[2]),
            element(&[0x53, 0x6E], b"sound"),
            element(&[0x86], b"A_MS/ACM"),
            element(&[0xE1], &sound),
            element(&[0x63, 0xA2], &format),
        ];
        element(&[0xAE], &entry.concat())
    };
    let end = tag("AWS_KINESISVIDEO_END_OF_FRAGMENT", "");
    [
        element(&[0x1A, 0x45, 0xDF, 0xA3], &ebml.concat()),
        vec![0x18, 0x53, 0x80, 0x67, 0xFF],
        element(&[0x15, 0x49, 0xA9, 0x66], &info.concat()),
        element(&[0x16, 0x54, 0xAE, 0x6B], &[track(1), track(2)].concat()),
        tag("first", "before anything"),
        tag("camera", "front door"),
        cluster(start, 25),
        tag("camera", "front door"),
        cluster(start + 1000, 25),
        tag("camera", "front door"),
        tag("name with an ä", "1"),
        end.clone(),
        // A pause.
        cluster(start + 4567, 7),
        end,
    ]
    .concat()
}

/// Frames of 40 ms in two tracks, the second of which is 13 ms late and has no keyframes.
fn cluster(time: u64, frames: i16) -> Vec<u8> {
    let block = |track: u8, relative: i16, flags: u8| {
        let [high, low] = relative.to_be_bytes();
        let payload = format!("{time}+{relative} of {track}").repeat(usize::from(track) * 20);
        element(&[0xA3], &[&[0x80 | track, high, low, flags], payload.as_bytes()].concat())
    };
    let blocks = (0..frames).flat_map(|frame| [block(1, frame * 40, 0x80), block(2, frame * 40 + 13, 0)].concat());
    let begin = [vec![0x1F, 0x43, 0xB6, 0x75, 0xFF], element(&[0xE7], &time.to_be_bytes()), element(&[0xA7], &[0])];
    begin.concat().into_iter().chain(blocks).collect()
}

fn tag(name: &str, value: &str) -> Vec<u8> {
    let simple = [element(&[0x45, 0xA3], name.as_bytes()), element(&[0x44, 0x87], value.as_bytes())].concat();
    element(&[0x12, 0x54, 0xC3, 0x67], &element(&[0x73, 0x73], &element(&[0x67, 0xC8], &simple)))
}

/// An element whose size is written in eight bytes.
fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
    let size = 1 << 56 | data.len() as u64;
    [id, &size.to_be_bytes(), data].concat()
}

/// Reads a document: masters are stepped into and everything else over, so that it does not matter where one ends.
fn read(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let (mut position, mut scale, mut cluster) = (0, 1_000_000, 0);
    while position < bytes.len() {
        let id_length = bytes[position].leading_zeros() as usize + 1;
        let id = unsigned(&bytes[position..position + id_length]);
        position += id_length;
        let size_length = bytes[position].leading_zeros() as usize + 1;
        let size = unsigned(&bytes[position..position + size_length]) ^ (1 << (7 * size_length));
        position += size_length;
        match id {
            0x1853_8067 | 0x1549_A966 | 0x1654_AE6B | 0xAE => continue,
            0x1F43_B675 => {
                content.clusters.push(0);
                continue;
            }
            _ => {}
        }
        let data = &bytes[position..position + usize::try_from(size).unwrap()];
        position += data.len();
        match id {
            0x2A_D7B1 => scale = unsigned(data),
            0xD7 => content.tracks.push((data[0], String::new())),
            0x86 => content.tracks.last_mut().unwrap().1 = String::from_utf8(data.to_vec()).unwrap(),
            0xE7 => cluster = unsigned(data),
            0xA3 => {
                *content.clusters.last_mut().unwrap() += 1;
                let relative = i16::from_be_bytes([data[1], data[2]]);
                content.blocks.push(Block {
                    track: data[0] ^ 0x80,
                    time: cluster.checked_add_signed(relative.into()).unwrap() * scale,
                    keyframe: data[3] & 0x80 != 0,
                    payload: data[4..].to_vec(),
                });
            }
            _ => {}
        }
    }
    content
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// mkvinfo must see the same blocks in a file.
#[track_caller]
fn assert_judged_alike(content: &Content, file: &Path) {
    let text = judges::mkvinfo(file);
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("+ Simple block: ")).map(|(_, line)| line).collect();
    let blocks = content.blocks.iter().map(|block| {
        let seconds = block.time / 1_000_000_000;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let key = if block.keyframe { "key, " } else { "" };
        let time = format!("{hours:02}:{minutes:02}:{seconds:02}.{:09}", block.time % 1_000_000_000);
        format!("{key}track number {}, 1 frame(s), timestamp {time}", block.track)
    });
    assert_eq!(lines, blocks.collect::<Vec<_>>());
}
