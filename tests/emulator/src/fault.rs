//! Misbehaviour on demand: what a test switches on, and how often it strikes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::number::FragmentNumber;
use crate::record::Operation;
use crate::sync::lock;

/// The name that stands for every stream, and for calls that name none.
pub const ANY_STREAM: &str = "*";

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A body breaks off after so many bytes: the connection is reset without an end.
    CutAfter(u64),
    /// A body sends nothing more after so many bytes and stays open.
    StallAfter(u64),
    /// A body of media ends cleanly after so many whole fragments, as the service does after 45 minutes.
    EndAfterFragments(u64),
    /// After so many whole fragments a body of media carries the error tags and ends.
    BodyErrorTag {
        /// `AWS_KINESISVIDEO_ERROR_CODE`.
        code: String,
        /// `AWS_KINESISVIDEO_ERROR_ID`.
        id: u32,
        /// Whole fragments before it.
        after: u64,
    },
    /// A body comes slowly.
    Slow {
        /// Bytes a second.
        bytes_per_second: u64,
    },
    /// GetMediaForFragmentList does not find the fragment at this place of its list, counted from 0, this time.
    MissingFragment(u64),
    /// GetMediaForFragmentList does not find these fragments.
    LostFragments(Vec<FragmentNumber>),
    /// GetMediaForFragmentList says nothing of the fragment at this place of its list, counted from 0, and goes on behind
    /// it.
    LeftOutFragment(u64),
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
    /// GetDataEndpoint names this URL, whatever is there.
    DataEndpoint(String),
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
            Self::MissingFragment(_) | Self::LostFragments(_) | Self::LeftOutFragment(_) => {
                Operation::GetMediaForFragmentList
            }
            Self::DataEndpoint(_) => Operation::GetDataEndpoint,
            _ => Operation::GetMedia,
        }
    }
}

/// A producer's connection that is lost in the middle of a fragment, and the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// How long nothing comes. What is made meanwhile comes at once afterwards.
    pub length: Duration,
    /// Whether the service keeps what came of the fragment; where it does not, readers are cut off too.
    pub kept: bool,
    /// Whether the fragment comes once more, whole and under a new number; else the rest of it never does.
    pub again: bool,
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The next fitting request.
    Once,
    /// So many fitting requests.
    Times(u32),
    /// The fitting request with this number alone, counted from 1 from now on; those before it pass.
    Nth(u32),
    /// Every fitting request until it is cleared.
    Always,
}

/// A fault that waits for its request.
struct Waiting {
    operation: Operation,
    fault: Fault,
    repeat: Repeat,
}

#[derive(Default)]
pub(crate) struct Faults {
    by_stream: Mutex<HashMap<String, Vec<Waiting>>>,
}

impl Faults {
    /// Adds a fault behind those that wait already.
    pub fn set(&self, stream: &str, fault: Fault, repeat: Repeat) {
        self.set_on(stream, fault.operation(), fault, repeat);
    }

    /// The same for an operation that the fault would not strike by itself.
    pub fn set_on(&self, stream: &str, operation: Operation, fault: Fault, repeat: Repeat) {
        if !matches!(repeat, Repeat::Times(0) | Repeat::Nth(0)) {
            let waiting = Waiting { operation, fault, repeat };
            lock(&self.by_stream).entry(stream.to_owned()).or_default().push(waiting);
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
            let strikes = |waiting: &mut Waiting| match &mut waiting.repeat {
                _ if waiting.operation != operation => false,
                Repeat::Nth(number @ 2..) => {
                    *number -= 1;
                    false
                }
                _ => true,
            };
            let Some(index) = waiting.iter_mut().position(strikes) else { continue };
            let struck = waiting[index].fault.clone();
            match &mut waiting[index].repeat {
                Repeat::Always => {}
                Repeat::Times(times @ 2..) => *times -= 1,
                Repeat::Once | Repeat::Times(_) | Repeat::Nth(_) => {
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
    fn a_fault_strikes_one_request_by_its_number() {
        let faults = Faults::default();
        let operation = Operation::ListFragments;
        faults.set_on("a", operation, Fault::CutAfter(0), Repeat::Nth(0));
        faults.set_on("a", operation, Fault::CutAfter(3), Repeat::Nth(3));
        faults.set_on("a", operation, Fault::CutAfter(2), Repeat::Nth(2));
        let strikes: Vec<_> = (0..5).map(|_| faults.strike(Some("a"), operation)).collect();
        assert_eq!(strikes, [None, Some(Fault::CutAfter(2)), Some(Fault::CutAfter(3)), None, None]);
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
