//! Upstream's buffers to blocks with their place in time.

use std::sync::Arc;

use bytes::Bytes;

use super::error::{Error, Loss};
use crate::fragment::{self, Fragment, FrameReader, Output, Range, TimedBlock};
use crate::output::{self, Item, Queue};

/// What a buffer brought.
#[derive(Debug)]
pub enum Step {
    /// What follows does not go on where the last one ended.
    Break,
    /// A fragment begins.
    Fragment(Arc<Fragment>),
    Block(Arrival),
}

/// A block in stream time, and the buffer that it came in where that one knows more of it.
#[derive(Debug)]
pub struct Arrival {
    pub timed: TimedBlock,
    carrier: Option<Carrier>,
}

/// The buffer of an upstream that has times.
#[derive(Debug)]
struct Carrier {
    buffer: gst::Buffer,
    /// It tells when the producer captured the block.
    captured: bool,
}

/// Reads what upstream pushes.
pub struct Reading {
    frames: FrameReader,
    times: Times,
    /// A header has come, so that after a flush a cluster may come without one.
    headed: bool,
}

/// Where the times of blocks come from.
#[derive(Debug)]
enum Times {
    /// From fragments and clusters, by the reader's own timeline.
    Own,
    /// From the buffers.
    Upstream(Following),
}

/// Follows the times of upstream's buffers. They are exact where a cluster's are rounded to its ticks, and have gone
/// through whatever stands between the source and here.
#[derive(Debug, Default)]
struct Following {
    /// Upstream's time minus the reader's own, in ns.
    shift: i64,
    /// The same for the time of capture, once a buffer told it.
    capture_shift: Option<i64>,
    /// The next block does not follow from the one before.
    discont: bool,
}

impl Reading {
    /// Reads a stream whose buffers have times, or that has to be timed by what it says itself.
    pub fn new(timed_by_upstream: bool) -> Self {
        let times = if timed_by_upstream { Times::Upstream(Following::default()) } else { Times::Own };
        Self { frames: FrameReader::new(Range::default()), times, headed: false }
    }

    /// Whether upstream's buffers have the times.
    pub fn is_timed_by_upstream(&self) -> bool {
        matches!(self.times, Times::Upstream(_))
    }

    /// What came before is gone: next comes a cluster or a header.
    pub fn restart(&mut self) {
        if self.headed {
            self.frames.restart();
        } else {
            self.frames = FrameReader::new(Range::default());
        }
        if let Times::Upstream(following) = &mut self.times {
            *following = Following::default();
        }
    }

    /// Reads one buffer, whose bytes are not copied; what it brought is added to `steps`, also before an error.
    ///
    /// # Errors
    ///
    /// Bytes that are not the service's, or an error tag of the service.
    pub fn read(&mut self, buffer: gst::Buffer, steps: &mut Vec<Step>) -> Result<(), Error> {
        for memory in buffer.iter_memories_owned() {
            let memory = memory.into_mapped_memory_readable().map_err(|_| Error::Unreadable)?;
            self.frames.push(Bytes::from_owner(memory));
        }
        if let Times::Upstream(following) = &mut self.times
            && buffer.flags().contains(gst::BufferFlags::DISCONT)
        {
            if buffer.flags().contains(gst::BufferFlags::HEADER) {
                steps.push(Step::Break);
            } else {
                following.discont = true;
            }
        }
        let first = steps.len();
        let result = self.drain(steps);
        if let (Times::Upstream(following), Some(steps)) = (&mut self.times, steps.get_mut(first..)) {
            following.place(&buffer, steps);
        }
        result
    }

    /// Whether a stream that ends here ends between two elements.
    pub fn finish(&self) -> Option<Loss> {
        match self.frames.finish() {
            Err(fragment::Error::Matroska(error)) => Some(Loss::Cut(error)),
            _ => None,
        }
    }

    fn drain(&mut self, steps: &mut Vec<Step>) -> Result<(), Error> {
        while let Some(output) = self.frames.next()? {
            match output {
                Output::Start(fragment) => {
                    self.headed = true;
                    steps.push(Step::Fragment(fragment));
                }
                Output::Block(timed) => steps.push(Step::Block(Arrival { timed, carrier: None })),
                Output::End(_) | Output::RangeEnd => {}
            }
        }
        Ok(())
    }
}

impl Following {
    /// Places the blocks that the buffer completed. The first one has the buffer's time, as it is where each block has
    /// a buffer of its own; the others keep their distance from it.
    fn place(&mut self, buffer: &gst::Buffer, steps: &mut [Step]) {
        let blocks = steps.iter().filter(|step| matches!(step, Step::Block(_))).count();
        let mut anchored = false;
        for step in steps {
            let Step::Block(arrival) = step else { continue };
            let timed = &mut arrival.timed;
            if !std::mem::replace(&mut anchored, true) {
                if let Some(pts) = buffer.pts() {
                    self.shift = distance(pts.nseconds(), timed.pts);
                }
                self.capture_shift = output::captured(buffer)
                    .and_then(|captured| i64::try_from(captured).ok())
                    .map(|captured| captured.saturating_sub(timed.capture_time));
            }
            timed.pts = timed.pts.saturating_add_signed(self.shift);
            timed.capture_time = timed.capture_time.saturating_add(self.capture_shift.unwrap_or(0));
            timed.discont = std::mem::take(&mut self.discont);
            let frames = u64::try_from(timed.block.frame_count()).unwrap_or(u64::MAX);
            if let (1, Some(duration)) = (blocks, buffer.duration()) {
                timed.frame_duration = duration.nseconds().checked_div(frames);
            }
            arrival.carrier = Some(Carrier { buffer: buffer.clone(), captured: self.capture_shift.is_some() });
        }
    }
}

impl Arrival {
    /// Puts on the block's frames what its buffer had on it: the time of capture, and every meta that can be copied.
    pub fn equip(&self, frames: &mut Queue, codec_delay: u64) {
        let Some(carrier) = &self.carrier else { return };
        let distances = self.timed.frames().map(|(_, distance)| distance);
        for (item, distance) in frames.iter_mut().zip(distances) {
            let Item::Buffer(frame) = item else { continue };
            if let (true, Some(distance)) = (carrier.captured, distance) {
                let time = self.timed.capture_time.saturating_add_unsigned(distance);
                output::set_captured(frame, time.saturating_sub_unsigned(codec_delay), self.timed.frame_duration);
            }
            if let Some(frame) = frame.get_mut() {
                carrier.copy_metas(frame);
            }
        }
    }
}

impl Carrier {
    /// Copies all but the time of capture, which each frame has of its own, and what speaks of the buffer's memory.
    fn copy_metas(&self, frame: &mut gst::BufferRef) {
        use gst::meta::tags::{Memory, MemoryReference};
        let whole = gst::meta::MetaTransformCopy::new(..);
        for meta in self.buffer.iter_meta::<gst::Meta>() {
            if meta.has_tag::<Memory>() || meta.has_tag::<MemoryReference>() || output::is_capture_time(&meta) {
                continue;
            }
            // One that cannot be copied stays behind, as everywhere in GStreamer.
            let _ = meta.transform(frame, &whole);
        }
    }
}

fn distance(to: u64, from: u64) -> i64 {
    let size = i64::try_from(to.abs_diff(from)).unwrap_or(i64::MAX);
    if to < from { size.saturating_neg() } else { size }
}
