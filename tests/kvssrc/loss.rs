//! Fragments that retention takes before they were read: the stream goes on, and says what is missing.

use gst::prelude::*;
use kvs_emulator::{Emulator, Fault, MissingStart, Operation, Repeat};

use super::body::{Fragment, START_MS};
use super::support::{PATIENCE, Pipeline, STREAM, init, source_for_ever};

/// Fragments of a second: two are read, the connection is cut, two vanish, and two more come.
fn lose(missing: MissingStart, caps: &str) {
    init();
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    emulator.set_missing_start(STREAM, missing).unwrap();
    let put = |index| emulator.import_bytes_at(STREAM, Fragment::audio(index, 10).bytes(), START_MS + index * 1000);
    put(0).unwrap();
    put(1).unwrap();
    emulator.set_fault(STREAM, Fault::EndAfterFragments(2), Repeat::Once);
    // The next call waits until there is no more of what it asks for.
    let busy = Fault::http(Operation::GetMedia, 503, "ServiceUnavailable", "later");
    emulator.set_fault(STREAM, busy, Repeat::Always);

    let pipeline = Pipeline::new(&format!(
        "{} start-selector=earliest ! appsink name=sink sync=false",
        source_for_ever(&emulator)
    ));
    let sink = pipeline.sink(caps);
    pipeline.play();
    let calls = |count| {
        let seen = || emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count();
        super::support::wait_until("a call", || seen() >= count);
    };
    calls(2);
    put(2).unwrap();
    let last = put(3).unwrap().remove(0).number;
    put(4).unwrap();
    put(5).unwrap();
    assert_eq!(emulator.delete_fragments_up_to(STREAM, &last).unwrap(), 4);
    emulator.clear_faults(STREAM);

    let mut frames = Vec::new();
    while frames.len() < 40 {
        let sample = sink.try_pull_sample(PATIENCE).expect("the stream goes on");
        let buffer = sample.buffer().unwrap();
        let bytes = buffer.map_readable().unwrap();
        if let Some(payload) = bytes.ends_with(&[0xAA]).then(|| bytes[bytes.len() - 3..].to_vec()) {
            frames.push((payload, buffer.pts().unwrap().mseconds(), buffer.flags()));
        }
    }
    let payloads: Vec<_> = frames.iter().map(|(payload, ..)| payload.clone()).collect();
    let sent = [0, 1, 4, 5].map(|index| Fragment::audio(index, 10).blocks).concat();
    assert_eq!(payloads, sent.iter().map(|block| block.payload.clone()).collect::<Vec<_>>());
    assert_eq!(frames[20].1, 4000);
    if caps.starts_with("audio/x-alaw") {
        let disconts = frames[1..].iter().filter(|(.., flags)| flags.contains(gst::BufferFlags::DISCONT)).count();
        assert!(frames[20].2.contains(gst::BufferFlags::DISCONT));
        assert_eq!(disconts, 1);
    }
    let warning = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { panic!("{warning:?}") };
    let text = warning.error().to_string();
    assert!(text.contains("2026-01-05T10:00:01.2Z") && text.contains("2026-01-05T10:00:04Z"), "{text}");
}

#[test]
fn loss_is_told_where_the_service_answers_an_error_tag() {
    lose(MissingStart::ErrorTag, "audio/x-alaw");
}

#[test]
fn loss_is_told_where_the_service_refuses_the_call() {
    lose(MissingStart::InvalidArgument, "audio/x-alaw");
}

#[test]
fn loss_is_told_in_container_output_too() {
    lose(MissingStart::ErrorTag, "audio/x-matroska");
}

#[test]
fn what_is_gone_after_it_was_read_is_no_loss() {
    init();
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    // A second each, without a gap between them.
    let put = |index| emulator.import_bytes_at(STREAM, Fragment::audio(index, 50).bytes(), START_MS + index * 1000);
    put(0).unwrap();
    let last = put(1).unwrap().remove(0).number;
    emulator.set_fault(STREAM, Fault::EndAfterFragments(2), Repeat::Once);
    let busy = Fault::http(Operation::GetMedia, 503, "ServiceUnavailable", "later");
    emulator.set_fault(STREAM, busy, Repeat::Always);
    let pipeline = Pipeline::new(&format!(
        "{} start-selector=earliest ! appsink name=sink sync=false",
        source_for_ever(&emulator)
    ));
    let sink = pipeline.sink("audio/x-alaw");
    pipeline.play();
    let calls = || emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count();
    super::support::wait_until("a second call", || calls() >= 2);
    assert_eq!(emulator.delete_fragments_up_to(STREAM, &last).unwrap(), 2);
    put(2).unwrap();
    emulator.clear_faults(STREAM);
    for index in 0..150 {
        let sample = sink.try_pull_sample(PATIENCE).expect("the stream goes on");
        assert_eq!(sample.buffer().unwrap().pts().unwrap().mseconds(), index * 20);
    }
    let warning = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Warning]);
    assert!(warning.is_none(), "{warning:?}");
}
