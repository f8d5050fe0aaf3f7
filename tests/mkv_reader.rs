//! The Matroska reader on files written for one question each: where elements end, limits, and sizes that lie.

#[path = "common/matroska.rs"]
mod matroska;

use bytes::Bytes;
use gstkvs::mkv::{Block, Element, Error, Id, MAX_BLOCK, MAX_HEADER_ELEMENT, Reader};
use matroska::*;

/// The elements without their content, one letter each.
fn outline(elements: &[Element]) -> String {
    elements
        .iter()
        .map(|element| match element {
            Element::Document { .. } => 'D',
            Element::Segment => 'S',
            Element::Info(_) => 'I',
            Element::Tracks(_) => 'T',
            Element::Tags(_) => 't',
            Element::Cluster { .. } => 'C',
            Element::Block(_) => 'b',
            Element::ClusterEnd => 'e',
        })
        .collect()
}

/// The outline of a sound body, the same at once and byte by byte.
fn sound(body: &[u8]) -> String {
    let (elements, end) = read_whole(body);
    assert_eq!(end, Ok(()), "after {}", outline(&elements));
    assert_eq!(read(body.iter().map(|&byte| Bytes::from(vec![byte]))), (elements.clone(), end));
    outline(&elements)
}

/// What is wrong with `start` followed by `bad`, with the offset counted from `bad` on.
fn wrong(start: &[u8], bad: &[u8]) -> Error {
    let body = [start, bad].concat();
    let (elements, end) = read_whole(&body);
    assert_eq!(read(body.iter().map(|&byte| Bytes::from(vec![byte]))), (elements, end.clone()));
    let mut error = end.expect_err("an error");
    match &mut error {
        Error::NotMatroska { offset, .. }
        | Error::Truncated { offset, .. }
        | Error::InvalidSize { offset, .. }
        | Error::TooLarge { offset, .. }
        | Error::InvalidElement { offset, .. }
        | Error::InvalidLacing { offset, .. } => *offset = offset.wrapping_sub(start.len() as u64),
    }
    error
}

#[track_caller]
fn assert_invalid_size(start: &[u8], bad: &[u8], expected: Id) {
    let error = wrong(start, bad);
    assert!(
        matches!(error, Error::InvalidSize { offset: 0, element, .. } if element == expected),
        "{expected}: {error:?}"
    );
}

#[track_caller]
fn assert_invalid_element(start: &[u8], bad: &[u8], expected: Id) {
    let error = wrong(start, bad);
    assert!(
        matches!(error, Error::InvalidElement { offset: 0, element, .. } if element == expected),
        "{expected}: {error:?}"
    );
}

#[track_caller]
fn assert_not_matroska(body: &[u8]) {
    let error = wrong(&[], body);
    assert!(matches!(error, Error::NotMatroska { offset: 0, .. }), "{error:?}");
}

fn block() -> Vec<u8> {
    element(Id::SIMPLE_BLOCK, block_data(1, 0, 0x80, b"frame"))
}

fn timestamp(value: u64) -> Vec<u8> {
    unsigned(Id::TIMESTAMP, value)
}

fn tags() -> Vec<u8> {
    element(Id::TAGS, element(Id::TAG, element(Id::SIMPLE_TAG, element(Id::TAG_NAME, "name"))))
}

#[test]
fn clusters_end_where_they_must() {
    let known = element(Id::CLUSTER, [timestamp(0), block()].concat());
    let open = [unknown(Id::CLUSTER), timestamp(0), block()].concat();
    assert_eq!(sound(&[segment(), known.clone()].concat()), "DSCbe", "known size");
    assert_eq!(sound(&[segment(), known.clone(), known.clone()].concat()), "DSCbeCbe");
    assert_eq!(sound(&[segment(), open.clone()].concat()), "DSCb", "the body's end");
    assert_eq!(sound(&[segment(), open.clone(), open.clone()].concat()), "DSCbeCb", "a Cluster");
    assert_eq!(sound(&[segment(), open.clone(), tags()].concat()), "DSCbet", "Tags");
    assert_eq!(sound(&[segment(), open.clone(), segment(), open.clone()].concat()), "DSCbeDSCb", "a document");
    for id in [Id::SEEK_HEAD, Id::CHAPTERS, Id::CUES, Id::ATTACHMENTS] {
        assert_eq!(sound(&[segment(), open.clone(), element(id, [0; 9]), tags()].concat()), "DSCbet", "{id}");
        assert_invalid_element(&[segment(), open.clone(), element(id, [0; 9])].concat(), &block(), Id::SIMPLE_BLOCK);
    }
    for id in [Id::VOID, Id::CRC_32, Id(0xA7), Id(0xAB), Id(0x1234_5678)] {
        assert_eq!(sound(&[segment(), open.clone(), element(id, [0; 9]), block()].concat()), "DSCbb", "{id}");
    }
    assert_eq!(sound(&[segment(), element(Id::CLUSTER, []), tags()].concat()), "DSet", "an empty Cluster");
    assert_eq!(sound(&[segment(), unknown(Id::CLUSTER), tags()].concat()), "DSet", "an empty Cluster");
    assert_eq!(sound(&[segment(), element(Id::CLUSTER, timestamp(0))].concat()), "DSCe", "no block");
}

#[test]
fn a_cluster_is_told_to_end_without_more_bytes() {
    let mut reader = Reader::new();
    reader.push([segment(), element(Id::CLUSTER, timestamp(0))].concat().into());
    let mut elements = Vec::new();
    while let Some(element) = reader.next().unwrap() {
        elements.push(element);
    }
    assert_eq!(outline(&elements), "DSCe");
}

#[test]
fn segments_end_where_they_must() {
    let cluster = element(Id::CLUSTER, [timestamp(0), block()].concat());
    let open = [unknown(Id::CLUSTER), timestamp(0), block()].concat();
    let known = |children: &[u8]| [ebml_header("webm"), element(Id::SEGMENT, children)].concat();
    assert_eq!(sound(&known(&[])), "DS");
    assert_eq!(sound(&known(&cluster)), "DSCbe");
    assert_eq!(sound(&known(&open)), "DSCbe", "the Segment's end is the Cluster's");
    assert_eq!(sound(&[known(&open), known(&open)].concat()), "DSCbeDSCbe");
    assert_eq!(sound(&[known(&cluster), element(Id::VOID, [0; 9]), segment()].concat()), "DSCbeDS");
    assert_eq!(sound(&[ebml_header("webm"), element(Id::VOID, []), unknown(Id::SEGMENT)].concat()), "DS");
    assert_eq!(sound(&[segment(), segment(), segment()].concat()), "DSDSDS");
    assert_eq!(sound(&[ebml_header("webm"), segment()].concat()), "DDS");
}

#[test]
fn timestamps_and_blocks() {
    let group = element(
        Id::BLOCK_GROUP,
        [element(Id::BLOCK, block_data(300, -5, 0, b"frame")), element(Id::BLOCK_DURATION, [40])].concat(),
    );
    let cluster = [unknown(Id::CLUSTER), element(Id::CRC_32, [0; 4]), timestamp(u64::MAX), group].concat();
    let (elements, end) = read_whole(&[segment(), cluster].concat());
    assert_eq!(end, Ok(()));
    let [.., Element::Cluster { timestamp: u64::MAX }, Element::Block(block)] = &elements[..] else {
        panic!("{elements:?}")
    };
    assert_eq!((block.track, block.relative_timestamp, block.duration), (300, -5, Some(40)));
    assert_eq!(block.frames().map(|frame| frame.to_bytes()).collect::<Vec<_>>(), ["frame"]);
    let empty = [segment(), unknown(Id::CLUSTER), element(Id::TIMESTAMP, [])].concat();
    assert_eq!(read_whole(&empty).0.last(), Some(&Element::Cluster { timestamp: 0 }));
}

#[test]
fn other_bodies_are_refused() {
    assert_not_matroska(b"<html><body>no stream</body></html>");
    assert_not_matroska(b"\x00\x00\x00\x20ftypisom");
    assert_not_matroska(&[0x1A, 0x46]);
    assert_not_matroska(&block());
    assert_not_matroska(&ebml_header("mp4"));
    assert_not_matroska(&element(Id::EBML, []));
    for (id, value) in [(Id::EBML_READ_VERSION, 2), (Id::EBML_MAX_ID_LENGTH, 5), (Id::EBML_MAX_SIZE_LENGTH, 9)] {
        assert_not_matroska(&element(Id::EBML, [element(Id::DOC_TYPE, "matroska"), element(id, [value])].concat()));
    }
    assert_eq!(sound(&[]), "", "no byte is no wrong byte");
}

#[test]
fn ids_and_sizes_that_are_none() {
    for start in [ebml_header("matroska"), segment(), cluster()] {
        for bad in [&[0x00, 0x80][..], &[0x08, 0, 0, 0, 0x80], &[0xFF, 0x80], &[0x80, 0x80], &[0x40, 0x00, 0x80]] {
            assert_invalid_element(&start, bad, Id::UNREAD);
        }
        assert_invalid_size(&start, &[0xEC, 0x00], Id::VOID);
    }
    assert_invalid_size(&[], &[0x1A, 0x45, 0xDF, 0xA3, 0x00], Id::EBML);
}

#[test]
fn only_segment_and_cluster_may_have_an_unknown_size() {
    assert_invalid_size(&[], &unknown(Id::EBML), Id::EBML);
    assert_invalid_size(&ebml_header("matroska"), &unknown(Id::VOID), Id::VOID);
    for id in [Id::INFO, Id::TRACKS, Id::TAGS, Id::SEEK_HEAD, Id::CUES, Id::VOID, Id::CRC_32, Id(0x1234_5678)] {
        assert_invalid_size(&segment(), &unknown(id), id);
    }
    for id in [Id::SIMPLE_BLOCK, Id::BLOCK_GROUP, Id::VOID, Id(0xA7)] {
        assert_invalid_size(&cluster(), &unknown(id), id);
    }
    let start = [segment(), unknown(Id::CLUSTER)].concat();
    assert_invalid_size(&start, &unknown(Id::TIMESTAMP), Id::TIMESTAMP);
    let children = element(Id::INFO, unknown(Id::TITLE));
    assert!(matches!(wrong(&segment(), &children), Error::InvalidSize { offset: 5, element: Id::TITLE, .. }));
}

#[test]
fn children_stay_inside_their_parents() {
    // A parent of 20 bytes, with a child of 18 and its head of 2 or more.
    let parent = |id| head(id, 20);
    for id in [Id::INFO, Id::TRACKS, Id::TAGS, Id::CLUSTER, Id::VOID, Id(0x1234_5678)] {
        let start = [ebml_header("matroska"), parent(Id::SEGMENT)].concat();
        assert_invalid_size(&start, &head(id, 20), id);
    }
    let start = [segment(), parent(Id::CLUSTER)].concat();
    for id in [Id::TIMESTAMP, Id::VOID, Id(0xA7)] {
        assert_invalid_size(&start, &head(id, 19), id);
    }
    let start = [segment(), parent(Id::CLUSTER), timestamp(0)].concat();
    for id in [Id::SIMPLE_BLOCK, Id::BLOCK_GROUP] {
        assert_invalid_size(&start, &head(id, 9), id);
    }
    // The head itself leads out.
    let start = [segment(), head(Id::CLUSTER, 1)].concat();
    assert_invalid_size(&start, &[0xEC, 0x80], Id::VOID);
    // An unknown-size Cluster has its Segment's end.
    let start = [ebml_header("matroska"), parent(Id::SEGMENT), unknown(Id::CLUSTER)].concat();
    assert_invalid_size(&start, &head(Id::VOID, 14), Id::VOID);
    assert_eq!(sound(&[start, element(Id::VOID, [0; 13])].concat()), "DSe");
    for id in [Id::INFO, Id::TAGS] {
        let bad = element(id, head(Id::VOID, 1));
        assert!(matches!(wrong(&segment(), &bad), Error::InvalidSize { offset: 5, element: Id::VOID, .. }), "{id}");
    }
    let bad = element(Id::EBML, head(Id::VOID, 1));
    assert!(matches!(wrong(&[], &bad), Error::InvalidSize { offset: 5, element: Id::VOID, .. }));
}

#[test]
fn elements_in_places_where_they_cannot_be() {
    let start = [segment(), head(Id::CLUSTER, 1000), timestamp(0)].concat();
    for id in [Id::EBML, Id::SEGMENT, Id::CLUSTER, Id::TAGS, Id::INFO] {
        assert_invalid_element(&start, &element(id, [0; 4]), id);
    }
    let start = [ebml_header("matroska"), head(Id::SEGMENT, 1000)].concat();
    for id in [Id::EBML, Id::SEGMENT] {
        assert_invalid_element(&start, &element(id, [0; 4]), id);
    }
    assert_invalid_element(&segment(), &unknown(Id::SEGMENT), Id::SEGMENT);
    for id in [Id::CLUSTER, Id::INFO, Id::TAGS, Id::SIMPLE_BLOCK, Id(0x1234_5678)] {
        assert_invalid_element(&ebml_header("matroska"), &element(id, [0; 4]), id);
    }
    for id in [Id::SIMPLE_BLOCK, Id::BLOCK_GROUP] {
        assert_invalid_element(&segment(), &element(id, [0x81, 0, 0, 0]), id);
        let start = [segment(), unknown(Id::CLUSTER)].concat();
        assert_invalid_element(&start, &element(id, [0x81, 0, 0, 0]), id);
    }
    assert_invalid_element(&cluster(), &timestamp(1), Id::TIMESTAMP);
}

#[test]
fn values_that_are_too_short_or_too_long() {
    let start = [segment(), unknown(Id::CLUSTER)].concat();
    assert_invalid_size(&start, &head(Id::TIMESTAMP, 9), Id::TIMESTAMP);
    let info = element(Id::INFO, element(Id::TIMESTAMP_SCALE, [0; 9]));
    assert!(matches!(wrong(&segment(), &info), Error::InvalidSize { offset: 5, element: Id::TIMESTAMP_SCALE, .. }));
    let info = element(Id::INFO, element(Id::TIMESTAMP_SCALE, [0]));
    assert!(matches!(wrong(&segment(), &info), Error::InvalidElement { offset: 5, element: Id::TIMESTAMP_SCALE, .. }));
    for length in 0..4 {
        assert_invalid_size(&cluster(), &element(Id::SIMPLE_BLOCK, &[0x81, 0, 0][..length.min(3)]), Id::SIMPLE_BLOCK);
    }
    assert_invalid_element(&cluster(), &element(Id::SIMPLE_BLOCK, [0x80, 0, 0, 0]), Id::SIMPLE_BLOCK);
    assert_invalid_element(&cluster(), &element(Id::BLOCK_GROUP, []), Id::BLOCK_GROUP);
    assert_invalid_element(&segment(), &element(Id::TRACKS, []), Id::TRACKS);
    let lace = element(Id::SIMPLE_BLOCK, block_data(1, 0, 0x06, &[200]));
    assert!(matches!(wrong(&cluster(), &lace), Error::InvalidLacing { offset: 0, track: 1, .. }));
}

#[test]
fn a_track_that_is_encoded_does_not_end_the_body() {
    let encoding = element(Id::CONTENT_ENCODINGS, element(Id::CONTENT_ENCODING, []));
    let entry = [element(Id::TRACK_NUMBER, [3]), encoding].concat();
    let entries = [element(Id::TRACK_ENTRY, entry), element(Id::TRACK_ENTRY, element(Id::TRACK_NUMBER, [4]))].concat();
    let (elements, end) = read_whole(&[segment(), element(Id::TRACKS, entries)].concat());
    assert_eq!(end, Ok(()));
    let Some(Element::Tracks(tracks)) = elements.last() else { panic!("{elements:?}") };
    let encodings: Vec<_> = tracks.tracks.iter().map(|track| track.unsupported_encoding.as_deref()).collect();
    assert_eq!(encodings, [Some("zlib compression"), None]);
}

#[test]
fn a_body_that_ends_inside_an_element() {
    let ends = |start: &[u8], bad: &[u8]| match wrong(start, bad) {
        Error::Truncated { offset: 0, element } => element,
        other => panic!("{other:?}"),
    };
    assert_eq!(ends(&[], &[0x1A, 0x45]), Id::UNREAD);
    assert_eq!(ends(&[], &head(Id::EBML, 20)), Id::EBML);
    assert_eq!(ends(&segment(), &[0x16]), Id::UNREAD);
    assert_eq!(ends(&segment(), &element(Id::INFO, [0; 9])[..12]), Id::INFO);
    assert_eq!(ends(&segment(), &element(Id::CUES, [0; 9])[..12]), Id::CUES);
    assert_eq!(ends(&cluster(), &block()[..8]), Id::SIMPLE_BLOCK);
    assert_eq!(ends(&cluster(), &[0xA3]), Id::UNREAD);
    assert_eq!(ends(&segment(), &[head(Id::CLUSTER, 30), timestamp(0), block()].concat()), Id::CLUSTER);
    assert_eq!(ends(&ebml_header("webm"), &[head(Id::SEGMENT, 30), tags()].concat()), Id::SEGMENT);
    assert_eq!(ends(&ebml_header("webm"), &[head(Id::SEGMENT, 30), unknown(Id::CLUSTER)].concat()), Id::SEGMENT);
    assert_eq!(sound(&ebml_header("webm")), "D", "between two elements");
}

/// Pushes `total` bytes in pieces that share one megabyte; how much was held at most after each.
fn push_zeros(reader: &mut Reader, elements: &mut Vec<Element>, mut total: u64) -> usize {
    let zeros = Bytes::from(vec![0; 1 << 20]);
    let mut held = 0;
    while total > 0 {
        let length = total.min(zeros.len() as u64);
        total -= length;
        reader.push(zeros.slice(..length as usize));
        while let Some(element) = reader.next().unwrap() {
            elements.push(element);
        }
        held = held.max(reader.held());
    }
    held
}

#[test]
fn what_nobody_wants_is_skipped_without_being_held() {
    let huge = 300 << 20;
    for (start, ids) in [
        (segment(), &[Id::VOID, Id::SEEK_HEAD, Id::CUES, Id::ATTACHMENTS, Id::CHAPTERS, Id(0x1234_5678)][..]),
        (cluster(), &[Id::VOID, Id(0xA7), Id(0xAF), Id(0x1234_5678)]),
        (ebml_header("matroska"), &[Id::VOID]),
    ] {
        for &id in ids {
            let mut reader = Reader::new();
            let mut elements = Vec::new();
            reader.push([start.clone(), head(id, huge)].concat().into());
            let held = push_zeros(&mut reader, &mut elements, huge);
            assert_eq!(held, 0, "{id}");
            assert_eq!(reader.finish(), Ok(()));
            reader.push(segment().into());
            assert_eq!(outline(&elements).chars().filter(|&kind| kind == 'D').count(), 1);
            while let Some(element) = reader.next().unwrap() {
                elements.push(element);
            }
            assert_eq!(outline(&elements).chars().filter(|&kind| kind == 'D').count(), 2, "{id}: what follows is read");
        }
    }
    // The largest size there is.
    let mut reader = Reader::new();
    reader.push([segment(), head(Id::VOID, (1 << 56) - 2)].concat().into());
    assert_eq!(push_zeros(&mut reader, &mut Vec::new(), huge), 0);
    assert!(matches!(reader.finish(), Err(Error::Truncated { element: Id::VOID, .. })));
}

#[test]
fn header_elements_have_a_limit() {
    for id in [Id::INFO, Id::TAGS, Id::EBML] {
        let start = if id == Id::EBML { Vec::new() } else { segment() };
        let first = if id == Id::EBML { element(Id::DOC_TYPE, "webm") } else { Vec::new() };
        let padding = MAX_HEADER_ELEMENT as usize - first.len() - 4;
        let whole = element(id, [first, element(Id::VOID, vec![0; padding])].concat());
        assert_eq!(whole.len(), 7 + MAX_HEADER_ELEMENT as usize);
        assert_eq!(read_whole(&[start.clone(), whole].concat()).1, Ok(()), "{id}");
        assert_too_large(&start, id, MAX_HEADER_ELEMENT);
    }
    assert_too_large(&segment(), Id::TRACKS, MAX_HEADER_ELEMENT);
}

/// One byte more than `limit`, or many, is an error as soon as the size is read.
#[track_caller]
fn assert_too_large(start: &[u8], id: Id, limit: u64) {
    for size in [limit + 1, 1 << 40, (1 << 56) - 2] {
        let expected = Error::TooLarge { offset: 0, element: id, size, limit };
        assert_eq!(wrong(start, &head(id, size)), expected);
    }
}

#[test]
fn blocks_have_a_limit() {
    let mut reader = Reader::new();
    let mut elements = Vec::new();
    reader.push([cluster(), head(Id::SIMPLE_BLOCK, MAX_BLOCK), vec![0x81, 0, 0, 0x80]].concat().into());
    let held = push_zeros(&mut reader, &mut elements, MAX_BLOCK - 4);
    assert!(held <= MAX_BLOCK as usize + 12, "{held}");
    let Some(Element::Block(block)) = elements.pop() else { panic!("{elements:?}") };
    assert_eq!(block.element.len() as u64, 5 + MAX_BLOCK);
    assert_eq!(block.frames().map(|frame| frame.len() as u64).collect::<Vec<_>>(), [MAX_BLOCK - 4]);
    assert_too_large(&cluster(), Id::SIMPLE_BLOCK, MAX_BLOCK);
    assert_too_large(&cluster(), Id::BLOCK_GROUP, MAX_BLOCK);
}

/// The last block of a body that is fed in pieces of `length` bytes.
fn last_block(body: &Bytes, length: usize) -> Block {
    let pieces = (0..body.len()).step_by(length).map(|at| body.slice(at..body.len().min(at + length)));
    match read(pieces) {
        (mut elements, Ok(())) => match elements.pop() {
            Some(Element::Block(block)) => block,
            other => panic!("{other:?}"),
        },
        (_, Err(error)) => panic!("{error}"),
    }
}

#[test]
fn frames_are_slices_of_the_body() {
    let payload = vec![7; 100_000];
    let body: Bytes = [cluster(), element(Id::SIMPLE_BLOCK, block_data(1, 0, 0, &payload))].concat().into();
    let inside = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
    for length in [body.len(), 65_536, 16_384, 600] {
        let block = last_block(&body, length);
        assert_eq!(block.element.piece_count(), body.len().div_ceil(length), "in pieces of {length}");
        // Only a short piece, so the last, may have been copied.
        let copied: usize = block.element.iter().filter(|piece| !inside(piece)).map(Bytes::len).sum();
        assert!(copied <= body.len() % length && copied < 512, "{copied} bytes in pieces of {length}");
        let frame = block.frames().next().unwrap();
        assert_eq!(frame.to_bytes(), payload);
        assert!(frame.iter().all(|piece| inside(piece) || piece.len() < 512));
    }
}

#[test]
fn small_pieces_neither_pile_up_nor_take_long() {
    let payload = vec![7; 4 << 20];
    let body: Bytes = [cluster(), element(Id::SIMPLE_BLOCK, block_data(1, 0, 0, &payload))].concat().into();
    for length in [1, 2, 100, 511] {
        let block = last_block(&body, length);
        assert_eq!(block.frames().next().map(|frame| frame.to_bytes()).as_deref(), Some(&payload[..]));
        assert!(block.element.piece_count() <= 4 * 16 + 2, "{:?} in pieces of {length}", block.element);
    }
}

#[test]
fn a_reset_reader_is_a_new_one() {
    let mut reader = Reader::new();
    for start in [cluster(), block()] {
        reader.push([start, vec![0xA3, 0x90, 1, 2]].concat().into());
        while let Ok(Some(_)) = reader.next() {}
        reader.reset();
        assert_eq!((reader.offset(), reader.held(), reader.finish()), (0, 0, Ok(())));
    }
    reader.push(cluster().into());
    assert!(matches!(reader.next(), Ok(Some(Element::Document { .. }))));
}

#[test]
fn pieces_may_be_empty_and_queue_up() {
    let body = [cluster(), block(), tags()].concat();
    let mut reader = Reader::new();
    for &byte in &body {
        reader.push(Bytes::new());
        reader.push(vec![byte].into());
    }
    let mut elements = Vec::new();
    while let Some(element) = reader.next().unwrap() {
        elements.push(element);
    }
    assert_eq!(outline(&elements), "DSCbet");
    assert_eq!((reader.offset(), reader.held(), reader.finish()), (body.len() as u64, 0, Ok(())));
}
