//! What is played backwards, or fast: pictures and sound behind kvsdemux, and in players.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::Emulator;

use super::bench::Bench;
use super::body::{Block, Fragment, START_MS, Track};
use super::support::{PATIENCE, Pipeline, STREAM, emulator, init, run_to_end, source_for_ever};
use super::time_in::container;

const SET: gst::SeekType = gst::SeekType::Set;
const ACCURATE: gst::SeekFlags = gst::SeekFlags::FLUSH.union(gst::SeekFlags::ACCURATE);

fn ms(time: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(time)
}

/// A stream of 6 s, in fragments of 1 s: pictures that are all different and refer to each other both ways, and sound.
fn sample() -> Emulator {
    recorded(
        "audiotestsrc wave=ticks num-buffers=240 samplesperbuffer=200 ! audio/x-raw,rate=8000,channels=1 ! alawenc",
    )
}

/// The same with this sound.
fn recorded(audio: &str) -> Emulator {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.mkv");
    let video = "videotestsrc pattern=ball num-buffers=150 ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
                 timeoverlay ! x264enc key-int-max=25 bframes=2 b-adapt=false ! h264parse";
    run_to_end(&format!("matroskamux name=mux ! filesink location={} {video} ! mux. {audio} ! mux.", file.display()))
        .ok();
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, std::fs::read(file).unwrap(), START_MS).unwrap();
    emulator
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn range(emulator: &Emulator) -> String {
    let (start, end) = (seconds(START_MS), seconds(START_MS + 6000));
    format!("{} playback-mode=on-demand start-timestamp={start} end-timestamp={end}", source_for_ever(emulator))
}

/// Place in the stream, place in running time and content of a frame.
type Frame = (gst::ClockTime, gst::ClockTime, String);

fn frame(sample: &gst::Sample) -> Frame {
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
    let buffer = sample.buffer().unwrap();
    let bytes = buffer.map_readable().unwrap();
    let digest = gst::glib::compute_checksum_for_data(gst::glib::ChecksumType::Sha256, &bytes).unwrap();
    let place = segment.to_stream_time(buffer.pts()).expect("a frame of the segment");
    (place, segment.to_running_time(buffer.pts()).expect("a frame of the segment"), digest.into())
}

/// Gathers all that a sink gets, until a flush.
fn gathered(sink: &gst_app::AppSink) -> Arc<Mutex<Vec<Frame>>> {
    let all: Arc<Mutex<Vec<Frame>>> = Arc::default();
    let seen = Arc::clone(&all);
    sink.set_property("max-buffers", 0_u32);
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                seen.lock().unwrap().push(frame(&sample));
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    all
}

/// Waits for the end of what was begun.
#[track_caller]
fn ended(pipeline: &gst::Pipeline) {
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

/// What pictures and sound are from `from` to `to` at a rate.
struct Both {
    pipeline: Pipeline,
    video: Arc<Mutex<Vec<Frame>>>,
    audio: Arc<Mutex<Vec<Frame>>>,
}

impl Both {
    fn new(emulator: &Emulator) -> Self {
        let line = format!(
            "{} ! kvsdemux name=demux demux.video_0 ! queue ! h264parse ! avdec_h264 ! videoconvert ! \
             video/x-raw,format=I420 ! appsink name=sink sync=false demux.audio_0 ! queue ! alawdec ! appsink name=sound sync=false",
            range(emulator)
        );
        let pipeline = Pipeline::new(&line);
        let [video, audio] = ["sink", "sound"].map(|name| {
            let sink = pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap();
            gathered(&sink)
        });
        let _ = pipeline.set_state(gst::State::Paused);
        pipeline.state(PATIENCE).0.expect("the first frames");
        Self { pipeline, video, audio }
    }

    #[track_caller]
    fn play(&self, rate: f64, flags: gst::SeekFlags, from: u64, to: u64) -> (Vec<Frame>, Vec<Frame>) {
        let _ = self.pipeline.set_state(gst::State::Paused);
        self.pipeline.state(PATIENCE).0.expect("a pause");
        for all in [&self.video, &self.audio] {
            all.lock().unwrap().clear();
        }
        self.pipeline.seek(rate, flags, SET, ms(from), SET, ms(to)).expect("a seek");
        self.pipeline.play();
        ended(&self.pipeline);
        (std::mem::take(&mut self.video.lock().unwrap()), std::mem::take(&mut self.audio.lock().unwrap()))
    }
}

fn content(frames: &[Frame]) -> Vec<(u64, &str)> {
    frames.iter().map(|(place, _, digest)| (place.mseconds(), digest.as_str())).collect()
}

#[test]
fn pictures_and_sound_are_the_same_the_other_way_round() {
    let emulator = sample();
    let both = Both::new(&emulator);
    for (from, to, pictures) in [(0, 6000, 150), (1500, 4220, 68)] {
        let (forward, forward_sound) = both.play(1.0, ACCURATE, from, to);
        let (mut backward, mut backward_sound) = both.play(-1.0, ACCURATE, from, to);
        for frames in [&backward, &backward_sound] {
            for pair in frames.windows(2) {
                assert!(pair[0].0 > pair[1].0, "{:?} is not behind {:?}", pair[0], pair[1]);
            }
            // Running time and stream time go opposite ways.
            for (place, running, _) in frames {
                assert_eq!(*place + *running, ms(to));
            }
        }
        backward.reverse();
        backward_sound.reverse();
        // The one at 1480 ms reaches into the range.
        assert!(forward.len() == pictures || forward.len() == pictures + 1, "{}", forward.len());
        assert_eq!(content(&backward), content(&forward), "{from}");
        let (sound, sound_back) = (content(&forward_sound), content(&backward_sound));
        assert!(sound.len() > 100);
        assert_eq!(sound_back, sound, "{from}");
    }
}

#[test]
fn keyframes_alone_come_backwards_and_sound_is_told_to_be_silent() {
    let emulator = sample();
    let both = Both::new(&emulator);
    let flags = ACCURATE | gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    // A step of 2.67 s begins at the place that is played first.
    for (rate, wanted) in [(-1.0, 6), (-8.0, 3), (8.0, 2)] {
        let (pictures, sound) = both.play(rate, flags | gst::SeekFlags::TRICKMODE_NO_AUDIO, 0, 6000);
        assert_eq!(pictures.len(), wanted, "{rate}: {:?}", content(&pictures));
        assert!(pictures.iter().all(|frame| frame.0.mseconds() % 1000 == 0));
        assert!(sound.is_empty());
        let (pictures, sound) = both.play(rate, flags, 0, 6000);
        assert_eq!((pictures.len(), sound.len()), (wanted, 240), "{rate}");
    }
}

#[test]
fn sound_that_builds_upon_what_came_before_is_decoded_too() {
    let emulator = recorded("audiotestsrc num-buffers=282 samplesperbuffer=1024 ! avenc_aac ! aacparse");
    let line = format!(
        "{} ! kvsdemux name=demux demux.audio_0 ! queue ! aacparse ! avdec_aac ! appsink name=sound sync=false \
         demux.video_0 ! queue max-size-time=0 max-size-buffers=0 ! fakesink",
        range(&emulator)
    );
    let pipeline = Pipeline::new(&line);
    let sound = gathered(&pipeline.by_name("sound").unwrap().downcast().unwrap());
    let _ = pipeline.set_state(gst::State::Paused);
    pipeline.state(PATIENCE).0.expect("the first frames");
    let play = |rate: f64| {
        let _ = pipeline.set_state(gst::State::Paused);
        sound.lock().unwrap().clear();
        pipeline.seek(rate, ACCURATE, SET, ms(500), SET, ms(5500)).expect("a seek");
        pipeline.play();
        ended(&pipeline);
        std::mem::take(&mut *sound.lock().unwrap())
    };
    let (forward, backward) = (play(1.0), play(-1.0));
    assert!(forward.len() > 200);
    // A decoder needs a frame or so to begin with, of each run.
    assert!(backward.len() + 12 > forward.len() && backward.len() <= forward.len() + 1, "{}", backward.len());
    assert!(backward.windows(2).all(|pair| pair[0].0 > pair[1].0));
}

/// Buffers of fragments that come last first, as kvssrc has them.
fn turned(fragments: &[Fragment]) -> Vec<gst::Buffer> {
    let mut buffers = container(fragments).into_iter();
    let header = buffers.next().unwrap();
    let mut runs: Vec<Vec<gst::Buffer>> = Vec::new();
    for buffer in buffers {
        if !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            runs.push(Vec::new());
        }
        runs.last_mut().unwrap().push(buffer);
    }
    for run in &mut runs {
        let cluster = run[0].make_mut();
        cluster.set_flags(cluster.flags() | gst::BufferFlags::DISCONT);
    }
    std::iter::once(header).chain(runs.into_iter().rev().flatten()).collect()
}

#[test]
fn each_track_has_a_break_a_run_and_a_silent_one_a_gap() {
    let fragments: Vec<Fragment> = (0..4)
        .map(|index| {
            let mut fragment = Fragment::audio(index, 10);
            fragment.tracks.push(Track::alaw(2, "loudspeaker"));
            if index != 2 {
                let other: Vec<_> = fragment.blocks.iter().map(|block| Block { track: 2, ..block.clone() }).collect();
                fragment.blocks.extend(other);
                fragment.blocks.sort_by_key(|block| block.time);
            }
            fragment
        })
        .collect();
    let bench = Bench::new();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_stop(ms(4000));
    bench.begin_in_time("a");
    assert!(bench.event(gst::event::Segment::new(&segment)));
    bench.push_all(turned(&fragments));
    assert!(bench.end());
    for (name, runs) in [("audio_0", &[3, 2, 1, 0][..]), ("audio_1", &[3, 1, 0])] {
        let outlet = bench.outlet(name);
        let wanted: Vec<u64> = runs.iter().flat_map(|run| (0..10).map(move |frame| run * 1000 + frame * 20)).collect();
        assert_eq!(outlet.pts_ms(), wanted);
        for buffer in outlet.buffers() {
            let first = buffer.pts().unwrap().mseconds() % 1000 == 0;
            assert_eq!(buffer.flags().contains(gst::BufferFlags::DISCONT), first, "{buffer:?}");
        }
        let segments = outlet.events(gst::EventType::Segment);
        let gst::EventView::Segment(last) = segments.last().unwrap().view() else { unreachable!() };
        assert!(last.segment().rate() < 0.0);
        let gaps = outlet.gaps_ms();
        assert_eq!(gaps, if name == "audio_1" { vec![(2000, 180)] } else { Vec::new() });
    }
}

#[test]
fn playbin3_plays_a_uri_backwards() {
    let emulator = sample();
    let uri = format!(
        "kvs://{STREAM}?playback-mode=on-demand&start-timestamp={}&end-timestamp={}",
        seconds(START_MS),
        seconds(START_MS + 6000)
    );
    let video =
        gst_app::AppSink::builder().name("sink").sync(false).caps(&gst::Caps::new_empty_simple("video/x-raw")).build();
    let frames = gathered(&video);
    let sound = gst::ElementFactory::make("fakesink").property("sync", false).build().unwrap();
    let player = gst::ElementFactory::make("playbin3").property("uri", &uri).build().unwrap();
    player.set_property("video-sink", &video);
    player.set_property("audio-sink", &sound);
    let (region, url) = (emulator.region().to_owned(), emulator.url().to_owned());
    let keys = [emulator.access_key().to_owned(), emulator.secret_key().to_owned()];
    player.connect("source-setup", false, move |values| {
        let source = values[1].get::<gst::Element>().unwrap();
        source.set_property("aws-region", &region);
        source.set_property("endpoint-url", &url);
        source.set_property("access-key", &keys[0]);
        source.set_property("secret-key", &keys[1]);
        None
    });
    let player = Pipeline(player.downcast().unwrap());
    let _ = player.set_state(gst::State::Paused);
    player.state(PATIENCE).0.expect("the first picture");
    assert_eq!(player.query_duration::<gst::ClockTime>(), Some(ms(6000)));
    let play = |rate: f64, flags: gst::SeekFlags, from: u64, to: u64| {
        let _ = player.set_state(gst::State::Paused);
        player.state(PATIENCE).0.expect("a pause");
        frames.lock().unwrap().clear();
        player.seek(rate, flags, SET, ms(from), SET, ms(to)).expect("a seek");
        player.play();
        ended(&player);
        std::mem::take(&mut *frames.lock().unwrap())
    };
    let forward = play(1.0, ACCURATE, 0, 6000);
    let mut backward = play(-1.0, ACCURATE, 0, 6000);
    backward.reverse();
    assert_eq!(forward.len(), 150);
    assert_eq!(content(&backward), content(&forward));
    let flags = ACCURATE | gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    let keyframes = play(-8.0, flags | gst::SeekFlags::TRICKMODE_NO_AUDIO, 0, 6000);
    assert_eq!(keyframes.len(), 3, "{:?}", content(&keyframes));
    // By the clock, whose pace nothing may break off from.
    video.set_property("sync", true);
    sound.set_property("sync", true);
    assert_eq!(play(-8.0, ACCURATE, 0, 6000).len(), 150);
    video.set_property("sync", false);
    sound.set_property("sync", false);
    // And the usual way again.
    let again = play(2.0, ACCURATE, 3000, 4000);
    assert_eq!(again.len(), 25);
}
