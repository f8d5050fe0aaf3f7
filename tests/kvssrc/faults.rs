//! Everything that can end a connection, and a pipeline that does not notice.

use std::time::Instant;

use gst::prelude::*;
use kvs_emulator::identity::CredentialServer;
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::archive::range;
use super::body::{Fragment, body};
use super::credentials::iot_source;
use super::support::{
    END, Outcome, PATIENCE, Pipeline, STREAM, emulator, init, run, source, source_for_ever, source_without_patience,
};

const OUTPUTS: [(&str, &str); 2] =
    [("elementary", "audio/x-alaw"), ("container", "video/x-matroska; audio/x-matroska")];

/// Rows of the table that run side by side.
const ROWS_AT_ONCE: usize = 12;

fn fragments() -> Vec<Fragment> {
    (0..5).map(|index| Fragment::audio(index, 20)).collect()
}

fn stored() -> Emulator {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&fragments())).unwrap();
    emulator
}

/// Presentation time, duration, capture time, flags and bytes of a frame.
type Seen<'a> = (Option<u64>, Option<u64>, Option<u64>, gst::BufferFlags, &'a [u8]);

/// What an application sees, without what it must not look at: two readings that agree in this are the same.
fn seen(outcome: &Outcome) -> Vec<Seen<'_>> {
    outcome
        .frames
        .iter()
        .map(|frame| (frame.pts, frame.duration, frame.captured, frame.flags, frame.bytes.as_slice()))
        .collect()
}

fn http(operation: Operation, status: u16, name: &str) -> Fault {
    Fault::http(operation, status, name, "On purpose")
}

/// What fresh credentials mend, so that their readings have some to fetch.
const EXPIRED: &str = "expired token";
const EXPIRED_ENDPOINT: &str = "expired token of the control plane";

/// Where the first connection of the table's readings ends in the middle of a fragment.
fn inside() -> u64 {
    let one = fragments()[0].bytes().len() as u64;
    one + one / 2
}

/// What bodies do, one after the other.
fn bodies() -> Vec<(&'static str, Vec<Fault>)> {
    let one = fragments()[0].bytes().len() as u64;
    vec![
        ("clean end before anything", vec![Fault::EndAfterFragments(0)]),
        ("clean end at a boundary", vec![Fault::EndAfterFragments(2)]),
        ("clean ends at each boundary", vec![Fault::EndAfterFragments(1); 5]),
        ("reset before the first byte", vec![Fault::CutAfter(0)]),
        ("reset at a boundary", vec![Fault::CutAfter(2 * one)]),
        ("reset in a header", vec![Fault::CutAfter(one + 30)]),
        ("reset in a block", vec![Fault::CutAfter(inside())]),
        ("reset in the last tags of a fragment", vec![Fault::CutAfter(one - 3)]),
        ("reset in the same fragment again and again", vec![Fault::CutAfter(inside() - one); 4]),
        ("stall in a fragment", vec![Fault::StallAfter(inside())]),
        ("stall at a boundary", vec![Fault::StallAfter(one)]),
        ("transient error tag", vec![Fault::BodyErrorTag { code: "InternalError".to_owned(), id: 5000, after: 2 }]),
    ]
}

/// What calls answer, or do not.
fn calls() -> Vec<(&'static str, Vec<Fault>)> {
    use Operation::{GetDataEndpoint, GetMedia};
    let moved = http(GetMedia, 400, "InvalidEndpointException");
    let endpoint = |url: &str| vec![moved.clone(), Fault::DataEndpoint(url.to_owned())];
    let twice = |operation, status, name| vec![http(operation, status, name), http(operation, status, name)];
    vec![
        ("failing service", twice(GetMedia, 500, "InternalFailure")),
        ("unavailable service", twice(GetMedia, 503, "ServiceUnavailable")),
        ("throttled calls", twice(GetMedia, 400, "ClientLimitExceededException")),
        ("throttled connections", twice(GetMedia, 400, "ConnectionLimitExceededException")),
        ("throttled control plane", [vec![moved.clone()], twice(GetDataEndpoint, 400, "ThrottlingException")].concat()),
        ("moved endpoint", twice(GetMedia, 400, "InvalidEndpointException")),
        (EXPIRED, vec![http(GetMedia, 403, "ExpiredTokenException")]),
        (EXPIRED_ENDPOINT, vec![moved.clone(), http(GetDataEndpoint, 403, "ExpiredTokenException")]),
        ("start point refused", twice(GetMedia, 400, "InvalidArgumentException")),
        (
            "missing fragment number",
            vec![Fault::BodyErrorTag { code: "FragmentNotFound".to_owned(), id: 4000, after: 0 }],
        ),
        ("silent data endpoint", vec![moved.clone(), Fault::HangRequest { operation: GetDataEndpoint }]),
        ("silent answer", vec![Fault::HangRequest { operation: GetMedia }]),
        ("unknown host", endpoint("http://kinesisvideo.invalid")),
        ("refused connection", endpoint("http://127.0.0.1:1")),
    ]
}

/// All of them; those of calls both within a fragment and between two.
fn table() -> Vec<(String, Vec<Fault>)> {
    let positions = [("in a fragment", Fault::CutAfter(inside())), ("at a boundary", Fault::EndAfterFragments(2))];
    let calls = calls().into_iter().flat_map(|(name, faults)| {
        positions.clone().map(|(place, end)| (format!("{name} {place}"), [vec![end], faults.clone()].concat()))
    });
    bodies().into_iter().map(|(name, faults)| (name.to_owned(), faults)).chain(calls).collect()
}

#[test]
fn every_fault_in_every_output_leaves_the_frames_of_an_undisturbed_run() {
    for (output, caps) in OUTPUTS {
        let undisturbed = run(&source(&stored()), caps).ok();
        let wanted = seen(&undisturbed);
        each_of_table(|name, faults| {
            let outcome = disturbed(name, faults, "", caps);
            assert!(outcome.error.is_none(), "{name}, {output}: {:?}", outcome.error);
            assert!(outcome.warnings.is_empty(), "{name}, {output}: {:?}", outcome.warnings);
            assert_eq!(seen(&outcome), wanted, "{name}, {output}");
        });
    }
}

/// Where frames are watched as they come, the next connection is opened before anybody asks for it.
#[test]
fn every_fault_leaves_the_frames_of_an_undisturbed_live_run() {
    let undisturbed = run(&source(&stored()), "audio/x-alaw").ok();
    each_of_table(|name, faults| {
        let outcome = disturbed(name, faults, "is-live=true", "audio/x-alaw");
        assert!(outcome.error.is_none(), "{name}: {:?}", outcome.error);
        assert!(outcome.warnings.is_empty(), "{name}: {:?}", outcome.warnings);
        assert_eq!(outcome.payloads(), undisturbed.payloads(), "{name}");
    });
}

/// Rows side by side: most of their time they wait, each for itself.
fn each_of_table(check: impl Fn(&str, &[Fault]) + Sync) {
    let (table, check) = (table(), &check);
    std::thread::scope(|scope| {
        for rows in table.chunks(table.len().div_ceil(ROWS_AT_ONCE)) {
            scope.spawn(move || rows.iter().for_each(|(name, faults)| check(name, faults)));
        }
    });
}

/// A reading that meets these faults, patient with failures, but not with silence.
fn disturbed(name: &str, faults: &[Fault], properties: &str, caps: &str) -> Outcome {
    let emulator = stored();
    for fault in faults {
        let of_endpoint = match fault {
            Fault::DataEndpoint(_) => true,
            Fault::Http { operation, .. } | Fault::HangRequest { operation } => {
                *operation == Operation::GetDataEndpoint
            }
            _ => false,
        };
        // The first connection is to have one.
        let repeat = if of_endpoint { Repeat::Nth(2) } else { Repeat::Once };
        emulator.set_fault(STREAM, fault.clone(), repeat);
    }
    let credentials = name.starts_with(EXPIRED).then(|| CredentialServer::start(&emulator).unwrap());
    let source = match &credentials {
        Some(server) => format!("{} retry-timeout=60000", iot_source(&emulator, server)),
        None => source(&emulator),
    };
    // Nothing is silent where credentials are fetched, and on a slow machine that may take a while.
    let read_timeout = if credentials.is_some() { 10_000 } else { 300 };
    let outcome = run(&format!("{source} {properties} read-timeout={read_timeout}"), caps);
    if let Some(server) = credentials {
        assert_eq!(server.issued().len(), 2, "{name}");
    }
    outcome
}

#[test]
fn a_cut_anywhere_leaves_the_frames_of_an_undisturbed_run() {
    let one = fragments()[0].bytes().len() as u64;
    for (output, caps) in OUTPUTS {
        let undisturbed = run(&source(&stored()), caps).ok();
        for cut in (1..2 * one).step_by(113) {
            let emulator = stored();
            emulator.set_fault(STREAM, Fault::CutAfter(cut), Repeat::Once);
            let outcome = run(&source(&emulator), caps).ok();
            assert_eq!(seen(&outcome), seen(&undisturbed), "cut after {cut} bytes, {output}");
        }
    }
}

#[test]
fn the_endpoint_is_asked_for_again_only_where_it_failed() {
    let emulator = stored();
    for _ in 0..3 {
        emulator.set_fault(STREAM, Fault::EndAfterFragments(1), Repeat::Once);
    }
    run(&source(&emulator), "audio/x-alaw").ok();
    let asked = |operation| emulator.requests().iter().filter(|request| request.operation == operation).count();
    assert_eq!(asked(Operation::GetDataEndpoint), 1);
    emulator.set_fault(STREAM, http(Operation::GetMedia, 400, "InvalidEndpointException"), Repeat::Once);
    run(&source(&emulator), "audio/x-alaw").ok();
    assert_eq!(asked(Operation::GetDataEndpoint), 3);
}

#[test]
fn permanent_errors_end_at_once() {
    for (name, status) in [
        ("ResourceNotFoundException", 404),
        ("AccessDeniedException", 400),
        ("InvalidSignatureException", 403),
        ("UnrecognizedClientException", 403),
    ] {
        let emulator = stored();
        emulator.set_fault(STREAM, Fault::CutAfter(2000), Repeat::Once);
        emulator.set_fault(STREAM, http(Operation::GetMedia, status, name), Repeat::Always);
        // For ever patient, were it not permanent.
        let source = format!("{} start-selector=earliest", source_for_ever(&emulator));
        let outcome = run(&source, "audio/x-alaw");
        let (_, debug) = outcome.error.as_ref().expect("an error");
        assert!(debug.contains(name), "{debug}");
        assert!(!outcome.frames.is_empty());
    }
}

#[test]
fn a_clock_that_is_wrong_ends_no_stream() {
    for ahead in [3600, -3600] {
        init();
        let emulator = Emulator::builder().end_at_head(true).clock_ahead(ahead).start().unwrap();
        emulator.import_bytes(STREAM, body(&fragments())).unwrap();
        for source in [source_without_patience(&emulator), format!("{} retry-timeout=0", range(&emulator, 0, 60_000))] {
            assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 100);
        }
    }
    // What the SDK does not sign once more for.
    let emulator = stored();
    emulator.set_fault(STREAM, http(Operation::GetMedia, 400, "RequestExpired"), Repeat::Times(2));
    assert_eq!(run(&source(&emulator), "audio/x-alaw").ok().frames.len(), 100);
    emulator.set_fault(STREAM, http(Operation::GetMedia, 400, "RequestExpired"), Repeat::Always);
    let text = run(&source_without_patience(&emulator), "audio/x-alaw").failed(gst::ResourceError::OpenRead);
    assert!(text.contains("clock"), "{text}");
}

#[test]
fn retrying_ends_with_the_last_error() {
    let emulator = stored();
    emulator.set_fault(STREAM, http(Operation::GetMedia, 503, "ServiceUnavailable"), Repeat::Always);
    let begin = Instant::now();
    let outcome = run(&format!("{} retry-timeout=500", source(&emulator)), "audio/x-alaw");
    assert!(outcome.failed(gst::ResourceError::OpenRead).contains("ServiceUnavailable"));
    assert!(begin.elapsed().as_millis() >= 500);
}

#[test]
fn a_stream_is_followed_until_it_was_idle_for_so_long() {
    let emulator = stored();
    emulator.set_end_at_head(STREAM, false).unwrap();
    let source = format!("{} start-selector=earliest idle-timeout=300", source_for_ever(&emulator));
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 100);
    // Connections that end at the head again and again are no news either.
    emulator.set_end_at_head(STREAM, true).unwrap();
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 100);
}

#[test]
fn a_stream_goes_on_after_clean_ends_and_a_pause_of_its_producer() {
    let emulator = emulator();
    let fragments = fragments();
    emulator.import_bytes(STREAM, body(&fragments[..2])).unwrap();
    let source = format!("{} start-selector=earliest", source_for_ever(&emulator));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
    let sink = pipeline.sink("audio/x-alaw");
    pipeline.play();
    let pull = |fragments: &[Fragment]| {
        for block in fragments.iter().flat_map(|fragment| &fragment.blocks) {
            let sample = sink.try_pull_sample(PATIENCE).expect("a frame");
            assert_eq!(sample.buffer().unwrap().map_readable().unwrap().as_slice(), block.payload);
        }
    };
    pull(&fragments[..2]);
    let asked = || emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count();
    // The connection ends at the head, and so does the one after it, while the producer pauses.
    super::support::wait_until("further calls", || asked() >= 4);
    emulator.import_bytes(STREAM, body(&fragments[2..])).unwrap();
    pull(&fragments[2..]);
}

#[test]
fn every_change_of_the_connection_is_told() {
    let emulator = stored();
    emulator.set_fault(STREAM, Fault::EndAfterFragments(2), Repeat::Once);
    let source = format!("{} start-selector=earliest {END}", source_for_ever(&emulator));
    let pipeline = Pipeline::new(&format!("{source} ! fakesink sync=false"));
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let mut states = Vec::new();
    loop {
        let types = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Element];
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the end");
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                if structure.name() == "kvs-fragment" {
                    continue;
                }
                assert_eq!(structure.name(), "kvs-connection");
                let state: String = structure.get("state").unwrap();
                if state == "reconnecting" {
                    assert!(structure.get::<String>("reason").unwrap().contains("ended"));
                }
                if state == "connecting" {
                    assert_eq!(structure.get::<u32>("attempt").unwrap(), 1);
                }
                states.push(state);
            }
            gst::MessageView::Eos(_) => break,
            other => panic!("{other:?}"),
        }
    }
    let call = ["connecting", "connected", "reconnecting"];
    let wanted: Vec<_> = call.iter().cycle().take(8).copied().collect();
    assert_eq!(states, wanted);
}
