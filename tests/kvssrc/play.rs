//! Playing a range of the archive: keyframes, trick modes, rates, and seeks that flush nothing.

use bytes::Bytes;
use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, TrackKind, header};
use kvs_emulator::{Emulator, LongStream, Operation};

use super::archive::{AUDIO, captured, range, seconds, serve};
use super::body::START_MS;
use super::seek::{ms, paused, seek, shown};
use super::support::{PATIENCE, Pipeline, STREAM, init, source_for_ever};

pub const VIDEO: &str = "video/x-vp8";
pub const BOTH: &str = "video/x-matroska";
const SET: gst::SeekType = gst::SeekType::Set;

/// Fragments of 2 s: pictures each 200 ms, of which those at 0 and 1200 ms are keyframes, and sound each 500 ms. Each
/// frame holds its fragment's index and its own.
pub fn long(fragments: u64) -> LongStream {
    let picture = TrackEntry::new(1, TrackKind::Video { width: 16, height: 16 }, "V_VP8").default_duration(200_000_000);
    let format = [6_u8, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 0, 0];
    let sound = TrackEntry::new(2, TrackKind::Audio { rate: 8000.0, channels: 1, bit_depth: 0 }, "A_MS/ACM")
        .codec_private(format.to_vec())
        .default_duration(500_000_000);
    let media = |index: u64| {
        let mut frames: Vec<(u64, i16, bool)> = (0..10).map(|frame| (1, frame * 200, frame % 6 == 0)).collect();
        frames.extend((0..4).map(|frame| (2, frame * 500, true)));
        frames.sort_by_key(|frame| frame.1);
        let block = |cluster: Cluster, (track, time, keyframe): (u64, i16, bool)| {
            let payload = [&index.to_be_bytes()[..], &time.to_be_bytes()].concat();
            cluster.simple_block(track, time, keyframe, &payload)
        };
        frames.into_iter().fold(Cluster::new(0), block).bytes()
    };
    let recording = [header(1_000_000, &[picture, sound]), media(0)].concat();
    LongStream::new(Bytes::from(recording)).unwrap().fragments(fragments).length(2000).start(START_MS).generator(media)
}

pub fn pictures(fragments: u64) -> Emulator {
    init();
    let emulator = Emulator::builder().shuffle(7).start().unwrap();
    emulator.put_long_stream(STREAM, long(fragments)).unwrap();
    emulator
}

/// How many fragments have been asked for.
pub fn fetched(emulator: &Emulator) -> usize {
    let requests = emulator.requests();
    let media = requests.iter().filter(|request| request.operation == Operation::GetMediaForFragmentList);
    media.map(|request| request.body["Fragments"].as_array().unwrap().len()).sum()
}

/// A frame that came: its place in the stream and in running time, and whether it is no keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    pub stream: gst::ClockTime,
    pub running: gst::ClockTime,
    pub delta: bool,
}

pub fn came(sample: &gst::Sample) -> Came {
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
    let buffer = sample.buffer().unwrap();
    Came {
        stream: segment.to_stream_time(buffer.pts()).expect("a frame of the segment"),
        running: segment.to_running_time(buffer.pts()).expect("a frame of the segment"),
        delta: buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
    }
}

/// Plays to the end.
pub fn rest(pipeline: &Pipeline, sink: &gst_app::AppSink) -> Vec<Came> {
    pipeline.play();
    let samples = std::iter::from_fn(|| sink.try_pull_sample(PATIENCE));
    let all = samples.filter(|sample| sample.buffer().unwrap().pts().is_some()).map(|sample| came(&sample)).collect();
    assert!(sink.is_eos());
    all
}

#[test]
fn a_seek_to_a_keyframe_snaps_as_it_is_told() {
    use gst::SeekFlags as Flags;
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    let snapped = |flags: Flags, to: u64| {
        pipeline.seek_simple(Flags::FLUSH | flags, ms(to)).expect("a seek");
        pipeline.state(PATIENCE).0.expect("a frame there");
        let sample = sink.try_pull_preroll(PATIENCE).expect("a frame");
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
        let shown = came(&sample).stream;
        (shown.mseconds(), segment.time().unwrap().mseconds(), segment.start().unwrap().mseconds())
    };
    // Keyframes lie at 2000, 3200 and 4000 ms.
    for (to, before, after, nearest) in [
        (2700, 2000, 3200, 3200),
        (2600, 2000, 3200, 2000),
        (2590, 2000, 3200, 2000),
        (3300, 3200, 4000, 3200),
        (3900, 3200, 4000, 4000),
        (3200, 3200, 3200, 3200),
        (4000, 4000, 4000, 4000),
        (0, 0, 0, 0),
    ] {
        for (flags, wanted) in [
            (Flags::empty(), before),
            (Flags::SNAP_BEFORE, before),
            (Flags::SNAP_AFTER, after),
            (Flags::SNAP_NEAREST, nearest),
        ] {
            let found = snapped(Flags::KEY_UNIT | flags, to);
            assert_eq!(found, (wanted, wanted, wanted), "{to} {flags:?}");
        }
        // Without KEY_UNIT, GStreamer takes these flags away.
        let exact = snapped(Flags::ACCURATE, to);
        assert_eq!(exact, (to.div_ceil(200) * 200, to, to), "{to}");
    }
    // No keyframe follows.
    assert_eq!(snapped(Flags::KEY_UNIT | Flags::SNAP_AFTER, 59_500).0, 59_600);
}

#[test]
fn a_stream_without_video_has_no_keyframes_to_snap_to() {
    let emulator = serve(Emulator::builder(), 30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), AUDIO);
    for flags in [gst::SeekFlags::SNAP_BEFORE, gst::SeekFlags::SNAP_AFTER, gst::SeekFlags::SNAP_NEAREST] {
        assert_eq!(seek(&pipeline, &sink, gst::SeekFlags::KEY_UNIT | flags, ms(7100)), ms(7500));
    }
}

#[test]
fn keyframes_alone_are_shown_and_what_holds_none_that_is_needed_is_not_fetched() {
    use gst::SeekFlags as Flags;
    let flags = Flags::FLUSH | Flags::TRICKMODE | Flags::TRICKMODE_KEY_UNITS | Flags::TRICKMODE_NO_AUDIO;
    // At 8, a step lasts 2.67 s, which is one fragment in most steps and two in every third; at 1, a third of a second.
    for (caps, rate, fragments, shown) in
        [(VIDEO, 1.0, 60, 120), (VIDEO, 8.0, 45, 45), (VIDEO, 16.0, 23, 23), (BOTH, 8.0, 45, 45)]
    {
        let emulator = pictures(60);
        let (pipeline, sink) = paused(&format!("{} max-buffered-bytes=1", range(&emulator, 0, 120_000)), caps);
        let before = fetched(&emulator);
        pipeline.seek(rate, flags, SET, ms(0), SET, ms(120_000)).expect("a seek");
        let all = rest(&pipeline, &sink);
        let mut times: Vec<_> = all.iter().map(|frame| frame.stream.mseconds()).collect();
        times.dedup();
        assert_eq!(times.len(), shown, "{caps} {rate}: {times:?}");
        assert!(times.iter().all(|time| [0, 1200].contains(&(time % 2000))), "{times:?}");
        let third = ms(333);
        let running: Vec<_> = all.iter().map(|frame| frame.running).collect();
        for (index, begin) in running.iter().enumerate() {
            let in_a_second = running[index..].iter().filter(|time| **time < *begin + third * 3).count();
            // A cluster and its block, where both are buffers.
            assert!(in_a_second <= 4 * if caps == BOTH { 2 } else { 1 }, "{running:?}");
        }
        if caps == VIDEO {
            assert!(all.iter().all(|frame| !frame.delta));
        }
        assert_eq!(fetched(&emulator) - before, fragments, "{caps} {rate}");
    }
}

#[test]
fn sound_plays_on_where_nobody_leaves_it_out() {
    use gst::SeekFlags as Flags;
    let emulator = pictures(30);
    let count = |flags: Flags| {
        let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), BOTH);
        pipeline.seek(8.0, Flags::FLUSH | flags, SET, ms(0), SET, ms(60_000)).expect("a seek");
        rest(&pipeline, &sink).len()
    };
    // A cluster for each of 30 fragments.
    assert_eq!(count(Flags::empty()), 30 + 300 + 120);
    assert_eq!(count(Flags::TRICKMODE_NO_AUDIO), 30 + 300);
    // Keyframes at 2000, 8000 … ms are too close to the one before.
    assert_eq!(count(Flags::TRICKMODE_KEY_UNITS), 30 + 23 + 120);
    // A stream that has sound only is played as it is.
    let silent = Flags::TRICKMODE_KEY_UNITS | Flags::TRICKMODE_NO_AUDIO;
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), AUDIO);
    pipeline.seek(8.0, Flags::FLUSH | silent, SET, ms(0), SET, ms(60_000)).expect("a seek");
    assert_eq!(rest(&pipeline, &sink).len(), 120);
}

#[test]
fn a_seek_may_ask_for_an_interval_between_keyframes() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    let event =
        gst::event::Seek::builder(1.0, flags, SET, ms(0), SET, ms(60_000)).trickmode_interval(ms(10_000)).build();
    assert!(pipeline.send_event(event));
    let times: Vec<_> = rest(&pipeline, &sink).iter().map(|frame| frame.stream).collect();
    assert_eq!(times, (0..6).map(|step| ms(step * 10_000)).collect::<Vec<_>>());
}

#[test]
fn every_frame_comes_at_any_rate() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    for (rate, frame) in [(0.25, 800), (2.0, 100), (8.0, 25)] {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let _ = pipeline.set_state(gst::State::Paused);
        pipeline.seek(rate, flags, SET, ms(10_000), SET, ms(20_000)).expect("a seek");
        let all = rest(&pipeline, &sink);
        let wanted: Vec<_> = (0..50).map(|index| (ms(10_000 + index * 200), ms(index * frame))).collect();
        assert_eq!(all.iter().map(|frame| (frame.stream, frame.running)).collect::<Vec<_>>(), wanted, "{rate}");
    }
}

#[test]
fn what_a_seek_does_not_name_stays_as_it_was() {
    let emulator = pictures(30);
    // Something comes before the range, so that the segment's own times are later.
    let (pipeline, sink) = paused(&range(&emulator, 1000, 60_000), VIDEO);
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    let none = gst::SeekType::None;
    pipeline.seek(1.0, flags, SET, ms(0), SET, ms(4000)).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame");
    pipeline.seek(1.0, flags, SET, ms(2000), none, gst::ClockTime::NONE).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame");
    assert_eq!(shown(&sink), ms(2000));
    // From where it is, at another rate.
    pipeline.seek(2.0, flags, none, gst::ClockTime::NONE, none, gst::ClockTime::NONE).expect("a seek");
    let all = rest(&pipeline, &sink);
    // The base class counts what the queue of the sink has taken.
    let first = all[0].stream.mseconds();
    assert!((2000..=2600).contains(&first), "{first}");
    assert_eq!(all[0].running, ms(0));
    assert_eq!(all.last().unwrap().stream, ms(3800));
    // Beyond the end.
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.seek(1.0, flags, SET, ms(58_000), SET, ms(90_000)).expect("a seek");
    let all = rest(&pipeline, &sink);
    assert_eq!((all[0].stream, all.last().unwrap().stream), (ms(58_000), ms(58_800)));
    assert_eq!(pipeline.query_duration::<gst::ClockTime>(), Some(ms(59_000)));
}

#[test]
fn a_seek_that_flushes_nothing_goes_on_in_running_time() {
    let emulator = pictures(30);
    for caps in [VIDEO, AUDIO] {
        let step = if caps == VIDEO { 200 } else { 500 };
        // A clock holds it back, and a queue keeps the source from waiting for it for long.
        let line = format!(
            "{} ! queue max-size-buffers=2 ! appsink name=sink sync=false max-buffers=4",
            range(&emulator, 0, 60_000)
        );
        let pipeline = Pipeline::new(&line);
        let sink = pipeline.sink(caps);
        pipeline.play();
        let mut all: Vec<_> = (0..10).map(|_| came(&sink.try_pull_sample(PATIENCE).expect("a frame"))).collect();
        let asked = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let places = [(30_000, 1.0), (8000, 1.0)];
                places.map(|(to, rate)| pipeline.seek(rate, gst::SeekFlags::ACCURATE, SET, ms(to), SET, ms(to + 6000)))
            });
            while let Some(sample) = sink.try_pull_sample(PATIENCE) {
                all.push(came(&sample));
                if asking.is_finished() && all.last().unwrap().stream >= ms(8000 + 6000 - step) {
                    break;
                }
            }
            asking.join().unwrap()
        });
        assert!(asked.iter().all(Result::is_ok), "{asked:?}");
        assert_eq!(all.last().unwrap().stream, ms(14_000 - step));
        for (index, frame) in all.iter().enumerate() {
            assert_eq!(frame.running, ms(step) * index as u64, "{caps} {index}: {frame:?}");
        }
        assert!(all.iter().any(|frame| frame.stream == ms(8000)));
    }
}

/// Loops over a part of the range; what came, by its place in running time.
pub fn looped(line: &str, caps: &str, from: gst::ClockTime, to: gst::ClockTime, rate: f64, loops: usize) -> Vec<Came> {
    let pipeline = Pipeline::new(&format!("{line} ! appsink name=sink sync=false"));
    let sink = pipeline.sink(caps);
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.state(PATIENCE).0.expect("the first frame");
    let mut flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE | gst::SeekFlags::SEGMENT;
    for _ in 1..loops {
        pipeline.seek(rate, flags, SET, from, SET, to).expect("a seek");
        pipeline.play();
        let types = [gst::MessageType::SegmentDone, gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        assert_eq!(message.type_(), gst::MessageType::SegmentDone, "{message:?}");
        flags.remove(gst::SeekFlags::FLUSH);
    }
    flags.remove(gst::SeekFlags::SEGMENT);
    pipeline.seek(rate, flags, SET, from, SET, to).expect("a seek");
    rest(&pipeline, &sink)
}

#[test]
fn loops_have_no_seam() {
    let emulator = pictures(30);
    let all = looped(&range(&emulator, 1000, 60_000), VIDEO, ms(4000), ms(6000), 2.0, 4);
    let wanted = (0..40).map(|frame| (ms(4000 + frame % 10 * 200), ms(frame * 100)));
    assert_eq!(all.iter().map(|frame| (frame.stream, frame.running)).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
}

#[test]
fn loops_of_real_pictures_have_no_seam() {
    let Some((emulator, start)) = captured() else { return };
    let source = format!(
        "{} playback-mode=on-demand start-timestamp={} end-timestamp={}",
        source_for_ever(&emulator),
        seconds(start + 500),
        seconds(start + 9500)
    );
    for path in ["", " ! kvsdemux"] {
        let all = looped(&format!("{source}{path} ! h264parse ! avdec_h264"), "video/x-raw", ms(0), ms(1500), 1.0, 4);
        let frame = ms(1000) / 30;
        for (index, pair) in all.windows(2).enumerate() {
            // Each loop lies exactly behind the one before it.
            let later = pair[1].running - pair[1].stream;
            assert_eq!(later.nseconds() % ms(1500).nseconds(), 0, "{path}: {pair:?}");
            assert!(
                pair[1].running >= pair[0].running && pair[1].running - pair[0].running < frame + frame,
                "{path}: {pair:?} at {index}"
            );
        }
        assert_eq!(all.last().map(|last| last.running - last.stream), Some(ms(4500)));
    }
}

#[test]
fn a_position_is_known_wherever_one_seeks() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 1000, 60_000), VIDEO);
    let source = pipeline.by_name("source").unwrap();
    for to in [0, 7000, 58_800, 100] {
        let found = seek(&pipeline, &sink, gst::SeekFlags::ACCURATE, ms(to));
        let shown = pipeline.query_position::<gst::ClockTime>().unwrap();
        // A sink counts from where it was sent to.
        assert!(shown >= ms(to) && shown <= found, "{to}: {shown}");
        let position = source.query_position::<gst::ClockTime>().unwrap();
        // The end of the frame that waits behind the one that is shown.
        assert!(position >= found && position <= found + ms(1000), "{to}: {position}");
        assert_eq!(pipeline.query_duration::<gst::ClockTime>(), Some(ms(59_000)));
    }
}
