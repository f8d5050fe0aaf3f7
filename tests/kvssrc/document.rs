//! One Matroska document, whatever changes in the headers of a stream: judged by programs that nobody here wrote.

use std::path::Path;
use std::process::Command;

use gst::prelude::*;
use kvs_emulator::Emulator;

use super::body::{Block, Fragment, START_MS, Track, body, element};
use super::judges::{ffprobe, mkvinfo};
use super::support::{
    PATIENCE, Pipeline, STREAM, emulator, emulator_with_body, init, printed, run, run_to_end, source,
};

const CONTAINER: &str = "video/x-matroska; audio/x-matroska";

/// A second of pictures of this size, a keyframe each half a second.
fn pictures(encoder: &str, width: u32, height: u32) -> String {
    format!(
        "videotestsrc num-buffers=25 pattern=ball ! \
         video/x-raw,format=I420,width={width},height={height},framerate=25/1 ! {encoder}"
    )
}

fn h264(width: u32, height: u32) -> String {
    pictures("x264enc key-int-max=12 bframes=2 ! h264parse", width, height)
}

fn sound(rate: u32) -> String {
    format!(
        "audiotestsrc num-buffers=40 samplesperbuffer=1024 ! audio/x-raw,rate={rate},channels=1 ! avenc_aac ! aacparse"
    )
}

/// The file that matroskamux makes of these tracks.
fn file(tracks: &[String]) -> Vec<u8> {
    init();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.mkv");
    let branches: Vec<_> = tracks.iter().map(|track| format!("{track} ! mux.")).collect();
    run_to_end(&format!("matroskamux name=mux ! filesink location={} {}", path.display(), branches.join(" "))).ok();
    std::fs::read(path).unwrap()
}

/// A producer that sends one file after the other, two seconds apart.
fn producer(files: &[Vec<u8>]) -> Emulator {
    let emulator = emulator();
    for (index, file) in (0_u64..).zip(files) {
        emulator.import_bytes_at(STREAM, file.clone(), START_MS + index * 2000).unwrap();
    }
    emulator
}

fn headers(bytes: &[u8]) -> usize {
    bytes.windows(4).filter(|bytes| *bytes == [0x1A, 0x45, 0xDF, 0xA3]).count()
}

/// How many pictures or sounds of its first stream a program decodes, without a word of complaint.
fn decoded(file: &Path, kind: &str) -> usize {
    let (stdout, stderr) = printed(
        Command::new("ffprobe")
            .args(["-v", "warning", "-count_frames", "-select_streams", &format!("{kind}:0")])
            .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
            .arg(file),
    );
    assert_eq!(stderr, "", "ffprobe complains");
    stdout.trim().trim_end_matches(',').parse().unwrap()
}

/// What `kvssrc ! filesink` writes, read to its end by all: how many packets each track has.
#[track_caller]
fn judged(emulator: &Emulator) -> (tempfile::TempDir, std::path::PathBuf, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mkv");
    run_to_end(&format!("{} ! filesink location={}", source(emulator), path.display())).ok();
    assert_eq!(headers(&std::fs::read(&path).unwrap()), 1, "documents");
    mkvinfo(&path);
    let packets = ffprobe(&path);
    // mkvmerge exits with 1 where it warns.
    let merged = folder.path().join("merged.mkv");
    printed(Command::new("mkvmerge").arg("-o").arg(&merged).arg(&path));
    assert_eq!(ffprobe(&merged).counts, packets.counts, "mkvmerge");
    if Command::new("mpv").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let (stdout, stderr) = printed(
            Command::new("mpv")
                .args([
                    "--no-config",
                    "--msg-level=all=error",
                    "--vo=null",
                    "--ao=null",
                    "--untimed",
                    "--ao-null-untimed",
                ])
                .arg(&path),
        );
        assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""), "mpv complains");
    } else {
        eprintln!("SKIPPED: not installed: mpv");
    }
    (folder, path, packets.counts)
}

/// The decoded pictures' sizes, in order and each once, and how many there are, as GStreamer's own elements see them.
fn sizes(line: &str) -> (Vec<(i32, i32)>, usize) {
    let outcome = run(line, "video/x-raw").ok();
    let size = |caps: &gst::Caps| {
        let structure = caps.structure(0).unwrap();
        (structure.get("width").unwrap(), structure.get("height").unwrap())
    };
    let mut sizes: Vec<_> = outcome.frames.iter().map(|frame| size(&frame.caps)).collect();
    sizes.dedup();
    (sizes, outcome.frames.len())
}

#[test]
fn other_parameter_sets_go_in_band_there_and_back() {
    for (codec, encode) in [
        ("h264", "x264enc key-int-max=12 bframes=2 ! h264parse"),
        ("h264", "x264enc key-int-max=12 aud=true ! h264parse ! video/x-h264,stream-format=avc"),
        ("h265", "x265enc key-int-max=12 ! h265parse"),
    ] {
        let (small, large) = (file(&[pictures(encode, 160, 120)]), file(&[pictures(encode, 320, 240)]));
        let emulator = producer(&[small.clone(), large, small]);
        let (_folder, path, counts) = judged(&emulator);
        assert_eq!(counts, [75], "{encode}");
        assert_eq!(decoded(&path, "v"), 75, "{encode}");
        let demuxed = format!("{} ! matroskademux ! {codec}parse ! avdec_{codec}", source(&emulator));
        assert_eq!(sizes(&demuxed), (vec![(160, 120), (320, 240), (160, 120)], 75), "{encode}");
        let file = format!("filesrc location={} ! matroskademux ! {codec}parse ! avdec_{codec}", path.display());
        assert_eq!(sizes(&file).1, 75, "{encode}");
    }
}

#[test]
fn elementary_frames_come_under_their_own_caps() {
    let emulator = producer(&[file(&[h264(160, 120)]), file(&[h264(320, 240)])]);
    let outcome = run(&source(&emulator), "video/x-h264").ok();
    let widths: Vec<i32> = outcome.caps.iter().map(|caps| caps.structure(0).unwrap().get("width").unwrap()).collect();
    assert_eq!((widths, outcome.frames.len()), (vec![160, 320], 50));
}

#[test]
fn sound_goes_on_under_the_same_configuration() {
    let emulator = producer(&[file(&[h264(160, 120), sound(48_000)]), file(&[h264(160, 120), sound(48_000)])]);
    let (_folder, path, counts) = judged(&emulator);
    assert_eq!(counts, [50, 82]);
    assert_eq!((decoded(&path, "v"), decoded(&path, "a")), (50, 82));
}

/// Runs to the end; how many messages `kvs-track` there were, and what they name.
fn left_out(description: &str) -> Vec<(u64, String)> {
    let pipeline = Pipeline::new(description);
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let mut told = Vec::new();
    loop {
        let message = bus.timed_pop(PATIENCE).expect("the end");
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                if structure.name() == "kvs-track" {
                    told.push((structure.get("track").unwrap(), structure.get("codec-id").unwrap()));
                }
            }
            gst::MessageView::Eos(_) => return told,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_track_more_is_left_out_and_told() {
    let (one, two) = (file(&[h264(160, 120)]), file(&[h264(160, 120), sound(48_000)]));
    let emulator = producer(&[one.clone(), two.clone(), one, two]);
    let (_folder, path, counts) = judged(&emulator);
    assert_eq!(counts, [100]);
    assert_eq!(decoded(&path, "v"), 100);
    assert_eq!(left_out(&format!("{} ! fakesink", source(&emulator))), [(2, "A_AAC".to_owned())]);
    let demuxed = format!("{} ! matroskademux ! h264parse ! avdec_h264", source(&emulator));
    assert_eq!(sizes(&demuxed), (vec![(160, 120)], 100));
}

#[test]
fn another_codec_is_left_out_until_the_first_one_comes_back() {
    let (avc, hevc) = (file(&[h264(160, 120)]), file(&[pictures("x265enc key-int-max=12 ! h265parse", 160, 120)]));
    let emulator = producer(&[avc.clone(), hevc, avc]);
    let (_folder, path, counts) = judged(&emulator);
    assert_eq!(counts, [50]);
    assert_eq!(decoded(&path, "v"), 50);
    assert_eq!(left_out(&format!("{} ! fakesink", source(&emulator))), [(1, "V_MPEGH/ISO/HEVC".to_owned())]);
}

#[test]
fn a_new_document_where_that_is_wanted() {
    let (one, two) = (file(&[h264(160, 120)]), file(&[h264(320, 240), sound(48_000)]));
    let emulator = producer(&[one.clone(), two, one]);
    let line = format!("{} on-new-track=new-document", source(&emulator));
    let outcome = run(&line, CONTAINER).ok();
    let bytes: Vec<u8> = outcome.frames.iter().flat_map(|frame| frame.bytes.clone()).collect();
    // The third goes on in the second document, which has all of its tracks.
    assert_eq!((headers(&bytes), outcome.caps.len()), (2, 2));
    assert_eq!(left_out(&format!("{line} ! fakesink")), []);
    // kvsdemux has each header as it comes, whatever the choice is.
    for line in [line, source(&emulator)] {
        let pipeline = format!("{line} ! queue ! kvsdemux name=d d.video_0 ! queue ! h264parse ! avdec_h264");
        assert_eq!(sizes(&pipeline), (vec![(160, 120), (320, 240), (160, 120)], 75));
    }
}

#[test]
fn video_stands_first() {
    let emulator = producer(&[file(&[sound(48_000), h264(160, 120)])]);
    // The producer's first track is sound.
    let header = run(&source(&emulator), "audio/mpeg").ok();
    assert!(!header.frames.is_empty());
    let (_folder, path, counts) = judged(&emulator);
    assert_eq!(counts, [25, 41]);
    assert_eq!(ffprobe(&path).codecs, ["h264", "aac"]);
    // gst-launch links the first pad.
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("out.mp4");
    let line = format!("{} ! matroskademux ! mp4mux ! filesink location={}", source(&emulator), recorded.display());
    run_to_end(&line).ok();
    assert_eq!(ffprobe(&recorded).codecs, ["h264"]);
}

/// Fragments of A-law under one scale, then under others.
fn scaled(scales: &[u64]) -> Vec<Fragment> {
    let fragments = (0_u64..).zip(scales).map(|(index, scale)| {
        let fragment = Fragment::audio(index, 10);
        let blocks = fragment.blocks.into_iter();
        let time = |time: i16| i16::try_from(i64::from(time) * 1_000_000 / scale.cast_signed()).unwrap();
        Fragment {
            scale: *scale,
            cluster: fragment.cluster * 1_000_000 / scale,
            blocks: blocks.map(|block| Block { time: time(block.time), ..block }).collect(),
            ..fragment
        }
    });
    fragments.collect()
}

#[test]
fn ticks_are_those_of_the_first_header() {
    let wanted: Vec<u64> = (0..40).map(|index| index / 10 * 1000 + index % 10 * 20).collect();
    for scales in [
        [1_000_000, 1_000_000, 100_000, 1_000_000],
        [100_000, 1_000_000, 2_000_000, 500_000],
        [1_000_000, 20_000, 20_000_000, 50_000],
    ] {
        let emulator = emulator_with_body(body(&scaled(&scales)));
        let (_folder, path, counts) = judged(&emulator);
        assert_eq!(counts, [40]);
        let times: Vec<_> = ffprobe(&path).times.iter().map(|(begin, _)| (begin * 1000.0).round() as u64).collect();
        assert_eq!(times, wanted, "{scales:?}");
        let outcome = run(&format!("{} ! matroskademux", source(&emulator)), "audio/x-alaw").ok();
        assert_eq!(outcome.pts_ms(), wanted, "{scales:?}");
    }
}

#[test]
fn numbers_and_unique_ids_are_those_of_the_first_header() {
    let mut fragments: Vec<_> = (0..4).map(|index| Fragment::audio(index, 10)).collect();
    for (fragment, number) in fragments.iter_mut().zip([1, 7, 100, 1]) {
        fragment.tracks.push(Track::alaw(number + 1, "loudspeaker"));
        fragment.tracks[0].number = number;
        let more: Vec<_> = fragment
            .blocks
            .iter()
            .map(|block| Block { track: number + 1, payload: vec![2; 30], ..block.clone() })
            .collect();
        fragment.blocks.iter_mut().for_each(|block| block.track = number);
        fragment.blocks.extend(more);
        fragment.blocks.sort_by_key(|block| block.time);
    }
    // The numbers alone are exchanged.
    fragments[3].tracks[0].number = 2;
    fragments[3].tracks[1].number = 1;
    fragments[3].blocks.iter_mut().for_each(|block| block.track = 3 - block.track);
    let emulator = emulator_with_body(body(&fragments));
    let (_folder, _, counts) = judged(&emulator);
    assert_eq!(counts, [40, 40]);
    for (pad, length) in [("audio_0", 3), ("audio_1", 30)] {
        let line = format!("{} ! matroskademux name=d d.{pad} ! queue", source(&emulator));
        let outcome = run(&line, "audio/x-alaw").ok();
        assert_eq!(outcome.frames.len(), 40, "{pad}");
        assert!(outcome.frames.iter().all(|frame| frame.bytes.len() == length), "{pad}");
    }
}

#[test]
fn a_rate_that_the_header_does_not_have_is_another_track() {
    let mut fragments: Vec<_> = (0..3).map(|index| Fragment::audio(index, 10)).collect();
    // nSamplesPerSec of the WAVEFORMATEX
    fragments[1].tracks[0].private[4..8].copy_from_slice(&16_000_u32.to_le_bytes());
    fragments[1].tracks[0].more = element(&[0xE1], &element(&[0xB5], &16_000_f64.to_be_bytes()));
    let emulator = emulator_with_body(body(&fragments));
    assert_eq!(judged(&emulator).2, [20]);
    assert_eq!(left_out(&format!("{} ! fakesink", source(&emulator))), [(1, "A_MS/ACM".to_owned())]);
}
