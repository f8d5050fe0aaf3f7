//! frames.rs and frames.py: every frame with its capture time and fragment, the same from both.

use std::path::Path;
use std::process::Command;

use super::body::START_MS;
use super::sample::{END, FRAMES, FRAMES_PER_FRAGMENT, emulator, example, recording};
use super::support::{STREAM, command, printed};
use kvs_emulator::Emulator;

/// A Python that has PyGObject: the system's own, which packages are for, before one that stands before it in PATH.
fn python() -> &'static str {
    ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(|python| {
            Command::new(python).args(["-c", "import gi"]).output().is_ok_and(|output| output.status.success())
        })
        .expect("PyGObject is missing: apt install python3-gi python3-gst-1.0")
}

fn frames_py(emulator: &Emulator) -> Command {
    let mut command = command(python(), emulator);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/frames.py"));
    command
}

#[test]
fn both_tell_of_each_frame_when_it_was_captured_and_where_it_came_in() {
    let emulator = emulator(Emulator::builder(), recording(false));
    let arguments = [STREAM, "start-selector=earliest", &format!("end-timestamp={END}")];
    let (rust, _) = printed(example("frames", &emulator).args(arguments));
    let (python, _) = printed(frames_py(&emulator).args(arguments));
    assert_eq!(rust, python);

    let fragments = emulator.fragments(STREAM).unwrap();
    let lines: Vec<Vec<&str>> = rust.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), FRAMES);
    for (index, line) in lines.iter().enumerate() {
        let [captured, "fragment", number, "320x240", "brightness", _] = line[..] else { panic!("{line:?}") };
        let captured = captured.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!(captured, i64::try_from(START_MS).unwrap() + i64::try_from(index).unwrap() * 40);
        assert_eq!(number, fragments[index / FRAMES_PER_FRAGMENT].number.to_string());
    }
}

#[test]
fn both_tell_of_a_stream_that_is_not_there() {
    let emulator = emulator(Emulator::builder(), recording(false));
    for mut program in [example("frames", &emulator), frames_py(&emulator)] {
        let output = program.arg("demmo").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.contains("There is no stream demmo in this account and region."), "{text}");
    }
}
