//! Writes the container anew: one header, then for each fragment a Cluster of unknown size, and Tags.

use bytes::{Bytes, BytesMut};

use super::block::{Block, INVISIBLE};
use super::header::Info;
use super::ids::Id;
use super::pieces::Pieces;
use super::tags::{SHOT, escaped};
use super::tracks::Tracks;
use super::vint;

/// An unknown size in 8 bytes, the form that all demuxers know.
const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// Names this program where the producer named no application; both are mandatory (RFC 9559 section 5.1.2).
const APPLICATION: &str = concat!("gst-plugin-kvs ", env!("CARGO_PKG_VERSION"));

/// What dates count from, 2001-01-01T00:00:00Z, in ns since 1970 (RFC 8794 section 7.6).
const MILLENNIUM: i64 = 978_307_200_000_000_000;

/// The header of a stream of any length: EBML header, Segment of unknown size, Info, and Tracks as they came, in order.
///
/// Info has neither Duration nor DateUTC of the producer's file, since they say nothing of what follows this header.
/// `date` is the moment of block time 0, in ns since 1970 (RFC 9559 section 5.1.2.11).
pub fn header(
    doc_type: &str,
    doc_type_version: u64,
    doc_type_read_version: u64,
    info: &Info,
    date: Option<i64>,
    tracks: &Tracks,
) -> Bytes {
    let mut ebml = Vec::new();
    unsigned(&mut ebml, Id::EBML_VERSION, 1);
    unsigned(&mut ebml, Id::EBML_READ_VERSION, 1);
    unsigned(&mut ebml, Id::EBML_MAX_ID_LENGTH, 4);
    unsigned(&mut ebml, Id::EBML_MAX_SIZE_LENGTH, 8);
    element(&mut ebml, Id::DOC_TYPE, doc_type.as_bytes());
    unsigned(&mut ebml, Id::DOC_TYPE_VERSION, doc_type_version);
    unsigned(&mut ebml, Id::DOC_TYPE_READ_VERSION, doc_type_read_version);

    let mut about = Vec::new();
    let application = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    unsigned(&mut about, Id::TIMESTAMP_SCALE, info.timestamp_scale);
    if let Some(date) = date {
        element(&mut about, Id::DATE_UTC, &date.saturating_sub(MILLENNIUM).to_be_bytes());
    }
    if let Some(title) = &info.title {
        element(&mut about, Id::TITLE, title.as_bytes());
    }
    for (id, name) in [(Id::MUXING_APP, &info.muxing_app), (Id::WRITING_APP, &info.writing_app)] {
        element(&mut about, id, application(name).as_deref().unwrap_or(APPLICATION).as_bytes());
    }

    let mut header = Vec::new();
    element(&mut header, Id::EBML, &ebml);
    vint::write_id(&mut header, Id::SEGMENT);
    header.extend(UNKNOWN_SIZE);
    element(&mut header, Id::INFO, &about);
    header.extend_from_slice(&tracks.in_order());
    header.into()
}

/// The beginning of a Cluster of unknown size: its header and its Timestamp, in ticks.
pub fn cluster(timestamp: u64) -> Bytes {
    let mut cluster = Vec::with_capacity(22);
    vint::write_id(&mut cluster, Id::CLUSTER);
    cluster.extend(UNKNOWN_SIZE);
    unsigned(&mut cluster, Id::TIMESTAMP, timestamp);
    cluster.into()
}

/// A Tags element with these names and texts, about the part of the stream that it stands beside (RFC 9559 section 5.1.8);
/// `None` without any.
///
/// They are tags about a shot of one track, if that has a TrackUID other than 0, since matroskademux gathers tags about the
/// whole Segment for as long as it runs, and tells all of them again with each.
pub fn tags<'a>(track_uid: u64, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Vec<u8>> {
    let (mut targets, mut tag, mut all, mut written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    unsigned(&mut targets, Id::TARGET_TYPE_VALUE, SHOT);
    if track_uid != 0 {
        unsigned(&mut targets, Id::TAG_TRACK_UID, track_uid);
    }
    element(&mut tag, Id::TARGETS, &targets);
    let without = tag.len();
    for (name, value) in tags {
        let mut simple = Vec::new();
        element(&mut simple, Id::TAG_NAME, escaped(name).as_bytes());
        element(&mut simple, Id::TAG_STRING, value.as_bytes());
        element(&mut tag, Id::SIMPLE_TAG, &simple);
    }
    element(&mut all, Id::TAG, &tag);
    element(&mut written, Id::TAGS, &all);
    (tag.len() > without).then_some(written)
}

/// The block's element with another relative timestamp, in ticks, and marked where the block was made invisible. New
/// memory are only the bytes up to that; the others are shared.
pub fn block_with_relative_timestamp(block: &Block, relative: i16) -> Pieces {
    /// The checksum of a BlockGroup, its ID and size, which stands first in it if at all.
    const CRC_32: [u8; 2] = [0xBF, 0x84];
    /// What stands before the timestamp in a BlockGroup may be large.
    const FAR: usize = 64;

    let at = block.relative_timestamp_offset();
    let flags = block.element.slice(at + 2..at + 3).iter().find_map(|piece| piece.first().copied());
    let hidden = flags.filter(|flags| block.invisible && flags & INVISIBLE == 0).map(|flags| flags | INVISIBLE);
    if relative == block.relative_timestamp && hidden.is_none() {
        return block.element.clone();
    }
    let mut pieces = Vec::with_capacity(block.element.piece_count() + 2);
    let mut start = BytesMut::new();
    let near = block.element.slice(0..at.min(FAR));
    near.iter().for_each(|piece| start.extend_from_slice(piece));
    // The checksum is that of the other timestamp.
    if let Ok(Some(head)) = vint::head(&start)
        && head.id == Id::BLOCK_GROUP
        && start.get(head.length..head.length + 2) == Some(&CRC_32)
        && let Some(id) = start.get_mut(head.length)
    {
        *id = Id::VOID.0 as u8;
    }
    if at > FAR {
        pieces.push(start.split().freeze());
        pieces.extend(block.element.slice(FAR..at).iter().cloned());
    }
    start.extend_from_slice(&relative.to_be_bytes());
    start.extend(hidden);
    pieces.push(start.freeze());
    let rest = block.element.slice(at + 2 + usize::from(hidden.is_some())..block.element.len());
    pieces.extend(rest.iter().filter(|piece| !piece.is_empty()).cloned());
    pieces.into()
}

/// Appends an element.
pub(super) fn element(out: &mut Vec<u8>, id: Id, data: &[u8]) {
    vint::write_id(out, id);
    vint::write_size(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// An unsigned integer in the fewest bytes, at least one.
pub(super) fn unsigned(out: &mut Vec<u8>, id: Id, value: u64) {
    let skip = (value.leading_zeros() as usize / 8).min(7);
    element(out, id, value.to_be_bytes().get(skip..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::{Element, Error, Reader, Tag};
    use super::*;

    fn read(bytes: &[Bytes]) -> Result<Vec<Element>, Error> {
        let mut reader = Reader::new();
        bytes.iter().for_each(|bytes| reader.push(bytes.clone()));
        let mut elements = Vec::new();
        while let Some(element) = reader.next()? {
            elements.push(element);
        }
        reader.finish().map(|()| elements)
    }

    fn tracks() -> Tracks {
        let mut number = Vec::new();
        unsigned(&mut number, Id::TRACK_NUMBER, 1);
        let (mut entry, mut raw) = (Vec::new(), Vec::new());
        element(&mut entry, Id::TRACK_ENTRY, &number);
        element(&mut raw, Id::TRACKS, &entry);
        Tracks { tracks: Vec::new(), raw: raw.into() }
    }

    /// The blocks of a cluster at 5 with these children.
    fn blocks(children: &[u8]) -> Vec<Block> {
        let header = header("matroska", 4, 2, &Info::default(), None, &tracks());
        let elements = read(&[header, cluster(5), children.to_vec().into()]).unwrap();
        elements
            .into_iter()
            .filter_map(|element| if let Element::Block(block) = element { Some(block) } else { None })
            .collect()
    }

    #[test]
    fn a_header_reads_back() {
        let info = Info {
            timestamp_scale: 22_675,
            title: Some("garden".into()),
            muxing_app: Some("muxer".into()),
            writing_app: None,
        };
        let header = header("webm", 4, 300, &info, Some(1_767_607_200_000_000_000), &tracks());
        // 2026-01-05T10:00:00Z, in ns since 2001.
        let date = 789_300_000_000_000_000_i64.to_be_bytes();
        assert!(header.windows(11).any(|bytes| bytes == [&[0x44, 0x61, 0x88], &date[..]].concat()), "{header:x?}");
        let elements = read(&[header, cluster(0), cluster(u64::MAX)]).unwrap();
        let [document, Element::Segment, Element::Info(read), Element::Tracks(read_tracks), first, end, second] =
            &elements[..]
        else {
            panic!("{elements:?}")
        };
        let expected = Element::Document { doc_type: "webm".into(), doc_type_version: 4, doc_type_read_version: 300 };
        assert_eq!(*document, expected);
        assert_eq!(*read, Info { writing_app: Some(APPLICATION.into()), ..info });
        assert_eq!(read_tracks.raw, tracks().raw);
        let expected = (&Element::Cluster { timestamp: 0 }, &Element::ClusterEnd, u64::MAX);
        assert_eq!((first, end), (expected.0, expected.1));
        assert_eq!(*second, Element::Cluster { timestamp: expected.2 });
    }

    #[test]
    fn tags_read_back_between_clusters() {
        let header = header("matroska", 4, 2, &Info::default(), None, &tracks());
        let tag = |name: &str, value: &str| Tag { name: name.into(), value: value.into() };
        for track in [0, 1, u64::MAX] {
            let written = tags(track, [("camera", "north"), ("empty", ""), ("100 % Grün\n", "ü")]).unwrap();
            assert!(written.windows(12).any(|bytes| bytes == b"%25 Gr%C3%BC"), "{written:x?}");
            let elements = read(&[header.clone(), cluster(0), written.into(), cluster(1)]).unwrap();
            let all = vec![tag("camera", "north"), tag("empty", ""), tag("100 % Grün\n", "ü")];
            let expected = Element::Tags(all);
            assert_eq!(elements[4..7], [Element::Cluster { timestamp: 0 }, Element::ClusterEnd, expected]);
            assert_eq!(tags(track, []), None);
        }
    }

    #[test]
    fn integers_take_as_few_bytes_as_they_can() {
        for (value, length) in [(0, 1), (255, 1), (256, 2), (1 << 40, 6), (u64::MAX, 8)] {
            assert_eq!(cluster(value).len(), 12 + 2 + length, "{value}");
        }
    }

    #[test]
    fn a_block_moves_in_time_without_being_copied() {
        let mut children = Vec::new();
        element(&mut children, Id::SIMPLE_BLOCK, &[&[0x81, 0, 7, 0x80][..], &[9; 1000]].concat());
        let block = &blocks(&children)[0];
        assert_eq!(block_with_relative_timestamp(block, 7).piece_count(), 1, "the element itself");
        let moved = block_with_relative_timestamp(block, -300);
        assert_eq!(moved.piece_count(), 2);
        assert_eq!(moved.len(), block.element.len());
        let at = block.relative_timestamp_offset();
        assert_eq!(moved.iter().nth(1).unwrap().as_ptr(), block.element.slice(at + 2..at + 3).to_bytes().as_ptr());
        let read = &blocks(&moved.to_bytes())[0];
        assert_eq!(read.relative_timestamp, -300);
        assert!(read.frames().eq(block.frames()));
    }

    #[test]
    fn a_block_group_moves_in_time() {
        for before in [0, 50, 51, 60, 61, 62, 63, 64, 200] {
            let (mut group, mut children) = (Vec::new(), Vec::new());
            element(&mut group, Id::CRC_32, &[1, 2, 3, 4]);
            element(&mut group, Id::VOID, &vec![0; before]);
            element(&mut group, Id::BLOCK, &[0x81, 0, 7, 0, 9, 9, 9]);
            unsigned(&mut group, Id::BLOCK_DURATION, 40);
            element(&mut children, Id::BLOCK_GROUP, &group);
            let block = &blocks(&children)[0];
            let moved = block_with_relative_timestamp(block, 8);
            let read = &blocks(&moved.to_bytes())[0];
            assert_eq!((read.relative_timestamp, read.duration), (8, Some(40)), "{before}");
            assert!(read.frames().eq(block.frames()));
            let (old, new) = (children, moved.to_bytes());
            let changed: Vec<_> = (0..old.len()).filter(|&at| old[at] != new[at]).collect();
            let checksum = old.iter().position(|&byte| byte == 0xBF).unwrap();
            assert_eq!(changed, [checksum, block.relative_timestamp_offset() + 1], "{before}");
            assert_eq!(new[checksum], 0xEC);
        }
    }
}
