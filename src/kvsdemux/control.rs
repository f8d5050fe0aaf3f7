//! What other threads ask of the streaming thread, and what they may know of it.

use std::sync::{Mutex, MutexGuard};

/// Shared by the element and its streaming thread.
#[derive(Debug, Default)]
pub struct Control(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    time: Time,
    /// The ids of the streams there are.
    streams: Vec<String>,
    selection: Option<Selection>,
    latest: Option<gst::Seqnum>,
    /// The seek that upstream has done last.
    sought: Option<gst::Seqnum>,
}

/// Whose times the frames have.
#[derive(Debug, Default)]
pub enum Time {
    /// Upstream's, who is to be asked of them.
    #[default]
    Upstream,
    /// The element's own, in a segment that begins at 0; `position` is the last frame's, in ns.
    Own { position: Option<u64> },
}

/// Streams that an application has selected, by a select-streams event with this sequence number.
#[derive(Debug)]
pub struct Selection {
    pub streams: Vec<String>,
    pub seqnum: gst::Seqnum,
}

impl Control {
    /// Forgets everything.
    pub fn reset(&self) {
        *self.lock() = Inner::default();
    }

    pub fn set_time(&self, time: Time) {
        self.lock().time = time;
    }

    /// Whether upstream is to be asked of times.
    pub fn is_timed_by_upstream(&self) -> bool {
        matches!(self.lock().time, Time::Upstream)
    }

    /// The time of the last frame, in ns, where the element has times of its own.
    pub fn position(&self) -> Option<u64> {
        match self.lock().time {
            Time::Own { position } => position,
            Time::Upstream => None,
        }
    }

    /// A frame of this time goes out.
    pub fn moved_to(&self, pts: u64) {
        if let Time::Own { position } = &mut self.lock().time {
            *position = Some(position.map_or(pts, |position| position.max(pts)));
        }
    }

    pub fn set_streams(&self, streams: Vec<String>) {
        self.lock().streams = streams;
    }

    /// Asks for these streams only; whether that can be. The same event may come from several pads.
    pub fn select(&self, selection: Selection) -> bool {
        let mut inner = self.lock();
        if inner.latest == Some(selection.seqnum) {
            return true;
        }
        let known = selection.streams.iter().all(|id| inner.streams.contains(id));
        if selection.streams.is_empty() || !known {
            return false;
        }
        inner.latest = Some(selection.seqnum);
        inner.selection = Some(selection);
        true
    }

    /// Lets upstream do a seek, once: the same event comes from every sink of a pipeline.
    pub fn seek(&self, seqnum: gst::Seqnum, work: impl FnOnce() -> bool) -> bool {
        if self.lock().sought == Some(seqnum) {
            return true;
        }
        let done = work();
        if done {
            self.lock().sought = Some(seqnum);
        }
        done
    }

    /// What has been asked for since the last call.
    pub fn take_selection(&self) -> Option<Selection> {
        self.lock().selection.take()
    }

    /// What a thread that panicked left behind is still whole here: every write is one assignment.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
