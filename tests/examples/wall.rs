//! wall.sh: four cameras, each in its place with its clock over it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{command, init, run_to_end, wait_until};
use kvs_emulator::Emulator;

/// Cameras of one colour each: red, green and blue.
const CAMERAS: [(&str, [u8; 3]); 4] =
    [("red", [255, 0, 0]), ("green", [0, 255, 0]), ("blue", [0, 0, 255]), ("white", [255, 255, 255])];

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const PICTURE: usize = WIDTH * HEIGHT * 3;

fn emulator() -> Emulator {
    init();
    let emulator = Emulator::builder().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in CAMERAS {
        let file = folder.path().join(name);
        run_to_end(&format!(
            "videotestsrc pattern={name} num-buffers=20 ! video/x-raw,format=I420,width=320,height=180,framerate=10/1 ! \
             x264enc key-int-max=10 tune=zerolatency ! h264parse ! matroskamux ! filesink location={}",
            file.display()
        ))
        .ok();
        emulator.import_file(name, file).unwrap();
        emulator.start_live(name).unwrap();
    }
    emulator
}

/// The pixel at this place of a camera's quarter, in percent of it.
fn pixel(picture: &[u8], quarter: usize, across: usize, down: usize) -> [u8; 3] {
    let column = quarter % 2 * WIDTH / 2 + across * WIDTH / 200;
    let row = quarter / 2 * HEIGHT / 2 + down * HEIGHT / 200;
    let at = (row * WIDTH + column) * 3;
    [picture[at], picture[at + 1], picture[at + 2]]
}

fn is_about(pixel: [u8; 3], colour: [u8; 3]) -> bool {
    pixel.iter().zip(colour).all(|(one, other)| one.abs_diff(other) < 60)
}

/// Whether the camera shows: its colour below, and above, where the clock is, something else, too.
fn shows(picture: &[u8], quarter: usize) -> bool {
    let (_, colour) = CAMERAS[quarter];
    let bar = (0..100).flat_map(|across| (0..30).map(move |down| (across, down)));
    let other = bar.filter(|(across, down)| !is_about(pixel(picture, quarter, *across, *down), colour)).count();
    is_about(pixel(picture, quarter, 50, 70), colour) && other > 100
}

#[test]
fn four_cameras_are_in_one_picture_with_their_clocks() {
    let emulator = emulator();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.rgb");
    let small = format!("video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=5/1");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/wall.sh");
    let mut child = command("bash", &emulator)
        .arg(script)
        .args(CAMERAS.map(|(name, _)| name))
        .args(["videoscale", "!", "videorate", "!", &small, "!", "filesink", "buffer-mode=unbuffered"])
        .arg(format!("location={}", file.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = [false; 4];
    wait_until("all cameras show", || {
        assert!(child.try_wait().unwrap().is_none(), "the wall has ended by itself");
        let bytes = std::fs::read(&file).unwrap_or_default();
        if let Some(picture) = bytes.chunks_exact(PICTURE).last() {
            seen = std::array::from_fn(|quarter| shows(picture, quarter));
        }
        seen == [true; 4]
    });
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_four_streams_it_says_what_it_wants() {
    let emulator = Emulator::builder().start().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/wall.sh");
    let output = command("bash", &emulator).arg(script).args(["one", "two"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("STREAM STREAM STREAM STREAM [ELEMENT…]"));
}
