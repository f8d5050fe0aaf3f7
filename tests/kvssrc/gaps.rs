//! Fragments that are missing leave gaps, and nothing else.

use super::support::{Outcome, capture, emulator_with_body, emulator_with_capture, run, source};

const FRAGMENTS: [u64; 3] = [0, 4000, 8000];

fn assert_gaps(outcome: &Outcome) {
    let times = outcome.pts_ms();
    assert_eq!(times.len(), 180);
    let starts: Vec<_> = times.iter().step_by(60).copied().collect();
    assert_eq!(starts, FRAGMENTS);
    for (fragment, start) in times.chunks(60).zip(FRAGMENTS) {
        assert!(fragment.windows(2).all(|pair| (33..=34).contains(&(pair[1] - pair[0]))), "{fragment:?}");
        assert_eq!(fragment[59], start + 1967);
    }
}

#[test]
fn the_sparse_capture_shows_both_gaps_in_elementary_output() {
    let Some(emulator) = emulator_with_capture("output_get_media_sparse_fragments.mkv") else { return };
    assert_gaps(&run(&source(&emulator), "video/x-h264").ok());
}

#[test]
fn the_sparse_capture_shows_both_gaps_in_container_output() {
    let Some(emulator) = emulator_with_capture("output_get_media_sparse_fragments.mkv") else { return };
    assert_gaps(&run(&format!("{} ! matroskademux", source(&emulator)), "video/x-h264").ok());
}

#[test]
fn the_body_as_the_service_sent_it_shows_them_too() {
    let Some(capture) = capture("output_get_media_sparse_fragments.mkv") else { return };
    let emulator = emulator_with_body(std::fs::read(capture).unwrap());
    assert_gaps(&run(&source(&emulator), "video/x-h264").ok());
}

#[test]
fn every_frame_tells_when_it_was_captured() {
    let Some(emulator) = emulator_with_capture("output_get_media_sparse_fragments.mkv") else { return };
    let outcome = run(&source(&emulator), "video/x-h264").ok();
    let first = outcome.frames[0].captured.unwrap();
    assert!(outcome.frames.iter().all(|frame| frame.captured.unwrap() - first == frame.pts.unwrap()));
}

#[test]
fn fragments_of_other_producers_come_whole() {
    let Some(emulator) = emulator_with_capture("test_mixed_tags.mkv") else { return };
    let outcome = run(&source(&emulator), "video/x-matroska").ok();
    let blocks: Vec<_> =
        outcome.frames.iter().filter(|frame| frame.flags.contains(gst::BufferFlags::DELTA_UNIT)).collect();
    assert_eq!(blocks.len(), 100);
    let starts: Vec<_> = blocks.iter().step_by(10).map(|frame| frame.pts.unwrap() / 1_000_000).collect();
    assert_eq!(starts, (0..10).map(|fragment| fragment * 5000).collect::<Vec<_>>());
}
