//! The connections of one reading, one after the other: opening them, waiting between them, giving up.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::ahead::{Ahead, Begin, Open, Opener};
use super::pace::{Failures, Pace};
use crate::aws::{self, Arrival, Received, Stage, StartSelector, Unrenewed};
use crate::fragment::ResumePoint;

/// What a link tells.
#[derive(Debug)]
pub enum Event {
    /// A call begins; it is the so-manieth since the last one that brought something.
    Connecting(u32),
    /// The call is at this.
    Began(Stage),
    /// The service has agreed to it.
    Connected,
    /// Credentials could not be renewed.
    Unrenewed(Unrenewed),
    /// Bytes, and when they came.
    Bytes(Bytes, Option<Arrival>),
    /// The connection is over: cleanly, or with an error.
    Over(Option<aws::Error>),
    /// Nothing came for as long as the caller said.
    Idle,
}

/// A connection, or the time until the next one.
pub struct Link {
    opener: Opener,
    state: State,
    failures: Failures,
    attempt: u32,
    /// When the failures began that nothing has come since.
    failing_since: Option<Instant>,
}

enum State {
    Waiting(Begin),
    /// The same of one that was opened before anybody asked for it.
    Ahead(Box<Ahead>),
    Open(Box<Open>),
    /// The last connection is over, and nobody has asked for another.
    Over(Option<Box<Ahead>>),
}

impl Link {
    /// A link whose first call begins with the first [`next`](Self::next); connections before it came to the point.
    pub fn new(opener: Opener, start: StartSelector, point: ResumePoint) -> Self {
        let failures = Failures::default();
        let state = State::Waiting(Begin { start, point, at: Instant::now(), failures });
        Self { opener, state, failures, attempt: 0, failing_since: None }
    }

    /// The next thing that happens, or [`Event::Idle`] at `idle` while a call is under way. Nothing is lost where the
    /// future is dropped.
    pub async fn next(&mut self, idle: Option<Instant>) -> Event {
        match &mut self.state {
            State::Waiting(begin) => {
                tokio::time::sleep_until(begin.at).await;
                let open = self.opener.open(begin.clone());
                self.begun(open)
            }
            State::Ahead(ahead) => {
                tokio::time::sleep_until(ahead.begin.at).await;
                match std::mem::replace(&mut self.state, State::Over(None)) {
                    State::Ahead(ahead) => self.begun(ahead.open),
                    // It is what has been waited for.
                    _ => self.over(None),
                }
            }
            State::Open(open) => {
                let received = tokio::select! {
                    biased;
                    received = open.connection.next() => received,
                    () = sleep_until(idle) => return Event::Idle,
                };
                match received {
                    Some(Ok(Received::Began(stage))) => Event::Began(stage),
                    Some(Ok(Received::Opened)) => Event::Connected,
                    Some(Ok(Received::Unrenewed(unrenewed))) => Event::Unrenewed(unrenewed),
                    Some(Ok(Received::Bytes(bytes, arrival))) => Event::Bytes(bytes, arrival),
                    Some(Err(error)) => self.over(Some(error)),
                    None => self.over(None),
                }
            }
            State::Over(_) => Event::Over(None),
        }
    }

    /// Something new came: whatever fails from now on fails for the first time.
    pub fn progressed(&mut self) {
        if self.attempt > 1 || self.failing_since.is_some() {
            self.stood();
        }
        self.attempt = 0;
    }

    /// A connection ended as it should, though it may have brought nothing: the service is there.
    pub fn stood(&mut self) {
        self.failures = Failures::default();
        self.failing_since = None;
    }

    /// Begins a new connection after a delay; how long that is. Connections before it came to the point. One that begins
    /// there already is taken on, however it came to be.
    pub fn reconnect(&mut self, start: StartSelector, point: ResumePoint, pace: Pace) -> Duration {
        let ahead = match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Over(ahead) => ahead,
            State::Open(open) => open.into_next(),
            State::Ahead(_) | State::Waiting(_) => None,
        };
        match ahead.filter(|ahead| ahead.begin.start == start) {
            Some(ahead) => {
                self.failures = ahead.begin.failures;
                let delay = ahead.begin.at.saturating_duration_since(Instant::now());
                self.state = State::Ahead(ahead);
                delay
            }
            None => {
                let delay = self.failures.delay(pace);
                let begin = Begin { start, point, at: Instant::now() + delay, failures: self.failures };
                self.state = State::Waiting(begin);
                delay
            }
        }
    }

    /// Whether it has failed for so long that it is time to give up.
    pub fn has_failed_for(&mut self, patience: Option<Duration>) -> bool {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        patience.is_some_and(|patience| since.elapsed() >= patience)
    }

    fn begun(&mut self, open: Open) -> Event {
        self.state = State::Open(Box::new(open));
        self.attempt = self.attempt.saturating_add(1);
        Event::Connecting(self.attempt)
    }

    fn over(&mut self, error: Option<aws::Error>) -> Event {
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Over(None)) {
            self.state = State::Over(open.into_next());
        }
        Event::Over(error)
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
