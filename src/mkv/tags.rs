//! Tags (RFC 9559 section 5.1.8), flattened.

use bytes::Bytes;

use super::children::Child;
use super::error::Error;
use super::ids::Id;

/// SimpleTags within SimpleTags go no deeper than this.
const MAX_DEPTH: usize = 8;

/// SimpleTags in one Tags element. Kinesis Video allows ten; each costs more memory than its bytes.
const MAX_TAGS: usize = 4096;

/// Tracks that one Targets element names.
const MAX_TARGETS: usize = 128;

/// One SimpleTag.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// TagName.
    pub name: String,
    pub value: TagValue,
    /// TagLanguage or TagLanguageBCP47, which wins.
    pub language: Option<String>,
    /// The TagTrackUIDs it is about; empty: the whole Segment.
    pub target_track_uids: Vec<u64>,
    /// How many SimpleTags it stands in; those come before it.
    pub depth: usize,
}

/// What a SimpleTag says.
#[derive(Clone, Debug, PartialEq)]
pub enum TagValue {
    /// TagString; empty without one.
    Text(String),
    /// TagBinary.
    Binary(Bytes),
}

impl TagValue {
    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            TagValue::Text(text) => Some(text),
            TagValue::Binary(_) => None,
        }
    }
}

/// Reads a Tags element: every SimpleTag in order, one that holds others before them.
pub(super) fn parse(tags: &Child) -> Result<Vec<Tag>, Error> {
    let mut found = Vec::new();
    for tag in tags.children() {
        let tag = tag?;
        if tag.id != Id::TAG {
            continue;
        }
        let first = found.len();
        let mut uids = Vec::new();
        for child in tag.children() {
            let child = child?;
            match child.id {
                Id::TARGETS => targets(&child, &mut uids)?,
                Id::SIMPLE_TAG => simple_tag(&child, 0, &mut found)?,
                _ => {}
            }
        }
        // The Targets need not stand first.
        found.iter_mut().skip(first).for_each(|tag: &mut Tag| tag.target_track_uids.clone_from(&uids));
    }
    Ok(found)
}

fn targets(targets: &Child, uids: &mut Vec<u64>) -> Result<(), Error> {
    for child in targets.children() {
        let child = child?;
        if child.id == Id::TAG_TRACK_UID
            && let Some(uid) = child.positive()?
        {
            if uids.len() == MAX_TARGETS {
                return Err(targets.invalid("more than 128 tracks"));
            }
            uids.push(uid);
        }
    }
    Ok(())
}

fn simple_tag(tag: &Child, depth: usize, found: &mut Vec<Tag>) -> Result<(), Error> {
    if depth == MAX_DEPTH {
        return Err(tag.invalid("nested more than 8 deep"));
    }
    if found.len() == MAX_TAGS {
        return Err(tag.invalid("more than 4096 in one Tags element"));
    }
    let mut parsed = Tag {
        name: String::new(),
        value: TagValue::Text(String::new()),
        language: None,
        target_track_uids: Vec::new(),
        depth,
    };
    let mut bcp47 = None;
    let mut nested = false;
    for child in tag.children() {
        let child = child?;
        match child.id {
            Id::TAG_NAME => parsed.name = child.text(),
            Id::TAG_STRING => parsed.value = TagValue::Text(child.text()),
            Id::TAG_BINARY => parsed.value = TagValue::Binary(Bytes::copy_from_slice(child.data)),
            Id::TAG_LANGUAGE => parsed.language = Some(child.text()),
            Id::TAG_LANGUAGE_BCP47 => bcp47 = Some(child.text()),
            Id::SIMPLE_TAG => nested = true,
            _ => {}
        }
    }
    parsed.language = bcp47.or(parsed.language);
    found.push(parsed);
    if nested {
        for child in tag.children() {
            let child = child?;
            if child.id == Id::SIMPLE_TAG {
                simple_tag(&child, depth + 1, found)?;
            }
        }
    }
    Ok(())
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
        Tag {
            name: name.into(),
            value: TagValue::Text(value.into()),
            language: None,
            target_track_uids: Vec::new(),
            depth: 0,
        }
    }

    fn simple(name: &str, value: &str) -> Vec<u8> {
        master(Id::SIMPLE_TAG, &[leaf(Id::TAG_NAME, name.as_bytes()), leaf(Id::TAG_STRING, value.as_bytes())])
    }

    #[test]
    fn flattened_in_order() {
        let inner = simple("inner", "2");
        let outer = master(
            Id::SIMPLE_TAG,
            &[
                inner,
                leaf(Id::TAG_NAME, b"outer"),
                leaf(Id::TAG_BINARY, &[1, 2]),
                leaf(Id::TAG_LANGUAGE_BCP47, b"de-CH"),
                leaf(Id::TAG_LANGUAGE, b"ger"),
            ],
        );
        let mut targets = leaf(Id::TAG_TRACK_UID, &[0]);
        unsigned(&mut targets, Id::TAG_TRACK_UID, u64::MAX);
        let tags = [
            leaf(Id::CRC_32, &[0; 4]),
            master(Id::TAG, &[simple("a", "1"), leaf(Id::VOID, &[0; 9]), simple("b", "")]),
            master(Id::TAG, &[outer, leaf(Id::TARGETS, &targets)]),
            leaf(Id::TAG, b""),
        ];
        let uids = vec![u64::MAX];
        let outer = Tag {
            value: TagValue::Binary(Bytes::from_static(&[1, 2])),
            language: Some("de-CH".into()),
            target_track_uids: uids.clone(),
            ..text("outer", "")
        };
        let inner = Tag { target_track_uids: uids, depth: 1, ..text("inner", "2") };
        assert_eq!(read(&tags), Ok(vec![text("a", "1"), text("b", ""), outer, inner]));
        assert_eq!(read(&[]), Ok(Vec::new()));
    }

    #[test]
    fn nested_no_deeper_than_the_limit() {
        let nested = |depth| (1..depth).fold(leaf(Id::SIMPLE_TAG, b""), |inner, _| leaf(Id::SIMPLE_TAG, &inner));
        let depths = |tags: Vec<Tag>| tags.iter().map(|tag| tag.depth).collect::<Vec<_>>();
        assert_eq!(read(&[leaf(Id::TAG, &nested(8))]).map(depths), Ok((0..8).collect()));
        let error = read(&[leaf(Id::TAG, &nested(9))]).unwrap_err();
        assert!(matches!(error, Error::InvalidElement { element: Id::SIMPLE_TAG, .. }), "{error:?}");
        // Deep enough to overflow the stack of a parser that goes on.
        read(&[leaf(Id::TAG, &nested(10_000))]).unwrap_err();
    }

    #[test]
    fn no_more_than_the_limits() {
        let tags = |count| read(&[leaf(Id::TAG, &leaf(Id::SIMPLE_TAG, b"").repeat(count))]);
        assert_eq!(tags(MAX_TAGS).unwrap().len(), MAX_TAGS);
        assert!(matches!(tags(MAX_TAGS + 1), Err(Error::InvalidElement { element: Id::SIMPLE_TAG, .. })));
        let targets = |count| {
            let uids = leaf(Id::TARGETS, &leaf(Id::TAG_TRACK_UID, &[1]).repeat(count));
            read(&[master(Id::TAG, &[simple("a", "1"), uids])])
        };
        assert_eq!(targets(MAX_TARGETS).unwrap()[0].target_track_uids.len(), MAX_TARGETS);
        assert!(matches!(targets(MAX_TARGETS + 1), Err(Error::InvalidElement { element: Id::TARGETS, .. })));
    }
}
