//! Producers that restart with other tracks or another codec in the middle of a stream.

use super::body::{Block, Fragment, Track, body};
use super::support::{Outcome, emulator_with_body, run, source};

fn sent(fragments: &[Fragment], track: u8) -> Vec<&[u8]> {
    let blocks = fragments.iter().flat_map(|fragment| &fragment.blocks);
    blocks.filter(|block| block.track == track).map(|block| block.payload.as_slice()).collect()
}

fn headers(outcome: &Outcome) -> usize {
    outcome.frames.iter().filter(|frame| frame.bytes.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])).count()
}

/// Four fragments of A-law, of which the last two are at 16 kHz.
fn other_rate() -> Vec<Fragment> {
    let mut fragments: Vec<_> = (0..4).map(|index| Fragment::audio(index, 10)).collect();
    for fragment in &mut fragments[2..] {
        // nSamplesPerSec of the WAVEFORMATEX
        fragment.tracks[0].private[4..8].copy_from_slice(&16_000_u32.to_le_bytes());
        let rate = super::body::element(&[0xB5], &16_000_f64.to_be_bytes());
        fragment.tracks[0].more = super::body::element(&[0xE1], &rate);
    }
    fragments
}

#[test]
fn other_caps_in_elementary_output() {
    let fragments = other_rate();
    let emulator = emulator_with_body(body(&fragments));
    let outcome = run(&source(&emulator), "audio/x-alaw").ok();
    assert_eq!(outcome.payloads(), sent(&fragments, 1));
    let rates: Vec<i32> = outcome.caps.iter().map(|caps| caps.structure(0).unwrap().get("rate").unwrap()).collect();
    assert_eq!(rates, [8000, 16_000]);
    // Every frame is under the caps that it came with.
    let rate = |index: usize| outcome.frames[index].caps.structure(0).unwrap().get::<i32>("rate").unwrap();
    assert_eq!([rate(19), rate(20)], [8000, 16_000]);
}

#[test]
fn other_caps_in_a_new_document() {
    let fragments = other_rate();
    let emulator = emulator_with_body(body(&fragments));
    let source = format!("{} on-new-track=new-document", source(&emulator));
    let raw = run(&source, "video/x-matroska; audio/x-matroska").ok();
    assert_eq!(headers(&raw), 2);
    assert_eq!(raw.caps.len(), 2);
    assert_eq!(raw.caps[0].structure(0).unwrap().name(), "audio/x-matroska");

    let outcome = run(&format!("{source} ! matroskademux"), "audio/x-alaw").ok();
    assert_eq!(outcome.payloads(), sent(&fragments, 1));
    let rate = |index: usize| outcome.frames[index].caps.structure(0).unwrap().get::<i32>("rate").unwrap();
    assert_eq!([rate(19), rate(20)], [8000, 16_000]);
}

#[test]
fn a_header_that_says_the_same_is_sent_once() {
    let mut fragments: Vec<_> = (0..4).map(|index| Fragment::audio(index, 10)).collect();
    // A restarted producer draws new unique ids.
    fragments[2].tracks[0].more = super::body::unsigned(&[0x73, 0xC5], 77);
    let emulator = emulator_with_body(body(&fragments));
    let outcome = run(&source(&emulator), "video/x-matroska; audio/x-matroska").ok();
    assert_eq!((headers(&outcome), outcome.caps.len()), (1, 1));
}

#[test]
fn another_set_of_tracks() {
    let mut fragments: Vec<_> = (0..4).map(|index| Fragment::audio(index, 10)).collect();
    for fragment in &mut fragments[2..] {
        fragment.tracks.push(Track::alaw(2, "loudspeaker"));
        let more: Vec<_> = fragment
            .blocks
            .iter()
            .map(|block| Block { track: 2, payload: [block.payload.as_slice(), &[2]].concat(), ..block.clone() })
            .collect();
        fragment.blocks.extend(more);
        fragment.blocks.sort_by_key(|block| block.time);
    }
    let emulator = emulator_with_body(body(&fragments));

    let first = run(&source(&emulator), "audio/x-alaw").ok();
    assert_eq!(first.payloads(), sent(&fragments, 1));
    assert_eq!(first.caps.len(), 1);

    let line = format!("{} on-new-track=new-document", source(&emulator));
    let container = run(&line, "video/x-matroska; audio/x-matroska").ok();
    assert_eq!(headers(&container), 2);
    let blocks = container.frames.iter().filter(|frame| frame.flags.contains(gst::BufferFlags::DELTA_UNIT)).count();
    assert_eq!(blocks, sent(&fragments, 1).len() + sent(&fragments, 2).len());
}

#[test]
fn the_wanted_track_goes_out_by_number_and_by_name() {
    let mut fragment = Fragment::audio(0, 10);
    fragment.tracks.push(Track::alaw(2, "loudspeaker"));
    let second: Vec<_> =
        fragment.blocks.iter().map(|block| Block { track: 2, payload: vec![9; 5], ..block.clone() }).collect();
    fragment.blocks.extend(second);
    let fragments = [fragment];
    let emulator = emulator_with_body(body(&fragments));
    for (selector, track) in [("1", 1), ("2", 2), ("loudspeaker", 2), ("microphone", 1)] {
        let outcome = run(&format!("{} track={selector}", source(&emulator)), "audio/x-alaw").ok();
        assert_eq!(outcome.payloads(), sent(&fragments, track), "{selector}");
    }
}
