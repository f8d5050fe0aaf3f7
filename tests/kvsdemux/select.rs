//! Streams that an application selects.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::bench::Bench;
use super::body::{Block, Fragment, Track, body};

/// Two tracks of A-law and one of pictures, of which every fifth stands for itself.
fn fragment(index: u64) -> Vec<u8> {
    let mut fragment = Fragment::audio(index, 10);
    fragment.tracks.push(Track::alaw(2, "loudspeaker"));
    fragment.tracks.push(Track { number: 3, kind: 1, codec: "V_VP8", private: Vec::new(), name: "", more: Vec::new() });
    let times = fragment.blocks.clone();
    fragment.blocks = (0..)
        .zip(&times)
        .flat_map(|(at, block)| {
            [1, 2, 3].map(|track| Block { track, keyframe: track != 3 || at % 5 == 0, ..block.clone() })
        })
        .collect();
    body(&[fragment])
}

fn select(bench: &Bench, ids: &[&str]) -> (bool, gst::Seqnum) {
    let event = gst::event::SelectStreams::new(ids.iter().copied());
    let seqnum = event.seqnum();
    (bench.element.send_event(event), seqnum)
}

/// The streams of the only streams-selected message, and its sequence number.
#[track_caller]
fn selected(bench: &Bench) -> (Vec<String>, gst::Seqnum) {
    let messages = bench.messages(gst::MessageType::StreamsSelected);
    let [message] = messages.as_slice() else { panic!("not one message: {messages:?}") };
    let gst::MessageView::StreamsSelected(view) = message.view() else { unreachable!() };
    (view.streams().map(|stream| stream.stream_id().unwrap().into()).collect(), message.seqnum())
}

fn counts(bench: &Bench) -> Vec<(String, usize, bool)> {
    bench.outlets().iter().map(|outlet| (outlet.name.clone(), outlet.buffers().len(), outlet.removed)).collect()
}

fn row(name: &str, buffers: usize, removed: bool) -> (String, usize, bool) {
    (name.to_owned(), buffers, removed)
}

#[test]
fn only_what_is_selected_goes_out() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(fragment(0)).unwrap();
    let (done, seqnum) = select(&bench, &["file/002", "file/003"]);
    assert!(done);
    bench.push_bytes(fragment(1)).unwrap();
    assert_eq!(selected(&bench), (vec!["file/002".to_owned(), "file/003".to_owned()], seqnum));
    assert_eq!(counts(&bench), [row("audio_0", 10, true), row("audio_1", 20, false), row("video_0", 20, false)]);
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::Eos).len(), 1);
    assert!(bench.outlet("audio_1").events(gst::EventType::Eos).is_empty());

    // And back again, on a pad of the same name and id.
    assert!(select(&bench, &["file/001", "file/002", "file/003"]).0);
    bench.push_bytes(fragment(2)).unwrap();
    let outlet = bench.outlet("audio_0");
    assert_eq!((outlet.buffers().len(), outlet.removed, outlet.stream_id()), (10, false, "file/001".to_owned()));
    assert!(outlet.buffers()[0].flags().contains(gst::BufferFlags::DISCONT));
    assert_eq!(outlet.pts_ms()[0], 2000);
    assert_eq!(selected(&bench).0.len(), 3);
}

#[test]
fn a_pad_that_goes_ends_behind_the_one_that_comes() {
    for (before, after) in
        [(("video_0", "file/003"), ("audio_0", "file/001")), (("audio_0", "file/001"), ("video_0", "file/003"))]
    {
        let bench = Bench::new();
        bench.begin_in_bytes().push_bytes(fragment(0)).unwrap();
        assert!(select(&bench, &[before.1]).0);
        bench.push_bytes(fragment(1)).unwrap();

        let order = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&order);
        bench.element.connect_pad_added(move |_, pad| list.lock().unwrap().push(format!("{} begins", pad.name())));
        let list = Arc::clone(&order);
        bench.outlet(before.0).sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
                list.lock().unwrap().push("the other one ends".to_owned());
            }
            gst::PadProbeReturn::Ok
        });
        assert!(select(&bench, &[after.1]).0);
        bench.push_bytes(fragment(2)).unwrap();
        assert_eq!(*order.lock().unwrap(), [format!("{} begins", after.0), "the other one ends".to_owned()]);
        assert_eq!(bench.outlet(after.0).buffers().len(), 10);
    }
}

#[test]
fn pictures_begin_with_one_that_stands_for_itself() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(fragment(0)).unwrap();
    assert!(select(&bench, &["file/001"]).0);
    // Up to behind the third block of each track: Cluster and its Timestamp, then blocks of 16 bytes.
    let bytes = fragment(1);
    let cluster = bytes.windows(4).rposition(|bytes| bytes == [0x1F, 0x43, 0xB6, 0x75]).unwrap();
    let (begin, rest) = bytes.split_at(cluster + 12 + 17 + 9 * 16);
    bench.push_bytes(begin).unwrap();
    assert!(select(&bench, &["file/001", "file/003"]).0);
    bench.push_bytes(rest).unwrap();
    let outlet = bench.outlet("video_0");
    assert_eq!(outlet.pts_ms(), [1100, 1120, 1140, 1160, 1180]);
    assert!(!outlet.buffers()[0].flags().contains(gst::BufferFlags::DELTA_UNIT));
    assert_eq!(bench.outlet("audio_0").buffers().len(), 20);
}

#[test]
fn what_there_is_not_cannot_be_selected() {
    let bench = Bench::new();
    bench.begin_in_bytes();
    assert!(!select(&bench, &["file/001"]).0);
    bench.push_bytes(fragment(0)).unwrap();
    assert!(!select(&bench, &["file/004"]).0);
    assert!(!select(&bench, &["file/001", "elsewhere/001"]).0);
    bench.push_bytes(fragment(1)).unwrap();
    assert_eq!(counts(&bench), [row("audio_0", 20, false), row("audio_1", 20, false), row("video_0", 20, false)]);
    assert!(bench.messages(gst::MessageType::StreamsSelected).is_empty());
}

#[test]
fn an_event_that_comes_from_every_pad_is_one() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(fragment(0)).unwrap();
    let event = gst::event::SelectStreams::new(["file/001"]);
    let upstream = bench.record_upstream_events();
    for outlet in bench.outlets() {
        assert!(outlet.sink.push_event(event.clone()));
    }
    bench.push_bytes(fragment(1)).unwrap();
    assert!(bench.outlet("audio_0").sink.push_event(event));
    bench.push_bytes(fragment(2)).unwrap();
    assert_eq!(selected(&bench).0, ["file/001"]);
    assert!(upstream.lock().unwrap().is_empty());
}

#[test]
fn a_selection_holds_under_another_header() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(fragment(0)).unwrap();
    assert!(select(&bench, &["file/002"]).0);
    bench.push_bytes(fragment(1)).unwrap();
    let with = |name, fragment: &mut Fragment| fragment.tracks.push(Track::alaw(2, name));
    let mut other = Fragment::audio(2, 10);
    with("other", &mut other);
    other.blocks.iter_mut().for_each(|block| block.track = 2);
    bench.push_bytes(body(&[other])).unwrap();
    assert_eq!(counts(&bench)[1], row("audio_1", 30, false));
    assert_eq!(bench.outlets().len(), 3);

    // Where nothing is left of it, everything goes out.
    bench.push_bytes(body(&[Fragment::audio(3, 10)])).unwrap();
    assert_eq!(counts(&bench)[3], row("audio_0", 10, false));
}
