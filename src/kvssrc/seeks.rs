//! The seeks that are being done: the base class tells its subclass only what it made of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// The events, each of the thread that asks for it: several may ask at once, and wait for each other in the base class.
#[derive(Debug, Default)]
pub struct Seeks(Mutex<Vec<(ThreadId, gst::event::Seek<gst::Event>)>>);

impl Seeks {
    /// Does something with an event; while that is done, a seek is at hand.
    pub fn during(&self, event: &gst::Event, work: impl FnOnce() -> bool) -> bool {
        let gst::EventView::Seek(seek) = event.view() else { return work() };
        let thread = thread::current().id();
        self.lock().push((thread, seek.to_owned()));
        let done = work();
        let mut seeks = self.lock();
        if let Some(index) = seeks.iter().rposition(|(asking, _)| *asking == thread) {
            seeks.remove(index);
        }
        done
    }

    /// The one that this thread asks for.
    pub fn at_hand(&self) -> Option<gst::event::Seek<gst::Event>> {
        let thread = thread::current().id();
        self.lock().iter().rfind(|(asking, _)| *asking == thread).map(|(_, seek)| (**seek).to_owned())
    }

    /// What a thread that panicked left behind is still whole here: every write adds or removes one.
    fn lock(&self) -> MutexGuard<'_, Vec<(ThreadId, gst::event::Seek<gst::Event>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seek(rate: f64) -> gst::Event {
        let (set, start) = (gst::SeekType::Set, gst::ClockTime::ZERO);
        gst::event::Seek::new(rate, gst::SeekFlags::FLUSH, set, start, set, gst::ClockTime::NONE)
    }

    #[test]
    fn each_thread_has_its_own_and_only_while_it_asks() {
        gst::init().unwrap();
        let seeks = Seeks::default();
        let rate = || seeks.at_hand().map(|seek| seek.rate());
        assert!(seeks.during(&seek(2.0), || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    assert_eq!(rate(), None);
                    assert!(!seeks.during(&seek(3.0), || rate() != Some(3.0)));
                });
            });
            rate() == Some(2.0)
        }));
        assert_eq!(rate(), None);
        assert!(seeks.during(&gst::event::Latency::new(gst::ClockTime::ZERO), || rate().is_none()));
    }
}
