//! Producers that restart with other tracks or another codec: which pads stay, come and go.

use super::bench::Bench;
use super::body::{Block, Fragment, Track, body, element, unsigned};
use super::support::{emulator_with_body, run, source};
use gst::prelude::*;

/// With these tracks and ten blocks in each.
fn fragment(index: u64, tracks: Vec<Track>) -> Fragment {
    let mut fragment = Fragment::audio(index, 10);
    let times = fragment.blocks.clone();
    fragment.blocks = times
        .iter()
        .flat_map(|block| tracks.iter().map(|track| Block { track: track.number, ..block.clone() }))
        .collect();
    fragment.tracks = tracks;
    fragment
}

/// A-law of 16 kHz.
fn wide(number: u8) -> Track {
    let mut track = Track::alaw(number, "microphone");
    // nSamplesPerSec of the WAVEFORMATEX
    track.private[4..8].copy_from_slice(&16_000_u32.to_le_bytes());
    track.more = element(&[0xE1], &element(&[0xB5], &16_000_f64.to_be_bytes()));
    track
}

fn mulaw(number: u8) -> Track {
    let mut track = Track::alaw(number, "microphone");
    track.private[0] = 7;
    track
}

fn run_through(fragments: &[Fragment]) -> Bench {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(fragments)).unwrap();
    bench
}

/// Name, stream id, buffers and whether it is gone, of every pad in the order they came.
fn summary(bench: &Bench) -> Vec<(String, String, usize, bool)> {
    let summary = |outlet: super::bench::Outlet| {
        (outlet.name.clone(), outlet.stream_id(), outlet.buffers().len(), outlet.removed)
    };
    bench.outlets().into_iter().map(summary).collect()
}

fn row(name: &str, id: &str, buffers: usize, removed: bool) -> (String, String, usize, bool) {
    (name.to_owned(), id.to_owned(), buffers, removed)
}

#[test]
fn other_caps_come_on_the_same_pad() {
    let bench = run_through(&[fragment(0, vec![Track::alaw(1, "a")]), fragment(1, vec![wide(1)])]);
    assert_eq!(summary(&bench), [row("audio_0", "file/001", 20, false)]);
    let events = bench.outlet("audio_0").events(gst::EventType::Caps);
    let rates: Vec<i32> = events
        .iter()
        .map(|event| match event.view() {
            gst::EventView::Caps(caps) => caps.caps().structure(0).unwrap().get("rate").unwrap(),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(rates, [8000, 16_000]);
    assert_eq!(bench.messages(gst::MessageType::StreamCollection).len(), 1);
}

#[test]
fn a_pad_whose_reader_takes_no_other_caps_is_replaced() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&[fragment(0, vec![Track::alaw(1, "a")])])).unwrap();
    bench.outlet("audio_0").sink.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        match info.query_mut().map(|query| query.view_mut()) {
            Some(gst::QueryViewMut::AcceptCaps(query)) => {
                query.set_result(query.caps().structure(0).unwrap().name() == "audio/x-alaw");
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
    bench.push_bytes(body(&[fragment(1, vec![wide(1)]), fragment(2, vec![mulaw(1)])])).unwrap();
    assert_eq!(summary(&bench), [row("audio_0", "file/001", 20, true), row("audio_1", "file/001", 10, false)]);
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::Eos).len(), 1);
    assert_eq!(bench.messages(gst::MessageType::StreamCollection).len(), 2);
}

#[test]
fn a_track_more_is_a_pad_more() {
    let one = vec![Track::alaw(1, "a")];
    let two = vec![Track::alaw(1, "a"), Track::alaw(2, "b")];
    let bench = run_through(&[fragment(0, one), fragment(1, two.clone()), fragment(2, two)]);
    assert_eq!(summary(&bench), [row("audio_0", "file/001", 30, false), row("audio_1", "file/002", 20, false)]);
    let collections = bench.messages(gst::MessageType::StreamCollection);
    assert_eq!(collections.len(), 2);
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::StreamCollection).len(), 2);
    assert_eq!(bench.outlet("audio_1").pts_ms()[0], 1000);
}

#[test]
fn a_track_less_is_a_pad_less() {
    let two = vec![Track::alaw(1, "a"), Track::alaw(2, "b")];
    let bench = run_through(&[fragment(0, two), fragment(1, vec![Track::alaw(2, "b")])]);
    assert_eq!(summary(&bench), [row("audio_0", "file/001", 10, true), row("audio_1", "file/002", 20, false)]);
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::Eos).len(), 1);
    assert_eq!(bench.messages(gst::MessageType::StreamCollection).len(), 2);
}

#[test]
fn tracks_in_another_order_stay_on_their_pads() {
    let (one, two) = (Track::alaw(1, "a"), Track::alaw(2, "b"));
    let mut fragments = [fragment(0, vec![one.clone(), two.clone()]), fragment(1, vec![two, one])];
    for block in fragments.iter_mut().flat_map(|fragment| &mut fragment.blocks) {
        block.payload = vec![block.track; 9];
    }
    let bench = run_through(&fragments);
    assert_eq!(summary(&bench), [row("audio_0", "file/001", 20, false), row("audio_1", "file/002", 20, false)]);
    for (name, track) in [("audio_0", 1), ("audio_1", 2)] {
        assert!(bench.outlet(name).payloads().iter().all(|payload| *payload == [track; 9]), "{name}");
    }
}

#[test]
fn a_pad_stays_where_only_the_number_of_its_track_changes() {
    let bench = run_through(&[
        fragment(0, vec![Track::alaw(1, "a"), Track::alaw(2, "b")]),
        fragment(1, vec![Track::alaw(7, "a"), Track::alaw(1, "b")]),
        fragment(2, vec![Track::alaw(8, "a"), Track::alaw(9, "b"), Track::alaw(1, "c")]),
    ]);
    let expected = [
        row("audio_0", "file/001", 30, false),
        row("audio_1", "file/002", 30, false),
        // Its own number was another track's first.
        row("audio_2", "file/001-2", 10, false),
    ];
    assert_eq!(summary(&bench), expected);
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::Caps).len(), 1);
    assert_eq!(bench.messages(gst::MessageType::StreamCollection).len(), 2);
}

#[test]
fn a_header_that_says_the_same_changes_nothing() {
    let mut again = fragment(1, vec![Track::alaw(1, "a")]);
    // A restarted producer draws new unique ids.
    again.tracks[0].more = unsigned(&[0x73, 0xC5], 77);
    let bench = run_through(&[fragment(0, vec![Track::alaw(1, "a")]), again]);
    assert_eq!(summary(&bench), [row("audio_0", "file/001", 20, false)]);
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::Caps).len(), 1);
    assert_eq!(bench.messages(gst::MessageType::StreamCollection).len(), 1);
}

#[test]
fn another_name_is_another_tag() {
    let bench = run_through(&[fragment(0, vec![Track::alaw(1, "a")]), fragment(1, vec![Track::alaw(1, "b")])]);
    assert_eq!(bench.outlets().len(), 1);
    let events = bench.outlet("audio_0").events(gst::EventType::Tag);
    let titles: Vec<_> = events
        .iter()
        .filter_map(|event| match event.view() {
            gst::EventView::Tag(tag) => tag.tag().get::<gst::tags::Title>().map(|title| title.get().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(titles, ["a", "b"]);
}

#[test]
fn behind_kvssrc_too() {
    let fragments: Vec<_> =
        (0..6).map(|index| fragment(index, vec![if index < 3 { Track::alaw(1, "a") } else { wide(1) }])).collect();
    let emulator = emulator_with_body(body(&fragments));
    let ours = run(&format!("{} ! kvsdemux", source(&emulator)), "audio/x-alaw").ok();
    let judged = run(&source(&emulator), "audio/x-alaw").ok();
    assert_eq!(ours.frames, judged.frames);
    assert_eq!(ours.caps.len(), 2);
}
