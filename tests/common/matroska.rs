//! Writes small Matroska files, sound and unsound ones, element by element.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use bytes::Bytes;
use gstkvs::mkv::{Element, Error, Id, Reader};

/// The ID as it is written.
fn id(out: &mut Vec<u8>, id: Id) {
    let skip = id.0.leading_zeros() as usize / 8;
    out.extend(&id.0.to_be_bytes()[skip..]);
}

/// A size in `length` bytes (1 to 8); all ones, so unknown, where `size` is `None`.
pub fn size(size: Option<u64>, length: usize) -> Vec<u8> {
    let marker = 1_u64 << (7 * length);
    let value = size.unwrap_or(marker - 1);
    assert!(value < marker && (size.is_none() || value != marker - 1), "{size:?} in {length} bytes");
    (marker | value).to_be_bytes()[8 - length..].to_vec()
}

/// The fewest bytes that hold a size.
pub fn size_length(size: u64) -> usize {
    (1..=8).find(|length| size < (1 << (7 * length)) - 1).expect("a size below 2^56 - 1")
}

/// An ID and a size in as few bytes as it takes.
pub fn head(element: Id, declared: u64) -> Vec<u8> {
    let mut out = Vec::new();
    id(&mut out, element);
    out.extend(size(Some(declared), size_length(declared)));
    out
}

/// An ID and an unknown size in one byte.
pub fn unknown(element: Id) -> Vec<u8> {
    let mut out = Vec::new();
    id(&mut out, element);
    out.push(0xFF);
    out
}

/// An element.
pub fn element(id: Id, data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [head(id, data.len() as u64), data.to_vec()].concat()
}

/// An element with a size of `length` bytes; an unknown one without.
pub fn element_sized(element: Id, data: &[u8], length: Option<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    id(&mut out, element);
    match length {
        Some(length) => out.extend(size(Some(data.len() as u64), length.max(size_length(data.len() as u64)))),
        None => out.extend(size(None, 8)),
    }
    out.extend(data);
    out
}

/// An unsigned integer of eight bytes.
pub fn unsigned(id: Id, value: u64) -> Vec<u8> {
    element(id, value.to_be_bytes())
}

/// An EBML header with this DocType.
pub fn ebml_header(doc_type: &str) -> Vec<u8> {
    element(Id::EBML, [element(Id::DOC_TYPE, doc_type), unsigned(Id::DOC_TYPE_VERSION, 4)].concat())
}

/// An EBML header and the beginning of a Segment of unknown size.
pub fn segment() -> Vec<u8> {
    [ebml_header("matroska"), unknown(Id::SEGMENT)].concat()
}

/// A document with a Cluster of unknown size at 0 that is open.
pub fn cluster() -> Vec<u8> {
    [segment(), unknown(Id::CLUSTER), element(Id::TIMESTAMP, [0])].concat()
}

/// The data of a SimpleBlock or Block.
pub fn block_data(track: u64, relative: i16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut data = size(Some(track), size_length(track));
    data.extend(relative.to_be_bytes());
    data.push(flags);
    data.extend(payload);
    data
}

/// Feeds pieces; all elements, and how it ended. Checks what the reader promises of what it holds.
pub fn read(pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Element>, Result<(), Error>) {
    let mut reader = Reader::new();
    let (mut elements, mut pushed) = (Vec::new(), 0_u64);
    for piece in pieces {
        pushed += piece.len() as u64;
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(element)) => elements.push(element),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next(), Err(error.clone()), "an error stays");
                    assert_eq!(reader.finish(), Err(error.clone()));
                    assert_eq!(reader.held(), 0, "after an error nothing is held");
                    return (elements, Err(error));
                }
            }
        }
        assert_eq!(reader.offset() + reader.held() as u64, pushed, "no byte is lost or held twice");
    }
    let end = reader.finish();
    (elements, end)
}

/// Feeds all bytes at once.
pub fn read_whole(bytes: &[u8]) -> (Vec<Element>, Result<(), Error>) {
    read([Bytes::copy_from_slice(bytes)])
}
