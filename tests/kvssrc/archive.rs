//! Ranges of the archive: the same bytes however they are fetched, exact edges, and every fragment accounted for.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{
    ArchiveTags, Builder, Emulator, Fault, Limits, LongStream, NewFragment, Operation, Repeat, RequestRecord,
};

use super::body::{Fragment, START_MS, body};
use super::judges;
use super::support::{
    Outcome, PATIENCE, Pipeline, STREAM, capture, command, init, printed, run, source_for_ever, wait_until,
};

pub const AUDIO: &str = "audio/x-alaw";

/// A-law frames of 500 ms, four a fragment, of which each holds its fragment's index and its own.
fn long(fragments: u64) -> LongStream {
    let stream = LongStream::new(Bytes::from(body(&[Fragment::audio(0, 50)]))).unwrap();
    let media = |index: u64| {
        let frame = |cluster: Cluster, frame: i16| {
            let mut payload = vec![u8::try_from(frame).unwrap(); 400];
            payload.extend(index.to_be_bytes());
            cluster.simple_block(1, frame * 500, true, &payload)
        };
        (0..4).fold(Cluster::new(0), frame).bytes()
    };
    stream.fragments(fragments).length(2000).start(START_MS).generator(media).listed_size(1700)
}

pub fn serve(builder: Builder, fragments: u64) -> Emulator {
    init();
    let emulator = builder.shuffle(7).start().unwrap();
    emulator.put_long_stream(STREAM, long(fragments)).unwrap();
    emulator
}

pub fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// kvssrc reading from and to so many ms behind [`START_MS`].
pub fn range(emulator: &Emulator, from: u64, to: u64) -> String {
    let (start, end) = (seconds(START_MS + from), seconds(START_MS + to));
    format!("{} playback-mode=on-demand start-timestamp={start} end-timestamp={end}", source_for_ever(emulator))
}

/// The indices of fragments and of their frames that came.
pub fn frames(outcome: &Outcome) -> Vec<(u64, u8)> {
    let index = |bytes: &[u8]| (u64::from_be_bytes(bytes[400..].try_into().unwrap()), bytes[0]);
    outcome.payloads().into_iter().map(index).collect()
}

pub fn all_frames(fragments: impl Iterator<Item = u64>) -> Vec<(u64, u8)> {
    fragments.flat_map(|fragment| (0..4).map(move |frame| (fragment, frame))).collect()
}

pub fn calls(emulator: &Emulator, operation: Operation) -> usize {
    emulator.requests().iter().filter(|request| request.operation == operation).count()
}

#[test]
fn a_range_of_hours_is_the_same_over_any_number_of_connections() {
    let emulator = serve(Emulator::builder().limits(Limits::default()), 5400);
    let (from, to) = (3_600_000, 7_200_000);
    let wanted = all_frames(1800..3600);
    for connections in [1, 3, 5] {
        let source = format!("{} connections={connections}", range(&emulator, from, to));
        let outcome = run(&source, AUDIO).ok();
        assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        assert_eq!(frames(&outcome), wanted, "{connections}");
        let pts: Vec<u64> = (0..7200).map(|frame| frame * 500).collect();
        assert_eq!(outcome.pts_ms(), pts);
        assert!(
            outcome.frames.iter().all(|frame| !frame.flags.contains(gst::BufferFlags::DISCONT) || frame.pts == Some(0))
        );
    }
    let asked: BTreeSet<usize> = emulator
        .requests()
        .iter()
        .filter(|request| request.operation == Operation::GetMediaForFragmentList)
        .map(|request| request.body["Fragments"].as_array().unwrap().len())
        .collect();
    assert!(asked.iter().all(|count| *count <= 1000), "{asked:?}");
}

#[test]
fn a_container_is_the_same_over_any_number_of_connections() {
    let emulator = serve(Emulator::builder(), 300);
    let read = |connections: u32| {
        let source = format!("{} connections={connections}", range(&emulator, 100_000, 400_000));
        let outcome = run(&source, "video/x-matroska; audio/x-matroska").ok();
        outcome.frames.into_iter().map(|frame| (frame.pts, frame.bytes)).collect::<Vec<_>>()
    };
    let one = read(1);
    assert_eq!(one.len(), 1 + 150 * 5);
    for connections in 2..=5 {
        assert_eq!(read(connections), one, "{connections}");
    }
}

#[test]
fn the_edges_are_exact() {
    let emulator = serve(Emulator::builder(), 30);
    for (from, to, first, count) in [
        (0, 60_000, (0, 0), 120),
        (0, 1, (0, 0), 1),
        (4000, 6000, (2, 0), 4),
        (4001, 6001, (2, 1), 4),
        (4500, 9500, (2, 1), 10),
        (59_000, 90_000, (29, 2), 2),
    ] {
        let outcome = run(&range(&emulator, from, to), AUDIO).ok();
        let found = frames(&outcome);
        assert_eq!((found[0], found.len()), (first, count), "{from} to {to}");
        // Presentation time is the distance from the start.
        assert_eq!(outcome.pts_ms()[0], u64::from(first.1) * 500 + first.0 * 2000 - from, "{from} to {to}");
    }
}

#[test]
fn a_range_in_which_nothing_is_stored_is_a_warning() {
    let emulator = serve(Emulator::builder(), 30);
    for (from, to, warnings) in [(70_000, 80_000, 1), (0, 1, 0)] {
        let outcome = run(&range(&emulator, from, to), AUDIO).ok();
        assert_eq!((outcome.frames.is_empty(), outcome.warnings.len()), (warnings > 0, warnings));
        for (warning, debug) in &outcome.warnings {
            assert!(
                warning.to_string().contains("nothing stored") && debug.contains("retention"),
                "{warning}: {debug}"
            );
        }
    }
}

#[test]
fn from_the_earliest_to_the_present() {
    let emulator = serve(Emulator::builder(), 3000);
    let source = format!("{} playback-mode=on-demand start-selector=earliest", source_for_ever(&emulator));
    let outcome = run(&source, AUDIO).ok();
    assert_eq!(frames(&outcome), all_frames(0..3000));
    assert_eq!(outcome.pts_ms()[..3], [0, 500, 1000]);
}

#[test]
fn by_the_clock_of_the_service() {
    init();
    let emulator = Emulator::builder().start().unwrap();
    emulator.put_long_stream(STREAM, long(30).upload(100_000)).unwrap();
    let source = |more: &str| format!("{} {more}", range(&emulator, 104_000, 108_000));
    assert_eq!(run(&source(""), AUDIO).ok().frames.len(), 0);
    for more in ["fragment-selector=server", "start-selector=server-timestamp"] {
        assert_eq!(frames(&run(&source(more), AUDIO).ok()), all_frames(2..4), "{more}");
    }
}

#[test]
fn faults_change_no_byte() {
    use Operation::{GetMediaForFragmentList as Get, ListFragments as List};
    let http = |operation, status, name: &str| Fault::http(operation, status, name, "On purpose");
    let clean = all_frames(10..40);
    let tag = |id| Fault::BodyErrorTag { code: "InternalError".to_owned(), id, after: 2 };
    for (name, operation, fault, repeat) in [
        ("a body is cut", Get, Fault::CutAfter(5000), Repeat::Once),
        ("a body is cut at once", Get, Fault::CutAfter(0), Repeat::Times(2)),
        ("every body is cut", Get, Fault::CutAfter(3000), Repeat::Times(10)),
        ("a body ends early", Get, Fault::EndAfterFragments(2), Repeat::Nth(2)),
        ("bodies are empty", Get, Fault::EndAfterFragments(0), Repeat::Once),
        ("a body stalls", Get, Fault::StallAfter(4000), Repeat::Nth(2)),
        ("a body is slow", Get, Fault::Slow { bytes_per_second: 20_000 }, Repeat::Nth(2)),
        ("the first body is slow", Get, Fault::Slow { bytes_per_second: 20_000 }, Repeat::Once),
        ("an error passes", Get, tag(5000), Repeat::Nth(2)),
        ("media is throttled", Get, http(Get, 400, "ClientLimitExceededException"), Repeat::Times(3)),
        ("media fails", Get, http(Get, 500, "InternalFailure"), Repeat::Times(3)),
        ("the list is throttled", List, http(List, 400, "ClientLimitExceededException"), Repeat::Times(3)),
        ("the list fails", List, http(List, 503, "ServiceUnavailable"), Repeat::Times(3)),
        ("the list is silent", List, Fault::HangRequest { operation: List }, Repeat::Once),
    ] {
        let emulator = serve(Emulator::builder(), 60);
        emulator.set_fault_on(STREAM, operation, fault, repeat);
        let source = format!("{} read-timeout=700", range(&emulator, 20_000, 80_000));
        let outcome = run(&source, AUDIO).ok();
        assert!(outcome.warnings.is_empty(), "{name}: {:?}", outcome.warnings);
        assert_eq!(frames(&outcome), clean, "{name}");
    }
}

#[test]
fn a_fragment_that_is_gone_is_told_and_nothing_else_is_lost() {
    for tags in [ArchiveTags::Observed, ArchiveTags::Reference] {
        for end_at_missing in [false, true] {
            let emulator = serve(Emulator::builder().archive_tags(tags).end_at_missing(end_at_missing), 60);
            let stored = emulator.fragments(STREAM).unwrap();
            let lost = 17;
            let number = stored[17].number.as_str().to_owned();
            emulator.set_fault(STREAM, Fault::LostFragments(vec![stored[17].number.clone()]), Repeat::Always);
            let source = format!("{} connections=2 retry-timeout=0", range(&emulator, 20_000, 80_000));
            let outcome = run(&source, AUDIO).ok();
            assert_eq!(frames(&outcome), all_frames((10..40).filter(|index| *index != lost)));
            let [(warning, debug)] = &outcome.warnings[..] else { panic!("{:?}", outcome.warnings) };
            assert!(warning.to_string().contains(&number), "{warning}");
            assert!(debug.contains("3000"), "{debug}");
            let after = outcome.frames.iter().filter(|frame| frame.flags.contains(gst::BufferFlags::DISCONT)).count();
            assert_eq!(after, 2, "the first, and the one behind the gap");

            let text = run(&format!("{source} on-missing=fail"), AUDIO).failed(gst::ResourceError::Read);
            assert!(text.contains("is missing") && text.contains(&number), "{text}");
        }
    }
}

#[test]
fn every_fragment_is_accounted_for() {
    let emulator = serve(Emulator::builder(), 60);
    let operation = Operation::GetMediaForFragmentList;
    emulator.set_fault_on(STREAM, operation, Fault::MissingFragment(1), Repeat::Nth(1));
    emulator.set_fault_on(STREAM, operation, Fault::MissingFragment(2), Repeat::Nth(2));
    let pipeline = Pipeline::new(&format!("{} retry-timeout=0 ! fakesink", range(&emulator, 20_000, 80_000)));
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let counts = loop {
        let types = [gst::MessageType::Element, gst::MessageType::Error, gst::MessageType::Eos];
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        let structure = message.structure().expect("counts before the end");
        if structure.name() == "kvs-archive" {
            break ["listed", "delivered", "missing"].map(|name| structure.get::<u64>(name).unwrap());
        }
    };
    assert_eq!(counts, [30, 28, 2]);
}

#[test]
fn a_paused_pipeline_lists_no_further_than_its_first_frame_needs() {
    let emulator = serve(Emulator::builder(), 43_200);
    emulator.put_long_stream("other", long(5000)).unwrap();
    let of = |stream: &str| {
        let lists = |record: &&RequestRecord| {
            record.operation == Operation::ListFragments && record.stream.as_deref() == Some(stream)
        };
        emulator.requests().iter().filter(lists).count()
    };
    for (properties, pages) in
        [(format!("start-timestamp={}", seconds(START_MS + 50_000_000)), 1), ("start-selector=earliest".to_owned(), 2)]
    {
        let before = of(STREAM);
        let source = format!("{} playback-mode=on-demand {properties}", source_for_ever(&emulator));
        let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false max-buffers=1"));
        let sink = pipeline.sink(AUDIO);
        let _ = pipeline.set_state(gst::State::Paused);
        pipeline.state(PATIENCE).0.expect("the first frame");
        // Meanwhile all of another stream is read, which takes several pages.
        let other = range(&emulator, 0, 10_000_000).replace("stream=demo", "stream=other");
        let pages_before = of("other");
        assert_eq!(run(&other, AUDIO).ok().frames.len(), 20_000);
        assert!(of("other") - pages_before > 4);
        assert_eq!(of(STREAM) - before, pages, "{properties}");
        let stats = pipeline.by_name("source").unwrap().property::<gst::Structure>("stats");
        assert!(stats.get::<u64>("bytes").unwrap() < 2_000_000, "{stats}");
        // It goes on where more is taken.
        pipeline.play();
        for _ in 0..1000 {
            sink.try_pull_sample(PATIENCE).expect("a frame");
        }
        wait_until("more is listed", || of(STREAM) - before > pages);
    }
}

/// Pulls the frames of a [`serve`]d stream from and to this one, each of which must be there and in its place.
pub fn pull(sink: &gst_app::AppSink, frames: Range<u64>) {
    for frame in frames {
        let sample = sink.try_pull_sample(PATIENCE).expect("a frame");
        let bytes = sample.buffer().unwrap().map_readable().unwrap().to_vec();
        let found = (u64::from_be_bytes(bytes[400..].try_into().unwrap()), u64::from(bytes[0]));
        assert_eq!(found, (frame / 4, frame % 4));
    }
}

#[test]
fn a_pipeline_that_takes_nothing_is_read_ahead_of_by_no_more_than_told() {
    const LIMIT: u64 = 100_000;
    let emulator = serve(Emulator::builder(), 20_000);
    let source = format!("{} max-buffered-bytes={LIMIT} connections=5", range(&emulator, 0, 40_000_000));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false max-buffers=1"));
    let sink = pipeline.sink(AUDIO);
    pipeline.play();
    // One of each connection is waited for.
    pull(&sink, 0..28);
    wait_until("all connections are open", || calls(&emulator, Operation::GetMediaForFragmentList) >= 5);
    let stats = || pipeline.by_name("source").unwrap().property::<gst::Structure>("stats").get::<u64>("bytes").unwrap();
    assert!(stats() < 3 * LIMIT, "{}", stats());
    pull(&sink, 28..4028);
}

/// The capture's fragments of 2 s, in an emulator that has nothing else.
pub fn captured() -> Option<(Emulator, u64)> {
    let capture = capture("output_get_media.mkv")?;
    init();
    let emulator = Emulator::builder().start().unwrap();
    let fragments = emulator.import_file(STREAM, &capture).unwrap();
    Some((emulator, fragments[0].producer_timestamp))
}

#[test]
fn a_range_becomes_an_mp4_of_its_length() {
    let Some((emulator, start)) = captured() else { return };
    let folder = tempfile::tempdir().unwrap();
    for demuxer in ["matroskademux", "kvsdemux"] {
        let file = folder.path().join(format!("{demuxer}.mp4"));
        let line = format!(
            "-q kvssrc stream={STREAM} playback-mode=on-demand start-timestamp={} end-timestamp={} ! {demuxer} ! \
             mp4mux ! filesink location={}",
            seconds(start + 2000),
            seconds(start + 7000),
            file.display()
        );
        printed(command("gst-launch-1.0", &emulator).args(line.split_whitespace()));
        let packets = judges::ffprobe(&file);
        assert_eq!(packets.counts, [150], "{demuxer}");
        let duration = packets.duration.unwrap();
        assert!((duration - 5.0).abs() <= 1.0 / 30.0, "{demuxer}: {duration}");
    }
}

#[test]
fn what_is_decoded_begins_and_ends_where_asked() {
    let Some((emulator, start)) = captured() else { return };
    let source = format!(
        "{} playback-mode=on-demand start-timestamp={} end-timestamp={}",
        source_for_ever(&emulator),
        seconds(start + 3010),
        seconds(start + 5010)
    );
    // The frames from the keyframe at 2 s on are only decoded. A sink does not take what lies outside of the segment.
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
    let sink = pipeline.sink("video/x-h264");
    let flags = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&flags);
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        seen.lock().unwrap().extend(info.buffer().map(|buffer| buffer.flags()));
        gst::PadProbeReturn::Ok
    });
    pipeline.play();
    while sink.try_pull_sample(PATIENCE).is_some() {}
    let unseen = flags.lock().unwrap().iter().filter(|flags| flags.contains(gst::BufferFlags::DECODE_ONLY)).count();
    assert_eq!(flags.lock().unwrap().len() - unseen, 60);
    assert_eq!(unseen, 31);
    for path in ["h264parse ! avdec_h264", "kvsdemux ! h264parse ! avdec_h264"] {
        let decoded = run(&format!("{source} ! {path}"), "video/x-raw").ok();
        // The first one is that which was to be seen at the start, and from there on.
        assert_eq!(decoded.frames.len(), 61, "{path}");
        let times = decoded.pts_ms();
        assert_eq!((times[0], times[1]), (1010, 1033), "{path}");
        let last = &decoded.frames[60];
        assert_eq!(last.pts.unwrap() + last.duration.unwrap(), 3_010_000_000, "{path}");
    }
}

#[test]
fn what_makes_no_range_is_told() {
    let emulator = serve(Emulator::builder(), 3);
    for (properties, names) in [
        ("", "start-timestamp"),
        ("start-selector=earliest checkpoint-location=/nowhere", "checkpoint-location"),
        ("start-selector=earliest is-live=true", "is-live"),
        ("start-timestamp=2100-01-01T00:00:00Z", "not after"),
    ] {
        let source = format!("{} playback-mode=on-demand {properties}", source_for_ever(&emulator));
        let text = run(&source, AUDIO).failed(gst::ResourceError::Settings);
        assert!(text.contains(names), "{text}");
    }
}

/// A fragment of one frame, of `length` ms.
fn put(emulator: &Emulator, start: u64, length: u64, index: u64) {
    let fragment = NewFragment {
        header: header(1_000_000, &[TrackEntry::alaw(1, 8000)]),
        media: Cluster::new(start).simple_block(1, 0, true, &index.to_be_bytes()).bytes(),
        producer_timestamp: Some(start),
        server_timestamp: Some(start),
        duration: Some(length),
        ..NewFragment::default()
    };
    emulator.put_fragment(STREAM, fragment).unwrap();
}

#[test]
fn a_page_that_is_refused_is_not_an_empty_one() {
    init();
    let emulator = Emulator::builder().shuffle(7).start().unwrap();
    // The second window is made for fragments of 2 s, and finds more than a page can hold.
    let starts: Vec<u64> =
        (0..150).map(|index| index * 2000).chain((0..2500).map(|index| 300_000 + index * 20)).collect();
    for (index, start) in starts.iter().enumerate() {
        let length = if *start < 300_000 { 2000 } else { 20 };
        put(&emulator, START_MS + start, length, index as u64);
    }
    let refused = Fault::http(Operation::ListFragments, 400, "InvalidArgumentException", "On purpose");
    emulator.set_fault(STREAM, refused.clone(), Repeat::Nth(3));
    let outcome = run(&range(&emulator, 0, 10_000_000), AUDIO).ok();
    let lists = |record: &&RequestRecord| record.operation == Operation::ListFragments;
    let third = emulator.requests().into_iter().filter(|record| lists(&record)).nth(2).unwrap();
    assert!(third.body["NextToken"].is_string(), "{third:?}");
    let frames: Vec<u64> =
        outcome.payloads().iter().map(|bytes| u64::from_be_bytes(bytes[..].try_into().unwrap())).collect();
    assert!(frames.iter().copied().eq(0..starts.len() as u64), "{} frames of {}", frames.len(), starts.len());

    // Where nothing has been listed yet, going backwards, all of it is refused.
    let pipeline = Pipeline::new(&format!("{} ! fakesink name=sink", range(&emulator, 0, 1_000_000)));
    let bus = pipeline.bus().unwrap();
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.state(PATIENCE).0.expect("the first frame");
    emulator.set_fault(STREAM, refused, Repeat::Always);
    let (set, zero) = (gst::SeekType::Set, gst::ClockTime::ZERO);
    pipeline.seek(-1.0, gst::SeekFlags::FLUSH, set, zero, set, gst::ClockTime::from_seconds(200)).expect("a seek");
    pipeline.play();
    let types = [gst::MessageType::Error, gst::MessageType::Eos];
    let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
    assert_eq!(message.type_(), gst::MessageType::Error);
}
