//! From kvssrc over kvsdemux to a muxer, and what stands between for each track.

use std::sync::Arc;

use anyhow::{Context, bail};
use gst::prelude::*;

use crate::arguments::{Arguments, Setting, is_bounded};
use crate::figures::{SharedFigures, lock};
use crate::output::make;

/// What a track may be ahead of another before it waits, in bytes.
const MAX_QUEUED_BYTES: u32 = 256 << 20;

const H264_ENCODERS: [(&str, &str); 2] = [
    ("x264enc", "x264enc speed-preset=veryfast ! video/x-h264,profile=high"),
    ("openh264enc", "openh264enc ! video/x-h264,profile=main"),
];
const AAC_ENCODERS: [(&str, &str); 3] =
    [("avenc_aac", "avenc_aac"), ("fdkaacenc", "fdkaacenc"), ("voaacenc", "voaacenc")];

pub fn source(arguments: &Arguments, end: &str) -> anyhow::Result<gst::Element> {
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
pub fn pipeline(
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
    let is_copy = is_bounded(arguments, end) && !transcode;
    let weak = pipeline.downgrade();
    demuxer.connect_pad_added(move |demuxer, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        if is_copy {
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, keep_needed);
        }
        if let Err(error) = add_track(&pipeline, pad, &muxer, transcode, &figures) {
            gst::element_error!(demuxer, gst::StreamError::Format, ("{error:#}"));
        }
    });
    Ok(pipeline)
}

/// Widens the segment by what a copy cannot be played without: frames before the start, from the keyframe on that the
/// first one needs, and those behind the end that the last ones need.
fn keep_needed(pad: &gst::Pad, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
    if let Some(gst::PadProbeData::Event(event)) = &mut info.data
        && let gst::EventView::Segment(found) = event.view()
        && let Some(segment) = found.segment().downcast_ref::<gst::ClockTime>()
    {
        // The times of pictures out of order are later than those of sound, so that decoding times find room.
        let start = segment.start().unwrap_or_default().saturating_sub(common_start(pad).unwrap_or_default());
        let mut segment = segment.clone();
        segment.set_start(start);
        segment.set_position(start);
        segment.set_stop(gst::ClockTime::NONE);
        segment.set_time(gst::ClockTime::ZERO);
        let seqnum = event.seqnum();
        *event = gst::event::Segment::builder(&segment).seqnum(seqnum).build();
    }
    gst::PadProbeReturn::Ok
}

/// Where the segment begins that the demuxer takes apart.
fn common_start(pad: &gst::Pad) -> Option<gst::ClockTime> {
    let sink = pad.parent_element()?.static_pad("sink")?;
    let event = sink.sticky_event::<gst::event::Segment>(0)?;
    event.segment().downcast_ref::<gst::ClockTime>()?.start()
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
