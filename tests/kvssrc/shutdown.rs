//! Stopping and flushing, whatever the element waits for.

use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::body::{Fragment, body};
use super::support::{
    PATIENCE, Pipeline, STREAM, emulator, emulator_with_body, init, source, source_for_ever, wait_until,
};

/// No state change takes longer, whatever is being waited for.
const PROMPT: Duration = Duration::from_millis(100);

/// A loaded machine can be late, an element that waits is late every time.
const TRIES: usize = 5;

/// Stops pipelines of this source, each as soon as `waiting` returns, and asserts that it can be done promptly.
#[track_caller]
fn stops_promptly(source: &str, mut waiting: impl FnMut()) {
    init();
    let stopped = (0..TRIES).map(|_| {
        let pipeline = Pipeline::new(&format!("{source} ! fakesink sync=false"));
        pipeline.play();
        waiting();
        let begin = Instant::now();
        pipeline.set_state(gst::State::Null).unwrap();
        begin.elapsed()
    });
    let fastest = stopped.min().unwrap();
    assert!(fastest < PROMPT, "{fastest:?}");
}

/// Waits for one more request of this operation each time it is called.
fn requested(emulator: &Emulator, operation: Operation) -> impl FnMut() {
    let mut seen = 0;
    move || {
        seen += 1;
        wait_until("the request comes", || {
            emulator.requests().iter().filter(|request| request.operation == operation).count() >= seen
        });
    }
}

#[test]
fn while_the_endpoint_is_asked_for() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    let hang = Fault::HangRequest { operation: Operation::GetDataEndpoint };
    emulator.set_fault(STREAM, hang, Repeat::Always);
    stops_promptly(&source(&emulator), requested(&emulator, Operation::GetDataEndpoint));
}

#[test]
fn while_the_media_is_asked_for() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    emulator.set_fault(STREAM, Fault::HangRequest { operation: Operation::GetMedia }, Repeat::Always);
    stops_promptly(&source(&emulator), requested(&emulator, Operation::GetMedia));
}

#[test]
fn while_a_body_stalls() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    emulator.set_fault(STREAM, Fault::StallAfter(300), Repeat::Always);
    stops_promptly(&source(&emulator), requested(&emulator, Operation::GetMedia));
}

#[test]
fn while_a_live_stream_is_silent() {
    init();
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    stops_promptly(&source_for_ever(&emulator), requested(&emulator, Operation::GetMedia));
}

#[test]
fn while_a_server_is_silent() {
    init();
    let emulator = emulator();
    // Accepts the connection and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let source = source(&emulator).replace(&emulator.url(), &url);
    let mut connections = Vec::new();
    stops_promptly(&source, || connections.push(listener.accept().unwrap()));
}

#[test]
fn a_flush_in_the_middle_loses_nothing() {
    init();
    let emulator = Emulator::builder().start().unwrap();
    let fragments: Vec<_> = (0..2).map(|index| Fragment::audio(index, 10)).collect();
    emulator.import_bytes(STREAM, fragments[0].bytes()).unwrap();
    let source = format!("{} start-selector=earliest", source_for_ever(&emulator));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
    let sink = pipeline.sink("audio/x-alaw");
    pipeline.play();
    let pull = |fragment: &Fragment| {
        for block in &fragment.blocks {
            let sample = sink.pull_sample().unwrap();
            assert_eq!(sample.buffer().unwrap().map_readable().unwrap().as_slice(), block.payload);
        }
    };
    pull(&fragments[0]);
    // The source waits for the next fragment now, until it is flushed out of that.
    let source = pipeline.by_name("source").unwrap();
    assert!(source.send_event(gst::event::FlushStart::new()));
    assert!(source.send_event(gst::event::FlushStop::builder(true).build()));
    emulator.import_bytes(STREAM, fragments[1].bytes()).unwrap();
    pull(&fragments[1]);
    pipeline.set_state(gst::State::Null).unwrap();
    let asked = emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_pipeline_runs_again_after_it_was_stopped() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    let pipeline = Pipeline::new(&format!("{} ! fakesink sync=false", source(&emulator)));
    for _ in 0..3 {
        pipeline.set_state(gst::State::Playing).unwrap();
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).unwrap();
        assert_eq!(message.type_(), gst::MessageType::Eos);
        pipeline.set_state(gst::State::Null).unwrap();
    }
    let asked = emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count();
    // Each time once for the stream, and once to learn that nothing is behind it.
    assert_eq!(asked, 6);
}
