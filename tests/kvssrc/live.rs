//! Live pipelines, on a clock that only the test moves: when frames are shown, and clocks that part.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, NewFragment, Operation};

use super::support::{PATIENCE, Pipeline, STREAM, init, source, source_for_ever, wait_until};

const SECOND: u64 = 1_000_000_000;

/// What the camera's clock shows at first, in ms since 1970.
const CAMERA_MS: u64 = 1_767_607_200_000;

/// Frames of a fragment of 2 s.
const FRAMES: u16 = 20;

#[derive(Clone, Debug)]
struct Shown {
    pts: u64,
    /// Running time at which it was there.
    came: u64,
    discont: bool,
    payload: Vec<u8>,
    rate: i32,
}

impl Shown {
    fn lateness(&self) -> i64 {
        self.came as i64 - self.pts as i64
    }
}

/// A camera, its stream, and a pipeline that shows it.
struct Scene {
    emulator: Emulator,
    clock: gst_check::TestClock,
    pipeline: Pipeline,
    shown: Arc<Mutex<Vec<Shown>>>,
    /// True time in ms since the camera was switched on.
    time: u64,
    /// What its clock shows then, in ms since 1970, and how fast it runs, in thousandths.
    camera: u64,
    thousandths: u64,
    rate: u32,
    sent: Vec<Vec<u8>>,
}

impl Scene {
    fn new(properties: &str, output: &str) -> Self {
        init();
        let emulator = Emulator::builder().start().unwrap();
        emulator.create_stream(STREAM).unwrap();
        let source = source_for_ever(&emulator);
        let pipeline = Pipeline::new(&format!("{source} {properties} {output} ! fakesink name=sink sync=false"));
        let clock = gst_check::TestClock::new();
        clock.set_time(gst::ClockTime::from_seconds(1000));
        pipeline.use_clock(Some(&clock));

        let shown = Arc::new(Mutex::new(Vec::new()));
        let (seen, now) = (Arc::clone(&shown), clock.clone());
        let sink = pipeline.by_name("sink").unwrap();
        let element = sink.downgrade();
        let pad = sink.static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let (Some(buffer), Some(element)) = (info.buffer(), element.upgrade()) else {
                return gst::PadProbeReturn::Ok;
            };
            let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap().segment().clone();
            let segment = segment.downcast::<gst::ClockTime>().unwrap();
            let caps = pad.current_caps().unwrap();
            seen.lock().unwrap().push(Shown {
                pts: segment.to_running_time(buffer.pts()).unwrap().nseconds(),
                came: (now.time() - element.base_time().unwrap()).nseconds(),
                discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
                payload: buffer.map_readable().unwrap().to_vec(),
                rate: caps.structure(0).unwrap().get("rate").unwrap_or(0),
            });
            gst::PadProbeReturn::Ok
        });
        Self {
            emulator,
            clock,
            pipeline,
            shown,
            time: 0,
            camera: CAMERA_MS,
            thousandths: 1000,
            rate: 8000,
            sent: Vec::new(),
        }
    }

    /// One that plays, and waits for the camera.
    fn playing(properties: &str) -> Self {
        let scene = Self::new(properties, "! audio/x-alaw");
        scene.pipeline.play();
        let asked = |request: &kvs_emulator::RequestRecord| request.operation == Operation::GetMedia;
        scene.emulator.wait_for_request(asked, PATIENCE.into()).expect("a call of GetMedia");
        scene
    }

    /// Time passes for all but the camera's clock, which goes at its own pace.
    fn wait(&mut self, ms: u64) {
        self.time += ms;
        self.camera += ms * self.thousandths / 1000;
        self.clock.advance_time(gst::ClockTime::from_mseconds(ms).nseconds() as i64);
    }

    /// A fragment is put when its last frame is made, 2 s from now.
    fn put(&mut self) {
        let begin = self.camera;
        self.wait(2000);
        let index = self.sent.len();
        let mut cluster = Cluster::new(begin);
        for frame in 0..FRAMES {
            let payload = [&(index as u32).to_be_bytes()[..], &frame.to_be_bytes()[..]].concat();
            let relative = u64::from(frame) * 100 * self.thousandths / 1000;
            cluster = cluster.simple_block(1, relative as i16, true, &payload);
            self.sent.push(payload);
        }
        let new = NewFragment {
            header: header(1_000_000, &[TrackEntry::alaw(1, self.rate)]),
            media: cluster.bytes(),
            producer_timestamp: Some(begin),
            ..NewFragment::default()
        };
        self.emulator.put_fragment(STREAM, new).unwrap();
    }

    /// The same, and everything has come.
    fn show(&mut self) {
        self.put();
        self.all_comes();
    }

    fn all_comes(&self) {
        wait_until("every frame comes", || self.shown.lock().unwrap().len() >= self.sent.len());
    }

    /// What was shown: each frame once, in order.
    #[track_caller]
    fn shown(&self) -> Vec<Shown> {
        let shown = self.shown.lock().unwrap().clone();
        let payloads: Vec<_> = shown.iter().map(|frame| frame.payload.clone()).collect();
        assert_eq!(payloads, self.sent);
        assert!(shown.is_sorted_by(|left, right| left.pts < right.pts));
        shown
    }

    fn messages(&self, name: &str) -> Vec<gst::Structure> {
        let bus = self.pipeline.bus().unwrap();
        let all = std::iter::from_fn(|| bus.pop());
        let structures = all.filter_map(|message| message.structure().map(gst::StructureRef::to_owned));
        structures.filter(|structure| structure.name() == name).collect()
    }
}

fn latency(pipeline: &gst::Pipeline) -> (bool, gst::ClockTime, Option<gst::ClockTime>) {
    let mut query = gst::query::Latency::new();
    assert!(pipeline.by_name("source").unwrap().query(&mut query));
    query.result()
}

#[test]
fn what_comes_just_now_is_live_and_what_is_stored_is_not() {
    for (properties, live) in [
        ("", true),
        ("latency=500", true),
        ("is-live=false", false),
        ("start-selector=earliest", false),
        ("start-selector=earliest is-live=true", true),
        ("end-timestamp=2100-01-01T00:00:00Z", false),
        ("checkpoint-location=nowhere", false),
        ("start-timestamp=2026-01-01T00:00:00Z", false),
    ] {
        let scene = Scene::new(properties, "");
        let source = scene.pipeline.by_name("source").unwrap();
        assert_eq!(source.property::<bool>("is-live"), live, "{properties}");
        let change = scene.pipeline.set_state(gst::State::Paused).unwrap();
        let expected = if live { gst::StateChangeSuccess::NoPreroll } else { gst::StateChangeSuccess::Async };
        assert_eq!(change, expected, "{properties}");
        let minimum = match (live, properties.contains("500")) {
            (false, _) => 0,
            (true, true) => 500,
            (true, false) => 2000,
        };
        assert_eq!(latency(&scene.pipeline), (live, gst::ClockTime::from_mseconds(minimum), None), "{properties}");
    }
}

#[test]
fn frames_are_shown_when_they_come_and_at_the_distances_of_the_camera() {
    let mut scene = Scene::playing("");
    scene.wait(5000);
    scene.show();
    scene.show();
    let shown = scene.shown();
    assert_eq!(shown[0].pts, 7 * SECOND);
    assert!(shown.iter().enumerate().all(|(index, frame)| frame.pts == shown[0].pts + index as u64 * SECOND / 10));
    assert!(shown[1..].iter().all(|frame| !frame.discont));
}

/// An hour with a camera whose clock is 3.6 s off at its end.
fn an_hour(thousandths: u64, sign: i64) {
    let mut scene = Scene::playing("");
    scene.thousandths = thousandths;
    for _ in 0..1800 {
        scene.show();
    }
    let shown = scene.shown();
    // Each fragment comes whole: its last frame is 1.9 s early by nature, its first on time.
    let first_frames: Vec<_> = shown.iter().step_by(usize::from(FRAMES)).collect();
    let worst = first_frames.iter().map(|frame| frame.lateness().abs()).max().unwrap();
    assert!(worst <= 2 * SECOND as i64, "{worst}");
    let corrections = scene.messages("kvs-drift");
    let disconts: Vec<_> = shown.iter().enumerate().skip(1).filter(|(_, frame)| frame.discont).collect();
    assert_eq!(corrections.len(), 2, "{corrections:?}");
    assert_eq!(disconts.len(), 2, "{disconts:?}");
    assert!(disconts.iter().all(|(index, _)| index % usize::from(FRAMES) == 0), "{disconts:?}");
    for correction in corrections {
        let amount = correction.get::<i64>("correction").unwrap() * sign;
        assert!((1_500_000_000..1_600_000_000).contains(&amount), "{correction}");
    }
}

#[test]
fn a_fast_camera_stays_within_the_latency_for_an_hour() {
    an_hour(1001, -1);
}

#[test]
fn a_slow_camera_stays_within_the_latency_for_an_hour() {
    an_hour(999, 1);
}

#[test]
fn a_camera_that_stops_for_two_minutes_comes_back_on_time() {
    let mut scene = Scene::playing("");
    scene.show();
    scene.show();
    scene.wait(120_000);
    scene.show();
    scene.show();
    let shown = scene.shown();
    assert_eq!(shown[40].pts - shown[20].pts, 122 * SECOND);
    assert!(shown[1..].iter().all(|frame| !frame.discont));
}

#[test]
fn a_camera_that_comes_back_with_its_clock_set_back_is_shown_when_it_comes() {
    let mut scene = Scene::playing("");
    scene.show();
    scene.show();
    scene.camera -= 3_600_000;
    scene.wait(120_000);
    scene.show();
    let shown = scene.shown();
    assert!(shown[40].discont);
    // As all frames of these fragments, it could have come 1.9 s before the last one of its fragment.
    assert!(shown[40].lateness().abs() <= 2 * SECOND as i64, "{:?}", shown[40]);
}

#[test]
fn a_camera_that_comes_back_with_another_codec_goes_on() {
    let mut scene = Scene::playing("");
    scene.show();
    scene.rate = 16_000;
    scene.wait(4000);
    scene.show();
    let shown = scene.shown();
    assert_eq!(shown[20].pts - shown[0].pts, 6 * SECOND);
    assert_eq!([shown[19].rate, shown[20].rate], [8000, 16_000]);
}

#[test]
fn a_pipeline_that_was_paused_goes_on_with_every_frame() {
    let mut scene = Scene::playing("");
    for _ in 0..6 {
        scene.show();
    }
    scene.pipeline.set_state(gst::State::Paused).unwrap();
    for _ in 0..15 {
        scene.put();
    }
    scene.pipeline.set_state(gst::State::Playing).unwrap();
    scene.all_comes();
    for _ in 0..30 {
        scene.show();
    }
    let shown = scene.shown();
    // Running time stood still, the camera did not: what came meanwhile is shown behind what came before.
    assert!(shown.iter().enumerate().all(|(index, frame)| frame.pts == shown[0].pts + index as u64 * SECOND / 10));
    assert!(scene.messages("kvs-drift").is_empty());
}

#[test]
fn a_stream_that_is_not_live_begins_at_zero() {
    let mut scene = Scene::new("is-live=false", "! audio/x-alaw");
    scene.pipeline.play();
    scene.wait(5000);
    scene.show();
    assert_eq!(scene.shown()[0].pts, 0);
}

#[test]
fn a_stored_range_says_that_it_is_not_live() {
    let scene = Scene::new("", "");
    let pipeline = Pipeline::new(&format!("{} ! fakesink", source(&scene.emulator)));
    assert_eq!(latency(&pipeline), (false, gst::ClockTime::ZERO, None));
}

#[test]
fn pauses_while_frames_come_lose_none() {
    init();
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    const FRAMES: u32 = 60_000;
    for fragment in 0..FRAMES / 1000 {
        let begin = CAMERA_MS + u64::from(fragment) * 1000;
        let cluster = (0..1000).fold(Cluster::new(begin), |cluster, frame: u32| {
            let payload = (fragment * 1000 + frame).to_be_bytes();
            cluster.simple_block(1, i16::try_from(frame).unwrap(), true, &payload)
        });
        let new = NewFragment {
            header: header(1_000_000, &[TrackEntry::alaw(1, 8000)]),
            media: cluster.bytes(),
            producer_timestamp: Some(begin),
            ..NewFragment::default()
        };
        emulator.put_fragment(STREAM, new).unwrap();
    }
    // Which takes all that comes, so that a pause finds the source at work.
    const QUEUE: &str = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0";
    let source = format!("{} start-selector=earliest is-live=true", source_for_ever(&emulator));
    let pipeline = Pipeline::new(&format!("{source} ! audio/x-alaw ! {QUEUE} ! fakesink name=sink sync=false"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let frames = Arc::clone(&seen);
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let payload = info.buffer().unwrap().map_readable().unwrap().to_vec();
        frames.lock().unwrap().push(u32::from_be_bytes(payload.try_into().unwrap()));
        gst::PadProbeReturn::Ok
    });
    let mut pauses = 0;
    while seen.lock().unwrap().len() < FRAMES as usize && pauses < 400 {
        let before = seen.lock().unwrap().len();
        pipeline.set_state(gst::State::Playing).unwrap();
        wait_until("frames come", || seen.lock().unwrap().len() > (before + 20).min(FRAMES as usize - 1));
        pipeline.set_state(gst::State::Paused).unwrap();
        pauses += 1;
    }
    pipeline.play();
    wait_until("the last frame comes", || seen.lock().unwrap().last() == Some(&(FRAMES - 1)));
    let seen = seen.lock().unwrap();
    let lost = FRAMES as usize - seen.len();
    assert_eq!(lost, 0, "in {pauses} pauses");
}
