//! The frames of one track, each a buffer of its own.

use std::sync::Arc;

use super::buffer;
use super::caps::{frame_alignment, stream_headers, track_caps};
use super::clipping::Clipping;
use super::decoding::{Decoding, Order};
use super::fragment_meta::Stamp;
use super::{Item, Kinds, Queue, clock_time};
use crate::fragment::{Fragment, TimedBlock};
use crate::mkv::{Pieces, Track, TrackKind};
use bytes::Bytes;

/// Writes the frames of one track.
///
/// Of H.264 and H.265 they have decoding times. Where these begin before presentation times, there must be room for them,
/// since no buffer has a time before 0: buffers are [`later`](Self::later), and so is the segment that they are for.
#[derive(Debug)]
pub struct TrackWriter {
    index: usize,
    video: bool,
    /// Of a frame's first byte.
    alignment: usize,
    /// CodecDelay, in ns: what a frame's time lies before that of its block (RFC 9559, CodecDelay).
    codec_delay: u64,
    /// `None` for pictures.
    clipping: Option<Clipping>,
    /// Taken off every frame by the producer, to be put on again.
    stripped_header: Bytes,
    /// What goes out before the first frame; empty once it has.
    head: Vec<Item>,
    /// Time has jumped on some track since the last frame of this one.
    discont: bool,
    captured: bool,
    /// Of a codec that has pictures out of order.
    decoding: Option<Box<Decoding>>,
    later: u64,
    unix_time: gst::Caps,
    stamp: Stamp,
}

impl TrackWriter {
    /// A writer for the track with this index and these caps, which need not be those that the header claims.
    pub fn new(index: usize, track: &Track, caps: gst::Caps) -> Self {
        let claimed = track_caps(track).is_ok_and(|claimed| claimed == caps);
        let raw = caps.structure(0).is_some_and(|structure| structure.name() == "audio/x-raw");
        let (headers, alignment) = match claimed {
            true => (stream_headers(track), frame_alignment(track)),
            // That of the largest sample.
            false => (Vec::new(), if raw { 8 } else { 1 }),
        };
        let private = track.codec_private.as_ref().filter(|_| claimed);
        let decoding = Decoding::new(&caps, private, track.default_duration).map(Box::new);
        let clipping = Clipping::new(track, &caps);
        let mut head = vec![Item::Caps(caps)];
        for bytes in headers {
            let mut header = gst::Buffer::from_slice(bytes);
            buffer::stamp(&mut header, None, None, gst::BufferFlags::HEADER);
            head.push(Item::Buffer(header));
        }
        Self {
            index,
            video: matches!(track.kind, TrackKind::Video(_)),
            alignment,
            codec_delay: track.codec_delay,
            clipping,
            stripped_header: track.stripped_header.clone(),
            head,
            discont: false,
            captured: false,
            later: decoding.as_ref().map_or(0, |decoding| decoding.delay()),
            decoding,
            unix_time: buffer::unix_time_caps(),
            stamp: Stamp::default(),
        }
    }

    /// Goes on behind the frames that another writer wrote.
    pub fn go_on_from(&mut self, before: Self) {
        self.later = self.later.max(before.later);
        self.discont |= before.discont;
        if let (Some(decoding), Some(before)) = (&mut self.decoding, before.decoding) {
            decoding.go_on_from(*before);
        }
    }

    /// Frames come in this order from now on, in a segment of their own.
    pub fn play(&mut self, order: Order) {
        if let Some(decoding) = &mut self.decoding {
            decoding.play(order);
            self.later = decoding.delay();
        }
    }

    /// The same, where the segment goes on.
    pub fn go_on_as(&mut self, order: Order) {
        if let Some(decoding) = &mut self.decoding {
            decoding.go_on_as(order);
            self.later = self.later.max(decoding.delay());
        }
    }

    /// What comes next does not go on where the last frame ended.
    pub fn interrupt(&mut self) {
        self.discont = true;
    }

    /// By how many ns the times of buffers are later than presentation times. It may change with each call that writes,
    /// and counts for what that wrote.
    pub fn later(&self) -> u64 {
        self.later
    }

    /// What goes out.
    pub fn kinds(&self) -> Kinds {
        Kinds { video: self.video, audio: !self.video }
    }

    /// Before the first fragment, caps and stream headers go out.
    pub fn begin_fragment(&mut self, fragment: &Arc<Fragment>, queue: &mut Queue) {
        self.stamp = Stamp::new(fragment);
        for mut item in self.head.drain(..) {
            if let Item::Buffer(header) = &mut item {
                self.stamp.put(header);
            }
            queue.push_back(item);
        }
        self.captured = fragment.producer_timestamp.is_some();
    }

    /// Writes the frames of a block, if it is the track's.
    pub fn write(&mut self, timed: &TimedBlock, queue: &mut Queue) {
        self.discont |= timed.discont;
        if timed.track != Some(self.index) {
            return;
        }
        let keyframe = timed.block.keyframe;
        if self.decoding.as_mut().is_some_and(|decoding| !decoding.wants(timed.capture_time, keyframe)) {
            return;
        }
        let mut flags = gst::BufferFlags::empty();
        flags.set(gst::BufferFlags::DELTA_UNIT, self.video && !keyframe);
        flags.set(gst::BufferFlags::DROPPABLE, timed.block.discardable);
        flags.set(gst::BufferFlags::DECODE_ONLY, timed.block.invisible);
        flags.set(gst::BufferFlags::DISCONT, std::mem::take(&mut self.discont));
        let last = timed.block.frame_count().saturating_sub(1);
        for (index, (frame, distance)) in timed.frames().enumerate() {
            let frame = self.whole(frame);
            if let Some(decoding) = &mut self.decoding {
                decoding.look(&frame, keyframe);
                self.later = self.later.max(decoding.delay());
            }
            let time = distance.and_then(|distance| timed.pts.checked_add(distance));
            let pts = time
                .and_then(|time| time.checked_add(self.later))
                .map(|pts| pts.saturating_sub(self.codec_delay))
                .filter(|pts| clock_time(*pts).is_some());
            let decoding = self.decoding.as_mut().zip(pts);
            let discont = flags.contains(gst::BufferFlags::DISCONT);
            let dts = decoding.and_then(|(decoding, pts)| decoding.time(pts, keyframe, discont));
            let mut buffer = buffer::from_samples(frame, self.alignment);
            let mut duration = timed.frame_duration;
            if let Some(clipping) = self.clipping {
                let early = time.map_or(0, |time| clipping.before_zero(time));
                duration = duration.map(|duration| duration.saturating_sub(early));
                let padding = timed.block.discard_padding;
                let padded = |is_there: bool| if is_there { padding.unsigned_abs() } else { 0 };
                let start = early.saturating_add(padded(padding < 0 && index == 0));
                clipping.put(&mut buffer, start, padded(padding > 0 && index == last));
            }
            buffer::stamp(&mut buffer, pts, duration, flags);
            buffer::decode_at(&mut buffer, dts);
            if let (true, Some(distance)) = (self.captured, distance) {
                let time =
                    timed.capture_time.saturating_add_unsigned(distance).saturating_sub_unsigned(self.codec_delay);
                buffer::capture_time(&mut buffer, &self.unix_time, time, timed.frame_duration);
            }
            self.stamp.put(&mut buffer);
            flags.remove(gst::BufferFlags::DISCONT);
            queue.push_back(Item::Buffer(buffer));
        }
    }

    fn whole(&self, frame: Pieces) -> Pieces {
        if self.stripped_header.is_empty() {
            return frame;
        }
        let front = std::iter::once(self.stripped_header.clone());
        Pieces::Many(front.chain(frame.iter().cloned()).collect())
    }
}
