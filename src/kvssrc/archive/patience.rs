//! How often a call that failed is made again, and when.

use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use crate::aws::{self, Recovery};
use crate::kvssrc::pace::{LONGEST_DELAY, delays};

/// The failures of one kind of call in a row.
pub struct Attempts {
    /// How long calls may fail; `None`: for ever.
    patience: Option<Duration>,
    failing_since: Option<Instant>,
    /// Delays have been used up.
    failed: bool,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    /// The same, while calls go well and do not bring what they should.
    delays_of_absence: Box<dyn Iterator<Item = Duration> + Send>,
    account: Account,
}

impl Attempts {
    pub fn new(patience: Option<Duration>, account: Account) -> Self {
        Self { patience, failing_since: None, failed: false, delays: delays(), delays_of_absence: delays(), account }
    }

    /// Something came: whatever fails from now on fails for the first time.
    pub fn succeeded(&mut self) {
        if self.failed {
            self.delays = delays();
        }
        self.failed = false;
        self.failing_since = None;
    }

    /// A call failed: how long to wait before the next one; `None` where there should be none.
    pub fn failed(&mut self, error: &aws::Error) -> Option<Duration> {
        self.account.failed(error);
        if error.recovery() != Recovery::Retry {
            return None;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if self.patience.is_some_and(|patience| since.elapsed() >= patience) {
            return None;
        }
        self.failed = true;
        let delay = self.delays.next().unwrap_or(LONGEST_DELAY);
        self.account.again(error.to_string(), delay);
        Some(delay)
    }

    /// What is not called for need not have failed all the time: patience begins anew, and delays go on.
    pub fn interrupted(&mut self) {
        self.failing_since = None;
    }

    /// A call brought less than was asked for, and the next one is made at once.
    pub fn again(&self, reason: String) {
        self.account.again(reason, Duration::ZERO);
    }

    /// What a call was to bring was not found: how long to wait before the next one.
    pub fn absent(&mut self, reason: String) -> Duration {
        let delay = self.delays_of_absence.next().unwrap_or(LONGEST_DELAY);
        self.account.again(reason, delay);
        delay
    }

    /// What was not found before is found, or given up: what is not found from now on is another.
    pub fn settled(&mut self) {
        self.delays_of_absence = delays();
    }

    /// So many bytes have come.
    pub fn received(&self, bytes: usize) {
        self.account.received(bytes);
    }
}
