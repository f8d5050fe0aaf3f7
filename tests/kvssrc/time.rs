//! What producers write as cluster times, and the stream time that comes of it.

use super::body::{Block, Fragment, START_MS, Track, body};
use super::support::{Outcome, emulator_with_body, run, source};

/// Five fragments a second long, ten frames of 20 ms in each, with cluster and producer times as given.
fn fragments(times: impl Fn(u64) -> (u64, u64)) -> Vec<Fragment> {
    (0..5)
        .map(|index| {
            let (cluster, producer_ms) = times(index);
            Fragment { cluster, producer_ms, ..Fragment::audio(index, 10) }
        })
        .collect()
}

/// What elementary and container output make of the fragments; both must have every frame, and the same times.
fn outcome(fragments: &[Fragment]) -> Outcome {
    let emulator = emulator_with_body(body(fragments));
    let elementary = run(&source(&emulator), "audio/x-alaw").ok();
    let container = run(&format!("{} ! matroskademux", source(&emulator)), "audio/x-alaw").ok();
    let sent: Vec<_> =
        fragments.iter().flat_map(|fragment| &fragment.blocks).map(|block| block.payload.as_slice()).collect();
    assert_eq!(elementary.payloads(), sent);
    assert_eq!(container.payloads(), sent);
    assert_eq!(elementary.pts_ms(), container.pts_ms());
    assert!(elementary.pts_ms().is_sorted_by(|left, right| left < right), "{:?}", elementary.pts_ms());
    elementary
}

fn starts(outcome: &Outcome) -> Vec<u64> {
    outcome.pts_ms().into_iter().step_by(10).collect()
}

#[test]
fn cluster_times_that_restart_at_zero() {
    let outcome = outcome(&fragments(|index| (0, START_MS + index * 1000)));
    assert_eq!(starts(&outcome), [0, 1000, 2000, 3000, 4000]);
}

#[test]
fn cluster_times_that_restart_in_the_middle() {
    let outcome = outcome(&fragments(|index| ((index % 3) * 1000, START_MS + index * 1500)));
    assert_eq!(starts(&outcome), [0, 1500, 3000, 4500, 6000]);
}

#[test]
fn cluster_times_that_are_absolute() {
    let outcome = outcome(&fragments(|index| (1_500_000_000_000 + index * 1000, START_MS + index * 1000)));
    assert_eq!(starts(&outcome), [0, 1000, 2000, 3000, 4000]);
}

#[test]
fn a_clock_that_stands_still_goes_on_by_the_frames() {
    let outcome = outcome(&fragments(|_| (7000, START_MS)));
    assert_eq!(starts(&outcome), [0, 200, 400, 600, 800]);
}

#[test]
fn a_producer_clock_that_jumps_back_goes_on_after_the_last_frame() {
    let outcome = outcome(&fragments(|index| match index {
        0 | 1 => (index * 1000, START_MS + index * 1000),
        _ => (index * 1000, START_MS - 3_600_000 + index * 1000),
    }));
    assert_eq!(starts(&outcome), [0, 1000, 1200, 2200, 3200]);
    let discont: Vec<_> = outcome
        .frames
        .iter()
        .enumerate()
        .filter(|(_, frame)| frame.flags.contains(gst::BufferFlags::DISCONT))
        .map(|(index, _)| index)
        .collect();
    assert_eq!(discont, [0, 20]);
}

#[test]
fn a_tick_that_is_no_millisecond() {
    let fragments: Vec<_> = (0..3)
        .map(|index| Fragment { scale: 100_000, cluster: index * 10_000, ..Fragment::audio(index, 10) })
        .collect();
    let outcome = outcome(&fragments);
    assert_eq!(outcome.frames[1].pts, Some(2_000_000));
    assert_eq!(starts(&outcome), [0, 1000, 2000]);
}

#[test]
fn a_first_block_behind_its_cluster_is_at_zero() {
    let mut fragments = fragments(|index| (index * 1000, START_MS + index * 1000));
    for block in fragments.iter_mut().flat_map(|fragment| &mut fragment.blocks) {
        block.time += 5;
    }
    let outcome = outcome(&fragments);
    assert_eq!(starts(&outcome), [0, 1000, 2000, 3000, 4000]);
    assert_eq!(outcome.frames[0].captured, Some((START_MS + 5) * 1_000_000));
}

#[test]
fn timestamps_follow_the_clock_that_was_asked_for() {
    // A gap of an hour on the producer's clock; the service received the fragments a second after each was made.
    let late = |index: u64| if index < 3 { START_MS + index * 1000 } else { START_MS + 3_600_000 + index * 1000 };
    let fragments = fragments(|index| (index * 1000, late(index)));
    let emulator = emulator_with_body(body(&fragments));
    let starts = |properties: &str| {
        let outcome = run(&format!("{} {properties}", source(&emulator)), "audio/x-alaw").ok();
        assert!(outcome.frames.iter().all(|frame| frame.captured.is_some()));
        starts(&outcome)
    };
    assert_eq!(starts(""), [0, 1000, 2000, 3_603_000, 3_604_000]);
    assert_eq!(starts("timestamp-mode=server"), [0, 1000, 2000, 3_603_000, 3_604_000]);
    assert_eq!(starts("timestamp-mode=contiguous"), [0, 200, 400, 600, 800]);
}

#[test]
fn fragments_that_are_received_early_and_late_do_not_add_up() {
    let fragments: Vec<_> = (0..60)
        .map(|index| Fragment { delay_ms: if index % 2 == 0 { 1100 } else { 900 }, ..Fragment::audio(index, 50) })
        .collect();
    let emulator = emulator_with_body(body(&fragments));
    for output in ["", "! matroskademux"] {
        let outcome = run(&format!("{} timestamp-mode=server {output}", source(&emulator)), "audio/x-alaw").ok();
        let wanted: Vec<_> = (0..3000).map(|frame| frame * 20).collect();
        assert_eq!(outcome.pts_ms(), wanted);
        let disconts = outcome.frames.iter().filter(|frame| frame.flags.contains(gst::BufferFlags::DISCONT)).count();
        assert_eq!(disconts, 1, "the first alone");
    }
}

#[test]
fn sound_from_before_the_first_picture_is_left_out() {
    let fragments: Vec<_> = (0..3)
        .map(|index| {
            let mut fragment = Fragment::audio(index, 50);
            let private = Vec::new();
            fragment.tracks.push(Track {
                number: 2,
                kind: 1,
                codec: "V_VP8",
                private,
                name: "garden",
                more: Vec::new(),
            });
            fragment.blocks.iter_mut().for_each(|block| block.time -= 100);
            fragment.blocks.insert(0, Block { track: 2, time: 0, keyframe: true, payload: vec![0; 10] });
            fragment
        })
        .collect();
    let emulator = emulator_with_body(body(&fragments));
    let source = source(&emulator);
    // Of 150 frames, five are over when the first picture is shown.
    let wanted: Vec<_> = (0..145).map(|frame| frame * 20).collect();
    for output in ["track=1", "! matroskademux", "! kvsdemux"] {
        let outcome = run(&format!("{source} {output}"), "audio/x-alaw").ok();
        assert_eq!(outcome.pts_ms(), wanted, "{output}");
        assert!(outcome.frames.iter().all(|frame| !frame.flags.contains(gst::BufferFlags::DECODE_ONLY)));
    }
    let pictures = run(&format!("{source} track=2"), "video/x-vp8").ok();
    assert_eq!(pictures.pts_ms(), [0, 1000, 2000]);
}
