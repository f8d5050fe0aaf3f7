//! Months in half an hour: a source that is disturbed every few seconds loses nothing, and does not grow.
//!
//!     cargo bench --bench soak [-- SECONDS [SEED [producer]]]
//!
//! A camera in a process of its own makes 50 frames a second, each of other size and bytes. Every connection to it meets
//! a fault drawn at random: cut anywhere, stalled, ended, error tags, failing and throttled calls, no answer, other
//! endpoint. Two pipelines read it, one frames and one a container through matroskademux; every frame must come once, in
//! order, with its bytes. Memory (RSS) may not grow by more than 5 % from the first tenth to the last, and no file
//! descriptor may be left over. Seconds: 1800. The seed is printed, so that a run can be had again.
//!
//! With `producer`, the camera's own connection is what breaks, every few seconds and in the middle of a fragment. The
//! service keeps what came of that or throws it away; the camera comes back up to two seconds later, and sends the fragment
//! again from its beginning, under a new number, or goes on in another one. At times the readers' connections break with it.
//! Both pipelines are live then, and what is shown at the end may not be later than at the beginning by a fragment.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, Fault, NewFragment, OpenFragment, Operation, Repeat};

const STREAM: &str = "X";
/// Time between two frames.
const BETWEEN: Duration = Duration::from_millis(20);
/// Frames of a fragment.
const FRAGMENT: u64 = 50;
/// How long the service keeps them.
const RETENTION: Duration = Duration::from_secs(300);
/// What a camera's arguments begin with.
const CAMERA: &str = "--camera";
/// The argument by which the producer is what breaks.
const PRODUCER: &str = "producer";
const GROWTH: f64 = 1.05;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse::<u64>().ok());
    let is_producer = arguments.get(2).is_some_and(|argument| argument == PRODUCER);
    if arguments.first().is_some_and(|argument| argument == CAMERA) {
        camera(number(1).unwrap_or_default(), is_producer);
        return ExitCode::SUCCESS;
    }
    let seconds = number(0).unwrap_or(1800);
    let seed = number(1).unwrap_or_else(|| fastrand::u64(..));
    println!("soak: {seconds} s, seed {seed}");
    match soak(Duration::from_secs(seconds), seed, is_producer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("soak: FAILED with seed {seed}: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// The bytes of a frame: its number, and what follows from that.
fn frame(index: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(index);
    let mut bytes = index.to_be_bytes().to_vec();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(200 + index as usize % 7919));
    bytes
}

/// Makes frames for ever, and faults; says on standard output where it is to be found.
fn camera(seed: u64, is_producer: bool) {
    let emulator = Emulator::builder().start().expect("an emulator");
    emulator.create_stream(STREAM).expect("a stream");
    emulator.set_retention(STREAM, Some(RETENTION)).expect("a stream");
    println!("{} {} {} {}", emulator.region(), emulator.url(), emulator.access_key(), emulator.secret_key());

    let mut random = fastrand::Rng::with_seed(seed);
    if !is_producer {
        // More than there are readers, so that none goes undisturbed.
        for _ in 0..4 {
            emulator.set_fault(STREAM, Fault::CutAfter(random.u64(..2_000_000)), Repeat::Once);
        }
    }
    let mut answered = 0;
    let mut uplink = Uplink::new(&emulator);
    let begin = Instant::now();
    for index in 0.. {
        std::thread::sleep((begin + BETWEEN * index as u32).saturating_duration_since(Instant::now()));
        if is_producer && random.u8(..) == 0 {
            uplink.interrupt(index, &mut random);
        }
        uplink.send(index);
        let requests = emulator.requests().len();
        // One for each that was used up.
        for _ in answered..requests {
            for fault in faults(&mut random).into_iter().filter(|_| !is_producer) {
                emulator.set_fault(STREAM, fault, Repeat::Once);
            }
        }
        answered = requests;
    }
}

/// The camera's connection.
struct Uplink<'a> {
    emulator: &'a Emulator,
    open: Option<OpenFragment>,
    /// The first frame of the fragment at hand.
    first: u64,
    /// When frame 0 was made, in ms since 1970.
    begin: u64,
}

impl<'a> Uplink<'a> {
    fn new(emulator: &'a Emulator) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        Self { emulator, open: None, first: 0, begin: now.as_millis() as u64 }
    }

    /// Sends a frame, in a new fragment where there is none, or it is full.
    fn send(&mut self, index: u64) {
        let between = BETWEEN.as_millis() as u64;
        if self.open.is_none() || index - self.first >= FRAGMENT {
            drop(self.open.take().map(OpenFragment::finish));
            self.first = index;
            let media = Cluster::new(index * between).unknown_size().bytes();
            let producer_timestamp = Some(self.begin + index * between);
            let new = NewFragment { header: alaw(), media, producer_timestamp, ..NewFragment::default() };
            self.open = Some(self.emulator.open_fragment(STREAM, new).expect("a fragment"));
        }
        let cluster = Cluster::new(self.first * between).unknown_size();
        let head = cluster.bytes().len();
        let relative = ((index - self.first) * between) as i16;
        let block = cluster.simple_block(1, relative, true, &frame(index)).bytes().slice(head..);
        if let Some(open) = &mut self.open {
            open.write(block);
        }
    }

    /// Loses the connection before the frame `index`, and comes back.
    fn interrupt(&mut self, index: u64, random: &mut fastrand::Rng) {
        let Some(open) = self.open.take() else { return };
        let first = self.first;
        let kept = random.bool();
        if kept {
            open.finish();
        } else {
            drop(open);
        }
        if random.u8(..4) == 0 {
            self.emulator.cut_readers(STREAM).expect("a stream");
        }
        std::thread::sleep(Duration::from_millis(random.u64(..2000)));
        if !kept || random.bool() {
            (first..index).for_each(|index| self.send(index));
        }
    }
}

/// For the next call of GetMedia, and at times for a call of GetDataEndpoint before it.
fn faults(random: &mut fastrand::Rng) -> Vec<Fault> {
    let errors = [
        (500, "InternalFailure"),
        (503, "ServiceUnavailable"),
        (400, "ClientLimitExceededException"),
        (400, "ConnectionLimitExceededException"),
        (400, "ThrottlingException"),
    ];
    let (status, kind) = errors[random.usize(..errors.len())];
    let moved = Fault::http(Operation::GetMedia, 400, "InvalidEndpointException", "elsewhere");
    match random.u8(..12) {
        0..4 => vec![Fault::CutAfter(random.u64(..2_000_000))],
        4 => vec![Fault::StallAfter(random.u64(..1_000_000))],
        5 => vec![Fault::EndAfterFragments(random.u64(1..8))],
        6 => vec![Fault::BodyErrorTag { code: "InternalError".to_owned(), id: 5000, after: random.u64(..5) }],
        7 => vec![Fault::HangRequest { operation: Operation::GetMedia }],
        8 => vec![moved],
        9 => vec![moved, Fault::HangRequest { operation: Operation::GetDataEndpoint }],
        10 => vec![moved, Fault::http(Operation::GetDataEndpoint, status, kind, "later")],
        _ => vec![Fault::http(Operation::GetMedia, status, kind, "later")],
    }
}

fn alaw() -> bytes::Bytes {
    header(1_000_000, &[TrackEntry::alaw(1, 8000)])
}

/// What one pipeline has seen.
#[derive(Default)]
struct Seen {
    /// The next frame.
    next: AtomicU64,
    wrong: Mutex<Option<String>>,
    /// By how many ns the first frame and the last one are presented after they were made, but for when that began.
    first: AtomicU64,
    last: AtomicU64,
}

impl Seen {
    fn check(&self, bytes: &[u8], pts: Option<gst::ClockTime>) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let made = BETWEEN.as_nanos() as u64 * next;
        let later = pts.map_or(0, |pts| pts.nseconds().saturating_sub(made));
        if next == 0 {
            self.first.store(later, Ordering::Relaxed);
        }
        self.last.store(later, Ordering::Relaxed);
        if bytes != frame(next) {
            let came = bytes.first_chunk().map(|index| u64::from_be_bytes(*index));
            let reason = format!("frame {next} was to come, and {came:?} of {} bytes did", bytes.len());
            self.wrong.lock().expect("no panic").get_or_insert(reason);
        }
    }
}

/// One pipeline; stopped also where another one fails.
struct Reading {
    pipeline: gst::Pipeline,
    seen: Arc<Seen>,
    faults: u64,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The other process; ends with this one.
struct Camera(Child);

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn soak(length: Duration, seed: u64, is_producer: bool) -> Result<(), String> {
    gst::init().map_err(|error| error.to_string())?;
    gstkvs::plugin_register_static().map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let variant = if is_producer { PRODUCER } else { "" };
    let child = Command::new(program).args([CAMERA, &seed.to_string(), variant]).stdout(Stdio::piped()).spawn();
    let mut camera = Camera(child.map_err(|error| error.to_string())?);
    let mut address = String::new();
    let output = camera.0.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut address).map_err(|error| error.to_string())?;
    let [region, url, access_key, secret_key] = address.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("the camera says {address}"));
    };

    let source = format!(
        "kvssrc name=source stream={STREAM} aws-region={region} endpoint-url={url} access-key={access_key} \
         secret-key={secret_key} start-selector=earliest read-timeout={} is-live={is_producer}",
        // A camera that is away is silent.
        if is_producer { 10_000 } else { 1000 }
    );
    let mut readings = Vec::new();
    for middle in ["audio/x-alaw", "audio/x-matroska ! matroskademux"] {
        let description = format!("{source} ! {middle} ! fakesink name=sink sync=false");
        let pipeline = gst::parse::launch(&description).map_err(|error| error.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let seen = Arc::new(Seen::default());
        let checked = Arc::clone(&seen);
        let pad = pipeline.by_name("sink").and_then(|sink| sink.static_pad("sink")).ok_or("no pad")?;
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer()
                && let Ok(map) = buffer.map_readable()
            {
                checked.check(&map, buffer.pts());
            }
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
        readings.push(Reading { pipeline, seen, faults: 0 });
    }

    let begin = Instant::now();
    let (mut memory, mut open) = (Vec::new(), Vec::new());
    let mut told = 0;
    while begin.elapsed() < length {
        std::thread::sleep(Duration::from_secs(1));
        memory.push(resident());
        open.push(descriptors());
        for reading in &mut readings {
            let bus = reading.pipeline.bus().ok_or("no bus")?;
            while let Some(message) = bus.pop() {
                match message.view() {
                    gst::MessageView::Error(error) => return Err(format!("{}: {:?}", error.error(), error.debug())),
                    gst::MessageView::Warning(warning) => return Err(warning.error().to_string()),
                    gst::MessageView::Eos(_) => return Err("the stream ended".to_owned()),
                    gst::MessageView::Element(element) => {
                        let state = element.structure().and_then(|structure| structure.get::<&str>("state").ok());
                        reading.faults += u64::from(state == Some("reconnecting"));
                    }
                    _ => {}
                }
            }
            if let Some(wrong) = reading.seen.wrong.lock().expect("no panic").take() {
                return Err(wrong);
            }
        }
        let minutes = begin.elapsed().as_secs() / 60;
        if minutes > told {
            told = minutes;
            let states: Vec<_> =
                readings.iter().map(|reading| (reading.seen.next.load(Ordering::Relaxed), reading.faults)).collect();
            println!("soak: {minutes} min, (frames, faults) {states:?}, {} KiB", resident());
        }
    }
    for Reading { pipeline, seen, faults } in &readings {
        let frames = seen.next.load(Ordering::Relaxed);
        println!("soak: {frames} frames, {faults} faults");
        let [first, last] = [&seen.first, &seen.last].map(|later| Duration::from_nanos(later.load(Ordering::Relaxed)));
        if is_producer && last >= first + BETWEEN * FRAGMENT as u32 {
            return Err(format!("frames are shown {:?} later than at first", last - first));
        }
        if frames * 10 < length.as_millis() as u64 / BETWEEN.as_millis() as u64 * 8 || *faults == 0 {
            return Err(format!("only {frames} frames came, with {faults} faults"));
        }
        pipeline.set_state(gst::State::Null).map_err(|error| error.to_string())?;
    }
    drop(readings);

    let tenth = memory.len() / 10;
    let settled = median(&memory[tenth..2 * tenth]);
    let end = median(&memory[memory.len() - tenth..]);
    println!("soak: resident memory {settled} KiB after a tenth, {end} KiB at the end");
    if end as f64 > settled as f64 * GROWTH {
        return Err("memory grew".to_owned());
    }
    let most = |part: &[usize]| part.iter().copied().max().unwrap_or(0);
    let (settled, end) = (most(&open[tenth..2 * tenth]), most(&open[open.len() - tenth..]));
    println!("soak: at most {settled} descriptors after a tenth, {end} at the end, {} stopped", descriptors());
    // One more connection may be under way at one moment than at another.
    if end > settled + 2 {
        return Err("descriptors are left over".to_owned());
    }
    Ok(())
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Of this process, in KiB (proc(5), status).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
