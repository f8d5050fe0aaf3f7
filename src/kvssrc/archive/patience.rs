//! How often a call that failed is made again, and when.

use std::time::Duration;

use tokio::time::Instant;

use crate::aws::{self, Recovery};
use crate::kvssrc::link::{LONGEST_DELAY, delays};

/// The failures of one kind of call in a row.
pub struct Attempts {
    /// How long calls may fail; `None`: for ever.
    patience: Option<Duration>,
    failing_since: Option<Instant>,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
}

impl Attempts {
    pub fn new(patience: Option<Duration>) -> Self {
        Self { patience, failing_since: None, delays: delays() }
    }

    /// Something came: whatever fails from now on fails for the first time.
    pub fn succeeded(&mut self) {
        if self.failing_since.take().is_some() {
            self.delays = delays();
        }
    }

    /// A call failed: how long to wait before the next one; `None` where there should be none.
    pub fn failed(&mut self, error: &aws::Error) -> Option<Duration> {
        if error.recovery() != Recovery::Retry {
            return None;
        }
        self.pause()
    }

    /// Nothing came: how long to wait before the next call; `None` where there should be none.
    pub fn pause(&mut self) -> Option<Duration> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if self.patience.is_some_and(|patience| since.elapsed() >= patience) {
            return None;
        }
        Some(self.delays.next().unwrap_or(LONGEST_DELAY))
    }
}
