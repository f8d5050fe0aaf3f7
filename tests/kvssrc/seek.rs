//! Seeking in a range of the archive.

use gst::prelude::*;
use kvs_emulator::{Emulator, Limits, Operation};

use super::archive::{AUDIO, calls, captured, range, seconds, serve};
use super::support::{PATIENCE, Pipeline, STREAM, source_for_ever};

const DAY: u64 = 86_400_000;

pub fn ms(ms: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(ms)
}

/// A paused pipeline that has its first frame.
pub fn paused(description: &str, caps: &str) -> (Pipeline, gst_app::AppSink) {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false max-buffers=1"));
    let sink = pipeline.sink(caps);
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.state(PATIENCE).0.expect("the first frame");
    (pipeline, sink)
}

/// Where the frame that is shown lies in the range.
pub fn shown(sink: &gst_app::AppSink) -> gst::ClockTime {
    let sample = sink.try_pull_preroll(PATIENCE).expect("a frame");
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
    segment.to_stream_time(sample.buffer().unwrap().pts()).expect("a frame of the segment")
}

/// Seeks and waits for what is shown then.
pub fn seek(pipeline: &Pipeline, sink: &gst_app::AppSink, flags: gst::SeekFlags, to: gst::ClockTime) -> gst::ClockTime {
    pipeline.seek_simple(gst::SeekFlags::FLUSH | flags, to).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame there");
    shown(sink)
}

pub fn day() -> Emulator {
    serve(Emulator::builder().limits(Limits::default()), DAY / 2000)
}

#[test]
fn a_range_tells_its_length_and_that_one_can_seek_in_it() {
    let emulator = serve(Emulator::builder(), 60);
    let earliest = format!("{} playback-mode=on-demand start-selector=earliest", source_for_ever(&emulator));
    let earliest = format!("{earliest} end-timestamp={}", seconds(super::body::START_MS + 60_000));
    for (source, length) in [(range(&emulator, 10_500, 60_000), 49_500), (earliest, 60_000)] {
        let (pipeline, _sink) = paused(&source, AUDIO);
        assert_eq!(pipeline.query_duration::<gst::ClockTime>(), Some(ms(length)));
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        assert!(pipeline.query(&mut query));
        let (seekable, start, stop) = query.result();
        assert!(seekable);
        assert_eq!((start.value(), stop.value()), (0, i64::try_from(ms(length).nseconds()).unwrap()));
    }
}

#[test]
fn a_seek_anywhere_in_a_day_shows_the_frame_asked_for() {
    let emulator = day();
    let (pipeline, sink) = paused(&range(&emulator, 0, DAY), AUDIO);
    assert_eq!(shown(&sink), ms(0));
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..12 {
        let to = random.u64(0..DAY - 1000);
        let before = calls(&emulator, Operation::ListFragments);
        let found = seek(&pipeline, &sink, gst::SeekFlags::ACCURATE, ms(to));
        // A frame each 500 ms.
        assert_eq!(found, ms(to.div_ceil(500) * 500), "{to}");
        // One page to find it, and what is listed ahead.
        let listed = calls(&emulator, Operation::ListFragments) - before;
        assert!(listed <= 5, "{listed} calls");
    }
    // Data endpoints stay known over all of them.
    assert_eq!(calls(&emulator, Operation::GetDataEndpoint), 2);
}

#[test]
fn one_can_seek_back_from_the_end() {
    let emulator = serve(Emulator::builder(), 60);
    let (pipeline, sink) = paused(&range(&emulator, 0, 20_000), AUDIO);
    for _ in 0..3 {
        pipeline.play();
        while sink.try_pull_sample(PATIENCE).is_some() {}
        assert!(sink.is_eos());
        let _ = pipeline.set_state(gst::State::Paused);
        assert_eq!(seek(&pipeline, &sink, gst::SeekFlags::ACCURATE, ms(7000)), ms(7000));
    }
    // Behind the end there is nothing but the end.
    pipeline.seek_simple(gst::SeekFlags::FLUSH, ms(30_000)).expect("a seek");
    pipeline.play();
    assert!(sink.try_pull_sample(PATIENCE).is_none());
    assert!(sink.is_eos());
}

#[test]
fn a_part_can_be_played_at_another_rate() {
    let emulator = serve(Emulator::builder(), 60);
    let (pipeline, sink) = paused(&range(&emulator, 2000, 60_000), AUDIO);
    let set = gst::SeekType::Set;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    pipeline.seek(2.0, flags, set, ms(10_000), set, ms(12_000)).expect("a seek");
    pipeline.play();
    let mut times = Vec::new();
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
        let pts = sample.buffer().unwrap().pts();
        times.push((segment.to_stream_time(pts).unwrap(), segment.to_running_time(pts).unwrap()));
    }
    let expected: Vec<_> = (0..4).map(|frame| (ms(10_000 + frame * 500), ms(frame * 250))).collect();
    assert_eq!(times, expected);
}

#[test]
fn a_segment_ends_with_a_message_of_its_own() {
    let emulator = serve(Emulator::builder(), 60);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), AUDIO);
    let set = gst::SeekType::Set;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::SEGMENT;
    pipeline.seek(1.0, flags, set, ms(4000), set, ms(6000)).expect("a seek");
    pipeline.play();
    for _ in 0..4 {
        sink.try_pull_sample(PATIENCE).expect("a frame");
    }
    let types = [gst::MessageType::SegmentDone, gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
    assert_eq!(message.type_(), gst::MessageType::SegmentDone);
}

#[test]
fn pictures_are_found_by_time_or_by_keyframe() {
    let Some((emulator, start)) = captured() else { return };
    let source = format!(
        "{} playback-mode=on-demand start-timestamp={} end-timestamp={}",
        source_for_ever(&emulator),
        seconds(start + 500),
        seconds(start + 10_000)
    );
    assert_eq!(STREAM, "demo");
    for path in ["", " ! kvsdemux"] {
        let (pipeline, sink) = paused(&format!("{source}{path} ! h264parse ! avdec_h264"), "video/x-raw");
        let frame = ms(1000) / 30;
        let is = |found: gst::ClockTime, wanted: gst::ClockTime| found + ms(1) >= wanted && found < wanted + frame;
        for to in [3600, 200, 7010, 0] {
            let found = seek(&pipeline, &sink, gst::SeekFlags::ACCURATE, ms(to));
            assert!(is(found, ms(to)), "{path}: {to} ms shows {found}");
        }
        // Keyframes lie at 2 s, 4 s … of the stream, and so half a second earlier in the range.
        for (to, keyframe) in [(3600, 3500), (7010, 5500), (9400, 7500)] {
            let found = seek(&pipeline, &sink, gst::SeekFlags::KEY_UNIT, ms(to));
            assert!(is(found, ms(keyframe)), "{path}: {to} ms shows {found}");
        }
    }
}
