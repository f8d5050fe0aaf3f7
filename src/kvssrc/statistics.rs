//! What an application reads of an element while it works: the read-only properties, and how long the stream lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;

use crate::fragment::{FragmentEnd, FragmentNumber};
use crate::output;

/// The read rate is that of the last one to two of these.
const WINDOW: Duration = Duration::from_secs(1);

/// Tracks that are counted; a stream of the service has 3 at a time.
const MAX_TRACKS: usize = 64;

/// Shared by the element and its streaming thread, and written once a fragment or a piece of the body, never by frame.
/// Invariant: all of it is of the reading that began last.
#[derive(Debug, Default)]
pub struct Statistics(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    fragment_number: Option<FragmentNumber>,
    continuation_token: Option<String>,
    millis_behind_now: Option<u64>,
    bytes: u64,
    fragments: u64,
    /// Frames by the number of their track.
    frames: BTreeMap<u64, u64>,
    reconnects: u64,
    throttles: u64,
    /// Of all readings, and of those before the one at hand.
    dropped_duplicates: u64,
    duplicates_before: u64,
    dropped_blocks: u64,
    /// Of the reading at hand.
    archive: Option<Counts>,
    begin: Option<Instant>,
    time_to_first_frame: Option<Duration>,
    rate: Rate,
    duration: Option<u64>,
}

/// Fragments of a range of the archive: all that are `listed` are one of the others at the end, but for what lies after an
/// end on the other clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub listed: u64,
    pub delivered: u64,
    pub missing: u64,
    /// They came before under another number, or come after it.
    pub duplicates: u64,
}

/// Bytes of the window before the one at hand, and of that one.
#[derive(Clone, Copy, Debug)]
struct Rate {
    before: (u64, Duration),
    bytes: u64,
    since: Instant,
}

impl Default for Rate {
    fn default() -> Self {
        Self { before: (0, Duration::ZERO), bytes: 0, since: Instant::now() }
    }
}

impl Rate {
    /// Moves the windows on to `now`.
    fn roll(&mut self, now: Instant) {
        let length = now.saturating_duration_since(self.since);
        if length >= WINDOW {
            *self = Self { before: (self.bytes, length), bytes: 0, since: now };
        }
    }

    /// In bytes a second.
    fn at(&mut self, now: Instant) -> u64 {
        self.roll(now);
        let bytes = self.before.0.saturating_add(self.bytes);
        let length = self.before.1.saturating_add(now.saturating_duration_since(self.since));
        let rate = u128::from(bytes).saturating_mul(1_000_000_000).checked_div(length.as_nanos()).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl Statistics {
    /// The read-only properties.
    pub fn properties() -> Vec<glib::ParamSpec> {
        vec![
            glib::ParamSpecString::builder("fragment-number")
                .nick("Fragment number")
                .blurb("Number of the fragment that frames are pushed of")
                .read_only()
                .build(),
            glib::ParamSpecInt64::builder("millis-behind-now")
                .nick("Milliseconds behind now")
                .blurb(
                    "How far the last whole fragment lies behind the newest of the stream, in ms (-1 = not known: the \
                     service tells it at a fragment's end)",
                )
                .minimum(-1)
                .default_value(-1)
                .read_only()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb(
                    "What has been read since the start: bytes, whole fragments, frames (a structure with a field for \
                     each track), reconnects (on demand: calls that were made again), throttles, \
                     dropped-duplicates (fragments that came again), dropped-blocks (of their frames), \
                     time-to-first-frame (ns), read-rate (bytes a second over the last one to two seconds); on demand \
                     also listed, delivered, missing and duplicates: fragments of the range since the start or the \
                     last seek",
                )
                .read_only()
                .build(),
        ]
    }

    /// The value of a property; `None` where it is none of these, or is not known yet.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "fragment-number" => self.lock().fragment_number.as_ref().map(FragmentNumber::as_str).to_value(),
            "continuation-token" => self.lock().continuation_token.as_ref()?.to_value(),
            "millis-behind-now" => {
                let behind = self.lock().millis_behind_now;
                behind.map_or(-1, |behind| i64::try_from(behind).unwrap_or(i64::MAX)).to_value()
            }
            "stats" => self.structure().to_value(),
            _ => return None,
        })
    }

    /// A reading begins, which lasts so long, in ns, as far as the properties tell.
    pub fn begin(&self, duration: Option<u64>) {
        *self.lock() = Numbers { begin: Some(Instant::now()), duration, ..Numbers::default() };
    }

    /// What the user sets now counts, not what has been read before.
    pub fn forget_token(&self) {
        self.lock().continuation_token = None;
    }

    /// A piece of the body has come.
    pub fn received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut numbers = self.lock();
        numbers.bytes = numbers.bytes.saturating_add(bytes);
        numbers.rate.roll(Instant::now());
        numbers.rate.bytes = numbers.rate.bytes.saturating_add(bytes);
    }

    /// A fragment's frames follow.
    pub fn fragment_begins(&self, number: Option<FragmentNumber>) {
        self.lock().fragment_number = number;
    }

    /// How long the stream lasts, in ns; whether that is news.
    pub fn set_duration(&self, duration: Option<u64>) -> bool {
        let mut numbers = self.lock();
        let before = std::mem::replace(&mut numbers.duration, duration);
        before != duration
    }

    /// The first frame of all is there; how long that took. `None` if it was before.
    pub fn first_frame(&self) -> Option<Duration> {
        let mut numbers = self.lock();
        if numbers.time_to_first_frame.is_some() {
            return None;
        }
        numbers.time_to_first_frame = numbers.begin.map(|begin| begin.elapsed());
        numbers.time_to_first_frame
    }

    /// Frames, each with the number of its track and how many of that there were.
    pub fn frames(&self, frames: impl IntoIterator<Item = (u64, u64)>) {
        let mut numbers = self.lock();
        for (track, count) in frames {
            if numbers.frames.len() < MAX_TRACKS || numbers.frames.contains_key(&track) {
                let all = numbers.frames.entry(track).or_default();
                *all = all.saturating_add(count);
            }
        }
    }

    /// A fragment is whole.
    pub fn fragment_ends(&self, end: &FragmentEnd) {
        self.position(end);
        let mut numbers = self.lock();
        numbers.fragments = numbers.fragments.saturating_add(1);
    }

    /// A fragment is whole, which need not count: where the stream is.
    pub fn position(&self, end: &FragmentEnd) {
        let mut numbers = self.lock();
        numbers.millis_behind_now = end.millis_behind_now.or(numbers.millis_behind_now);
        if end.continuation_token.is_some() {
            numbers.continuation_token.clone_from(&end.continuation_token);
        }
    }

    /// A connection is over, and another one follows.
    pub fn reconnects(&self) {
        let mut numbers = self.lock();
        numbers.reconnects = numbers.reconnects.saturating_add(1);
    }

    /// The service has refused a call because there were too many.
    pub fn throttled(&self) {
        let mut numbers = self.lock();
        numbers.throttles = numbers.throttles.saturating_add(1);
    }

    /// Another reading of the same stream begins, elsewhere: what only GetMedia tells is not known any more.
    pub fn sought(&self) {
        let mut numbers = self.lock();
        numbers.millis_behind_now = None;
        numbers.continuation_token = None;
        numbers.duplicates_before = numbers.dropped_duplicates;
    }

    /// So many fragments have come again in the reading at hand, and were dropped.
    pub fn duplicates(&self, count: u64) {
        let mut numbers = self.lock();
        numbers.dropped_duplicates = numbers.duplicates_before.saturating_add(count);
    }

    /// So many blocks of frames that had come before were dropped.
    pub fn dropped(&self, blocks: u64) {
        let mut numbers = self.lock();
        numbers.dropped_blocks = numbers.dropped_blocks.saturating_add(blocks);
    }

    /// What has become of the fragments of a range of the archive.
    pub fn archive(&self, counts: Counts) {
        self.lock().archive = Some(counts);
    }

    /// How long the stream lasts, in ns, from presentation time 0.
    pub fn duration(&self) -> Option<u64> {
        self.lock().duration
    }

    /// Whole fragments, frames of all tracks, bytes, and reconnects.
    pub fn totals(&self) -> (u64, u64, u64, u64) {
        let numbers = self.lock();
        let frames = numbers.frames.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        (numbers.fragments, frames, numbers.bytes, numbers.reconnects)
    }

    fn structure(&self) -> gst::Structure {
        let mut numbers = self.lock();
        let rate = numbers.rate.at(Instant::now());
        let first = numbers.time_to_first_frame.and_then(|time| u64::try_from(time.as_nanos()).ok());
        let mut structure = gst::Structure::builder("kvssrc-stats")
            .field("bytes", numbers.bytes)
            .field("fragments", numbers.fragments)
            .field("frames", output::frames_structure(numbers.frames.iter().map(|(track, count)| (*track, *count))))
            .field("reconnects", numbers.reconnects)
            .field("throttles", numbers.throttles)
            .field("dropped-duplicates", numbers.dropped_duplicates)
            .field("dropped-blocks", numbers.dropped_blocks)
            .field("read-rate", rate)
            .build();
        structure.set_if_some("time-to-first-frame", first);
        if let Some(Counts { listed, delivered, missing, duplicates }) = numbers.archive {
            structure.set("listed", listed);
            structure.set("delivered", delivered);
            structure.set("missing", missing);
            structure.set("duplicates", duplicates);
        }
        structure
    }

    /// What a thread that panicked left behind is still whole: every number stands for itself.
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut rate = Rate { since: begin, ..Rate::default() };
        let mut receive = |ms: u64, bytes: u64| {
            rate.roll(at(ms));
            rate.bytes += bytes;
            rate.at(at(ms))
        };
        assert_eq!(receive(500, 1000), 2000);
        // The first window is over: its 1000 bytes, and 1000 of the second.
        assert_eq!(receive(1000, 1000), 2000);
        assert_eq!(receive(1500, 3000), 3333);
        // Nothing has come for 10 s, nor in the window after that.
        assert_eq!(rate.at(at(11_500)), 380);
        assert_eq!(rate.at(at(13_000)), 0);
    }

    #[test]
    fn tracks_without_end_are_not_counted_for_ever() {
        gst::init().unwrap();
        let statistics = Statistics::default();
        for track in 0..1000 {
            statistics.frames([(track, 2)]);
        }
        statistics.frames([(7, 1)]);
        assert_eq!(statistics.totals().1, 2 * MAX_TRACKS as u64 + 1);
    }
}
