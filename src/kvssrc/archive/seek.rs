//! What a seek asks for: from where to where, which way, and what is left out.

use super::{Position, Range, lock};
use crate::fragment::{Clock, Snap, Steps, Trick};
use crate::output::clock_time;

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

    pub fn stream_time(&self) -> Option<gst::ClockTime> {
        self.position().and_then(|(segment, position)| segment.to_stream_time(position))
    }

    /// Whether it comes up with what is being made.
    pub fn is_fast(&self) -> bool {
        let flags = gst::SegmentFlags::TRICKMODE_KEY_UNITS | gst::SegmentFlags::TRICKMODE_NO_AUDIO;
        self.segment.rate() > 1.0 || self.segment.flags().intersects(flags)
    }

    /// The segment that goes on there as usual.
    pub fn at_normal_speed(&self) -> Option<gst::FormattedSegment<gst::ClockTime>> {
        let (_, position) = self.position()?;
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(position);
        segment.set_position(position);
        segment.set_time(self.stream_time()?);
        segment.set_base(self.running_time()?);
        Some(segment)
    }

    /// The segment that goes on there at the speed at hand, in stream time.
    pub fn onwards(&self) -> Option<gst::Segment> {
        let time = self.stream_time()?;
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(self.segment.rate());
        segment.set_flags(self.segment.flags());
        segment.set_start(time);
        segment.set_position(time);
        segment.set_time(time);
        segment.set_base(self.running_time()?);
        Some(segment.upcast())
    }

    /// What plays on without a flush begins then.
    pub fn running_time(&self) -> Option<gst::ClockTime> {
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
        let duration = self.length()?;
        let wanted = segment.downcast_mut::<gst::ClockTime>()?;
        let asked = match event {
            Some(event) => self.asked_by(event, duration, playing)?,
            None => {
                let start = wanted.start().unwrap_or_default().min(duration);
                Asked {
                    rate: wanted.rate(),
                    flags: gst::SeekFlags::from_bits_truncate(wanted.flags().bits()),
                    interval: gst::ClockTime::ZERO,
                    start,
                    stop: wanted.stop(),
                    position: wanted.position().unwrap_or(start).max(start).min(duration),
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
        *lock(&self.memory.asked) = (asked.start, asked.stop);

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

    fn asked_by(&self, event: &gst::event::Seek, duration: gst::ClockTime, playing: &Playing) -> Option<Asked> {
        let (rate, flags, start_type, start, stop_type, stop) = event.get();
        if start.format() != gst::Format::Time {
            return None;
        }
        let (before_start, before_stop) = *lock(&self.memory.asked);
        let limit = |kind, value: gst::GenericFormattedValue, before: Option<gst::ClockTime>| match kind {
            gst::SeekType::Set => u64::try_from(value.value()).ok().and_then(clock_time),
            gst::SeekType::End => clock_time(duration.nseconds().saturating_add_signed(value.value())),
            _ => before,
        };
        let start = limit(start_type, start, Some(before_start)).unwrap_or_default().min(duration);
        let stop = limit(stop_type, stop, before_stop);
        // A stop that is left as it was does not keep anybody from going behind it.
        let stop = stop.filter(|stop| stop_type != gst::SeekType::None || *stop > start);
        if stop.is_some_and(|stop| stop < start) {
            return None;
        }
        let last = stop.map_or(duration, |stop| stop.min(duration));
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
