//! Elements that read one stream share the connections that it has.

use gst::prelude::*;
use kvs_emulator::{Emulator, Limits, Operation};

use super::archive::{AUDIO, calls, pull, range, serve};
use super::support::{Pipeline, run, wait_until};

const LIMIT: u64 = 100_000;

/// Begins to read and takes so many fragments of 4 frames that one of each connection is waited for; how many frames these
/// are.
fn begun(emulator: &Emulator, connections: usize, sink: &str) -> (Pipeline, gst_app::AppSink, u64) {
    let before = calls(emulator, Operation::GetMediaForFragmentList);
    let source = format!("{} max-buffered-bytes={LIMIT} connections={connections}", range(emulator, 0, 40_000_000));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink max-buffers=1 {sink}"));
    let appsink = pipeline.sink(AUDIO);
    pipeline.play();
    let taken = 4 * (connections as u64 + 2);
    pull(&appsink, 0..taken);
    wait_until("all connections are open", || {
        calls(emulator, Operation::GetMediaForFragmentList) - before >= connections
    });
    let bytes = || pipeline.by_name("source").unwrap().property::<gst::Structure>("stats").get::<u64>("bytes").unwrap();
    wait_until("all that is allowed has come", || bytes() >= LIMIT);
    (pipeline, appsink, taken)
}

#[test]
fn what_is_paused_keeps_no_other_from_reading() {
    // Two of them use up all that the service allows.
    for paused in [vec![3], vec![3, 2], vec![5]] {
        let emulator = serve(Emulator::builder().limits(Limits::default()), 20_000);
        let waiting: Vec<_> = paused.iter().map(|connections| begun(&emulator, *connections, "sync=false")).collect();
        let outcome = run(&range(&emulator, 1_000_000, 3_000_000), AUDIO).ok();
        assert_eq!(outcome.frames.len(), 4000, "{paused:?}");
        assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        // What was dropped is read later.
        for (_pipeline, sink, taken) in waiting {
            pull(&sink, taken..4000);
        }
    }
}

#[test]
fn what_plays_in_real_time_keeps_no_other_from_reading() {
    let emulator = serve(Emulator::builder().limits(Limits::default()), 20_000);
    let (_pipeline, sink, taken) = begun(&emulator, 5, "sync=true");
    let outcome = run(&range(&emulator, 1_000_000, 3_000_000), AUDIO).ok();
    assert_eq!(outcome.frames.len(), 4000);
    pull(&sink, taken..taken + 4);
}
