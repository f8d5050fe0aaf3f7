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
    /// DateUTC: ns since 2001-01-01T00:00:00 UTC.
    pub date_utc: Option<i64>,
}

impl Default for Info {
    fn default() -> Self {
        Self { timestamp_scale: 1_000_000, title: None, muxing_app: None, writing_app: None, date_utc: None }
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
                Id::DATE_UTC => parsed.date_utc = Some(child.date()?),
                _ => {}
            }
        }
        Ok(parsed)
    }
}
