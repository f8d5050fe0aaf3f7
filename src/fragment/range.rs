//! The end that a consumer set, on the clock it asked in.

use super::{Fragment, UnixTime};

/// Which of a fragment's two clocks a range is meant in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// When the producer captured it.
    #[default]
    Producer,
    /// When the service received it.
    Server,
}

/// Up to where frames are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub clock: Clock,
    /// The first moment that is not wanted any more.
    pub end: Option<UnixTime>,
}

impl Range {
    /// Whether the fragment begins before the end. One without a timestamp has nothing to tell it by, and does.
    pub fn holds_start_of(&self, fragment: &Fragment) -> bool {
        match (self.end, self.time_of(fragment)) {
            (Some(end), Some(start)) => start < end,
            _ => true,
        }
    }

    /// Whether a frame, `offset` ns from its cluster's start, lies before the end.
    pub fn holds_frame(&self, fragment: &Fragment, offset: i64) -> bool {
        match (self.end, self.time_of(fragment)) {
            (Some(end), Some(start)) => start.nanoseconds().saturating_add(offset) < end.nanoseconds(),
            _ => true,
        }
    }

    /// How long it is, in ns, from a moment `offset` ns from the fragment's start to the end.
    pub fn left_after(&self, fragment: &Fragment, offset: i64) -> Option<u64> {
        let start = self.time_of(fragment)?.nanoseconds().saturating_add(offset);
        u64::try_from(self.end?.nanoseconds().saturating_sub(start)).ok()
    }

    fn time_of(&self, fragment: &Fragment) -> Option<UnixTime> {
        match self.clock {
            Clock::Producer => fragment.producer_timestamp,
            Clock::Server => fragment.server_timestamp,
        }
    }
}
