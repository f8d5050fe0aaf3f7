//! Decoding times of elementary output: of every frame, and in the files that muxers make of them.

use gst::prelude::*;
use kvs_emulator::{Fault, Repeat};

use super::archive::range;
use super::body::START_MS;
use super::reordered::{self, ALL, CLOSED, CLOSED_H265, COUNT, Encoded, FRAME, IN_ORDER, KEYFRAMES, OPEN, OPEN_H265};
use super::seek::ms;
use super::support::{Outcome, PATIENCE, Pipeline, STREAM, emulator, run, run_to_end, source};

/// A paused pipeline that has its first frames. Sinks go by decoding times, so that those that are decoded before the
/// segment begins bring none to rest: there must be room for them.
fn paused(description: &str, caps: &str) -> (Pipeline, gst_app::AppSink) {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false"));
    let sink = pipeline.sink(caps);
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.state(PATIENCE).0.expect("the first frame");
    (pipeline, sink)
}

#[test]
fn every_frame_has_one() {
    for encoded in ALL {
        let outcome = run(&source(&encoded.serve()), encoded.caps).ok();
        assert_eq!(outcome.frames.len(), COUNT, "{encoded:?}");
        reordered::judge_times(&outcome, encoded.depth);
        assert!(!outcome.pts_ms().is_sorted(), "{encoded:?}: no picture was reordered");
    }
}

#[test]
fn frames_in_order_are_decoded_when_they_are_shown() {
    let outcome = run(&source(&IN_ORDER.serve()), IN_ORDER.caps).ok();
    let times: Vec<u64> = (0..COUNT as u64).map(|frame| frame * FRAME).collect();
    assert_eq!(outcome.pts_ms(), times);
    assert!(outcome.frames.iter().all(|frame| frame.dts == frame.pts));
}

#[test]
fn other_codecs_have_none() {
    let emulator = super::support::emulator_with_body(super::body::body(&[super::body::Fragment::audio(0, 10)]));
    let outcome = run(&source(&emulator), "audio/x-alaw").ok();
    assert!(outcome.frames.iter().all(|frame| frame.dts.is_none()));
}

#[test]
fn presentation_begins_when_it_did() {
    for encoded in [CLOSED, OPEN_H265, IN_ORDER] {
        let emulator = encoded.serve();
        let (pipeline, sink) = paused(&source(&emulator), encoded.caps);
        assert_eq!(pipeline.query_position::<gst::ClockTime>(), Some(gst::ClockTime::ZERO), "{encoded:?}");
        pipeline.play();
        let sample = sink.try_pull_sample(PATIENCE).unwrap();
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let pts = sample.buffer().unwrap().pts();
        assert_eq!(segment.to_running_time(pts), Some(gst::ClockTime::ZERO), "{encoded:?}");
        assert_eq!(segment.to_stream_time(pts), Some(gst::ClockTime::ZERO));
    }
}

#[test]
fn muxers_write_what_was_encoded() {
    for encoded in ALL {
        reordered::judge_recorders(&source(&encoded.serve()), encoded.parser);
    }
}

#[test]
fn connections_that_are_cut_change_nothing() {
    for encoded in [OPEN, CLOSED_H265] {
        let emulator = encoded.serve();
        for after in [5_000, 20_000, 3_000, 30_000] {
            emulator.set_fault(STREAM, Fault::CutAfter(after), Repeat::Once);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.mp4");
        let line =
            format!("{} ! {} ! mp4mux ! filesink location={}", source(&emulator), encoded.parser, file.display());
        run_to_end(&line).ok();
        reordered::judge_file(&file, COUNT);
    }
}

#[test]
fn fragments_that_come_again_change_nothing() {
    for encoded in [CLOSED, OPEN_H265] {
        let emulator = encoded.serve();
        emulator.import_bytes_at(STREAM, encoded.bytes(), START_MS).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.mp4");
        let line =
            format!("{} ! {} ! mp4mux ! filesink location={}", source(&emulator), encoded.parser, file.display());
        run_to_end(&line).ok();
        reordered::judge_file(&file, COUNT);
    }
}

#[test]
fn parameter_sets_that_do_not_say_it_make_right_files_too() {
    for encoded in [CLOSED, OPEN, reordered::FLAT] {
        let bytes = encoded.saying(|sequence| sequence.vui_parameters.as_mut().unwrap().bitstream_restrictions = None);
        let emulator = emulator();
        emulator.import_bytes_at(STREAM, bytes, START_MS).unwrap();
        reordered::judge_recorders(&source(&emulator), encoded.parser);
    }
}

#[test]
fn parameter_sets_that_are_wrong_are_not_believed_for_long() {
    let bytes = CLOSED.saying(|sequence| {
        let vui = sequence.vui_parameters.as_mut().unwrap();
        vui.bitstream_restrictions.as_mut().unwrap().max_num_reorder_frames = 0;
    });
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, bytes, START_MS).unwrap();
    let outcome = run(&source(&emulator), CLOSED.caps).ok();
    assert_eq!(outcome.frames.len(), COUNT);
    let with: Vec<_> = outcome.frames.iter().filter(|frame| frame.dts.is_some()).collect();
    assert!(with.is_sorted_by_key(|frame| frame.dts) && with.iter().all(|frame| frame.dts <= frame.pts));
    let last_without = outcome.frames.iter().rposition(|frame| frame.dts.is_none());
    assert!((1..KEYFRAMES).contains(&last_without.unwrap()), "{last_without:?}");
}

#[test]
fn a_producer_that_starts_again_and_one_that_was_set_back_go_on() {
    for (encoded, second) in [(CLOSED, 4000), (CLOSED, 0), (CLOSED_H265, 4000)] {
        let emulator = emulator();
        let bytes = encoded.bytes();
        emulator.import_bytes_at(STREAM, bytes.clone(), START_MS + 10_000).unwrap();
        emulator.import_bytes_at(STREAM, bytes, START_MS + 10_000 + second - u64::from(second == 0) * 5000).unwrap();
        let outcome = run(&source(&emulator), encoded.caps).ok();
        assert_eq!(outcome.frames.len(), 2 * COUNT);
        reordered::judge_times(&outcome, encoded.depth);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.mp4");
        let line =
            format!("{} ! {} ! mp4mux ! filesink location={}", source(&emulator), encoded.parser, file.display());
        run_to_end(&line).ok();
        reordered::judge_file(&file, 2 * COUNT);
    }
}

#[test]
fn behind_a_gap_decoding_begins_anew() {
    let emulator = emulator();
    let bytes = CLOSED.bytes();
    emulator.import_bytes_at(STREAM, bytes.clone(), START_MS).unwrap();
    emulator.import_bytes_at(STREAM, bytes, START_MS + 60_000).unwrap();
    let outcome = run(&source(&emulator), CLOSED.caps).ok();
    let delays = outcome.frames.iter().map(|frame| frame.pts.unwrap() - frame.dts.unwrap());
    assert!(delays.max().unwrap() <= 5 * FRAME * 1_000_000);
    assert!(outcome.frames.is_sorted_by_key(|frame| frame.dts));
}

/// The part of the stream from a keyframe of its middle on.
fn from_the_middle(encoded: Encoded) -> (usize, Outcome, std::path::PathBuf, tempfile::TempDir) {
    let emulator = encoded.serve();
    let source = range(&emulator, 0, COUNT as u64 * FRAME);
    // The keyframe that stands after the first second, whenever that is shown.
    let whole = run(&source, encoded.caps).ok();
    let is_key = |index: &usize| !whole.frames[*index].flags.contains(gst::BufferFlags::DELTA_UNIT);
    let at = (KEYFRAMES / 2..COUNT).find(is_key).unwrap();
    let before = encoded.depth as u64 * FRAME;
    let from = whole.frames[at].pts.unwrap() / 1_000_000 - before;
    let source = range(&emulator, from, COUNT as u64 * FRAME);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.mp4");
    run_to_end(&format!("{source} ! {} ! mp4mux ! filesink location={}", encoded.parser, file.display())).ok();
    (COUNT - usize::try_from(from / FRAME).unwrap(), run(&source, encoded.caps).ok(), file, folder)
}

#[test]
fn ranges_begin_with_a_keyframe_and_without_what_lacks_others() {
    for encoded in ALL {
        let (count, outcome, file, _folder) = from_the_middle(encoded);
        assert_eq!(outcome.frames.len(), count, "{encoded:?}");
        reordered::judge_times(&outcome, encoded.depth);
        reordered::judge_file(&file, count);
    }
}

#[test]
fn seeks_begin_anew() {
    for encoded in [OPEN, CLOSED_H265] {
        let emulator = encoded.serve();
        let (pipeline, sink) = paused(&range(&emulator, 0, COUNT as u64 * FRAME), encoded.caps);
        for to in [3000, 1000, 2320] {
            pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, ms(to)).expect("a seek");
            pipeline.state(PATIENCE).0.expect("a frame there");
            assert_eq!(pipeline.query_position::<gst::ClockTime>(), Some(ms(to)), "{encoded:?}");
        }
        pipeline.play();
        let frames: Vec<_> = std::iter::from_fn(|| sink.try_pull_sample(PATIENCE))
            .map(|sample| (sample.buffer().unwrap().dts(), sample.buffer().unwrap().pts()))
            .collect();
        assert!(frames.iter().all(|(dts, pts)| dts.is_some() && dts <= pts), "{frames:?}");
        assert!(frames.is_sorted_by_key(|(dts, _)| *dts), "{frames:?}");
    }
}

/// What comes in a segment of this rate and these flags: presentation and decoding times.
fn played(encoded: Encoded, rate: f64, flags: gst::SeekFlags) -> Vec<(u64, Option<u64>)> {
    let emulator = encoded.serve();
    let (pipeline, sink) = paused(&range(&emulator, 0, COUNT as u64 * FRAME), encoded.caps);
    let all = (gst::SeekType::Set, ms(0), gst::SeekType::Set, ms(COUNT as u64 * FRAME));
    pipeline.seek(rate, gst::SeekFlags::FLUSH | flags, all.0, all.1, all.2, all.3).expect("a seek");
    pipeline.play();
    std::iter::from_fn(|| sink.try_pull_sample(PATIENCE))
        .map(|sample| {
            let buffer = sample.buffer().unwrap();
            (buffer.pts().unwrap().mseconds(), buffer.dts().map(gst::ClockTime::mseconds))
        })
        .collect()
}

#[test]
fn keyframes_alone_are_in_order_and_backward_there_is_none() {
    for encoded in [CLOSED, OPEN_H265] {
        let keyframes = played(encoded, 2.0, gst::SeekFlags::TRICKMODE_KEY_UNITS);
        assert!(keyframes.len() > 2 && keyframes.len() <= COUNT / KEYFRAMES + 1, "{keyframes:?}");
        assert!(keyframes.iter().all(|(pts, dts)| *dts == Some(*pts)), "{keyframes:?}");
        let backward = played(encoded, -1.0, gst::SeekFlags::empty());
        assert!(backward.len() >= COUNT, "{} frames", backward.len());
        assert!(backward.iter().all(|(_, dts)| dts.is_none()));
        let fast = played(encoded, 2.0, gst::SeekFlags::empty());
        assert_eq!(fast.len(), COUNT);
        assert!(fast.is_sorted_by_key(|(_, dts)| *dts));
        assert!(fast.iter().all(|(pts, dts)| dts.is_some_and(|dts| dts <= *pts)));
    }
}
