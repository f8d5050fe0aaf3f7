//! What is told of each fragment: the event and the message `kvs-fragment`, and tags.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::{Fault, Repeat};

use super::body::{Fragment, START_MS, body};
use super::support::{PATIENCE, Pipeline, STREAM, emulator, emulator_with_body, emulator_with_capture, source};

/// What came to the sink, in order.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Frame(Vec<u8>),
    Fragment(gst::Structure),
    Tags(Vec<String>),
}

/// What a pipeline's sink and bus saw.
struct Reading {
    seen: Vec<Seen>,
    messages: Vec<gst::Structure>,
    tag_lists: Vec<gst::TagList>,
}

impl Reading {
    fn events(&self) -> Vec<gst::Structure> {
        let events = self.seen.iter().filter_map(|seen| match seen {
            Seen::Fragment(structure) => Some(structure.clone()),
            _ => None,
        });
        events.collect()
    }
}

fn run(description: &str, caps: &str) -> Reading {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false wait-on-eos=false"));
    let sink = pipeline.sink(caps);
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let noted = Arc::clone(&seen);
    let types = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    sink.static_pad("sink").unwrap().add_probe(types, move |_, info| {
        let (seen, lists) = &mut *noted.lock().unwrap();
        if let Some(buffer) = info.buffer() {
            seen.push(Seen::Frame(buffer.map_readable().unwrap().to_vec()));
        }
        match info.event().map(|event| event.view()) {
            Some(gst::EventView::CustomDownstream(event)) => {
                assert!(event.is_serialized());
                seen.push(Seen::Fragment(event.structure().unwrap().to_owned()));
            }
            Some(gst::EventView::Tag(event)) => {
                let comments = event.tag().iter_tag::<gst::tags::ExtendedComment>();
                seen.push(Seen::Tags(comments.map(|comment| comment.get().to_owned()).collect()));
                lists.push(event.tag_owned());
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let mut messages = Vec::new();
    loop {
        let message = bus.timed_pop(PATIENCE).expect("the end");
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                if structure.name() == "kvs-fragment" {
                    messages.push(structure.to_owned());
                }
            }
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    drop(pipeline);
    let (seen, tag_lists) = std::mem::take(&mut *seen.lock().unwrap());
    Reading { seen, messages, tag_lists }
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn fragments() -> Vec<Fragment> {
    (0..3)
        .map(|index| Fragment {
            tags: pairs(&[("camera", "north")]),
            late_tags: if index == 1 {
                pairs(&[("seen", "a \"cat\", 2.5 kg"), ("camera", "north east")])
            } else {
                Vec::new()
            },
            millis_behind_now: 2000 - index * 1000,
            ..Fragment::audio(index, 4)
        })
        .collect()
}

#[test]
fn every_fragment_is_told_behind_its_last_frame() {
    let fragments = fragments();
    let emulator = emulator_with_body(body(&fragments));
    let reading = run(&source(&emulator), "audio/x-alaw");
    let events = reading.events();
    assert_eq!(events, reading.messages);
    assert_eq!(events.len(), 3);
    for (index, (event, fragment)) in events.iter().zip(&fragments).enumerate() {
        let time = (START_MS + index as u64 * 1000) * 1_000_000;
        let number = fragment.number.to_string();
        assert_eq!(event.name(), "kvs-fragment");
        assert_eq!(event.get::<String>("fragment-number").unwrap(), number);
        assert_eq!(event.get::<u64>("producer-timestamp").unwrap(), time);
        assert_eq!(event.get::<u64>("server-timestamp").unwrap(), time + 1_000_000_000);
        assert_eq!(event.get::<u64>("millis-behind-now").unwrap(), fragment.millis_behind_now);
        assert_eq!(event.get::<String>("continuation-token").unwrap(), number);
        assert_eq!(event.get::<u64>("size").unwrap(), fragment.bytes().len() as u64);
        let frames = event.get::<gst::Structure>("frames").unwrap();
        assert_eq!((frames.len(), frames.get::<u64>("track-1").unwrap()), (1, 4));
        let tags = event.get::<gst::Structure>("tags").unwrap();
        // Of two with the same name the later one counts.
        let camera = if index == 1 { "north east" } else { "north" };
        assert_eq!(tags.get::<String>("camera").unwrap(), camera);
        assert_eq!(tags.get_optional::<String>("seen").unwrap().is_some(), index == 1);
    }
    // In order with the buffers.
    let frames_before: Vec<_> = reading
        .seen
        .iter()
        .scan(0, |frames, seen| {
            *frames += usize::from(matches!(seen, Seen::Frame(_)));
            Some((*frames, matches!(seen, Seen::Fragment(_))))
        })
        .filter_map(|(frames, told)| told.then_some(frames))
        .collect();
    assert_eq!(frames_before, [4, 8, 12]);
}

#[test]
fn tags_are_told_where_they_change() {
    let emulator = emulator_with_body(body(&fragments()));
    let reading = run(&source(&emulator), "audio/x-alaw");
    let order: Vec<_> = reading
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Tags(comments) => Some(comments.join("; ")),
            Seen::Fragment(_) => Some("fragment".to_owned()),
            Seen::Frame(bytes) => (bytes[1] == 0).then(|| format!("frames of {}", bytes[0])),
        })
        .collect();
    assert_eq!(
        order,
        [
            "camera=north",
            "frames of 0",
            "fragment",
            "frames of 1",
            "fragment",
            // What came behind the frames of the fragment before is not true of these.
            "frames of 2",
            "fragment",
        ]
    );
    for list in &reading.tag_lists {
        assert_eq!(list.get::<gst::tags::Title>().unwrap().get(), STREAM);
        let date_time = list.get::<gst::tags::DateTime>().unwrap().get();
        assert_eq!(date_time.to_iso8601_string().unwrap(), "2026-01-05T10:00:00Z");
        assert_eq!(list.scope(), gst::TagScope::Global);
    }
}

/// kvssink puts all tags but those before its first cluster behind the clusters that they belong to, and a persistent one
/// behind each.
#[test]
fn tags_behind_their_cluster_are_told_with_it_alone() {
    let mut fragments: Vec<_> = (0..4).map(|index| Fragment::audio(index, 4)).collect();
    fragments[0].tags = pairs(&[("first", "1"), ("camera", "north"), ("camera", "north")]);
    for fragment in &mut fragments {
        fragment.late_tags = pairs(&[("camera", "north")]);
    }
    fragments[1].late_tags.extend(pairs(&[("motion", "1"), ("camera", "north"), ("motion", "2"), ("motion", "1")]));
    let emulator = emulator_with_body(body(&fragments));
    let reading = run(&source(&emulator), "audio/x-alaw");
    let told: Vec<_> = reading
        .messages
        .iter()
        .map(|message| message.get::<gst::Structure>("tags").unwrap())
        .map(|tags| tags.iter().map(|(name, value)| format!("{name}={}", value.get::<String>().unwrap())).collect())
        .collect::<Vec<Vec<_>>>();
    let expected: [&[&str]; 4] =
        [&["first=1", "camera=north"], &["camera=north", "motion=1"], &["camera=north"], &["camera=north"]];
    assert_eq!(told, expected);
    let events = reading.seen.iter().filter_map(|seen| match seen {
        Seen::Tags(comments) => Some(comments.join("; ")),
        _ => None,
    });
    assert_eq!(events.collect::<Vec<_>>(), ["first=1; camera=north", ""]);
}

#[test]
fn only_what_the_service_adds_is_no_tag_of_the_producers() {
    let mut fragment = Fragment::audio(0, 4);
    let own = [
        ("AWS_KINESISVIDEO_NOTIFICATION", ""),
        ("AWS_KINESISVIDEO_IMAGE_GENERATION", ""),
        ("AWS_KINESISVIDEO_IMAGE_PREFIX", "cam1/"),
        ("AWS_KINESISVIDEO_END_OF_FRAGMENT", ""),
        ("AWS_TOMORROW", "new"),
        ("AWSOME", "yes"),
    ];
    fragment.tags = pairs(&own);
    let emulator = emulator_with_body(body(&[fragment]));
    let reading = run(&source(&emulator), "audio/x-alaw");
    let comments = own.map(|(name, value)| format!("{name}={value}"));
    assert!(matches!(&reading.seen[0], Seen::Tags(told) if *told == comments), "{:?}", reading.seen[0]);
    let tags = reading.messages[0].get::<gst::Structure>("tags").unwrap();
    assert_eq!(tags.len(), own.len());
    own.iter().for_each(|(name, value)| assert_eq!(tags.get::<String>(*name).unwrap(), *value));
}

#[test]
fn tags_that_stay_are_told_once() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let reading = run(&source(&emulator), "video/x-h264");
    assert_eq!(reading.tag_lists.len(), 1);
    // What the file that was uploaded says of itself, and not what it says of its track.
    let file = ["COMPATIBLE_BRANDS=isomavc1mp42", "MAJOR_BRAND=M4V ", "MINOR_VERSION=1", "ENCODER=Lavf57.71.100"]
        .map(str::to_owned);
    assert!(matches!(&reading.seen[0], Seen::Tags(comments) if *comments == file), "{:?}", reading.seen[0]);
    assert!(matches!(reading.seen[1], Seen::Frame(_)));
    assert_eq!(reading.tag_lists[0].get::<gst::tags::Title>().unwrap().get(), STREAM);
    let frames: Vec<_> = reading
        .messages
        .iter()
        .map(|message| message.get::<gst::Structure>("frames").unwrap().get::<u64>("track-1").unwrap())
        .collect();
    assert_eq!(frames, [60; 5]);
}

#[test]
fn the_container_is_told_the_same() {
    let emulator = emulator_with_body(body(&fragments()));
    let frames = run(&source(&emulator), "audio/x-alaw");
    let container = run(&source(&emulator), "audio/x-matroska");
    assert_eq!(container.events(), frames.events());
    assert_eq!(container.messages, frames.messages);
    assert_eq!(container.tag_lists.len(), frames.tag_lists.len());
    // A demuxer that knows nothing of Kinesis Video hands them on.
    let demuxed = run(&format!("{} ! matroskademux", source(&emulator)), "audio/x-alaw");
    assert_eq!(demuxed.events(), frames.events());
}

#[test]
fn a_fragment_that_was_cut_is_told_once_and_whole() {
    let fragments = fragments();
    let one = fragments[0].bytes().len() as u64;
    let undisturbed = emulator();
    undisturbed.import_bytes(STREAM, body(&fragments)).unwrap();
    let wanted = run(&source(&undisturbed), "audio/x-alaw");
    // The lag is what it was when it was read.
    let without_lag = |messages: &[gst::Structure]| {
        let mut messages = messages.to_vec();
        messages.iter_mut().for_each(|message| message.remove_field("millis-behind-now"));
        messages
    };
    for cut in [one / 2, one - 3, one, one + one * 3 / 4] {
        let emulator = emulator();
        emulator.import_bytes(STREAM, body(&fragments)).unwrap();
        emulator.set_fault(STREAM, Fault::CutAfter(cut), Repeat::Once);
        let told = run(&source(&emulator), "audio/x-alaw");
        assert_eq!(without_lag(&told.messages), without_lag(&wanted.messages), "cut after {cut} bytes");
        assert_eq!(told.seen.len(), wanted.seen.len());
    }
}

/// A demuxer that gathers what stands in Tags would hold more with each fragment, and tell all of it again.
#[test]
fn tags_do_not_add_up_in_a_demuxer() {
    let mut fragments: Vec<_> = (0..50).map(|index| Fragment::audio(index, 2)).collect();
    for (index, fragment) in fragments.iter_mut().enumerate() {
        fragment.tags = pairs(&[("count", &index.to_string())]);
        fragment.late_tags = pairs(&[("late", &index.to_string())]);
    }
    let emulator = emulator_with_body(body(&fragments));
    let reading = run(&format!("{} ! matroskademux", source(&emulator)), "audio/x-alaw");
    let comments = reading.seen.iter().filter_map(|seen| match seen {
        Seen::Tags(comments) => Some(comments.len()),
        _ => None,
    });
    assert!(comments.clone().count() > 50);
    assert!(comments.max().unwrap() <= 5);
}

#[test]
fn title_and_date_reach_a_file() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    let line = format!("{} ! h264parse ! mp4mux ! filesink location={}", source(&emulator), file.display());
    super::support::run_to_end(&line).ok();
    let told = super::judges::discoverer(&file);
    assert!(told.contains(&format!("title: {STREAM}")), "{told}");
    assert!(told.contains("datetime: "), "{told}");
}
