//! Bytes that came in one or several pieces.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Bytes that lie in one or several pieces of the body; cloning and slicing never copy them.
#[derive(Clone)]
pub enum Pieces {
    One(Bytes),
    /// In order. Several pieces as a rule, none of them empty.
    Many(Vec<Bytes>),
}

impl Pieces {
    fn as_slice(&self) -> &[Bytes] {
        match self {
            Pieces::One(bytes) => std::slice::from_ref(bytes),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// Bytes in all pieces together.
    pub fn len(&self) -> usize {
        match self {
            Pieces::One(bytes) => bytes.len(),
            Pieces::Many(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().iter().all(Bytes::is_empty)
    }

    pub fn piece_count(&self) -> usize {
        self.as_slice().len()
    }

    /// The pieces in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Bytes> {
        self.as_slice().iter()
    }

    /// The bytes of `range`, without copying. What of the range lies past the end is left out.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Pieces {
        match self {
            Pieces::One(bytes) => Pieces::One(slice(bytes, range)),
            Pieces::Many(pieces) => {
                let mut at = 0;
                let mut found = Vec::new();
                for piece in pieces {
                    let local = range.start.saturating_sub(at)..range.end.saturating_sub(at);
                    at += piece.len();
                    let part = slice(piece, local);
                    if !part.is_empty() {
                        found.push(part);
                    }
                    if at >= range.end {
                        break;
                    }
                }
                found.into()
            }
        }
    }

    /// All bytes in one piece; copies only where there are several.
    pub fn to_bytes(&self) -> Bytes {
        match self.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut all = Vec::with_capacity(self.len());
                many.iter().for_each(|piece| all.extend_from_slice(piece));
                all.into()
            }
        }
    }

    /// As [`Pieces::to_bytes`].
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Pieces::One(bytes) => bytes,
            many => many.to_bytes(),
        }
    }

    /// A reader from the first byte on.
    #[inline]
    pub(super) fn walk(&self) -> Walk<'_> {
        match self.as_slice() {
            [] => Walk::new(&[], 0),
            [first, later @ ..] => Walk { current: first, later, position: 0 },
        }
    }
}

/// [`Bytes::slice`] that leaves out what lies past the end instead of panicking.
#[inline]
fn slice(bytes: &Bytes, range: Range<usize>) -> Bytes {
    let end = range.end.min(bytes.len());
    if range.start >= end { Bytes::new() } else { bytes.slice(range.start..end) }
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces::One(Bytes::new())
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Pieces::One(bytes)
    }
}

impl From<Vec<Bytes>> for Pieces {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        match pieces.len() {
            0 | 1 => Pieces::One(pieces.pop().unwrap_or_default()),
            _ => Pieces::Many(pieces),
        }
    }
}

impl PartialEq for Pieces {
    /// Compares the bytes; how they lie in pieces does not count.
    fn eq(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.walk(), other.walk());
        loop {
            let (a, b) = (left.rest_of_piece(), right.rest_of_piece());
            let common = a.len().min(b.len());
            if common == 0 {
                return a.len() == b.len();
            }
            if a.get(..common) != b.get(..common) {
                return false;
            }
            left.skip(common);
            right.skip(common);
        }
    }
}

impl Eq for Pieces {}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieces({} bytes in {})", self.len(), self.piece_count())
    }
}

/// Reads pieces front to back. Going on is all it can do, so that many small pieces cost no more than their bytes.
pub(super) struct Walk<'a> {
    current: &'a [u8],
    later: &'a [Bytes],
    position: usize,
}

impl<'a> Walk<'a> {
    /// A walk in one piece that begins at `position`.
    #[inline]
    pub fn new(bytes: &'a [u8], position: usize) -> Self {
        Walk { current: bytes.get(position..).unwrap_or_default(), later: &[], position }
    }

    /// Bytes behind the walk.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// What is left of the piece the walk stands in; empty only at the end.
    #[inline]
    fn rest_of_piece(&mut self) -> &'a [u8] {
        while self.current.is_empty() {
            match self.later {
                [] => break,
                [next, later @ ..] => (self.current, self.later) = (next, later),
            }
        }
        self.current
    }

    /// Goes on by `count` bytes, or to the end.
    #[inline]
    pub fn skip(&mut self, mut count: usize) {
        loop {
            let rest = self.rest_of_piece();
            let step = count.min(rest.len());
            self.current = rest.get(step..).unwrap_or_default();
            self.position += step;
            count -= step;
            if count == 0 || step == 0 {
                return;
            }
        }
    }

    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let &byte = self.rest_of_piece().first()?;
        self.skip(1);
        Some(byte)
    }

    /// The next bytes without going on: at least `N` where so many are left, gathered in `scratch` only if they
    /// lie in several pieces.
    #[inline]
    pub fn peek<'b, const N: usize>(&mut self, scratch: &'b mut [u8; N]) -> &'b [u8]
    where
        'a: 'b,
    {
        let rest = self.rest_of_piece();
        if rest.len() >= N || self.later.is_empty() {
            return rest;
        }
        let later = self.later.iter().flat_map(|piece| piece.iter());
        gather(rest.iter().chain(later), scratch)
    }
}

/// Copies bytes to `scratch` until either ends; the part that was filled.
pub(super) fn gather<'a, 'b>(bytes: impl Iterator<Item = &'a u8>, scratch: &'b mut [u8]) -> &'b [u8] {
    let filled = scratch.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
    scratch.get(..filled).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[&'static [u8]]) -> Pieces {
        parts.iter().map(|part| Bytes::from_static(part)).collect::<Vec<_>>().into()
    }

    #[test]
    fn slices_share_memory_and_stay_inside() {
        let abc = pieces(&[b"ab", b"cde", b"f"]);
        assert_eq!((abc.len(), abc.piece_count()), (6, 3));
        for start in 0..=8 {
            for end in 0..=8 {
                let slice = abc.slice(start..end);
                let expected = b"abcdef".get(start..end.min(6)).unwrap_or_default();
                assert_eq!(slice.to_bytes(), expected, "{start}..{end}");
                assert_eq!(slice, Pieces::One(Bytes::from_static(expected)));
                assert!(slice.piece_count() == 1 || slice.iter().all(|piece| !piece.is_empty()));
            }
        }
        let middle = abc.slice(2..5);
        assert_eq!(middle.piece_count(), 1);
        assert_eq!(middle.to_bytes().as_ptr(), abc.iter().nth(1).unwrap().as_ptr());
        assert_eq!(Pieces::One(Bytes::from_static(b"abc")).slice(5..9), Pieces::default());
    }

    #[test]
    fn equal_whatever_the_pieces() {
        assert_eq!(pieces(&[b"ab", b"c"]), pieces(&[b"a", b"bc"]));
        assert_eq!(pieces(&[]), Pieces::default());
        assert_ne!(pieces(&[b"ab", b"c"]), pieces(&[b"ab"]));
        assert_ne!(pieces(&[b"ab", b"c"]), pieces(&[b"ab", b"d"]));
        assert!(pieces(&[]).is_empty() && !pieces(&[b"a", b"b"]).is_empty());
        assert_eq!(format!("{:?}", pieces(&[b"ab", b"c"])), "Pieces(3 bytes in 2)");
    }

    #[test]
    fn a_walk_crosses_pieces() {
        let pieces = pieces(&[b"a", b"bc", b"defg"]);
        let mut walk = pieces.walk();
        assert_eq!(walk.peek(&mut [0; 4]), b"abcd");
        assert_eq!(walk.byte(), Some(b'a'));
        walk.skip(2);
        assert_eq!((walk.position(), walk.peek(&mut [0; 2])), (3, &b"defg"[..]));
        walk.skip(9);
        assert_eq!((walk.position(), walk.byte(), walk.peek(&mut [0; 4])), (7, None, &b""[..]));
    }
}
