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
        let mut uids = Vec::new();
        for child in tag.children() {
            let child = child?;
            if child.id == Id::TARGETS {
                targets(&child, &mut uids)?;
            }
        }
        for child in tag.children() {
            let child = child?;
            if child.id == Id::SIMPLE_TAG {
                simple_tag(&child, &uids, 0, &mut found)?;
            }
        }
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

fn simple_tag(tag: &Child, uids: &[u64], depth: usize, found: &mut Vec<Tag>) -> Result<(), Error> {
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
        target_track_uids: uids.to_vec(),
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
                simple_tag(&child, uids, depth + 1, found)?;
            }
        }
    }
    Ok(())
}
