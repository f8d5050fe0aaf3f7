//! Pieces of the body as buffers, without a copy of their bytes.

use super::time::clock_time;
use crate::mkv::Pieces;

/// The clock of a reference timestamp: nanoseconds since 1970.
const UNIX_TIME: &str = "timestamp/x-unix";

/// A buffer of the pieces' memory.
pub(super) fn from_pieces(pieces: Pieces) -> gst::Buffer {
    match pieces {
        Pieces::One(bytes) => gst::Buffer::from_slice(bytes),
        // A buffer of more memories than it can hold merges them again and again: then one copy is the least work.
        Pieces::Many(pieces) if pieces.len() > gst::BufferRef::max_memory() => {
            gst::Buffer::from_slice(Pieces::Many(pieces).to_bytes())
        }
        Pieces::Many(pieces) => {
            let mut buffer = gst::Buffer::new();
            if let Some(buffer) = buffer.get_mut() {
                for piece in pieces {
                    buffer.append_memory(gst::Memory::from_slice(piece));
                }
            }
            buffer
        }
    }
}

/// The same, copied where samples of `alignment` bytes would lie on addresses that they cannot be read from.
pub(super) fn from_samples(pieces: Pieces, alignment: usize) -> gst::Buffer {
    let buffer = from_pieces(pieces);
    if alignment == 1 {
        return buffer;
    }
    let aligned = buffer.map_readable().is_ok_and(|map| map.as_ptr().align_offset(alignment) == 0);
    if aligned { buffer } else { buffer.copy_deep().unwrap_or(buffer) }
}

/// Presentation time and duration in ns; a new buffer is always writable.
pub(super) fn stamp(buffer: &mut gst::Buffer, pts: Option<u64>, duration: Option<u64>, flags: gst::BufferFlags) {
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(pts.and_then(clock_time));
        buffer.set_duration(duration.and_then(clock_time));
        buffer.set_flags(flags);
    }
}

/// Decoding time in ns.
pub(super) fn decode_at(buffer: &mut gst::Buffer, dts: Option<u64>) {
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_dts(dts.and_then(clock_time));
    }
}

/// Says when the producer captured the buffer, in ns since 1970.
pub(super) fn capture_time(buffer: &mut gst::Buffer, caps: &gst::Caps, time: i64, duration: Option<u64>) {
    let time = u64::try_from(time).ok().and_then(clock_time);
    if let (Some(buffer), Some(time)) = (buffer.get_mut(), time) {
        gst::ReferenceTimestampMeta::add(buffer, caps, time, duration.and_then(clock_time));
    }
}

/// When the producer captured the buffer, in ns since 1970, where it says so.
pub(crate) fn captured(buffer: &gst::BufferRef) -> Option<u64> {
    let mut metas = buffer.iter_meta::<gst::ReferenceTimestampMeta>();
    metas.find(|meta| is_unix_time(meta.reference())).map(|meta| meta.timestamp().nseconds())
}

/// Whether the meta is what [`captured`] reads.
pub(crate) fn is_capture_time(meta: &gst::MetaRef<gst::Meta>) -> bool {
    meta.downcast_ref::<gst::ReferenceTimestampMeta>().is_some_and(|meta| is_unix_time(meta.reference()))
}

/// As [`capture_time`], with the caps of [`unix_time_caps`].
pub(crate) fn set_captured(buffer: &mut gst::Buffer, time: i64, duration: Option<u64>) {
    capture_time(buffer, &unix_time_caps(), time, duration);
}

/// The caps that mark a reference timestamp as nanoseconds since 1970.
pub(super) fn unix_time_caps() -> gst::Caps {
    gst::Caps::new_empty_simple(UNIX_TIME)
}

fn is_unix_time(reference: &gst::CapsRef) -> bool {
    reference.structure(0).is_some_and(|structure| structure.name() == UNIX_TIME)
}
