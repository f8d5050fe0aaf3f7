//! Everything that goes wrong, as the message that an application gets.

use std::process::Command;

use gst::glib;
use gst::prelude::*;
use gst::{CoreError, ResourceError, StreamError};
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::body::{Fragment, Track, body, element, tags};
use super::support::{
    Outcome, STREAM, emulator, emulator_with_body, emulator_with_capture, init, run, source, source_for_ever,
    source_without_patience,
};

fn read(emulator: &Emulator) -> Outcome {
    run(&source_without_patience(emulator), "video/x-matroska; audio/x-matroska")
}

/// A single fragment, ten frames.
fn fragment() -> Vec<u8> {
    body(&[Fragment::audio(0, 10)])
}

fn blocks(outcome: &Outcome) -> usize {
    outcome.frames.iter().filter(|frame| frame.flags.contains(gst::BufferFlags::DELTA_UNIT)).count()
}

#[test]
fn no_stream() {
    init();
    let text = run("kvssrc", "ANY").failed(ResourceError::Settings);
    assert!(text.contains("No stream is set"), "{text}");
}

#[test]
fn properties_that_make_no_sense() {
    let emulator = emulator();
    for properties in ["start-timestamp=noon", "end-timestamp=noon", "after-fragment-number=x"] {
        let text = run(&format!("{} {properties}", source_for_ever(&emulator)), "ANY").failed(ResourceError::Settings);
        let (property, _) = properties.split_once('=').unwrap();
        assert!(text.contains(property), "{text}");
    }
    let endpoint = format!("kvssrc stream={STREAM} aws-region=us-west-2 endpoint-url={}", emulator.url());
    for properties in ["access-key=x", "secret-key=x", "session-token=x"] {
        run(&format!("{endpoint} {properties}"), "ANY").failed(ResourceError::Settings);
    }
    assert!(emulator.requests().is_empty());
}

#[test]
fn an_unknown_stream() {
    let text = read(&emulator()).failed(ResourceError::NotFound);
    for part in [STREAM, "ResourceNotFoundException", "request id "] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("request id unknown"), "{text}");
}

#[test]
fn a_wrong_secret() {
    let emulator = emulator_with_body(fragment());
    let source = source(&emulator).replace(emulator.secret_key(), "not-the-secret");
    let text = run(&source, "ANY").failed(ResourceError::NotAuthorized);
    assert!(!text.contains("not-the-secret"), "{text}");
}

#[test]
fn an_unknown_access_key() {
    let emulator = emulator_with_body(fragment());
    let source = source(&emulator).replace(emulator.access_key(), "AKIAIOSFODNN7NOBODY");
    run(&source, "ANY").failed(ResourceError::NotAuthorized);
}

#[test]
fn an_expired_token() {
    let emulator = emulator_with_body(fragment());
    for operation in [Operation::GetDataEndpoint, Operation::GetMedia] {
        let fault = Fault::http(operation, 403, "ExpiredTokenException", "The security token has expired");
        emulator.set_fault(STREAM, fault, Repeat::Once);
        let text = read(&emulator).failed(ResourceError::NotAuthorized);
        assert!(text.contains("ExpiredTokenException"), "{text}");
    }
}

/// Without credentials in properties the SDK looks for them in the environment, which only another process can be
/// without.
#[test]
fn no_credentials_anywhere() {
    const CHILD: &str = "KVS_TEST_ENDPOINT";
    if let Ok(url) = std::env::var(CHILD) {
        let source = format!("kvssrc stream={STREAM} aws-region=us-west-2 endpoint-url={url}");
        let text = run(&source, "ANY").failed(ResourceError::NotAuthorized);
        assert!(text.contains("No AWS credentials"), "{text}");
        return;
    }
    let emulator = emulator_with_body(fragment());
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        child.env_remove(name);
    }
    let output = child
        .args(["--exact", "errors::no_credentials_anywhere", "--nocapture"])
        .env(CHILD, emulator.url())
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn throttling() {
    let emulator = emulator_with_body(fragment());
    for (operation, name) in [
        (Operation::GetDataEndpoint, "ClientLimitExceededException"),
        (Operation::GetMedia, "ClientLimitExceededException"),
        (Operation::GetMedia, "ConnectionLimitExceededException"),
    ] {
        emulator.clear_faults(STREAM);
        emulator.set_fault(STREAM, Fault::http(operation, 400, name, "Slow down"), Repeat::Always);
        let text = read(&emulator).failed(ResourceError::Busy);
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn no_route() {
    let emulator = emulator();
    let source = source(&emulator);
    drop(emulator);
    run(&format!("{source} retry-timeout=0"), "ANY").failed(ResourceError::OpenRead);
}

#[test]
fn a_host_that_does_not_exist() {
    let emulator = emulator();
    let source = source(&emulator).replace(&emulator.url(), "http://kvs.invalid");
    run(&format!("{source} retry-timeout=0"), "ANY").failed(ResourceError::OpenRead);
}

#[test]
fn a_service_that_fails() {
    let emulator = emulator_with_body(fragment());
    for (status, name) in [(500, "InternalFailure"), (400, "InvalidEndpointException")] {
        emulator.clear_faults(STREAM);
        emulator.set_fault(STREAM, Fault::http(Operation::GetMedia, status, name, "Not now"), Repeat::Always);
        let text = read(&emulator).failed(ResourceError::OpenRead);
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_body_that_is_no_matroska() {
    let outcome = read(&emulator_with_body(&b"<html>A proxy says hello</html>"[..]));
    let text = outcome.failed(StreamError::Demux);
    assert!(text.contains("byte 0"), "{text}");
    assert!(outcome.frames.is_empty());
}

#[test]
fn a_body_that_turns_bad_tells_where_and_what_came_before_goes_out() {
    let good = fragment();
    let outcome = read(&emulator_with_body([good.as_slice(), &[0; 64]].concat()));
    let text = outcome.failed(StreamError::Demux);
    assert!(text.contains(&format!("byte {}", good.len())), "{text}");
    assert_eq!(blocks(&outcome), 10);
}

#[test]
fn a_block_that_breaks_the_bounds() {
    let mut body = Fragment::audio(0, 0).until_cluster();
    let offset = body.len() as u64;
    body.extend([0x1F, 0x43, 0xB6, 0x75, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xE7, 0x81, 0]);
    body.extend([0xA3, 0x08, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    body.extend(vec![0x81; 4096]);
    let text = read(&emulator_with_body(body)).failed(StreamError::Demux);
    assert!(text.contains(&format!("byte {}", offset + 15)), "{text}");
}

#[test]
fn a_header_that_breaks_the_bounds() {
    let mut body = Fragment::audio(0, 0).until_cluster();
    body.extend([0x12, 0x54, 0xC3, 0x67, 0x01, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF]);
    body.extend(vec![0; 4096]);
    read(&emulator_with_body(body)).failed(StreamError::Demux);
}

#[test]
fn a_cluster_without_tracks() {
    let ebml = element(&[0x1A, 0x45, 0xDF, 0xA3], &element(&[0x42, 0x82], b"matroska"));
    let segment = [0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let cluster = element(&[0x1F, 0x43, 0xB6, 0x75], &super::body::unsigned(&[0xE7], 0));
    read(&emulator_with_body([ebml.as_slice(), &segment, &cluster].concat())).failed(StreamError::Demux);
}

#[test]
fn an_error_tag_in_the_body() {
    let mut body = fragment();
    body.extend(Fragment::audio(1, 0).until_cluster());
    body.extend(tags(&[
        ("AWS_KINESISVIDEO_ERROR_CODE".to_owned(), "The stream's KMS key is disabled".to_owned()),
        ("AWS_KINESISVIDEO_ERROR_ID".to_owned(), "4501".to_owned()),
    ]));
    let outcome = read(&emulator_with_body(body));
    let text = outcome.failed(ResourceError::Read);
    assert!(text.contains("4501") && text.contains("The stream's KMS key is disabled"), "{text}");
    assert_eq!(blocks(&outcome), 10);
}

#[test]
fn an_error_tag_of_the_emulator() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let fault = Fault::BodyErrorTag { code: "KMSKeyDisabled".to_owned(), id: 4501, after: 2 };
    emulator.set_fault(STREAM, fault, Repeat::Once);
    let outcome = run(&source(&emulator), "video/x-h264");
    let text = outcome.failed(ResourceError::Read);
    assert!(text.contains("4501") && text.contains("KMSKeyDisabled"), "{text}");
    assert_eq!(outcome.frames.len(), 120);
}

#[test]
fn a_body_that_always_ends_in_an_element_gives_the_whole_frames_before_it() {
    let whole = body(&[Fragment::audio(0, 10), Fragment::audio(1, 10)]);
    let one = fragment().len();
    // In the last tags, in the second cluster, and in the second header.
    for (end, frames) in [(whole.len() - 3, 20), (whole.len() - 300, 19), (one + 20, 10)] {
        let outcome = read(&emulator_with_body(whole[..end].to_vec()));
        outcome.failed(ResourceError::Read);
        assert!(blocks(&outcome) <= frames, "cut at {end}: {}", blocks(&outcome));
        assert!(blocks(&outcome) + 10 > frames, "cut at {end}: {}", blocks(&outcome));
    }
}

#[test]
fn a_stream_without_fragment_numbers_that_is_cut_warns_and_ends() {
    let body = fragment();
    let name = b"AWS_KINESISVIDEO_FRAGMENT_NUMBER";
    let at = body.windows(name.len()).position(|window| window == name).unwrap();
    let mut nameless = body.clone();
    nameless[at] = b'X';
    let clean = read(&emulator_with_body(nameless.clone())).ok();
    assert_eq!((blocks(&clean), clean.warnings.len()), (10, 0));
    nameless.truncate(body.len() - 3);
    let cut = read(&emulator_with_body(nameless)).ok();
    assert_eq!((blocks(&cut), cut.warnings.len()), (10, 1));
}

#[test]
fn a_codec_that_caps_cannot_say_goes_through_the_container_only() {
    let fragment =
        Fragment { tracks: vec![Track { codec: "A_UNHEARD/OF", ..Track::alaw(1, "x") }], ..Fragment::audio(0, 10) };
    let emulator = emulator_with_body(body(&[fragment]));
    assert_eq!(blocks(&read(&emulator).ok()), 10);
    for track in ["", "track=1"] {
        let text = run(&format!("{} {track}", source(&emulator)), "audio/x-alaw").failed(CoreError::Negotiation);
        assert!(text.contains("A_UNHEARD/OF") && text.contains("Not negotiated"), "{text}");
    }
}

#[test]
fn a_track_that_is_not_there() {
    let emulator = emulator_with_body(fragment());
    let text = run(&format!("{} track=door", source(&emulator)), "audio/x-alaw").failed(CoreError::Negotiation);
    assert!(text.contains("door") && text.contains("microphone"), "{text}");
}

#[test]
fn a_format_that_is_not_there() {
    let emulator = emulator_with_body(fragment());
    let text = run(&source(&emulator), "video/x-h264").failed(CoreError::Negotiation);
    assert!(text.contains("video/x-h264") && text.contains("audio/x-alaw"), "{text}");
}

#[test]
fn secrets_are_not_in_the_pipeline_graph() {
    init();
    let pipeline = gst::parse::launch(
        "kvssrc name=source stream=x access-key=AKIASECRET secret-key=HUSHHUSH session-token=TOKENTOKEN ! fakesink",
    );
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    let graph = pipeline.debug_to_dot_data(gst::DebugGraphDetails::all());
    assert!(graph.contains("GstKvsSrc"));
    for secret in ["AKIASECRET", "HUSHHUSH", "TOKENTOKEN"] {
        assert!(!graph.contains(secret));
    }
    let source = pipeline.by_name("source").unwrap();
    for name in ["access-key", "secret-key", "session-token"] {
        assert!(!source.find_property(name).unwrap().flags().contains(glib::ParamFlags::READABLE));
    }
}
