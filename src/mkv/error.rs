//! What can be wrong with a body, and where.

use super::ids::Id;

/// Why the body cannot be read on. Every `offset` is a byte offset in the body: where the offending element begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is no EBML document of a kind this reader knows.
    #[error("byte {offset}: not a Matroska stream: {reason}")]
    NotMatroska { offset: u64, reason: &'static str },
    /// The body ends inside an element.
    #[error("byte {offset}: the stream ends inside {}", inside(*element))]
    Truncated { offset: u64, element: Id },
    /// A size that the element cannot have, or that leads out of its parent.
    #[error("byte {offset}: invalid size of {element}: {reason}")]
    InvalidSize { offset: u64, element: Id, reason: &'static str },
    /// An element that would be held in memory is larger than the limit; sizes in bytes.
    #[error("byte {offset}: {element} of {size} bytes is larger than {limit} bytes")]
    TooLarge { offset: u64, element: Id, size: u64, limit: u64 },
    /// An element with a value that it cannot have, or in a place where it cannot be.
    #[error("byte {offset}: invalid {element}: {reason}")]
    InvalidElement { offset: u64, element: Id, reason: &'static str },
    /// A block whose lace sizes do not add up.
    #[error("byte {offset}: invalid lacing in a block of track {track}: {reason}")]
    InvalidLacing { offset: u64, track: u64, reason: &'static str },
}

/// The element in words that can follow "inside".
fn inside(element: Id) -> String {
    if element == Id::UNREAD { "the header of an element".to_owned() } else { element.to_string() }
}

impl Error {
    /// Where the offending element begins: a byte offset in the body.
    pub fn offset(&self) -> u64 {
        match self {
            Error::NotMatroska { offset, .. }
            | Error::Truncated { offset, .. }
            | Error::InvalidSize { offset, .. }
            | Error::TooLarge { offset, .. }
            | Error::InvalidElement { offset, .. }
            | Error::InvalidLacing { offset, .. } => *offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_place_and_the_element() {
        let limit = 1 << 20;
        let error = Error::TooLarge { offset: 47, element: Id::TRACKS, size: 2_000_000, limit };
        assert_eq!(error.to_string(), "byte 47: Tracks of 2000000 bytes is larger than 1048576 bytes");
        assert_eq!(error.offset(), 47);
        let error = Error::InvalidSize { offset: 5, element: Id(0x1234_5678), reason: "it leads out of its parent" };
        assert_eq!(error.to_string(), "byte 5: invalid size of element 0x12345678: it leads out of its parent");
        let error = Error::Truncated { offset: 9, element: Id::UNREAD };
        assert_eq!(error.to_string(), "byte 9: the stream ends inside the header of an element");
        let error = Error::Truncated { offset: 9, element: Id::CLUSTER };
        assert_eq!(error.to_string(), "byte 9: the stream ends inside Cluster");
        let error = super::super::vint::Malformed::Id.at(9);
        assert_eq!(error.to_string(), "byte 9: invalid element header: the ID is reserved or longer than 4 bytes");
        let error = Error::InvalidSize { offset: 9, element: Id::UNREAD, reason: "it leads out of its parent" };
        assert_eq!(error.to_string(), "byte 9: invalid size of element header: it leads out of its parent");
    }
}
