//! SimpleBlock and BlockGroup (RFC 9559 sections 5.1.3.4, 5.1.3.5 and 10): the block header and where its frames lie.

use std::ops::Range;

use super::error::Error;
use super::ids::Id;
use super::pieces::{Pieces, Walk};
use super::vint::{self, Head, MAX_HEAD, UNKNOWN};

/// The block's flags.
const KEYFRAME: u8 = 0x80;
pub(super) const INVISIBLE: u8 = 0x08;
const LACING: u8 = 0x06;
const DISCARDABLE: u8 = 0x01;

/// One SimpleBlock or BlockGroup: one frame of a track, or several that are laced.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The whole element as it came, ID and size included.
    pub element: Pieces,
    /// The TrackNumber; the Tracks element need not know it.
    pub track: u64,
    /// Ticks from the cluster's timestamp.
    pub relative_timestamp: i16,
    /// The SimpleBlock's flag; a BlockGroup is a keyframe when it has no ReferenceBlock.
    pub keyframe: bool,
    pub discardable: bool,
    pub invisible: bool,
    /// BlockDuration, in ticks: of all frames together.
    pub duration: Option<u64>,
    /// DiscardPadding, in ns: how much of the decoded sound is not to be heard, at the block's end, or, where it is negative,
    /// at its beginning.
    pub discard_padding: i64,
    /// Where the two bytes of the relative timestamp lie in `element`.
    timestamp_at: u32,
    frames: Frames,
}

/// Where frames lie in an element. A block is far below 4 GiB.
#[derive(Clone, Debug, PartialEq)]
enum Frames {
    One(Range<u32>),
    /// Frame n lies between bound n and bound n + 1.
    Laced(Box<[u32]>),
}

impl Block {
    pub fn frame_count(&self) -> usize {
        match &self.frames {
            Frames::One(_) => 1,
            Frames::Laced(bounds) => bounds.len().saturating_sub(1),
        }
    }

    /// The frames' bytes, as slices of `element`. Where the track has a stripped header, it is not in them.
    pub fn frames(&self) -> impl Iterator<Item = Pieces> {
        (0..self.frame_count()).map(|index| {
            let range = match &self.frames {
                Frames::One(range) => range.clone(),
                Frames::Laced(bounds) => {
                    let bound = |at: usize| bounds.get(at).copied().unwrap_or_default();
                    bound(index)..bound(index + 1)
                }
            };
            self.element.slice(range.start as usize..range.end as usize)
        })
    }

    /// Where the two bytes of the relative timestamp (big-endian) lie in `element`.
    pub fn relative_timestamp_offset(&self) -> usize {
        self.timestamp_at as usize
    }

    /// Where in `element` the block's data go on behind its flags: what is in a lace, or the only frame.
    pub(super) fn behind_flags(&self) -> Range<usize> {
        let end = match &self.frames {
            Frames::One(range) => range.end,
            Frames::Laced(bounds) => bounds.last().copied().unwrap_or_default(),
        };
        self.relative_timestamp_offset().saturating_add(3)..end as usize
    }

    /// The SimpleBlock `element` with what was read of it.
    #[inline]
    pub(super) fn simple(element: Pieces, payload: Payload) -> Self {
        Block {
            track: payload.track,
            relative_timestamp: payload.relative_timestamp,
            keyframe: payload.flags & KEYFRAME != 0,
            discardable: payload.flags & DISCARDABLE != 0,
            invisible: payload.flags & INVISIBLE != 0,
            duration: None,
            discard_padding: 0,
            timestamp_at: payload.timestamp_at,
            frames: payload.frames,
            element,
        }
    }

    /// Reads a BlockGroup that begins at `offset` in the body; `group` is its own head.
    pub(super) fn group(element: Pieces, group: &Head, offset: u64) -> Result<Self, Error> {
        let mut walk = element.walk();
        walk.skip(group.length);
        let length = (group.length as u64).saturating_add(group.size);
        let (mut payload, mut duration, mut discard_padding, mut reference) = (None, None, 0, false);
        while (walk.position() as u64) < length {
            let offset = offset.saturating_add(walk.position() as u64);
            let invalid = |element, reason| Error::InvalidSize { offset, element, reason };
            let left = length - walk.position() as u64;
            let head = match vint::head(walk.peek(&mut [0; MAX_HEAD])) {
                Ok(Some(head)) => head,
                Ok(None) => return Err(invalid(Id::UNREAD, "it leads out of its parent")),
                Err(malformed) => return Err(malformed.at(offset)),
            };
            if head.size == UNKNOWN {
                return Err(invalid(head.id, "only Segment and Cluster may have an unknown size"));
            }
            if head.size > left.saturating_sub(head.length as u64) {
                return Err(invalid(head.id, "it leads out of its parent"));
            }
            walk.skip(head.length);
            match head.id {
                Id::BLOCK if payload.is_some() => {
                    let reason = "a second Block in one BlockGroup";
                    return Err(Error::InvalidElement { offset, element: head.id, reason });
                }
                Id::BLOCK => {
                    let end = walk.position().saturating_add(usize::try_from(head.size).unwrap_or(usize::MAX));
                    payload = Some(Payload::read(&mut walk, head.size, Id::BLOCK, offset)?);
                    walk.skip(end.saturating_sub(walk.position()));
                }
                Id::BLOCK_DURATION | Id::DISCARD_PADDING if head.size > 8 => {
                    return Err(invalid(head.id, "an integer of more than 8 bytes"));
                }
                Id::BLOCK_DURATION => {
                    let digits = (0..head.size).map_while(|_| walk.byte());
                    duration = Some(digits.fold(0, |value, byte| value << 8 | u64::from(byte)));
                }
                Id::DISCARD_PADDING => {
                    let digits = (0..head.size).map_while(|_| walk.byte());
                    // The first digit has the sign.
                    let value = digits.fold(None, |value: Option<i64>, byte| {
                        Some(value.map_or(i64::from(byte.cast_signed()), |value| value << 8 | i64::from(byte)))
                    });
                    discard_padding = value.unwrap_or(0);
                }
                other => {
                    reference |= other == Id::REFERENCE_BLOCK;
                    walk.skip(usize::try_from(head.size).unwrap_or(usize::MAX));
                }
            }
        }
        let Some(payload) = payload else {
            return Err(Error::InvalidElement { offset, element: Id::BLOCK_GROUP, reason: "no Block in it" });
        };
        Ok(Block {
            track: payload.track,
            relative_timestamp: payload.relative_timestamp,
            keyframe: !reference,
            discardable: false,
            invisible: payload.flags & INVISIBLE != 0,
            duration,
            discard_padding,
            timestamp_at: payload.timestamp_at,
            frames: payload.frames,
            element,
        })
    }
}

/// What SimpleBlock and Block have in common: their data.
pub(super) struct Payload {
    track: u64,
    relative_timestamp: i16,
    flags: u8,
    timestamp_at: u32,
    frames: Frames,
}

impl Payload {
    /// Reads the `size` bytes of data in front of `walk`, which goes on to their end or less. The element begins at
    /// `offset` in the body.
    // Returned through memory, this costs a quarter of the whole reading of a block.
    #[inline(always)]
    pub fn read(walk: &mut Walk, size: u64, element: Id, offset: u64) -> Result<Self, Error> {
        let too_short = || Error::InvalidSize { offset, element, reason: "too short for a block header" };
        let start = walk.position();
        let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));

        let scratch = &mut [0; 11];
        let header = walk.peek(scratch);
        let header = header.get(..header.len().min(end - start)).unwrap_or_default();
        let Some((track, track_length)) = vint::number(header) else {
            return Err(match header.first() {
                Some(0) => Error::InvalidElement { offset, element, reason: "a track number of more than 8 bytes" },
                _ => too_short(),
            });
        };
        let Some(track) = track.filter(|&track| track != 0) else {
            return Err(Error::InvalidElement { offset, element, reason: "track number 0 or reserved" });
        };
        let Some(&[high, low, flags]) = header.get(track_length..).and_then(|rest| rest.first_chunk()) else {
            return Err(too_short());
        };
        let frames = if flags & LACING == 0 {
            Frames::One((start + track_length + 3) as u32..end as u32)
        } else {
            walk.skip(track_length + 3);
            lace(walk, end, flags & LACING).map_err(|reason| Error::InvalidLacing { offset, track, reason })?
        };
        Ok(Self {
            track,
            relative_timestamp: i16::from_be_bytes([high, low]),
            flags,
            timestamp_at: (start + track_length) as u32,
            frames,
        })
    }
}

const SIZES_MISSING: &str = "the block ends within the frame sizes";
const TOO_LONG: &str = "the frames are longer than the block";

/// Reads a lace's frame sizes (RFC 9559 section 10.3); `end` is where the block ends.
#[inline(never)]
fn lace(walk: &mut Walk, end: usize, lacing: u8) -> Result<Frames, &'static str> {
    let byte = |walk: &mut Walk| if walk.position() < end { walk.byte() } else { None };
    let count = usize::from(byte(walk).ok_or("no frame count")?) + 1;
    // The last frame takes what the others leave.
    let mut sizes: Vec<u64> = Vec::with_capacity(count);
    match lacing {
        // Xiph: bytes of 255 and a last one below that add up.
        0x02 => {
            while sizes.len() + 1 < count {
                let mut size = 0;
                loop {
                    let part = byte(walk).ok_or(SIZES_MISSING)?;
                    size += u64::from(part);
                    if part != 255 {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
        // EBML: a number, then differences.
        0x06 => {
            let mut size: i64 = 0;
            while sizes.len() + 1 < count {
                let scratch = &mut [0; 8];
                let bytes = walk.peek(scratch);
                let bytes = bytes.get(..bytes.len().min(end.saturating_sub(walk.position()))).unwrap_or_default();
                let (value, length) = vint::number(bytes).ok_or(SIZES_MISSING)?;
                let value = value.ok_or("a reserved frame size")?.cast_signed();
                // Both stay below 2^57, so that this cannot overflow.
                size = if sizes.is_empty() { value } else { size + value - (vint::mask(length) >> 1).cast_signed() };
                if !(0..=end as i64).contains(&size) {
                    return Err(TOO_LONG);
                }
                sizes.push(size.cast_unsigned());
                walk.skip(length);
            }
        }
        // Fixed size.
        _ => {
            let left = end.saturating_sub(walk.position());
            if !left.is_multiple_of(count) {
                return Err("the block is no multiple of its frames");
            }
            sizes.resize(count - 1, (left / count) as u64);
        }
    }
    let mut at = walk.position() as u64;
    let mut bounds = Vec::with_capacity(count + 1);
    bounds.push(at as u32);
    for size in sizes {
        at += size;
        if at > end as u64 {
            return Err(TOO_LONG);
        }
        bounds.push(at as u32);
    }
    bounds.push(end as u32);
    Ok(Frames::Laced(bounds.into()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::writer::{element, unsigned};
    use super::*;

    fn data(flags: u8, rest: &[u8]) -> Vec<u8> {
        [&[0x81, 0xFF, 0xFE, flags], rest].concat()
    }

    /// Reads a SimpleBlock in one piece and in pieces of a byte, which must be the same.
    fn simple(data: &[u8]) -> Result<Block, Error> {
        let mut bytes = Vec::new();
        element(&mut bytes, Id::SIMPLE_BLOCK, data);
        let head = vint::head(&bytes).unwrap().unwrap();
        let read = |pieces: Pieces| {
            let mut walk = pieces.walk();
            walk.skip(head.length);
            Payload::read(&mut walk, head.size, Id::SIMPLE_BLOCK, 7)
                .map(|payload| Block::simple(pieces.clone(), payload))
        };
        let whole = read(Pieces::One(bytes.clone().into()));
        assert_eq!(whole, read(Pieces::Many(bytes.iter().map(|&byte| vec![byte].into()).collect())));
        whole
    }

    fn group(children: &[u8]) -> Result<Block, Error> {
        let mut bytes = Vec::new();
        element(&mut bytes, Id::BLOCK_GROUP, children);
        let head = vint::head(&bytes).unwrap().unwrap();
        let whole = Block::group(Pieces::One(bytes.clone().into()), &head, 7);
        assert_eq!(whole, Block::group(Pieces::Many(bytes.iter().map(|&byte| vec![byte].into()).collect()), &head, 7));
        whole
    }

    fn frames(block: &Block) -> Vec<Bytes> {
        assert_eq!(block.frames().count(), block.frame_count());
        block.frames().map(|frame| frame.to_bytes()).collect()
    }

    fn lacing_error(data: &[u8]) -> &'static str {
        match simple(data) {
            Err(Error::InvalidLacing { offset: 7, track: 1, reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_simple_block() {
        let block = simple(&data(0x80, b"frame")).unwrap();
        assert_eq!((block.track, block.relative_timestamp, block.duration), (1, -2, None));
        assert_eq!((block.keyframe, block.discardable, block.invisible), (true, false, false));
        assert_eq!(frames(&block), ["frame"]);
        let at = block.relative_timestamp_offset();
        assert_eq!(block.element.slice(at..at + 2).to_bytes(), [0xFF, 0xFE][..]);
        let block = simple(&data(0x09, b"")).unwrap();
        assert_eq!((block.keyframe, block.discardable, block.invisible), (false, true, true));
        assert_eq!(frames(&block), [""]);
        assert_eq!(simple(&[0x41, 0x00, 0, 0, 0, 1]).unwrap().track, 256);
    }

    #[test]
    fn a_block_header_must_be_whole() {
        for length in 0..4 {
            let error = simple(&data(0, b"")[..length]).unwrap_err();
            assert!(matches!(error, Error::InvalidSize { offset: 7, element: Id::SIMPLE_BLOCK, .. }), "{error:?}");
        }
        for number in [&[0x80][..], &[0xFF], &[0x40, 0x00], &[0x00]] {
            let error = simple(&[number, &[0, 0, 0, 0, 0, 0, 0, 0, 0]].concat()).unwrap_err();
            assert!(matches!(error, Error::InvalidElement { offset: 7, .. }), "{number:x?}: {error:?}");
        }
    }

    #[test]
    fn xiph_lacing() {
        let long = [7; 300];
        let lace = [&[2, 255, 45, 2][..], &long, b"bb", b"last"].concat();
        let block = simple(&data(0x02, &lace)).unwrap();
        assert_eq!(frames(&block), [&long[..], b"bb", b"last"]);
        assert_eq!(frames(&simple(&data(0x02, b"\x00one")).unwrap()), ["one"]);
        assert_eq!(frames(&simple(&data(0x02, &[1, 0])).unwrap()), ["", ""]);
    }

    #[test]
    fn ebml_lacing() {
        // 3 bytes, 1 more, 3 less, the rest.
        let block = simple(&data(0x06, b"\x03\x83\xC0\xBCaaabbbbclast")).unwrap();
        assert_eq!(frames(&block), ["aaa", "bbbb", "c", "last"]);
        // Sizes of two bytes: 300, then 300 - 299.
        let long = [7; 300];
        let lace = [&[2, 0x41, 0x2C, 0x5E, 0xD4][..], &long, b"b", b"last"].concat();
        assert_eq!(frames(&simple(&data(0x06, &lace)).unwrap()), [&long[..], b"b", b"last"]);
        assert_eq!(frames(&simple(&data(0x06, b"\x00one")).unwrap()), ["one"]);
    }

    #[test]
    fn fixed_size_lacing() {
        assert_eq!(frames(&simple(&data(0x04, b"\x02aabbcc")).unwrap()), ["aa", "bb", "cc"]);
        assert_eq!(frames(&simple(&data(0x04, b"\x01")).unwrap()), ["", ""]);
    }

    #[test]
    fn laces_that_do_not_add_up() {
        assert_eq!(lacing_error(&data(0x02, b"")), "no frame count");
        assert_eq!(lacing_error(&data(0x02, &[2, 1])), SIZES_MISSING);
        assert_eq!(lacing_error(&data(0x02, &[1, 255])), SIZES_MISSING);
        assert_eq!(lacing_error(&data(0x02, &[1, 5, 0, 0])), TOO_LONG);
        assert_eq!(lacing_error(&data(0x02, &[1, 255, 0, 0])), TOO_LONG);
        assert_eq!(lacing_error(&data(0x04, &[2, 0, 0, 0, 0])), "the block is no multiple of its frames");
        assert_eq!(lacing_error(&data(0x06, &[2, 0x81])), SIZES_MISSING);
        assert_eq!(lacing_error(&data(0x06, &[1, 0x00])), SIZES_MISSING);
        assert_eq!(lacing_error(&data(0x06, &[1, 0xFF])), "a reserved frame size");
        assert_eq!(lacing_error(&data(0x06, &[1, 0x85, 0, 0])), TOO_LONG);
        // 1 byte, 63 less.
        assert_eq!(lacing_error(&data(0x06, &[2, 0x81, 0x80, 0, 0])), TOO_LONG);
        // The largest number of 8 bytes.
        let most = [1, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE];
        assert_eq!(lacing_error(&data(0x06, &most)), TOO_LONG);
    }

    #[test]
    fn a_block_group() {
        let mut children = Vec::new();
        element(&mut children, Id::VOID, &[0; 40]);
        unsigned(&mut children, Id::BLOCK_DURATION, 300);
        element(&mut children, Id(0x75A1), b"additions");
        element(&mut children, Id::BLOCK, &data(0x0C, b"\x01aabb"));
        let block = group(&children).unwrap();
        assert_eq!((block.track, block.relative_timestamp, block.duration), (1, -2, Some(300)));
        assert_eq!((block.keyframe, block.discardable, block.invisible), (true, false, true));
        assert_eq!(frames(&block), ["aa", "bb"]);
        let at = block.relative_timestamp_offset();
        assert_eq!(block.element.slice(at..at + 2).to_bytes(), [0xFF, 0xFE][..]);
        element(&mut children, Id::REFERENCE_BLOCK, &[0xFF]);
        assert!(!group(&children).unwrap().keyframe);
    }

    #[test]
    fn invalid_block_groups() {
        let with = |id, data: &[u8]| {
            let mut children = Vec::new();
            element(&mut children, id, data);
            children
        };
        let block = with(Id::BLOCK, &data(0, b"frame"));
        assert!(matches!(group(&[]), Err(Error::InvalidElement { offset: 7, element: Id::BLOCK_GROUP, .. })));
        assert!(matches!(
            group(&[&block[..], &block].concat()),
            Err(Error::InvalidElement { offset: 20, element: Id::BLOCK, .. })
        ));
        let tail = |bytes: &[u8]| group(&[&block[..], bytes].concat()).unwrap_err();
        let invalid = |element| move |error: &Error| matches!(error, Error::InvalidSize { offset: 20, element: e, .. } if *e == element);
        assert!(invalid(Id::BLOCK_DURATION)(&tail(&with(Id::BLOCK_DURATION, &[0; 9]))));
        assert!(invalid(Id::BLOCK_DURATION)(&tail(&[0x9B, 0x82, 0])), "out of its parent");
        assert!(invalid(Id::BLOCK_DURATION)(&tail(&[0x9B, 0xFF])), "unknown size");
        assert!(invalid(Id::BLOCK_DURATION)(&tail(&[0x9B, 0x00])), "over-long size");
        assert!(invalid(Id::UNREAD)(&tail(&[0x9B])), "no size");
        assert!(matches!(tail(&[0x00]), Error::InvalidElement { offset: 20, element: Id::UNREAD, .. }));
        assert!(matches!(group(&with(Id::BLOCK, &[0x81, 0, 0])), Err(Error::InvalidSize { element: Id::BLOCK, .. })));
    }
    #[test]
    fn a_block_takes_no_bytes_of_what_follows_it() {
        // What follows reads as the rest of a block header, a lace's frame count or a frame size.
        let mut after = Vec::new();
        unsigned(&mut after, Id::BLOCK_DURATION, 0x8181);
        for (flags, rest, expected) in [
            (0x02, &[][..], "no frame count"),
            (0x02, &[1], SIZES_MISSING),
            (0x02, &[1, 255], SIZES_MISSING),
            (0x06, &[1], SIZES_MISSING),
            (0x06, &[1, 0x40], SIZES_MISSING),
        ] {
            let mut children = Vec::new();
            element(&mut children, Id::BLOCK, &data(flags, rest));
            let error = group(&[children, after.clone()].concat()).unwrap_err();
            assert_eq!(error, Error::InvalidLacing { offset: 9, track: 1, reason: expected }, "{flags} {rest:?}");
        }
        for length in 0..4 {
            let mut children = Vec::new();
            element(&mut children, Id::BLOCK, &data(0, b"")[..length]);
            let error = group(&[children, after.clone()].concat()).unwrap_err();
            assert!(matches!(error, Error::InvalidSize { offset: 9, element: Id::BLOCK, .. }), "{length}: {error:?}");
        }
    }
}
