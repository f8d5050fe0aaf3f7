//! Times as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Hours, minutes and seconds.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}.{:01}", seconds / 3600, seconds / 60 % 60, seconds % 60, time.subsec_millis() / 100)
}

/// Now, in ns since 1970.
pub fn since_1970() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// A time as kvssrc takes it, in ns since 1970; `None` where that is for kvssrc to refuse.
pub fn nanoseconds(text: &str) -> Option<u64> {
    match text.parse::<f64>() {
        Ok(seconds) => Some((seconds * 1e9) as u64),
        Err(_) => u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok(),
    }
}

pub fn rfc3339(nanoseconds: u64) -> String {
    jiff::Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| nanoseconds.to_string(), |time| time.to_string())
}
