//! The connections of one reading, one after the other: opening them, waiting between them, giving up.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_retry2::strategy::{ExponentialFactorBackoff, jitter_with_bounds};

use crate::aws::{self, Arrival, Connection, Consumer, Received, Stage, StartSelector, Unrenewed};

/// Back-off: full jitter below 100 ms, doubled with each failure, up to 30 s.
const SHORTEST_DELAY_MS: u64 = 100;
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How soon a call follows one that ended well and brought nothing: the service allows 5 a second.
const PAUSE: Duration = Duration::from_millis(500);

/// When the next call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// After a pause: nothing is wrong.
    Steady,
    /// After a delay that grows with each failure.
    BackOff,
}

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
    consumer: Consumer,
    state: State,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    attempt: u32,
    /// When the failures began that nothing has come since.
    failing_since: Option<Instant>,
}

enum State {
    Waiting {
        until: Instant,
        start: StartSelector,
    },
    Open(Connection),
    /// The last connection is over, and nobody has asked for another.
    Over,
}

impl Link {
    /// A link whose first call begins with the first [`next`](Self::next).
    pub fn new(consumer: Consumer, start: StartSelector) -> Self {
        let state = State::Waiting { until: Instant::now(), start };
        Self { consumer, state, delays: delays(), attempt: 0, failing_since: None }
    }

    /// The next thing that happens, or [`Event::Idle`] at `idle` while a call is under way. Nothing is lost where the
    /// future is dropped.
    pub async fn next(&mut self, idle: Option<Instant>) -> Event {
        match &mut self.state {
            State::Waiting { until, start } => {
                tokio::time::sleep_until(*until).await;
                self.state = State::Open(self.consumer.open(start.clone()));
                self.attempt = self.attempt.saturating_add(1);
                Event::Connecting(self.attempt)
            }
            State::Open(connection) => {
                let received = tokio::select! {
                    biased;
                    received = connection.next() => received,
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
            State::Over => self.over(None),
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
        self.delays = delays();
        self.failing_since = None;
    }

    /// Begins a new connection after a delay; how long that is.
    pub fn reconnect(&mut self, start: StartSelector, pace: Pace) -> Duration {
        let delay = match pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::Steady => PAUSE,
            Pace::BackOff => self.delays.next().unwrap_or(LONGEST_DELAY),
        };
        self.state = State::Waiting { until: Instant::now() + delay, start };
        delay
    }

    /// Whether it has failed for so long that it is time to give up.
    pub fn has_failed_for(&mut self, patience: Option<Duration>) -> bool {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        patience.is_some_and(|patience| since.elapsed() >= patience)
    }

    fn over(&mut self, error: Option<aws::Error>) -> Event {
        self.state = State::Over;
        Event::Over(error)
    }
}

/// The delays of a back-off.
pub(super) fn delays() -> Box<dyn Iterator<Item = Duration> + Send> {
    let delays = ExponentialFactorBackoff::from_millis(SHORTEST_DELAY_MS, 2.0).max_delay(LONGEST_DELAY);
    Box::new(delays.map(jitter_with_bounds(0.0, 1.0)))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
