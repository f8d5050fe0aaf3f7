//! What reading the archive costs: pages until the first frame, bytes that are read ahead, and memory.

use std::ops::Range;
use std::process::{Child, Stdio};
use std::time::Duration;

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, Fault, LongStream, Operation, Repeat};

use super::archive::{AUDIO, range, seconds, serve};
use super::body::START_MS;
use super::support::{PATIENCE, Pipeline, STREAM, command, init, source_for_ever, wait_until};

/// Fragments of 2 s, and as many in a day.
const LENGTH: u64 = 2000;
const DAY: u64 = 43_200;
const FRAMES: u64 = 50;

/// A stream of fragments of 50 frames of so many bytes, which costs the emulator no memory.
fn heavy(fragments: u64, frame: usize) -> Emulator {
    init();
    let payload = vec![0xA5; frame];
    let block = |cluster: Cluster, frame: u64| {
        let relative = i16::try_from(frame * LENGTH / FRAMES).unwrap();
        cluster.simple_block(1, relative, true, &payload)
    };
    let media = (0..FRAMES).fold(Cluster::new(0), block).bytes();
    let recording = [header(1_000_000, &[TrackEntry::alaw(1, 8000)]), media].concat();
    let emulator = Emulator::builder().start().unwrap();
    let long = LongStream::new(recording).unwrap().fragments(fragments).length(LENGTH).start(START_MS);
    emulator.put_long_stream(STREAM, long).unwrap();
    emulator
}

fn stats(pipeline: &Pipeline, field: &str) -> u64 {
    pipeline.by_name("source").unwrap().property::<gst::Structure>("stats").get(field).unwrap()
}

#[test]
fn the_first_frame_of_a_day_needs_two_pages_at_most() {
    for (properties, pages) in
        [(format!("start-timestamp={}", seconds(START_MS + 50_000_000)), 1), ("start-selector=earliest".to_owned(), 2)]
    {
        let emulator = serve(Emulator::builder(), DAY);
        // Nothing that is listed behind those pages is ever answered.
        let hang = Fault::HangRequest { operation: Operation::ListFragments };
        emulator.set_fault(STREAM, hang, Repeat::Nth(pages + 1));
        let source = format!("{} playback-mode=on-demand {properties}", source_for_ever(&emulator));
        let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
        let sink = pipeline.sink(AUDIO);
        pipeline.play();
        // Well before the list is asked for again, which is after 30 s.
        let soon = gst::ClockTime::from_seconds(20);
        assert!(sink.try_pull_sample(soon).is_some(), "no frame within {pages} pages: {properties}");
    }
}

/// Pulls frames, and holds what has been read against what has been taken before each; the most that was ever ahead.
fn ahead(pipeline: &Pipeline, sink: &gst_app::AppSink, frames: Range<u64>, fragment: u64, bound: u64) -> u64 {
    let mut most = 0;
    for frame in frames {
        let ahead = stats(pipeline, "bytes").saturating_sub(frame / FRAMES * fragment);
        assert!(ahead <= bound, "{ahead} bytes are read ahead before frame {frame}");
        most = most.max(ahead);
        sink.try_pull_sample(PATIENCE).expect("a frame");
    }
    most
}

#[test]
fn a_slow_pipeline_is_read_ahead_of_by_no_more_than_told() {
    const FRAME: usize = 4000;
    const FRAGMENT: u64 = FRAME as u64 * FRAMES;
    const LIMIT: u64 = 2_000_000;
    let emulator = heavy(5000, FRAME);
    for connections in [1, 5] {
        let before = emulator.bytes_sent();
        let source = format!("{} max-buffered-bytes={LIMIT} connections={connections}", range(&emulator, 0, 8_000_000));
        let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false max-buffers=1"));
        let sink = pipeline.sink(AUDIO);
        pipeline.play();
        // The fragment at hand and those of the sink, and of each connection the piece that fills what is allowed, which
        // is half a megabyte at most; who has the fragment that is waited for may read it to its end.
        let bound = LIMIT + 4 * FRAGMENT + connections * 500_000;
        let most = ahead(&pipeline, &sink, 0..100 * FRAMES, FRAGMENT, bound);
        assert!(most >= LIMIT, "{connections} connections read only {most} bytes ahead");
        // A paused pipeline takes nothing, so that nothing more comes than what is allowed, and what sockets hold.
        let _ = pipeline.set_state(gst::State::Paused);
        wait_until("all that is allowed has come", || stats(&pipeline, "bytes") >= 98 * FRAGMENT + LIMIT);
        let sent = emulator.bytes_sent() - before;
        assert!(sent < 101 * FRAGMENT + LIMIT + connections * 20_000_000, "{sent} bytes were sent");
    }
}

#[test]
fn a_slow_connection_neither_stops_the_others_before_the_bound_nor_goes_past_it() {
    const FRAME: usize = 4000;
    const FRAGMENT: u64 = FRAME as u64 * FRAMES;
    const LIMIT: u64 = 3_000_000;
    let emulator = heavy(1000, FRAME);
    let get = Operation::GetMediaForFragmentList;
    emulator.set_fault_on(STREAM, get, Fault::Slow { bytes_per_second: 100_000 }, Repeat::Nth(3));
    let source = format!("{} max-buffered-bytes={LIMIT} connections=5", range(&emulator, 0, 1_000_000));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false max-buffers=1"));
    let sink = pipeline.sink(AUDIO);
    pipeline.play();
    let bound = LIMIT + 4 * FRAGMENT + 5 * 500_000;
    // Two fragments come of the first call, and then one of five is slow.
    ahead(&pipeline, &sink, 0..2 * FRAMES, FRAGMENT, bound);
    wait_until("the others read ahead", || stats(&pipeline, "bytes") >= 2 * FRAGMENT + LIMIT);
    let most = ahead(&pipeline, &sink, 2 * FRAMES..12 * FRAMES, FRAGMENT, bound);
    assert!(most >= LIMIT, "{most}");
    let fast = emulator.requests().iter().filter(|request| request.operation == get).count();
    assert!(fast >= 5, "{fast} calls");
}

#[test]
fn a_body_that_leaves_out_what_is_waited_for_is_not_read_past_the_bound() {
    const FRAME: usize = 4000;
    const FRAGMENT: u64 = FRAME as u64 * FRAMES;
    const LIMIT: u64 = 2_000_000;
    let emulator = heavy(1000, FRAME);
    for connections in [1, 5] {
        let get = Operation::GetMediaForFragmentList;
        emulator.set_fault_on(STREAM, get, Fault::LeftOutFragment(3), Repeat::Nth(1));
        emulator.set_fault_on(STREAM, get, Fault::LeftOutFragment(3), Repeat::Nth(2));
        let source = format!("{} max-buffered-bytes={LIMIT} connections={connections}", range(&emulator, 0, 280_000));
        let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false max-buffers=1"));
        let sink = pipeline.sink(AUDIO);
        pipeline.play();
        let bound = LIMIT + 4 * FRAGMENT + connections * 500_000;
        ahead(&pipeline, &sink, 0..140 * FRAMES, FRAGMENT, bound);
        assert!(sink.try_pull_sample(PATIENCE).is_none(), "the end");
        emulator.clear_faults(STREAM);
    }
}

/// gst-launch, stopped where a test fails.
struct Launched(Child);

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most memory that gst-launch ever had resident, in KiB, from its start to its end.
fn peak(emulator: &Emulator, line: &str) -> u64 {
    let mut launch = command("gst-launch-1.0", emulator);
    launch.arg("-q").args(line.split_whitespace()).stdout(Stdio::null());
    let mut child = Launched(launch.spawn().unwrap());
    let status = format!("/proc/{}/status", child.0.id());
    let mut peak = 0;
    loop {
        // proc(5): VmHWM is the peak so far; it is gone when the process is.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
        if let Some(ended) = child.0.try_wait().unwrap() {
            assert!(ended.success(), "{ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn line(from: u64, to: u64, more: &str) -> String {
    let (from, to) = (seconds(START_MS + from), seconds(START_MS + to));
    format!(
        "kvssrc stream={STREAM} playback-mode=on-demand connections=5 start-timestamp={from} end-timestamp={to} ! {more}"
    )
}

/// What is allowed beside what the same process needs to read a fragment.
const ALLOWED: u64 = 64 * 1024;

#[test]
fn a_whole_day_is_read_in_little_memory() {
    let emulator = serve(Emulator::builder(), DAY);
    let idle = peak(&emulator, &line(0, 1000, "fakesink"));
    let day = peak(&emulator, &line(0, DAY * LENGTH, "fakesink"));
    println!("a day of small fragments: {idle} KiB idle, {day} KiB at its peak");
    assert!(idle > 0 && day < idle + ALLOWED, "{idle} KiB idle, {day} KiB");
}

#[test]
fn large_fragments_of_a_day_are_read_in_little_memory() {
    let emulator = heavy(DAY, 30_000);
    let idle = peak(&emulator, &line(0, 1, "fakesink"));
    // As fast as it goes, and ahead of a sink that takes a frame every other millisecond.
    for (fragments, sink) in [(300, "fakesink"), (60, "identity sleep-time=2000 ! fakesink")] {
        let peak = peak(&emulator, &line(0, fragments * LENGTH, sink));
        println!("{fragments} fragments of 1.5 MB: {idle} KiB idle, {peak} KiB at the peak, into {sink}");
        assert!(idle > 0 && peak < idle + ALLOWED, "{idle} KiB idle, {peak} KiB");
    }
}
