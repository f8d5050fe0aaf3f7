//! Files that stock encoders and matroskamux write.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstkvs::output::caps::{stream_headers, track_caps};

use crate::demuxer::{demux, run};
use crate::{differences, read};

/// Whether a codec may go untested where its encoder is missing.
#[derive(Clone, Copy, PartialEq)]
enum Encoder {
    Required,
    Optional,
}
use Encoder::{Optional, Required};

const VIDEO: &str = "videotestsrc num-buffers=12 ! video/x-raw,format=I420,width=320,height=240,framerate=30/1";
const AUDIO: &str = "audiotestsrc num-buffers=40 samplesperbuffer=480 ! audioconvert ! audioresample";

/// The Debian package of an element.
fn package(element: &str) -> &'static str {
    match element {
        "audioconvert" | "audioresample" | "audiotestsrc" | "opusenc" | "videoconvert" | "videotestsrc"
        | "vorbisenc" => "gstreamer1.0-plugins-base",
        "av1enc" | "av1parse" | "h264parse" | "h265parse" | "voaacenc" | "x265enc" => "gstreamer1.0-plugins-bad",
        "avenc_aac" => "gstreamer1.0-libav",
        "fdkaacenc" => "gstreamer1.0-fdkaac",
        "x264enc" => "gstreamer1.0-plugins-ugly",
        _ => "gstreamer1.0-plugins-good",
    }
}

/// Elements of a pipeline description that this machine lacks, with their packages.
fn missing(description: &str) -> Vec<String> {
    description
        .split('!')
        .filter_map(|part| part.split_whitespace().next())
        .filter(|name| !name.contains('/') && gst::ElementFactory::find(name).is_none())
        .map(|name| format!("{name} (Debian package {})", package(name)))
        .collect()
}

fn rate(caps: &gst::Caps) -> i32 {
    caps.structure(0).and_then(|structure| structure.get("rate").ok()).expect("a rate")
}

/// The rate of what a decoder makes of the AAC in a file.
fn decoded_rate(path: &Path) -> i32 {
    let location = path.display();
    let description = format!("filesrc location={location} ! matroskademux ! avdec_aac ! fakesink name=sink");
    let pipeline = gst::parse::launch(&description).expect("elements of gstreamer1.0-libav");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("several elements make a pipeline");
    let sink = pipeline.by_name("sink").and_then(|sink| sink.static_pad("sink")).expect("a sink");
    let decoded = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&decoded);
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            *seen.lock().expect("no thread panicked") = Some(rate(&caps.caps_owned()));
        }
        gst::PadProbeReturn::Ok
    });
    run(&pipeline);
    let decoded = decoded.lock().expect("no thread panicked");
    decoded.expect("decoded sound")
}

/// Encodes and muxes one track, then compares caps, stream headers and every frame.
fn judge(encoder: Encoder, source: &str, encoding: &str) {
    gst::init().expect("GStreamer");
    let description = format!("{source} ! {encoding} ! matroskamux ! filesink name=file");
    let missing = missing(&description);
    if !missing.is_empty() {
        assert!(encoder == Optional, "{encoding}: missing {}", missing.join(", "));
        // Past the capture of test output: a skipped codec is seen in every run.
        writeln!(std::io::stderr(), "SKIPPED: {encoding}: missing {}", missing.join(", ")).expect("stderr");
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("track.mkv");
    let pipeline = gst::parse::launch(&description)
        .unwrap_or_else(|error| panic!("{description}: {error}"))
        .downcast::<gst::Pipeline>()
        .expect("several elements make a pipeline");
    pipeline.by_name("file").expect("filesink").set_property("location", &path);
    run(&pipeline);

    let (tracks, blocks) = read(&std::fs::read(&path).expect("the file is written"));
    let outputs = demux(&path);
    let ([track], [theirs]) = (&tracks[..], &outputs[..]) else {
        panic!("{} tracks, and {} of matroskademux, where there is one", tracks.len(), outputs.len())
    };
    assert_eq!(differences(track, &theirs.caps), [""; 0], "{encoding}");

    if track.codec_id == "A_AAC" {
        assert_eq!(rate(&track_caps(track).expect("caps")), decoded_rate(&path), "{encoding}");
    }

    let frames = blocks.iter().flat_map(|block| block.frames().map(|frame| frame.to_bytes()).collect::<Vec<_>>());
    let frames = frames.map(|frame| [&track.stripped_header[..], &frame].concat());
    let ours: Vec<_> = stream_headers(track).iter().map(|header| header.to_vec()).chain(frames).collect();
    assert!(ours.len() > 1, "{encoding} gives {} buffers", ours.len());
    assert_eq!(ours.len(), theirs.buffers.len(), "{encoding}: number of buffers");
    for (index, (ours, theirs)) in ours.iter().zip(&theirs.buffers).enumerate() {
        assert!(ours == theirs, "{encoding}: buffer {index} differs");
    }
}

macro_rules! judged {
    ($($name:ident: $encoder:expr, $source:expr, $encoding:expr;)*) => {
        $(#[test]
        fn $name() {
            judge($encoder, $source, $encoding);
        })*
    };
}

judged! {
    h264: Required, VIDEO, "x264enc tune=zerolatency ! h264parse";
    h264_with_b_frames: Required, VIDEO, "x264enc bframes=2 ! video/x-h264,profile=high ! h264parse";
    h264_baseline: Required, VIDEO, "x264enc ! video/x-h264,profile=constrained-baseline ! h264parse";
    h264_byte_stream_input: Required, VIDEO, "x264enc ! video/x-h264,stream-format=byte-stream ! h264parse";
    h264_interlaced: Required, "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=720,height=576,framerate=25/1,interlace-mode=interleaved,field-order=top-field-first", "x264enc interlaced=true ! h264parse";
    h264_anamorphic: Required, "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=720,height=576,framerate=25/1,pixel-aspect-ratio=64/45", "x264enc ! h264parse";
    h264_ntsc: Required, "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=704,height=480,framerate=30000/1001,colorimetry=bt709", "x264enc ! h264parse";
    h264_variable_rate: Required, "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=64,height=64,framerate=15/2", "x264enc ! h264parse";
    h265: Required, VIDEO, "x265enc speed-preset=ultrafast ! h265parse";
    h265_10_bits: Required, "videotestsrc num-buffers=4 ! video/x-raw,format=I420_10LE,width=128,height=128,framerate=25/1", "x265enc speed-preset=ultrafast ! h265parse";
    h265_444: Required, "videotestsrc num-buffers=4 ! video/x-raw,format=Y444,width=128,height=128,framerate=25/1", "x265enc speed-preset=ultrafast ! h265parse";
    vp8: Optional, VIDEO, "vp8enc deadline=1";
    vp9: Optional, VIDEO, "vp9enc deadline=1 cpu-used=8";
    av1: Optional, VIDEO, "av1enc cpu-used=8 usage-profile=realtime ! av1parse";
    mjpeg: Optional, VIDEO, "jpegenc";

    aac_voaac: Optional, AUDIO, "audio/x-raw,rate=48000,channels=2 ! voaacenc";
    aac_voaac_16k_mono: Optional, AUDIO, "audio/x-raw,rate=16000,channels=1 ! voaacenc";
    aac_libav: Required, AUDIO, "audio/x-raw,rate=44100,channels=2 ! avenc_aac";
    aac_libav_16k_mono: Required, AUDIO, "audio/x-raw,rate=16000,channels=1 ! avenc_aac";
    aac_libav_8k_mono: Required, AUDIO, "audio/x-raw,rate=8000,channels=1 ! avenc_aac";
    aac_libav_5_1: Required, AUDIO, "audio/x-raw,rate=48000,channels=6,channel-mask=(bitmask)0x3f ! avenc_aac";
    aac_fdk: Optional, AUDIO, "audio/x-raw,rate=48000,channels=2 ! fdkaacenc";
    a_law: Required, AUDIO, "audio/x-raw,rate=8000,channels=1 ! alawenc";
    a_law_stereo_16k: Required, AUDIO, "audio/x-raw,rate=16000,channels=2 ! alawenc";
    mu_law: Required, AUDIO, "audio/x-raw,rate=8000,channels=1 ! mulawenc";
    opus: Required, AUDIO, "audio/x-raw,rate=48000,channels=2 ! opusenc";
    opus_mono_16k: Required, AUDIO, "audio/x-raw,rate=16000,channels=1 ! opusenc";
    opus_5_1: Required, AUDIO, "audio/x-raw,rate=48000,channels=6,channel-mask=(bitmask)0x3f ! opusenc";
    pcm_u8: Required, AUDIO, "audio/x-raw,format=U8,rate=8000,channels=1";
    pcm_s16le: Required, AUDIO, "audio/x-raw,format=S16LE,rate=48000,channels=2";
    pcm_s16be: Required, AUDIO, "audio/x-raw,format=S16BE,rate=44100,channels=1";
    pcm_s24le: Required, AUDIO, "audio/x-raw,format=S24LE,rate=48000,channels=6,channel-mask=(bitmask)0x3f";
    pcm_s24be: Required, AUDIO, "audio/x-raw,format=S24BE,rate=48000,channels=2";
    pcm_s32le: Required, AUDIO, "audio/x-raw,format=S32LE,rate=96000,channels=2";
    pcm_f32le: Required, AUDIO, "audio/x-raw,format=F32LE,rate=48000,channels=1";
    pcm_f64le: Required, AUDIO, "audio/x-raw,format=F64LE,rate=48000,channels=2";
    mp3: Optional, AUDIO, "audio/x-raw,rate=44100,channels=2 ! lamemp3enc";
    mp2: Optional, AUDIO, "audio/x-raw,rate=48000,channels=2 ! twolamemp2enc";
    flac: Optional, AUDIO, "audio/x-raw,rate=48000,channels=2 ! flacenc";
    vorbis: Optional, AUDIO, "audio/x-raw,rate=48000,channels=2 ! vorbisenc";
}
