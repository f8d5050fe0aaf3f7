//! Decoding times of kvsdemux: in what it makes of kvssrc's output, beside sound, and of a saved body.

use super::bench::Bench;
use super::body::START_MS;
use super::judges;
use super::reordered::{self, ALL, CLOSED, COUNT, FRAME, IN_ORDER, OPEN, OPEN_H265};
use super::support::{STREAM, emulator, init, run, run_to_end, source};

#[test]
fn every_frame_has_the_one_that_kvssrc_gives_it() {
    for encoded in ALL {
        let emulator = encoded.serve();
        let ours = run(&format!("{} ! kvsdemux", source(&emulator)), encoded.caps).ok();
        reordered::judge_times(&ours, encoded.depth);
        let kvssrc = run(&source(&emulator), encoded.caps).ok();
        let times = |outcome: &super::support::Outcome| -> Vec<_> {
            outcome.frames.iter().map(|frame| (frame.pts, frame.dts)).collect()
        };
        assert_eq!(times(&ours), times(&kvssrc), "{encoded:?}");
    }
}

#[test]
fn muxers_write_what_was_encoded() {
    for encoded in [OPEN, OPEN_H265] {
        let emulator = encoded.serve();
        reordered::judge_recorders(&format!("{} ! kvsdemux", source(&emulator)), encoded.parser);
    }
}

#[test]
fn a_saved_body_has_them_too() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.mkv");
    std::fs::write(&saved, CLOSED.bytes()).unwrap();
    let source = format!("filesrc location={} ! kvsdemux", saved.display());
    reordered::judge_times(&run(&source, CLOSED.caps).ok(), CLOSED.depth);
    reordered::judge_recorders(&source, CLOSED.parser);
}

#[test]
fn sound_stays_where_it_was() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let sample = folder.path().join("sample.mkv");
    let mux = format!("matroskamux name=mux ! filesink location={}", sample.display());
    let video = "videotestsrc num-buffers=100 ! video/x-raw,format=I420,width=320,height=176,framerate=25/1";
    let audio =
        "audiotestsrc num-buffers=188 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! audioconvert ! avenc_aac";
    run_to_end(&format!("{mux} {video} ! {} ! queue ! mux. {audio} ! aacparse ! queue ! mux.", OPEN.line)).ok();
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, std::fs::read(&sample).unwrap(), START_MS).unwrap();

    let file = folder.path().join("a.mp4");
    let line = "kvsdemux name=d mp4mux name=m ! filesink location=FILE d.video_0 ! queue ! h264parse ! m. \
                d.audio_0 ! queue ! aacparse ! m.";
    let line = line.replace("FILE", &file.display().to_string());
    run_to_end(&format!("{} ! {line}", source(&emulator))).ok();
    let packets = judges::ffprobe(&file);
    assert_eq!(packets.codecs, ["h264", "aac"]);
    assert_eq!(packets.counts[0], COUNT);
    assert!(packets.counts[1] >= 188, "{:?}", packets.counts);
    let length = COUNT as f64 * FRAME as f64 / 1000.0;
    // Sound of 48 kHz is longer by the frame that its encoder begins with, and what fills up the last one.
    assert!((packets.duration.unwrap() - length).abs() < 0.05, "{:?}", packets.duration);
    assert_eq!(judges::decoded_pictures(&file), COUNT);

    // Both begin at running time 0, whatever the times of their buffers are.
    for (pad, caps) in [("video_0", "video/x-h264"), ("audio_0", "audio/mpeg")] {
        let pipeline = super::support::Pipeline::new(&format!(
            "{} ! kvsdemux name=d d.{pad} ! appsink name=sink sync=false",
            source(&emulator)
        ));
        let sink = pipeline.sink(caps);
        pipeline.play();
        let sample = sink.pull_sample().unwrap();
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        assert_eq!(segment.to_running_time(sample.buffer().unwrap().pts()), Some(gst::ClockTime::ZERO), "{pad}");
    }
}

/// Frames go out with the bytes that complete them: nothing waits for what follows.
#[test]
fn no_frame_waits_for_another() {
    for encoded in [CLOSED, OPEN_H265, IN_ORDER] {
        let bytes = encoded.bytes();
        let bench = Bench::new();
        bench.begin_in_bytes();
        let mut before = 0;
        let mut most = 0;
        for piece in bytes.chunks(64) {
            bench.push_bytes(piece.to_vec()).unwrap();
            let now = bench.outlets().first().map_or(0, |outlet| outlet.buffers().len());
            most = most.max(now - before);
            before = now;
        }
        assert_eq!(before, COUNT, "{encoded:?}");
        // Some of these pictures are smaller than a piece.
        assert!(most <= 3, "{encoded:?}: {most} frames at once");
    }
}

#[test]
fn segments_of_upstream_move_with_the_frames() {
    let bench = Bench::new();
    bench.begin_in_bytes();
    bench.push_bytes(CLOSED.bytes()).unwrap();
    assert!(bench.end());
    let outlet = bench.outlet("video_0");
    let segments = outlet.events(gst::EventType::Segment);
    let [segment] = &segments[..] else { panic!("{segments:?}") };
    let gst::EventView::Segment(event) = segment.view() else { unreachable!() };
    let segment = event.segment().downcast_ref::<gst::ClockTime>().unwrap();
    let later = gst::ClockTime::from_mseconds(CLOSED.depth as u64 * FRAME);
    assert_eq!((segment.start(), segment.time()), (Some(later), Some(gst::ClockTime::ZERO)));
    assert_eq!(outlet.buffers()[0].pts(), Some(later));
    assert_eq!(outlet.buffers()[0].dts(), Some(gst::ClockTime::ZERO));
}
