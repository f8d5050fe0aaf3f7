//! `kvs://` URIs, in GStreamer's own players and by its own rules.

use gst::prelude::*;
use kvs_emulator::{Emulator, Operation};

use super::body::{Fragment, body};
use super::support::{
    STREAM, command, emulator, emulator_with_body, emulator_with_capture, init, printed, run, run_to_end,
};

/// An emulator with ten seconds of pictures.
fn pictures() -> Option<Emulator> {
    emulator_with_capture("output_get_media.mkv")
}

const RANGE: &str = "start-selector=earliest&end=2026-01-06T00:00:00Z";

#[test]
fn gst_play_plays_a_uri() {
    let Some(emulator) = pictures() else { return };
    let uri = format!("kvs://{STREAM}?{RANGE}");
    let mut play = command("gst-play-1.0", &emulator);
    play.args(["--no-interactive", "--videosink=fakevideosink sync=false", "--audiosink=fakeaudiosink", &uri]);
    let (stdout, stderr) = printed(&mut play);
    assert!(!stdout.contains("ERROR") && !stderr.contains("ERROR"), "{stdout}\n{stderr}");
    assert!(stdout.contains("Reached end of play list"), "{stdout}\n{stderr}");
}

#[test]
fn the_discoverer_finds_out_what_a_uri_holds() {
    let Some(emulator) = pictures() else { return };
    let uri = format!("kvs://{STREAM}?{RANGE}");
    let (stdout, _) = printed(command("gst-discoverer-1.0", &emulator).args(["-v", &uri]));
    assert!(stdout.contains("H.264") && stdout.contains("Width: 640"), "{stdout}");
}

#[test]
fn uridecodebin3_decodes_a_uri() {
    let Some(emulator) = pictures() else { return };
    let mut launch = command("gst-launch-1.0", &emulator);
    let uri = format!("uri=kvs://{STREAM}?{RANGE}");
    printed(launch.args(["uridecodebin3", &uri, "!", "videoconvert", "!", "fakesink"]));
}

/// Bins that choose their elements by themselves, and which demuxer they chose.
#[test]
fn playbin3_and_urisourcebin_plug_kvsdemux() {
    let Some(emulator) = pictures() else { return };
    let uri = format!("uri=kvs://{STREAM}?{RANGE}");
    for line in [
        &["playbin3", &uri, "video-sink=fakesink", "audio-sink=fakesink"][..],
        &["urisourcebin", &uri, "parse-streams=true", "!", "fakesink"],
    ] {
        let mut launch = command("gst-launch-1.0", &emulator);
        launch.env("GST_DEBUG", "GST_ELEMENT_FACTORY:4").env("GST_DEBUG_NO_COLOR", "1");
        let (_, log) = printed(launch.args(line));
        assert!(log.contains("creating element \"kvsdemux\""), "{line:?}: {log}");
        assert!(!log.contains("creating element \"matroskademux\""), "{line:?}: {log}");
    }
}

#[test]
fn an_arn_is_a_uri_too() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    let uri = format!("kvs:{}?{RANGE}", emulator.arn(STREAM).unwrap());
    let source = gst::Element::make_from_uri(gst::URIType::Src, &uri, None).unwrap();
    assert_eq!(source.factory().unwrap().name(), "kvssrc");
    assert_eq!(source.property::<String>("stream"), emulator.arn(STREAM).unwrap());
    assert_eq!(source.property::<String>("uri").split('?').next(), uri.split('?').next());
}

#[test]
fn a_uri_on_a_launch_line_leaves_other_properties_alone() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    let (region, url) = (emulator.region(), emulator.url());
    let keys = format!("access-key={} secret-key={}", emulator.access_key(), emulator.secret_key());
    run_to_end(&format!(
        "kvssrc aws-region={region} endpoint-url={url} {keys} uri=\"kvs://{STREAM}?{RANGE}\" ! fakesink"
    ))
    .ok();
    assert_eq!(emulator.requests().last().unwrap().operation, Operation::GetMedia);
}

/// The property cannot refuse a value: whoever starts the element is told.
#[test]
fn a_uri_on_a_launch_line_that_is_wrong_is_an_error() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
    for (key, says) in [("strat=earliest", "strat"), ("secret-key=hush", "secret-key"), ("latency=soon", "soon")] {
        let source = format!("kvssrc stream={STREAM} aws-region=x uri=\"kvs://{STREAM}?{key}\"");
        let text = run(&source, "ANY").failed(gst::ResourceError::Settings);
        assert!(text.contains(says) && !text.contains("hush"), "{text}");
    }
    assert!(emulator.requests().is_empty());

    let source = gst::ElementFactory::make("kvssrc").property("uri", "kvs://?").build().unwrap();
    assert!(source.set_state(gst::State::Paused).is_err());
    source.set_state(gst::State::Null).unwrap();
    source.set_property("uri", format!("kvs://{STREAM}?{RANGE}"));
    source.set_property("endpoint-url", emulator.url());
    assert!(source.set_state(gst::State::Paused).is_ok());
    source.set_state(gst::State::Null).unwrap();
}

#[test]
fn what_is_wrong_with_a_uri_is_said() {
    init();
    let _emulator = emulator();
    for (uri, says) in [
        ("kvs://demo?secret-key=hush", "secret-key"),
        ("kvs://demo?colour=red", "colour"),
        ("kvs://", "stream"),
        ("kvs://demo?latency=soon", "soon"),
    ] {
        let error = gst::Element::make_from_uri(gst::URIType::Src, uri, None).unwrap_err();
        assert!(error.to_string().contains(says) && !error.to_string().contains("hush"), "{uri}: {error}");
    }
    let pipeline = super::support::Pipeline::new("kvssrc name=source stream=demo ! fakesink");
    let source = pipeline.by_name("source").unwrap().dynamic_cast::<gst::URIHandler>().unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let error = source.set_uri("kvs://other").unwrap_err();
    assert!(error.matches(gst::URIError::BadState), "{error}");
}
