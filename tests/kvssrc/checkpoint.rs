//! Readings that end at any moment, and new processes that go on behind them.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use gst::ResourceError;

use super::body::{Fragment, body};
use super::support::{END, STREAM, command, emulator, run, source};
use kvs_emulator::Emulator;

const FRAMES: i16 = 12;

fn stored() -> Emulator {
    let emulator = emulator();
    let fragments: Vec<_> = (0..20).map(|index| Fragment::audio(index, FRAMES)).collect();
    emulator.import_bytes(STREAM, body(&fragments)).unwrap();
    emulator
}

/// Fragment and frame of each payload, in order.
fn frames(bytes: &[u8]) -> Vec<(u8, u8)> {
    bytes
        .chunks_exact(3)
        .map(|frame| {
            assert_eq!(frame[2], 0xAA);
            (frame[0], frame[1])
        })
        .collect()
}

/// gst-launch that writes the frames to its standard output, no faster than it takes to kill it in between.
fn reader(emulator: &Emulator, checkpoint: &Path) -> Command {
    let line = format!(
        "kvssrc stream={STREAM} start-selector=earliest {END} checkpoint-location={} ! audio/x-alaw ! \
         identity sleep-time=1000 ! fdsink fd=1 sync=false",
        checkpoint.display()
    );
    let mut command = command("gst-launch-1.0", emulator);
    command.arg("-q").args(line.split_whitespace()).stdout(Stdio::piped());
    command
}

#[test]
fn killed_at_any_moment_nothing_is_missing_and_at_most_one_fragment_comes_twice() {
    let emulator = stored();
    let all: Vec<_> = (0..20).flat_map(|fragment| (0..FRAMES as u8).map(move |frame| (fragment, frame))).collect();
    for kill_after in [1_usize, 17, 60, 130, 190, 239] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint");
        let mut child = reader(&emulator, &checkpoint).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut before = vec![0; kill_after * 3];
        stdout.read_exact(&mut before).unwrap();
        child.kill().unwrap();
        // What was on its way when the process died has been accepted too.
        stdout.read_to_end(&mut before).unwrap();
        child.wait().unwrap();

        let output = reader(&emulator, &checkpoint).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (before, after) = (frames(&before), frames(&output.stdout));
        let mut once: Vec<_> = before.iter().chain(&after).copied().collect();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once, all, "killed after {kill_after} frames");
        let mut twice: Vec<u8> =
            after.iter().filter(|frame| before.contains(frame)).map(|(fragment, _)| *fragment).collect();
        twice.dedup();
        assert!(twice.len() <= 1, "killed after {kill_after} frames: fragments {twice:?} came twice");
    }
}

#[test]
fn a_reading_that_came_to_its_end_goes_on_with_what_is_new() {
    let emulator = stored();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let source = format!("{} checkpoint-location={}", source(&emulator), checkpoint.display());
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 240);
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 0);
    emulator.import_bytes(STREAM, Fragment::audio(20, 5).bytes()).unwrap();
    assert_eq!(run(&source, "audio/x-alaw").ok().frames.len(), 5);
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_an_error() {
    let emulator = stored();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let source = format!("{} checkpoint-location={}", source(&emulator), checkpoint.display());
    std::fs::write(&checkpoint, "something else").unwrap();
    let text = run(&source, "audio/x-alaw").failed(ResourceError::Settings);
    assert!(text.contains("is no checkpoint"), "{text}");
    std::fs::write(&checkpoint, "kvssrc checkpoint 1\nstream=other\nfragment=1\n").unwrap();
    let text = run(&source, "audio/x-alaw").failed(ResourceError::Settings);
    assert!(text.contains("other"), "{text}");
    assert!(emulator.requests().is_empty());

    let nowhere = folder.path().join("no/where");
    let source = source.replace(&checkpoint.display().to_string(), &nowhere.display().to_string());
    run(&source, "audio/x-alaw").failed(ResourceError::OpenWrite);
}
