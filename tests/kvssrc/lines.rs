//! The launch lines that users type, and what they leave behind.

use std::process::Command;

use super::support::{END, STREAM, command, emulator_with_capture, printed};
use super::{judges, support};
use kvs_emulator::Emulator;

const FRAME: f64 = 1.0 / 30.0;

fn launch(emulator: &Emulator, line: &str) -> Command {
    let mut command = command("gst-launch-1.0", emulator);
    command.arg("-q").args(line.split_whitespace());
    command
}

#[test]
fn a_stream_becomes_an_mp4() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    printed(&mut launch(
        &emulator,
        &format!(
            "kvssrc stream={STREAM} start-selector=earliest {END} ! matroskademux ! mp4mux ! filesink location={}",
            file.display()
        ),
    ));
    let packets = judges::ffprobe(&file);
    assert_eq!(packets.codecs, ["h264"]);
    assert_eq!(packets.times.len(), 300);
    let duration = packets.duration.unwrap();
    assert!((duration - 10.0).abs() <= FRAME, "{duration}");
    assert!(judges::discoverer(&file).contains("H.264"));
}

#[test]
fn a_stream_is_decoded() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let line = format!(
        "kvssrc stream={STREAM} start-selector=earliest {END} ! h264parse ! avdec_h264 ! fakesink silent=false -v"
    );
    let (stdout, _) = printed(command("gst-launch-1.0", &emulator).args(line.split_whitespace()));
    assert_eq!(stdout.matches("fakesink0: last-message = chain").count(), 300, "{stdout}");
}

#[test]
fn a_stream_becomes_an_mkv() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mkv");
    printed(&mut launch(
        &emulator,
        &format!("kvssrc stream={STREAM} start-selector=earliest {END} ! filesink location={}", file.display()),
    ));
    let packets = judges::ffprobe(&file);
    assert_eq!(packets.times.len(), 300);
    assert!((packets.span() - 10.0).abs() <= FRAME, "{}", packets.span());
    let text = judges::mkvinfo(&file);
    assert_eq!(text.matches("EBML head").count(), 1);
    assert_eq!(text.matches("Segment: size unknown").count(), 1);
    assert_eq!(text.matches("|+ Cluster\n").count(), 5);
    for stale in ["Duration: ", "Seek head", "Cues", "EBML void"] {
        let said = text.lines().filter(|line| line.contains(stale) && !line.contains("Default duration")).count();
        assert_eq!(said, 0, "{stale}");
    }
}

#[test]
fn a_typo_is_told_in_one_sentence() {
    let emulator = support::emulator();
    let output = launch(&emulator, "kvssrc stream=demmo ! fakesink").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("There is no stream demmo in this account and region."), "{text}");
    assert!(text.contains("ResourceNotFoundException"), "{text}");
}
