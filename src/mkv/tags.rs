//! Tags (RFC 9559 section 5.1.8): those about the whole Segment, and about a part of its time.

use super::children::Child;
use super::error::Error;
use super::ids::Id;

/// SimpleTags in one Tags element. Kinesis Video allows ten; each costs more memory than its bytes.
const MAX_TAGS: usize = 4096;

/// The TargetTypeValue of a shot: tags about a part of a track's time, and not about the track.
pub(super) const SHOT: u64 = 10;

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
        let mut target = Target::Segment;
        for child in tag.children() {
            let child = child?;
            match child.id {
                Id::TARGETS => target = Target::parse(&child)?,
                Id::SIMPLE_TAG => found.extend(simple_tag(&child)?),
                _ => {}
            }
            if found.len() > MAX_TAGS {
                return Err(tags.invalid("more than 4096 SimpleTags"));
            }
        }
        // The Targets need not stand first.
        match target {
            Target::Segment => {}
            Target::Shot => found.iter_mut().skip(first).for_each(|tag| tag.name = unescaped(&tag.name)),
            Target::Track => found.truncate(first),
        }
    }
    Ok(found)
}

/// What a Tag is about.
enum Target {
    Segment,
    /// A part of the time of a track: what [`writer::tags`](super::writer::tags) writes.
    Shot,
    Track,
}

impl Target {
    fn parse(targets: &Child) -> Result<Self, Error> {
        let (mut names, mut shot) = (false, false);
        for child in targets.children() {
            let child = child?;
            match child.id {
                // 0 stands for all tracks.
                Id::TAG_TRACK_UID => names |= child.data.iter().any(|&byte| byte != 0),
                Id::TARGET_TYPE_VALUE => shot = child.unsigned_or(0).is_ok_and(|value| value == SHOT),
                _ => {}
            }
        }
        Ok(match (shot, names) {
            (true, _) => Self::Shot,
            (false, true) => Self::Track,
            (false, false) => Self::Segment,
        })
    }
}

/// A name as it is written: matroskademux ends the stream at a TagName of other than ASCII. Bytes of others, and those of
/// the sign itself, are written as `%` and two hexadecimal digits.
pub(super) fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescaped(name: &str) -> String {
    let digit = |at: usize| name.as_bytes().get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let mut bytes = Vec::with_capacity(name.len());
    let mut at = 0;
    while let Some(&byte) = name.as_bytes().get(at) {
        match (byte, digit(at.saturating_add(1)), digit(at.saturating_add(2))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                at = at.saturating_add(3);
            }
            _ => {
                bytes.push(byte);
                at = at.saturating_add(1);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
        let shot = |value| {
            let mut targets = Vec::new();
            unsigned(&mut targets, Id::TAG_TRACK_UID, 1);
            unsigned(&mut targets, Id::TARGET_TYPE_VALUE, value);
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
            master(Id::TAG, &[shot(10), simple("e", "5")]),
            master(Id::TAG, &[shot(50), simple("BPS", "64000")]),
            leaf(Id::TAG, b""),
        ];
        assert_eq!(
            read(&tags),
            Ok(vec![text("a", "1"), text("b", ""), text("c", "3"), text("outer", ""), text("d", "4"), text("e", "5")])
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
