//! How long nothing new has come of a stream, as far as that counts.

use std::time::Duration;

use tokio::time::Instant;

/// Watches what comes. Time in which nobody waits, as while a pipeline is paused, is not counted, nor is time in which a
/// fragment comes slowly.
#[derive(Debug)]
pub struct Idle {
    /// Nothing new has come since then.
    since: Instant,
    /// When the last wait ended.
    waited_until: Instant,
    /// Something has come since the last wait.
    fresh: bool,
    /// A fragment has brought something on the connection at hand, and is not whole.
    under_way: bool,
    /// The connection at hand begins with what a cut fragment has brought already.
    repeating: bool,
}

impl Idle {
    pub fn new(now: Instant) -> Self {
        Self { since: now, waited_until: now, fresh: false, under_way: false, repeating: false }
    }

    /// A fragment has brought something new.
    pub fn heard(&mut self) {
        self.fresh = true;
        self.under_way = true;
    }

    /// Bytes have come, of whatever.
    pub fn received(&mut self) {
        self.fresh |= self.under_way || self.repeating;
    }

    /// The fragment is whole.
    pub fn fragment_over(&mut self) {
        self.under_way = false;
        self.repeating = false;
    }

    /// The connection is over; the next one begins with what a cut fragment has brought, or does not. Whether a fragment was
    /// under way.
    pub fn connection_over(&mut self, repeating: bool) -> bool {
        self.repeating = repeating;
        std::mem::take(&mut self.under_way)
    }

    /// Somebody waits from now on.
    pub fn wait_begins(&mut self, now: Instant) {
        if std::mem::take(&mut self.fresh) {
            self.since = now;
        } else {
            self.since += now.saturating_duration_since(self.waited_until);
        }
        self.waited_until = now;
    }

    pub fn wait_ends(&mut self, now: Instant) {
        self.waited_until = now;
    }

    /// The service was not there: what was before counts no more.
    pub fn begin_anew(&mut self) {
        self.since = self.waited_until;
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// When nothing new will have come for so long.
    pub fn reaches(&self, timeout: Duration) -> Instant {
        self.since + timeout
    }

    /// Whether nothing new has come for so long.
    pub fn has_reached(&self, timeout: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A clock that goes on while somebody waits, and an eye on what comes.
    struct Waiting(Instant, Idle);

    impl Waiting {
        fn new() -> Self {
            let now = Instant::now();
            Self(now, Idle::new(now))
        }

        fn wait(&mut self) {
            self.1.wait_begins(self.0);
            self.0 += SECOND;
            self.1.wait_ends(self.0);
        }

        /// For how many whole seconds nothing has come.
        fn lasts(&mut self) -> u64 {
            self.1.wait_begins(self.0);
            (0..).take_while(|seconds| self.1.has_reached(Duration::from_secs(*seconds), self.0)).last().unwrap()
        }
    }

    #[test]
    fn only_waits_in_which_nothing_comes_are_counted() {
        let mut waiting = Waiting::new();
        waiting.wait();
        // A pause.
        waiting.0 += 100 * SECOND;
        waiting.wait();
        assert_eq!(waiting.lasts(), 2);
        assert_eq!(waiting.1.reaches(3 * SECOND), waiting.0 + SECOND);
        // Bytes of what is no fragment change nothing.
        waiting.1.received();
        waiting.wait();
        assert_eq!(waiting.lasts(), 3);
        waiting.1.heard();
        waiting.wait();
        assert_eq!(waiting.lasts(), 1);
        waiting.1.begin_anew();
        assert_eq!(waiting.lasts(), 0);
    }

    #[test]
    fn a_fragment_that_comes_slowly_is_none_that_does_not_come() {
        let mut waiting = Waiting::new();
        waiting.1.heard();
        for _ in 0..10 {
            waiting.wait();
            waiting.1.received();
        }
        assert_eq!(waiting.lasts(), 0);
        assert!(waiting.1.connection_over(true) && !waiting.1.is_under_way());
        // It comes once more from its beginning.
        waiting.wait();
        waiting.1.received();
        assert_eq!(waiting.lasts(), 0);
        waiting.1.fragment_over();
        waiting.wait();
        waiting.1.received();
        assert_eq!(waiting.lasts(), 1);
    }
}
