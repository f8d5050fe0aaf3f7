//! Misbehaviour on demand: what a test switches on, and how often it strikes.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::record::Operation;
use crate::sync::lock;

/// The name that stands for every stream, and for calls that name none.
pub const ANY_STREAM: &str = "*";

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// GetMedia's body breaks off after so many bytes: the connection is reset without an end.
    CutAfter(u64),
    /// GetMedia's body sends nothing more after so many bytes and stays open.
    StallAfter(u64),
    /// GetMedia's body ends cleanly after so many whole fragments, as the service does after 45 minutes.
    EndAfterFragments(u64),
    /// After so many whole fragments GetMedia's body carries the error tags and ends.
    BodyErrorTag {
        /// `AWS_KINESISVIDEO_ERROR_CODE`.
        code: String,
        /// `AWS_KINESISVIDEO_ERROR_ID`.
        id: u32,
        /// Whole fragments before it.
        after: u64,
    },
    /// The operation answers an error.
    Http {
        /// Whose answer it is.
        operation: Operation,
        /// HTTP status.
        status: u16,
        /// The error's type, such as `ThrottlingException`.
        error_type: String,
        /// The sentence for people.
        message: String,
    },
    /// The operation's request is read and never answered.
    HangRequest {
        /// Which request.
        operation: Operation,
    },
}

impl Fault {
    /// An error answer by its name.
    pub fn http(operation: Operation, status: u16, error_type: &str, message: &str) -> Self {
        Self::Http { operation, status, error_type: error_type.to_owned(), message: message.to_owned() }
    }

    fn operation(&self) -> Operation {
        match self {
            Self::Http { operation, .. } | Self::HangRequest { operation } => *operation,
            _ => Operation::GetMedia,
        }
    }
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The next fitting request.
    Once,
    /// So many fitting requests.
    Times(u32),
    /// Every fitting request until it is cleared.
    Always,
}

#[derive(Default)]
pub(crate) struct Faults {
    by_stream: Mutex<HashMap<String, Vec<(Fault, Repeat)>>>,
}

impl Faults {
    /// Adds a fault behind those that wait already.
    pub fn set(&self, stream: &str, fault: Fault, repeat: Repeat) {
        if repeat != Repeat::Times(0) {
            lock(&self.by_stream).entry(stream.to_owned()).or_default().push((fault, repeat));
        }
    }

    pub fn clear(&self, stream: &str) {
        lock(&self.by_stream).remove(stream);
    }

    /// The fault that this request meets, one strike of it used up.
    pub fn strike(&self, stream: Option<&str>, operation: Operation) -> Option<Fault> {
        let mut by_stream = lock(&self.by_stream);
        for name in stream.into_iter().chain([ANY_STREAM]) {
            let Some(waiting) = by_stream.get_mut(name) else { continue };
            let Some(index) = waiting.iter().position(|(fault, _)| fault.operation() == operation) else { continue };
            let (fault, repeat) = &mut waiting[index];
            let struck = fault.clone();
            match repeat {
                Repeat::Always => {}
                Repeat::Times(times @ 2..) => *times -= 1,
                Repeat::Once | Repeat::Times(_) => {
                    waiting.remove(index);
                }
            }
            return Some(struck);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_in_order_and_as_often_as_told() {
        let faults = Faults::default();
        faults.set("a", Fault::CutAfter(0), Repeat::Times(0));
        faults.set("a", Fault::CutAfter(1), Repeat::Once);
        faults.set("a", Fault::CutAfter(2), Repeat::Times(2));
        faults.set("a", Fault::StallAfter(3), Repeat::Always);
        let strikes: Vec<_> = (0..5).map(|_| faults.strike(Some("a"), Operation::GetMedia).unwrap()).collect();
        let (cut, stall) = (Fault::CutAfter, Fault::StallAfter(3));
        assert_eq!(strikes, [cut(1), cut(2), cut(2), stall.clone(), stall]);
        assert_eq!(faults.strike(Some("b"), Operation::GetMedia), None);
        faults.clear("a");
        assert_eq!(faults.strike(Some("a"), Operation::GetMedia), None);
    }

    #[test]
    fn a_fault_strikes_its_own_operation_only() {
        let faults = Faults::default();
        faults.set(ANY_STREAM, Fault::HangRequest { operation: Operation::ListStreams }, Repeat::Once);
        assert_eq!(faults.strike(None, Operation::CreateStream), None);
        assert!(faults.strike(None, Operation::ListStreams).is_some());
        assert_eq!(faults.strike(None, Operation::ListStreams), None);
    }
}
