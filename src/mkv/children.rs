//! The children of a master element that lies in memory whole, and their values (RFC 8794 section 7).

use std::borrow::Cow;

use super::error::Error;
use super::ids::Id;
use super::vint::{self, UNKNOWN};

/// One element, with its data.
#[derive(Clone, Copy)]
pub(super) struct Child<'a> {
    pub id: Id,
    /// Where the element begins in the body.
    pub offset: u64,
    /// Where its data begin in the body.
    pub data_offset: u64,
    pub data: &'a [u8],
}

impl<'a> Child<'a> {
    pub fn children(&self) -> Children<'a> {
        Children { data: self.data, offset: self.data_offset }
    }

    pub fn invalid(&self, reason: &'static str) -> Error {
        Error::InvalidElement { offset: self.offset, element: self.id, reason }
    }

    /// An unsigned integer; no data stand for `default`.
    pub fn unsigned_or(&self, default: u64) -> Result<u64, Error> {
        match self.data.len() {
            0 => Ok(default),
            1..=8 => Ok(vint::unsigned(self.data)),
            _ => Err(self.invalid_size("an integer of more than 8 bytes")),
        }
    }

    /// An unsigned integer without a default value.
    pub fn unsigned(&self) -> Result<u64, Error> {
        self.unsigned_or(0)
    }

    /// An unsigned integer that says nothing when it is 0.
    pub fn positive(&self) -> Result<Option<u64>, Error> {
        Ok(Some(self.unsigned()?).filter(|&value| value != 0))
    }

    /// A number of ns; 0, and what a count of 63 bits saturates at, say nothing.
    pub fn nanoseconds(&self) -> Result<Option<u64>, Error> {
        Ok(self.positive()?.filter(|&value| value < i64::MAX.cast_unsigned()))
    }

    /// An unsigned integer that counts pixels.
    pub fn pixels(&self) -> Result<u32, Error> {
        u32::try_from(self.unsigned()?).map_err(|_| self.invalid("more than 2^32 - 1"))
    }

    /// The same, where it may be missing, as one counts that makes no sense.
    pub fn optional_pixels(&self) -> Option<u32> {
        self.pixels().ok().filter(|&pixels| pixels != 0)
    }

    /// A frequency in Hz; no data stand for `default`.
    pub fn frequency_or(&self, default: f64) -> Result<f64, Error> {
        let value = match *self.data {
            [] => default,
            [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(self.invalid_size("a float of neither 0, 4 nor 8 bytes")),
        };
        if value.is_finite() && value > 0.0 { Ok(value) } else { Err(self.invalid("no positive number")) }
    }

    /// Text up to the first NUL, which may pad it (RFC 8794 section 13); what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        let text = match str::from_utf8(self.data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(self.data),
        };
        text.split('\0').next().unwrap_or_default().to_owned()
    }

    fn invalid_size(&self, reason: &'static str) -> Error {
        Error::InvalidSize { offset: self.offset, element: self.id, reason }
    }
}

/// Goes over the children of a master element; ends after the first error.
#[derive(Clone)]
pub(super) struct Children<'a> {
    data: &'a [u8],
    offset: u64,
}

impl<'a> Children<'a> {
    fn read(&mut self) -> Result<Child<'a>, Error> {
        let offset = self.offset;
        let invalid = |element, reason| Error::InvalidSize { offset, element, reason };
        let head = match vint::head(self.data) {
            Ok(Some(head)) => head,
            Ok(None) => return Err(invalid(Id::UNREAD, "it leads out of its parent")),
            Err(malformed) => return Err(malformed.at(offset)),
        };
        if head.size == UNKNOWN {
            return Err(invalid(head.id, "only Segment and Cluster may have an unknown size"));
        }
        let data = self.data.get(head.length..).unwrap_or_default();
        let Some((data, rest)) = usize::try_from(head.size).ok().and_then(|size| data.split_at_checked(size)) else {
            return Err(invalid(head.id, "it leads out of its parent"));
        };
        let data_offset = offset.saturating_add(head.length as u64);
        self.data = rest;
        self.offset = data_offset.saturating_add(head.size);
        Ok(Child { id: head.id, offset, data_offset, data })
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Child<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() {
            return None;
        }
        let child = self.read();
        if child.is_err() {
            self.data = &[];
        }
        Some(child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ID, offset and data of each.
    type Told = Result<(Id, u64, Vec<u8>), Error>;

    fn children(data: &[u8]) -> Vec<Told> {
        let parent = Child { id: Id::INFO, offset: 0, data_offset: 5, data };
        parent.children().map(|child| child.map(|child| (child.id, child.offset, child.data.to_vec()))).collect()
    }

    #[test]
    fn each_with_its_place() {
        let data = [0xEC, 0x82, 1, 2, 0x42, 0x86, 0x40, 0x00, 0xBF, 0x81, 3];
        assert_eq!(
            children(&data),
            [Ok((Id::VOID, 5, vec![1, 2])), Ok((Id::EBML_VERSION, 9, vec![])), Ok((Id::CRC_32, 13, vec![3]))]
        );
        assert_eq!(children(&[]), []);
    }

    #[test]
    fn an_error_is_the_last() {
        let size = |element, reason| Error::InvalidSize { offset: 7, element, reason };
        let outside = "it leads out of its parent";
        let unknown = "only Segment and Cluster may have an unknown size";
        for (bad, error) in [
            (&[0xEC, 0x83, 0, 0][..], size(Id::VOID, outside)),
            (&[0xEC, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE], size(Id::VOID, outside)),
            (&[0xEC], size(Id::UNREAD, outside)),
            (&[0xEC, 0x40], size(Id::UNREAD, outside)),
            (&[0xEC, 0xFF, 0, 0], size(Id::VOID, unknown)),
            (&[0xEC, 0x00, 0, 0], size(Id::VOID, "a size of more than 8 bytes")),
        ] {
            let read = children(&[&[0xBF, 0x80], bad].concat());
            assert_eq!(read, [Ok((Id::CRC_32, 5, vec![])), Err(error)], "{bad:x?}");
        }
        let read = children(&[0xBF, 0x80, 0x00, 0x81, 0]);
        assert!(matches!(read[..], [Ok(_), Err(Error::InvalidElement { offset: 7, element: Id::UNREAD, .. })]));
    }
}
