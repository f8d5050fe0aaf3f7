//! Seeking: from what the base class was asked to another reading.

use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::archive::Playing;
use super::dvr::Target;
use super::imp::{CAT, KvsSrc, State, lock};
use crate::output::{self, clock_time};

impl KvsSrc {
    /// Begins another reading where the seek says. What was read before is over: nothing reads it meanwhile.
    pub(super) fn seek(&self, segment: &mut gst::Segment) -> bool {
        let seek = self.seeks.at_hand();
        let reached = match &*lock(&self.state) {
            State::Reading(reading) => reading.reached(),
            _ => None,
        };
        let playing = Playing { segment: self.obj().segment(), reached };
        let (dvr, range) = (lock(&self.dvr).clone(), lock(&self.range).clone());
        let next = match (dvr, range) {
            (Some(dvr), _) => match dvr.seek(segment, seek.as_deref(), &playing) {
                Some(Target::Present(plan)) => Some(State::Started(plan)),
                Some(Target::Past(range, position)) => Some(State::Positioned(range, position)),
                None => None,
            },
            (None, Some(range)) => {
                let position = range.seek(segment, seek.as_deref(), &playing);
                position.map(|position| State::Positioned(range, Box::new(position)))
            }
            (None, None) => return self.parent_do_seek(segment),
        };
        gst::debug!(CAT, imp = self, "Seeking to {segment:?}: {}", next.is_some());
        let mut state = lock(&self.state);
        let before = match (next, &*state) {
            // Before it is known where the stream begins, nothing can be sought in it, and all of it is played.
            (None, State::Started(_)) if seek.is_none() => {
                *segment = gst::FormattedSegment::<gst::ClockTime>::new().upcast();
                return true;
            }
            (None, State::Positioned(_, position)) if seek.is_none() && segment.rate() > 0.0 => {
                *segment = position.segment.clone().upcast();
                return true;
            }
            (None, _) | (Some(_), State::Stopped) => return false,
            (Some(next), _) => std::mem::replace(&mut *state, next),
        };
        drop(state);
        // Dropped outside of the lock: this ends its connections.
        if let State::Reading(mut reading) = before {
            reading.close(None).for_each(|notice| self.tell(&notice));
        }
        self.seeks.done(seek.as_deref());
        self.statistics.sought();
        true
    }

    /// Whether the event is a seek that cannot be done: the base class would find that out when it has flushed, or wait
    /// for the streaming thread to do so. One that comes before the pad is active is kept for later.
    pub(super) fn refuses(&self, event: &gst::Event) -> bool {
        let gst::EventView::Seek(seek) = event.view() else { return false };
        let (_, _, start_type, start, stop_type, stop) = seek.get();
        let both_set = start_type == gst::SeekType::Set && stop_type == gst::SeekType::Set;
        let is_reversed = both_set && stop.value() >= 0 && start.value() > stop.value();
        self.obj().src_pad().is_active() && (is_reversed || self.seekable_until().is_none())
    }

    /// Up to where one can seek, in stream time.
    pub(super) fn seekable_until(&self) -> Option<gst::ClockTime> {
        let end = lock(&self.dvr).as_ref().and_then(|dvr| dvr.extent());
        let duration = self.statistics.duration().unwrap_or(u64::MAX);
        let end = end.and_then(|(_, reaches)| clock_time(reaches.min(duration)));
        end.or_else(|| lock(&self.range).as_ref().and_then(|range| range.duration()))
    }

    /// The times of what follows are later by other so many ns than before: moves the segment with them.
    pub(super) fn move_segment(&self, before: u64, later: u64) {
        let mut segment = self.obj().segment();
        let Some(timed) = segment.downcast_mut::<gst::ClockTime>() else { return };
        output::move_segment(timed, before, later);
        gst::debug!(CAT, imp = self, "The segment is {timed:?}");
        // Fails only for a segment of another format.
        let _ = self.obj().new_segment(&segment);
    }

    /// A segment that ends is over to its end, also where frames end before it: what follows without a flush goes on there.
    pub(super) fn complete_segment(&self) {
        let mut segment = self.obj().segment();
        let Some(timed) = segment.downcast_mut::<gst::ClockTime>() else { return };
        if timed.flags().contains(gst::SegmentFlags::SEGMENT) {
            let end = if timed.rate() < 0.0 { timed.start() } else { timed.stop() };
            timed.set_position(end.or(timed.position()));
            // Fails only for a segment of another format.
            let _ = self.obj().new_segment(&segment);
        }
    }
}
