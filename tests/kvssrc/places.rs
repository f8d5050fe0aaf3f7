//! Elements that read one stream share the connections that it has.

use gst::prelude::*;
use kvs_emulator::{Emulator, Limits, Operation};

use super::archive::{AUDIO, calls, pull, range, serve};
use super::support::{Pipeline, run, wait_until};

const LIMIT: u64 = 100_000;

/// Begins to read and takes three fragments, so that all connections are made use of.
fn begun(emulator: &Emulator, connections: usize, sink: &str) -> (Pipeline, gst_app::AppSink) {
    let before = calls(emulator, Operation::GetMediaForFragmentList);
    let source = format!("{} max-buffered-bytes={LIMIT} connections={connections}", range(emulator, 0, 40_000_000));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink max-buffers=1 {sink}"));
    let appsink = pipeline.sink(AUDIO);
    pipeline.play();
    pull(&appsink, 0..12);
    wait_until("all connections are open", || {
        calls(emulator, Operation::GetMediaForFragmentList) - before >= connections
    });
    let bytes = || pipeline.by_name("source").unwrap().property::<gst::Structure>("stats").get::<u64>("bytes").unwrap();
    wait_until("all that is allowed has come", || bytes() >= LIMIT);
    (pipeline, appsink)
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
        for (_pipeline, sink) in waiting {
            pull(&sink, 12..4000);
        }
    }
}
