//! Where reading begins and where it ends.

use super::body::{Fragment, START_MS, body};
use super::support::{STREAM, emulator_with_body, emulator_with_capture, run, source, source_from_now};

fn fragments() -> Vec<Fragment> {
    (0..5).map(|index| Fragment::audio(index, 50)).collect()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[test]
fn the_end_cuts_the_last_fragment_to_the_frame() {
    let emulator = emulator_with_body(body(&fragments()));
    for (end, frames) in [(1000, 50), (1001, 51), (1500, 75), (3020, 151), (60_000, 250)] {
        for output in ["", " ! matroskademux"] {
            let source = format!("{} end-timestamp={}{output}", source(&emulator), seconds(START_MS + end));
            assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), frames, "{source}");
        }
    }
}

#[test]
fn the_end_is_written_as_a_date_too() {
    let emulator = emulator_with_body(body(&fragments()));
    let source = format!("{} end-timestamp=2026-01-05T11:00:01.5+01:00", source(&emulator));
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 75);
}

#[test]
fn the_end_is_on_the_clock_that_the_start_was_asked_in() {
    let emulator = emulator_with_body(body(&fragments()));
    // The service received each fragment a second after it was captured.
    let times = format!("start-timestamp={} end-timestamp={}", seconds(START_MS), seconds(START_MS + 2500));
    let count = |more: &str| {
        run(&format!("{} {times} {more}", source_from_now(&emulator)), "audio/x-alaw").ok().frames.len()
    };
    assert_eq!(count(""), 125);
    assert_eq!(count("start-selector=server-timestamp"), 75);
}

#[test]
fn all_selectors_begin_where_they_say() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let fragments = emulator.fragments(STREAM).unwrap();
    let producer = |index: usize| seconds(fragments[index].producer_timestamp);
    let server = |index: usize| seconds(fragments[index].server_timestamp);
    let number = |index: usize| fragments[index].number.clone();
    let frames = |properties: &str| {
        run(&format!("{} {properties}", source_from_now(&emulator)), "video/x-h264").ok().frames.len()
    };
    assert_eq!(frames("start-selector=earliest"), 300);
    assert_eq!(frames(&format!("start-timestamp={}", producer(1))), 240);
    assert_eq!(frames(&format!("start-selector=server-timestamp start-timestamp={}", server(2))), 180);
    assert_eq!(frames(&format!("after-fragment-number={}", number(2))), 120);
    assert_eq!(frames(&format!("continuation-token={}", number(3))), 60);
}
