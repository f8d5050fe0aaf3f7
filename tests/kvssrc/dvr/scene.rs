//! A camera, its stream, and a pipeline that follows it and tells what it shows.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, NewFragment, Operation};

use crate::archive::AUDIO;
use crate::body::START_MS;
use crate::support::{PATIENCE, Pipeline, STREAM, init, source_for_ever, wait_until};

/// Fragments of 2 s, of four frames each.
pub const FRAGMENT_MS: u64 = 2000;
pub const FRAME_MS: u64 = 500;

pub const FLUSH: gst::SeekFlags = gst::SeekFlags::FLUSH.union(gst::SeekFlags::ACCURATE);

pub fn ms(ms: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(ms)
}

/// A frame that was shown: its place in the stream, counted from the camera's first, and its stream time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    pub index: u64,
    pub stream_time: gst::ClockTime,
    pub running_time: gst::ClockTime,
    pub discont: bool,
}

/// A camera, and a pipeline that shows what it sees.
pub struct Scene {
    pub emulator: Emulator,
    pub pipeline: Pipeline,
    pub shown: Arc<Mutex<Vec<Shown>>>,
    pub fragments: u64,
    /// When the camera saw its first frame, in ms since 1970.
    pub start: u64,
    /// By how many ms the camera's clock is behind.
    pub behind: u64,
}

impl Scene {
    /// `before` fragments are there before the pipeline plays.
    pub fn new(before: u64, properties: &str, path: &str) -> Self {
        Self::since(START_MS, before, properties, path)
    }

    /// The same of a camera that began then, in ms since 1970.
    pub fn since(start: u64, before: u64, properties: &str, path: &str) -> Self {
        init();
        let emulator = Emulator::builder().shuffle(3).start().unwrap();
        emulator.create_stream(STREAM).unwrap();
        let description = format!("{} {properties}{path} ! appsink name=sink sync=false", source_for_ever(&emulator));
        let pipeline = Pipeline::new(&description);
        let sink = pipeline.sink(AUDIO);
        sink.set_property("max-buffers", 0_u32);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    seen.lock().unwrap().push(shown_of(&sample));
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        let mut scene = Self { emulator, pipeline, shown, fragments: 0, start, behind: 0 };
        scene.put(before);
        scene
    }

    /// One that plays what comes from now on, and has shown one fragment of it or two.
    pub fn playing(before: u64, properties: &str, path: &str) -> Self {
        Self::new(before, properties, path).begun()
    }

    /// Plays until one fragment has been shown that came meanwhile, or two.
    pub fn begun(mut self) -> Self {
        let scene = &mut self;
        scene.pipeline.play();
        let asked = |request: &kvs_emulator::RequestRecord| request.operation == Operation::GetMedia;
        scene.emulator.wait_for_request(asked, PATIENCE.into()).expect("a call of GetMedia");
        scene.put(2);
        scene.wait_for(scene.fragments * 4 - 1);
        self
    }

    pub fn put(&mut self, fragments: u64) {
        for fragment in self.fragments..self.fragments + fragments {
            self.put_one(fragment, 300);
        }
        self.fragments += fragments;
    }

    /// The service gets this fragment so many ms after it was captured.
    pub fn put_one(&self, fragment: u64, later: u64) {
        let begin = self.start + fragment * FRAGMENT_MS - self.behind;
        let cluster = (0..4).fold(Cluster::new(begin), |cluster, frame: u64| {
            let index = fragment * 4 + frame;
            cluster.simple_block(1, i16::try_from(frame * FRAME_MS).unwrap(), true, &index.to_be_bytes())
        });
        let new = NewFragment {
            header: header(1_000_000, &[TrackEntry::alaw(1, 8000)]),
            media: cluster.bytes(),
            producer_timestamp: Some(begin),
            server_timestamp: Some(begin + self.behind + later),
            ..NewFragment::default()
        };
        self.emulator.put_fragment(STREAM, new).unwrap();
    }

    /// Waits until this frame is shown.
    #[track_caller]
    pub fn wait_for(&self, index: u64) {
        wait_until("a frame is shown", || self.shown.lock().unwrap().last().is_some_and(|shown| shown.index >= index));
    }

    pub fn seek(&self, flags: gst::SeekFlags, to: gst::ClockTime) {
        let (set, none) = (gst::SeekType::Set, gst::SeekType::None);
        self.pipeline.seek(1.0, flags, set, to, none, gst::ClockTime::NONE).expect("a seek");
    }

    pub fn seek_to_end(&self) {
        let (end, none) = (gst::SeekType::End, gst::SeekType::None);
        self.pipeline.seek(1.0, FLUSH, end, gst::ClockTime::ZERO, none, gst::ClockTime::NONE).expect("a seek");
    }

    /// What was shown since this was last asked: frames in a row, at their distances.
    #[track_caller]
    pub fn take(&self) -> Vec<Shown> {
        let shown = std::mem::take(&mut *self.shown.lock().unwrap());
        for (left, right) in shown.iter().zip(shown.iter().skip(1)) {
            assert_eq!(right.index, left.index + 1, "{shown:?}");
            assert_eq!(right.stream_time, left.stream_time + ms(FRAME_MS), "{shown:?}");
            assert_eq!(right.running_time, left.running_time + ms(FRAME_MS), "{shown:?}");
            assert!(!right.discont, "{shown:?}");
        }
        shown
    }

    /// The stream time of the camera's first frame, which may lie before 0, as a frame tells it.
    pub fn origin(shown: &Shown) -> i64 {
        shown.stream_time.nseconds() as i64 - ms(shown.index * FRAME_MS).nseconds() as i64
    }

    pub fn calls(&self, operation: Operation) -> Vec<kvs_emulator::RequestRecord> {
        self.emulator.requests().into_iter().filter(|request| request.operation == operation).collect()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn ends(&self) {
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = self.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("no end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    }

    /// Whether one can seek, and up to where.
    pub fn seekable(&self) -> Option<gst::ClockTime> {
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        assert!(self.pipeline.by_name("source").unwrap().query(&mut query));
        let (seekable, start, end) = query.result();
        seekable.then(|| {
            assert_eq!(start.value(), 0);
            gst::ClockTime::from_nseconds(u64::try_from(end.value()).unwrap())
        })
    }
}

pub fn shown_of(sample: &gst::Sample) -> Shown {
    let buffer = sample.buffer().unwrap();
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
    let pts = buffer.pts();
    Shown {
        index: u64::from_be_bytes(buffer.map_readable().unwrap()[..].try_into().unwrap()),
        stream_time: segment.to_stream_time(pts).unwrap(),
        running_time: segment.to_running_time(pts).unwrap(),
        discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
    }
}

pub fn scene_calls(emulator: &Emulator) -> usize {
    emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count()
}
