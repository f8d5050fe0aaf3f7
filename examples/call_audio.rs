//! A recorded telephone call as one stereo WAV: the customer's voice left, the agent's right, aligned by capture time.
//!
//! ```text
//! cargo run --release --example call_audio -- --stream X --start 2026-01-05T10:00:00Z --end 2026-01-05T10:05:00Z -o call.wav
//! ```
//!
//! For streams of a contact centre: tracks AUDIO_FROM_CUSTOMER and AUDIO_TO_CUSTOMER with 8 kHz audio. Some of them name a
//! codec that is not what they hold; `--track-caps` says what they do. The contact's tags are printed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::Parser;
use gst::prelude::*;

const TRACKS: [&str; 2] = ["AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER"];
const RATE: u32 = 8000;
/// What a buffer may begin beside the end of the one before it and still follow it, in samples: 40 ms. Times are rounded
/// to milliseconds on the way, and no sample is to be doubled or dropped for that.
const TOLERANCE: u64 = 320;

/// Writes a recorded telephone call as one stereo WAV.
#[derive(Debug, Parser)]
struct Arguments {
    /// Name or ARN of the stream.
    #[arg(long)]
    stream: String,
    /// Where to begin: RFC 3339, or seconds since 1970 [default: the oldest that is stored].
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Where to end: RFC 3339, or seconds since 1970.
    #[arg(long, value_name = "TIME")]
    end: String,
    /// Where to write.
    #[arg(short, long, value_name = "FILE.wav")]
    output: PathBuf,
    /// What the tracks hold, whatever they claim: audio/x-raw,format=S16LE,rate=8000,channels=1,layout=interleaved
    #[arg(long, value_name = "CAPS")]
    track_caps: Option<gst::Caps>,
}

/// The samples of one track, each where it was captured.
#[derive(Debug, Default)]
struct Voice {
    /// Begin in samples since 1970, and samples.
    pieces: Vec<(u64, Vec<i16>)>,
}

impl Voice {
    /// Adds what was captured from that moment on, in ns since 1970.
    fn add(&mut self, captured: u64, samples: Vec<i16>) {
        let begin = u64::try_from(u128::from(captured) * u128::from(RATE) / 1_000_000_000).unwrap_or(u64::MAX);
        match self.pieces.last_mut() {
            Some((last, piece)) if begin.abs_diff(*last + piece.len() as u64) <= TOLERANCE => piece.extend(samples),
            _ => self.pieces.push((begin, samples)),
        }
    }

    /// Puts it into every other sample from `channel` on; the call begins at `origin`.
    fn write(&self, call: &mut [i16], origin: u64, channel: usize) {
        for (begin, samples) in &self.pieces {
            let at = usize::try_from(begin - origin).unwrap_or(usize::MAX);
            for (place, sample) in call.chunks_exact_mut(2).skip(at).zip(samples) {
                place[channel] = *sample;
            }
        }
    }
}

type Voices = Arc<Mutex<[Voice; 2]>>;

fn main() -> anyhow::Result<()> {
    gst::init()?;
    gstkvs::plugin_register_static()?;
    let arguments = Arguments::parse();
    let voices = Voices::default();
    let pipeline = pipeline(&arguments, &voices)?;
    // A source that cannot start tells why on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    let ended = until_the_end(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    for (name, value) in ended? {
        println!("{name}: {value}");
    }
    let voices = voices.lock().unwrap_or_else(PoisonError::into_inner);
    write(&arguments, &*voices)
}

fn pipeline(arguments: &Arguments, voices: &Voices) -> anyhow::Result<gst::Pipeline> {
    let source = gst::ElementFactory::make("kvssrc")
        .property("stream", &arguments.stream)
        .property("end-timestamp", &arguments.end)
        .build()?;
    match &arguments.start {
        Some(start) => source.set_property("start-timestamp", start),
        None => source.set_property_from_str("start-selector", "earliest"),
    }
    let demuxer = gst::ElementFactory::make("kvsdemux").property("track-caps", &arguments.track_caps).build()?;
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &demuxer])?;
    source.link(&demuxer)?;
    let (weak, voices) = (pipeline.downgrade(), Arc::clone(voices));
    demuxer.connect_pad_added(move |demuxer, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        if let Err(error) = listen(&pipeline, pad, &voices) {
            gst::element_error!(demuxer, gst::StreamError::Format, ("{error:#}"));
        }
    });
    Ok(pipeline)
}

/// Collects what comes from a track of the call.
fn listen(pipeline: &gst::Pipeline, pad: &gst::Pad, voices: &Voices) -> anyhow::Result<()> {
    let tags = pad.stream().and_then(|stream| stream.tags());
    let name = tags.and_then(|tags| tags.get::<gst::tags::Title>().map(|title| title.get().to_owned()));
    let Some(channel) = TRACKS.iter().position(|track| name.as_deref() == Some(track)) else {
        eprintln!("{} is left out: {}", pad.name(), name.as_deref().unwrap_or("a track without name"));
        let nowhere = gst::ElementFactory::make("fakesink").property("async", false).build()?;
        pipeline.add(&nowhere)?;
        pad.link(&nowhere.static_pad("sink").context("a sink without pad")?)?;
        nowhere.sync_state_with_parent()?;
        return Ok(());
    };
    let branch = gst::parse::bin_from_description(
        &format!(
            "queue name=in ! decodebin ! audioconvert ! audioresample ! \
             audio/x-raw,format=S16LE,rate={RATE},channels=1,layout=interleaved ! appsink name=voice sync=false"
        ),
        false,
    )?;
    let entry = branch.by_name("in").and_then(|queue| queue.static_pad("sink")).context("a branch without entry")?;
    branch.add_pad(&gst::GhostPad::builder_with_target(&entry)?.name("sink").build())?;
    let sink = branch.by_name("voice").and_downcast::<gst_app::AppSink>().context("a branch without sink")?;
    let voices = Arc::clone(voices);
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
                let captured = buffer.meta::<gst::ReferenceTimestampMeta>().map(|meta| meta.timestamp().nseconds());
                let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                let samples = bytes.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect();
                let mut voices = voices.lock().unwrap_or_else(PoisonError::into_inner);
                // What has no time follows what came before it.
                if let Some(captured) = captured {
                    voices[channel].add(captured, samples);
                } else if let Some((_, piece)) = voices[channel].pieces.last_mut() {
                    piece.extend(samples);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    pipeline.add(&branch)?;
    pad.link(&branch.static_pad("sink").context("a branch without sink pad")?)?;
    branch.sync_state_with_parent()?;
    Ok(())
}

/// Waits for the end of the stream; the tags of its fragments.
fn until_the_end(pipeline: &gst::Pipeline) -> anyhow::Result<BTreeMap<String, String>> {
    let mut contact = BTreeMap::new();
    let bus = pipeline.bus().context("no bus")?;
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => bail!("{}", error.error()),
            gst::MessageView::Element(element) => {
                let fragment = element.structure().filter(|structure| structure.name() == "kvs-fragment");
                let tags = fragment.and_then(|fragment| fragment.get::<gst::Structure>("tags").ok());
                for (name, value) in tags.iter().flat_map(|tags| tags.iter()) {
                    if let Ok(value) = value.get::<String>() {
                        contact.insert(name.to_string(), value);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(contact)
}

fn write(arguments: &Arguments, voices: &[Voice; 2]) -> anyhow::Result<()> {
    let pieces = || voices.iter().flat_map(|voice| &voice.pieces);
    let origin = pieces().map(|(begin, _)| *begin).min();
    let origin =
        origin.with_context(|| format!("the stream has nothing of the tracks {} and {}", TRACKS[0], TRACKS[1]))?;
    let end = pieces().map(|(begin, samples)| begin + samples.len() as u64).max().unwrap_or(origin);
    let mut call = vec![0_i16; 2 * usize::try_from(end - origin)?];
    for (channel, voice) in voices.iter().enumerate() {
        voice.write(&mut call, origin, channel);
    }
    let format =
        hound::WavSpec { channels: 2, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = hound::WavWriter::create(&arguments.output, format)
        .with_context(|| format!("writing {}", arguments.output.display()))?;
    call.iter().try_for_each(|sample| file.write_sample(*sample))?;
    file.finalize()?;
    let seconds = (end - origin) as f64 / f64::from(RATE);
    println!("{}: {seconds:.3} s, {} left and {} right", arguments.output.display(), TRACKS[0], TRACKS[1]);
    Ok(())
}
