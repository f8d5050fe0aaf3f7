//! Tests of the edges, and the bodies that other tests of this room are made of.

use super::*;
use crate::fragment::{FrameReader, Range, Steps, TimestampMode};

pub const MS: i64 = 1_000_000;

/// An element with its size in 8 bytes.
fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
    let size = (data.len() as u64 | 1 << 56).to_be_bytes();
    [id, &size, data].concat()
}

/// One fragment of this producer timestamp, in ms: video in track 1, audio in track 2.
pub fn body(timestamp: i64, frames: &[(u8, i16, bool)]) -> Vec<u8> {
    let track = |number: u8, kind: u8| {
        let fields = [element(&[0xD7], &[number]), element(&[0x83], &[kind]), element(&[0x86], b"V_TEST")];
        element(&[0xAE], &fields.concat())
    };
    let tag = |name: &str, value: String| {
        let pair = [element(&[0x45, 0xA3], name.as_bytes()), element(&[0x44, 0x87], value.as_bytes())];
        element(&[0x67, 0xC8], &pair.concat())
    };
    let two = frames.iter().any(|(track, ..)| *track == 2);
    let tracks = [track(1, 1), if two { track(2, 2) } else { Vec::new() }].concat();
    let seconds = format!("{}.{:03}", timestamp / 1000, timestamp % 1000);
    let tags =
        [tag("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "1".to_owned()), tag("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", seconds)];
    let blocks = frames.iter().flat_map(|(track, time, keyframe)| {
        let [high, low] = time.to_be_bytes();
        element(&[0xA3], &[0x80 | track, high, low, if *keyframe { 0x80 } else { 0 }, 7])
    });
    [
        element(&[0x1A, 0x45, 0xDF, 0xA3], &element(&[0x42, 0x82], b"matroska")),
        vec![0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        element(&[0x16, 0x54, 0xAE, 0x6B], &tracks),
        element(&[0x12, 0x54, 0xC3, 0x67], &element(&[0x73, 0x73], &tags.concat())),
        element(&[0x1F, 0x43, 0xB6, 0x75], &[element(&[0xE7], &[0]), blocks.collect()].concat()),
    ]
    .concat()
}

/// Reads frames of (track, ms, keyframe) in one fragment at 100 s with a video track 1 and an audio track 2; what comes
/// out is (track, presentation time in ms, invisible).
fn cut(frames: &[(u8, i16, bool)], start: i64, end: i64, snap: Snap) -> (Vec<(u64, i64, bool)>, Option<Opening>) {
    let at = |ms: i64| (100_000 + ms) * MS;
    read(frames, Edges::new(Clock::Producer, at(start), at(start), at(end)).snap(snap))
}

fn read(frames: &[(u8, i16, bool)], mut edges: Edges) -> (Vec<(u64, i64, bool)>, Option<Opening>) {
    let mut reader = FrameReader::new(Range::default());
    reader.anchor(TimestampMode::Producer, edges.anchor());
    reader.push(body(100_000, frames).into());
    while let Some(output) = reader.next().unwrap() {
        edges.push(output);
    }
    edges.finish();
    let opening = edges.take_opening();
    let mut found = Vec::new();
    while let Some(output) = edges.pop() {
        if let Output::Block(block) = output {
            let ms = i64::try_from(block.pts).unwrap() / MS;
            found.push((block.block.track, ms, block.block.invisible));
        }
    }
    (found, opening)
}

/// A keyframe each 200 ms, a frame each 40 ms, and audio each 50 ms.
fn frames() -> Vec<(u8, i16, bool)> {
    let video = (0..20).map(|frame| (1, frame * 40, frame % 5 == 0));
    let mut all: Vec<_> = video.chain((0..16).map(|frame| (2, frame * 50, true))).collect();
    all.sort_by_key(|(_, time, _)| *time);
    all
}

#[test]
fn what_the_first_frame_needs_comes_before_it_unseen() {
    let (found, opening) = cut(&frames(), 300, 400, Snap::Exact);
    // The keyframe lies at 200 ms, 100 ms before the range.
    assert_eq!(opening, Some(Opening { lead: 100_000_000, start: 0, stop: None }));
    let video: Vec<_> = found.iter().filter(|(track, ..)| *track == 1).map(|frame| (frame.1, frame.2)).collect();
    assert_eq!(video, [(0, true), (40, true), (80, true), (120, false), (160, false)]);
    let audio: Vec<_> = found.iter().filter(|(track, ..)| *track == 2).map(|frame| (frame.1, frame.2)).collect();
    assert_eq!(audio, [(100, false), (150, false)]);
}

#[test]
fn a_range_that_begins_with_a_keyframe_needs_nothing_else() {
    let (found, opening) = cut(&frames(), 200, 300, Snap::Exact);
    assert_eq!(opening, Some(Opening { lead: 0, start: 0, stop: None }));
    let expected = [(1, 0, false), (2, 0, false), (1, 40, false), (2, 50, false), (1, 80, false)];
    assert_eq!(found, expected);
}

#[test]
fn a_snapped_range_begins_with_all_tracks_at_the_keyframe() {
    let (found, opening) = cut(&frames(), 300, 400, Snap::Before);
    assert_eq!(opening, Some(Opening { lead: 100_000_000, start: 0, stop: None }));
    assert_eq!(found.iter().filter(|(track, ..)| *track == 1).count(), 5);
    assert_eq!(found.iter().filter(|(track, ..)| *track == 2).count(), 4);
    assert!(found.iter().all(|(_, _, invisible)| !invisible));
    for (snap, start) in [(Snap::After, 300), (Snap::Nearest, 301), (Snap::After, 400)] {
        let (found, opening) = cut(&frames(), start, 500, snap);
        let start = u64::try_from(400 - start).unwrap() * 1_000_000;
        assert_eq!(opening, Some(Opening { lead: 0, start, stop: None }), "{snap:?}");
        assert_eq!(found.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 2, 1, 2, 1], "{snap:?}");
        assert!(found.iter().all(|(_, _, invisible)| !invisible));
    }
    // Behind the last keyframe there is what there is.
    assert_eq!(cut(&frames(), 700, 800, Snap::After), cut(&frames(), 700, 800, Snap::Exact));
}

#[test]
fn of_video_only_keyframes_come_and_not_too_many() {
    let at = |ms: i64| (100_000 + ms) * MS;
    let only = |rate: f64, without_audio: bool| {
        let trick = Trick { keyframes: Some(Steps::new(rate, 0, at(100))), without_audio };
        let edges = Edges::new(Clock::Producer, at(0), at(100), at(700)).trick(trick, Thinning::default());
        let (found, _) = read(&frames(), edges);
        let times = |track| found.iter().filter(|frame| frame.0 == track).map(|frame| frame.1).collect::<Vec<_>>();
        (times(1), times(2).len())
    };
    assert_eq!(only(0.5, false), (vec![200, 400, 600], 12));
    assert_eq!(only(0.5, true), (vec![200, 400, 600], 0));
    // A step lasts 500 ms.
    assert_eq!(only(1.5, true), (vec![200, 600], 0));
}

#[test]
fn what_the_last_frames_need_comes_though_it_lies_behind_the_end() {
    // Decoding order: the frame at 120 ms is needed by those at 40 and 80 ms, the one at 240 ms by none of the range.
    let frames = [
        (1, 0, true),
        (1, 120, false),
        (1, 40, false),
        (1, 80, false),
        (1, 240, false),
        (1, 160, false),
        (1, 200, false),
    ];
    let (found, _) = cut(&frames, 0, 100, Snap::Exact);
    assert_eq!(found, [(1, 0, false), (1, 120, true), (1, 40, false), (1, 80, false)]);
}

#[test]
fn nothing_of_a_fragment_outside_the_range_comes() {
    assert_eq!(cut(&frames(), 5000, 6000, Snap::Exact), (Vec::new(), None));
}
