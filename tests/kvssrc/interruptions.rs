//! A live stream whose connections are lost, before a sink that shows frames when they are due, on a clock that only the
//! test moves: what is made is shown as soon after it as before.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, Fault, NewFragment, OpenFragment, Operation, Repeat};

use super::support::{Pipeline, STREAM, init, source_for_ever, wait_until};

/// What the camera's clock shows at first, in ms since 1970.
const CAMERA_MS: u64 = 1_767_607_200_000;

/// Time between two frames, in ms, and how many make a fragment.
const BETWEEN: u64 = 100;
const FRAGMENT: u64 = 20;

const LATENCY: u64 = 2000;

/// What is lost in the middle of a fragment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// The reader's connection.
    Reader,
    /// The producer's: the service keeps what came, and what is made meanwhile comes late, in a fragment of its own.
    Producer,
    Both,
    /// The producer's, which sends the fragment again from its beginning.
    Resent,
    BothAndResent,
    /// The same, where the service throws away what came, and cuts off who reads it.
    ThrownAway,
}

/// A frame that was shown: its number, and how long after it was made, in ms.
type Shown = (u64, u64);

/// A camera, its stream, and a pipeline that shows it.
struct Scene {
    emulator: Emulator,
    clock: gst_check::TestClock,
    pipeline: Pipeline,
    /// Frames at the sink, by their presentation time after they were made, in ms; and frames that it has shown.
    came: Arc<Mutex<Vec<Shown>>>,
    shown: Arc<Mutex<Vec<Shown>>>,
    /// When the pipeline began to play, by the camera's time, in ms.
    made: u64,
    open: Option<OpenFragment>,
    /// The first frame of the fragment at hand.
    first: u64,
}

impl Scene {
    /// `faults` are those of the first connections.
    fn new(sync: bool, faults: &[Fault]) -> Self {
        init();
        let emulator = Emulator::builder().start().unwrap();
        emulator.create_stream(STREAM).unwrap();
        for fault in faults {
            emulator.set_fault(STREAM, fault.clone(), Repeat::Once);
        }
        let source = source_for_ever(&emulator);
        let pipeline = Pipeline::new(&format!(
            "{source} latency={LATENCY} ! audio/x-alaw ! fakesink name=sink sync={sync} processing-deadline=0 \
             signal-handoffs=true"
        ));
        let clock = gst_check::TestClock::new();
        clock.set_time(gst::ClockTime::from_seconds(1000));
        pipeline.use_clock(Some(&clock));
        let (came, shown) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let sink = pipeline.by_name("sink").unwrap();
        let seen = Arc::clone(&came);
        sink.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            let index = index(buffer);
            seen.lock().unwrap().push((index, buffer.pts().unwrap().mseconds() - index * BETWEEN));
            gst::PadProbeReturn::Ok
        });
        let (seen, now) = (Arc::clone(&shown), clock.clone());
        sink.connect("handoff", false, move |values| {
            let index = index(values[1].get::<&gst::BufferRef>().unwrap());
            let time = (now.time() - gst::ClockTime::from_seconds(1000)).mseconds();
            seen.lock().unwrap().push((index, time - index * BETWEEN));
            None
        });
        pipeline.play();
        let scene = Self { emulator, clock, pipeline, came, shown, made: 0, open: None, first: 0 };
        scene.wait_for_calls(1);
        scene
    }

    fn calls(&self) -> usize {
        self.emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count()
    }

    #[track_caller]
    fn wait_for_calls(&self, calls: usize) {
        wait_until("a call of GetMedia", || self.calls() >= calls);
    }

    /// The next frame is made and comes at once, in a fragment that begins with it where the one before is full or lost.
    fn frame(&mut self) {
        self.send(self.made);
        self.made += 1;
    }

    fn send(&mut self, index: u64) {
        if self.open.is_none() || index - self.first >= FRAGMENT {
            self.finish();
            self.first = index;
            let new = NewFragment {
                header: header(1_000_000, &[TrackEntry::alaw(1, 8000)]),
                media: Cluster::new(index * BETWEEN).unknown_size().bytes(),
                producer_timestamp: Some(CAMERA_MS + index * BETWEEN),
                ..NewFragment::default()
            };
            self.open = Some(self.emulator.open_fragment(STREAM, new).unwrap());
        }
        let cluster = Cluster::new(self.first * BETWEEN).unknown_size();
        let head = cluster.bytes().len();
        let relative = i16::try_from((index - self.first) * BETWEEN).unwrap();
        let block = cluster.simple_block(1, relative, true, &index.to_be_bytes()).bytes().slice(head..);
        self.open.as_mut().unwrap().write(block);
    }

    /// The same, and it is on its way to the reader, whose connection stands.
    #[track_caller]
    fn frame_sent(&mut self) {
        let sent = self.emulator.bytes_sent();
        self.frame();
        wait_until("a frame is sent", || self.emulator.bytes_sent() > sent + 8);
        if self.made == 1 {
            wait_until("the first frame comes", || !self.came.lock().unwrap().is_empty());
        }
    }

    /// The service has all of the fragment that it will get.
    fn finish(&mut self) {
        self.open.take().map(OpenFragment::finish);
    }

    fn wait(&self, ms: u64) {
        self.clock.advance_time(gst::ClockTime::from_mseconds(ms).nseconds() as i64);
    }

    /// So many frames are made, and all that are due have been shown.
    #[track_caller]
    fn run(&mut self, frames: u64) {
        for _ in 0..frames {
            self.frame_sent();
            self.wait(BETWEEN);
            let due = (self.made + 1).saturating_sub(LATENCY / BETWEEN);
            self.wait_for_shown(due);
        }
    }

    /// Frames that are due are shown, until so many have been.
    #[track_caller]
    fn wait_for_shown(&self, frames: u64) {
        wait_until("frames are shown when they are due", || {
            while self.clock.process_next_clock_id().is_some() {}
            self.shown.lock().unwrap().len() as u64 >= frames
        });
    }

    /// A connection is lost while the sink waits for the clock.
    #[track_caller]
    fn lose(&mut self, lost: Lost) {
        let calls = self.calls();
        let (first, made) = (self.first, self.made);
        if matches!(lost, Lost::Reader | Lost::Both | Lost::BothAndResent) {
            self.emulator.cut_readers(STREAM).unwrap();
        }
        match lost {
            Lost::ThrownAway => drop(self.open.take()),
            Lost::Reader => {}
            _ => self.finish(),
        }
        if !matches!(lost, Lost::Producer | Lost::Resent) {
            // Time stands still: nothing is shown until the next connection is there.
            self.wait_for_calls(calls + 1);
        }
        if lost != Lost::Reader {
            self.wait(3 * BETWEEN);
            if matches!(lost, Lost::Resent | Lost::BothAndResent | Lost::ThrownAway) {
                (first..made).for_each(|index| self.send(index));
            }
            (0..3).for_each(|_| self.frame());
        }
    }
}

fn index(buffer: &gst::BufferRef) -> u64 {
    u64::from_be_bytes(buffer.map_readable().unwrap().as_slice().try_into().unwrap())
}

/// Twenty times, in another place of a fragment each time.
fn twenty_times(lost: Lost) {
    let mut scene = Scene::new(true, &[]);
    scene.run(30);
    for time in 0..20 {
        scene.lose(lost);
        scene.run(23 + time % 7);
    }
    let made = scene.made;
    for left in (0..LATENCY / BETWEEN - 1).rev() {
        scene.wait(BETWEEN);
        scene.wait_for_shown(made - left);
    }
    let shown = scene.shown.lock().unwrap().clone();
    assert!(shown.iter().map(|(index, _)| *index).eq(0..made), "{lost:?}: {shown:?}");
    let came = scene.came.lock().unwrap().clone();
    assert!(came.iter().all(|(_, latency)| *latency == came[0].1), "{lost:?}: {came:?}");
    // What was due while the clock was moved by several frames is shown then.
    assert!(shown.iter().all(|(_, latency)| (LATENCY..LATENCY + 4 * BETWEEN).contains(latency)), "{lost:?}: {shown:?}");
}

#[test]
fn a_reader_that_loses_its_connection_twenty_times_shows_what_is_made_as_soon_as_before() {
    twenty_times(Lost::Reader);
}

#[test]
fn a_producer_that_loses_its_connection_twenty_times_is_shown_as_soon_as_before() {
    twenty_times(Lost::Producer);
}

#[test]
fn where_both_lose_their_connections_twenty_times_what_is_made_is_shown_as_soon_as_before() {
    twenty_times(Lost::Both);
}

#[test]
fn a_producer_that_sends_its_fragment_again_twenty_times_is_shown_as_soon_as_before() {
    twenty_times(Lost::Resent);
    twenty_times(Lost::ThrownAway);
}

#[test]
fn where_both_lose_their_connections_and_the_fragment_comes_again_it_is_shown_as_soon_as_before() {
    twenty_times(Lost::BothAndResent);
}

#[test]
fn calls_that_fail_behind_a_lost_connection_are_made_again_while_the_sink_waits() {
    let mut scene = Scene::new(true, &[]);
    scene.run(30);
    for _ in 0..3 {
        for kind in ["ConnectionLimitExceededException", "ThrottlingException"] {
            let fault = Fault::http(Operation::GetMedia, 400, kind, "On purpose");
            scene.emulator.set_fault(STREAM, fault, Repeat::Once);
        }
        let calls = scene.calls();
        scene.emulator.cut_readers(STREAM).unwrap();
        scene.wait_for_calls(calls + 3);
        scene.run(25);
    }
    let shown = scene.shown.lock().unwrap().clone();
    assert!(shown.iter().all(|(_, latency)| (LATENCY..=LATENCY + BETWEEN).contains(latency)), "{shown:?}");
}

#[test]
fn a_connection_that_is_over_when_nothing_plays_is_followed_by_few() {
    let mut scene = Scene::new(true, &[]);
    scene.run(30);
    // Whatever comes meanwhile is not shown.
    for _ in 0..40 {
        scene.frame();
        let calls = scene.calls();
        scene.emulator.cut_readers(STREAM).unwrap();
        if calls < 6 {
            scene.wait_for_calls(calls + 1);
        }
    }
    assert!(scene.calls() <= 20, "{}", scene.calls());
    scene.wait(100 * BETWEEN);
    let made = scene.made;
    scene.wait_for_shown(made);
    assert!(scene.shown.lock().unwrap().iter().map(|(index, _)| *index).eq(0..made));
}

/// What the pipeline sees first comes 8 s after it was made, and all that follows on time.
#[test]
fn a_stream_that_begins_with_what_is_late_is_soon_shown_as_near_as_it_comes() {
    const LATE: u64 = 80;
    let mut scene = Scene::new(false, &[]);
    scene.wait(LATE * BETWEEN);
    (0..LATE).for_each(|_| scene.frame_sent());
    for _ in 0..600 {
        scene.frame();
        scene.wait(BETWEEN);
        let made = scene.made;
        wait_until("every frame comes", || scene.came.lock().unwrap().len() as u64 >= made);
    }
    let came = scene.came.lock().unwrap().clone();
    assert!(came.iter().map(|(index, _)| *index).eq(0..scene.made));
    assert!(came[0].1 >= LATE * BETWEEN);
    // Found within half a minute, and caught up with at twice the speed.
    let mended = &came[(LATE + 300 + 2 * LATE) as usize..];
    assert!(mended.iter().all(|(_, latency)| *latency < FRAGMENT * BETWEEN), "{:?}", mended[0]);
}

#[test]
fn a_pipeline_that_was_paused_shows_what_came_meanwhile_and_is_not_hurried() {
    let mut scene = Scene::new(true, &[]);
    scene.run(100);
    let latency = scene.came.lock().unwrap()[0].1;
    scene.pipeline.set_state(gst::State::Paused).unwrap();
    for _ in 0..200 {
        scene.frame_sent();
        scene.wait(BETWEEN);
    }
    scene.emulator.cut_readers(STREAM).unwrap();
    scene.pipeline.set_state(gst::State::Playing).unwrap();
    for _ in 0..600 {
        scene.frame_sent();
        scene.wait(BETWEEN);
    }
    scene.wait(LATENCY + 200 * BETWEEN);
    let made = scene.made;
    scene.wait_for_shown(made);
    let came = scene.came.lock().unwrap().clone();
    assert!(came.iter().map(|(index, _)| *index).eq(0..made));
    assert!(came.iter().all(|(_, pts)| *pts == latency), "{came:?}");
}
