//! Playing a range of the archive from its end to its beginning.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::archive::{AUDIO, calls, captured, range, seconds, serve};
use super::judges;
use super::play::{BOTH, Came, VIDEO, came, fetched, looped, pictures, rest};
use super::seek::{day, ms, paused};
use super::support::{PATIENCE, Pipeline, run, source_for_ever};

const SET: gst::SeekType = gst::SeekType::Set;
const ACCURATE: gst::SeekFlags = gst::SeekFlags::FLUSH.union(gst::SeekFlags::ACCURATE);

/// A frame as it leaves the source: its place in the stream in ms, whether it is the first of a run, and whether it is
/// only decoded.
type Left = (u64, bool, bool);

/// All that leaves the source from now on.
fn watched(pipeline: &Pipeline) -> Arc<Mutex<Vec<Left>>> {
    let left: Arc<Mutex<Vec<Left>>> = Arc::default();
    let seen = Arc::clone(&left);
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(types, move |pad, info| {
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let place = |buffer: &gst::BufferRef| {
            let segment = segment.as_ref()?.segment().downcast_ref::<gst::ClockTime>()?;
            // Also outside of the segment.
            let place = buffer.pts()?.nseconds() + segment.time()?.nseconds();
            let flags = buffer.flags();
            Some((
                (place - segment.start()?.nseconds().min(place)) / 1_000_000,
                flags.contains(gst::BufferFlags::DISCONT),
                flags.contains(gst::BufferFlags::DECODE_ONLY),
            ))
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => seen.lock().unwrap().extend(place(buffer)),
            Some(gst::PadProbeData::BufferList(list)) => seen.lock().unwrap().extend(list.iter().filter_map(place)),
            _ => seen.lock().unwrap().clear(),
        }
        gst::PadProbeReturn::Ok
    });
    left
}

#[track_caller]
fn play(
    pipeline: &Pipeline,
    sink: &gst_app::AppSink,
    rate: f64,
    flags: gst::SeekFlags,
    from: u64,
    to: u64,
) -> Vec<Came> {
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.seek(rate, flags, SET, ms(from), SET, ms(to)).expect("a seek");
    rest(pipeline, sink)
}

fn places(all: &[Came]) -> Vec<u64> {
    all.iter().map(|frame| frame.stream.mseconds()).collect()
}

#[test]
fn fragments_come_from_the_last_to_the_first_and_their_frames_in_decoding_order() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    let left = watched(&pipeline);
    let all = play(&pipeline, &sink, -1.0, ACCURATE, 0, 60_000);
    let wanted: Vec<Left> = (0..30_u64)
        .rev()
        .flat_map(|fragment| (0..10).map(move |frame| (fragment * 2000 + frame * 200, frame == 0, false)))
        .collect();
    assert_eq!(*left.lock().unwrap(), wanted);
    assert_eq!(places(&all), wanted.iter().map(|frame| frame.0).collect::<Vec<_>>());
    for frame in &all {
        assert_eq!(frame.running + frame.stream, ms(60_000));
    }
}

#[test]
fn of_fragments_at_the_edges_only_what_is_needed_comes() {
    let emulator = pictures(30);
    for from in [0, 1000, 2600] {
        let (pipeline, sink) = paused(&range(&emulator, from, 60_000), VIDEO);
        let left = watched(&pipeline);
        let all = play(&pipeline, &sink, -2.0, ACCURATE, 3400 - from, 7100 - from);
        // The keyframe at 3200 ms is needed, and outside of the segment: a sink without a decoder drops that run.
        let wanted: Vec<Left> = [6000, 6200, 6400, 6600, 6800, 7000]
            .into_iter()
            .chain((0..10).map(|frame| 4000 + frame * 200))
            .chain([3200, 3400, 3600, 3800])
            .map(|place: u64| (place.saturating_sub(from), [6000, 4000, 3200].contains(&place), place == 3200))
            .collect();
        assert_eq!(*left.lock().unwrap(), wanted, "{from}");
        assert_eq!(all.len(), 16);
        for frame in &all {
            assert_eq!(frame.running * 2 + frame.stream, ms(7100 - from));
        }
    }
}

#[test]
fn a_seek_backwards_anywhere_in_a_day_needs_a_page() {
    let emulator = day();
    let (pipeline, sink) = paused(&range(&emulator, 0, 86_400_000), AUDIO);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..8 {
        let stop = random.u64(5000..86_400_000);
        let before = calls(&emulator, Operation::ListFragments);
        pipeline.seek(-1.0, ACCURATE, SET, ms(0), SET, ms(stop)).expect("a seek");
        pipeline.state(PATIENCE).0.expect("a frame there");
        let frame = came(&sink.try_pull_preroll(PATIENCE).expect("a frame"));
        // The first frame of the fragment that holds the stop.
        assert_eq!(frame.stream, ms((stop - 1) / 2000 * 2000), "{stop}");
        let listed = calls(&emulator, Operation::ListFragments) - before;
        assert!(listed <= 5, "{listed} calls");
        assert!(listed_first(&emulator, before) <= 2, "{stop}");
    }
    // What there is not is not listed twice.
    let (pipeline, sink) = paused(&range(&emulator, 0, 20 * 86_400_000), AUDIO);
    let before = calls(&emulator, Operation::ListFragments);
    pipeline.seek(-1.0, ACCURATE, SET, ms(0), SET, ms(20 * 86_400_000)).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame there");
    assert_eq!(came(&sink.try_pull_preroll(PATIENCE).unwrap()).stream, ms(86_400_000 - 2000));
    // The window at the end, and a first look at all the rest.
    assert!(listed_first(&emulator, before) <= 4);
}

/// How many pages were listed behind so many others, before any media was asked for.
fn listed_first(emulator: &Emulator, before: usize) -> usize {
    let requests = emulator.requests();
    let mut operations = requests.iter().map(|request| request.operation);
    (0..before).for_each(|_| assert!(operations.by_ref().any(|operation| operation == Operation::ListFragments)));
    // What a reading that is over still asked for.
    let behind = operations.skip_while(|operation| *operation != Operation::ListFragments);
    behind.take_while(|operation| *operation != Operation::GetMediaForFragmentList).count()
}

#[test]
fn from_the_earliest_fragment_it_goes_back_once_that_is_known() {
    let emulator = pictures(30);
    let end = seconds(super::body::START_MS + 60_000);
    let line =
        format!("{} playback-mode=on-demand start-selector=earliest end-timestamp={end}", source_for_ever(&emulator));
    let (pipeline, sink) = paused(&line, VIDEO);
    let all = play(&pipeline, &sink, -1.0, ACCURATE, 0, 60_000);
    assert_eq!((all.len(), all[0].stream, all[299].stream), (300, ms(58_000), ms(1800)));
}

#[test]
fn it_turns_round_without_a_flush_and_running_time_goes_on() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    let mut flags = ACCURATE | gst::SeekFlags::SEGMENT;
    let mut ends = Vec::new();
    for (rate, from, to) in [(1.0, 4000, 8000), (-2.0, 4000, 8000), (0.5, 4000, 6000), (-1.0, 2000, 6000)] {
        pipeline.seek(rate, flags, SET, ms(from), SET, ms(to)).expect("a seek");
        pipeline.play();
        let count = (to - from) / 200;
        let all: Vec<_> = (0..count).map(|_| came(&sink.try_pull_sample(PATIENCE).expect("a frame"))).collect();
        let types = [gst::MessageType::SegmentDone, gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        assert_eq!(message.type_(), gst::MessageType::SegmentDone, "{message:?}");
        ends.push(all.iter().map(|frame| frame.running).min().unwrap().mseconds());
        flags.remove(gst::SeekFlags::FLUSH);
    }
    // Backwards, the last frame is presented when its end is reached.
    assert_eq!(ends, [0, 4000 + 100, 6000, 10_000 + 200]);
}

#[test]
fn a_long_range_comes_whole_over_any_number_of_connections() {
    let emulator = serve(Emulator::builder(), 600);
    for connections in [1, 5] {
        let source = format!("{} connections={connections}", range(&emulator, 0, 1_200_000));
        let (pipeline, sink) = paused(&source, AUDIO);
        let all = play(&pipeline, &sink, -1.0, ACCURATE, 0, 1_200_000);
        let wanted = (0..600_u64).rev().flat_map(|fragment| (0..4).map(move |frame| fragment * 2000 + frame * 500));
        assert_eq!(places(&all), wanted.collect::<Vec<_>>(), "{connections}");
    }
}

#[test]
fn faults_change_nothing() {
    let emulator = serve(Emulator::builder(), 60);
    let (pipeline, sink) = paused(&range(&emulator, 0, 120_000), AUDIO);
    let wanted = play(&pipeline, &sink, -1.0, ACCURATE, 20_000, 80_000);
    let media = Operation::GetMediaForFragmentList;
    for (fault, repeat) in [
        (Fault::CutAfter(5000), Repeat::Times(3)),
        (Fault::EndAfterFragments(2), Repeat::Nth(2)),
        (Fault::BodyErrorTag { code: "InternalError".to_owned(), id: 5000, after: 2 }, Repeat::Nth(2)),
        (Fault::MissingFragment(1), Repeat::Nth(2)),
    ] {
        emulator.set_fault_on(super::support::STREAM, media, fault, repeat);
        assert_eq!(play(&pipeline, &sink, -1.0, ACCURATE, 20_000, 80_000), wanted);
    }
    let (pipeline, sink) = paused(&format!("{} retry-timeout=0", range(&emulator, 0, 120_000)), AUDIO);
    emulator.set_fault_on(super::support::STREAM, media, Fault::MissingFragment(1), Repeat::Nth(2));
    assert_eq!(play(&pipeline, &sink, -1.0, ACCURATE, 20_000, 80_000).len(), wanted.len() - 4);
}

#[test]
fn a_segment_is_done_at_its_start_and_loops_have_no_seam() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 1000, 60_000), VIDEO);
    let mut all = Vec::new();
    let mut flags = ACCURATE | gst::SeekFlags::SEGMENT;
    for _ in 0..3 {
        pipeline.seek(-1.0, flags, SET, ms(4200), SET, ms(7000)).expect("a seek");
        pipeline.play();
        // A fragment, and what lies behind the second keyframe of the one before.
        all.extend((0..14).map(|_| came(&sink.try_pull_sample(PATIENCE).expect("a frame"))));
        let types = [gst::MessageType::SegmentDone, gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        let gst::MessageView::SegmentDone(done) = message.view() else { panic!("{message:?}") };
        // The segment's own time, which is later by what could come before the range.
        assert_eq!(done.get().value(), i64::try_from(ms(10_000).nseconds()).unwrap());
        flags.remove(gst::SeekFlags::FLUSH);
    }
    let run = [5000, 5200, 5400, 5600, 5800, 6000, 6200, 6400, 6600, 6800];
    let wanted: Vec<u64> = run.into_iter().chain([4200, 4400, 4600, 4800]).collect();
    for (index, round) in all.chunks(14).enumerate() {
        assert_eq!(places(round), wanted);
        let base = ms(2800) * index as u64;
        for frame in round {
            assert_eq!(frame.running, base + (ms(7000) - frame.stream), "{index}");
        }
    }
}

#[test]
fn the_end_snaps_to_the_keyframe_that_is_played_before_or_after() {
    use gst::SeekFlags as Flags;
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 0, 60_000), VIDEO);
    // Keyframes lie at 8000, 9200 and 10000 ms: before a moment, on the way back, is what lies behind it.
    for (to, before, after, nearest) in [
        (8900, 9200, 8000, 9200),
        (8600, 9200, 8000, 9200),
        (8500, 9200, 8000, 8000),
        (9300, 10_000, 9200, 9200),
        (9700, 10_000, 9200, 10_000),
        (9200, 9200, 9200, 9200),
        (10_000, 10_000, 10_000, 10_000),
        (59_900, 59_900, 59_200, 59_200),
    ] {
        for (flags, wanted) in [
            (Flags::empty(), before),
            (Flags::SNAP_BEFORE, before),
            (Flags::SNAP_AFTER, after),
            (Flags::SNAP_NEAREST, nearest),
        ] {
            let all = play(&pipeline, &sink, -1.0, Flags::FLUSH | Flags::KEY_UNIT | flags, to - 4000, to);
            let last = all.iter().map(|frame| frame.stream).max().unwrap();
            assert_eq!(last, ms((wanted - 1) / 200 * 200), "{to} {flags:?}");
            let of_last = all.iter().find(|frame| frame.stream == last).unwrap();
            assert_eq!(of_last.running + last, ms(wanted), "{to} {flags:?}");
        }
    }
}

#[test]
fn keyframes_alone_come_backwards_too() {
    let emulator = pictures(60);
    let flags = ACCURATE | gst::SeekFlags::TRICKMODE_KEY_UNITS | gst::SeekFlags::TRICKMODE_NO_AUDIO;
    for (caps, rate, fragments) in [(VIDEO, -8.0, 45), (VIDEO, -16.0, 23), (BOTH, -8.0, 45)] {
        let (pipeline, sink) = paused(&format!("{} max-buffered-bytes=1", range(&emulator, 0, 120_000)), caps);
        let before = fetched(&emulator);
        let all = play(&pipeline, &sink, rate, flags, 0, 120_000);
        let asked = fetched(&emulator) - before;
        assert!(asked.abs_diff(fragments) <= 1, "{caps} {rate}: {asked}");
        let mut times = places(&all);
        times.dedup();
        assert!(times.len().abs_diff(fragments) <= 1, "{caps} {rate}: {times:?}");
        assert!(times.iter().all(|time| [0, 1200].contains(&(time % 2000))), "{times:?}");
        assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{times:?}");
    }
}

#[test]
fn a_position_goes_back_and_a_duration_stays() {
    let emulator = pictures(30);
    let line = format!("{} ! appsink name=sink sync=false max-buffers=1", range(&emulator, 1000, 60_000));
    let pipeline = Pipeline::new(&line);
    let sink = pipeline.sink(VIDEO);
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.state(PATIENCE).0.expect("the first frame");
    let source = pipeline.by_name("source").unwrap();
    // Beyond the end lies the end.
    pipeline.seek(-1.0, ACCURATE, SET, ms(0), SET, ms(90_000)).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame");
    pipeline.play();
    let mut before = ms(59_000);
    for _ in 0..250 {
        sink.try_pull_sample(PATIENCE).expect("a frame");
        let position = source.query_position::<gst::ClockTime>().unwrap();
        assert!(position <= before, "{position} behind {before}");
        before = position;
        assert_eq!(pipeline.query_duration::<gst::ClockTime>(), Some(ms(59_000)));
    }
    assert!(before <= ms(10_000), "{before}");
    while sink.try_pull_sample(PATIENCE).is_some() {}
    assert!(sink.is_eos());
    assert_eq!(source.query_position::<gst::ClockTime>(), Some(ms(0)));
}

#[test]
fn from_where_it_is_it_plays_the_other_way() {
    let emulator = pictures(30);
    let (pipeline, sink) = paused(&range(&emulator, 2000, 60_000), VIDEO);
    pipeline.seek(1.0, ACCURATE, SET, ms(0), SET, ms(50_000)).expect("a seek");
    pipeline.seek(1.0, ACCURATE, SET, ms(30_000), SET, ms(50_000)).expect("a seek");
    pipeline.state(PATIENCE).0.expect("a frame");
    pipeline.seek(-1.0, ACCURATE, SET, ms(0), gst::SeekType::None, gst::ClockTime::NONE).expect("a seek");
    let all = rest(&pipeline, &sink);
    let (first, last) =
        (all.iter().map(|frame| frame.stream).max().unwrap(), all.iter().map(|frame| frame.stream).min());
    assert!(first >= ms(30_000) && first <= ms(31_000), "{first}");
    assert_eq!(last, Some(ms(0)));
    // And on from there.
    pipeline.seek(1.0, ACCURATE, SET, ms(0), SET, gst::ClockTime::NONE).expect("a seek");
    assert_eq!(rest(&pipeline, &sink).len(), 290);
}

/// The range of the capture from half a second on.
fn real() -> Option<(Emulator, String)> {
    let (emulator, start) = captured()?;
    let source = format!(
        "{} playback-mode=on-demand start-timestamp={} end-timestamp={}",
        source_for_ever(&emulator),
        seconds(start + 500),
        seconds(start + 9700)
    );
    Some((emulator, source))
}

/// Time and content of all pictures.
fn decoded(sink: &gst_app::AppSink) -> Vec<(gst::ClockTime, Vec<u8>)> {
    let samples = std::iter::from_fn(|| sink.try_pull_sample(PATIENCE));
    let picture = |sample: gst::Sample| {
        let digest = sample.buffer().unwrap().map_readable().unwrap();
        (
            came(&sample).stream,
            gst::glib::compute_checksum_for_data(gst::glib::ChecksumType::Sha256, &digest).unwrap().as_bytes().to_vec(),
        )
    };
    let all = samples.map(picture).collect();
    assert!(sink.is_eos());
    all
}

#[test]
fn pictures_are_the_same_the_other_way_round() {
    let Some((_emulator, source)) = real() else { return };
    for path in ["", " ! kvsdemux"] {
        let (pipeline, sink) =
            paused(&format!("{source}{path} ! h264parse ! avdec_h264 ! videoconvert"), "video/x-raw,format=I420");
        for (from, to) in [(0, 9200), (1700, 6210)] {
            let read = |rate: f64| {
                let _ = pipeline.set_state(gst::State::Paused);
                pipeline.seek(rate, ACCURATE, SET, ms(from), SET, ms(to)).expect("a seek");
                pipeline.play();
                decoded(&sink)
            };
            let forward = read(1.0);
            let mut backward = read(-1.0);
            assert!(backward.windows(2).all(|pair| pair[0].0 >= pair[1].0), "{path}");
            backward.reverse();
            let count = usize::try_from((to - from) * 30 / 1000).unwrap();
            assert!(forward.len() >= count && forward.len() <= count + 2, "{path}: {}", forward.len());
            let times = |all: &[(gst::ClockTime, Vec<u8>)]| all.iter().map(|picture| picture.0).collect::<Vec<_>>();
            assert_eq!(times(&backward), times(&forward), "{path} {from}");
            assert!(backward == forward, "{path} {from}");
        }
    }
}

#[test]
fn loops_of_real_pictures_have_no_seam_backwards() {
    let Some((_emulator, source)) = real() else { return };
    for path in ["", " ! kvsdemux"] {
        let all =
            looped(&format!("{source}{path} ! h264parse ! avdec_h264"), "video/x-raw", ms(1700), ms(6210), -1.0, 3);
        let frame = ms(1000) / 30;
        for pair in all.windows(2) {
            // Each loop lies exactly behind the one before it.
            let begin = (pair[1].running + pair[1].stream).nseconds() - ms(6210).nseconds();
            assert_eq!(begin % ms(4510).nseconds(), 0, "{path}: {pair:?}");
            assert!(
                pair[1].running >= pair[0].running && pair[1].running - pair[0].running < frame + frame,
                "{pair:?}"
            );
        }
        assert_eq!(all.last().map(|last| last.running + last.stream), Some(ms(6210 + 2 * 4510)));
    }
}

#[test]
fn sound_is_the_same_the_other_way_round() {
    let emulator = serve(Emulator::builder(), 30);
    for path in ["", " ! kvsdemux"] {
        let (pipeline, sink) = paused(&format!("{}{path} ! alawdec", range(&emulator, 0, 60_000)), "audio/x-raw");
        let read = |rate: f64| {
            let _ = pipeline.set_state(gst::State::Paused);
            pipeline.seek(rate, ACCURATE, SET, ms(5000), SET, ms(21_000)).expect("a seek");
            pipeline.play();
            decoded(&sink)
        };
        let forward = read(1.0);
        let mut backward = read(-1.0);
        backward.reverse();
        assert_eq!(forward.len(), 32);
        assert!(backward == forward, "{path}");
    }
}

#[test]
fn a_container_that_comes_backwards_can_be_read() {
    let Some((_emulator, source)) = real() else { return };
    let (pipeline, sink) = paused(&source, BOTH);
    let left = watched(&pipeline);
    pipeline.seek(-1.0, ACCURATE, SET, ms(1500), SET, ms(9200)).expect("a seek");
    pipeline.play();
    let mut bytes = Vec::new();
    let mut clusters = Vec::new();
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        let buffer = sample.buffer().unwrap();
        let data = buffer.map_readable().unwrap();
        // Behind the tags of its fragment.
        let has_cluster = data.windows(4).any(|bytes| bytes == [0x1F, 0x43, 0xB6, 0x75]);
        if data.starts_with(&[0x12, 0x54, 0xC3, 0x67]) && has_cluster {
            clusters.push((buffer.pts().unwrap(), buffer.flags().contains(gst::BufferFlags::DISCONT)));
        } else if buffer.pts().is_some() {
            assert!(!buffer.flags().contains(gst::BufferFlags::DISCONT));
        }
        bytes.extend_from_slice(&data);
    }
    assert!(left.lock().unwrap().len() > 200);
    assert_eq!(clusters.len(), 4);
    assert!(clusters.windows(2).all(|pair| pair[0].0 > pair[1].0) && clusters.iter().all(|cluster| cluster.1));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backward.mkv");
    std::fs::write(&file, &bytes).unwrap();
    // From the keyframe at 2 s of the capture to 9.7 s.
    assert_eq!(judges::ffprobe(&file).counts, [231]);
    let read = run(&format!("filesrc location={} ! matroskademux", file.display()), "video/x-h264").ok();
    assert_eq!(read.frames.len(), 231);
}

#[test]
fn a_range_by_the_clock_of_the_service_goes_back_too() {
    let emulator = pictures(30);
    let source = format!("{} fragment-selector=server", range(&emulator, 0, 60_000));
    let (pipeline, sink) = paused(&source, VIDEO);
    let all = play(&pipeline, &sink, -1.0, ACCURATE, 10_000, 20_000);
    assert_eq!(all.len(), 50);
    assert_eq!(all[0].stream, ms(18_000));
}
