//! What downstream of several pads answers, as one answer to upstream.

use super::bench::Bench;
use super::body::{Block, Fragment, Track, body};
use super::support::{emulator_with_body, run_to_end, source};

fn two_tracks(index: u64) -> Vec<u8> {
    let mut fragment = Fragment::audio(index, 10);
    fragment.tracks.push(Track::alaw(2, "loudspeaker"));
    let other: Vec<_> = fragment.blocks.iter().map(|block| Block { track: 2, ..block.clone() }).collect();
    fragment.blocks.extend(other);
    fragment.blocks.sort_by_key(|block| block.time);
    body(&[fragment])
}

#[test]
fn a_pad_that_nobody_wants_stops_nobody() {
    let bench = Bench::with(|name| name == "audio_1");
    bench.begin_in_bytes().push_bytes(two_tracks(0)).unwrap();
    bench.push_bytes(two_tracks(1)).unwrap();
    assert_eq!(bench.outlet("audio_1").buffers().len(), 20);
}

#[test]
fn pads_that_nobody_wants_are_not_linked() {
    let bench = Bench::with(|_| false);
    assert_eq!(bench.begin_in_bytes().push_bytes(two_tracks(0)), Err(gst::FlowError::NotLinked));
}

#[test]
fn the_end_of_one_is_not_the_end_of_all() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(two_tracks(0)).unwrap();
    bench.answer("audio_0", Err(gst::FlowError::Eos));
    bench.push_bytes(two_tracks(1)).unwrap();
    bench.answer("audio_1", Err(gst::FlowError::Eos));
    assert_eq!(bench.push_bytes(two_tracks(2)), Err(gst::FlowError::Eos));
}

#[test]
fn an_error_of_one_is_one_of_all() {
    for error in [gst::FlowError::Error, gst::FlowError::NotNegotiated, gst::FlowError::Flushing] {
        let bench = Bench::new();
        bench.begin_in_bytes().push_bytes(two_tracks(0)).unwrap();
        bench.answer("audio_1", Err(error));
        assert_eq!(bench.push_bytes(two_tracks(1)), Err(error));
        // It is downstream's, who tells the application.
        assert!(bench.messages(gst::MessageType::Error).is_empty());
    }
}

#[test]
fn a_flush_lets_data_through_again() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(two_tracks(0)).unwrap();
    bench.answer("audio_0", Err(gst::FlowError::Eos));
    bench.answer("audio_1", Err(gst::FlowError::Eos));
    assert_eq!(bench.push_bytes(two_tracks(1)), Err(gst::FlowError::Eos));
    bench.event(gst::event::FlushStart::new());
    bench.event(gst::event::FlushStop::new(true));
    bench.answer("audio_0", Ok(gst::FlowSuccess::Ok));
    bench.answer("audio_1", Ok(gst::FlowSuccess::Ok));
    bench.begin_in_bytes().push_bytes(two_tracks(2)).unwrap();
}

#[test]
fn a_silent_track_keeps_no_pipeline_waiting() {
    let fragments: Vec<_> = (0..12)
        .map(|index| {
            let mut fragment = Fragment::audio(index, 50);
            fragment.tracks.push(Track::alaw(2, "loudspeaker"));
            fragment
        })
        .collect();
    let emulator = emulator_with_body(body(&fragments));
    // Two sinks that begin together, behind queues that hold less than the stream.
    let sinks = "demux.audio_0 ! queue ! fakesink demux.audio_1 ! queue ! fakesink";
    run_to_end(&format!("{} ! kvsdemux name=demux {sinks}", source(&emulator))).ok();
}
