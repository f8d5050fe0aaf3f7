//! Makes fragments of a whole file: one that GetMedia returned as it is, any other cut at keyframes.

use bytes::Bytes;

use crate::cut::{Cut, cut};
use crate::document::{self, Document};
use crate::error::Error;
use crate::fragment::NewFragment;
use crate::matroska::{self, id};
use crate::store;

/// How long after its producer timestamp an imported fragment is said to have reached the service, in milliseconds.
const UPLOAD: u64 = 250;

/// Cuts a file into fragments. A file that is no GetMedia body begins at `start` (milliseconds since 1970), or so that
/// it ends now.
pub(crate) fn fragments(bytes: &Bytes, start: Option<u64>) -> Result<Vec<NewFragment>, Error> {
    let documents = document::documents(bytes)?;
    if documents.iter().any(|document| document.stored.is_some()) {
        return Ok(documents.into_iter().filter_map(stored).collect());
    }
    let mut cuts = Vec::new();
    let mut offset: u64 = 0;
    for document in documents {
        if document.blocks.is_empty() && !document.media.is_empty() {
            // Nothing to cut: an empty cluster is served as it is.
            cuts.push((offset, Cut { begin: 0, duration: 0, cluster: document.media }, document.header));
            continue;
        }
        let mut end = offset;
        for cut in cut(&document)? {
            let begin = offset.saturating_add(cut.begin);
            end = end.max(begin.saturating_add(cut.duration));
            cuts.push((begin, cut, header(&document)));
        }
        offset = end;
    }
    if cuts.is_empty() {
        return Err(Error::Empty);
    }
    let start = start.unwrap_or_else(|| store::now().saturating_sub(offset));
    let fragment = |(begin, cut, header): (u64, Cut, Bytes)| {
        let producer_timestamp = start.saturating_add(begin);
        NewFragment {
            header,
            media: cut.cluster,
            producer_timestamp: Some(producer_timestamp),
            server_timestamp: Some(producer_timestamp.saturating_add(UPLOAD)),
            duration: Some(cut.duration),
            ..NewFragment::default()
        }
    };
    Ok(cuts.into_iter().map(fragment).collect())
}

/// How long a fragment's blocks last, in milliseconds; 0 where they cannot be read.
pub(crate) fn duration(header: &Bytes, media: &Bytes) -> u64 {
    let whole = Bytes::from([header.as_ref(), media.as_ref()].concat());
    let documents = document::documents(&whole).unwrap_or_default();
    documents.iter().map(|document| document.duration(&document.blocks)).sum()
}

/// A fragment that the service returned: everything as it came.
fn stored(document: Document) -> Option<NewFragment> {
    let duration = Some(document.duration(&document.blocks));
    let stored = document.stored?;
    Some(NewFragment {
        header: document.header,
        media: document.media,
        tags: Vec::new(),
        number: Some(stored.number),
        producer_timestamp: Some(stored.producer_timestamp),
        server_timestamp: Some(stored.server_timestamp),
        duration,
    })
}

/// A file's header as a producer would send it: without what points into the file.
fn header(document: &Document) -> Bytes {
    let mut out = Vec::with_capacity(document.header.len());
    let mut cursor = matroska::Cursor::new(&document.header);
    while let Ok(Some(element)) = cursor.advance() {
        match element.id {
            id::SEGMENT => out.extend(matroska::unknown_size(id::SEGMENT)),
            id::EBML | id::INFO | id::TRACKS | id::TAGS => out.extend_from_slice(&cursor.whole(&element)),
            _ => {}
        }
    }
    out.into()
}
