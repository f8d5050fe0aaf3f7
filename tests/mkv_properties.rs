//! The Matroska reader on captures, generated files and rubbish: how the bytes come must not matter, and nothing
//! makes it panic, run for ever or hold more than it was given.

#[path = "common/captures.rs"]
mod captures;
#[path = "common/generated.rs"]
mod generated;
#[path = "common/matroska.rs"]
mod matroska;

use bytes::Bytes;
use captures::capture;
use generated::{Summary, document, summarise};
use gstkvs::mkv::{Element, Error};
use matroska::{cluster, read, read_whole, segment};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const CAPTURES: [&str; 5] = [
    "output_get_media.mkv",
    "output_get_media_sparse_fragments.mkv",
    "test_mixed_tags.mkv",
    "empty-mkv-with-tags.mkv",
    "test_tags_empty_cluster.mkv",
];

/// The bytes in pieces of these lengths, over and over.
fn pieces(body: &Bytes, lengths: &[usize]) -> Vec<Bytes> {
    let (mut rest, mut pieces) = (body.clone(), Vec::new());
    for &length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(rest.split_to(length.clamp(1, rest.len())));
    }
    pieces
}

/// Lengths of pieces from one byte to more than an HTTP library gives at once.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![3 => 1..20_usize, 2 => 500..520_usize, 3 => 20..4_000_usize, 1 => 4_000..100_000_usize];
    vec(length, 1..20)
}

/// Reads the body whole, byte by byte and in these pieces: always the same.
fn read_all_ways(body: &Bytes, lengths: &[usize]) -> (Vec<Element>, Result<(), Error>) {
    let whole = read([body.clone()]);
    assert!(whole.0.len() <= body.len(), "{} elements of {} bytes", whole.0.len(), body.len());
    for lengths in [&[1], lengths] {
        let (elements, end) = read(pieces(body, lengths));
        // No assert_eq: it would print megabytes.
        assert!(elements == whole.0, "{} and {} elements", elements.len(), whole.0.len());
        assert_eq!(end, whole.1);
    }
    whole
}

/// How many Documents, Tags, Clusters, ClusterEnds and Blocks, and of them keyframes.
fn counts(elements: &[Element]) -> [usize; 6] {
    let mut counts = [0; 6];
    for element in elements {
        match element {
            Element::Document { .. } => counts[0] += 1,
            Element::Tags(_) => counts[1] += 1,
            Element::Cluster { .. } => counts[2] += 1,
            Element::ClusterEnd => counts[3] += 1,
            Element::Block(block) => {
                counts[4] += 1;
                counts[5] += usize::from(block.keyframe);
            }
            Element::Segment | Element::Info(_) | Element::Tracks(_) => {}
        }
    }
    counts
}

#[test]
fn captures_hold_what_their_description_says() {
    let expected = [[5, 15, 5, 5, 300, 5], [3, 9, 3, 3, 180, 3], [10, 75, 10, 10, 100, 10], [1, 1, 0, 0, 0, 0]];
    for (name, expected) in CAPTURES.iter().zip(expected) {
        let Some(body) = capture(name) else { continue };
        let (elements, end) = read([body]);
        assert_eq!((counts(&elements), end), (expected, Ok(())), "{name}");
    }
    if let Some(body) = capture(CAPTURES[4]) {
        let (elements, end) = read([body]);
        assert_eq!((counts(&elements)[4], end), (0, Ok(())), "no block");
    }
}

#[test]
fn capture_times_are_those_of_the_description() {
    for (name, times) in [(CAPTURES[0], &[0, 2000, 4000, 6000, 8000][..]), (CAPTURES[1], &[0, 4000, 8000])] {
        let Some(body) = capture(name) else { continue };
        let (elements, _) = read([body]);
        let clusters: Vec<u64> = elements
            .iter()
            .filter_map(|element| if let Element::Cluster { timestamp } = element { Some(*timestamp) } else { None })
            .collect();
        assert_eq!(clusters, times, "{name}");
        let last = elements
            .iter()
            .rev()
            .find_map(|element| if let Element::Block(block) = element { Some(block) } else { None });
        let last = last.map(|block| block.relative_timestamp);
        assert_eq!(last, Some(1967), "{name}: 60 frames of a 30th second, the last one in it");
    }
}

#[test]
fn captures_read_the_same_byte_by_byte() {
    for name in CAPTURES {
        let Some(body) = capture(name) else { continue };
        let (_, end) = read_all_ways(&body, &[65_536]);
        assert_eq!(end, Ok(()), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn captures_read_the_same_in_any_pieces(lengths in lengths()) {
        for name in CAPTURES {
            let Some(body) = capture(name) else { continue };
            let whole = read([body.clone()]);
            let (elements, end) = read(pieces(&body, &lengths));
            prop_assert!(elements == whole.0, "{name}");
            prop_assert_eq!(end, Ok(()));
        }
    }
}

/// Something done to a body: set a byte, remove bytes, repeat bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
}

impl Mutation {
    fn apply(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        let range = |at: &Index, length: usize| {
            let start = at.index(body.len());
            start..body.len().min(start + length)
        };
        match self {
            Mutation::Set(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Mutation::Remove(at, length) => drop(body.drain(range(at, *length))),
            Mutation::Repeat(at, length) => {
                let range = range(at, *length);
                let again = body[range.clone()].to_vec();
                body.splice(range.start..range.start, again);
            }
        }
    }
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let byte =
        prop_oneof![any::<u8>(), prop::sample::select(vec![0x00, 0x01, 0x80, 0xA0, 0xA1, 0xA3, 0xBF, 0xEC, 0xFF])];
    let mutation = prop_oneof![
        4 => (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (any::<Index>(), 1..4_000_usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ];
    vec(mutation, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn generated_files_read_as_they_were_written(
        documents in vec(document(), 1..4),
        lengths in lengths(),
    ) {
        let (body, written) = generated::render(&documents);
        let (elements, end) = read_all_ways(&body.into(), &lengths);
        prop_assert_eq!(end, Ok(()));
        let read: Vec<Summary> = elements.iter().map(summarise).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn a_file_cut_anywhere_gives_what_came_before(
        documents in vec(document(), 1..3),
        cut in any::<Index>(),
        lengths in lengths(),
    ) {
        let (body, written) = generated::render(&documents);
        let cut = cut.index(body.len() + 1);
        let (elements, end) = read_all_ways(&body[..cut].to_vec().into(), &lengths);
        let read: Vec<Summary> = elements.iter().map(summarise).collect();
        prop_assert!(written.starts_with(&read), "{:?}", read);
        if let Err(error) = end {
            prop_assert!(matches!(error, Error::Truncated { .. }), "{}", error);
            prop_assert!(error.offset() < cut as u64);
        }
    }

    #[test]
    fn mutated_files_end_well_or_with_an_error(
        documents in vec(document(), 1..3),
        mutations in mutations(),
        lengths in lengths(),
    ) {
        let (mut body, _) = generated::render(&documents);
        mutations.iter().for_each(|mutation| mutation.apply(&mut body));
        let _ = read_all_ways(&body.into(), &lengths);
    }

    #[test]
    fn mutated_captures_end_well_or_with_an_error(
        mutations in mutations(),
        lengths in lengths(),
        which in any::<Index>(),
        start in any::<Index>(),
    ) {
        let Some(capture) = capture(CAPTURES[which.index(CAPTURES.len())]) else { return Ok(()) };
        // Not from its beginning alone, and not the whole of the large ones each time.
        let start = start.index(capture.len().saturating_sub(200_000) + 1);
        let part = capture.slice(start..capture.len().min(start + 200_000));
        let mut body = if start == 0 { Vec::new() } else { capture[..1_200].to_vec() };
        body.extend(part);
        mutations.iter().for_each(|mutation| mutation.apply(&mut body));
        let _ = read_all_ways(&body.into(), &lengths);
    }

    #[test]
    fn rubbish_ends_well_or_with_an_error(
        start in prop::sample::select(vec![Vec::new(), segment(), cluster()]),
        rubbish in vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0xA0, 0xA1, 0xA3, 0xEC, 0x81, 0x82, 0x84, 0x90])], 0..2_000),
        lengths in lengths(),
    ) {
        let _ = read_all_ways(&[start, rubbish].concat().into(), &lengths);
    }

    #[test]
    fn rubbish_in_headers_and_blocks_ends_well_or_with_an_error(
        id in prop::sample::select(vec![
            &[0x15, 0x49, 0xA9, 0x66][..], &[0x16, 0x54, 0xAE, 0x6B], &[0x12, 0x54, 0xC3, 0x67], &[0xA3], &[0xA0],
        ]),
        rubbish in vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0xA0, 0xA1, 0xAE, 0xE0, 0xE1, 0x81, 0x82, 0x84, 0x90])], 0..300),
    ) {
        let start = if id.len() == 1 { cluster() } else { segment() };
        let size = 0x4000 | rubbish.len() as u16;
        let body = [&start[..], id, &size.to_be_bytes(), &rubbish].concat();
        let (elements, end) = read_all_ways(&body.into(), &[7]);
        prop_assert!(end.is_err() || elements.len() == read_whole(&start).0.len() + 1);
    }
}
