//! Streams in which nothing comes for a while: when that is their end, and when it is no failure.

use gst::prelude::*;
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::body::{Fragment, body};
use super::support::{END, PATIENCE, Pipeline, STREAM, emulator_with_body, run, source_for_ever, wait_until};

fn calls(emulator: &Emulator) -> usize {
    emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count()
}

/// A fragment of 40 kB takes longer than the stream may be idle, but its bytes keep coming.
#[test]
fn a_slow_link_is_no_end() {
    let mut fragments = [Fragment::audio(0, 40), Fragment::audio(1, 40)];
    for block in fragments.iter_mut().flat_map(|fragment| &mut fragment.blocks) {
        block.payload.resize(1000, 0);
    }
    let emulator = emulator_with_body(body(&fragments));
    emulator.set_fault(STREAM, Fault::Slow { bytes_per_second: 12_000 }, Repeat::Always);
    let source = format!("{} start-selector=earliest {END} idle-timeout=2000", source_for_ever(&emulator));
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 80);
}

#[test]
fn a_stream_may_be_idle_for_longer_than_a_connection_may_be_silent() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    emulator.import_bytes(STREAM, body(&[Fragment::audio(0, 10)])).unwrap();
    let source = source_for_ever(&emulator);
    let source = format!("{source} start-selector=earliest read-timeout=100 idle-timeout=700 retry-timeout=0");
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 10);
    assert!(calls(&emulator) > 2);
}

#[test]
fn a_silent_camera_is_no_failure() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    let source = source_for_ever(&emulator);
    let source = format!("{source} start-selector=earliest read-timeout=100 retry-timeout=0");
    let pipeline = Pipeline::new(&format!("{source} ! audio/x-alaw ! appsink name=sink sync=false"));
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.play();
    wait_until("it is called again and again", || calls(&emulator) > 3);
    emulator.import_bytes(STREAM, body(&[Fragment::audio(0, 10)])).unwrap();
    for _ in 0..10 {
        assert!(
            sink.try_pull_sample(PATIENCE).is_some(),
            "{:?}",
            pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error])
        );
    }
}
