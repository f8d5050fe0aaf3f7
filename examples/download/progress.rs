//! How far it is: a bar on a terminal, lines elsewhere.

use std::time::{Duration, Instant};

use gst::prelude::*;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figures::Figures;
use crate::time::{clock, rfc3339};

/// Between two lines where there is no terminal to draw a bar on.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// A bar on a terminal, lines elsewhere.
pub struct Progress {
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
    pub fn new(archive: Option<gst::Element>, end: Option<u64>, begin: Instant) -> Self {
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
    pub fn complete(&mut self, figures: &Figures) {
        if self.archive.is_some() {
            self.done = 1000;
            self.next_line = Instant::now();
            self.show(figures);
        }
    }

    pub fn show(&mut self, figures: &Figures) {
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

    pub fn say(&self, text: &str) {
        if self.bar.is_hidden() { eprintln!("{text}") } else { self.bar.println(text) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
