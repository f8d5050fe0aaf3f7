//! What the service allows: calls a second and connections at a time for each stream, bytes a second on each connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep_until};

use crate::error::ServiceError;
use crate::record::Operation;
use crate::sync::lock;

/// The time in which calls are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// How much a connection may catch up with its pace, and how long a piece of it takes at most.
const STEP: Duration = Duration::from_millis(50);

/// How many calls and connections a stream may have. The default is the service's
/// [quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second of each of GetDataEndpoint, GetMedia, ListFragments and GetMediaForFragmentList.
    pub calls_per_second: usize,
    /// Bodies of GetMedia at a time.
    pub get_media_connections: usize,
    /// Bodies of GetMediaForFragmentList at a time.
    pub fragment_list_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls_per_second: 5, get_media_connections: 3, fragment_list_connections: 5 }
    }
}

/// What is used of the limits.
pub(crate) struct Usage {
    limits: Option<Limits>,
    used: Arc<Mutex<HashMap<Key, Used>>>,
}

type Key = (String, Operation);

#[derive(Default)]
struct Used {
    /// When the latest calls were.
    calls: VecDeque<Instant>,
    connections: usize,
}

/// A connection's place among those that are allowed; dropping it makes room.
pub(crate) struct Place {
    used: Arc<Mutex<HashMap<Key, Used>>>,
    key: Key,
}

impl Usage {
    /// Without limits everything is allowed.
    pub fn new(limits: Option<Limits>) -> Self {
        Self { limits, used: Arc::default() }
    }

    /// Counts a call, or refuses it. A call that is refused does not count.
    pub fn call(&self, stream: &str, operation: Operation) -> Result<(), ServiceError> {
        let Some(limits) = self.limits.filter(|_| is_counted(operation)) else { return Ok(()) };
        let mut used = lock(&self.used);
        let calls = &mut used.entry((stream.to_owned(), operation)).or_default().calls;
        let now = Instant::now();
        calls.retain(|call| now.duration_since(*call) < WINDOW);
        if calls.len() >= limits.calls_per_second {
            let message = "The rate of calls that the stream allows is exceeded.";
            return Err(ServiceError::operation(StatusCode::BAD_REQUEST, "ClientLimitExceededException", message));
        }
        calls.push_back(now);
        Ok(())
    }

    /// Takes a place for a body, or refuses it.
    pub fn connect(&self, stream: &str, operation: Operation) -> Result<Option<Place>, ServiceError> {
        let Some(limits) = self.limits else { return Ok(None) };
        // Of the two only GetMedia has ConnectionLimitExceededException in its model.
        let (most, error_type) = match operation {
            Operation::GetMedia => (limits.get_media_connections, "ConnectionLimitExceededException"),
            Operation::GetMediaForFragmentList => (limits.fragment_list_connections, "ClientLimitExceededException"),
            _ => return Ok(None),
        };
        let key = (stream.to_owned(), operation);
        let mut used = lock(&self.used);
        let connections = &mut used.entry(key.clone()).or_default().connections;
        if *connections >= most {
            let message = "The number of connections that the stream allows is exceeded.";
            return Err(ServiceError::operation(StatusCode::BAD_REQUEST, error_type, message));
        }
        *connections += 1;
        Ok(Some(Place { used: Arc::clone(&self.used), key }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(used) = lock(&self.used).get_mut(&self.key) {
            used.connections -= 1;
        }
    }
}

fn is_counted(operation: Operation) -> bool {
    use Operation::{GetDataEndpoint, GetMedia, GetMediaForFragmentList, ListFragments};
    matches!(operation, GetDataEndpoint | GetMedia | ListFragments | GetMediaForFragmentList)
}

/// Holds a connection to so many bytes a second.
pub(crate) struct Pace {
    bytes_per_second: u64,
    next: Instant,
}

impl Pace {
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), next: Instant::now() }
    }

    /// How many bytes are to be sent at once at most.
    pub fn piece(&self) -> usize {
        let piece = u128::from(self.bytes_per_second) * STEP.as_millis() / 1000;
        usize::try_from(piece).unwrap_or(usize::MAX).max(1)
    }

    /// Waits until so many bytes more may be sent.
    pub async fn wait(&mut self, bytes: usize) {
        sleep_until(self.next).await;
        let late = Instant::now().checked_sub(STEP).unwrap_or(self.next);
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        self.next = self.next.max(late) + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T>(result: Result<T, ServiceError>) -> Option<String> {
        result.err().map(|error| error.error_type)
    }

    #[test]
    fn each_operation_of_each_stream_counts_by_itself() {
        let usage = Usage::new(Some(Limits { calls_per_second: 2, ..Limits::default() }));
        for stream in ["a", "b"] {
            for operation in [Operation::ListFragments, Operation::GetMedia, Operation::GetDataEndpoint] {
                assert_eq!(usage.call(stream, operation), Ok(()));
                assert_eq!(usage.call(stream, operation), Ok(()));
                assert_eq!(refusal(usage.call(stream, operation)).as_deref(), Some("ClientLimitExceededException"));
            }
            for _ in 0..9 {
                assert_eq!(usage.call(stream, Operation::DescribeStream), Ok(()));
            }
        }
    }

    #[test]
    fn a_place_that_is_dropped_makes_room() {
        let usage = Usage::new(Some(Limits::default()));
        for (operation, most, error_type) in [
            (Operation::GetMedia, 3, "ConnectionLimitExceededException"),
            (Operation::GetMediaForFragmentList, 5, "ClientLimitExceededException"),
        ] {
            let mut places: Vec<_> = (0..most).map(|_| usage.connect("a", operation).unwrap()).collect();
            assert_eq!(refusal(usage.connect("a", operation)).as_deref(), Some(error_type));
            assert!(usage.connect("b", operation).is_ok());
            places.pop();
            places.push(usage.connect("a", operation).unwrap());
            assert!(usage.connect("a", operation).is_err());
        }
    }

    #[test]
    fn without_limits_all_is_allowed() {
        let usage = Usage::new(None);
        let places: Vec<_> = (0..100).map(|_| usage.connect("a", Operation::GetMedia).unwrap()).collect();
        assert!(places.iter().all(Option::is_none));
        assert!((0..100).all(|_| usage.call("a", Operation::GetMedia).is_ok()));
    }
}
