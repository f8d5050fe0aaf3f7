//! What is counted and told of the archive's calls while they are made.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::aws::{self, ServiceErrorKind};
use crate::kvssrc::notice::Notice;
use crate::kvssrc::statistics::Statistics;

/// How many notices wait for the streaming thread at most; what comes while it stands still for longer is only counted.
const MOST_NOTICES: usize = 64;

/// Shared by the tasks of a reading. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Account {
    statistics: Arc<Statistics>,
    notices: mpsc::Sender<Notice>,
}

impl Account {
    /// An account, and where its notices come out.
    pub fn new(statistics: Arc<Statistics>) -> (Self, mpsc::Receiver<Notice>) {
        let (notices, receiver) = mpsc::channel(MOST_NOTICES);
        (Self { statistics, notices }, receiver)
    }

    /// So many bytes of a body have come.
    pub fn received(&self, bytes: usize) {
        self.statistics.received(bytes);
    }

    /// A call has failed.
    pub fn failed(&self, error: &aws::Error) {
        if matches!(error, aws::Error::Service { kind: ServiceErrorKind::Throttled, .. }) {
            self.statistics.throttled();
        }
    }

    /// What a call did not bring is asked for again after the delay.
    pub fn again(&self, reason: String, delay: Duration) {
        self.statistics.reconnects();
        // Fails where nobody takes them.
        let _ = self.notices.try_send(Notice::Reconnecting { reason, delay });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_counted_and_not_kept() {
        let statistics = Arc::new(Statistics::default());
        let (account, mut notices) = Account::new(Arc::clone(&statistics));
        for attempt in 0..1000 {
            account.again(attempt.to_string(), Duration::ZERO);
        }
        assert_eq!(statistics.totals().3, 1000);
        let mut told = 0;
        while let Ok(Notice::Reconnecting { reason, .. }) = notices.try_recv() {
            assert_eq!(reason, told.to_string());
            told += 1;
        }
        assert_eq!(told, MOST_NOTICES);
    }
}
