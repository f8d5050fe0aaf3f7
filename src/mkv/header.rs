//! The EBML header (RFC 8794 section 11.2) and Info (RFC 9559 section 5.1.2).

use super::children::Child;
use super::error::Error;
use super::ids::Id;

/// What the EBML header says of the document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    pub doc_type: String,
    pub doc_type_version: u64,
    pub doc_type_read_version: u64,
}

impl Document {
    pub fn parse(header: &Child) -> Result<Self, Error> {
        let refuse = |reason| Err(Error::NotMatroska { offset: header.offset, reason });
        let mut document = Document { doc_type: String::new(), doc_type_version: 1, doc_type_read_version: 1 };
        for child in header.children() {
            let child = child?;
            match child.id {
                Id::EBML_READ_VERSION if child.unsigned_or(1)? > 1 => {
                    return refuse("it needs a later version of EBML than 1");
                }
                Id::EBML_MAX_ID_LENGTH if child.unsigned_or(4)? > 4 => {
                    return refuse("its element IDs are longer than 4 bytes");
                }
                Id::EBML_MAX_SIZE_LENGTH if child.unsigned_or(8)? > 8 => {
                    return refuse("its element sizes are longer than 8 bytes");
                }
                Id::DOC_TYPE => document.doc_type = child.text(),
                Id::DOC_TYPE_VERSION => document.doc_type_version = child.unsigned_or(1)?,
                Id::DOC_TYPE_READ_VERSION => document.doc_type_read_version = child.unsigned_or(1)?,
                _ => {}
            }
        }
        match document.doc_type.as_str() {
            "matroska" | "webm" => Ok(document),
            _ => refuse("its DocType is neither matroska nor webm"),
        }
    }
}

/// The Info element: what holds for the whole Segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// TimestampScale: ns a tick.
    pub timestamp_scale: u64,
    pub title: Option<String>,
    pub muxing_app: Option<String>,
    pub writing_app: Option<String>,
}

impl Default for Info {
    fn default() -> Self {
        Self { timestamp_scale: 1_000_000, title: None, muxing_app: None, writing_app: None }
    }
}

impl Info {
    pub(super) fn parse(info: &Child) -> Result<Self, Error> {
        let mut parsed = Info::default();
        for child in info.children() {
            let child = child?;
            match child.id {
                Id::TIMESTAMP_SCALE => {
                    parsed.timestamp_scale = child.unsigned_or(parsed.timestamp_scale)?;
                    if parsed.timestamp_scale == 0 {
                        return Err(child.invalid("0 ns a tick"));
                    }
                }
                Id::TITLE => parsed.title = Some(child.text()),
                Id::MUXING_APP => parsed.muxing_app = Some(child.text()),
                Id::WRITING_APP => parsed.writing_app = Some(child.text()),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::{element, unsigned};
    use super::*;

    fn header(data: &[u8]) -> Child<'_> {
        Child { id: Id::EBML, offset: 7, data_offset: 12, data }
    }

    #[test]
    fn a_document_and_its_defaults() {
        let mut data = Vec::new();
        element(&mut data, Id::DOC_TYPE, b"webm\0\0");
        let document = Document { doc_type: "webm".into(), doc_type_version: 1, doc_type_read_version: 1 };
        assert_eq!(Document::parse(&header(&data)), Ok(document.clone()));
        for id in [Id::EBML_READ_VERSION, Id::EBML_MAX_ID_LENGTH, Id::EBML_MAX_SIZE_LENGTH] {
            element(&mut data, id, b"");
        }
        assert_eq!(Document::parse(&header(&data)), Ok(document));
        unsigned(&mut data, Id::DOC_TYPE_VERSION, 4);
        unsigned(&mut data, Id::DOC_TYPE_READ_VERSION, 2);
        let document = Document { doc_type: "webm".into(), doc_type_version: 4, doc_type_read_version: 2 };
        assert_eq!(Document::parse(&header(&data)), Ok(document));
    }

    #[test]
    fn documents_of_another_kind() {
        let matroska = |id, value| {
            let mut data = Vec::new();
            element(&mut data, Id::DOC_TYPE, b"matroska");
            unsigned(&mut data, id, value);
            data
        };
        let mut other = Vec::new();
        element(&mut other, Id::DOC_TYPE, b"mp4");
        for data in [
            matroska(Id::EBML_READ_VERSION, 2),
            matroska(Id::EBML_MAX_ID_LENGTH, 5),
            matroska(Id::EBML_MAX_SIZE_LENGTH, 9),
            other,
            Vec::new(),
        ] {
            assert!(matches!(Document::parse(&header(&data)), Err(Error::NotMatroska { offset: 7, .. })), "{data:x?}");
        }
    }

    #[test]
    fn info_and_its_defaults() {
        let info = |data: &[u8]| Info::parse(&Child { id: Id::INFO, ..header(data) });
        assert_eq!(info(&[]), Ok(Info::default()));
        let mut data = Vec::new();
        element(&mut data, Id::TIMESTAMP_SCALE, b"");
        assert_eq!(info(&data).unwrap().timestamp_scale, 1_000_000);
        unsigned(&mut data, Id::TIMESTAMP_SCALE, 22_675);
        element(&mut data, Id::TITLE, b"garden\0\0");
        element(&mut data, Id::MUXING_APP, b"a\xFFb");
        element(&mut data, Id::WRITING_APP, b"");
        // DateUTC, of a length that it cannot have: nobody reads it.
        element(&mut data, Id(0x4461), &[0; 4]);
        let expected = Info {
            timestamp_scale: 22_675,
            title: Some("garden".into()),
            muxing_app: Some("a\u{FFFD}b".into()),
            writing_app: Some(String::new()),
        };
        assert_eq!(info(&data), Ok(expected));
    }

    #[test]
    fn invalid_info() {
        let info = |id, data: &[u8]| {
            let mut bytes = Vec::new();
            element(&mut bytes, id, data);
            Info::parse(&Child { id: Id::INFO, ..header(&bytes) }).unwrap_err()
        };
        let error = info(Id::TIMESTAMP_SCALE, &[0]);
        assert!(matches!(error, Error::InvalidElement { offset: 12, element: Id::TIMESTAMP_SCALE, .. }));
        let error = info(Id::TIMESTAMP_SCALE, &[0; 9]);
        assert!(matches!(error, Error::InvalidSize { offset: 12, element: Id::TIMESTAMP_SCALE, .. }));
    }
}
