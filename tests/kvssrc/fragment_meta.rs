//! The meta that says which fragment a buffer came in, behind whatever the buffer went through.

use gst::prelude::*;
use gstkvs::FragmentMeta;

use super::body::{Fragment, START_MS, body};
use super::support::{PATIENCE, Pipeline, STREAM, emulator_with_body, emulator_with_capture, source};
use kvs_emulator::{Emulator, FragmentInfo};

/// What the meta of a buffer says, read by its name as C and Python do.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    fragment_number: String,
    producer_timestamp: u64,
    server_timestamp: u64,
    millis_behind_now: Option<u64>,
}

fn said(buffer: &gst::BufferRef) -> Option<Said> {
    let meta = gst::meta::CustomMeta::from_buffer(buffer, "GstKvsFragmentMeta").ok()?;
    let structure = meta.structure();
    let said = Said {
        fragment_number: structure.get("fragment-number").unwrap(),
        producer_timestamp: structure.get("producer-timestamp").unwrap(),
        server_timestamp: structure.get("server-timestamp").unwrap(),
        millis_behind_now: structure.get_optional("millis-behind-now").unwrap(),
    };
    let helper = FragmentMeta::of(buffer).unwrap();
    assert_eq!(helper.fragment_number(), Some(said.fragment_number.as_str()));
    assert_eq!(helper.producer_timestamp(), Some(gst::ClockTime::from_nseconds(said.producer_timestamp)));
    assert_eq!(helper.server_timestamp(), Some(gst::ClockTime::from_nseconds(said.server_timestamp)));
    assert_eq!(helper.millis_behind_now(), said.millis_behind_now);
    Some(said)
}

/// What each buffer of a pipeline's end says, with its capture time.
#[track_caller]
fn run(description: &str, caps: &str) -> Vec<(Option<Said>, Option<u64>)> {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false max-buffers=1"));
    let sink = pipeline.sink(caps);
    pipeline.play();
    let mut all = Vec::new();
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        let buffer = sample.buffer().unwrap();
        let captured = buffer.meta::<gst::ReferenceTimestampMeta>().map(|meta| meta.timestamp().nseconds());
        all.push((said(buffer), captured));
    }
    assert!(sink.is_eos(), "{description}: {:?}", pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]));
    all
}

fn fragments() -> Vec<Fragment> {
    (0..3).map(|index| Fragment { millis_behind_now: 2000 - index * 1000, ..Fragment::audio(index, 4) }).collect()
}

/// What the buffers of the `index`th of these fragments say.
fn wanted(index: u64) -> Said {
    let producer_timestamp = (START_MS + index * 1000) * 1_000_000;
    Said {
        fragment_number: (100 + index).to_string(),
        producer_timestamp,
        server_timestamp: producer_timestamp + 1_000_000_000,
        // The service tells at a fragment's end, so that it is known from the next one on.
        millis_behind_now: (index > 0).then(|| 3000 - index * 1000),
    }
}

#[test]
fn every_frame_has_it() {
    let emulator = emulator_with_body(body(&fragments()));
    let all = run(&source(&emulator), "audio/x-alaw");
    let times = (0..3).flat_map(|fragment| (0..4).map(move |frame| (fragment, frame)));
    let all_wanted: Vec<_> = times
        .map(|(fragment, frame)| (Some(wanted(fragment)), Some((START_MS + fragment * 1000 + frame * 20) * 1_000_000)))
        .collect();
    assert_eq!(all, all_wanted);
}

#[test]
fn every_buffer_of_the_container_has_it() {
    let emulator = emulator_with_body(body(&fragments()));
    let all: Vec<_> = run(&source(&emulator), "audio/x-matroska").into_iter().map(|(said, _)| said.unwrap()).collect();
    // The header, then for each fragment a cluster, its blocks, and the tags at its end.
    let all_wanted: Vec<_> = std::iter::once(0).chain((0..3).flat_map(|fragment| [fragment; 6])).map(wanted).collect();
    assert_eq!(all, all_wanted);
}

#[test]
fn a_file_that_kinesis_video_did_not_write_has_none() {
    let body = [without_service_tags(0), without_service_tags(1)].concat();
    let all = run(&source(&emulator_with_body(body)), "audio/x-alaw");
    assert_eq!(all, vec![(None, None); 8]);
}

/// A fragment whose tags of the service have names that nobody knows.
fn without_service_tags(index: u64) -> Vec<u8> {
    let mut bytes = Fragment::audio(index, 4).bytes();
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(b"AWS_KINESISVIDEO_") {
            bytes[at + 4..at + 16].copy_from_slice(b"NOBODY_KNOWS");
        }
    }
    bytes
}

/// The emulator's fragments that frames captured at these times belong to.
fn numbers(emulator: &Emulator, captured: &[u64]) -> Vec<String> {
    let stored = emulator.fragments(STREAM).unwrap();
    captured
        .iter()
        .map(|captured| {
            let before = |fragment: &&FragmentInfo| fragment.producer_timestamp * 1_000_000 <= *captured;
            stored.iter().rfind(before).unwrap().number.to_string()
        })
        .collect()
}

#[track_caller]
fn survives(elements: &str, caps: &str, needed: &[&str]) {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    for element in needed {
        assert!(gst::ElementFactory::find(element).is_some(), "{element} is not installed");
    }
    let all = run(&format!("{} ! {elements}", source(&emulator)), caps);
    assert_eq!(all.len(), 300);
    let captured: Vec<u64> = all.iter().map(|(_, captured)| captured.expect("a capture time")).collect();
    let said: Vec<_> = all.into_iter().map(|(said, _)| said.expect("a fragment meta").fragment_number).collect();
    assert_eq!(said, numbers(&emulator, &captured));
    let mut different = said;
    different.dedup();
    assert_eq!(different.len(), 5);
}

#[test]
fn a_decoded_frame_has_it() {
    survives("h264parse ! avdec_h264", "video/x-raw", &["h264parse", "avdec_h264"]);
}

#[test]
fn a_frame_that_was_decoded_scaled_and_encoded_again_has_it() {
    survives(
        "h264parse ! avdec_h264 ! videoconvert ! videoscale ! video/x-raw,width=160,height=120,format=NV12 ! \
         queue ! x264enc speed-preset=ultrafast tune=zerolatency ! h264parse",
        "video/x-h264,stream-format=byte-stream",
        &["x264enc"],
    );
}

#[test]
fn a_frame_that_a_parser_has_rewritten_has_it() {
    survives("h264parse ! video/x-h264,stream-format=byte-stream,alignment=au", "video/x-h264", &["h264parse"]);
}

#[test]
fn a_frame_behind_matroskademux_has_it() {
    survives("matroskademux ! h264parse ! avdec_h264", "video/x-raw", &["matroskademux"]);
}
