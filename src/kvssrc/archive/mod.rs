//! A range of the archive: what of it is read, and where in it.

mod account;
mod board;
mod course;
mod lane;
mod lister;
mod patience;
mod seek;
mod session;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::dvr::Dvr;
use super::settings::{GoingBack, OnDemand, Plan};
use crate::aws::Archive;
use crate::fragment::{Clock, Listed, Snap, Trick, UnixTime};
use crate::output::{Kinds, clock_time};

pub use seek::Playing;
pub use session::{Continuation, Session};

/// A range, as long as the element is started. Every seek begins another reading of it.
pub struct Range {
    pub plan: Plan,
    pub on_demand: OnDemand,
    /// Its endpoints stay known over all readings.
    archive: Archive,
    /// Where it begins, in ns since 1970; that of the earliest fragment is known once one has been listed.
    beginning: OnceLock<i64>,
    /// Of the past of a stream that is followed, which goes on behind it: how far that reached.
    goes_on: Option<gst::ClockTime>,
    memory: Arc<Memory>,
}

/// What one reading leaves to those after it.
#[derive(Debug, Default)]
pub struct Memory {
    /// Start and stop that the last seek asked for: what another one leaves as it is.
    asked: Mutex<(gst::ClockTime, Option<gst::ClockTime>)>,
    /// What goes out of it, once that is known.
    kinds: Mutex<Option<Kinds>>,
}

impl Memory {
    /// The last seek asked for everything.
    pub fn forget_asked(&self) {
        *lock(&self.asked) = Default::default();
    }
}

/// Where a reading begins and ends.
#[derive(Clone, Debug)]
pub struct Position {
    /// From and to where, from the range's beginning, and how it is to be played. Backward, it has a stop.
    pub segment: gst::FormattedSegment<gst::ClockTime>,
    /// The keyframe that the start is moved to, or, backward, the stop.
    pub snap: Snap,
    pub trick: Trick,
}

impl Position {
    /// Whether it is played from its stop to its start.
    pub fn is_backward(&self) -> bool {
        self.segment.rate() < 0.0
    }
}

impl Range {
    pub fn new(plan: Plan, on_demand: OnDemand) -> Self {
        let beginning = OnceLock::new();
        if let Some(start) = on_demand.start {
            beginning.get_or_init(|| start.nanoseconds());
        }
        Self { archive: Archive::new(&plan.request), beginning, on_demand, plan, goes_on: None, memory: Arc::default() }
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
            end: dvr.end().map_or(newest, |end| end.min(newest)),
            connections,
            fails_on_missing,
        };
        // Stream time 0 may lie before 1970, where the clock is not set.
        let beginning = OnceLock::from(origin);
        Some(Self {
            archive: dvr.archive.clone(),
            beginning,
            on_demand,
            plan: dvr.plan.clone(),
            goes_on: Some(clock_time(reaches)?),
            memory: Arc::clone(&dvr.memory),
        })
    }

    /// How long it is; `None` until that is known.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        if self.goes_on.is_some() { None } else { self.length() }
    }

    /// The same; of a stream that goes on, how far it reached.
    fn length(&self) -> Option<gst::ClockTime> {
        if self.goes_on.is_some() {
            return self.goes_on;
        }
        let length = self.on_demand.end.nanoseconds().checked_sub(*self.beginning.get()?)?;
        u64::try_from(length).ok().and_then(clock_time)
    }

    /// All of it.
    pub fn whole(&self) -> Position {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_stop(self.stop(None));
        segment.set_duration(self.duration());
        Position { segment, snap: Snap::Exact, trick: Trick::default() }
    }

    /// What goes out, in the reading at hand.
    fn goes_out_as(&self, kinds: Kinds) {
        *lock(&self.memory.kinds) = Some(kinds);
    }

    fn kinds(&self) -> Option<Kinds> {
        *lock(&self.memory.kinds)
    }

    /// A place in the range, in ns since 1970.
    fn moment(&self, place: gst::ClockTime) -> i64 {
        self.beginning.get().copied().unwrap_or(0).saturating_add_unsigned(place.nseconds())
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

    /// Whether a fragment was captured before an end by the service's clock, which it came behind: an upload that was late,
    /// and that what came in time may follow.
    fn is_before_the_end(&self, listed: &Listed) -> bool {
        let end = self.plan.range.end.filter(|_| self.plan.range.clock == Clock::Server);
        let start = listed.timestamp.saturating_mul(1_000_000);
        self.on_demand.clock == Clock::Producer && end.is_some_and(|end| start < end.nanoseconds())
    }

    /// Whether the stream goes on behind a reading from there.
    fn goes_on_behind(&self, position: &Position) -> bool {
        let ends = self.plan.range.end.is_some_and(|end| end == self.on_demand.end);
        self.goes_on.is_some() && !ends && position.segment.stop().is_none() && position.segment.rate() > 0.0
    }
}

/// What a thread that panicked left behind is still whole here: every write is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
