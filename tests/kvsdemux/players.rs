//! parsebin and decodebin3, which plug demuxers by caps and rank.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;

use super::body::START_MS;
use super::support::{PATIENCE, Pipeline, STREAM, emulator, init, run_to_end, source};

const VIDEO: &str = "videotestsrc num-buffers=75 ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! \
                     x264enc key-int-max=25 tune=zerolatency ! h264parse";
const AUDIO: &str = "audiotestsrc num-buffers=120 samplesperbuffer=1024 ! audioconvert ! avenc_aac ! aacparse";

/// A file of picture and sound.
fn sample() -> (tempfile::TempDir, std::path::PathBuf) {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.mkv");
    let mux = format!("matroskamux name=mux ! filesink location={}", file.display());
    run_to_end(&format!("{mux} {VIDEO} ! mux. {AUDIO} ! mux.")).ok();
    (folder, file)
}

/// Runs to the end; the factories of all elements that were in it, and the messages of that type.
fn factories(description: &str) -> Vec<String> {
    let pipeline = Pipeline::new(description);
    pipeline.play();
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let elements = pipeline.iterate_recurse();
    elements.into_iter().filter_map(|element| Some(element.unwrap().factory()?.name().into())).collect()
}

#[track_caller]
fn assert_demuxer(factories: &[String], plugged: &str, other: &str) {
    let count = |name: &str| factories.iter().filter(|factory| *factory == name).count();
    assert_eq!((count(plugged), count(other)), (1, 0), "{factories:?}");
}

const TWO_SINKS: &str = "name=bin bin. ! queue ! fakesink bin. ! queue ! fakesink";

#[test]
fn they_plug_it_behind_kvssrc() {
    let (_folder, file) = sample();
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, std::fs::read(file).unwrap(), START_MS).unwrap();
    for bin in ["parsebin", "decodebin3"] {
        let factories = factories(&format!("{} ! {bin} {TWO_SINKS}", source(&emulator)));
        assert_demuxer(&factories, "kvsdemux", "matroskademux");
        for parser in ["h264parse", "aacparse"] {
            assert!(factories.iter().any(|factory| factory == parser), "{bin}: no {parser} in {factories:?}");
        }
    }
}

#[test]
fn they_plug_matroskademux_behind_another_file() {
    let (_folder, file) = sample();
    for bin in ["parsebin", "decodebin3"] {
        let factories = factories(&format!("filesrc location={} ! {bin} {TWO_SINKS}", file.display()));
        assert_demuxer(&factories, "matroskademux", "kvsdemux");
    }
}

#[test]
fn every_picture_and_sample_is_decoded() {
    let (_folder, file) = sample();
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, std::fs::read(&file).unwrap(), START_MS).unwrap();
    let decoded = |source: &str| {
        let outcome = super::support::run(&format!("{source} ! decodebin3"), "video/x-raw").ok();
        outcome.frames.into_iter().map(|frame| (frame.pts.unwrap() / 1_000_000, frame.bytes)).collect::<Vec<_>>()
    };
    let ours = decoded(&source(&emulator));
    let judged = decoded(&format!("filesrc location={}", file.display()));
    assert_eq!(ours.len(), 75);
    assert!(ours == judged);
}

#[test]
fn a_stream_collection_reaches_the_application_once() {
    let (_folder, file) = sample();
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, std::fs::read(file).unwrap(), START_MS).unwrap();
    let pipeline = Pipeline::new(&format!("{} ! decodebin3 {TWO_SINKS}", source(&emulator)));
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let mut ids = Vec::new();
    loop {
        let types = [gst::MessageType::StreamCollection, gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        match message.view() {
            gst::MessageView::StreamCollection(message) => {
                let collection = message.stream_collection();
                ids.extend(collection.iter().filter_map(|stream| stream.stream_id()).map(String::from));
            }
            gst::MessageView::Eos(_) => break,
            _ => panic!("{message:?}"),
        }
    }
    ids.dedup();
    let unique: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), 2, "{ids:?}");
    assert!(ids.iter().all(|id| id.ends_with("/001") || id.ends_with("/002")), "{ids:?}");
}

#[test]
fn rank_and_templates() {
    init();
    let factory = gst::ElementFactory::find("kvsdemux").unwrap();
    assert_eq!(factory.rank(), gst::Rank::PRIMARY + 1);
    assert_eq!(factory.metadata("long-name"), Some("Kinesis Video demuxer"));
    assert_eq!(factory.metadata("klass"), Some("Codec/Demuxer"));
    let templates = factory.static_pad_templates();
    let caps = |name: &str| templates.iter().find(|template| template.name_template() == name).unwrap().caps();
    let sink: gst::Caps =
        "video/x-matroska, variant=(string)kvs; audio/x-matroska, variant=(string)kvs".parse().unwrap();
    assert_eq!(caps("sink"), sink);
    assert!(caps("video_%u").iter().all(|structure| !structure.name().starts_with("audio/")));
    assert!(caps("audio_%u").iter().all(|structure| structure.name().starts_with("audio/")));
}

/// Runs a bin that adds pads as it goes; how many buffers of video and of audio they brought.
fn played(source: &str, bin: &str) -> (usize, usize) {
    let pipeline = Pipeline::new(&format!("{source} ! {bin} name=bin"));
    let (video, audio) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&video), Arc::clone(&audio));
    let weak = pipeline.downgrade();
    pipeline.by_name("bin").unwrap().connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let counts = counts.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            let caps = pad.current_caps().unwrap();
            let is_video = caps.structure(0).unwrap().name().starts_with("video/");
            if is_video { &counts.0 } else { &counts.1 }.fetch_add(1, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        });
        let sink = gst::ElementFactory::make("fakesink").property("async", false).build().unwrap();
        pipeline.add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        pad.link(&sink.static_pad("sink").unwrap()).unwrap();
        // A sink that waits for what never comes would keep the pipeline from ending.
        pad.connect_unlinked(move |_, _| sink.call_async(remove));
    });
    pipeline.play();
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types);
    let message = message.unwrap_or_else(|| panic!("the pipeline hangs at {video:?} and {audio:?}"));
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    (video.load(Ordering::SeqCst), audio.load(Ordering::SeqCst))
}

fn remove(sink: &gst::Element) {
    if let Some(bin) = sink.parent().and_downcast::<gst::Bin>() {
        let _ = bin.remove(sink);
        let _ = sink.set_state(gst::State::Null);
    }
}

/// A file of these streams, each as a launch line.
fn file_of(streams: &[&str]) -> Vec<u8> {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.mkv");
    let streams: String = streams.iter().map(|stream| format!(" {stream} ! mux.")).collect();
    run_to_end(&format!("matroskamux name=mux ! filesink location={}{streams}", file.display())).ok();
    std::fs::read(file).unwrap()
}

/// What a bin plays of a producer that recorded the one file and, after a restart, the other.
fn played_one_after_the_other(first: &[u8], second: &[u8], bin: &str) -> (usize, usize) {
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, first.to_vec(), START_MS).unwrap();
    emulator.import_bytes_at(STREAM, second.to_vec(), START_MS + 4000).unwrap();
    played(&source(&emulator), bin)
}

#[test]
fn a_producer_that_restarts_with_other_tracks_is_read_on() {
    let (both, silent) = (file_of(&[VIDEO, AUDIO]), file_of(&[VIDEO]));
    let h265 = VIDEO.replace("x264enc", "x265enc").replace("h264parse", "h265parse");
    let other = file_of(&[&h265, AUDIO]);
    let sound = {
        let emulator = emulator();
        emulator.import_bytes_at(STREAM, both.clone(), START_MS).unwrap();
        played(&source(&emulator), "parsebin").1
    };
    assert!(sound > 100, "{sound}");
    for (first, second, audio) in
        [(&both, &silent, sound), (&silent, &both, sound), (&both, &other, 2 * sound), (&both, &both, 2 * sound)]
    {
        assert_eq!(played_one_after_the_other(first, second, "parsebin"), (150, audio));
    }
    for (second, audio) in [(&silent, sound), (&both, 2 * sound)] {
        let (pictures, sounds) = played_one_after_the_other(&both, second, "decodebin3");
        assert_eq!(pictures, 150);
        assert!(sounds >= audio, "{sounds}");
    }
}
