//! A range of the archive: what of it is read, and where in it.

mod account;
mod board;
mod lane;
mod lister;
mod patience;
mod session;

use std::sync::OnceLock;

use super::dvr::Dvr;
use super::settings::{GoingBack, OnDemand, Plan};
use crate::aws::Archive;
use crate::fragment::{Clock, Snap, UnixTime};

pub use session::{Continuation, Session};

/// A range, as long as the element is started. Every seek begins another reading of it.
pub struct Range {
    pub plan: Plan,
    pub on_demand: OnDemand,
    /// Its endpoints stay known over all readings.
    archive: Archive,
    /// Where it begins, in ns since 1970; that of the earliest fragment is known once one has been listed.
    beginning: OnceLock<i64>,
    /// It is the past of a stream that is followed: behind its end, that goes on.
    pub goes_on: bool,
}

/// Where a reading begins and ends.
#[derive(Clone, Debug)]
pub struct Position {
    /// From and to where, from the range's beginning, and how it is to be played.
    pub segment: gst::FormattedSegment<gst::ClockTime>,
    pub snap: Snap,
    pub keyframes_only: bool,
}

impl Range {
    pub fn new(plan: Plan, on_demand: OnDemand) -> Self {
        let beginning = OnceLock::new();
        if let Some(start) = on_demand.start {
            beginning.get_or_init(|| start.nanoseconds());
        }
        Self { archive: Archive::new(&plan.request), beginning, on_demand, plan, goes_on: false }
    }

    /// What a stream that is followed has by now, from the moment of its stream time 0 on; `None` where that has none.
    pub fn past(dvr: &Dvr) -> Option<Self> {
        let (origin, reaches) = dvr.extent()?;
        let edge = UnixTime::from_nanoseconds(origin.saturating_add_unsigned(reaches))?;
        // Whichever of the clocks is ahead, and where it is to end at the latest.
        let newest = UnixTime::now().map_or(edge, |now| now.max(edge));
        let GoingBack { connections, fails_on_missing, .. } = dvr.plan.going_back;
        let on_demand = OnDemand {
            clock: dvr.clock(),
            start: None,
            end: dvr.plan.range.end.map_or(newest, |end| end.min(newest)),
            connections,
            fails_on_missing,
        };
        // Stream time 0 may lie before 1970, where the clock is not set.
        let beginning = OnceLock::from(origin);
        Some(Self { plan: dvr.plan.clone(), on_demand, archive: dvr.archive.clone(), beginning, goes_on: true })
    }

    /// How long it is; `None` until that is known.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        if self.goes_on { None } else { self.length() }
    }

    /// The same, up to now where it goes on.
    fn length(&self) -> Option<gst::ClockTime> {
        let length = self.on_demand.end.nanoseconds().checked_sub(*self.beginning.get()?)?;
        u64::try_from(length).ok().map(gst::ClockTime::from_nseconds)
    }

    /// All of it.
    pub fn whole(&self) -> Position {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_stop(self.stop(None));
        segment.set_duration(self.duration());
        Position { segment, snap: Snap::Exact, keyframes_only: false }
    }

    /// The place that a seek asks for, which becomes that of the segment; `None` where there is none.
    pub fn seek(&self, segment: &mut gst::Segment, flags: gst::SeekFlags) -> Option<Position> {
        let length = self.length()?;
        let wanted = segment.downcast_mut::<gst::ClockTime>()?;
        if wanted.rate() <= 0.0 {
            return None;
        }
        let start = wanted.start().unwrap_or_default().min(length);
        wanted.set_start(start);
        wanted.set_position(start);
        wanted.set_time(start);
        wanted.set_stop(self.stop(wanted.stop()));
        wanted.set_duration(self.duration());
        let snap = if flags.contains(gst::SeekFlags::KEY_UNIT) { Snap::Keyframe } else { Snap::Exact };
        let keyframes_only = wanted.flags().contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        Some(Position { segment: wanted.clone(), snap, keyframes_only })
    }

    /// Where to stop at the latest. By the service's clock, fragments that came in a burst are longer than the time they
    /// came in: there, frames end the range, and the segment has no end.
    fn stop(&self, asked: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
        match (self.on_demand.clock, asked, self.duration()) {
            (_, None, _) if self.on_demand.clock == Clock::Server => None,
            (_, Some(asked), Some(duration)) => Some(asked.min(duration)),
            (_, asked, duration) => asked.or(duration),
        }
    }

    /// The end of the range, or of the part that a segment asks for, in ns since 1970.
    fn end(&self, position: &Position) -> i64 {
        let end = self.on_demand.end.nanoseconds();
        match (self.beginning.get(), position.segment.stop()) {
            (Some(beginning), Some(stop)) => beginning.saturating_add_unsigned(stop.nseconds()).min(end),
            _ => end,
        }
    }

    /// The first moment whose frames are not wanted, in ns since 1970.
    fn cut(&self, position: &Position) -> i64 {
        if self.goes_on_behind(position) { i64::MAX } else { self.end(position) }
    }

    /// Whether the stream goes on behind a reading from there.
    fn goes_on_behind(&self, position: &Position) -> bool {
        self.goes_on && position.segment.stop().is_none() && position.segment.rate() > 0.0
    }
}

/// A moment in ns as ms.
fn milliseconds(time: i64) -> i64 {
    time.div_euclid(1_000_000)
}

impl std::fmt::Debug for Range {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.beginning.get().and_then(|start| UnixTime::from_nanoseconds(*start));
        formatter.debug_struct("Range").field("start", &start).field("end", &self.on_demand.end).finish()
    }
}
