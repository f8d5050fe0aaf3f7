//! Upstream's buffers to blocks with their place in time.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{Error, Loss};
use crate::fragment::{self, Dropped, Fragment, FragmentEnd, FrameReader, Output, Range, TimedBlock};
use crate::output::{self, FragmentMeta, Item, Queue};

/// Where the reader's own times begin where upstream's are followed, in ns: of its own only the distances count, and the
/// first block need not be the one captured first.
const HEADROOM: i64 = 3_600_000_000_000;

/// What a buffer brought.
#[derive(Debug)]
pub enum Step {
    /// What follows does not go on where the last one ended.
    Break,
    Fragment(Opening),
    Block(Arrival),
    /// Frames that came before under another fragment number were left out.
    Dropped(Dropped),
    /// A fragment is whole, of which upstream does not tell.
    End(FragmentEnd),
}

/// A fragment begins.
#[derive(Clone, Debug)]
pub struct Opening {
    pub fragment: Arc<Fragment>,
    /// Of the buffer that its cluster began in.
    metas: Option<Metas>,
    /// Upstream tells of it, by metas and events.
    pub is_told: bool,
}

/// A block in stream time.
#[derive(Debug)]
pub struct Arrival {
    pub timed: TimedBlock,
    /// Of the buffer that it came in.
    metas: Option<Metas>,
    /// That buffer tells when the producer captured the block.
    captured: bool,
}

/// What an upstream that has times has put on a buffer: the metas that can be copied, on a buffer without memory. The
/// time of capture is not among them, which each frame has of its own.
#[derive(Clone, Debug)]
struct Metas(gst::Buffer);

/// Reads what upstream pushes.
pub struct Reading {
    frames: FrameReader,
    drops_duplicates: bool,
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
#[derive(Debug)]
struct Following {
    /// Upstream's time minus the reader's own, in ns.
    shift: i64,
    /// The same for the time of capture, once a buffer told it.
    capture_shift: Option<i64>,
    /// The next block does not follow from the one before.
    discont: bool,
    /// Upstream tells of the fragment at hand.
    is_told: bool,
    /// Buffers whose blocks are held back, and how many these are.
    waiting: VecDeque<(gst::Buffer, usize)>,
}

impl Reading {
    /// Reads a stream whose buffers have times, or that has to be timed by what it says itself; of the latter, fragments
    /// that come again are left out or not.
    pub fn new(timed_by_upstream: bool, drops_duplicates: bool) -> Self {
        let mut frames = FrameReader::new(Range::default());
        // Whoever gave the buffers their times has decided: each of them has its place.
        frames.drop_duplicates(drops_duplicates && !timed_by_upstream);
        let times = if timed_by_upstream {
            frames.begin_at(HEADROOM);
            Times::Upstream(Following::new())
        } else {
            Times::Own
        };
        Self { frames, drops_duplicates, times, headed: false }
    }

    /// One that begins anew, with the same properties.
    pub fn renewed(&self, timed_by_upstream: bool) -> Self {
        Self::new(timed_by_upstream, self.drops_duplicates)
    }

    /// Whether upstream's buffers have the times.
    pub fn is_timed_by_upstream(&self) -> bool {
        matches!(self.times, Times::Upstream(_))
    }

    /// What came before is gone: next comes a cluster or a header.
    pub fn restart(&mut self) {
        if !self.headed {
            *self = self.renewed(self.is_timed_by_upstream());
            return;
        }
        self.frames.restart();
        if let Times::Upstream(following) = &mut self.times {
            *following = Following::new();
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
        if self.is_timed_by_upstream() && is_break(&buffer) {
            steps.push(Step::Break);
        }
        let (first, held) = (steps.len(), self.frames.held_blocks());
        let result = self.drain(steps);
        if let (Times::Upstream(following), Some(new)) = (&mut self.times, steps.get_mut(first..)) {
            let holds = self.frames.held_blocks();
            let came = holds.saturating_add(blocks_in(new)).saturating_sub(held);
            following.waiting.push_back((buffer, came));
            following.place(new, holds == 0);
            if following.is_told {
                steps.retain(|step| !matches!(step, Step::End(_)));
            }
        }
        result
    }

    /// Nothing more comes: what was held back until now, and, if the stream ends between two elements, the end of the fragment
    /// at hand.
    ///
    /// # Errors
    ///
    /// It ended inside an element.
    pub fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), Loss> {
        let cut = match self.frames.finish() {
            Err(fragment::Error::Matroska(error)) => Err(Loss::Cut(error)),
            _ => {
                self.frames.end_fragment();
                Ok(())
            }
        };
        let first = steps.len();
        loop {
            while let Some(output) = self.frames.ready() {
                self.take(output, steps);
            }
            if !self.frames.release() {
                break;
            }
        }
        if let (Times::Upstream(following), Some(new)) = (&mut self.times, steps.get_mut(first..)) {
            following.place(new, true);
            if following.is_told {
                steps.retain(|step| !matches!(step, Step::End(_)));
            }
        }
        cut
    }

    fn drain(&mut self, steps: &mut Vec<Step>) -> Result<(), Error> {
        while let Some(output) = self.frames.next()? {
            self.take(output, steps);
        }
        Ok(())
    }

    fn take(&mut self, output: Output, steps: &mut Vec<Step>) {
        match output {
            Output::Start(fragment) => {
                self.headed = true;
                steps.push(Step::Fragment(Opening { fragment, metas: None, is_told: false }));
            }
            Output::Block(timed) => steps.push(Step::Block(Arrival { timed, metas: None, captured: false })),
            Output::Dropped(dropped) => steps.push(Step::Dropped(dropped)),
            Output::End(end) => steps.push(Step::End(end)),
            Output::Repeated(_) | Output::RangeEnd => {}
        }
    }
}

impl Following {
    fn new() -> Self {
        Self { shift: -HEADROOM, capture_shift: None, discont: false, is_told: false, waiting: VecDeque::new() }
    }

    /// Places what is no longer held back, each by the buffer that completed it; whether that is `all` there is.
    fn place(&mut self, steps: &mut [Step], all: bool) {
        let mut left = blocks_in(steps);
        let mut rest = steps;
        while let Some((buffer, blocks)) = self.waiting.pop_front_if(|(_, blocks)| all || *blocks <= left) {
            left = left.saturating_sub(blocks);
            let end = if self.waiting.is_empty() { rest.len() } else { end_of_blocks(rest, blocks) };
            let (own, others) = std::mem::take(&mut rest).split_at_mut(end);
            self.place_blocks(&buffer, blocks, own);
            rest = others;
        }
    }

    /// Places the blocks that a buffer completed. The first one has the buffer's time, as it is where each block has
    /// a buffer of its own; the others keep their distance from it.
    fn place_blocks(&mut self, buffer: &gst::Buffer, blocks: usize, steps: &mut [Step]) {
        self.discont |= buffer.flags().contains(gst::BufferFlags::DISCONT) && !is_break(buffer);
        let metas = (!steps.is_empty()).then(|| Metas::of(buffer));
        let mut anchored = false;
        for step in steps {
            let arrival = match step {
                Step::Block(arrival) => arrival,
                Step::Fragment(opening) => {
                    opening.metas.clone_from(&metas);
                    self.is_told = FragmentMeta::of(buffer).is_some() || output::captured(buffer).is_some();
                    if self.is_told {
                        opening.leave_to_upstream();
                    }
                    continue;
                }
                Step::Break | Step::Dropped(_) | Step::End(_) => continue,
            };
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
                let duration = output::clock_time(duration.nseconds()).map(gst::ClockTime::nseconds);
                timed.frame_duration = duration.and_then(|duration| duration.checked_div(frames));
            }
            arrival.metas.clone_from(&metas);
            arrival.captured = self.capture_shift.is_some();
        }
    }
}

impl Opening {
    /// What is known of the fragment is on upstream's buffers, and is not told again.
    fn leave_to_upstream(&mut self) {
        self.is_told = true;
        self.fragment = Arc::new(Fragment {
            number: None,
            producer_timestamp: None,
            server_timestamp: None,
            tags: Vec::new(),
            ..Fragment::clone(&self.fragment)
        });
    }

    /// Puts on the track's stream headers what the fragment's first buffer had on it.
    pub fn equip(&self, headers: &mut Queue) {
        for item in headers.iter_mut() {
            if let (Some(metas), Item::Buffer(header)) = (&self.metas, item) {
                metas.put(header);
            }
        }
    }
}

impl Arrival {
    /// Puts on the block's frames what its buffer had on it: the time of capture, and every meta that can be copied.
    pub fn equip(&self, frames: &mut Queue, codec_delay: u64) {
        let Some(metas) = &self.metas else { return };
        let distances = self.timed.frames().map(|(_, distance)| distance);
        for (item, distance) in frames.iter_mut().zip(distances) {
            let Item::Buffer(frame) = item else { continue };
            if let (true, Some(distance)) = (self.captured, distance) {
                let time = self.timed.capture_time.saturating_add_unsigned(distance);
                output::set_captured(frame, time.saturating_sub_unsigned(codec_delay), self.timed.frame_duration);
            }
            metas.put(frame);
        }
    }
}

impl Metas {
    fn of(buffer: &gst::BufferRef) -> Self {
        use gst::meta::tags::{Memory, MemoryReference};
        let mut carrier = gst::Buffer::new();
        let whole = gst::meta::MetaTransformCopy::new(..);
        if let Some(carrier) = carrier.get_mut() {
            for meta in buffer.iter_meta::<gst::Meta>() {
                // What speaks of the buffer's memory is not true of any frame.
                if meta.has_tag::<Memory>() || meta.has_tag::<MemoryReference>() || output::is_capture_time(&meta) {
                    continue;
                }
                // One that cannot be copied stays behind, as everywhere in GStreamer.
                let _ = meta.transform(carrier, &whole);
            }
        }
        Self(carrier)
    }

    /// Puts them on a buffer, which must be writable.
    fn put(&self, buffer: &mut gst::Buffer) {
        if let Some(buffer) = buffer.get_mut() {
            // Fails on a range only, and this is none.
            let _ = self.0.copy_into(buffer, gst::BufferCopyFlags::META, ..);
        }
    }
}

/// Whether what follows the buffer does not go on where the one before it ended.
fn is_break(buffer: &gst::Buffer) -> bool {
    buffer.flags().contains(gst::BufferFlags::DISCONT | gst::BufferFlags::HEADER)
}

fn blocks_in(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Block(_))).count()
}

/// Where the first so many blocks end; without any, where the first one begins.
fn end_of_blocks(steps: &[Step], blocks: usize) -> usize {
    let places = steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Block(_))).map(|(place, _)| place);
    match blocks.checked_sub(1) {
        Some(last) => places.map(|place| place.saturating_add(1)).nth(last),
        None => places.into_iter().next(),
    }
    .unwrap_or(steps.len())
}

fn distance(to: u64, from: u64) -> i64 {
    let size = i64::try_from(to.abs_diff(from)).unwrap_or(i64::MAX);
    if to < from { size.saturating_neg() } else { size }
}
