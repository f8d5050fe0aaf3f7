//! How soon a call follows the one before.

use std::time::Duration;

use tokio_retry2::strategy::{ExponentialFactorBackoff, jitter_with_bounds};

/// Back-off: full jitter below 100 ms, doubled with each failure, up to 30 s.
const SHORTEST_DELAY_MS: u64 = 100;
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How soon a call follows one that ended well and brought nothing: the service allows 5 a second.
const PAUSE: Duration = Duration::from_millis(500);

/// After so many failures in a row delays grow no longer.
const MOST_FAILURES: usize = 16;

/// When the next call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// After a pause: nothing is wrong.
    Steady,
    /// After a delay that grows with each failure.
    BackOff,
}

impl Pace {
    /// What follows a connection that brought something new or did not, and ended well or did not.
    pub fn after(progressed: bool, ended_well: bool) -> Self {
        match (progressed, ended_well) {
            (true, _) => Self::AtOnce,
            (false, true) => Self::Steady,
            (false, false) => Self::BackOff,
        }
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures(usize);

impl Failures {
    /// How long to wait at this pace, one more failure where that is backing off.
    pub fn delay(&mut self, pace: Pace) -> Duration {
        match pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::Steady => PAUSE,
            Pace::BackOff => {
                let delay = delays().nth(self.0).unwrap_or(LONGEST_DELAY);
                self.0 = self.0.saturating_add(1).min(MOST_FAILURES);
                delay
            }
        }
    }
}

/// The delays of a back-off.
pub fn delays() -> Box<dyn Iterator<Item = Duration> + Send> {
    let delays = ExponentialFactorBackoff::from_millis(SHORTEST_DELAY_MS, 2.0).max_delay(LONGEST_DELAY);
    Box::new(delays.map(jitter_with_bounds(0.0, 1.0)))
}
