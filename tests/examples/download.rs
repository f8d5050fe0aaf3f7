//! download: whole, in part, encoded anew, interrupted and gone on with, and what cannot be.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::judges::{decoded_pictures, discoverer, ffprobe};
use super::reordered;
use super::sample::{END, FRAMES, FRAMES_PER_FRAGMENT, START, emulator, example, recording};
use super::support::{STREAM, printed, wait_until};
use kvs_emulator::{Emulator, Operation};

fn download(emulator: &Emulator, output: &Path, more: &[&str]) -> Command {
    let mut command = example("download", emulator);
    command.args(["--stream", STREAM, "--end", END]).args(more).arg("-o").arg(output);
    command
}

#[track_caller]
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success(), "{text}");
    text
}

#[test]
fn a_recording_becomes_a_file_as_it_is() {
    let emulator = emulator(Emulator::builder(), recording(true));
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.mp4", "out.mkv"] {
        let file = folder.path().join(name);
        let (stdout, _) = printed(&mut download(&emulator, &file, &["--start", START]));
        assert!(stdout.contains("(2026-01-05T10:00:00Z to 2026-01-05T10:00:0"), "{stdout}");
        let packets = ffprobe(&file);
        assert_eq!(packets.codecs, ["h264", "aac"]);
        assert_eq!(packets.times.len(), FRAMES);
        assert!((packets.span() - 6.0).abs() < 0.1, "{}", packets.span());
        let found = discoverer(&file);
        assert!(found.contains("264") && found.contains("AAC"), "{found}");
    }
}

#[test]
fn a_range_is_cut_where_it_ends() {
    let emulator = emulator(Emulator::builder(), recording(false));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    let mut command = example("download", &emulator);
    command.args(["--stream", STREAM, "--start", "2026-01-05T10:00:01Z", "--end", "2026-01-05T10:00:03Z", "-o"]);
    printed(command.arg(&file));
    assert_eq!(ffprobe(&file).times.len(), 50);
}

#[test]
fn a_copy_begins_with_the_keyframe_before_the_start_and_what_is_encoded_with_the_start() {
    let emulator = emulator(Emulator::builder(), recording(true));
    let folder = tempfile::tempdir().unwrap();
    let range = ["--stream", STREAM, "--start", "2026-01-05T10:00:02.6Z", "--end", "2026-01-05T10:00:04.2Z"];
    for (name, more, frames) in [("copy.mp4", &[][..], 55), ("encoded.mp4", &["--transcode"], 40)] {
        let file = folder.path().join(name);
        printed(example("download", &emulator).args(range).args(more).arg("-o").arg(&file));
        let packets = ffprobe(&file);
        assert_eq!(packets.codecs, ["h264", "aac"]);
        assert_eq!(packets.times.len(), frames, "{name}");
        // What is decoded is as much as there is.
        let decoded = super::support::run(&format!("filesrc location={} ! decodebin", file.display()), "video/x-raw");
        assert_eq!(decoded.ok().frames.len(), frames, "{name}");
    }
}

#[test]
fn pictures_out_of_order_are_copied_from_any_moment_to_any() {
    for encoded in [reordered::CLOSED, reordered::OPEN, reordered::OPEN_H265] {
        let emulator = encoded.serve();
        let folder = tempfile::tempdir().unwrap();
        let copy = |name: &str, start: &str, end: &str| {
            let file = folder.path().join(name);
            let range = ["--stream", STREAM, "--start", start, "--end", end];
            printed(example("download", &emulator).args(range).arg("-o").arg(&file));
            file
        };
        let whole = copy("whole.mp4", START, "2026-01-05T10:00:04Z");
        reordered::judge_file(&whole, reordered::COUNT);
        // From the keyframe before the start on.
        let part = copy("part.mp4", "2026-01-05T10:00:01.5Z", "2026-01-05T10:00:04Z");
        let count = ffprobe(&part).counts[0];
        assert!((62..reordered::COUNT).contains(&count), "{encoded:?}: {count}");
        reordered::judge_file(&part, count);
        // What the last pictures need comes, too, and stands behind the end.
        let cut = copy("cut.mp4", START, "2026-01-05T10:00:02.48Z");
        let packets = ffprobe(&cut);
        assert!((62..62 + 4).contains(&packets.counts[0]), "{encoded:?}: {:?}", packets.counts);
        assert!(packets.decoded.is_sorted(), "{:?}", packets.decoded);
        assert_eq!(decoded_pictures(&cut), packets.counts[0]);
    }
}

#[test]
fn it_encodes_anew() {
    let emulator = emulator(Emulator::builder(), recording(true));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    printed(&mut download(&emulator, &file, &["--start", START, "--transcode"]));
    let packets = ffprobe(&file);
    assert_eq!(packets.codecs, ["h264", "aac"]);
    assert_eq!(packets.times.len(), FRAMES);
}

/// Two files of one recording: the first was interrupted, the second made by the command that the first one's end tells.
fn interrupted_and_gone_on_with(more: &[&str]) {
    let recording = recording(false);
    // Some seconds for all of it.
    let rate = u64::try_from(recording.len()).unwrap() / 5;
    let emulator = emulator(Emulator::builder().rate(rate), recording);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    let mut command = download(&emulator, &file, more);
    command.current_dir(&folder);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("more than a fragment has come", || emulator.bytes_sent() > rate * 2);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let first = ffprobe(&file).times.len();
    assert!((FRAMES_PER_FRAGMENT..FRAMES).contains(&first), "{first} frames: {text}");

    let told = text.lines().find(|line| line.contains("download --stream")).unwrap_or_else(|| panic!("{text}"));
    let words = told.split_whitespace().skip(1);
    printed(example("download", &emulator).current_dir(&folder).args(words));
    let second = ffprobe(&folder.path().join("out-2.mp4")).times.len();
    let twice = first + second - FRAMES;
    assert!(first + second >= FRAMES && twice <= FRAMES_PER_FRAGMENT, "{first} and {second} frames");
}

#[test]
fn an_interrupted_file_plays_and_is_gone_on_with() {
    interrupted_and_gone_on_with(&["--start", START]);
}

#[test]
fn a_checkpoint_is_gone_on_from() {
    interrupted_and_gone_on_with(&["--checkpoint", "checkpoint"]);
}

#[test]
fn what_cannot_be_is_told_and_leaves_no_file() {
    let emulator = emulator(Emulator::builder(), recording(false));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    for (arguments, wanted) in [
        (&["--stream", "demmo", "--end", END][..], "There is no stream demmo in this account and region."),
        (&["--stream", STREAM, "--start", "noon", "--end", END], "noon"),
        (&["--stream", STREAM, "--set", "colour=red"], "kvssrc has no property colour"),
        (&["--stream", STREAM, "--start", START, "--end", "2026-01-05T09:00:00Z"], "is not after"),
    ] {
        let text = refused(example("download", &emulator).args(arguments).arg("-o").arg(&file));
        assert!(text.contains(wanted), "{text}");
        assert!(!file.exists(), "{arguments:?}");
    }
    let text = refused(&mut download(&emulator, &file.with_extension("avi"), &[]));
    assert!(text.contains(".mp4 or .mkv"), "{text}");
    std::fs::write(&file, "precious").unwrap();
    let text = refused(&mut download(&emulator, &file, &[]));
    assert!(text.contains("already there"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn without_the_sink_s3_is_refused_with_what_to_do() {
    let emulator = emulator(Emulator::builder(), recording(false));
    let folder = tempfile::tempdir().unwrap();
    let mut command = download(&emulator, Path::new("s3://bucket/key.mp4"), &[]);
    // A machine without any plugin.
    command.env("GST_PLUGIN_SYSTEM_PATH_1_0", folder.path()).env("GST_REGISTRY", folder.path().join("registry.bin"));
    let text = refused(&mut command);
    assert!(text.contains("awss3sink") && text.contains("gst-plugins-rs") && text.contains("aws s3 cp"), "{text}");
}

/// The percentages that were told, each with the media that had come by then, in s.
fn percentages(text: &str) -> Vec<(f64, f64)> {
    let line = |line: &str| {
        let (percent, rest) = line.split_once(" %, ")?;
        let (_, media) = rest.split_once(" frames, ")?;
        let mut parts = media.split_once(" of media")?.0.rsplit(':').map(|part| part.parse::<f64>().unwrap());
        Some((percent.parse().ok()?, parts.next()? + 60.0 * parts.next()?))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn a_range_of_the_archive_tells_how_much_of_it_has_come() {
    let recording = recording(true);
    // Over one connection some seconds for all of it.
    let rate = u64::try_from(recording.len()).unwrap() / 4;
    let emulator = emulator(Emulator::builder().rate(rate), recording);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.mp4");
    let mut command = example("download", &emulator);
    let range = ["--stream", STREAM, "--start", "2026-01-05T10:00:01Z", "--end", "2026-01-05T10:00:06Z"];
    let (_, told) = printed(command.args(range).args(["--connections", "1", "-o"]).arg(&file));
    assert_eq!(ffprobe(&file).times.len(), 125);
    let percentages = percentages(&told);
    assert!(percentages.len() >= 5, "{told}");
    assert!(percentages.is_sorted_by(|(before, _), (after, _)| before <= after), "{told}");
    assert_eq!(percentages.last().unwrap().0, 100.0, "{told}");
    // Of 5 s, but for a fragment that may go out between the one look and the other.
    for (percent, media) in percentages {
        assert!((percent / 100.0 * 5.0 - media).abs() < 1.1, "{percent} % at {media} s: {told}");
    }
    assert!(emulator.requests().iter().all(|request| request.operation != Operation::GetMedia));
}

#[test]
fn what_has_no_end_yet_or_a_checkpoint_is_read_as_it_comes() {
    let emulator = emulator(Emulator::builder(), recording(false));
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let checkpoint = checkpoint.to_str().unwrap();
    for (name, more) in [("a.mp4", &[][..]), ("b.mp4", &["--start", START, "--checkpoint", checkpoint])] {
        let file = folder.path().join(name);
        let (_, told) = printed(&mut download(&emulator, &file, more));
        assert!(percentages(&told).is_empty(), "{told}");
        assert_eq!(ffprobe(&file).times.len(), FRAMES);
        let text = refused(&mut download(&emulator, &file, &[more, &["--connections", "5"]].concat()));
        assert!(text.contains("--connections is for"), "{text}");
    }
    assert!(emulator.requests().iter().all(|request| request.operation != Operation::GetMediaForFragmentList));
    let text =
        refused(&mut download(&emulator, &folder.path().join("c.mp4"), &["--start", START, "--connections", "6"]));
    assert!(text.contains("6 is not in 1..=5"), "{text}");
}
