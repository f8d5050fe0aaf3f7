//! What applications and the base class may rely on around a seek: refusals do no harm, flushes are no errors, and what
//! comes of a seek bears its number.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::Emulator;

use super::archive::{AUDIO, range, serve};
use super::body::{Fragment, body};
use super::play::{VIDEO, pictures};
use super::seek::{ms, paused};
use super::support::{PATIENCE, Pipeline, emulator_with_body, init, source, wait_until};

const FLUSH: gst::SeekFlags = gst::SeekFlags::FLUSH;

/// The events that come out of kvssrc.
fn events(pipeline: &Pipeline) -> Arc<Mutex<Vec<gst::Event>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    // Behind all probes of its own.
    let types = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    pad.peer().unwrap().add_probe(types, move |_, info| {
        seen.lock().unwrap().extend(info.event().cloned());
        gst::PadProbeReturn::Ok
    });
    events
}

fn flushed(events: &Mutex<Vec<gst::Event>>) -> bool {
    events.lock().unwrap().iter().any(|event| event.type_() == gst::EventType::FlushStart)
}

#[test]
fn a_seek_that_is_refused_flushes_nothing() {
    init();
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 50)]));
    let live = format!("{} timestamp-mode=contiguous", source(&emulator));
    let archive = serve(Emulator::builder(), 30);
    let seek = |from: u64, to: u64| {
        let set = gst::SeekType::Set;
        gst::event::Seek::new(1.0, FLUSH, set, ms(from), set, ms(to))
    };
    for (description, seeks) in
        [(live, [seek(100, 200), seek(200, 100)]), (range(&archive, 0, 60_000), [seek(2000, 1000), seek(60_000, 1)])]
    {
        let (pipeline, _) = paused(&description, AUDIO);
        let events = events(&pipeline);
        let source = pipeline.by_name("source").unwrap();
        let pad = source.static_pad("src").unwrap();
        for seek in seeks {
            assert!(!source.send_event(seek.clone()), "{description}");
            assert!(!pad.send_event(seek), "{description}");
        }
        assert!(!flushed(&events), "{description}");
        assert!(pad.sticky_event::<gst::event::Segment>(0).is_some(), "{description}");
    }
}

/// The pad flushes before the streaming thread is asked to return: it may be about to say what the caps are.
#[test]
fn a_flush_before_the_first_caps_is_no_error() {
    let emulator = serve(Emulator::builder(), 30);
    let pipeline = Pipeline::new(&format!("{} ! {AUDIO} ! fakesink name=sink sync=false", range(&emulator, 0, 60_000)));
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    let asked = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&asked);
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |pad, info| {
        let is_caps = info.query().is_some_and(|query| query.type_() == gst::QueryType::Caps);
        if is_caps && !std::mem::replace(&mut seen.lock().unwrap(), true) {
            wait_until("the pad flushes", || pad.pad_flags().contains(gst::PadFlags::FLUSHING));
        }
        gst::PadProbeReturn::Ok
    });
    let _ = pipeline.set_state(gst::State::Paused);
    wait_until("downstream is asked what it takes", || *asked.lock().unwrap());
    pipeline.seek_simple(FLUSH, ms(4000)).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame there");
    assert_eq!(pipeline.query_position::<gst::ClockTime>(), Some(ms(4000)));
    let error = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn the_segments_of_a_seek_bear_its_number() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    let events = events(&pipeline);
    for flags in [FLUSH, FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE] {
        events.lock().unwrap().clear();
        let set = gst::SeekType::Set;
        let seek =
            gst::event::Seek::builder(1.0, flags, set, ms(4700), gst::SeekType::None, gst::ClockTime::NONE).build();
        let seqnum = seek.seqnum();
        assert!(pipeline.send_event(seek));
        sink.try_pull_preroll(PATIENCE).expect("a frame");
        let events = events.lock().unwrap();
        let segments: Vec<_> = events.iter().filter(|event| event.type_() == gst::EventType::Segment).collect();
        assert!(
            !segments.is_empty() && segments.iter().all(|segment| segment.seqnum() == seqnum),
            "{flags:?}: {segments:?}"
        );
    }
}
