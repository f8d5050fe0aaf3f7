//! The read-only properties, while a stream goes on and when it is over.

use gst::prelude::*;
use kvs_emulator::{Fault, Operation, Repeat};

use super::body::{Fragment, body};
use super::support::{PATIENCE, Pipeline, STREAM, emulator, emulator_with_body, source, wait_until};

fn fragments() -> Vec<Fragment> {
    (0..5).map(|index| Fragment { millis_behind_now: 4000 - index * 1000, ..Fragment::audio(index, 10) }).collect()
}

fn stats(source: &gst::Element) -> gst::Structure {
    source.property::<gst::Structure>("stats")
}

fn number(stats: &gst::Structure, field: &str) -> u64 {
    stats.get(field).unwrap_or_else(|error| panic!("{error} in {stats}"))
}

/// Plays until the end.
fn play(pipeline: &Pipeline) {
    pipeline.play();
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

#[test]
fn before_anything_came_nothing_is_known() {
    let emulator = emulator_with_body(body(&fragments()));
    let pipeline = Pipeline::new(&format!("{} ! fakesink", source(&emulator)));
    let source = pipeline.by_name("source").unwrap();
    assert_eq!(source.property::<Option<String>>("fragment-number"), None);
    assert_eq!(source.property::<Option<String>>("continuation-token"), None);
    assert_eq!(source.property::<i64>("millis-behind-now"), -1);
    let stats = stats(&source);
    for field in ["bytes", "fragments", "reconnects", "throttles", "dropped-duplicates", "read-rate"] {
        assert_eq!(number(&stats, field), 0, "{field}");
    }
    assert_eq!(stats.get::<gst::Structure>("frames").unwrap().len(), 0);
    assert!(!stats.has_field("time-to-first-frame"));
}

#[test]
fn what_was_read_is_counted() {
    let body = body(&fragments());
    let length = body.len() as u64;
    let emulator = emulator_with_body(body);
    let pipeline = Pipeline::new(&format!("{} ! fakesink sync=false", source(&emulator)));
    let source = pipeline.by_name("source").unwrap();
    play(&pipeline);
    let stats = stats(&source);
    assert_eq!(number(&stats, "fragments"), 5);
    assert_eq!(stats.get::<gst::Structure>("frames").unwrap().get::<u64>("track-1").unwrap(), 50);
    // The same body comes again until nothing in it is new.
    let calls = number(&stats, "reconnects") + 1;
    assert!(calls > 1);
    assert_eq!(number(&stats, "bytes"), calls * length);
    assert_eq!(number(&stats, "dropped-duplicates"), (calls - 1) * 5);
    assert_eq!(number(&stats, "throttles"), 0);
    assert!((1..60_000_000_000).contains(&number(&stats, "time-to-first-frame")));
    assert!(number(&stats, "read-rate") > 0);
    assert_eq!(source.property::<String>("fragment-number"), "104");
    assert_eq!(source.property::<String>("continuation-token"), "104");
    assert_eq!(source.property::<i64>("millis-behind-now"), 0);
    // They stay after the end, until another reading begins.
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(source.property::<String>("fragment-number"), "104");
    pipeline.set_state(gst::State::Ready).unwrap();
    source.set_property("continuation-token", "102");
    assert_eq!(source.property::<String>("continuation-token"), "102");
}

#[test]
fn a_token_that_was_read_goes_on_behind_what_was_read() {
    let emulator = emulator();
    let fragments = fragments();
    emulator.import_bytes(STREAM, body(&fragments[..3])).unwrap();
    let first = Pipeline::new(&format!("{} ! fakesink sync=false", source(&emulator)));
    play(&first);
    let token = first.by_name("source").unwrap().property::<String>("continuation-token");
    emulator.import_bytes(STREAM, body(&fragments[3..])).unwrap();
    let source = source(&emulator).replace("start-selector=earliest", &format!("continuation-token={token}"));
    let second = Pipeline::new(&format!("{source} ! fakesink sync=false"));
    play(&second);
    assert_eq!(number(&stats(&second.by_name("source").unwrap()), "fragments"), 2);
}

#[test]
fn a_stream_that_goes_on_can_be_watched() {
    let emulator = emulator();
    let fragments = fragments();
    emulator.import_bytes(STREAM, body(&fragments[..2])).unwrap();
    let source = super::support::source_for_ever(&emulator);
    let pipeline = Pipeline::new(&format!("{source} start-selector=earliest ! fakesink sync=false"));
    let source = pipeline.by_name("source").unwrap();
    let changes = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let noted = std::sync::Arc::clone(&changes);
    source.connect_notify(None, move |_, _| {
        noted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    pipeline.play();
    let stored = || emulator.fragments(STREAM).unwrap();
    let last = |source: &gst::Element| source.property::<Option<String>>("continuation-token");
    for whole in [2, 5] {
        if whole == 5 {
            emulator.import_bytes(STREAM, body(&fragments[2..])).unwrap();
        }
        wait_until("whole fragments", || number(&stats(&source), "fragments") == whole);
        let newest = stored().last().unwrap().number.to_string();
        assert_eq!(source.property::<String>("fragment-number"), newest);
        assert_eq!(last(&source), Some(newest));
        assert_eq!(stats(&source).get::<gst::Structure>("frames").unwrap().get::<u64>("track-1").unwrap(), whole * 10);
    }
    assert!(source.property::<i64>("millis-behind-now") >= 0);
    assert_eq!(changes.load(std::sync::atomic::Ordering::Relaxed), 0, "notifications");
}

#[test]
fn throttles_are_counted() {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&fragments())).unwrap();
    for _ in 0..4 {
        let fault = Fault::http(Operation::GetMedia, 400, "ClientLimitExceededException", "Later");
        emulator.set_fault(STREAM, fault, Repeat::Once);
    }
    let pipeline = Pipeline::new(&format!("{} ! fakesink sync=false", source(&emulator)));
    play(&pipeline);
    let stats = stats(&pipeline.by_name("source").unwrap());
    assert_eq!(number(&stats, "throttles"), 4);
    assert_eq!(number(&stats, "fragments"), 5);
    assert!(number(&stats, "reconnects") >= 4);
}
