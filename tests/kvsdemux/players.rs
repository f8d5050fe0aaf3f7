//! parsebin and decodebin3, which plug demuxers by caps and rank.

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
