//! The next connection, opened as soon as the one before is over.
//!
//! Whoever takes what a live stream brings may be waiting in a sink, as long as its latency, before it hears that a
//! connection is over. Were the next one opened only then, all that the camera makes meanwhile would come late. So the task
//! that reads a body follows it as far as it takes to know where the next one begins, and opens that. What of it goes out is
//! still decided by who takes it, and so is whether it is wanted at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::pace::{Failures, Pace};
use super::session::recovery_of;
use crate::aws::{self, Connection, Consumer, Listener, Recovery, StartSelector};
use crate::fragment::{Follower, Partial, ResumePoint};

/// The most connections, one after the other, that nobody has begun to take from: a pipeline that is paused has no use for
/// more calls.
const MOST: usize = 16;

/// Where a connection begins.
#[derive(Clone, Debug)]
pub struct Begin {
    pub start: StartSelector,
    /// What connections before it have brought.
    pub point: ResumePoint,
    /// The call is made then, after so many failures.
    pub at: Instant,
    pub failures: Failures,
}

/// Opens connections, and, of a stream that is watched while it is made, the next one of each.
#[derive(Clone)]
pub struct Opener {
    consumer: Consumer,
    first_start: StartSelector,
    ahead: Option<Arc<Semaphore>>,
}

impl Opener {
    /// `live`: of a stream that is watched while it is made. `first_start` is where all begins.
    pub fn new(consumer: Consumer, first_start: StartSelector, live: bool) -> Self {
        Self { consumer, first_start, ahead: live.then(|| Arc::new(Semaphore::new(MOST))) }
    }

    /// The start selector of a connection that goes on at the point.
    pub fn start_behind(&self, point: &ResumePoint) -> StartSelector {
        match (&point.whole, &point.partial) {
            (Some(whole), _) => StartSelector::AfterFragment(whole.clone()),
            // The first fragment of all was cut: the one that holds the moment at which it was received is itself.
            (None, Some(Partial { server_timestamp: Some(received), .. })) => StartSelector::ServerTimestamp(*received),
            _ => self.first_start.clone(),
        }
    }

    /// Begins a connection.
    pub fn open(&self, begin: Begin) -> Open {
        let Begin { start, point, at, failures } = begin;
        let next = Next::default();
        let listener = self.ahead.is_some().then(|| {
            let follower = Some(Follower::new(point));
            let following = Following { opener: self.clone(), failures, follower, opened: false, next: next.clone() };
            Box::new(following) as Box<dyn Listener>
        });
        Open { connection: self.consumer.open(start, at, listener), next }
    }
}

/// A connection, and the one after it.
pub struct Open {
    pub connection: Connection,
    next: Next,
}

impl Open {
    /// The connection after it, where that has been opened.
    pub fn into_next(self) -> Option<Box<Ahead>> {
        self.next.lock().take()
    }
}

/// A connection that was opened before anybody asked for it.
pub struct Ahead {
    pub begin: Begin,
    pub open: Open,
    _place: OwnedSemaphorePermit,
}

/// Where the connection after one is put.
#[derive(Clone, Default)]
struct Next(Arc<Mutex<Option<Box<Ahead>>>>);

impl Next {
    /// What a thread that panicked left behind is still whole here: every write is one assignment.
    fn lock(&self) -> MutexGuard<'_, Option<Box<Ahead>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows a body on the task that reads it.
struct Following {
    opener: Opener,
    failures: Failures,
    /// Taken once nothing follows, or nobody here can tell what.
    follower: Option<Follower>,
    opened: bool,
    next: Next,
}

impl Following {
    /// Opens the next connection, which goes on behind what this one has brought.
    fn open_next(&mut self, follower: &Follower, ended_well: bool) {
        let point = follower.resume_point();
        let progressed = follower.has_progressed();
        if progressed && point == ResumePoint::default() {
            // Nothing tells two fragments of such a stream apart.
            return;
        }
        let Some(Ok(place)) = self.opener.ahead.clone().map(Semaphore::try_acquire_owned) else { return };
        if progressed || ended_well {
            self.failures = Failures::default();
        }
        let at = Instant::now() + self.failures.delay(Pace::after(progressed, ended_well));
        let start = self.opener.start_behind(&point);
        let begin = Begin { start, point, at, failures: self.failures };
        let open = self.opener.open(begin.clone());
        *self.next.lock() = Some(Box::new(Ahead { begin, open, _place: place }));
    }
}

impl Listener for Following {
    fn opened(&mut self) {
        self.opened = true;
    }

    fn received(&mut self, bytes: &Bytes) -> bool {
        let Some(follower) = &mut self.follower else { return true };
        let Err(error) = follower.push(bytes.clone()) else { return true };
        let Some(follower) = self.follower.take() else { return true };
        if recovery_of(&error) != Recovery::Retry {
            return true;
        }
        self.open_next(&follower, false);
        false
    }

    fn over(&mut self, error: Option<&aws::Error>) {
        let Some(follower) = self.follower.take() else { return };
        if error.is_some_and(|error| error.recovery() != Recovery::Retry) {
            return;
        }
        // A camera may be silent, which is no failure.
        let is_well = match error {
            None => true,
            Some(aws::Error::Silent { .. }) => self.opened,
            Some(_) => false,
        };
        self.open_next(&follower, is_well && follower.ends_whole());
    }
}
