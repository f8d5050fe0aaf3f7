//! Writes the container anew: one header, then a Cluster of unknown size for each fragment.

use bytes::{Bytes, BytesMut};

use super::block::Block;
use super::header::Info;
use super::ids::Id;
use super::pieces::Pieces;
use super::tracks::Tracks;
use super::vint;

/// An unknown size in 8 bytes, the form that all demuxers know.
const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// Names this program where the producer named no application; both are mandatory (RFC 9559 section 5.1.2).
const APPLICATION: &str = concat!("gst-plugin-kvs ", env!("CARGO_PKG_VERSION"));

/// The header of a stream of any length: EBML header, Segment of unknown size, Info, and Tracks as they came.
///
/// Info has no Duration and no DateUTC: they speak of the producer's file, not of what follows this header.
pub fn header(
    doc_type: &str,
    doc_type_version: u64,
    doc_type_read_version: u64,
    info: &Info,
    tracks: &Tracks,
) -> Bytes {
    let mut ebml = Vec::new();
    unsigned(&mut ebml, Id::EBML_VERSION, 1);
    unsigned(&mut ebml, Id::EBML_READ_VERSION, 1);
    unsigned(&mut ebml, Id::EBML_MAX_ID_LENGTH, 4);
    unsigned(&mut ebml, Id::EBML_MAX_SIZE_LENGTH, 8);
    element(&mut ebml, Id::DOC_TYPE, doc_type.as_bytes());
    unsigned(&mut ebml, Id::DOC_TYPE_VERSION, doc_type_version);
    unsigned(&mut ebml, Id::DOC_TYPE_READ_VERSION, doc_type_read_version);

    let mut about = Vec::new();
    let application = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    unsigned(&mut about, Id::TIMESTAMP_SCALE, info.timestamp_scale);
    if let Some(title) = &info.title {
        element(&mut about, Id::TITLE, title.as_bytes());
    }
    for (id, name) in [(Id::MUXING_APP, &info.muxing_app), (Id::WRITING_APP, &info.writing_app)] {
        element(&mut about, id, application(name).as_deref().unwrap_or(APPLICATION).as_bytes());
    }

    let mut header = Vec::new();
    element(&mut header, Id::EBML, &ebml);
    vint::write_id(&mut header, Id::SEGMENT);
    header.extend(UNKNOWN_SIZE);
    element(&mut header, Id::INFO, &about);
    header.extend_from_slice(&tracks.raw);
    header.into()
}

/// The beginning of a Cluster of unknown size: its header and its Timestamp, in ticks.
pub fn cluster(timestamp: u64) -> Bytes {
    let mut cluster = Vec::with_capacity(22);
    vint::write_id(&mut cluster, Id::CLUSTER);
    cluster.extend(UNKNOWN_SIZE);
    unsigned(&mut cluster, Id::TIMESTAMP, timestamp);
    cluster.into()
}

/// The block's element with another relative timestamp, in ticks. New memory are only the bytes up to it; the others
/// are shared.
pub fn block_with_relative_timestamp(block: &Block, relative: i16) -> Pieces {
    /// The checksum of a BlockGroup, its ID and size, which stands first in it if at all.
    const CRC_32: [u8; 2] = [0xBF, 0x84];
    /// What stands before the timestamp in a BlockGroup may be large.
    const FAR: usize = 64;

    if relative == block.relative_timestamp {
        return block.element.clone();
    }
    let at = block.relative_timestamp_offset();
    let mut pieces = Vec::with_capacity(block.element.piece_count() + 2);
    let mut start = BytesMut::new();
    let near = block.element.slice(0..at.min(FAR));
    near.iter().for_each(|piece| start.extend_from_slice(piece));
    // The checksum is that of the other timestamp.
    if let Ok(Some(head)) = vint::head(&start)
        && head.id == Id::BLOCK_GROUP
        && start.get(head.length..head.length + 2) == Some(&CRC_32)
        && let Some(id) = start.get_mut(head.length)
    {
        *id = Id::VOID.0 as u8;
    }
    if at > FAR {
        pieces.push(start.split().freeze());
        pieces.extend(block.element.slice(FAR..at).iter().cloned());
    }
    start.extend_from_slice(&relative.to_be_bytes());
    pieces.push(start.freeze());
    let rest = block.element.slice(at + 2..block.element.len());
    pieces.extend(rest.iter().filter(|piece| !piece.is_empty()).cloned());
    pieces.into()
}

fn element(out: &mut Vec<u8>, id: Id, data: &[u8]) {
    vint::write_id(out, id);
    vint::write_size(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// An unsigned integer in the fewest bytes, at least one.
fn unsigned(out: &mut Vec<u8>, id: Id, value: u64) {
    let skip = (value.leading_zeros() as usize / 8).min(7);
    element(out, id, value.to_be_bytes().get(skip..).unwrap_or_default());
}
