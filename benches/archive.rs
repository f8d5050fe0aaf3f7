//! A range of the archive over 1, 3 and 5 connections, beside GetMedia and boto3, at the service's 25 MB/s a connection.
//!
//!     cargo bench --bench archive [-- MEGABYTES [PYTHON]]
//!
//! The emulator is a process of its own, so that the CPU time is that of the reader alone: pipelines that end in fakesink,
//! and `archive.py` in a thread pool that writes to disk. PYTHON, or `KVS_PYTHON`, is an interpreter that has boto3;
//! without one that row is left out. Megabytes: 600, in fragments of 1.5 MB. Of each row the best of three rounds counts,
//! since other work on the machine only ever makes it slower.
//!
//! Ends with an error where 5 connections are not 4.7 times as fast as one, or take more than 1.3 times the CPU time of a
//! sequential read.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, header};
use kvs_emulator::{Emulator, Limits, LongStream};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

const STREAM: &str = "X";
/// 2026-01-05T10:00:00Z, in s.
const START: u64 = 1_767_607_200;
/// Seconds a fragment, and its frames.
const LENGTH: u64 = 2;
const FRAMES: u64 = 50;
const FRAME: usize = 30_000;
/// Bytes a second of a connection.
const RATE: u64 = 25_000_000;
const ROUNDS: usize = 3;
/// What the other process's arguments begin with.
const SERVER: &str = "--server";

const FASTER: f64 = 4.7;
const DEARER: f64 = 1.3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse::<u64>().ok());
    if arguments.first().is_some_and(|argument| argument == SERVER) {
        serve(number(1).unwrap_or(1));
        return ExitCode::SUCCESS;
    }
    let fragments = number(0).unwrap_or(600) * 1_000_000 / (FRAMES * FRAME as u64);
    let python = arguments.get(1).cloned().or_else(|| std::env::var("KVS_PYTHON").ok());
    match measure(fragments.max(1), python.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("archive: FAILED: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Serves so many fragments, and some behind them; says on standard output where, and ends with its input.
fn serve(fragments: u64) {
    let payload = vec![0xA5; FRAME];
    let between = LENGTH * 1000 / FRAMES;
    let block = |cluster: Cluster, frame| cluster.simple_block(1, (frame * between) as i16, true, &payload);
    let media = (0..FRAMES).fold(Cluster::new(0), block).bytes();
    let recording = [header(1_000_000, &[TrackEntry::alaw(1, 8000)]), media].concat();

    let emulator = Emulator::builder().rate(RATE).limits(Limits::default()).start().expect("an emulator");
    let long = LongStream::new(recording).expect("a recording").length(LENGTH * 1000).start(START * 1000);
    emulator.put_long_stream(STREAM, long.fragments(fragments + 10)).expect("a stream");
    println!("{} {} {} {}", emulator.region(), emulator.url(), emulator.access_key(), emulator.secret_key());
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// The other process; ends with this one.
struct Server {
    child: Child,
    region: String,
    url: String,
    access_key: String,
    secret_key: String,
}

impl Server {
    fn start(fragments: u64) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args([SERVER, &fragments.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        let [region, url, access_key, secret_key] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("the server says {line}"));
        };
        let (region, url) = (region.to_owned(), url.to_owned());
        Ok(Self { child, region, url, access_key: access_key.to_owned(), secret_key: secret_key.to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a row took: by the clock, and of the processors.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

impl Cost {
    /// The least of each.
    fn best(costs: &[Self]) -> Option<Self> {
        let wall = costs.iter().map(|cost| cost.wall).min()?;
        let cpu = costs.iter().map(|cost| cost.cpu).min()?;
        Some(Self { wall, cpu })
    }
}

/// Runs something and takes the time, its own of the processors or that of the processes it waits for.
fn timed(who: UsageWho, run: impl FnOnce() -> Result<(), String>) -> Result<Cost, String> {
    let used = || getrusage(who).map(|usage| duration(usage.user_time()) + duration(usage.system_time()));
    let before = used().map_err(|error| error.to_string())?;
    let begin = Instant::now();
    run()?;
    let wall = begin.elapsed();
    Ok(Cost { wall, cpu: used().map_err(|error| error.to_string())?.saturating_sub(before) })
}

fn duration(time: TimeVal) -> Duration {
    Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64)
}

#[derive(Clone, Copy, PartialEq)]
enum Row {
    Connections(u32),
    GetMedia,
    Boto3,
}

impl std::fmt::Display for Row {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Connections(1) => "1 connection".to_owned(),
            Self::Connections(count) => format!("{count} connections"),
            Self::GetMedia => "GetMedia".to_owned(),
            Self::Boto3 => "boto3, 5 threads, to disk".to_owned(),
        };
        formatter.pad(&text)
    }
}

fn measure(fragments: u64, python: Option<&str>) -> Result<(), String> {
    gst::init().map_err(|error| error.to_string())?;
    gstkvs::plugin_register_static().map_err(|error| error.to_string())?;
    let server = Server::start(fragments)?;
    let bytes = fragments * FRAMES * FRAME as u64;
    println!("archive: {} MB, {} MB/s a connection", bytes / 1_000_000, RATE / 1_000_000);
    // Endpoints, threads and the like are not counted.
    read(&server, 10, Row::Connections(1))?;
    read(&server, 10, Row::GetMedia)?;

    let mut rows = vec![Row::Connections(1), Row::Connections(3), Row::Connections(5), Row::GetMedia];
    match python {
        Some(_) => rows.push(Row::Boto3),
        None => println!("archive: no boto3: an interpreter that has it goes into KVS_PYTHON"),
    }
    let mut costs = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for (row, costs) in rows.iter().zip(&mut costs) {
            costs.push(match row {
                Row::Boto3 => download(&server, fragments, python.unwrap_or_default())?,
                row => timed(UsageWho::RUSAGE_SELF, || read(&server, fragments, *row))?,
            });
        }
    }
    let best: Vec<(Row, Cost)> =
        rows.iter().zip(&costs).filter_map(|(row, costs)| Some((*row, Cost::best(costs)?))).collect();
    for (row, cost) in &best {
        let seconds = cost.wall.as_secs_f64();
        println!(
            "{row:<26} {seconds:>7.2} s {:>7.1} MB/s, CPU {:>6.2} s, {:>5.2} ns a byte",
            bytes as f64 / seconds / 1e6,
            cost.cpu.as_secs_f64(),
            cost.cpu.as_nanos() as f64 / bytes as f64
        );
    }
    let of = |wanted: Row| best.iter().find(|(row, _)| *row == wanted).map(|(_, cost)| *cost).ok_or("no such row");
    let (one, five, sequential) = (of(Row::Connections(1))?, of(Row::Connections(5))?, of(Row::GetMedia)?);
    let faster = one.wall.as_secs_f64() / five.wall.as_secs_f64();
    let dearer = |than: Cost| five.cpu.as_secs_f64() / than.cpu.as_secs_f64();
    println!(
        "archive: 5 connections are {faster:.2} times as fast as one, for {:.2} times its CPU time and {:.2} times that \
         of GetMedia",
        dearer(one),
        dearer(sequential)
    );
    if faster < FASTER {
        return Err(format!("5 connections should be {FASTER} times as fast as one"));
    }
    if dearer(one).max(dearer(sequential)) > DEARER {
        return Err(format!("5 connections should take at most {DEARER} times the CPU time of a sequential read"));
    }
    Ok(())
}

/// Reads the first so many fragments, all of which must come.
fn read(server: &Server, fragments: u64, row: Row) -> Result<(), String> {
    let Server { region, url, access_key, secret_key, .. } = server;
    let mode = match row {
        Row::Connections(count) => format!("playback-mode=on-demand connections={count}"),
        Row::GetMedia | Row::Boto3 => String::new(),
    };
    let description = format!(
        "kvssrc stream={STREAM} aws-region={region} endpoint-url={url} access-key={access_key} secret-key={secret_key} \
         {mode} start-timestamp={START} end-timestamp={} ! audio/x-alaw ! fakesink name=sink sync=false",
        START + fragments * LENGTH
    );
    let pipeline = gst::parse::launch(&description).map_err(|error| error.to_string())?;
    let pipeline = Playing(pipeline.downcast().map_err(|_| "no pipeline")?);
    let came = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&came);
    let pad = pipeline.0.by_name("sink").and_then(|sink| sink.static_pad("sink")).ok_or("no pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        count.fetch_add(info.buffer().map_or(0, |buffer| buffer.size() as u64), Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    pipeline.0.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
    let types = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Warning];
    let message = pipeline.0.bus().and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(600), &types));
    match message {
        Some(message) if message.type_() == gst::MessageType::Eos => {}
        other => return Err(format!("{row}: {other:?}")),
    }
    let (came, wanted) = (came.load(Ordering::Relaxed), fragments * FRAMES * FRAME as u64);
    if came == wanted { Ok(()) } else { Err(format!("{row}: {came} bytes came of {wanted}")) }
}

/// A pipeline that is stopped where it is dropped.
struct Playing(gst::Pipeline);

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn download(server: &Server, fragments: u64, python: &str) -> Result<Cost, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let Server { region, url, access_key, secret_key, .. } = server;
    // The last moment that belongs to the range, as ListFragments has it.
    let (start, end) = (START.to_string(), format!("{}.999", START + fragments * LENGTH - 1));
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/archive.py"));
    command.args([url, region, access_key, secret_key, STREAM, &start, &end, "5"]).arg(folder.path());
    let mut written = 0;
    let cost = timed(UsageWho::RUSAGE_CHILDREN, || {
        let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{python}: {error}"))?;
        written = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().unwrap_or(0);
        if output.status.success() { Ok(()) } else { Err(format!("{python}: {}", output.status)) }
    })?;
    let wanted = fragments * FRAMES * FRAME as u64;
    if written > wanted { Ok(cost) } else { Err(format!("boto3: {written} bytes came of {wanted}")) }
}
