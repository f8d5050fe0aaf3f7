//! Ranges of the archive as files: their length, their first frame and their last are those that were asked for, judged by
//! ffprobe and by the number that each picture shows.

use std::path::Path;

use kvs_emulator::Emulator;

use super::body::START_MS;
use super::judges;
use super::pictures::{self, FRAME, PACKET};
use super::support::{PATIENCE, Pipeline, STREAM, command, printed};

/// gst-launch from `from` to `to`, in ms of the stream, into a file.
fn record(emulator: &Emulator, (from, to): (u64, u64), line: &str, file: &Path) {
    let seconds = |ms: u64| format!("{}.{:03}", (START_MS + ms) / 1000, (START_MS + ms) % 1000);
    let source = format!(
        "kvssrc stream={STREAM} playback-mode=on-demand start-timestamp={} end-timestamp={}",
        seconds(from),
        seconds(to)
    );
    let line = format!("-q filesink name=file location={} {source} ! {line}", file.display());
    printed(command("gst-launch-1.0", emulator).args(line.split_whitespace()));
}

/// The frames that a file shows, by their numbers.
fn shown(file: &Path) -> Vec<u64> {
    let pipeline = Pipeline::new(&format!(
        "filesrc location={} ! qtdemux ! h264parse ! avdec_h264 ! videoconvert ! appsink name=sink sync=false",
        file.display()
    ));
    let sink = pipeline.sink(&pictures::caps().to_string());
    pipeline.play();
    std::iter::from_fn(|| sink.try_pull_sample(PATIENCE))
        .map(|sample| pictures::number(sample.buffer().unwrap()))
        .collect()
}

/// A file that shows all from `from` to `to`, and lasts as long.
#[track_caller]
fn judge(file: &Path, (from, to): (u64, u64)) -> judges::Packets {
    let wanted: Vec<u64> = (from / FRAME..to.div_ceil(FRAME)).collect();
    let packets = judges::ffprobe(file);
    assert_eq!(packets.times.len(), wanted.len(), "{from} to {to}");
    let length = (to - from) as f64 / 1000.0;
    let duration = packets.duration.unwrap();
    assert!((duration - length).abs() < 0.021, "{from} to {to}: {duration} s");
    let (first, _) = packets.times[0];
    assert!(first.abs() < 0.001, "{from} to {to} begins at {first} s");
    assert!((packets.span() - length).abs() < 0.002, "{from} to {to}: {} s", packets.span());
    assert_eq!(shown(file), wanted, "{from} to {to}");
    packets
}

/// Begin and end of fragments, keyframes in their middle, and any frame.
const RANGES: [(u64, u64); 4] = [(4000, 8000), (7000, 12_300), (5000, 5100), (0, 3900)];

#[test]
fn a_copy_of_one_track_has_the_frames_that_were_asked_for() {
    let emulator = pictures::serve(10, false);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.mp4");
    for demuxer in ["matroskademux", "kvsdemux"] {
        for range in RANGES {
            record(&emulator, range, &format!("{demuxer} ! h264parse ! mp4mux ! file."), &file);
            judge(&file, range);
        }
    }
}

#[test]
fn a_copy_of_picture_and_sound_has_what_was_asked_for() {
    let emulator = pictures::serve(10, true);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.mp4");
    for range in RANGES {
        let line = "kvsdemux name=d mp4mux name=m ! file. d.video_0 ! queue ! h264parse ! m. d.audio_0 ! queue ! \
                    opusparse ! m.";
        record(&emulator, range, line, &file);
        let packets = judge(&file, range);
        assert_eq!(packets.codecs, ["h264", "opus"]);
        assert_eq!(packets.counts[1] as u64, (range.1 - range.0) / PACKET, "{range:?}");
    }
}

#[test]
fn what_is_decoded_begins_and_ends_with_any_frame() {
    // The frame that is to be seen at the beginning is the first.
    let emulator = pictures::serve(10, false);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decoded.mp4");
    for path in ["", "kvsdemux !"] {
        for range in [(7300, 12_600), (6900, 7100), (7350, 12_650)] {
            let line = format!("{path} h264parse ! avdec_h264 ! x264enc tune=zerolatency ! mp4mux ! file.");
            record(&emulator, range, &line, &file);
            judge(&file, range);
        }
    }
}
