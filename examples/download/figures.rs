//! What has come, in numbers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstkvs::FragmentMeta;
use indicatif::HumanBytes;

use crate::time::{clock, rfc3339};

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub bytes: u64,
    pub frames: u64,
    /// Capture times of the first and of the latest frame, in ns since 1970.
    pub captured: Option<(u64, u64)>,
    /// When the producer began the fragment of the latest frame, in ns since 1970.
    pub fragment: Option<u64>,
}

impl Figures {
    /// How much of the stream's time it is.
    pub fn media(&self) -> Duration {
        self.captured.map_or(Duration::ZERO, |(first, last)| Duration::from_nanos(last.saturating_sub(first)))
    }

    /// Takes a frame into account.
    pub fn count(&mut self, frame: &gst::BufferRef) {
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

pub type SharedFigures = Arc<Mutex<Figures>>;

pub fn lock(figures: &SharedFigures) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn summary(figures: &Figures, begin: Instant) -> String {
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
