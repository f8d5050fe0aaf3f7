//! A moment of the producer's or the service's clock.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOSECONDS: i64 = 1_000_000_000;

/// Nanoseconds since 1970-01-01T00:00:00Z, never negative, up to the year 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

/// The text is neither seconds since 1970 nor RFC 3339, or lies outside 1970 to 2262.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a date and time as 2026-01-05T10:00:00Z (RFC 3339) nor seconds since 1970")]
pub struct InvalidTime(String);

impl UnixTime {
    /// A moment from nanoseconds since 1970; `None` where negative.
    pub fn from_nanoseconds(nanoseconds: i64) -> Option<Self> {
        (nanoseconds >= 0).then_some(Self(nanoseconds))
    }

    /// The present, on the system's clock; `None` where that shows a time before 1970.
    pub fn now() -> Option<Self> {
        Self::from_system_time(SystemTime::now())
    }

    /// A moment from the system's own kind of time; `None` before 1970.
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_nanos()).ok().and_then(Self::from_nanoseconds)
    }

    /// Nanoseconds since 1970.
    pub fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, and the nanoseconds past them.
    pub fn seconds_and_nanoseconds(self) -> (i64, u32) {
        (self.0 / NANOSECONDS, u32::try_from(self.0 % NANOSECONDS).unwrap_or(0))
    }

    /// Seconds since 1970 as decimal text, as the service writes them: with three decimals, or as many as are needed.
    pub fn to_decimal(self) -> String {
        let (seconds, nanoseconds) = self.seconds_and_nanoseconds();
        let mut text = format!("{seconds}.{nanoseconds:09}");
        let unneeded = text.bytes().rev().take(6).take_while(|digit| *digit == b'0').count();
        text.truncate(text.len().saturating_sub(unneeded));
        text
    }

    /// Seconds since 1970 as decimal text, as the service writes them in its tags. Digits past the ninth decimal are
    /// dropped; no floating point is involved, so that the last digit is exact.
    pub fn from_decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let nanoseconds = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(9)
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        seconds.checked_mul(NANOSECONDS)?.checked_add(nanoseconds).map(Self)
    }
}

impl FromStr for UnixTime {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let text = text.trim();
        let rfc3339 = || {
            let timestamp: jiff::Timestamp = text.parse().ok()?;
            Self::from_nanoseconds(i64::try_from(timestamp.as_nanosecond()).ok()?)
        };
        Self::from_decimal(text).or_else(rfc3339).ok_or_else(|| InvalidTime(text.to_owned()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => write!(formatter, "{timestamp}"),
            Err(_) => write!(formatter, "{} ns since 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_is_exact() {
        let time = UnixTime::from_decimal("1487367204.123").unwrap();
        assert_eq!(time.nanoseconds(), 1_487_367_204_123_000_000);
        assert_eq!(UnixTime::from_decimal("5").unwrap().nanoseconds(), 5_000_000_000);
        assert_eq!(UnixTime::from_decimal("0.1234567899").unwrap().nanoseconds(), 123_456_789);
        for wrong in ["", ".", "-1", "1e9", "1.2.3", "99999999999999999999", "9300000000", "1,5"] {
            assert_eq!(UnixTime::from_decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn decimal_text_reads_back() {
        for (nanoseconds, text) in [
            (1_487_367_204_123_000_000, "1487367204.123"),
            (5_000_000_000, "5.000"),
            (5_120_000_000, "5.120"),
            (1_000_000_010, "1.00000001"),
            (i64::MAX, "9223372036.854775807"),
        ] {
            let time = UnixTime::from_nanoseconds(nanoseconds).unwrap();
            assert_eq!(time.to_decimal(), text);
            assert_eq!(UnixTime::from_decimal(text), Some(time));
        }
    }

    #[test]
    fn a_person_writes_dates() {
        let time: UnixTime = "2026-01-05T10:00:00.5+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-01-05T09:00:00.5Z");
        assert_eq!("1767603600".parse::<UnixTime>().unwrap().to_string(), "2026-01-05T09:00:00Z");
        for wrong in ["yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-01-05"] {
            let error = wrong.parse::<UnixTime>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }
}
