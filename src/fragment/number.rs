//! Fragment numbers: decimal strings too long for any integer type.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A fragment's number as the service wrote it, ordered as a number.
///
/// Up to 128 digits; see `FragmentNumber` in the
/// [GetMedia reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_StartSelector.html).
#[derive(Clone)]
pub struct FragmentNumber(Arc<str>);

impl FragmentNumber {
    /// `None` unless the text is 1 to 128 decimal digits.
    pub fn new(text: &str) -> Option<Self> {
        let valid = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn significant(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl Ord for FragmentNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.significant(), other.significant());
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    }
}

impl PartialOrd for FragmentNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FragmentNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for FragmentNumber {}

impl fmt::Display for FragmentNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for FragmentNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_order_as_numbers() {
        let number = |text: &str| FragmentNumber::new(text).unwrap();
        assert!(number("91343852333181432392682062607615861139700000001") > number("9"));
        assert!(
            number("91343852333181432392682062607615861139700000001")
                < number("91343852333181432392682062607615861139700000002")
        );
        assert!(number("0010") == number("10"));
        assert!(number("0") < number("1"));
        for wrong in ["", "-1", "1.5", "abc", &"1".repeat(129)] {
            assert!(FragmentNumber::new(wrong).is_none(), "{wrong}");
        }
    }
}
