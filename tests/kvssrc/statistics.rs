//! The read-only properties, while a stream goes on and when it is over.

use gst::prelude::*;
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::archive::{range, serve};
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
    for field in ["time-to-first-frame", "listed", "delivered", "missing"] {
        assert!(!stats.has_field(field), "{field}");
    }
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

/// Plays fragments 10 to 39 of the archive to the end; what is counted, the reasons and delays of the calls that were made
/// again, and the counts of `kvs-archive`.
fn archived(emulator: &Emulator, properties: &str) -> (gst::Structure, Vec<(String, u64)>, [u64; 3]) {
    let source = range(emulator, 20_000, 80_000);
    let pipeline = Pipeline::new(&format!("{source} connections=2 {properties} ! fakesink sync=false"));
    pipeline.play();
    let (bus, mut again, mut counts) = (pipeline.bus().unwrap(), Vec::new(), None);
    let types = [gst::MessageType::Element, gst::MessageType::Error, gst::MessageType::Eos];
    loop {
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                match structure.name().as_str() {
                    "kvs-connection" => {
                        assert_eq!(structure.get::<&str>("state"), Ok("reconnecting"));
                        again.push((structure.get("reason").unwrap(), structure.get("delay").unwrap()));
                    }
                    "kvs-archive" => {
                        counts = Some(["listed", "delivered", "missing"].map(|name| structure.get(name).unwrap()));
                    }
                    _ => {}
                }
            }
            _ => panic!("{message:?}"),
        }
    }
    (stats(&pipeline.by_name("source").unwrap()), again, counts.expect("counts before the end"))
}

#[test]
fn every_fragment_of_a_range_is_counted() {
    let get = Operation::GetMediaForFragmentList;
    for missing in 0_u64..3 {
        let emulator = serve(Emulator::builder(), 60);
        for _ in 0..missing {
            emulator.set_fault_on(STREAM, get, Fault::MissingFragment(1), Repeat::Once);
        }
        let (stats, again, counts) = archived(&emulator, "retry-timeout=0");
        assert_eq!(counts, [30, 30 - missing, missing]);
        assert_eq!(["listed", "delivered", "missing"].map(|name| number(&stats, name)), counts);
        assert_eq!(number(&stats, "fragments"), 30 - missing);
        assert_eq!(stats.get::<gst::Structure>("frames").unwrap().get::<u64>("track-1").unwrap(), (30 - missing) * 4);
        // All that the service sent are heads and bodies.
        assert!((1..emulator.bytes_sent()).contains(&number(&stats, "bytes")), "{stats}");
        assert_eq!((number(&stats, "reconnects"), again.len()), (0, 0), "{again:?}");
    }
}

#[test]
fn calls_to_the_archive_that_are_made_again_are_counted_and_told() {
    use Operation::{GetMediaForFragmentList as Get, ListFragments as List};
    let http = |operation, status, name: &str| Fault::http(operation, status, name, "Later");
    let throttled = "ClientLimitExceededException";
    for (name, operation, fault, repeat, again, throttles, reason) in [
        ("media is throttled", Get, http(Get, 400, throttled), Repeat::Times(3), 3, 3, throttled),
        ("the list is throttled", List, http(List, 400, throttled), Repeat::Times(2), 2, 2, throttled),
        (
            "the list is throttled otherwise",
            List,
            http(List, 429, "ThrottlingException"),
            Repeat::Times(2),
            2,
            2,
            "Later",
        ),
        ("the list fails", List, http(List, 503, "ServiceUnavailable"), Repeat::Times(2), 2, 0, "ServiceUnavailable"),
        ("media fails", Get, http(Get, 500, "InternalFailure"), Repeat::Times(2), 2, 0, "InternalFailure"),
        ("the list is cut", List, Fault::CutAfter(0), Repeat::Times(2), 2, 0, "ListFragments"),
        ("a body is cut", Get, Fault::CutAfter(5000), Repeat::Nth(2), 1, 0, "the connection broke"),
        ("a body ends early", Get, Fault::EndAfterFragments(2), Repeat::Nth(2), 1, 0, "ended it early"),
        ("a body is empty", Get, Fault::EndAfterFragments(0), Repeat::Once, 1, 0, "sent nothing"),
    ] {
        let emulator = serve(Emulator::builder(), 60);
        emulator.set_fault_on(STREAM, operation, fault, repeat);
        let (stats, told, counts) = archived(&emulator, "");
        assert_eq!(counts, [30, 30, 0], "{name}");
        assert_eq!((number(&stats, "reconnects"), told.len()), (again, again as usize), "{name}: {told:?}");
        assert_eq!(number(&stats, "throttles"), throttles, "{name}");
        assert!(told.iter().all(|(text, _)| text.contains(reason)), "{name}: {told:?}");
        assert!(told.iter().all(|(_, delay)| *delay <= 400_000_000), "{name}: {told:?}");
    }
}

#[test]
fn a_seek_counts_the_fragments_of_the_range_anew() {
    let emulator = serve(Emulator::builder(), 60);
    let pipeline = Pipeline::new(&format!("{} ! fakesink sync=false", range(&emulator, 20_000, 80_000)));
    let source = pipeline.by_name("source").unwrap();
    play(&pipeline);
    let before = stats(&source);
    let fragments = |stats: &gst::Structure| ["listed", "delivered", "missing"].map(|name| number(stats, name));
    assert_eq!(fragments(&before), [30, 30, 0]);
    pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, gst::ClockTime::from_seconds(40)).unwrap();
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let after = stats(&source);
    assert_eq!(fragments(&after), [10, 10, 0]);
    // Everything else goes on.
    assert_eq!(number(&after, "fragments"), 40);
    assert!(number(&after, "bytes") > number(&before, "bytes"));
}
