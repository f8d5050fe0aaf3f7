//! What a seek asks for: from where to where, which way, and what is left out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Position, Range};
use crate::fragment::{Clock, Snap, Steps, Trick};
use crate::output::Kinds;

/// What one seek keeps for the next.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Kept>);

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// Start and stop that the last seek asked for: what another one leaves as it is.
    start: gst::ClockTime,
    stop: Option<gst::ClockTime>,
    /// What goes out, once that is known.
    kinds: Option<Kinds>,
}

impl Memory {
    /// What was asked for is over.
    pub fn forget(&self) {
        self.ask(gst::ClockTime::ZERO, None);
    }

    fn ask(&self, start: gst::ClockTime, stop: Option<gst::ClockTime>) {
        let mut kept = self.lock();
        *kept = Kept { start, stop, kinds: kept.kinds };
    }

    /// What goes out, in the reading at hand.
    pub(super) fn goes_out_as(&self, kinds: Kinds) {
        self.lock().kinds = Some(kinds);
    }

    pub(super) fn kinds(&self) -> Option<Kinds> {
        self.lock().kinds
    }

    /// What a thread that panicked left behind is still whole here: every write is one assignment.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the element is when it is asked to seek.
#[derive(Debug)]
pub struct Playing {
    pub segment: gst::Segment,
    /// How far the frames that went out reach in that segment, where that may be farther than the last of them.
    pub reached: Option<gst::ClockTime>,
}

impl Playing {
    fn position(&self) -> Option<(&gst::FormattedSegment<gst::ClockTime>, gst::ClockTime)> {
        let segment = self.segment.downcast_ref::<gst::ClockTime>()?;
        let start = segment.start().unwrap_or_default();
        let position = self.reached.max(segment.position()).unwrap_or(start);
        Some((segment, position.max(start).min(segment.stop().unwrap_or(gst::ClockTime::MAX))))
    }

    fn stream_time(&self) -> Option<gst::ClockTime> {
        self.position().and_then(|(segment, position)| segment.to_stream_time(position))
    }

    /// What plays on without a flush begins then.
    fn running_time(&self) -> Option<gst::ClockTime> {
        self.position().and_then(|(segment, position)| segment.to_running_time(position))
    }
}

/// What is asked for, on the range's own clock: the segment's has other times where something comes before the range.
#[derive(Clone, Copy, Debug)]
struct Asked {
    rate: f64,
    flags: gst::SeekFlags,
    interval: gst::ClockTime,
    start: gst::ClockTime,
    stop: Option<gst::ClockTime>,
    /// Where to begin: forward from there to `stop`, backward to `start`.
    position: gst::ClockTime,
    base: gst::ClockTime,
}

impl Range {
    /// The place that a seek asks for, which becomes that of the segment; `None` where there is none. Without an event,
    /// the segment tells.
    pub fn seek(
        &self,
        segment: &mut gst::Segment,
        event: Option<&gst::event::Seek>,
        playing: &Playing,
    ) -> Option<Position> {
        let length = self.length()?;
        let wanted = segment.downcast_mut::<gst::ClockTime>()?;
        let asked = match event {
            Some(event) => self.asked_by(event, length, playing)?,
            None => {
                let start = wanted.start().unwrap_or_default().min(length);
                Asked {
                    rate: wanted.rate(),
                    flags: gst::SeekFlags::from_bits_truncate(wanted.flags().bits()),
                    interval: gst::ClockTime::ZERO,
                    start,
                    stop: wanted.stop(),
                    position: wanted.position().unwrap_or(start).max(start).min(length),
                    base: wanted.base().unwrap_or_default(),
                }
            }
        };
        let backward = asked.rate < 0.0;
        let mut found = gst::FormattedSegment::<gst::ClockTime>::new();
        found.set_rate(asked.rate);
        // The flags of a segment are those of the seek that it is made by.
        found.set_flags(gst::SegmentFlags::from_bits_truncate(asked.flags.bits()));
        found.set_base(asked.base);
        let start = if backward { asked.start } else { asked.position };
        found.set_start(start);
        found.set_time(start);
        found.set_stop(if backward { Some(asked.position) } else { self.stop(asked.stop) });
        found.set_position(asked.position);
        found.set_duration(self.duration());
        *wanted = found.clone();
        self.memory.ask(asked.start, asked.stop);

        let snap = if asked.flags.contains(gst::SeekFlags::KEY_UNIT) { snap(asked.flags) } else { Snap::Exact };
        // What is played before a moment lies behind it where time runs backwards.
        let snap = if backward { snap.reversed() } else { snap };
        let keyframes = asked.flags.contains(gst::SeekFlags::TRICKMODE_KEY_UNITS).then(|| {
            let anchor = self.moment(asked.position);
            Steps::new(asked.rate, asked.interval.nseconds(), anchor)
        });
        let without_audio = asked.flags.contains(gst::SeekFlags::TRICKMODE_NO_AUDIO);
        Some(Position { segment: found, snap, trick: Trick { keyframes, without_audio } })
    }

    fn asked_by(&self, event: &gst::event::Seek, length: gst::ClockTime, playing: &Playing) -> Option<Asked> {
        let (rate, flags, start_type, start, stop_type, stop) = event.get();
        if start.format() != gst::Format::Time {
            return None;
        }
        let before = *self.memory.lock();
        let end = self.reaches.unwrap_or(length);
        let limit = |kind, value: gst::GenericFormattedValue, before: Option<gst::ClockTime>| match kind {
            gst::SeekType::Set => u64::try_from(value.value()).ok().map(gst::ClockTime::from_nseconds),
            gst::SeekType::End => {
                Some(gst::ClockTime::from_nseconds(end.nseconds().saturating_add_signed(value.value())))
            }
            _ => before,
        };
        let start = limit(start_type, start, Some(before.start)).unwrap_or_default().min(length);
        let stop = limit(stop_type, stop, before.stop);
        if stop.is_some_and(|stop| stop < start) {
            return None;
        }
        let last = stop.map_or(length, |stop| stop.min(length));
        // Of two limits that stay as they are, the one that is played from does not: it is where playing has come to.
        let here = || playing.stream_time().unwrap_or(start).max(start).min(last);
        let position = match (rate < 0.0, start_type, stop_type) {
            (false, gst::SeekType::None, _) | (true, _, gst::SeekType::None) => here(),
            (false, ..) => start,
            (true, ..) => last,
        };
        let flushes = flags.contains(gst::SeekFlags::FLUSH);
        let base = if flushes { gst::ClockTime::ZERO } else { playing.running_time().unwrap_or_default() };
        let interval = event.trickmode_interval().unwrap_or_default();
        Some(Asked { rate, flags, interval, start, stop, position, base })
    }

    /// Where to stop at the latest. By the service's clock, fragments that came in a burst are longer than the time they
    /// came in: there, frames end the range, and the segment has no end.
    pub(super) fn stop(&self, asked: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
        match (self.on_demand.clock, asked, self.duration()) {
            (_, None, _) if self.on_demand.clock == Clock::Server => None,
            (_, Some(asked), Some(duration)) => Some(asked.min(duration)),
            (_, asked, duration) => asked.or(duration),
        }
    }
}

/// Which keyframe a seek to one means: without further flags, the one that is played before the moment.
fn snap(flags: gst::SeekFlags) -> Snap {
    let (before, after) = (gst::SeekFlags::SNAP_BEFORE, gst::SeekFlags::SNAP_AFTER);
    match (flags.contains(before), flags.contains(after)) {
        (true, true) => Snap::Nearest,
        (false, true) => Snap::After,
        (_, false) => Snap::Before,
    }
}
