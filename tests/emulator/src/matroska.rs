//! Reading and writing single Matroska elements: ids, sizes, integers (RFC 8794, RFC 9559).

use bytes::Bytes;

/// Element ids that Kinesis Video's chunk layout is made of.
pub mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const SEEK_HEAD: u32 = 0x114D_9B74;
    pub const INFO: u32 = 0x1549_A966;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const CUES: u32 = 0x1C53_BB6B;
    pub const TAGS: u32 = 0x1254_C367;
    pub const ATTACHMENTS: u32 = 0x1941_A469;
    pub const CHAPTERS: u32 = 0x1043_A770;
    pub const VOID: u32 = 0xEC;
    pub const CRC32: u32 = 0xBF;

    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const MUXING_APP: u32 = 0x4D80;
    pub const WRITING_APP: u32 = 0x5741;

    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_UID: u32 = 0x73C5;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const DEFAULT_DURATION: u32 = 0x23_E383;
    pub const NAME: u32 = 0x536E;
    pub const VIDEO: u32 = 0xE0;
    pub const PIXEL_WIDTH: u32 = 0xB0;
    pub const PIXEL_HEIGHT: u32 = 0xBA;
    pub const AUDIO: u32 = 0xE1;
    pub const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub const CHANNELS: u32 = 0x9F;
    pub const BIT_DEPTH: u32 = 0x6264;

    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const BLOCK_GROUP: u32 = 0xA0;
    pub const BLOCK: u32 = 0xA1;
    pub const BLOCK_DURATION: u32 = 0x9B;
    pub const REFERENCE_BLOCK: u32 = 0xFB;
    pub const POSITION: u32 = 0xA7;
    pub const PREV_SIZE: u32 = 0xAB;

    pub const TAG: u32 = 0x7373;
    pub const SIMPLE_TAG: u32 = 0x67C8;
    pub const TAG_NAME: u32 = 0x45A3;
    pub const TAG_STRING: u32 = 0x4487;

    /// Whether an element stands directly in a Segment (or begins a new document), so that it ends a Cluster of unknown size.
    pub fn ends_cluster(id: u32) -> bool {
        matches!(id, EBML | SEGMENT | SEEK_HEAD | INFO | TRACKS | CLUSTER | CUES | TAGS | ATTACHMENTS | CHAPTERS)
    }
}

/// Bytes that are no Matroska.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not Matroska at byte {offset}: {reason}")]
pub struct Malformed {
    /// Byte offset in what was given to read.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// An element's id and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The id with its length marker, as it is written down everywhere.
    pub id: u32,
    /// Bytes of the body; `None` for the unknown size.
    pub size: Option<usize>,
    /// Bytes of id and size together.
    pub length: usize,
}

/// Reads the header at the beginning of `bytes`; `None` when more bytes are needed.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 {
        return Err("an element id longer than four bytes");
    }
    let Some(id) = bytes.get(..id_length) else { return Ok(None) };
    let id = id.iter().fold(0, |value, byte| (value << 8) | u32::from(*byte));
    let Some((size, size_length)) = vint(&bytes[id_length..])? else { return Ok(None) };
    let unknown = (1_u64 << (7 * size_length)) - 1;
    let size = match size {
        size if size == unknown => None,
        size => Some(usize::try_from(size).map_err(|_| "an element too large for this machine")?),
    };
    Ok(Some(Header { id, size, length: id_length + size_length }))
}

/// Reads a variable-length integer and its length; `None` when more bytes are needed.
pub fn vint(bytes: &[u8]) -> Result<Option<(u64, usize)>, &'static str> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return Err("a size longer than eight bytes");
    }
    let Some(rest) = bytes.get(1..length) else { return Ok(None) };
    let marker = 0x80_u8 >> (length - 1);
    let value = rest.iter().fold(u64::from(first ^ marker), |value, byte| (value << 8) | u64::from(*byte));
    Ok(Some((value, length)))
}

/// One element within bytes that are all there.
#[derive(Clone, Debug)]
pub struct Element {
    /// The element's id.
    pub id: u32,
    /// Where its header begins.
    pub start: usize,
    /// Where its body begins.
    pub body: usize,
    /// Where it ends; `None` for the unknown size.
    pub end: Option<usize>,
}

/// Walks over elements that are all in memory, without descending by itself.
pub struct Cursor {
    bytes: Bytes,
    /// Where the next element begins.
    pub position: usize,
    /// Where the walk ends.
    pub end: usize,
}

impl Cursor {
    /// Walks over all of `bytes`.
    pub fn new(bytes: &Bytes) -> Self {
        Self { bytes: bytes.clone(), position: 0, end: bytes.len() }
    }

    /// Walks over an element's children; one of unknown size is taken to last to the end of this walk.
    pub fn children(&self, element: &Element) -> Self {
        Self { bytes: self.bytes.clone(), position: element.body, end: element.end.unwrap_or(self.end) }
    }

    /// The next element without moving on.
    pub fn peek(&self) -> Result<Option<Element>, Malformed> {
        if self.position >= self.end {
            return Ok(None);
        }
        let malformed = |reason| Malformed { offset: self.position, reason };
        let header = header(&self.bytes[self.position..self.end])
            .map_err(malformed)?
            .ok_or_else(|| malformed("an element's header is cut off"))?;
        let body = self.position + header.length;
        let end = match header.size {
            Some(size) if size <= self.end - body => Some(body + size),
            Some(_) => return Err(malformed("an element is longer than what holds it")),
            None if matches!(header.id, id::SEGMENT | id::CLUSTER) => None,
            None => return Err(malformed("an element of unknown size that must have one")),
        };
        Ok(Some(Element { id: header.id, start: self.position, body, end }))
    }

    /// The next element, moving behind it (into it, when its size is unknown).
    pub fn advance(&mut self) -> Result<Option<Element>, Malformed> {
        let element = self.peek()?;
        if let Some(element) = &element {
            self.position = element.end.unwrap_or(element.body);
        }
        Ok(element)
    }

    /// The body of an element of known size.
    pub fn body(&self, element: &Element) -> Bytes {
        self.bytes.slice(element.body..element.end.unwrap_or(element.body))
    }

    /// An element of known size, header and all.
    pub fn whole(&self, element: &Element) -> Bytes {
        self.bytes.slice(element.start..element.end.unwrap_or(element.body))
    }
}

/// The unsigned integer that a body of up to eight bytes holds.
pub fn unsigned(body: &[u8]) -> u64 {
    body.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// The head of a Block or SimpleBlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// The track's number.
    pub track: u64,
    /// Ticks from the cluster's timestamp.
    pub relative: i16,
    /// The flags byte; 0x80 marks a keyframe in a SimpleBlock.
    pub flags: u8,
    /// Where the two bytes of `relative` stand in the body.
    pub relative_offset: usize,
}

/// Reads the head of a Block's or SimpleBlock's body; `None` when it is cut off.
pub fn block_head(body: &[u8]) -> Option<BlockHead> {
    let (track, length) = vint(body).ok()??;
    let rest = body.get(length..length + 3)?;
    Some(BlockHead { track, relative: i16::from_be_bytes([rest[0], rest[1]]), flags: rest[2], relative_offset: length })
}

/// Writes an id as it stands.
pub fn put_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    out.extend_from_slice(&bytes[(id.leading_zeros() / 8) as usize..]);
}

/// Writes a size in as few bytes as it takes.
pub fn put_size(out: &mut Vec<u8>, size: usize) {
    let size = size as u64;
    let length = (1..8).find(|length| size < (1 << (7 * length)) - 1).unwrap_or(8);
    let marked = size | (1 << (7 * length));
    out.extend_from_slice(&marked.to_be_bytes()[8 - length as usize..]);
}

/// An element with a body.
pub fn element(id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 12);
    put_id(&mut out, id);
    put_size(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

/// The header of an element of unknown size.
pub fn unknown_size(id: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    put_id(&mut out, id);
    out.extend_from_slice(&[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    out
}

/// An unsigned integer element in as few bytes as it takes.
pub fn uint(id: u32, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = (value.leading_zeros() as usize / 8).min(7);
    element(id, &bytes[skip..])
}

/// A floating point element of eight bytes.
pub fn float(id: u32, value: f64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// A string element.
pub fn string(id: u32, value: &str) -> Vec<u8> {
    element(id, value.as_bytes())
}

/// A Tags element with one Tag that holds `tags` as SimpleTags.
pub fn tags<N: AsRef<str>, V: AsRef<str>>(tags: &[(N, V)]) -> Vec<u8> {
    let simple: Vec<u8> = tags
        .iter()
        .flat_map(|(name, value)| {
            let body = [string(id::TAG_NAME, name.as_ref()), string(id::TAG_STRING, value.as_ref())].concat();
            element(id::SIMPLE_TAG, &body)
        })
        .collect();
    element(id::TAGS, &element(id::TAG, &simple))
}

/// The names and texts of the SimpleTags directly in a Tags element's Tag elements.
pub fn read_tags(tags_body: &Bytes) -> Result<Vec<(String, String)>, Malformed> {
    let mut found = Vec::new();
    let mut tags = Cursor::new(tags_body);
    while let Some(tag) = tags.advance()? {
        if tag.id != id::TAG {
            continue;
        }
        let mut simple_tags = tags.children(&tag);
        while let Some(simple) = simple_tags.advance()? {
            if simple.id != id::SIMPLE_TAG {
                continue;
            }
            let (mut name, mut value) = (String::new(), String::new());
            let mut fields = simple_tags.children(&simple);
            while let Some(field) = fields.advance()? {
                match field.id {
                    id::TAG_NAME => name = text(&fields.body(&field)),
                    id::TAG_STRING => value = text(&fields.body(&field)),
                    _ => {}
                }
            }
            found.push((name, value));
        }
    }
    Ok(found)
}

/// A string body without the padding that EBML allows behind it.
pub fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_fewest_bytes_and_read_back() {
        for (size, length) in [(0, 1), (126, 1), (127, 2), (16382, 2), (16383, 3), (2_097_150, 3), (2_097_151, 4)] {
            let mut out = Vec::new();
            put_id(&mut out, id::SIMPLE_BLOCK);
            put_size(&mut out, size);
            assert_eq!(
                header(&out).unwrap().unwrap(),
                Header { id: id::SIMPLE_BLOCK, size: Some(size), length: 1 + length }
            );
        }
    }

    #[test]
    fn a_header_that_is_cut_off_asks_for_more() {
        let whole = unknown_size(id::CLUSTER);
        for length in 0..whole.len() {
            assert_eq!(header(&whole[..length]), Ok(None));
        }
        assert_eq!(header(&whole).unwrap().unwrap().size, None);
    }

    #[test]
    fn an_id_that_begins_with_zero_is_refused() {
        assert!(header(&[0, 0, 0, 0]).is_err());
        assert!(header(&[0xA3, 0]).is_err());
    }

    #[test]
    fn tags_are_read_as_they_were_written() {
        let written = [("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "91343"), ("place", "entrance")];
        let bytes = Bytes::from(tags(&written));
        let mut cursor = Cursor::new(&bytes);
        let element = cursor.advance().unwrap().unwrap();
        assert_eq!(element.id, id::TAGS);
        let read = read_tags(&cursor.body(&element)).unwrap();
        assert_eq!(read, written.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_child_may_not_be_longer_than_its_parent() {
        let bytes = Bytes::from_static(&[0x82, 0x83, 0xE7, 0x85]);
        assert!(Cursor { end: 3, ..Cursor::new(&bytes) }.advance().is_err());
    }
}
