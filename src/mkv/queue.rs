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

    /// The first `count` bytes, where they lie in one piece.
    #[inline]
    pub fn front(&self, count: usize) -> Option<&[u8]> {
        self.front.get(..count)
    }

    /// Removes the first `count` bytes of the front piece; all of it where it has fewer. No copy.
    #[inline]
    pub fn take_front(&mut self, count: usize) -> Pieces {
        let count = count.min(self.front.len());
        self.len -= count;
        let bytes = self.front.split_to(count);
        self.refill();
        Pieces::One(bytes)
    }

    /// Removes `count` bytes; fewer where there are fewer. No copy.
    pub fn take(&mut self, count: usize) -> Pieces {
        if count <= self.front.len() { self.take_front(count) } else { self.take_pieces(count) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(lengths: &[usize]) -> (Queue, Vec<u8>) {
        let mut queue = Queue::default();
        let mut all = Vec::new();
        for &length in lengths {
            let piece: Vec<u8> = (all.len()..all.len() + length).map(|at| (at % 251) as u8).collect();
            queue.push(Bytes::copy_from_slice(&piece));
            all.extend(piece);
        }
        (queue, all)
    }

    const LENGTHS: [usize; 9] = [1, 3, 600, 2, 2, 5000, 700, 511, 4];

    #[test]
    fn takes_what_was_pushed() {
        for step in [1, 2, 7, 599, 600, 601, 3000, 10_000] {
            let (mut queue, all) = queue(&LENGTHS);
            let mut at = 0;
            while queue.len() > 0 {
                let expected = &all[at..all.len().min(at + step)];
                let scratch = &mut [0; MAX_HEAD];
                let peeked = queue.peek(scratch);
                let common = peeked.len().min(expected.len());
                assert!(peeked.len() >= MAX_HEAD.min(queue.len()));
                assert_eq!(peeked[..common], expected[..common]);
                assert_eq!(queue.take(step).to_bytes(), expected);
                at += expected.len();
                assert_eq!(queue.len(), all.len() - at);
            }
            assert_eq!(at, all.len());
        }
    }

    #[test]
    fn discards_what_was_pushed() {
        for step in [1, 2, 7, 599, 600, 601, 3000, 10_000] {
            let (mut queue, all) = queue(&LENGTHS);
            let mut at = 0;
            while at < all.len() {
                assert_eq!(queue.discard(step as u64), step.min(all.len() - at));
                at = all.len().min(at + step);
                assert_eq!(queue.len(), all.len() - at);
                assert_eq!(queue.take(1).to_bytes(), all[at..all.len().min(at + 1)]);
                at = all.len().min(at + 1);
            }
        }
    }

    #[test]
    fn large_pieces_are_not_copied() {
        let mut queue = Queue::default();
        let piece = Bytes::from(vec![7; 4 * SMALL]);
        queue.push(Bytes::from_static(b"x"));
        queue.push(piece.clone());
        assert_eq!(queue.take(1).to_bytes(), &b"x"[..]);
        let Pieces::One(taken) = queue.take(SMALL) else { panic!("one piece") };
        assert_eq!(taken.as_ptr(), piece.as_ptr());
    }

    #[test]
    fn small_pieces_come_together() {
        let (mut queue, all) = queue(&vec![1; 3 * FULL]);
        let taken = queue.take(3 * FULL);
        assert_eq!(taken.to_bytes(), all);
        assert!(taken.piece_count() <= 3, "{taken:?}");
    }
}
