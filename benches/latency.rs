//! How long a frame takes from the service's socket to kvssrc's pad, over loopback.
//!
//!     cargo bench --bench latency [-- FRAMES]
//!
//! A camera of 20 KB frames, 200 a second. The time counts from before the emulator is given the last bytes of a frame,
//! so that its own work is in it, to the frame's buffer on the pad. Ends with an error where the 99th percentile is over
//! 1 ms.

use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, TrackKind, header};
use kvs_emulator::{Emulator, NewFragment, Operation};

const STREAM: &str = "X";
const FRAME: usize = 20_000;
const BETWEEN: Duration = Duration::from_millis(5);
const FRAGMENT: usize = 400;
const BOUND: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let frames: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(4000);
    gst::init().expect("GStreamer");
    gstkvs::plugin_register_static().expect("the plugin");
    let mut good = true;
    for (output, caps) in [("elementary", "audio/x-alaw"), ("container", "audio/x-matroska")] {
        let mut times = measure(caps, frames);
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 1000];
        println!(
            "{output}: {} frames of {FRAME} bytes: median {:?}, p99 {:?}, p99.9 {:?}, worst {:?}",
            times.len(),
            at(500),
            at(990),
            at(999),
            at(1000)
        );
        good &= at(990) <= BOUND;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(caps: &str, frames: usize) -> Vec<Duration> {
    let emulator = Emulator::builder().start().expect("an emulator");
    emulator.create_stream(STREAM).expect("a stream");
    let description = format!(
        "kvssrc stream={STREAM} aws-region={} endpoint-url={} access-key={} secret-key={} ! {caps} ! fakesink name=sink \
         sync=false",
        emulator.region(),
        emulator.url(),
        emulator.access_key(),
        emulator.secret_key()
    );
    let pipeline = gst::parse::launch(&description).expect("a pipeline").downcast::<gst::Pipeline>().expect("one");
    let (sender, seen) = mpsc::channel();
    let sender = Mutex::new(sender);
    let pad = pipeline.by_name("sink").and_then(|sink| sink.static_pad("sink")).expect("a pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let now = Instant::now();
        // Headers and clusters are small: a frame is what is as large as one.
        if info.buffer().is_some_and(|buffer| buffer.size() >= FRAME) {
            let _ = sender.lock().expect("no panic").send(now);
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).expect("playing");
    let asked = emulator.wait_for_request(|request| request.operation == Operation::GetMedia, Duration::from_secs(10));
    asked.expect("a call of GetMedia");

    let mut times = Vec::with_capacity(frames);
    let payload = vec![0xA5; FRAME];
    let mut open = None;
    let begin = Instant::now();
    for index in 0..frames {
        std::thread::sleep((begin + BETWEEN * index as u32).saturating_duration_since(Instant::now()));
        let in_fragment = index % FRAGMENT;
        // A cluster's blocks alone: what a cluster has before its first one is its time.
        let relative = in_fragment as i16 * 5;
        let empty = Cluster::new(index as u64 * 5).unknown_size().bytes();
        let block = Cluster::new(index as u64 * 5).unknown_size().simple_block(1, relative, true, &payload).bytes();
        let block = block.slice(empty.len()..);
        if in_fragment == 0 {
            drop(open.take().map(kvs_emulator::OpenFragment::finish));
            let media = empty;
            let new = NewFragment { header: alaw(), media, ..NewFragment::default() };
            open = Some(emulator.open_fragment(STREAM, new).expect("a fragment"));
        }
        let now = Instant::now();
        open.as_mut().expect("open").write(block);
        let came: Instant = seen.recv_timeout(Duration::from_secs(10)).expect("the frame comes");
        times.push(came.saturating_duration_since(now));
    }
    pipeline.set_state(gst::State::Null).expect("stopped");
    times
}

fn alaw() -> bytes::Bytes {
    let format: [u8; 18] = [6, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 0, 0];
    let kind = TrackKind::Audio { rate: 8000.0, channels: 1, bit_depth: 8 };
    header(1_000_000, &[TrackEntry::new(1, kind, "A_MS/ACM").codec_private(format.to_vec())])
}
