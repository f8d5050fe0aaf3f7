//! Makes fragments of a whole file: one that GetMedia returned as it is, any other cut at keyframes.

use bytes::Bytes;

use crate::document::{self, Block, Document};
use crate::error::Error;
use crate::fragment::NewFragment;
use crate::matroska::{self, Malformed, id};
use crate::store;

/// The longest fragment that the service takes, in milliseconds.
const LONGEST: i64 = 10_000;
/// How long a fragment without video is made, in milliseconds.
const AUDIO_ONLY: i64 = 2_000;
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

struct Cut {
    /// Milliseconds from the file's beginning.
    begin: u64,
    /// Milliseconds.
    duration: u64,
    cluster: Bytes,
}

/// Cuts a document's blocks at the keyframes of its leading track. A block's relative timestamp has 16 bits: with a
/// timestamp scale so fine that they do not hold 10 s, fragments are as long as they hold.
fn cut(document: &Document) -> Result<Vec<Cut>, Malformed> {
    let leading = document.leading_track().map(|track| (track.number, track.is_video));
    let ticks = |milliseconds: i64| (i128::from(milliseconds) * 1_000_000 / i128::from(document.scale)) as i64;
    let longest = ticks(LONGEST).min(i64::from(i16::MAX));
    let audio_only = ticks(AUDIO_ONLY).min(longest);

    let mut begins: Vec<i64> = Vec::new();
    for block in document.blocks.iter().filter(|block| leading.is_none_or(|(number, _)| number == block.track)) {
        let video = leading.is_some_and(|(_, is_video)| is_video);
        let begin = match begins.last() {
            None => true,
            Some(last) if block.time <= *last => false,
            Some(last) => (video && block.keyframe) || block.time - last >= if video { longest } else { audio_only },
        };
        if begin {
            begins.push(block.time);
        }
    }
    let mut groups: Vec<Vec<&Block>> = vec![Vec::new(); begins.len()];
    let mut current = 0;
    for block in &document.blocks {
        // The leading track keeps its order of decoding: frames shown before their keyframe stay behind it.
        let index = if leading.is_some_and(|(number, _)| number == block.track) {
            if let Some(next) = begins.get(current + 1)
                && block.time == *next
            {
                current += 1;
            }
            current
        } else {
            begins.partition_point(|begin| *begin <= block.time).saturating_sub(1)
        };
        if let Some(group) = groups.get_mut(index) {
            let begins_group = block.time == begins[index] && leading.is_some_and(|(number, _)| number == block.track);
            let position =
                if begins_group && !group.iter().any(|other| other.track == block.track) { 0 } else { group.len() };
            group.insert(position, block);
        }
    }
    let earliest = document.blocks.iter().map(|block| block.time).min().unwrap_or(0);
    let mut cuts = Vec::with_capacity(begins.len());
    for (index, (begin, group)) in begins.iter().zip(&groups).enumerate() {
        let begin = if index == 0 { earliest.max(begin - longest).max(0) } else { *begin };
        let blocks: Vec<Block> = group.iter().map(|block| (*block).clone()).collect();
        let end = begins.get(index + 1).map(|next| (next - begin).unsigned_abs());
        let end = end.map(|ticks| ticks.saturating_mul(document.scale) / 1_000_000);
        cuts.push(Cut {
            begin: u64::try_from(document.milliseconds(begin)).unwrap_or(0),
            duration: end.unwrap_or_else(|| document.duration(&blocks)),
            cluster: cluster(begin, &blocks)?,
        });
    }
    Ok(cuts)
}

/// A cluster of known size with `blocks` moved to its time.
fn cluster(begin: i64, blocks: &[Block]) -> Result<Bytes, Malformed> {
    let mut body = matroska::uint(id::TIMESTAMP, begin.unsigned_abs());
    for block in blocks {
        append_block(&mut body, block, begin)?;
    }
    Ok(matroska::element(id::CLUSTER, &body).into())
}

/// Writes a block with its timestamp relative to a cluster's.
pub(crate) fn append_block(out: &mut Vec<u8>, block: &Block, cluster_time: i64) -> Result<(), Malformed> {
    let far = Malformed { offset: 0, reason: "a block too far from its cluster" };
    let relative = i16::try_from(block.time - cluster_time).map_err(|_| far)?;
    let at = out.len() + block.relative_offset;
    out.extend_from_slice(&block.element);
    out[at..at + 2].copy_from_slice(&relative.to_be_bytes());
    Ok(())
}
