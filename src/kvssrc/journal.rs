//! The debug log of a reading: a line a fragment at level 6 (LOG), a line a frame at level 7 (TRACE).

use std::sync::LazyLock;

use gst::glib;
use gst::log::DebugLogger;

use super::imp::CAT;
use crate::fragment::{Fragment, FragmentEnd, Header, TimedBlock};
use crate::mkv::{Track, TrackKind};

/// What the Matroska holds, as it is read; the room that reads it knows no GStreamer.
static MATROSKA: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("kvsmkv", gst::DebugColorFlags::empty(), Some("Matroska of Kinesis Video streams"))
});

/// Writes for one element.
#[derive(Clone, Debug)]
pub struct Journal(glib::WeakRef<super::KvsSrc>);

impl Journal {
    pub fn new(element: glib::WeakRef<super::KvsSrc>) -> Self {
        // Known from the start, so that GST_DEBUG can name it.
        LazyLock::force(&MATROSKA);
        Self(element)
    }

    /// Frames under another header follow.
    pub fn header(&self, header: &Header) {
        self.write(&MATROSKA, gst::DebugLevel::Info, || {
            let tracks: Vec<String> = header.tracks.tracks.iter().map(describe).collect();
            format!("Header of {}: {}", header.info.writing_app.as_deref().unwrap_or("nobody"), tracks.join("; "))
        });
    }

    /// A frame of the fragment goes out.
    pub fn block(&self, block: &TimedBlock) {
        self.write(&CAT, gst::DebugLevel::Trace, || {
            let track = block.block.track;
            format!("Frame of track {track}: pts {} ns, captured at {} ns", block.pts, block.capture_time)
        });
        self.write(&MATROSKA, gst::DebugLevel::Trace, || {
            let matroska = &block.block;
            format!(
                "Block of track {}: {} bytes, {} ticks from its cluster, {} frame(s){}",
                matroska.track,
                matroska.element.len(),
                matroska.relative_timestamp,
                matroska.frame_count(),
                if matroska.keyframe { ", keyframe" } else { "" }
            )
        });
    }

    /// The fragment is whole.
    pub fn fragment(&self, end: &FragmentEnd, begun: Option<&Fragment>, frames: impl Iterator<Item = (u64, u64)>) {
        self.write(&CAT, gst::DebugLevel::Log, || {
            let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
            format!(
                "Fragment {}: captured at {}, received at {}, {} ms behind now",
                text(end.number.as_ref().map(ToString::to_string)),
                text(end.producer_timestamp.map(|time| time.to_string())),
                text(end.server_timestamp.map(|time| time.to_string())),
                text(end.millis_behind_now.map(|behind| behind.to_string()))
            )
        });
        self.write(&MATROSKA, gst::DebugLevel::Log, || {
            let frames: Vec<String> = frames.map(|(track, count)| format!("{count} frames of track {track}")).collect();
            let cluster = begun.map_or_else(|| "none".to_owned(), |begun| format!("at {} ns", begun.cluster_time));
            format!("Document of {} bytes: cluster {cluster}; {}", end.size, frames.join(", "))
        });
    }

    fn write(&self, category: &gst::DebugCategory, level: gst::DebugLevel, text: impl FnOnce() -> String) {
        if !category.above_threshold(level) {
            return;
        }
        if let Some(element) = self.0.upgrade() {
            gst::log_with_level!(*category, level, obj = element, "{}", text());
        }
    }
}

fn describe(track: &Track) -> String {
    let kind = match &track.kind {
        TrackKind::Video(video) => format!("video, {} x {}", video.pixel_width, video.pixel_height),
        TrackKind::Audio(audio) => format!("audio, {} Hz, {} channels", audio.sampling_frequency, audio.channels),
        TrackKind::Other(kind) => format!("type {kind}"),
    };
    format!("track {} {} ({kind})", track.number, track.codec_id)
}
