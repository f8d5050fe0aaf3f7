//! What follows where a reading of the archive ends and the stream goes on.

use std::sync::Arc;

use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::archive::{self, Continuation, Playing};
use super::dvr::{Dvr, Watch};
use super::error::Error;
use super::imp::{CAT, KvsSrc, lock};
use super::reading::Reading;
use super::session::Session;
use crate::runtime::runtime;

impl KvsSrc {
    /// Goes on behind a reading of the archive that has ended; whether there is anything to go on with.
    ///
    /// # Errors
    ///
    /// The system gives no threads.
    pub(super) fn follow(&self, reading: &mut Reading) -> Result<bool, Error> {
        let Reading::OnDemand(session) = reading else { return Ok(false) };
        let Some(dvr) = lock(&self.dvr).clone() else { return Ok(false) };
        let Some(continuation) = session.continuation() else { return Ok(false) };
        // Frames that tell no duration end where the next one begins.
        let latest = session.behind_latest();
        let playing = Playing { segment: self.obj().segment(), reached: latest.or(session.reached()) };
        session.close(None).for_each(|notice| self.tell(&notice));
        let later = if playing.is_fast() && latest.is_some() { dvr.later(&playing) } else { None };
        *reading = match later {
            // What came while the past was played is past too.
            Some((range, position)) => {
                gst::info!(CAT, imp = self, "Going on in the archive at {:?}", position.segment.start());
                let reporter = self.reporter(&range.plan);
                // Fails only for a segment of another format.
                let _ = self.obj().new_segment(position.segment.upcast_ref());
                let session = archive::Session::new(runtime()?.handle(), &range, *position, reporter);
                Reading::OnDemand(session.continued(continuation))
            }
            None => {
                // Faster than it is made nothing can be played.
                if let Some(segment) = playing.at_normal_speed().filter(|_| playing.is_fast()) {
                    let _ = self.obj().new_segment(segment.upcast_ref());
                }
                Reading::Live(self.present(dvr, continuation)?)
            }
        };
        Ok(true)
    }

    /// GetMedia from the end of the archive on.
    fn present(&self, dvr: Arc<Dvr>, continuation: Continuation) -> Result<Session, Error> {
        let Continuation { start, frames, writing, lead } = continuation;
        gst::info!(CAT, imp = self, "The archive has been read; going on from {start:?}");
        let mut plan = dvr.plan.clone();
        plan.request.start = start;
        // Frames keep the distances that they have to those of the archive, whenever they come.
        plan.live = None;
        let watch = Watch::new(dvr, Some(lead.saturating_neg()));
        let reporter = self.reporter(&plan);
        let session = Session::new(runtime()?.handle(), &plan, self.arrival_clock(), reporter, Some(watch))?;
        Ok(session.continued(frames, writing))
    }
}
