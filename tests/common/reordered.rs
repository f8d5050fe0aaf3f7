//! Streams whose pictures are shown in another order than they are decoded in, and what files of them must be.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::path::Path;

use h264_reader::nal::WritableNal;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitReader, BitWriter, ByteReader, ByteWriter};
use kvs_emulator::Emulator;

use crate::body::START_MS;
use crate::judges;
use crate::support::{Outcome, STREAM, emulator, init, run_to_end};

/// Pictures of 40 ms.
pub const COUNT: usize = 100;
pub const FRAME: u64 = 40;
/// A keyframe each second.
pub const KEYFRAMES: usize = 25;

const SOURCE: &str =
    "videotestsrc num-buffers=100 pattern=ball ! video/x-raw,format=I420,width=320,height=176,framerate=25/1";

/// An encoder, and how far its pictures are out of order.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    pub line: &'static str,
    pub caps: &'static str,
    pub parser: &'static str,
    pub depth: usize,
}

const fn h264(line: &'static str, depth: usize) -> Encoded {
    Encoded { line, caps: "video/x-h264", parser: "h264parse", depth }
}

const fn h265(line: &'static str, depth: usize) -> Encoded {
    Encoded { line, caps: "video/x-h265", parser: "h265parse", depth }
}

/// A pyramid of three B-frames between others; each group of pictures stands alone.
pub const CLOSED: Encoded = h264(
    "x264enc speed-preset=veryfast key-int-max=25 bframes=3 b-adapt=false b-pyramid=true option-string=scenecut=0 ! h264parse",
    2,
);
/// Pictures before a keyframe are made from it and from those before it.
pub const OPEN: Encoded = h264(
    "x264enc speed-preset=veryfast key-int-max=25 bframes=3 b-adapt=false b-pyramid=true \
     option-string=scenecut=0:open-gop=1 ! h264parse",
    2,
);
pub const FLAT: Encoded = h264(
    "x264enc speed-preset=veryfast key-int-max=25 bframes=2 b-adapt=false option-string=scenecut=0:b-pyramid=none ! h264parse",
    1,
);
pub const IN_ORDER: Encoded =
    h264("x264enc speed-preset=veryfast key-int-max=25 option-string=bframes=0 ! h264parse", 0);
pub const CLOSED_H265: Encoded = h265(
    "x265enc speed-preset=ultrafast key-int-max=25 option-string=bframes=3:b-adapt=0:scenecut=0:open-gop=0 ! h265parse",
    2,
);
pub const OPEN_H265: Encoded = h265(
    "x265enc speed-preset=ultrafast key-int-max=25 option-string=bframes=3:b-adapt=0:scenecut=0:open-gop=1 ! h265parse",
    2,
);

pub const ALL: [Encoded; 5] = [CLOSED, OPEN, FLAT, CLOSED_H265, OPEN_H265];

impl Encoded {
    /// As a Matroska file.
    pub fn bytes(&self) -> Vec<u8> {
        init();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sample.mkv");
        run_to_end(&format!("{SOURCE} ! {} ! matroskamux ! filesink location={}", self.line, file.display())).ok();
        std::fs::read(&file).unwrap()
    }

    /// As the service cuts and serves it.
    pub fn serve(&self) -> Emulator {
        let emulator = emulator();
        emulator.import_bytes_at(STREAM, self.bytes(), START_MS).unwrap();
        emulator
    }

    /// A Matroska file of H.264 whose parameter set says something else.
    pub fn saying(&self, change: impl FnOnce(&mut SeqParameterSet)) -> Vec<u8> {
        let mut bytes = self.bytes();
        // In CodecPrivate, it stands behind its length, of which the first byte is 0.
        let is_parameter_set = |window: &[u8]| window[0] == 0 && window[2] == 0x67 && [77, 100].contains(&window[3]);
        let at = bytes.windows(4).position(is_parameter_set).expect("an AVCDecoderConfigurationRecord");
        let length = usize::from(bytes[at + 1]);
        let unit = bytes[at + 2..at + 2 + length].to_vec();
        let reader = BitReader::new(ByteReader::skipping_h264_header(&unit[..]));
        let mut sequence = SeqParameterSet::from_bits(reader).unwrap();
        change(&mut sequence);
        let mut written = vec![0x67];
        sequence.write_bits(&mut BitWriter::new(ByteWriter::new(&mut written))).unwrap();
        // Zeros may stand behind a NAL unit.
        written.resize(length, 0);
        // Keyframes have it, too.
        let mut from = 0;
        while let Some(found) = bytes[from..].windows(length).position(|window| window == unit) {
            from += found;
            bytes[from..from + length].copy_from_slice(&written);
        }
        bytes
    }
}

/// Each frame of the track has its decoding time: the presentation times in order, as much earlier as pictures are out
/// of order, from 0 on.
#[track_caller]
pub fn judge_times(outcome: &Outcome, depth: usize) {
    let ms = |time: Option<u64>| time.expect("a time") / 1_000_000;
    let frames: Vec<_> = outcome.frames.iter().filter(|frame| frame.pts.is_some()).collect();
    let decoded: Vec<u64> = frames.iter().map(|frame| ms(frame.dts)).collect();
    let mut in_order: Vec<u64> = frames.iter().map(|frame| ms(frame.pts)).collect();
    assert!(frames.iter().all(|frame| frame.dts <= frame.pts));
    in_order.sort_unstable();
    let before = depth as u64 * FRAME;
    assert_eq!(in_order[0], before);
    let wanted: Vec<u64> = (0..depth as u64).map(|frame| frame * FRAME).chain(in_order).take(decoded.len()).collect();
    assert_eq!(decoded, wanted);
}

/// A file of so many pictures, each shown for 40 ms, that is decoded without a complaint.
#[track_caller]
pub fn judge_file(file: &Path, count: usize) {
    let packets = judges::ffprobe(file);
    assert_eq!(packets.counts[0], count, "{}", file.display());
    let mut shown: Vec<f64> = packets.times.iter().map(|(time, _)| *time).collect();
    shown.sort_by(f64::total_cmp);
    let frame = FRAME as f64 / 1000.0;
    let even = |pair: &[f64]| (pair[1] - pair[0] - frame).abs() < 0.0015;
    assert!(shown.windows(2).all(even), "{}: {shown:?}", file.display());
    assert!(packets.decoded.windows(2).all(|pair| pair[0] < pair[1]), "{}: {:?}", file.display(), packets.decoded);
    assert!(packets.times.iter().zip(&packets.decoded).all(|((shown, _), decoded)| decoded <= shown));
    if file.extension().is_some_and(|extension| extension == "mp4") {
        let length = count as f64 * frame;
        assert!((packets.duration.unwrap() - length).abs() < 0.002, "{}: {:?}", file.display(), packets.duration);
        // mp4mux writes no edit list into files of fragments.
        let begins = if file.ends_with("fragments.mp4") { 0.1 } else { 0.002 };
        assert!(shown[0].abs() < begins, "{} begins at {}", file.display(), shown[0]);
    }
    assert_eq!(judges::decoded_pictures(file), count, "{}", file.display());
}

/// What records a video track, and the files it leaves with how many pictures.
pub fn recorders(parser: &str) -> Vec<(String, Vec<(&'static str, usize)>)> {
    let mut recorders = vec![
        (format!("{parser} ! mp4mux ! filesink location=DIR/a.mp4"), vec![("a.mp4", COUNT)]),
        (
            format!("{parser} ! mp4mux fragment-duration=1000 ! filesink location=DIR/fragments.mp4"),
            vec![("fragments.mp4", COUNT)],
        ),
        (format!("{parser} ! mpegtsmux ! filesink location=DIR/a.ts"), vec![("a.ts", COUNT)]),
        (
            format!("{parser} ! splitmuxsink location=DIR/part-%d.mp4 max-size-time=2000000000 muxer-factory=mp4mux"),
            vec![("part-0.mp4", COUNT / 2), ("part-1.mp4", COUNT / 2)],
        ),
    ];
    // Of gst-plugins-rs, where that is installed.
    if gst::ElementFactory::find("isofmp4mux").is_some() {
        recorders.push((format!("{parser} ! isofmp4mux ! filesink location=DIR/i.mp4"), vec![("i.mp4", COUNT)]));
    }
    recorders
}

/// Runs what records `source`, and judges what it leaves.
#[track_caller]
pub fn judge_recorders(source: &str, parser: &str) {
    for (line, files) in recorders(parser) {
        let folder = tempfile::tempdir().unwrap();
        let line = line.replace("DIR", &folder.path().display().to_string());
        run_to_end(&format!("{source} ! {line}")).ok();
        for (name, count) in files {
            judge_file(&folder.path().join(name), count);
        }
    }
}
