//! Tags (RFC 9559 section 5.1.8): those about the whole Segment.

use super::children::Child;
use super::error::Error;
use super::ids::Id;

/// SimpleTags in one Tags element. Kinesis Video allows ten; each costs more memory than its bytes.
const MAX_TAGS: usize = 4096;

/// One SimpleTag with text.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// TagName.
    pub name: String,
    /// TagString; empty without one.
    pub value: String,
}

/// Reads a Tags element: every SimpleTag in order, but for those about a track (muxers tell durations and encoders
/// there), within another one, or with TagBinary.
pub(super) fn parse(tags: &Child) -> Result<Vec<Tag>, Error> {
    let mut found = Vec::new();
    for tag in tags.children() {
        let tag = tag?;
        if tag.id != Id::TAG {
            continue;
        }
        let first = found.len();
        let mut about_track = false;
        for child in tag.children() {
            let child = child?;
            match child.id {
                Id::TARGETS => about_track |= names_track(&child)?,
                Id::SIMPLE_TAG => found.extend(simple_tag(&child)?),
                _ => {}
            }
            if found.len() > MAX_TAGS {
                return Err(tags.invalid("more than 4096 SimpleTags"));
            }
        }
        // The Targets need not stand first.
        if about_track {
            found.truncate(first);
        }
    }
    Ok(found)
}

/// Whether there is a TagTrackUID; 0 stands for all tracks.
fn names_track(targets: &Child) -> Result<bool, Error> {
    for child in targets.children() {
        let child = child?;
        if child.id == Id::TAG_TRACK_UID && child.data.iter().any(|&byte| byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn simple_tag(tag: &Child) -> Result<Option<Tag>, Error> {
    let mut parsed = Tag { name: String::new(), value: String::new() };
    let mut binary = false;
    for child in tag.children() {
        let child = child?;
        match child.id {
            Id::TAG_NAME => parsed.name = child.text(),
            Id::TAG_STRING => parsed.value = child.text(),
            Id::TAG_BINARY => binary = true,
            _ => {}
        }
    }
    Ok((!binary).then_some(parsed))
}

#[cfg(test)]
mod tests {
    use super::super::writer::{element, unsigned};
    use super::*;

    fn master(id: Id, children: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        element(&mut out, id, &children.concat());
        out
    }

    fn leaf(id: Id, data: &[u8]) -> Vec<u8> {
        master(id, &[data.to_vec()])
    }

    fn read(tags: &[Vec<u8>]) -> Result<Vec<Tag>, Error> {
        parse(&Child { id: Id::TAGS, offset: 7, data_offset: 12, data: &tags.concat() })
    }

    fn text(name: &str, value: &str) -> Tag {
        Tag { name: name.into(), value: value.into() }
    }

    fn simple(name: &str, value: &str) -> Vec<u8> {
        master(Id::SIMPLE_TAG, &[leaf(Id::TAG_NAME, name.as_bytes()), leaf(Id::TAG_STRING, value.as_bytes())])
    }

    #[test]
    fn those_about_the_whole_segment_in_order() {
        let targets = |uids: &[u64]| {
            let mut targets = Vec::new();
            uids.iter().for_each(|uid| unsigned(&mut targets, Id::TAG_TRACK_UID, *uid));
            leaf(Id::TARGETS, &targets)
        };
        let outer = master(Id::SIMPLE_TAG, &[simple("inner", "2"), leaf(Id::TAG_NAME, b"outer"), leaf(Id::VOID, b"")]);
        let binary = master(Id::SIMPLE_TAG, &[leaf(Id::TAG_NAME, b"binary"), leaf(Id::TAG_BINARY, &[1, 2])]);
        let tags = [
            leaf(Id::CRC_32, &[0; 4]),
            master(Id::TAG, &[simple("a", "1"), leaf(Id::VOID, &[0; 9]), simple("b", "")]),
            master(Id::TAG, &[simple("DURATION", "00:01"), targets(&[0, u64::MAX])]),
            master(Id::TAG, &[targets(&[0]), simple("c", "3"), outer, binary]),
            master(Id::TAG, &[targets(&[]), simple("d", "4")]),
            leaf(Id::TAG, b""),
        ];
        assert_eq!(
            read(&tags),
            Ok(vec![text("a", "1"), text("b", ""), text("c", "3"), text("outer", ""), text("d", "4")])
        );
        assert_eq!(read(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_nobody_reads_ends_nothing() {
        // Deep enough to overflow the stack of a parser that goes in.
        let nested = (0..10_000).fold(leaf(Id::SIMPLE_TAG, b""), |inner, _| leaf(Id::SIMPLE_TAG, &inner));
        assert_eq!(read(&[leaf(Id::TAG, &nested)]), Ok(vec![text("", "")]));
        let targets = leaf(Id::TARGETS, &leaf(Id::TAG_TRACK_UID, &[1; 9]).repeat(1000));
        assert_eq!(read(&[master(Id::TAG, &[simple("a", "1"), targets])]), Ok(Vec::new()));
    }

    #[test]
    fn no_more_than_the_limit() {
        let tags = |count| read(&[leaf(Id::TAG, &leaf(Id::SIMPLE_TAG, b"").repeat(count))]);
        assert_eq!(tags(MAX_TAGS).unwrap().len(), MAX_TAGS);
        assert!(matches!(tags(MAX_TAGS + 1), Err(Error::InvalidElement { element: Id::TAGS, .. })));
    }
}
