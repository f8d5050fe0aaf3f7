//! Each decoded frame of a stream with the time at which it was captured and the fragment that it came in: where an
//! inference job begins.
//!
//! ```text
//! cargo run --release --example frames -- X start-timestamp=2026-01-05T10:00:00Z end-timestamp=2026-01-05T10:01:00Z
//! ```
//!
//! Behind the stream's name stand properties of kvssrc. Without any it follows the camera. `frames.py` does the same.

use anyhow::{Context, bail};
use gst::prelude::*;
use gstkvs::FragmentMeta;

fn main() -> anyhow::Result<()> {
    gst::init()?;
    gstkvs::plugin_register_static()?;
    let mut arguments = std::env::args().skip(1);
    let stream = arguments.next().context("usage: frames STREAM [PROPERTY=VALUE…]")?;

    // The sink holds four frames at most: a slow model holds the source back, and nothing is lost.
    let pipeline = gst::parse::launch(
        "kvssrc name=source ! decodebin3 ! videoconvert ! video/x-raw,format=RGB ! \
         appsink name=frames sync=false max-buffers=4",
    )?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().ok().context("no pipeline")?;
    let source = pipeline.by_name("source").context("no source")?;
    source.set_property("stream", &stream);
    for argument in arguments {
        let (name, value) = argument.split_once('=').with_context(|| format!("{argument} is not PROPERTY=VALUE"))?;
        if source.find_property(name).is_none() {
            bail!("kvssrc has no property {name}");
        }
        source.set_property_from_str(name, value);
    }
    let sink = pipeline.by_name("frames").and_downcast::<gst_app::AppSink>().context("no sink")?;

    // A source that cannot start tells why on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    let result = read(&pipeline, &sink);
    pipeline.set_state(gst::State::Null)?;
    result
}

/// Takes frames until the stream ends.
fn read(pipeline: &gst::Pipeline, sink: &gst_app::AppSink) -> anyhow::Result<()> {
    let bus = pipeline.bus().context("no bus")?;
    loop {
        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
            show(&sample)?;
            continue;
        }
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            bail!("{}", error.error());
        }
        if sink.is_eos() {
            return Ok(());
        }
    }
}

/// Hands the pixels of a frame on, with what is known of it.
fn show(sample: &gst::Sample) -> anyhow::Result<()> {
    let frame = sample.buffer().context("a sample without frame")?;
    let format = sample.caps().and_then(|caps| caps.structure(0)).context("a frame without format")?;
    let (width, height) = (format.get::<i32>("width")?, format.get::<i32>("height")?);
    let captured = frame.meta::<gst::ReferenceTimestampMeta>().map(|meta| meta.timestamp().nseconds());
    let meta = FragmentMeta::of(frame);
    let fragment = meta.as_ref().and_then(FragmentMeta::fragment_number);
    let pixels = frame.map_readable()?;
    println!(
        "{} fragment {} {width}x{height} {}",
        captured.map_or("-".to_owned(), rfc3339),
        fragment.unwrap_or("-"),
        infer(&pixels)
    );
    Ok(())
}

/// The model's place. Pixels are rows of red, green and blue; each row is filled up to a multiple of 4 bytes.
fn infer(pixels: &[u8]) -> String {
    let sum: u64 = pixels.iter().map(|byte| u64::from(*byte)).sum();
    format!("brightness {}", sum / (pixels.len() as u64).max(1))
}

fn rfc3339(nanoseconds: u64) -> String {
    match jiff::Timestamp::from_nanosecond(nanoseconds.into()) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => nanoseconds.to_string(),
    }
}
