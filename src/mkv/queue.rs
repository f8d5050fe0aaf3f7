//! The bytes that came and were not consumed yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::pieces::{Pieces, gather};
use super::vint::MAX_HEAD;

/// A piece below this many bytes is copied to its neighbour: what the piece itself costs in memory stays a
/// small part of the bytes.
const SMALL: usize = 512;

/// The copied pieces begin anew past this many bytes, so that a growing element is not moved again and again.
const FULL: usize = 64 * 1024;

/// Bytes in order: `front`, `middle`, `tail`.
#[derive(Default)]
pub(super) struct Queue {
    front: Bytes,
    middle: VecDeque<Bytes>,
    /// Small pieces, copied together.
    tail: BytesMut,
    len: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, bytes: Bytes) {
        self.len = self.len.saturating_add(bytes.len());
        if bytes.len() < SMALL {
            self.tail.extend_from_slice(&bytes);
            if self.tail.len() >= FULL {
                self.middle.push_back(self.tail.split().freeze());
            }
        } else if self.len == bytes.len() {
            self.front = bytes;
        } else {
            if !self.tail.is_empty() {
                self.middle.push_back(self.tail.split().freeze());
            }
            self.middle.push_back(bytes);
        }
    }

    /// The first bytes: at least [`MAX_HEAD`] where there are so many, gathered in `scratch` only if they lie in
    /// several pieces.
    #[inline]
    pub fn peek<'a>(&'a self, scratch: &'a mut [u8; MAX_HEAD]) -> &'a [u8] {
        if self.front.len() >= MAX_HEAD || self.front.len() == self.len {
            return &self.front;
        }
        let middle = self.middle.iter().flat_map(|piece| piece.iter());
        gather(self.front.iter().chain(middle).chain(self.tail.iter()), scratch)
    }

    /// Removes `count` bytes; fewer where there are fewer. No copy.
    #[inline]
    pub fn take(&mut self, count: usize) -> Pieces {
        if count <= self.front.len() {
            self.len -= count;
            let bytes = self.front.split_to(count);
            self.refill();
            return Pieces::One(bytes);
        }
        self.take_pieces(count)
    }

    fn take_pieces(&mut self, mut count: usize) -> Pieces {
        let mut pieces = Vec::new();
        count = count.min(self.len);
        self.len -= count;
        while count > 0 {
            if self.front.is_empty() {
                self.front = match self.middle.pop_front() {
                    Some(next) => next,
                    None => self.tail.split_to(count.min(self.tail.len())).freeze(),
                };
            }
            let piece = self.front.split_to(count.min(self.front.len()));
            if piece.is_empty() {
                break;
            }
            count -= piece.len();
            pieces.push(piece);
        }
        self.refill();
        pieces.into()
    }

    /// Drops up to `count` bytes; how many it were.
    pub fn discard(&mut self, count: u64) -> usize {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.len);
        self.len -= count;
        let mut left = count;
        while left > 0 {
            if left < self.front.len() {
                self.front.advance(left);
                break;
            }
            left -= self.front.len();
            match self.middle.pop_front() {
                Some(next) => self.front = next,
                None => {
                    self.front = Bytes::new();
                    self.tail.advance(left.min(self.tail.len()));
                    break;
                }
            }
        }
        self.refill();
        count
    }

    /// The next whole piece comes to the front; the tail, which may grow yet, stays where it is.
    #[inline]
    fn refill(&mut self) {
        if self.front.is_empty() {
            self.front = self.middle.pop_front().unwrap_or_default();
        }
    }
}
