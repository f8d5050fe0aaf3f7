//! Events and messages: what a pad begins with, what goes through, and what an application is told.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::bench::Bench;
use super::body::{Block, Fragment, Track, body, element};
use super::support::{PATIENCE, Pipeline, emulator, emulator_with_body, run_to_end, source};
use super::time_in::container;

/// A fragment of two tracks, the second of which has a language.
fn two_tracks(index: u64) -> Fragment {
    let mut fragment = Fragment::audio(index, 10);
    let more = element(&[0x22, 0xB5, 0x9D], b"de-CH");
    fragment.tracks.push(Track { more, ..Track::alaw(2, "loudspeaker") });
    let other: Vec<_> = fragment.blocks.iter().map(|block| Block { track: 2, ..block.clone() }).collect();
    fragment.blocks.extend(other);
    fragment.blocks.sort_by_key(|block| block.time);
    fragment
}

fn group_of(event: &gst::Event) -> Option<gst::GroupId> {
    match event.view() {
        gst::EventView::StreamStart(start) => start.group_id(),
        _ => None,
    }
}

#[test]
fn a_pad_begins_in_order() {
    use gst::EventType as Type;
    let bench = Bench::new();
    bench.begin_in_time("upstream").push_all(container(&[two_tracks(0)]));
    assert!(bench.end());
    let expected = [Type::StreamStart, Type::Caps, Type::Segment, Type::StreamCollection, Type::Tag, Type::Tag];
    for name in ["audio_0", "audio_1"] {
        let order: Vec<_> = bench.outlet(name).order();
        assert_eq!(order[..6], expected.map(Some));
        assert!(order[6..16].iter().all(Option::is_none), "{order:?}");
        assert_eq!(order[16..], [Some(Type::Eos)]);
    }
}

#[test]
fn stream_ids_are_upstreams_and_the_tracks() {
    let bench = Bench::new();
    bench.begin_in_time("upstream").push_all(container(&[two_tracks(0)]));
    let ids: Vec<_> = bench.outlets().iter().map(|outlet| outlet.stream_id()).collect();
    assert_eq!(ids, ["upstream/001", "upstream/002"]);
    let sticky = bench.source.sticky_event::<gst::event::StreamStart>(0).unwrap();
    for outlet in bench.outlets() {
        assert_eq!(group_of(&outlet.events(gst::EventType::StreamStart)[0]), sticky.group_id());
    }
}

#[test]
fn the_same_stream_again_has_the_same_ids_and_pads() {
    let bench = Bench::new();
    let buffers = container(&[two_tracks(0)]);
    bench.begin_in_time("upstream").push_all(buffers.iter().cloned());
    // A source that starts again sends all of it again, header and all.
    bench.begin_in_time("upstream").push_all(buffers);
    assert_eq!(bench.outlets().len(), 2);
    assert_eq!(bench.outlet("audio_0").buffers().len(), 20);
    assert_eq!(bench.messages(gst::MessageType::StreamCollection).len(), 1);
}

#[test]
fn another_stream_has_other_ids_and_pads() {
    let bench = Bench::new();
    let buffers = container(&[two_tracks(0)]);
    bench.begin_in_time("one").push_all(buffers.iter().cloned());
    bench.begin_in_time("two").push_all(buffers);
    let ids: Vec<_> = bench.outlets().iter().map(|outlet| (outlet.stream_id(), outlet.removed)).collect();
    let expected = [("one/001", true), ("one/002", true), ("two/001", false), ("two/002", false)];
    assert_eq!(ids, expected.map(|(id, removed)| (id.to_owned(), removed)));
}

#[test]
fn the_collection_is_told_before_any_data() {
    let bench = Bench::new();
    bench.begin_in_time("upstream").push_all(container(&[two_tracks(0)]));
    let messages = bench.messages(gst::MessageType::StreamCollection);
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    let gst::MessageView::StreamCollection(message) = message.view() else { unreachable!() };
    let collection = message.stream_collection();
    assert_eq!(collection.upstream_id().as_deref(), Some("upstream"));
    let streams: Vec<_> = collection.iter().collect();
    assert_eq!(streams.len(), 2);
    assert_eq!(streams[1].stream_id().as_deref(), Some("upstream/002"));
    assert_eq!(streams[1].stream_type(), gst::StreamType::AUDIO);
    assert_eq!(streams[1].caps().unwrap().structure(0).unwrap().name(), "audio/x-alaw");
    for outlet in bench.outlets() {
        let event = outlet.events(gst::EventType::StreamCollection).remove(0);
        let gst::EventView::StreamCollection(event) = event.view() else { unreachable!() };
        assert_eq!(event.stream_collection(), collection);
    }
}

#[test]
fn name_and_language_of_a_track_are_tags() {
    let bench = Bench::new();
    bench.begin_in_time("upstream").push_all(container(&[two_tracks(0)]));
    let tags = |name: &str, scope| {
        let events = bench.outlet(name).events(gst::EventType::Tag);
        let mut lists = events.iter().filter_map(|event| match event.view() {
            gst::EventView::Tag(tag) => Some(tag.tag_owned()),
            _ => None,
        });
        lists.find(|list| list.scope() == scope).unwrap()
    };
    let stream = tags("audio_1", gst::TagScope::Stream);
    assert_eq!(stream.get::<gst::tags::Title>().unwrap().get(), "loudspeaker");
    assert_eq!(stream.get::<gst::tags::LanguageCode>().unwrap().get(), "de");
    let stream = tags("audio_0", gst::TagScope::Stream);
    assert_eq!(stream.get::<gst::tags::Title>().unwrap().get(), "microphone");
    assert!(stream.get::<gst::tags::LanguageCode>().is_none());
    let global = tags("audio_0", gst::TagScope::Global);
    assert_eq!(global.get::<gst::tags::ContainerFormat>().unwrap().get(), "Matroska");
}

#[test]
fn what_upstream_says_of_the_stream_is_kept() {
    let tag = |title: &str, scope| {
        let mut tags = gst::TagList::new();
        let writable = tags.get_mut().unwrap();
        writable.set_scope(scope);
        writable.add::<gst::tags::Title>(&title, gst::TagMergeMode::Replace);
        gst::event::Tag::new(tags)
    };
    let global = |bench: &Bench| {
        let events = bench.outlet("audio_0").events(gst::EventType::Tag);
        let mut lists = events.iter().filter_map(|event| match event.view() {
            gst::EventView::Tag(tag) if tag.tag().scope() == gst::TagScope::Global => Some(tag.tag_owned()),
            _ => None,
        });
        lists.next_back().unwrap()
    };
    let title = |tags: &gst::TagList| tags.get::<gst::tags::Title>().unwrap().get().to_owned();
    let bench = Bench::new();
    bench.begin_in_time("upstream");
    assert!(bench.event(tag("door", gst::TagScope::Global)));
    // What is true of the container's pad is true of none of its tracks.
    assert!(bench.event(tag("container", gst::TagScope::Stream)));
    bench.push_all(container(&[Fragment::audio(0, 10)]));
    assert_eq!(title(&global(&bench)), "door");
    assert!(bench.event(tag("garden", gst::TagScope::Global)));
    assert_eq!(title(&global(&bench)), "garden");
    assert_eq!(global(&bench).get::<gst::tags::ContainerFormat>().unwrap().get(), "Matroska");
    assert_eq!(bench.outlet("audio_0").events(gst::EventType::Tag).len(), 3);
}

#[test]
fn a_segment_in_time_goes_through_as_it_is() {
    let bench = Bench::new();
    bench.begin_in_time("upstream");
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(3));
    segment.set_base(gst::ClockTime::from_seconds(7));
    let seqnum = gst::Seqnum::next();
    assert!(bench.event(gst::event::Segment::builder(&segment).seqnum(seqnum).build()));
    bench.push_all(container(&[Fragment::audio(0, 10)]));
    let events = bench.outlet("audio_0").events(gst::EventType::Segment);
    assert_eq!(events.len(), 1);
    let gst::EventView::Segment(event) = events[0].view() else { unreachable!() };
    assert_eq!(event.segment().downcast_ref::<gst::ClockTime>(), Some(&segment));
    assert_eq!(events[0].seqnum(), seqnum);
}

#[test]
fn custom_events_keep_their_place() {
    let custom = |name: &str| gst::event::CustomDownstream::builder(gst::Structure::new_empty(name)).build();
    let buffers = container(&[Fragment::audio(0, 10), Fragment::audio(1, 10)]);
    let bench = Bench::new();
    bench.begin_in_time("upstream");
    assert!(bench.event(gst::event::CustomDownstreamSticky::new(gst::Structure::new_empty("sticky"))));
    // Behind the header and before the first cluster, when there is no pad yet.
    bench.push(buffers[0].clone()).unwrap();
    assert!(bench.event(custom("first")));
    bench.push_all(buffers[1..12].iter().cloned());
    assert!(bench.event(custom("second")));
    bench.push_all(buffers[12..].iter().cloned());
    let outlet = bench.outlet("audio_0");
    let mut seen = Vec::new();
    let mut frames = 0;
    for item in &outlet.seen {
        match item {
            super::bench::Seen::Buffer(_) => frames += 1,
            super::bench::Seen::Event(event) => match event.type_() {
                gst::EventType::CustomDownstream | gst::EventType::CustomDownstreamSticky => {
                    seen.push((event.structure().unwrap().name().to_string(), frames));
                }
                _ => {}
            },
        }
    }
    let expected = [("sticky", 0), ("first", 0), ("second", 10)];
    assert_eq!(seen, expected.map(|(name, at)| (name.to_owned(), at)));
}

#[test]
fn a_silent_track_is_told_so() {
    let mut fragments: Vec<_> = (0..8).map(two_tracks).collect();
    for fragment in &mut fragments {
        fragment.blocks =
            (0..25).map(|index| Block { track: 1, time: index * 40, keyframe: true, payload: vec![1; 9] }).collect();
    }
    let other = Block { track: 2, time: 5, keyframe: true, payload: vec![2; 9] };
    fragments[0].blocks.insert(1, other.clone());
    fragments[3].blocks.insert(1, other);
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&fragments)).unwrap();
    assert_eq!(bench.outlet("audio_0").gaps_ms(), []);
    let outlet = bench.outlet("audio_1");
    let gaps = outlet.gaps_ms();
    assert_eq!(gaps[0].0, 5);
    assert!(gaps.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0 || pair[1].0 == 3005), "{gaps:?}");
    // With each fragment, up to where nothing can come: for the one that it had a frame in, a fragment later.
    let ends: Vec<_> = gaps.iter().map(|(start, duration)| start + duration).collect();
    assert_eq!(ends, [1750, 2750, 4750, 5750, 6750]);
    // No gap goes beyond what follows it.
    let mut end = 0;
    for seen in &outlet.seen {
        match seen {
            super::bench::Seen::Buffer(buffer) => assert!(buffer.pts().unwrap().mseconds() >= end),
            super::bench::Seen::Event(event) => {
                if let gst::EventView::Gap(gap) = event.view() {
                    end = (gap.timestamp() + gap.duration().unwrap()).mseconds();
                }
            }
        }
    }
    assert!(end > 3000);
}

#[test]
fn a_gap_of_upstream_goes_to_every_pad_and_is_told_once() {
    let bench = Bench::new();
    bench.begin_in_time("upstream").push_all(container(&[two_tracks(0)]));
    let time = gst::ClockTime::from_mseconds;
    assert!(bench.event(gst::event::Gap::builder(time(200)).duration(time(9800)).build()));
    bench.clear();
    let mut buffers = container(&[two_tracks(0), two_tracks(10)]);
    bench.push_all(buffers.split_off(22));
    for name in ["audio_0", "audio_1"] {
        assert_eq!(bench.outlet(name).gaps_ms(), [], "{name}");
        assert_eq!(bench.outlet(name).pts_ms()[0], 10_000);
    }
}

#[test]
fn an_end_without_pads_is_an_error() {
    for start in [true, false] {
        let bench = Bench::new();
        bench.begin_in_time("upstream");
        if start {
            bench.push(container(&[Fragment::audio(0, 10)]).remove(0)).unwrap();
        }
        assert!(!bench.end());
        bench.error(gst::StreamError::Demux);
    }
    // A stream that exists and holds nothing.
    let emulator = emulator();
    emulator.create_stream(super::support::STREAM).unwrap();
    run_to_end(&format!("{} idle-timeout=100 ! kvsdemux ! fakesink", source(&emulator)))
        .failed(gst::StreamError::Demux);
}

#[test]
fn a_track_without_caps_is_left_out_with_a_warning() {
    let mut fragment = two_tracks(0);
    fragment.tracks[1].codec = "A_AC3";
    let emulator = emulator_with_body(body(&[fragment.clone()]));
    let outcome = run_to_end(&format!("{} ! kvsdemux ! fakesink", source(&emulator))).ok();
    assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
    let (warning, _) = &outcome.warnings[0];
    assert_eq!(warning.kind::<gst::StreamError>(), Some(gst::StreamError::CodecNotFound));
    assert!(warning.to_string().contains("A_AC3"), "{warning}");

    fragment.tracks[0].codec = "A_AC3";
    let emulator = emulator_with_body(body(&[fragment]));
    run_to_end(&format!("{} ! kvsdemux ! fakesink", source(&emulator))).failed(gst::StreamError::CodecNotFound);
}

#[test]
fn what_kvssrc_tells_of_each_fragment_reaches_every_pad() {
    let mut fragments: Vec<_> = (0..3).map(two_tracks).collect();
    for (index, fragment) in fragments.iter_mut().enumerate() {
        fragment.tags = vec![("door".to_owned(), format!("open {index}")), ("light".to_owned(), "on".to_owned())];
    }
    let emulator = emulator_with_body(body(&fragments));
    for pad in ["audio_0", "audio_1"] {
        let pipeline =
            Pipeline::new(&format!("{} ! kvsdemux name=demux demux.{pad} ! fakesink name=sink", source(&emulator)));
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let list = Arc::clone(&told);
        let sink = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
        sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            match info.event().map(|event| event.view()) {
                Some(gst::EventView::CustomDownstream(event)) => {
                    let structure = event.structure().unwrap();
                    list.lock().unwrap().push(structure.get("fragment-number").unwrap());
                }
                Some(gst::EventView::Tag(event)) if event.tag().scope() == gst::TagScope::Global => {
                    let comments = event.tag().iter_tag::<gst::tags::ExtendedComment>();
                    list.lock().unwrap().extend(comments.map(|comment| comment.get().to_owned()));
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        pipeline.play();
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
        let told = told.lock().unwrap();
        let fragment = |index: u64| [format!("door=open {index}"), "light=on".to_owned(), (100 + index).to_string()];
        assert_eq!(*told, (0..3).flat_map(fragment).collect::<Vec<_>>());
    }
}
