//! Downloads what a stream has stored, as MP4 or Matroska, into a file or into S3.
//!
//! ```text
//! cargo run --release --example download -- \
//!     --stream X --start 2026-01-05T10:00:00Z --end 2026-01-05T11:00:00Z --checkpoint X.checkpoint -o hour.mp4
//! ```
//!
//! A range that has a start and an end, and no checkpoint, is read from the archive over several connections, with an exact
//! percentage. Frames are copied as they are, from the keyframe on that the start lies behind, or encoded anew with
//! `--transcode`, from the start on. Ctrl-C leaves a file that plays, and says
//! how to go on. Credentials, region and endpoint come from where the AWS tools read them, or by `--set NAME=VALUE`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Parser;
use gst::prelude::*;
use gstkvs::FragmentMeta;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a file may take to be finished once its end is known.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the figures.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(200);
/// Between two lines where there is no terminal to draw a bar on.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// What a track may be ahead of another before it waits, in bytes.
const MAX_QUEUED_BYTES: u32 = 256 << 20;

const H264_ENCODERS: [(&str, &str); 2] = [
    ("x264enc", "x264enc speed-preset=veryfast ! video/x-h264,profile=high"),
    ("openh264enc", "openh264enc ! video/x-h264,profile=main"),
];
const AAC_ENCODERS: [(&str, &str); 3] =
    [("avenc_aac", "avenc_aac"), ("fdkaacenc", "fdkaacenc"), ("voaacenc", "voaacenc")];

/// Downloads what a Kinesis Video stream has stored.
#[derive(Debug, Parser)]
struct Arguments {
    /// Name or ARN of the stream.
    #[arg(long)]
    stream: String,
    /// Where to begin: RFC 3339, or seconds since 1970 [default: the oldest that is stored].
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Where to end [default: now]. One in the future is waited for.
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Where to write: FILE.mp4, FILE.mkv or s3://BUCKET/KEY.mp4 or .mkv.
    #[arg(short, long)]
    output: Output,
    /// Replace the file if it is there.
    #[arg(long)]
    overwrite: bool,
    /// File that remembers how far this came; where it is there, go on behind that.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// How many connections read a range that has a start, an end that has passed, and no checkpoint, 1 to 5 [default: 3].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=5))]
    connections: Option<u32>,
    /// Encode as H.264 and AAC, instead of copying the frames as they are.
    #[arg(long)]
    transcode: bool,
    /// Set a property of kvssrc, such as aws-region=eu-west-1 or profile=work.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Setting>,
}

#[derive(Clone, Debug)]
struct Setting(String, String);

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// Where the media goes, and in which container.
#[derive(Clone, Debug)]
struct Output {
    place: Place,
    container: Container,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    S3 { bucket: String, key: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Mp4,
    Matroska,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let container = match Path::new(text).extension().and_then(|extension| extension.to_str()) {
            Some("mp4" | "m4v" | "m4a") => Container::Mp4,
            Some("mkv" | "mka") => Container::Matroska,
            _ => return Err("the name must end in .mp4 or .mkv".to_owned()),
        };
        let place = match text.strip_prefix("s3://") {
            None => Place::File(text.into()),
            Some(rest) => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    Place::S3 { bucket: bucket.to_owned(), key: key.to_owned() }
                }
                _ => return Err("s3://BUCKET/KEY is wanted".to_owned()),
            },
        };
        Ok(Self { place, container })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(formatter, "{}", path.display()),
            Place::S3 { bucket, key } => write!(formatter, "s3://{bucket}/{key}"),
        }
    }
}

impl Output {
    /// The name with a number before its extension, or with the next one: a.mp4, a-2.mp4, a-3.mp4.
    fn next(&self) -> String {
        let text = self.to_string();
        let (stem, extension) = text.rsplit_once('.').unwrap_or((&text, ""));
        let numbered = stem.rsplit_once('-').and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
        let (stem, number) = numbered.filter(|(_, number)| *number < 1000).unwrap_or((stem, 1));
        format!("{stem}-{}.{extension}", number.saturating_add(1))
    }

    /// Muxer and sink.
    fn elements(&self, overwrite: bool) -> anyhow::Result<(gst::Element, gst::Element)> {
        let sink = match &self.place {
            Place::File(path) => {
                if path.exists() && !overwrite {
                    bail!("{self} is already there; take another name, or --overwrite");
                }
                make("filesink")?.set("location", path.display().to_string())
            }
            Place::S3 { bucket, key } => {
                if gst::ElementFactory::find("awss3sink").is_none() {
                    bail!(
                        "{self} needs the element awss3sink, which is not installed. It is in the plugin aws of \
                         gst-plugins-rs (https://gitlab.freedesktop.org/gstreamer/gst-plugins-rs). Without it: \
                         download to a file, then `aws s3 cp FILE {self}`"
                    );
                }
                let sink = make("awss3sink")?.set("bucket", bucket.as_str()).set("key", key.as_str());
                match std::env::var("AWS_REGION") {
                    Ok(region) => sink.set("region", region),
                    Err(_) => sink,
                }
            }
        };
        let s3 = matches!(self.place, Place::S3 { .. });
        let muxer = match self.container {
            // What is in S3 cannot be gone back to: an MP4 in fragments, and a Matroska file without an index.
            Container::Mp4 if s3 => make("mp4mux")?.set("fragment-duration", 2000_u32).set("streamable", true),
            Container::Mp4 => make("mp4mux")?,
            Container::Matroska => make("matroskamux")?.set("streamable", s3),
        };
        Ok((muxer.build()?, sink.build()?))
    }
}

/// An element in the making; a missing one is named.
struct Making<'a>(gst::element_factory::ElementBuilder<'a>, &'a str);

fn make(name: &str) -> anyhow::Result<Making<'_>> {
    if gst::ElementFactory::find(name).is_none() {
        bail!("the GStreamer element {name} is not installed");
    }
    Ok(Making(gst::ElementFactory::make(name), name))
}

impl<'a> Making<'a> {
    fn set(self, name: &'a str, value: impl Into<gst::glib::Value> + 'a) -> Self {
        Self(self.0.property(name, value), self.1)
    }

    fn build(self) -> anyhow::Result<gst::Element> {
        self.0.build().with_context(|| format!("making {}", self.1))
    }
}

/// What has come so far.
#[derive(Clone, Debug, Default)]
struct Figures {
    bytes: u64,
    frames: u64,
    /// Capture times of the first and of the latest frame, in ns since 1970.
    captured: Option<(u64, u64)>,
    /// When the producer began the fragment of the latest frame, in ns since 1970.
    fragment: Option<u64>,
}

impl Figures {
    /// How much of the stream's time it is.
    fn media(&self) -> Duration {
        self.captured.map_or(Duration::ZERO, |(first, last)| Duration::from_nanos(last.saturating_sub(first)))
    }

    /// Takes a frame into account.
    fn count(&mut self, frame: &gst::BufferRef) {
        if frame.flags().contains(gst::BufferFlags::HEADER) && frame.pts().is_none() {
            return;
        }
        self.frames += 1;
        if let Some(time) = frame.meta::<gst::ReferenceTimestampMeta>().map(|meta| meta.timestamp().nseconds()) {
            let (first, last) = self.captured.unwrap_or((time, time));
            self.captured = Some((first.min(time), last.max(time)));
        }
        if let Some(time) = FragmentMeta::of(frame).and_then(|meta| meta.producer_timestamp()) {
            self.fragment = Some(time.nseconds());
        }
    }
}

type SharedFigures = Arc<Mutex<Figures>>;

fn lock(figures: &SharedFigures) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    gst::init()?;
    gstkvs::plugin_register_static()?;
    // Fixed, so that whoever goes on later gets the rest of the same.
    let end = arguments.end.get_or_insert_with(|| rfc3339(since_1970())).clone();

    let figures = SharedFigures::default();
    let source = source(&arguments, &end)?;
    let pipeline = pipeline(&arguments, &end, &source, &figures)?;
    let bus = pipeline.bus().context("a pipeline without bus")?;
    let interrupted = bus.clone();
    ctrlc::set_handler(move || {
        let message = gst::message::Application::new(gst::Structure::new_empty("interrupted"));
        // Fails only where the bus is being shut down already.
        let _ = interrupted.post(message);
    })?;

    let begin = Instant::now();
    // A source that cannot start tells why on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    let mut progress = Progress::new(is_bounded(&arguments, &end).then_some(source), nanoseconds(&end), begin);
    let ended = follow(&pipeline, &bus, &figures, &mut progress);
    drop(progress);
    pipeline.set_state(gst::State::Null)?;

    let figures = lock(&figures).clone();
    if figures.frames == 0 {
        remove_empty(&arguments.output);
        ended?;
        bail!("stopped before the first frame");
    }
    println!("{}: {}", arguments.output, summary(&figures, begin));
    let stopped = match ended {
        Ok(Ended::All) => return Ok(()),
        Ok(Ended::Interrupted) => None,
        Err(error) => Some(error),
    };
    eprintln!(
        "To go on behind it, beginning with the fragment that is cut at its end:\n  {}",
        go_on(&arguments, &figures)
    );
    stopped.map_or(Ok(()), Err)
}

/// Whether all of the range is there, so that the archive gives it. A checkpoint goes on with what comes.
fn is_bounded(arguments: &Arguments, end: &str) -> bool {
    let is_past = nanoseconds(end).is_some_and(|end| end <= since_1970());
    arguments.start.is_some() && arguments.checkpoint.is_none() && is_past
}

fn source(arguments: &Arguments, end: &str) -> anyhow::Result<gst::Element> {
    let source = make("kvssrc")?.set("stream", arguments.stream.as_str()).set("end-timestamp", end);
    let source = match &arguments.start {
        Some(start) => source.set("start-timestamp", start.as_str()).build()?,
        None => source.build()?,
    };
    if arguments.start.is_none() {
        source.set_property_from_str("start-selector", "earliest");
    }
    if let Some(checkpoint) = &arguments.checkpoint {
        source.set_property("checkpoint-location", checkpoint.display().to_string());
    }
    if is_bounded(arguments, end) {
        source.set_property_from_str("playback-mode", "on-demand");
        if let Some(connections) = arguments.connections {
            source.set_property("connections", connections);
        }
    } else if arguments.connections.is_some() {
        bail!("--connections is for a range with --start, an --end that has passed, and no --checkpoint");
    }
    for Setting(name, value) in &arguments.set {
        if source.find_property(name).is_none() {
            bail!("kvssrc has no property {name}");
        }
        source.set_property_from_str(name, value);
    }
    Ok(source)
}

/// The source and kvsdemux, muxer and sink; each track's own elements come when it is known what it is.
fn pipeline(
    arguments: &Arguments,
    end: &str,
    source: &gst::Element,
    figures: &SharedFigures,
) -> anyhow::Result<gst::Pipeline> {
    let (muxer, sink) = arguments.output.elements(arguments.overwrite)?;
    let demuxer = make("kvsdemux")?.build()?;

    let pipeline = gst::Pipeline::new();
    pipeline.add_many([source, &demuxer, &muxer, &sink])?;
    source.link(&demuxer)?;
    muxer.link(&sink)?;

    let counted = Arc::clone(figures);
    let pad = source.static_pad("src").context("kvssrc without pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            lock(&counted).bytes += buffer.size() as u64;
        }
        gst::PadProbeReturn::Ok
    });
    let (transcode, figures) = (arguments.transcode, Arc::clone(figures));
    let begins_with_keyframe = is_bounded(arguments, end) && !transcode;
    let weak = pipeline.downgrade();
    demuxer.connect_pad_added(move |demuxer, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        if begins_with_keyframe {
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, keep_keyframe);
        }
        if let Err(error) = add_track(&pipeline, pad, &muxer, transcode, &figures) {
            gst::element_error!(demuxer, gst::StreamError::Format, ("{error:#}"));
        }
    });
    Ok(pipeline)
}

/// Widens the segment by what comes before the start: frames from the keyframe on that the first one needs, which a copy
/// cannot be played without.
fn keep_keyframe(_: &gst::Pad, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
    if let Some(gst::PadProbeData::Event(event)) = &mut info.data
        && let gst::EventView::Segment(found) = event.view()
        && let Some(segment) = found.segment().downcast_ref::<gst::ClockTime>()
    {
        let mut segment = segment.clone();
        segment.set_start(gst::ClockTime::ZERO);
        segment.set_position(gst::ClockTime::ZERO);
        segment.set_time(gst::ClockTime::ZERO);
        let seqnum = event.seqnum();
        *event = gst::event::Segment::builder(&segment).seqnum(seqnum).build();
    }
    gst::PadProbeReturn::Ok
}

/// Leads a track to the muxer.
fn add_track(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    muxer: &gst::Element,
    transcode: bool,
    figures: &SharedFigures,
) -> anyhow::Result<()> {
    let caps = pad.current_caps().context("a track without caps")?;
    let format = caps.structure(0).context("a track of no format")?;
    let line = if transcode { encoding(format)? } else { parsing(format).to_owned() };
    let branch = gst::parse::bin_from_description(
        &format!(
            "queue name=in max-size-time=0 max-size-buffers=0 max-size-bytes={MAX_QUEUED_BYTES} ! {line} ! identity name=out"
        ),
        false,
    )?;
    for (element, pad) in [("in", "sink"), ("out", "src")] {
        let target =
            branch.by_name(element).and_then(|element| element.static_pad(pad)).context("a branch without end")?;
        branch.add_pad(&gst::GhostPad::builder_with_target(&target)?.name(pad).build())?;
    }
    pipeline.add(&branch)?;
    pad.link(&branch.static_pad("sink").context("a branch without sink pad")?)?;
    branch.link_pads(Some("src"), muxer, None).map_err(|_| {
        let hint = if transcode { "" } else { ", or --transcode" };
        anyhow::anyhow!("{} does not take the track {} ({format}): write .mkv{hint}", muxer.name(), pad.name())
    })?;
    let figures = Arc::clone(figures);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(frame) = info.buffer() {
            lock(&figures).count(frame);
        }
        gst::PadProbeReturn::Ok
    });
    branch.sync_state_with_parent()?;
    Ok(())
}

/// What makes of a format what muxers take.
fn parsing(format: &gst::StructureRef) -> &'static str {
    let parser = match format.name().as_str() {
        "video/x-h264" => "h264parse",
        "video/x-h265" => "h265parse",
        "video/x-av1" => "av1parse",
        "video/x-vp9" => "vp9parse",
        "audio/mpeg" if format.get("mpegversion") == Ok(1) => "mpegaudioparse",
        "audio/mpeg" => "aacparse",
        "audio/x-opus" => "opusparse",
        "audio/x-flac" => "flacparse",
        _ => "identity",
    };
    // Without its parser, a muxer may still take it.
    if gst::ElementFactory::find(parser).is_some() { parser } else { "identity" }
}

/// What decodes a format and encodes it again.
fn encoding(format: &gst::StructureRef) -> anyhow::Result<String> {
    let installed = |encoders: &[(&str, &'static str)]| {
        let found = encoders.iter().find(|(name, _)| gst::ElementFactory::find(name).is_some());
        found.map(|(_, line)| *line).with_context(|| {
            let names: Vec<&str> = encoders.iter().map(|(name, _)| *name).collect();
            format!("--transcode needs one of these elements, and none is installed: {}", names.join(", "))
        })
    };
    if format.name().starts_with("video/") || format.name().starts_with("image/") {
        let encoder = installed(&H264_ENCODERS)?;
        Ok(format!("decodebin ! videoconvert ! video/x-raw,format=I420 ! {encoder} ! h264parse"))
    } else {
        let encoder = installed(&AAC_ENCODERS)?;
        Ok(format!("decodebin ! audioconvert ! audioresample ! {encoder} ! aacparse"))
    }
}

/// How a download ended.
enum Ended {
    All,
    Interrupted,
}

/// Shows how far it is until it ends, and ends it when a user wants it to.
fn follow(
    pipeline: &gst::Pipeline,
    bus: &gst::Bus,
    figures: &SharedFigures,
    progress: &mut Progress,
) -> anyhow::Result<Ended> {
    // What ends it before its time, and until when its end is waited for.
    let mut stopping: Option<(Instant, anyhow::Result<Ended>)> = None;
    loop {
        let message = bus.timed_pop(TICK);
        let now = lock(figures).clone();
        progress.show(&now);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => {
                return stopping.map_or_else(
                    || {
                        progress.complete(&now);
                        Ok(Ended::All)
                    },
                    |(_, ended)| ended,
                );
            }
            Some(gst::MessageView::Error(error)) => {
                let source = error.src().map(|source| source.name().to_string()).unwrap_or_default();
                let error = anyhow::anyhow!("{}", error.error()).context(format!("{source} failed"));
                if now.frames == 0 || stopping.is_some() {
                    return Err(error);
                }
                // What came before is kept: whoever fails says that it ends, and the muxer finishes the file.
                pipeline.send_event(gst::event::Eos::new());
                stopping = Some((Instant::now() + PATIENCE, Err(error)));
            }
            Some(gst::MessageView::Warning(warning)) => progress.say(&format!("warning: {}", warning.error())),
            Some(gst::MessageView::Application(_)) if stopping.is_some() => {
                bail!("stopped at once: the file has no end")
            }
            Some(gst::MessageView::Application(_)) => {
                if now.frames == 0 {
                    return Ok(Ended::Interrupted);
                }
                progress.say("stopping; once more to stop at once");
                pipeline.send_event(gst::event::Eos::new());
                stopping = Some((Instant::now() + PATIENCE, Ok(Ended::Interrupted)));
            }
            _ => {}
        }
        if stopping.as_ref().is_some_and(|(until, _)| *until < Instant::now()) {
            bail!("the file could not be finished within {} s", PATIENCE.as_secs());
        }
    }
}

/// A bar on a terminal, lines elsewhere.
struct Progress {
    bar: ProgressBar,
    /// What reads a range of the archive, and so knows how much of it has gone out.
    archive: Option<gst::Element>,
    /// How much of it that was, in thousandths.
    done: u64,
    end: Option<u64>,
    begin: Instant,
    next_line: Instant,
}

impl Progress {
    fn new(archive: Option<gst::Element>, end: Option<u64>, begin: Instant) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {percent:>3}% {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, archive, done: 0, end, begin, next_line: begin }
    }

    /// How far a range of the archive has come, in thousandths. It never goes back, though frames come in decoding order.
    fn advance(&mut self, archive: &gst::Element) {
        let duration = archive.query_duration::<gst::ClockTime>().filter(|duration| !duration.is_zero());
        let position = archive.query_position::<gst::ClockTime>();
        if let (Some(duration), Some(position)) = (duration, position) {
            let done = position.min(duration).nseconds().mul_div_floor(1000, duration.nseconds());
            self.done = self.done.max(done.unwrap_or(0));
        }
    }

    /// All of the range has come, also where it ends with nothing.
    fn complete(&mut self, figures: &Figures) {
        if self.archive.is_some() {
            self.done = 1000;
            self.next_line = Instant::now();
            self.show(figures);
        }
    }

    fn show(&mut self, figures: &Figures) {
        let Some((first, last)) = figures.captured else { return };
        let media = figures.media();
        let elapsed = self.begin.elapsed().as_secs_f64().max(0.001);
        let speed = media.as_secs_f64() / elapsed;
        let mut text =
            format!("{}, {} frames, {} of media, {speed:.1}x", HumanBytes(figures.bytes), figures.frames, clock(media));
        let mut left = None;
        let mut percent = String::new();
        if let Some(archive) = self.archive.clone() {
            let before = self.done;
            self.advance(&archive);
            percent = format!("{}.{} %, ", self.done / 10, self.done % 10);
            self.bar.set_length(1000);
            self.bar.set_position(self.done);
            left = Some(elapsed * (1000 - self.done) as f64 / self.done.max(1) as f64);
            // A line for each tenth.
            if self.done / 100 > before / 100 {
                self.next_line = Instant::now();
            }
        } else if let Some(end) = self.end {
            let rest = Duration::from_nanos(end.saturating_sub(last));
            self.bar.set_length(u64::try_from((media + rest).as_millis()).unwrap_or(u64::MAX));
            self.bar.set_position(u64::try_from(media.as_millis()).unwrap_or(u64::MAX));
            // A recording may end long before the range does: then this is what it takes at most.
            left = Some(rest.as_secs_f64() / speed.max(1e-6));
        }
        if let Some(left) = left.and_then(|left| Duration::try_from_secs_f64(left).ok()) {
            text += &format!(", {} left", HumanDuration(left));
        }
        self.bar.set_message(text.clone());
        if self.bar.is_hidden() && self.next_line <= Instant::now() {
            eprintln!("{percent}since {}: {text}", rfc3339(first));
            self.next_line = Instant::now() + BETWEEN_LINES;
        }
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() { eprintln!("{text}") } else { self.bar.println(text) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn summary(figures: &Figures, begin: Instant) -> String {
    let (first, last) = figures.captured.unwrap_or_default();
    let elapsed = begin.elapsed();
    format!(
        "{} frames, {} received, {} of media ({} to {}) in {:.1} s, {:.1} times as fast as it was recorded",
        figures.frames,
        HumanBytes(figures.bytes),
        clock(figures.media()),
        rfc3339(first),
        rfc3339(last),
        elapsed.as_secs_f64(),
        figures.media().as_secs_f64() / elapsed.as_secs_f64().max(0.001)
    )
}

/// The command that fetches the rest.
fn go_on(arguments: &Arguments, figures: &Figures) -> String {
    let mut words = vec!["download".to_owned(), "--stream".to_owned(), arguments.stream.clone()];
    let start = match &arguments.checkpoint {
        Some(_) => arguments.start.clone(),
        None => figures.fragment.map(rfc3339).or_else(|| arguments.start.clone()),
    };
    let mut option =
        |name: &str, value: Option<String>| words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    option("--start", start);
    option("--end", arguments.end.clone());
    option("--connections", arguments.connections.map(|count| count.to_string()));
    option("--checkpoint", arguments.checkpoint.as_ref().map(|file| file.display().to_string()));
    for Setting(name, value) in &arguments.set {
        // Keys are not for a screen.
        let secret = ["access-key", "secret-key", "session-token", "cognito-login"].contains(&name.as_str());
        option("--set", Some(format!("{name}={}", if secret { "…" } else { value })));
    }
    option("--output", Some(arguments.output.next()));
    if arguments.transcode {
        words.push("--transcode".to_owned());
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./:=…".contains(character);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A file in which nothing came to be is no download.
fn remove_empty(output: &Output) {
    if let Place::File(path) = &output.place
        && std::fs::metadata(path).is_ok_and(|file| file.len() == 0)
    {
        let _ = std::fs::remove_file(path);
    }
}

/// Hours, minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}.{:01}", seconds / 3600, seconds / 60 % 60, seconds % 60, time.subsec_millis() / 100)
}

/// Now, in ns since 1970.
fn since_1970() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// A time as kvssrc takes it, in ns since 1970; `None` where that is for kvssrc to refuse.
fn nanoseconds(text: &str) -> Option<u64> {
    match text.parse::<f64>() {
        Ok(seconds) => Some((seconds * 1e9) as u64),
        Err(_) => u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok(),
    }
}

fn rfc3339(nanoseconds: u64) -> String {
    jiff::Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| nanoseconds.to_string(), |time| time.to_string())
}
