//! The seeks that are being done: the base class tells its subclass only what it made of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tokio::sync::watch;

/// The events, each of the thread that asks for it: several may ask at once, and wait for each other in the base class.
///
/// One that does not flush waits there until the streaming thread returns, which the base class does not ask it to: the
/// streaming thread waits with [`Seeks::wait`] beside whatever else it waits for.
#[derive(Debug)]
pub struct Seeks {
    at_hand: Mutex<Vec<Seek>>,
    /// That of the last seek that was done: segments that come of it bear it, also those that the base class numbers anew.
    seqnum: Mutex<Option<gst::Seqnum>>,
    /// How many wait for the streaming thread.
    waiting: watch::Sender<usize>,
}

#[derive(Debug)]
struct Seek {
    thread: ThreadId,
    event: gst::event::Seek<gst::Event>,
    waits: bool,
}

impl Default for Seeks {
    fn default() -> Self {
        Self { at_hand: Mutex::default(), seqnum: Mutex::default(), waiting: watch::Sender::new(0) }
    }
}

impl Seeks {
    /// Does something with an event; while that is done, a seek is at hand. `seekable`: the base class will not refuse it.
    pub fn during(&self, event: &gst::Event, seekable: bool, work: impl FnOnce() -> bool) -> bool {
        let gst::EventView::Seek(seek) = event.view() else { return work() };
        let thread = thread::current().id();
        let (_, flags, _, start, ..) = seek.get();
        let waits = seekable && !flags.contains(gst::SeekFlags::FLUSH) && start.format() == gst::Format::Time;
        self.change(|seeks| seeks.push(Seek { thread, event: seek.to_owned(), waits }));
        let done = work();
        self.change(|seeks| {
            if let Some(index) = seeks.iter().rposition(|seek| seek.thread == thread) {
                seeks.remove(index);
            }
        });
        done
    }

    /// The one that this thread asks for; it waits no longer.
    pub fn at_hand(&self) -> Option<gst::event::Seek<gst::Event>> {
        let thread = thread::current().id();
        self.change(|seeks| {
            let seek = seeks.iter_mut().rfind(|seek| seek.thread == thread)?;
            seek.waits = false;
            Some((*seek.event).to_owned())
        })
    }

    /// This one has been done; `None`: that of the start.
    pub fn done(&self, seek: Option<&gst::event::Seek>) {
        *lock(&self.seqnum) = seek.map(|seek| seek.seqnum());
    }

    /// None has been done.
    pub fn forget(&self) {
        *lock(&self.seqnum) = None;
    }

    /// Marks a segment as what came of the last seek.
    pub fn mark(&self, event: &mut gst::Event) {
        if event.type_() == gst::EventType::Segment
            && let Some(seqnum) = *lock(&self.seqnum)
            && event.seqnum() != seqnum
        {
            event.make_mut().set_seqnum(seqnum);
        }
    }

    /// Until a seek waits for the streaming thread.
    pub async fn wait(&self) {
        // Fails only where the sender is gone.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Seek>) -> T) -> T {
        let mut seeks = lock(&self.at_hand);
        let changed = change(&mut seeks);
        self.waiting.send_replace(seeks.iter().filter(|seek| seek.waits).count());
        changed
    }
}

/// What a thread that panicked left behind is still whole here: every write adds, removes or marks one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(seeks.during(&seek(2.0), true, || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    assert_eq!(rate(), None);
                    assert!(!seeks.during(&seek(3.0), true, || rate() != Some(3.0)));
                });
            });
            rate() == Some(2.0)
        }));
        assert_eq!(rate(), None);
        assert!(seeks.during(&gst::event::Latency::new(gst::ClockTime::ZERO), true, || rate().is_none()));
    }
}
