//! Where reading begins and where it ends.

use super::body::{Fragment, START_MS, body};
use super::support::{END, STREAM, emulator, emulator_with_body, run, source_for_ever};
use kvs_emulator::Operation;

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
            let end = seconds(START_MS + end);
            let source = format!("{} start-selector=earliest end-timestamp={end}{output}", source_for_ever(&emulator));
            assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), frames, "{source}");
        }
    }
}

#[test]
fn the_end_is_written_as_a_date_too() {
    let emulator = emulator_with_body(body(&fragments()));
    let times = "start-selector=earliest end-timestamp=2026-01-05T11:00:01.5+01:00";
    let source = format!("{} {times}", source_for_ever(&emulator));
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 75);
}

#[test]
fn the_end_is_on_the_clock_that_the_start_was_asked_in() {
    let emulator = emulator_with_body(body(&fragments()));
    // The service received each fragment a second after it was captured.
    let times = format!("start-timestamp={} end-timestamp={}", seconds(START_MS), seconds(START_MS + 2500));
    let count =
        |more: &str| run(&format!("{} {times} {more}", source_for_ever(&emulator)), "audio/x-alaw").ok().frames.len();
    assert_eq!(count(""), 125);
    assert_eq!(count("start-selector=server-timestamp"), 75);
}

#[test]
fn all_selectors_begin_where_they_say() {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&fragments())).unwrap();
    let stored = emulator.fragments(STREAM).unwrap();
    let frames = |properties: &str| {
        run(&format!("{} {END} {properties}", source_for_ever(&emulator)), "audio/x-alaw").ok().frames.len()
    };
    assert_eq!(frames("start-selector=earliest"), 250);
    // In the middle of the second and of the third fragment.
    assert_eq!(frames(&format!("start-timestamp={}", seconds(stored[1].producer_timestamp + 500))), 200);
    let server = seconds(stored[2].server_timestamp + 500);
    assert_eq!(frames(&format!("start-selector=server-timestamp start-timestamp={server}")), 150);
    assert_eq!(frames(&format!("after-fragment-number={}", stored[2].number)), 100);
    assert_eq!(frames(&format!("continuation-token={}", stored[3].number)), 50);
}

#[test]
fn without_a_selector_reading_begins_with_the_newest() {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&fragments())).unwrap();
    let newest = run(&format!("{} {END}", source_for_ever(&emulator)), "audio/x-alaw").ok();
    assert!(newest.frames.len() <= 50, "{}", newest.frames.len());
    let requests = emulator.requests();
    let first = requests.iter().find(|request| request.operation == Operation::GetMedia).unwrap();
    assert_eq!(first.body["StartSelector"]["StartSelectorType"], "NOW");
}
