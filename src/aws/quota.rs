//! What the service allows of one operation a stream: calls a second, and bodies at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Calls in a window, and connections: [quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html).
const CALLS: usize = 5;
const CONNECTIONS: usize = 5;

/// The service's second, and what its clock and ours may be apart over the network.
const WINDOW: Duration = Duration::from_millis(1050);

/// Lets calls through as the service would.
#[derive(Debug)]
pub(super) struct Quota {
    window: Duration,
    /// When the latest calls were let through.
    calls: Mutex<VecDeque<Instant>>,
    connections: Arc<Semaphore>,
}

impl Default for Quota {
    fn default() -> Self {
        Self::new(WINDOW)
    }
}

impl Quota {
    fn new(window: Duration) -> Self {
        Self { window, calls: Mutex::default(), connections: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Waits until another call is allowed, in the order of asking.
    pub async fn call(&self) {
        let mut calls = self.calls.lock().await;
        if calls.len() >= CALLS
            && let Some(oldest) = calls.front().copied()
        {
            tokio::time::sleep_until(oldest + self.window).await;
            calls.pop_front();
        }
        calls.push_back(Instant::now());
    }

    /// Waits for a place among the connections, which is given back where it is dropped.
    pub async fn connect(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).acquire_owned().await.ok()
    }

    /// How many places nobody has or waits for.
    pub fn free(&self) -> usize {
        self.connections.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_window_has_more_calls_than_allowed() {
        const SHORT: Duration = Duration::from_millis(40);
        let (quota, begin) = (Quota::new(SHORT), Instant::now());
        let mut times = Vec::new();
        for _ in 0..23 {
            quota.call().await;
            times.push(begin.elapsed());
        }
        assert!(times[4] < SHORT, "{times:?}");
        // The time is read when a call is through, and so a little later than it is counted.
        let least = SHORT - Duration::from_millis(5);
        assert!(times.windows(CALLS + 1).all(|calls| calls[CALLS] - calls[0] >= least), "{times:?}");
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_is_the_next_ones() {
        let quota = Quota::default();
        let mut places = Vec::new();
        for _ in 0..CONNECTIONS {
            places.push(quota.connect().await.unwrap());
        }
        let mut next = Box::pin(quota.connect());
        tokio::select! {
            biased;
            _ = &mut next => panic!("more connections than are allowed"),
            () = tokio::task::yield_now() => {}
        }
        places.pop();
        assert!(next.await.is_some());
    }
}
