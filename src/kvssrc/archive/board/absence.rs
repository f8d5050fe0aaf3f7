//! Fragments that are listed, and that the service does not find: at the second or third call it may.

use std::time::Duration;

use tokio::time::Instant;

use super::{Board, Place, State};

/// How many fragments at the end of what is listed may be too young to be had, where the stream goes on.
pub const MOST_YOUNG: u64 = 5;

impl Board {
    /// Whether the stream goes on behind the range, and brings what is too young for the archive.
    pub fn goes_on(self, goes_on: bool) -> Self {
        Self { goes_on, ..self }
    }

    /// The service has not found this: whether it is to be asked for it again, for so long since the first time.
    pub fn is_sought(&self, place: Place, patience: Duration) -> bool {
        let mut state = self.lock();
        if self.goes_on && state.is_young(place) {
            return false;
        }
        let Some(slot) = state.slot(place) else { return false };
        slot.absent_since.get_or_insert_with(Instant::now).elapsed() < patience
    }

    /// Whether the service has not found this before.
    pub fn is_absent(&self, place: Place) -> bool {
        self.lock().slot(place).is_some_and(|slot| slot.absent_since.is_some())
    }

    /// Whether no more can be read but what everybody waits for.
    pub fn is_full(&self) -> bool {
        self.lock().buffered >= self.limit
    }
}

impl State {
    fn is_young(&self, place: Place) -> bool {
        self.all_listed && place.saturating_add(MOST_YOUNG) >= self.end()
    }
}
