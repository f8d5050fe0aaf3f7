//! How long after it was made a frame is shown, while connections are lost.
//!
//!     cargo bench --bench interruptions [-- SECONDS]
//!
//! A camera of 25 frames a second, in fragments of 1.8 s, is shown by a sink that waits until frames are due. Every 8 s a
//! connection is lost, in turn the reader's, the producer's, the producer's that sends its fragment again, and both. The
//! first two calls behind a reader's are refused, as where the service still counts the connection that is over. Prints, each
//! second, the median and the worst of the time from a frame's capture to when it is shown. Ends with an error where
//! what is shown last is later than what was shown before the first loss, by a fragment or more. Seconds: 60.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, Fault, Interruption, NewFragment, Operation, Repeat};

const STREAM: &str = "X";
const EVERY: u64 = 8;
/// Milliseconds between two frames, frames of a fragment, and fragments until all comes again.
const BETWEEN: i16 = 40;
const FRAMES: i16 = 45;
const FRAGMENTS: u64 = 5;
const FRAGMENT: Duration = Duration::from_millis(BETWEEN as u64 * FRAMES as u64);
/// How long a producer is away.
const AWAY: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let seconds: u64 = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(60);
    gst::init().expect("GStreamer");
    gstkvs::plugin_register_static().expect("the plugin");
    let emulator = camera();
    let (_pipeline, shown) = pipeline(&emulator);
    let begin = Instant::now();
    let (mut first, mut last) = (Duration::ZERO, Duration::ZERO);
    for second in 1..=seconds {
        let mut latencies = Vec::new();
        while let Some(left) = Duration::from_secs(second).checked_sub(begin.elapsed()) {
            latencies.extend(shown.recv_timeout(left));
        }
        latencies.sort_unstable();
        let median = latencies.get(latencies.len() / 2).copied();
        let worst = latencies.last().copied();
        println!("{second:3} s: {:3} frames, median {median:?}, worst {worst:?}", latencies.len());
        last = median.unwrap_or(last);
        if second < EVERY {
            first = last;
        }
        if second % EVERY == 0 {
            lose(&emulator, second / EVERY);
        }
    }
    println!("before the first loss {first:?}, at the end {last:?}");
    if last < first + FRAGMENT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn camera() -> Emulator {
    let emulator = Emulator::builder().start().expect("an emulator");
    let length = FRAMES as u64 * BETWEEN as u64;
    for fragment in 0..FRAGMENTS {
        let cluster = (0..FRAMES).fold(Cluster::new(fragment * length), |cluster, frame| {
            // Every time through, they are the same bytes.
            let payload = [&fragment.to_be_bytes()[..], &frame.to_be_bytes()].concat();
            cluster.simple_block(1, frame * BETWEEN, true, &payload)
        });
        let new = NewFragment {
            header: header(1_000_000, &[TrackEntry::alaw(1, 8000)]),
            media: cluster.bytes(),
            producer_timestamp: Some(fragment * length),
            ..NewFragment::default()
        };
        emulator.put_fragment(STREAM, new).expect("stored");
    }
    emulator.start_live(STREAM).expect("live");
    emulator
}

fn lose(emulator: &Emulator, number: u64) {
    let interruption = Interruption { length: AWAY, kept: true, again: number % 2 == 1 };
    if number % 4 != 1 {
        emulator.interrupt_producer(STREAM, interruption).expect("a stream");
    }
    if matches!(number % 4, 0 | 1) {
        let refused = Fault::http(Operation::GetMedia, 400, "ConnectionLimitExceededException", "too many");
        emulator.set_fault(STREAM, refused, Repeat::Times(2));
        emulator.cut_readers(STREAM).expect("a stream");
    }
    let what = ["both connections", "the reader's", "the producer's", "the producer's, which sends its fragment again"];
    println!("lost: {}", what[(number % 4) as usize]);
}

/// A pipeline that plays, and how long after its capture it shows each frame.
fn pipeline(emulator: &Emulator) -> (Stopped, Receiver<Duration>) {
    let description = format!(
        "kvssrc stream={STREAM} aws-region={} endpoint-url={} access-key={} secret-key={} ! audio/x-alaw ! \
         fakesink name=sink sync=true signal-handoffs=true",
        emulator.region(),
        emulator.url(),
        emulator.access_key(),
        emulator.secret_key()
    );
    let pipeline = gst::parse::launch(&description).expect("a pipeline").downcast::<gst::Pipeline>().expect("one");
    let (sender, shown) = mpsc::channel();
    let sender = Mutex::new(sender);
    pipeline.by_name("sink").expect("a sink").connect("handoff", false, move |values| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let buffer = values[1].get::<&gst::BufferRef>().expect("a buffer");
        let captured = buffer.meta::<gst::ReferenceTimestampMeta>().expect("a capture time").timestamp();
        let latency = now.saturating_sub(captured.into());
        // Where this fails, nobody measures any more.
        let _ = sender.lock().expect("no panic").send(latency);
        None
    });
    pipeline.set_state(gst::State::Playing).expect("playing");
    (Stopped(pipeline), shown)
}

/// A pipeline that is stopped in the end.
struct Stopped(gst::Pipeline);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.set_state(gst::State::Null).expect("stopped");
    }
}
