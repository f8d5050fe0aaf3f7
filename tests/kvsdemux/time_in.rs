//! Buffers that have times, as kvssrc's have: what of them reaches the frames.

use gst::prelude::*;

use super::bench::{Bench, payload};
use super::body::{Block, Fragment, START_MS, Track};
use super::support::{emulator_with_body, run, source};

const META: &str = "KvsDemuxTestMeta";

fn ms(time: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(time)
}

/// What kvssrc makes of the fragments, buffer by buffer: header, clusters, blocks.
pub fn container(fragments: &[Fragment]) -> Vec<gst::Buffer> {
    let emulator = emulator_with_body(super::body::body(fragments));
    let outcome = run(&source(&emulator), "video/x-matroska; audio/x-matroska").ok();
    let unix = gst::Caps::new_empty_simple("timestamp/x-unix");
    let buffers = outcome.frames.into_iter().map(|frame| {
        let mut buffer = gst::Buffer::from_slice(frame.bytes);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(frame.pts.map(gst::ClockTime::from_nseconds));
        writable.set_duration(frame.duration.map(gst::ClockTime::from_nseconds));
        writable.set_flags(frame.flags - gst::BufferFlags::TAG_MEMORY);
        if let Some(time) = frame.captured {
            let time = gst::ClockTime::from_nseconds(time);
            gst::ReferenceTimestampMeta::add(writable, &unix, time, gst::ClockTime::NONE);
        }
        buffer
    });
    buffers.collect()
}

fn captured(buffer: &gst::Buffer) -> Option<u64> {
    let mut metas = buffer.iter_meta::<gst::ReferenceTimestampMeta>();
    let found = metas.find(|meta| meta.reference().structure(0).unwrap().name() == "timestamp/x-unix");
    found.map(|meta| meta.timestamp().nseconds())
}

fn shift(buffer: &mut gst::Buffer, by: u64) {
    let buffer = buffer.make_mut();
    let pts = buffer.pts().map(|pts| pts + gst::ClockTime::from_nseconds(by));
    buffer.set_pts(pts);
}

#[test]
fn times_are_the_buffers_and_not_the_clusters() {
    let mut buffers = container(&[Fragment::audio(0, 10), Fragment::audio(1, 10)]);
    for buffer in &mut buffers {
        shift(buffer, 7_000_123);
        buffer.make_mut().set_duration(ms(19));
    }
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(buffers);
    let frames = bench.outlet("audio_0").buffers();
    assert_eq!(frames.len(), 20);
    for (index, frame) in (0_u64..).zip(&frames) {
        let time = (index / 10) * 1000 + (index % 10) * 20;
        assert_eq!(frame.pts().unwrap().nseconds(), time * 1_000_000 + 7_000_123);
        assert_eq!(frame.duration(), Some(ms(19)));
        assert_eq!(captured(frame), Some((START_MS + time) * 1_000_000));
    }
}

#[test]
fn every_meta_that_can_be_copied_is() {
    gst::init().unwrap();
    gst::meta::CustomMeta::register(META, &[]);
    let ntp = gst::Caps::new_empty_simple("timestamp/x-ntp");
    let mut buffers = container(&[Fragment::audio(0, 10)]);
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let buffer = buffer.make_mut();
        gst::ReferenceTimestampMeta::add(buffer, &ntp, ms(index as u64), ms(3));
        let mut meta = gst::meta::CustomMeta::add(buffer, META).unwrap();
        meta.mut_structure().set("index", index as u32);
    }
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(buffers);
    // Header and cluster come before the first block.
    for (index, frame) in (2_u32..).zip(bench.outlet("audio_0").buffers()) {
        let meta = gst::meta::CustomMeta::from_buffer(&frame, META).unwrap();
        assert_eq!(meta.structure().get::<u32>("index"), Ok(index));
        let references: Vec<_> = frame.iter_meta::<gst::ReferenceTimestampMeta>().collect();
        assert_eq!(references.len(), 2);
        let ntp = references.iter().find(|meta| meta.reference() == ntp.as_ref()).unwrap();
        assert_eq!((ntp.timestamp(), ntp.duration()), (ms(index.into()), Some(ms(3))));
        assert_eq!(captured(&frame), Some((START_MS + u64::from(index - 2) * 20) * 1_000_000));
    }
}

#[test]
fn without_a_time_of_capture_that_of_the_tags_counts() {
    let mut buffers = container(&[Fragment::audio(0, 10)]);
    for buffer in &mut buffers {
        let bare = gst::Buffer::from_slice(payload(buffer));
        let (pts, flags) = (buffer.pts(), buffer.flags());
        *buffer = bare;
        let buffer = buffer.make_mut();
        buffer.set_pts(pts);
        buffer.set_flags(flags);
    }
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(buffers);
    for (index, frame) in (0_u64..).zip(bench.outlet("audio_0").buffers()) {
        assert_eq!(captured(&frame), Some((START_MS + index * 20) * 1_000_000));
    }
}

#[test]
fn blocks_that_share_a_buffer_keep_their_distances() {
    let buffers = container(&[Fragment::audio(0, 10)]);
    let (head, blocks) = buffers.split_at(2);
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(head.iter().cloned());
    for (index, group) in (0..).zip(blocks.chunks(5)) {
        let bytes: Vec<u8> = group.iter().flat_map(payload).collect();
        let mut buffer = gst::Buffer::from_slice(bytes);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(ms(1000 + index * 100));
        writable.set_duration(ms(100));
        bench.push(buffer).unwrap();
    }
    let outlet = bench.outlet("audio_0");
    assert_eq!(outlet.pts_ms(), (0..10).map(|index| 1000 + index * 20).collect::<Vec<_>>());
    // The buffer's duration is that of no single frame.
    assert!(outlet.buffers().iter().all(|frame| frame.duration().is_none()));
}

#[test]
fn what_was_captured_before_the_first_block_has_its_own_time() {
    let mut fragment = Fragment::audio(0, 3);
    fragment.tracks.push(Track::alaw(2, "loudspeaker"));
    let early = fragment.blocks.clone().into_iter().map(|block| Block { track: 2, time: block.time - 100, ..block });
    fragment.blocks.extend(early);
    let bench = Bench::new();
    bench.begin_in_time("a");
    // As one buffer, and each behind a flush.
    for start in [5000, 9000] {
        let mut buffer = gst::Buffer::from_slice(fragment.bytes());
        buffer.get_mut().unwrap().set_pts(ms(start));
        bench.clear();
        bench.push(buffer).unwrap();
        assert_eq!(bench.outlet("audio_0").pts_ms(), [start, start + 20, start + 40]);
        assert_eq!(bench.outlet("audio_1").pts_ms(), [start - 100, start - 80, start - 60]);
        assert!(bench.event(gst::event::FlushStart::new()));
        assert!(bench.event(gst::event::FlushStop::new(true)));
        bench.begin_in_time("a");
    }
}

#[test]
fn a_break_of_upstream_reaches_every_track() {
    let mut fragment = Fragment::audio(0, 10);
    fragment.tracks.push(Track::alaw(2, "loudspeaker"));
    let other: Vec<_> = fragment.blocks.iter().map(|block| Block { track: 2, ..block.clone() }).collect();
    fragment.blocks.extend(other);
    fragment.blocks.sort_by_key(|block| block.time);
    let mut buffers = container(&[fragment]);
    // Header, cluster, and five blocks of each.
    let broken = &mut buffers[12];
    let flags = broken.flags() | gst::BufferFlags::DISCONT;
    broken.make_mut().set_flags(flags);
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(buffers);
    for name in ["audio_0", "audio_1"] {
        let frames = bench.outlet(name).buffers();
        let breaks: Vec<_> = (0..10).filter(|at| frames[*at].flags().contains(gst::BufferFlags::DISCONT)).collect();
        assert_eq!(breaks, [0, 5], "{name}");
    }
}

#[test]
fn a_flushing_seek_goes_up_and_what_comes_down_begins_with_a_cluster_or_a_header() {
    let buffers = container(&[Fragment::audio(0, 10), Fragment::audio(1, 10)]);
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(buffers.iter().take(7).cloned());
    let upstream = bench.record_upstream_events();
    let seek = gst::event::Seek::builder(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        ms(1000),
        gst::SeekType::None,
        gst::ClockTime::NONE,
    );
    let seqnum = gst::Seqnum::next();
    assert!(bench.outlet("audio_0").sink.push_event(seek.seqnum(seqnum).build()));
    {
        let events = upstream.lock().unwrap();
        assert_eq!(events.iter().map(|event| event.type_()).collect::<Vec<_>>(), [gst::EventType::Seek]);
        assert_eq!(events[0].seqnum(), seqnum);
    }
    let flush = || {
        assert!(bench.event(gst::event::FlushStart::builder().seqnum(seqnum).build()));
        assert!(bench.event(gst::event::FlushStop::builder(true).seqnum(seqnum).build()));
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(ms(1000));
        assert!(bench.event(gst::event::Segment::builder(&segment).seqnum(seqnum).build()));
        bench.clear();
    };
    flush();
    // The second cluster and what is in it.
    bench.push_all(buffers.iter().skip(12).cloned());
    let outlet = bench.outlet("audio_0");
    assert_eq!(outlet.pts_ms(), (0..10).map(|index| 1000 + index * 20).collect::<Vec<_>>());
    assert!(outlet.buffers()[0].flags().contains(gst::BufferFlags::DISCONT));
    flush();
    // The header, and the second cluster.
    bench.push_all(buffers.iter().take(1).chain(buffers.iter().skip(12)).cloned());
    assert_eq!(bench.outlet("audio_0").pts_ms(), (0..10).map(|index| 1000 + index * 20).collect::<Vec<_>>());
    assert_eq!(bench.outlets().len(), 1);
}

#[test]
fn a_seek_that_comes_from_every_sink_goes_up_once() {
    let mut fragment = Fragment::audio(0, 10);
    fragment.tracks.push(Track::alaw(2, "loudspeaker"));
    let bench = Bench::new();
    bench.begin_in_time("a").push_all(container(&[fragment]));
    let upstream = bench.record_upstream_events();
    let event = |rate: f64| {
        let (set, start) = (gst::SeekType::Set, ms(1000));
        gst::event::Seek::new(rate, gst::SeekFlags::empty(), set, start, set, gst::ClockTime::NONE)
    };
    for seek in [event(1.0), event(-1.0)] {
        for name in ["audio_0", "audio_1"] {
            assert!(bench.outlet(name).sink.push_event(seek.clone()));
        }
    }
    let rates = upstream
        .lock()
        .unwrap()
        .iter()
        .map(|event| match event.view() {
            gst::EventView::Seek(seek) => seek.rate(),
            _ => panic!("{event:?}"),
        })
        .collect::<Vec<_>>();
    assert_eq!(rates, [1.0, -1.0]);
}

#[test]
fn the_frames_are_the_bytes_that_were_pushed() {
    let mut fragment = Fragment::audio(0, 3);
    for block in &mut fragment.blocks {
        block.payload = vec![7; 5000];
    }
    let bench = Bench::new();
    bench.begin_in_time("a");
    let mut ranges = Vec::new();
    for buffer in container(&[fragment]) {
        ranges.push(buffer.map_readable().unwrap().as_ptr_range());
        bench.push(buffer).unwrap();
    }
    for (frame, range) in bench.outlet("audio_0").buffers().iter().zip(&ranges[2..]) {
        let frame = frame.map_readable().unwrap().as_ptr_range();
        assert!(range.start <= frame.start && frame.end == range.end, "the frame was copied");
    }
}

#[test]
fn queries_of_time_are_upstreams_to_answer() {
    let bench = Bench::new();
    bench.answer_queries(|query| match query.view_mut() {
        gst::QueryViewMut::Position(position) => {
            position.set(ms(5));
            true
        }
        gst::QueryViewMut::Duration(duration) => {
            duration.set(ms(60_000));
            true
        }
        gst::QueryViewMut::Seeking(seeking) => {
            seeking.set(true, gst::ClockTime::ZERO, ms(60_000));
            true
        }
        gst::QueryViewMut::Latency(latency) => {
            latency.set(true, ms(40), gst::ClockTime::NONE);
            true
        }
        _ => false,
    });
    bench.begin_in_time("a").push_all(container(&[Fragment::audio(0, 10)]));
    let sink = bench.outlet("audio_0").sink;
    assert_eq!(sink.peer_query_position::<gst::ClockTime>(), Some(ms(5)));
    assert_eq!(sink.peer_query_duration::<gst::ClockTime>(), Some(ms(60_000)));
    let mut seeking = gst::query::Seeking::new(gst::Format::Time);
    assert!(sink.peer_query(&mut seeking));
    assert!(seeking.result().0);
    let mut latency = gst::query::Latency::new();
    assert!(sink.peer_query(&mut latency));
    assert_eq!(latency.result(), (true, ms(40), None));
}
