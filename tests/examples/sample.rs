//! A recording for the examples to read, and the examples themselves.

use std::path::PathBuf;
use std::process::Command;

use kvs_emulator::{Builder, Emulator};

use super::body::START_MS;
use super::support::{STREAM, command, init, run_to_end};

/// 6 s, a keyframe every second.
pub const FRAMES: usize = 150;
pub const FRAMES_PER_FRAGMENT: usize = 25;
pub const START: &str = "2026-01-05T10:00:00Z";
pub const END: &str = "2026-01-06T00:00:00Z";

/// A Matroska file of H.264, with AAC where that is wanted.
pub fn recording(audio: bool) -> Vec<u8> {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.mkv");
    let mux = format!("matroskamux name=mux ! filesink location={}", file.display());
    let video = format!(
        "videotestsrc pattern=ball num-buffers={FRAMES} ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! \
         x264enc key-int-max=25 tune=zerolatency ! h264parse ! mux."
    );
    let sound = "audiotestsrc num-buffers=282 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! audioconvert ! avenc_aac ! \
                 aacparse ! mux.";
    run_to_end(&format!("{mux} {video} {}", if audio { sound } else { "" })).ok();
    std::fs::read(file).unwrap()
}

/// An emulator that has the recording as its stream.
pub fn emulator(builder: Builder, recording: Vec<u8>) -> Emulator {
    let emulator = builder.end_at_head(true).start().unwrap();
    emulator.import_bytes_at(STREAM, recording, START_MS).unwrap();
    emulator
}

/// An example, as cargo builds it beside the tests, in the environment of its user.
pub fn example(name: &str, emulator: &Emulator) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    let mut command = command(path.to_str().unwrap(), emulator);
    // The examples have the plugin in them.
    command.env_remove("GST_PLUGIN_PATH").env("RUST_BACKTRACE", "0");
    command
}
