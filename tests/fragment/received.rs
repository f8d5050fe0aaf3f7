//! Presentation times by when the service received each fragment, which is never just when it was made.

use gstkvs::fragment::{FrameReader, Output, Range, TimestampMode};
use proptest::prelude::*;

use super::body::{Block, Fragment, Track, body};

/// Frames of a track in a fragment of a second, and the time between them.
const FRAMES: i16 = 25;
const STEP: i16 = 40;

#[derive(Clone, Copy, Debug)]
struct Frame {
    fragment: usize,
    track: usize,
    /// From the beginning of the first fragment, and presented, in ms.
    captured: i64,
    pts: i64,
    discont: bool,
}

/// Fragments of a second, each received when `delays` tells, in ms behind its beginning: pictures of which every third
/// is shown before the two that come before it, and sound that reaches into the next fragment.
fn fragments(delays: &[u64]) -> Vec<Fragment> {
    let shown = |frame: i16| match (frame, frame % 3) {
        (0, _) => 0,
        (_, 1) => frame + 2,
        _ => frame - 1,
    };
    let block = |track, time| Block { track, time, keyframe: true, payload: vec![0; 4] };
    (0..)
        .zip(delays)
        .map(|(index, delay_ms)| Fragment {
            number: 100 + index,
            delay_ms: *delay_ms,
            producer_ms: super::body::START_MS + index * 1000,
            cluster: index * 1000,
            tracks: vec![Track::alaw(1, ""), Track::alaw(2, "")],
            blocks: (0..FRAMES)
                .flat_map(|frame| [block(1, shown(frame) * STEP), block(2, frame * STEP + 30)])
                .collect(),
            ..Fragment::audio(0, 0)
        })
        .collect()
}

fn read(fragments: &[Fragment]) -> Vec<Frame> {
    let mut reader = FrameReader::new(Range::default());
    reader.time_by(TimestampMode::Server, None);
    reader.push(body(fragments).into());
    let mut frames: Vec<Frame> = Vec::new();
    let mut begun = 0;
    while let Some(output) = reader.next().unwrap() {
        match output {
            Output::Start(_) => begun += 1,
            Output::Block(block) => frames.push(Frame {
                fragment: begun - 1,
                track: block.track.unwrap(),
                captured: block.capture_time / 1_000_000 - super::body::START_MS as i64,
                pts: block.pts as i64 / 1_000_000,
                discont: block.discont,
            }),
            Output::End(_) | Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => {}
        }
    }
    frames
}

/// In a track, what was captured later is shown later.
#[track_caller]
fn assert_in_order(frames: &[Frame]) {
    for track in 0..2 {
        let mut of_track: Vec<_> = frames.iter().filter(|frame| frame.track == track).collect();
        of_track.sort_by_key(|frame| frame.captured);
        assert!(of_track.is_sorted_by(|left, right| left.pts < right.pts), "{of_track:?}");
    }
}

#[test]
fn fragments_that_come_early_and_late_do_not_add_up() {
    let delays: Vec<u64> = (0..1800).map(|index| if index % 2 == 0 { 1100 } else { 900 }).collect();
    let frames = read(&fragments(&delays));
    assert_in_order(&frames);
    assert!(frames.iter().all(|frame| (0..=200).contains(&(frame.pts - frame.captured))), "{:?}", frames.last());
    assert!(frames.iter().all(|frame| !frame.discont));
    // The late ones have their own time, and the early ones follow at once.
    assert!(frames.iter().all(|frame| frame.pts == frame.captured));
}

#[test]
fn a_fragment_that_is_late_leaves_a_gap() {
    let frames = read(&fragments(&[1000, 1000, 1500, 1000, 1000]));
    assert_in_order(&frames);
    let starts: Vec<_> = (0..5).map(|index| frames.iter().find(|frame| frame.fragment == index).unwrap().pts).collect();
    assert_eq!(starts, [0, 1000, 2500, 3500, 4500]);
    // Nothing but what the service says of when it received the next ones tells that it was late.
    let frames = read(&fragments(&[1000, 1000, 1500, 1000, 2000]));
    assert_eq!(frames.iter().find(|frame| frame.fragment == 4).unwrap().pts, 5000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However late each comes, presentation time is never later than the latest of them was.
    #[test]
    fn presentation_time_does_not_run_away(delays in prop::collection::vec(0_u64..3000, 400)) {
        let frames = read(&fragments(&delays));
        assert_in_order(&frames);
        let latest = i64::try_from(delays.iter().max().unwrap() - delays[0]).unwrap();
        for frame in &frames {
            let late = frame.pts - frame.captured;
            // The soonest that a fragment can be shown is when it came.
            let due = i64::try_from(delays[frame.fragment]).unwrap() - i64::try_from(delays[0]).unwrap();
            prop_assert!((due.min(0)..=latest.max(0) + 1).contains(&late), "{frame:?}");
            prop_assert!(late >= due, "{frame:?}");
        }
        prop_assert!(frames.iter().all(|frame| !frame.discont));
    }
}
