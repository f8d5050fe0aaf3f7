//! A block's element made anew, where more of it changes than its time: the number of its track, its frame, its ticks.

use std::ops::Range;

use bytes::Bytes;

use super::block::{Block, INVISIBLE};
use super::ids::Id;
use super::pieces::Pieces;
use super::vint::{self, MAX_HEAD};

/// What a block becomes.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// TrackNumber.
    pub track: u64,
    /// Ticks from the cluster's timestamp.
    pub relative: i16,
    /// In place of the only frame of a block without lacing; `None`: what is in the block.
    pub frame: Option<Pieces>,
    /// ns a tick, as the block was written and as it is to be.
    pub scales: (u64, u64),
}

/// The block's element, changed. New memory are only the bytes around its frames; a checksum of the group is left out.
pub fn rewritten(block: &Block, rewrite: &Rewrite) -> Pieces {
    let element = &block.element;
    let mut walk = element.walk();
    let scratch = &mut [0; MAX_HEAD];
    // Both are what the block was read of.
    let Ok(Some(head)) = vint::head(walk.peek(scratch)) else { return element.clone() };
    let content = content(block, rewrite);
    if head.id != Id::BLOCK_GROUP {
        return whole(Id::SIMPLE_BLOCK, content).into();
    }
    let mut children = Vec::new();
    walk.skip(head.length);
    while let Ok(Some(child)) = vint::head(walk.peek(scratch)) {
        let (begin, end) = (walk.position(), walk.position().saturating_add(child.whole()));
        let data = begin.saturating_add(child.length)..end;
        match child.id {
            Id::BLOCK => children.extend(whole(Id::BLOCK, content.clone())),
            Id::CRC_32 => {}
            Id::BLOCK_DURATION | Id::REFERENCE_BLOCK if rewrite.scales.0 != rewrite.scales.1 => {
                let ticks = ticks(element, data, child.id == Id::REFERENCE_BLOCK);
                children.extend(whole(child.id, vec![rescaled(ticks, rewrite.scales).to_be_bytes().to_vec().into()]));
            }
            _ => children.extend(element.slice(begin..end).iter().cloned()),
        }
        walk.skip(child.whole());
    }
    whole(Id::BLOCK_GROUP, children).into()
}

/// The data of a SimpleBlock or Block.
fn content(block: &Block, rewrite: &Rewrite) -> Vec<Bytes> {
    let mut start = Vec::with_capacity(12);
    vint::write_size(&mut start, rewrite.track);
    start.extend(rewrite.relative.to_be_bytes());
    let at = block.relative_timestamp_offset().saturating_add(2);
    let flags = block.element.slice(at..at.saturating_add(1)).iter().find_map(|piece| piece.first().copied());
    start.push(flags.unwrap_or(0) | if block.invisible { INVISIBLE } else { 0 });
    let frame = match &rewrite.frame {
        Some(frame) => frame.clone(),
        None => block.element.slice(block.behind_flags()),
    };
    std::iter::once(start.into()).chain(frame.iter().filter(|piece| !piece.is_empty()).cloned()).collect()
}

/// An element of this data.
fn whole(id: Id, data: Vec<Bytes>) -> Vec<Bytes> {
    let size: usize = data.iter().map(Bytes::len).sum();
    let mut head = Vec::with_capacity(MAX_HEAD);
    vint::write_id(&mut head, id);
    vint::write_size(&mut head, size as u64);
    std::iter::once(head.into()).chain(data).collect()
}

/// An integer of up to 8 bytes, that of a ReferenceBlock with its sign.
fn ticks(element: &Pieces, data: Range<usize>, signed: bool) -> i64 {
    let bytes = element.slice(data).to_bytes();
    let negative = signed && bytes.first().is_some_and(|first| first & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes.iter().fold(start, |value: i64, byte| value << 8 | i64::from(*byte))
}

/// Ticks of one length in ticks of another one, to the nearest.
fn rescaled(ticks: i64, (from, to): (u64, u64)) -> i64 {
    let to = i128::from(to.max(1));
    let nanoseconds = i128::from(ticks).saturating_mul(i128::from(from));
    let nearest = nanoseconds.saturating_add(nanoseconds.signum() * (to / 2)) / to;
    i64::try_from(nearest).unwrap_or(if nearest < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::super::writer::{cluster, element, header, unsigned};
    use super::super::{Element, Info, Reader, Tracks};
    use super::*;

    /// The block that this element holds, in pieces of any size.
    fn read(bytes: &[u8], step: usize) -> Block {
        let mut entry = Vec::new();
        unsigned(&mut entry, Id::TRACK_NUMBER, 1);
        let (mut tracks, mut raw) = (Vec::new(), Vec::new());
        element(&mut tracks, Id::TRACK_ENTRY, &entry);
        element(&mut raw, Id::TRACKS, &tracks);
        let tracks = Tracks { tracks: Vec::new(), raw: raw.into() };
        let mut reader = Reader::new();
        reader.push(header("matroska", 4, 2, &Info::default(), None, &tracks));
        reader.push(cluster(0));
        bytes.chunks(step).for_each(|piece| reader.push(Bytes::copy_from_slice(piece)));
        loop {
            match reader.next() {
                Ok(Some(Element::Block(block))) => return block,
                Ok(Some(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn simple(data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        element(&mut bytes, Id::SIMPLE_BLOCK, data);
        bytes
    }

    fn group(duration: u64, reference: i16) -> Vec<u8> {
        let (mut children, mut bytes) = (Vec::new(), Vec::new());
        element(&mut children, Id::CRC_32, &[1, 2, 3, 4]);
        unsigned(&mut children, Id::BLOCK_DURATION, duration);
        element(&mut children, Id::BLOCK, &[&[0x81, 0, 7, 0][..], &[9; 300]].concat());
        element(&mut children, Id::REFERENCE_BLOCK, &reference.to_be_bytes());
        // DiscardPadding, which is in ns.
        element(&mut children, Id(0x75A2), &[1, 0]);
        element(&mut bytes, Id::BLOCK_GROUP, &children);
        bytes
    }

    const SAME: (u64, u64) = (1_000_000, 1_000_000);

    #[test]
    fn another_number_of_any_length() {
        for track in [1, 126, 127, 16_383, 1 << 40] {
            for bytes in [simple(&[&[0x81, 0, 7, 0x80][..], &[9; 300]].concat()), group(40, -40)] {
                for step in [1, 7, 1000] {
                    let block = read(&bytes, step);
                    let rewrite = Rewrite { track, relative: -5, frame: None, scales: SAME };
                    let written = rewritten(&block, &rewrite).to_bytes();
                    let after = read(&written, 1000);
                    assert_eq!((after.track, after.relative_timestamp), (track, -5));
                    assert_eq!((after.keyframe, after.duration), (block.keyframe, block.duration));
                    assert!(after.frames().eq(block.frames()));
                }
            }
        }
    }

    #[test]
    fn a_lace_stays_as_it_is() {
        // Three frames of fixed size.
        let block = read(&simple(&[&[0x81, 0, 7, 0x84, 2][..], &[1, 2, 3, 4, 5, 6]].concat()), 1000);
        let rewrite = Rewrite { track: 300, relative: 7, frame: None, scales: SAME };
        let after = read(&rewritten(&block, &rewrite).to_bytes(), 1000);
        assert!(after.frames().eq(block.frames()) && after.frame_count() == 3);
    }

    #[test]
    fn another_frame_shares_the_bytes_of_the_old_one() {
        let block = read(&simple(&[&[0x81, 0, 7, 0x80][..], &[9; 3000]].concat()), 10_000);
        let old = block.frames().next().unwrap();
        let frame: Pieces =
            [Bytes::from_static(b"sets")].into_iter().chain(old.iter().cloned()).collect::<Vec<_>>().into();
        let rewrite = Rewrite { track: 1, relative: 7, frame: Some(frame.clone()), scales: SAME };
        let written = rewritten(&block, &rewrite);
        assert!(written.iter().any(|piece| piece.as_ptr() == old.to_bytes().as_ptr()), "the frame was copied");
        assert!(read(&written.to_bytes(), 10_000).frames().eq([frame]));
    }

    #[test]
    fn other_ticks_change_what_is_counted_in_them() {
        let block = read(&group(40, -40), 1000);
        let rewrite = Rewrite { track: 1, relative: 70, frame: None, scales: (1_000_000, 100_000) };
        let written = rewritten(&block, &rewrite).to_bytes();
        let after = read(&written, 1000);
        assert_eq!((after.duration, after.keyframe), (Some(400), false));
        let mut reference = Vec::new();
        element(&mut reference, Id::REFERENCE_BLOCK, &(-400_i64).to_be_bytes());
        assert!(written.windows(reference.len()).any(|bytes| bytes == reference));
        assert!(written.windows(5).any(|bytes| bytes == [0x75, 0xA2, 0x82, 1, 0]));
        for (ticks, scales, expected) in
            [(3, (2, 4), 2), (-3, (2, 4), -2), (i64::MAX, (u64::MAX, 1), i64::MAX), (i64::MIN, (u64::MAX, 0), i64::MIN)]
        {
            assert_eq!(rescaled(ticks, scales), expected);
        }
    }
}
