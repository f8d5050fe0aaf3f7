//! Variable-size integers (RFC 8794 section 4) and the element header made of two of them.

use super::error::Error;
use super::ids::Id;

/// The size of an element whose end only the elements after it tell (RFC 8794 section 6.2).
pub(super) const UNKNOWN: u64 = u64::MAX;

/// The longest element header: an ID of 4 bytes and a size of 8.
pub(super) const MAX_HEAD: usize = 12;

/// An element's ID and size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub id: Id,
    /// Bytes of the element's data, or [`UNKNOWN`].
    pub size: u64,
    /// Bytes of the ID and the size themselves, at most [`MAX_HEAD`].
    pub length: usize,
}

impl Head {
    /// Bytes of the whole element; of an element that is collected, so that it fits in memory.
    #[inline]
    pub fn whole(&self) -> usize {
        self.length.saturating_add(self.size as usize)
    }

    /// Bytes of the element as far as they are known.
    #[inline]
    pub fn least(&self) -> u64 {
        let size = if self.size == UNKNOWN { 0 } else { self.size };
        size.saturating_add(self.length as u64)
    }
}

/// What no later byte can mend in an element header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Malformed {
    Id,
    Size(Id),
}

impl Malformed {
    /// The error it makes of the element that begins at `offset`.
    pub fn at(self, offset: u64) -> Error {
        match self {
            Malformed::Id => Error::InvalidElement {
                offset,
                element: Id::UNREAD,
                reason: "the ID is reserved or longer than 4 bytes",
            },
            Malformed::Size(element) => Error::InvalidSize { offset, element, reason: "a size of more than 8 bytes" },
        }
    }
}

/// Reads an element header from the front of `bytes`; `None` where it goes on behind them.
#[inline]
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 {
        return Err(Malformed::Id);
    }
    let Some(raw) = big_endian(bytes, id_length) else { return Ok(None) };
    let data = raw & mask(id_length);
    if data == 0 || data == mask(id_length) {
        return Err(Malformed::Id);
    }
    let id = Id(raw as u32);
    let Some(rest) = bytes.get(id_length..) else { return Ok(None) };
    match number(rest) {
        Some((size, size_length)) => {
            Ok(Some(Head { id, size: size.unwrap_or(UNKNOWN), length: id_length + size_length }))
        }
        None if rest.first() == Some(&0) => Err(Malformed::Size(id)),
        None => Ok(None),
    }
}

/// Reads a number of up to 8 bytes from the front of `bytes`, with its length; all data bits set (unknown size,
/// otherwise reserved) gives no value. `None` where `bytes` is too short or the number is longer than 8 bytes.
#[inline]
pub(super) fn number(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let data = big_endian(bytes, length)? & mask(length);
    Some(((data != mask(length)).then_some(data), length))
}

/// The data bits of a number of `length` bytes (1 to 8).
#[inline]
pub(super) fn mask(length: usize) -> u64 {
    u64::MAX >> (64 - 7 * length as u32)
}

/// The first `length` bytes (1 to 8) as a big-endian integer.
#[inline]
fn big_endian(bytes: &[u8], length: usize) -> Option<u64> {
    match bytes.first_chunk::<8>() {
        Some(eight) => Some(u64::from_be_bytes(*eight) >> (64 - 8 * length as u32)),
        None => Some(unsigned(bytes.get(..length)?)),
    }
}

/// Any bytes as a big-endian integer; only the last eight count.
#[inline]
pub(super) fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Appends `value` as a size in the fewest bytes. Values past 2^56 - 2 cannot be written and become unknown.
pub(super) fn write_size(out: &mut Vec<u8>, value: u64) {
    let length = (1..=8).find(|&length| value < mask(length)).unwrap_or(8);
    let marked = value.min(mask(length)) | 1 << (7 * length);
    out.extend(marked.to_be_bytes().iter().skip(8 - length));
}

/// Appends an ID.
pub(super) fn write_id(out: &mut Vec<u8>, id: Id) {
    let skip = (id.0.leading_zeros() / 8) as usize;
    out.extend(id.0.to_be_bytes().iter().skip(skip));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_every_length() {
        assert_eq!(head(&[0xA3, 0x81]), Ok(Some(Head { id: Id::SIMPLE_BLOCK, size: 1, length: 2 })));
        assert_eq!(head(&[0x42, 0x86, 0x40, 0x01]), Ok(Some(Head { id: Id::EBML_VERSION, size: 1, length: 4 })));
        let long = [0x1F, 0x43, 0xB6, 0x75, 0x01, 0, 0, 0, 0, 0, 0, 5];
        let expected = Ok(Some(Head { id: Id::CLUSTER, size: 5, length: 12 }));
        assert_eq!(head(&long), expected);
        assert_eq!(head(&[&long[..], &[0xFF; 9]].concat()), expected, "what follows does not matter");
        for end in 0..long.len() {
            assert_eq!(head(&long[..end]), Ok(None), "{end} bytes");
        }
    }

    #[test]
    fn all_data_bits_set_is_an_unknown_size() {
        for length in 1..=8 {
            let mut bytes = vec![0xA3];
            bytes.extend((mask(length) | 1 << (7 * length)).to_be_bytes().iter().skip(8 - length));
            assert_eq!(head(&bytes), Ok(Some(Head { id: Id::SIMPLE_BLOCK, size: UNKNOWN, length: 1 + length })));
        }
    }

    #[test]
    fn what_cannot_be_a_head() {
        for reserved in [&[0x00][..], &[0x08], &[0xFF], &[0x80], &[0x7F, 0xFF], &[0x1F, 0xFF, 0xFF, 0xFF]] {
            assert_eq!(head(reserved), Err(Malformed::Id), "{reserved:x?}");
        }
        assert_eq!(head(&[0xA3, 0x00]), Err(Malformed::Size(Id::SIMPLE_BLOCK)));
    }

    #[test]
    fn sizes_are_written_in_the_fewest_bytes_and_read_back() {
        for (value, length) in [(0, 1), (126, 1), (127, 2), (16_382, 2), (16_383, 3), ((1 << 56) - 2, 8)] {
            let mut bytes = Vec::new();
            write_size(&mut bytes, value);
            assert_eq!(number(&bytes), Some((Some(value), length)), "{value}");
        }
    }

    #[test]
    fn integers_of_any_length() {
        assert_eq!(unsigned(&[]), 0);
        assert_eq!(unsigned(&[1, 2]), 258);
        assert_eq!(unsigned(&[0xFF; 8]), u64::MAX);
    }
}
