//! Fragment numbers: decimal strings of up to 128 digits that grow in order of ingestion.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A fragment's number, compared as a number.
#[derive(Clone, Debug, Eq)]
pub struct FragmentNumber(String);

/// A text that is no fragment number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fragment number is 1 to 128 decimal digits")]
pub struct NotANumber;

impl FragmentNumber {
    /// The first number of a stream that begins now: 47 digits, as the service has them.
    pub fn first() -> Self {
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self(format!("91343852333181{:019}{:014}", nanoseconds % 10_u128.pow(19), 1))
    }

    /// The number after this one.
    pub fn next(&self) -> Self {
        self.plus(1)
    }

    /// The number so much after this one.
    pub fn plus(&self, more: u64) -> Self {
        let mut digits = self.0.clone().into_bytes();
        let mut carry = u128::from(more);
        for digit in digits.iter_mut().rev() {
            let sum = carry + u128::from(*digit - b'0');
            // A remainder by ten is a digit.
            *digit = b'0' + (sum % 10) as u8;
            carry = sum / 10;
        }
        let digits = String::from_utf8_lossy(&digits);
        Self(if carry > 0 { format!("{carry}{digits}") } else { digits.into_owned() })
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn significant(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl FromStr for FragmentNumber {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let digits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { Ok(Self(text.to_owned())) } else { Err(NotANumber) }
    }
}

impl fmt::Display for FragmentNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Ord for FragmentNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, other) = (self.significant(), other.significant());
        own.len().cmp(&other.len()).then_with(|| own.cmp(other))
    }
}

impl PartialOrd for FragmentNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FragmentNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> FragmentNumber {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_compare_by_value() {
        assert!(number("9") < number("10"));
        assert!(number("0010") == number("10"));
        assert!(
            number("91343852333181432392682062607743920146159169392")
                < number("91343852333181432397633822764885441725874549018")
        );
    }

    #[test]
    fn the_next_number_is_one_more() {
        assert_eq!(number("1").next().as_str(), "2");
        assert_eq!(number("1099").next().as_str(), "1100");
        assert_eq!(number("999").next().as_str(), "1000");
    }

    #[test]
    fn numbers_are_counted_on() {
        assert_eq!(number("1").plus(0).as_str(), "1");
        assert_eq!(number("999").plus(43_200).as_str(), "44199");
        assert_eq!(number("0999").plus(2).as_str(), "1001");
        assert_eq!(number("18446744073709551615").plus(u64::MAX).as_str(), "36893488147419103230");
    }

    #[test]
    fn a_first_number_has_the_services_length() {
        assert_eq!(FragmentNumber::first().as_str().len(), 47);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "12a", "-1", &"1".repeat(129)] {
            assert_eq!(FragmentNumber::from_str(text), Err(NotANumber));
        }
    }
}
