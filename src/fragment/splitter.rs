//! The body of a call to the archive, cut into its fragments, of which only whole ones count.

use bytes::Bytes;

use super::FragmentNumber;
use super::tags::Tags;
use crate::mkv::{self, Element};

/// A fragment as the archive gave it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub number: FragmentNumber,
    /// Each with the byte at which it ended, from the fragment's first.
    pub elements: Vec<(Element, u64)>,
    /// Bytes.
    pub size: u64,
}

/// What a part of a body is.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A fragment, whole.
    Whole(Stored),
    /// Error tags in the place of a fragment. See `GetMediaForFragmentList` in the
    /// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_reader_GetMediaForFragmentList.html).
    Failed {
        number: Option<FragmentNumber>,
        /// A number, as text.
        id: String,
        /// A description.
        reason: String,
        /// Bytes.
        size: u64,
    },
    /// Bytes that belong to no fragment: so many.
    Nothing(u64),
}

/// Cuts a body of GetMediaForFragmentList: every fragment begins with a document of its own.
#[derive(Default)]
pub struct Splitter {
    reader: mkv::Reader,
    elements: Vec<(Element, u64)>,
    tags: Tags,
    /// Where in the body the fragment at hand begins.
    begin: u64,
}

impl Splitter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next bytes of the body.
    pub fn push(&mut self, bytes: Bytes) {
        self.reader.push(bytes);
    }

    /// The next piece of which the end has come.
    ///
    /// # Errors
    ///
    /// The bytes are not the Matroska that the service sends.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ends may not go on, this one does")]
    pub fn next(&mut self) -> Result<Option<Piece>, mkv::Error> {
        loop {
            let before = self.reader.offset();
            let Some(element) = self.reader.next()? else { return Ok(None) };
            let offset = self.reader.offset();
            let piece = match &element {
                Element::Document { .. } => self.cut(before),
                Element::Tags(tags) => {
                    let mut here = Tags::default();
                    here.read(tags.clone());
                    // A document that holds several fragments: the number of the next one ends this one.
                    let next = here.number.is_some() && self.tags.number.is_some() && here.number != self.tags.number;
                    let piece = if next { self.cut(before) } else { None };
                    self.tags.merge(here);
                    piece
                }
                _ => None,
            };
            self.elements.push((element, offset.saturating_sub(self.begin)));
            if piece.is_some() {
                return Ok(piece);
            }
        }
    }

    /// The last piece, of a body that ended cleanly.
    ///
    /// # Errors
    ///
    /// It ended inside an element.
    pub fn finish(&mut self) -> Result<Option<Piece>, mkv::Error> {
        self.reader.finish()?;
        Ok(self.cut(self.reader.offset()))
    }

    /// What lies up to this byte of the body.
    fn cut(&mut self, end: u64) -> Option<Piece> {
        let size = end.saturating_sub(std::mem::replace(&mut self.begin, end));
        let elements = std::mem::take(&mut self.elements);
        let tags = std::mem::take(&mut self.tags);
        match (tags.number, tags.error_id, tags.error_code) {
            (Some(number), None, None) => Some(Piece::Whole(Stored { number, elements, size })),
            (None, None, None) => (size > 0).then_some(Piece::Nothing(size)),
            (number, id, reason) => Some(Piece::Failed {
                number,
                id: id.unwrap_or_else(|| "without id".to_owned()),
                reason: reason.unwrap_or_else(|| "no reason".to_owned()),
                size,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mkv::writer;

    fn tags(all: &[(&str, &str)]) -> Vec<u8> {
        let element = |id: &[u8], data: &[u8]| {
            let size = (data.len() as u64 | 1 << 56).to_be_bytes();
            [id, &size, data].concat()
        };
        let simple = |(name, value): &(&str, &str)| {
            let pair = [element(&[0x45, 0xA3], name.as_bytes()), element(&[0x44, 0x87], value.as_bytes())];
            element(&[0x67, 0xC8], &pair.concat())
        };
        element(&[0x12, 0x54, 0xC3, 0x67], &element(&[0x73, 0x73], &all.iter().flat_map(simple).collect::<Vec<_>>()))
    }

    fn document(all: &[(&str, &str)], media: bool) -> Vec<u8> {
        let mut document =
            b"\x1A\x45\xDF\xA3\x8B\x42\x82\x88matroska\x18\x53\x80\x67\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec();
        document.extend(tags(all));
        if media {
            document.extend(writer::cluster(7));
            // A SimpleBlock of track 1.
            document.extend([0xA3, 0x85, 0x81, 0, 0, 0x80, 9]);
        }
        document
    }

    const NUMBER: &str = "AWS_KINESISVIDEO_FRAGMENT_NUMBER";

    fn body() -> Vec<u8> {
        [
            document(&[(NUMBER, "5")], true),
            document(
                &[
                    ("AWS_KINESISVIDEO_ERROR_CODE", "FRAGMENT_NOT_FOUND"),
                    ("AWS_KINESISVIDEO_ERROR_ID", "3000"),
                    (NUMBER, "6"),
                ],
                false,
            ),
            document(
                &[
                    (NUMBER, "7"),
                    ("AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", "3000"),
                    ("AWS_KINESISVIDEO_EXCEPTION_MESSAGE", "gone"),
                ],
                false,
            ),
            document(&[(NUMBER, "8")], true),
        ]
        .concat()
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<String>, bool, u64) {
        let (mut splitter, mut found, mut size) = (Splitter::new(), Vec::new(), 0);
        let mut take = |piece: Piece| {
            let (text, bytes) = match piece {
                Piece::Whole(stored) => (format!("{} {}", stored.number, stored.elements.len()), stored.size),
                Piece::Failed { number, id, reason, size } => (format!("{} {id} {reason}", number.unwrap()), size),
                Piece::Nothing(size) => (String::new(), size),
            };
            found.push(text);
            size += bytes;
        };
        for piece in bytes.chunks(piece) {
            splitter.push(Bytes::copy_from_slice(piece));
            while let Some(piece) = splitter.next().unwrap() {
                take(piece);
            }
        }
        let whole = match splitter.finish() {
            Ok(last) => {
                last.into_iter().for_each(take);
                true
            }
            Err(_) => false,
        };
        (found, whole, size)
    }

    #[test]
    fn every_fragment_is_told_and_so_is_every_one_that_is_missing() {
        let bytes = body();
        let all = read(&bytes, bytes.len());
        assert!(all.1);
        assert_eq!(all.2, bytes.len() as u64);
        assert!(all.0[0].starts_with("5 ") && all.0[3].starts_with("8 "), "{all:?}");
        assert_eq!(all.0[1..3], ["6 3000 FRAGMENT_NOT_FOUND", "7 3000 gone"]);
        assert_eq!(read(&bytes, 1), all);
    }

    #[test]
    fn a_fragment_that_is_cut_does_not_count() {
        let bytes = body();
        let (found, whole, _) = read(&bytes[..bytes.len() - 1], 100);
        assert_eq!((found.len(), whole), (3, false));
    }
}
