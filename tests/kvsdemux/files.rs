//! Saved bodies of GetMedia from a file, and streams that no buffer brings a time for.

use gst::prelude::*;

use super::bench::Bench;
use super::body::{Fragment, START_MS, body};
use super::support::{Frame, Outcome, capture, emulator_with_body, run, run_to_end, source};

fn plain(outcome: &Outcome) -> Vec<Frame> {
    let frame = |frame: &Frame| Frame { flags: frame.flags - gst::BufferFlags::TAG_MEMORY, ..frame.clone() };
    outcome.frames.iter().map(frame).collect()
}

#[test]
fn a_saved_body_is_what_kvssrc_reads_in_it() {
    for (name, caps) in [
        ("output_get_media.mkv", "video/x-h264"),
        ("output_get_media_sparse_fragments.mkv", "video/x-h264"),
        ("test_mixed_tags.mkv", "image/jpeg"),
    ] {
        let Some(file) = capture(name) else { return };
        let demuxed = run(&format!("filesrc location={} ! kvsdemux", file.display()), caps).ok();
        let emulator = emulator_with_body(std::fs::read(&file).unwrap());
        let judged = run(&source(&emulator), caps).ok();
        assert!(demuxed.frames.iter().all(|frame| frame.captured.is_some()));
        assert!(plain(&demuxed) == plain(&judged), "{name}");
        assert_eq!(demuxed.caps.last(), judged.caps.last());
    }
}

#[test]
fn matroskademux_finds_the_same_frames_where_cluster_times_go_on() {
    for (name, caps) in [("output_get_media.mkv", "video/x-h264"), ("test_mixed_tags.mkv", "image/jpeg")] {
        let Some(file) = capture(name) else { return };
        let read = |demuxer| run(&format!("filesrc location={} ! {demuxer}", file.display()), caps).ok();
        let (ours, judged) = (read("kvsdemux"), read("matroskademux"));
        assert_eq!(ours.payloads(), judged.payloads());
        assert_eq!(ours.pts_ms(), judged.pts_ms());
    }
}

#[test]
fn however_the_bytes_are_cut() {
    let Some(file) = capture("output_get_media_sparse_fragments.mkv") else { return };
    let read = |blocksize: u64| {
        run(&format!("filesrc location={} blocksize={blocksize} ! kvsdemux", file.display()), "video/x-h264").ok()
    };
    let whole = read(1 << 24);
    assert_eq!(whole.frames.len(), 180);
    for blocksize in [511, 4096, 65_537] {
        assert!(plain(&read(blocksize)) == plain(&whole), "{blocksize}");
    }
}

#[test]
fn cluster_times_that_restart_are_placed_by_the_producer() {
    let fragments: Vec<_> = (0..4)
        .map(|index| Fragment { cluster: 0, producer_ms: START_MS + index * 1500, ..Fragment::audio(index, 10) })
        .collect();
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&fragments)).unwrap();
    assert!(bench.end());
    let outlet = bench.outlet("audio_0");
    let starts: Vec<_> = outlet.pts_ms().into_iter().step_by(10).collect();
    assert_eq!(starts, [0, 1500, 3000, 4500]);
    assert_eq!(outlet.buffers().len(), 40);
}

#[test]
fn bytes_that_come_without_a_word_before_them() {
    let bench = Bench::new();
    bench.push_bytes(body(&[Fragment::audio(0, 10)])).unwrap();
    let outlet = bench.outlet("audio_0");
    assert_eq!(outlet.pts_ms(), (0..10).map(|index| index * 20).collect::<Vec<_>>());
    let events = outlet.events(gst::EventType::Segment);
    let gst::EventView::Segment(segment) = events[0].view() else { unreachable!() };
    assert_eq!(segment.segment().format(), gst::Format::Time);
}

#[test]
fn a_body_without_frames_is_an_error() {
    for name in ["empty-mkv-with-tags.mkv", "test_tags_empty_cluster.mkv"] {
        let Some(file) = capture(name) else { return };
        let outcome = run_to_end(&format!("filesrc location={} ! kvsdemux ! fakesink", file.display()));
        outcome.failed(gst::StreamError::Demux);
    }
}

#[test]
fn a_body_that_was_cut_warns_and_ends() {
    let whole = body(&[Fragment::audio(0, 10), Fragment::audio(1, 10)]);
    let bench = Bench::new();
    // In the middle of the last block.
    let cut = whole.len() - whole.rsplit(|byte| *byte == 0xAA).next().unwrap().len() - 2;
    bench.begin_in_bytes().push_bytes(&whole[..cut]).unwrap();
    assert!(bench.end());
    let warnings = bench.messages(gst::MessageType::Warning);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let outlet = bench.outlet("audio_0");
    assert_eq!(outlet.buffers().len(), 19);
    assert_eq!(outlet.events(gst::EventType::Eos).len(), 1);
}

#[test]
fn a_whole_body_ends_without_a_warning() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&[Fragment::audio(0, 10)])).unwrap();
    assert!(bench.end());
    assert_eq!(bench.messages(gst::MessageType::Warning).len(), 0);
}

#[test]
fn what_is_no_matroska_is_refused_with_its_place() {
    let bench = Bench::new();
    assert_eq!(bench.begin_in_bytes().push_bytes(*b"<html>Not Found</html>"), Err(gst::FlowError::Error));
    let text = bench.error(gst::StreamError::Demux);
    assert!(text.contains("byte 0"), "{text}");
    // Said once.
    assert_eq!(bench.push_bytes(*b"more"), Err(gst::FlowError::Error));
    assert!(!bench.end());
    assert_eq!(bench.messages(gst::MessageType::Error).len(), 0);
}

#[test]
fn an_error_of_the_service_comes_after_the_frames_before_it() {
    let mut bytes = body(&[Fragment::audio(0, 10)]);
    bytes.extend(super::body::tags(&[
        ("AWS_KINESISVIDEO_ERROR_CODE".to_owned(), "Internal error".to_owned()),
        ("AWS_KINESISVIDEO_ERROR_ID".to_owned(), "5000".to_owned()),
    ]));
    let bench = Bench::new();
    assert_eq!(bench.begin_in_bytes().push_bytes(bytes), Err(gst::FlowError::Error));
    let text = bench.error(gst::ResourceError::Read);
    assert!(text.contains("5000") && text.contains("Internal error"), "{text}");
    assert_eq!(bench.outlet("audio_0").buffers().len(), 10);
}

#[test]
fn nothing_can_be_sought_and_the_position_is_the_last_frames() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&[Fragment::audio(0, 10)])).unwrap();
    let sink = bench.outlet("audio_0").sink;
    let mut seeking = gst::query::Seeking::new(gst::Format::Time);
    assert!(sink.peer_query(&mut seeking));
    assert!(!seeking.result().0);
    assert_eq!(sink.peer_query_position::<gst::ClockTime>(), Some(gst::ClockTime::from_mseconds(180)));
    assert_eq!(sink.peer_query_duration::<gst::ClockTime>(), None);
    let seek = gst::event::Seek::new(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::None,
        gst::ClockTime::NONE,
    );
    let upstream = bench.record_upstream_events();
    assert!(!sink.push_event(seek));
    assert!(upstream.lock().unwrap().is_empty());
}

#[test]
fn the_frames_are_the_bytes_that_were_pushed() {
    let mut fragment = Fragment::audio(0, 3);
    for block in &mut fragment.blocks {
        block.payload = vec![7; 5000];
    }
    let bytes = body(&[fragment]);
    let buffer = gst::Buffer::from_slice(bytes);
    let range = {
        let map = buffer.map_readable().unwrap();
        map.as_ptr_range()
    };
    let bench = Bench::new();
    bench.begin_in_bytes().push(buffer).unwrap();
    for frame in bench.outlet("audio_0").buffers() {
        assert_eq!(frame.n_memory(), 1);
        let map = frame.map_readable().unwrap();
        let frame = map.as_ptr_range();
        assert!(range.start <= frame.start && frame.end <= range.end, "the frame was copied");
    }
}
