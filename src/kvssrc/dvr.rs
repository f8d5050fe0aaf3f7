//! A live stream that one can go back in: which moment has which stream time, and how far it reaches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::archive::{Memory, Playing, Position, Range};
use super::settings::Plan;
use crate::aws::{Archive, StartSelector};
use crate::fragment::{Clock, Fragment, FragmentEnd, TimedBlock, TimestampMode, UnixTime};

/// Who seeks to what the stream ends at, in ns, asks for the newest, although it has grown meanwhile.
const CLOSE: u64 = 2_000_000_000;

/// What is played faster than it is made has caught up with it when so much of it, in ns, is left: a fragment at most
/// ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)).
const CAUGHT_UP: u64 = 10_000_000_000;

/// Of a live reading, as long as the element is started. All moments are in ns since 1970, on the clock that presentation
/// time follows.
///
/// Invariant: over all readings, from the archive or not, a moment keeps its stream time, but for what clocks that part
/// are corrected by.
pub struct Dvr {
    pub plan: Plan,
    /// Keeps what is known of the service over all readings.
    pub archive: Archive,
    pub memory: Arc<Memory>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The moment of stream time 0.
    origin: i64,
    /// The newest moment that the service had, and when that was.
    edge: i64,
    at: Instant,
}

impl Dvr {
    /// `None` where stream time does not tell a moment, or where a checkpoint says how far reading has come.
    pub fn new(plan: &Plan) -> Option<Self> {
        let can = plan.checkpoint.is_none() && plan.timestamp_mode != TimestampMode::Contiguous;
        can.then(|| Self {
            archive: Archive::new(&plan.request),
            plan: plan.clone(),
            memory: Arc::default(),
            known: Mutex::default(),
        })
    }

    /// The stream time of the first frame, in ns.
    pub fn window(&self) -> u64 {
        u64::try_from(self.plan.going_back.window.as_nanos()).unwrap_or(u64::MAX)
    }

    pub fn clock(&self) -> Clock {
        match self.plan.timestamp_mode {
            TimestampMode::Server => Clock::Server,
            TimestampMode::Producer | TimestampMode::Contiguous => Clock::Producer,
        }
    }

    /// The end that was set, where it is meant on this clock.
    pub fn end(&self) -> Option<UnixTime> {
        self.plan.range.end.filter(|_| self.plan.range.clock == self.clock())
    }

    /// The moment of stream time 0, and the stream time of the newest moment before the end, in ns; `None` before anything
    /// has come.
    pub fn extent(&self) -> Option<(i64, u64)> {
        let Known { origin, edge, at } = (*self.lock())?;
        let passed = i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let edge = edge.saturating_add(passed);
        let edge = match self.end() {
            Some(end) if self.is_over(edge) => end.nanoseconds(),
            _ => edge,
        };
        Some((origin, u64::try_from(edge.saturating_sub(origin)).unwrap_or(0)))
    }

    /// Whether the end that was set has passed, by the stream's clock or by this machine's.
    fn is_over(&self, edge: i64) -> bool {
        let newest = UnixTime::now().map_or(edge, |now| edge.max(now.nanoseconds()));
        self.end().is_some_and(|end| end.nanoseconds() <= newest)
    }

    /// Where a seek leads, which becomes the place of the segment; `None` before anything has come.
    pub fn seek(
        &self,
        segment: &mut gst::Segment,
        event: Option<&gst::event::Seek>,
        playing: &Playing,
    ) -> Option<Target> {
        let (origin, reaches) = self.extent()?;
        let (rate, flags, start_type, start, ..) = event?.get();
        let start = match start_type {
            gst::SeekType::Set => u64::try_from(start.value()).unwrap_or(0),
            gst::SeekType::End => reaches.saturating_add_signed(start.value()),
            _ => 0,
        };
        // Behind the end that was set nothing comes.
        let is_over = self.is_over(origin.saturating_add_unsigned(reaches));
        if rate > 0.0 && !is_over && start.saturating_add(CLOSE) >= reaches {
            self.memory.forget_asked();
            let present = segment.downcast_mut::<gst::ClockTime>()?;
            *present = gst::FormattedSegment::new();
            // What is live is presented by the running time at which it comes, flushed or not.
            if self.plan.live.is_none() && !flags.contains(gst::SeekFlags::FLUSH) {
                present.set_base(playing.running_time());
            }
            let mut plan = self.plan.clone();
            plan.request.start = StartSelector::Now;
            return Some(Target::Present(Box::new(plan)));
        }
        let range = Range::past(self)?;
        let position = range.seek(segment, event, playing)?;
        Some(Target::Past(Arc::new(range), Box::new(position)))
    }

    /// The past behind what is played, where there is more of it than one should jump over.
    pub fn later(&self, playing: &Playing) -> Option<(Arc<Range>, Box<Position>)> {
        let (_, reaches) = self.extent()?;
        if reaches.saturating_sub(playing.stream_time()?.nseconds()) < CAUGHT_UP {
            return None;
        }
        let range = Range::past(self)?;
        let position = range.seek(&mut playing.onwards()?, None, playing)?;
        Some((Arc::new(range), Box::new(position)))
    }

    /// By how many ns the stream time of a reading is later than its presentation time, which is `pts` at `moment`.
    fn lead(&self, moment: i64, pts: i64) -> u64 {
        let mut known = self.lock();
        let lead = match *known {
            Some(Known { origin, .. }) => moment.saturating_sub(origin).saturating_sub(pts),
            None => {
                let window = i64::try_from(self.window()).unwrap_or(i64::MAX);
                let origin = moment.saturating_sub(pts).saturating_sub(window);
                // What is not live may begin anywhere: until a fragment tells, it reaches up to now.
                let now = UnixTime::now().filter(|_| self.plan.live.is_none()).map_or(moment, UnixTime::nanoseconds);
                *known = Some(Known { origin, edge: now.max(moment), at: Instant::now() });
                window
            }
        };
        u64::try_from(lead).unwrap_or(0)
    }

    /// A moment has this stream time from now on.
    fn moved(&self, moment: i64, stream_time: i64) {
        if let Some(known) = &mut *self.lock() {
            known.origin = moment.saturating_sub(stream_time);
        }
    }

    /// The service has this moment now.
    fn reaches(&self, edge: i64) {
        if let Some(known) = &mut *self.lock() {
            known.edge = edge;
            known.at = Instant::now();
        }
    }

    /// What a thread that panicked left behind is still whole here: every write is one assignment.
    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a seek leads.
pub enum Target {
    /// To what comes now.
    Present(Box<Plan>),
    Past(Arc<Range>, Box<Position>),
}

/// One reading of GetMedia, as it tells of itself.
pub struct Watch {
    dvr: Arc<Dvr>,
    /// By how many ns stream time is later than presentation time, once that is known.
    lead: Option<i64>,
    /// By how many ns moments of the fragment at hand are later than its capture times.
    later: i64,
    /// The fragment at hand has a time of its own, and none of its frames has come.
    fresh: bool,
}

impl Watch {
    /// A reading that begins anew: `None` of `lead` until its first frame.
    pub fn new(dvr: Arc<Dvr>, lead: Option<i64>) -> Self {
        Self { dvr, lead, later: 0, fresh: false }
    }

    /// A fragment begins.
    pub fn begin(&mut self, fragment: &Fragment) {
        let moment = match self.dvr.clock() {
            Clock::Producer => fragment.producer_timestamp,
            Clock::Server => fragment.server_timestamp,
        };
        self.fresh = moment.is_some();
        self.later = moment.map_or(0, |moment| moment.nanoseconds().saturating_sub(fragment.start()));
    }

    /// A frame of it comes; the stream time of presentation time 0, in ns, where that is news.
    pub fn frame(&mut self, block: &TimedBlock) -> Option<u64> {
        if !std::mem::take(&mut self.fresh) {
            return None;
        }
        let moment = block.capture_time.saturating_add(self.later);
        let pts = i64::try_from(block.pts).unwrap_or(i64::MAX);
        if let Some(lead) = self.lead {
            self.dvr.moved(moment, pts.saturating_add(lead));
            return None;
        }
        let lead = self.dvr.lead(moment, pts);
        self.lead = i64::try_from(lead).ok();
        Some(lead)
    }

    /// By how many ns stream time is later than presentation time, as far as that is known.
    pub fn later(&self) -> i64 {
        self.lead.unwrap_or(0)
    }

    /// It is whole; the last of its frames ended when `captured_until` says, in ns.
    pub fn end(&self, end: &FragmentEnd, captured_until: Option<i64>) {
        let behind = i64::try_from(end.millis_behind_now.unwrap_or(0)).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        if let Some(until) = captured_until {
            self.dvr.reaches(until.saturating_add(self.later).saturating_add(behind));
        }
    }
}
