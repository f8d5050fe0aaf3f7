//! The bytes of a GetMedia body in, fragments and frames in stream time out.

use std::sync::Arc;

use bytes::Bytes;

use super::deduplicator::{Deduplicator, Dropped, Sorted};
use super::look_ahead::LookAhead;
use super::{Arrival, Assembler, Error, Event, Fragment, FragmentEnd, FragmentNumber, Range, ResumePoint, Timeline};
use crate::mkv::{self, Pieces, TrackKind};

/// A block with its place in time.
#[derive(Clone, Debug)]
pub struct TimedBlock {
    pub block: mkv::Block,
    /// The index of its track in the header; `None` where the header does not have it.
    pub track: Option<usize>,
    /// When the producer captured it: ns since 1970, or on the file's own clock where no producer timestamp is given.
    pub capture_time: i64,
    /// Presentation time of its first frame, in ns from the first frame delivered.
    pub pts: u64,
    /// How long one of its frames lasts, in ns, where block or track tell.
    pub frame_duration: Option<u64>,
    /// The clock jumped back here, or frames are missing before it.
    pub discont: bool,
}

impl TimedBlock {
    /// How long the whole block lasts, in ns.
    pub fn duration(&self) -> Option<u64> {
        let frames = u64::try_from(self.block.frame_count()).ok()?;
        self.frame_duration?.checked_mul(frames)
    }

    /// The frames with their distance from the block's time, in ns. Behind the first of a lace, it is known only with
    /// the duration of a frame (RFC 9559 section 10.3).
    pub fn frames(&self) -> impl Iterator<Item = (Pieces, Option<u64>)> + '_ {
        self.block.frames().enumerate().map(|(index, frame)| {
            let distance = match (index, self.frame_duration) {
                (0, _) => Some(0),
                (index, Some(duration)) => u64::try_from(index).ok().and_then(|index| duration.checked_mul(index)),
                (_, None) => None,
            };
            (frame, distance)
        })
    }
}

/// What comes out.
#[derive(Clone, Debug)]
pub enum Output {
    /// A fragment begins.
    Start(Arc<Fragment>),
    /// A block of the fragment that began last.
    Block(TimedBlock),
    /// A fragment is whole.
    End(FragmentEnd),
    /// Frames that came before under another fragment number were dropped.
    Dropped(Dropped),
    /// A fragment is whole, and all its frames were dropped: it has neither start nor end.
    Repeated(FragmentEnd),
    /// The end of the range: nothing that follows is wanted.
    RangeEnd,
}

/// Whose clock presentation time follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampMode {
    /// When frames were captured.
    #[default]
    Producer,
    /// When the service received their fragment.
    Server,
    /// When they were captured, with the gaps between fragments closed.
    Contiguous,
}

/// Reader, Assembler, LookAhead, Deduplicator and Timeline in a row.
///
/// Of what was captured before the first frame delivered, which would have to be presented before time 0, pictures come
/// invisible, since others may need them, and all else is left out.
pub struct FrameReader {
    reader: mkv::Reader,
    assembler: Assembler,
    look_ahead: LookAhead,
    deduplicator: Deduplicator,
    /// What comes once nothing is held back any more.
    failure: Option<Error>,
    timeline: Timeline,
    range: Range,
    fragment: Option<Arc<Fragment>>,
    /// The start of that fragment on the clock that presentation time follows, in ns.
    start: i64,
    /// Frames are missing before the next one.
    lost: bool,
    /// Capture time of the end of the last frame, in ns.
    captured_until: Option<i64>,
    /// No frame of the fragment has been placed yet.
    fresh: bool,
    correction: Option<i64>,
    mode: TimestampMode,
    /// Presentation time of the first frame, in ns, where nothing else tells.
    begin: i64,
}

impl FrameReader {
    /// Reads up to the end of `range`.
    pub fn new(range: Range) -> Self {
        Self {
            reader: mkv::Reader::new(),
            assembler: Assembler::new(),
            look_ahead: LookAhead::default(),
            deduplicator: Deduplicator::default(),
            failure: None,
            timeline: Timeline::new(),
            range,
            fragment: None,
            start: 0,
            lost: false,
            captured_until: None,
            fresh: false,
            correction: None,
            mode: TimestampMode::default(),
            begin: 0,
        }
    }

    /// Before anything is read: frames that come again under another fragment number are dropped, or not.
    pub fn drop_duplicates(&mut self, drops: bool) {
        self.deduplicator = if drops { Deduplicator::default() } else { Deduplicator::keeping() };
    }

    /// Before anything is read: the first frame has this presentation time, in ns, also behind a
    /// [`restart`](Self::restart).
    pub fn begin_at(&mut self, begin: i64) {
        self.begin = begin;
        self.timeline = Timeline::beginning_at(begin);
    }

    /// Takes in the next bytes of the body; [`next`](Self::next) parses them.
    pub fn push(&mut self, bytes: Bytes) {
        self.reader.push(bytes);
    }

    /// The next thing that the bytes mean, or `None` until more of them come.
    ///
    /// # Errors
    ///
    /// Bytes that are not the service's, or an error tag of the service.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ends may not go on, this one does")]
    pub fn next(&mut self) -> Result<Option<Output>, Error> {
        loop {
            if let Some(output) = self.ready() {
                return Ok(Some(output));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            let taken = match self.reader.next() {
                Ok(Some(element)) => self.take(element, self.reader.offset()),
                Ok(None) => return Ok(None),
                Err(error) => Err(error.into()),
            };
            match taken {
                Ok(None) => {}
                Ok(output) => return Ok(output),
                // What came before it comes before it.
                Err(error) if self.look_ahead.release() => self.failure = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    /// What an element means that was read elsewhere and ended at byte `offset`. More may be [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// An error tag of the service, or a cluster without a header.
    pub fn take(&mut self, element: mkv::Element, offset: u64) -> Result<Option<Output>, Error> {
        if let Some(event) = self.assembler.push(element, offset)? {
            self.look_ahead.push(event);
        }
        Ok(self.ready())
    }

    /// What elements that were taken mean, where that is more than one thing each.
    pub fn ready(&mut self) -> Option<Output> {
        loop {
            while let Some(sorted) = self.deduplicator.pop() {
                let output = self.put(sorted);
                if output.is_some() {
                    return output;
                }
            }
            let event = self.look_ahead.pop()?;
            let output = self.deduplicator.push(event).and_then(|sorted| self.put(sorted));
            if output.is_some() {
                return output;
            }
        }
    }

    /// Nothing follows that belongs to the fragment at hand: how many bytes it had. What that means is
    /// [`ready`](Self::ready).
    pub fn end_fragment(&mut self) -> u64 {
        let Some(end) = self.assembler.end_fragment() else { return 0 };
        let size = end.size;
        self.look_ahead.push(Event::End(end));
        size
    }

    /// Nothing more is pushed: something that was held back, for a frame to come or as it may have come before, is
    /// [`ready`](Self::ready). Whether anything is; more may be held back all the same.
    pub fn release(&mut self) -> bool {
        self.look_ahead.release() || self.deduplicator.release()
    }

    /// How many blocks have come whose header waits for a frame.
    pub fn held_blocks(&self) -> usize {
        self.look_ahead.held_blocks()
    }

    /// Frames are missing before the next one.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// Before anything is read: this moment, in ns, has presentation time 0, and whatever can be is presented by its
    /// distance from it.
    pub fn anchor(&mut self, mode: TimestampMode, origin: i64) {
        self.keep_time(mode, Timeline::anchored(origin));
    }

    /// Whether a body that ends here ends between two elements.
    ///
    /// # Errors
    ///
    /// It ended inside an element.
    pub fn finish(&self) -> Result<(), Error> {
        Ok(self.reader.finish()?)
    }

    /// Where to go on if the connection ends here.
    pub fn resume_point(&self) -> ResumePoint {
        self.assembler.resume_point()
    }

    /// Before anything is read: which clock presentation time follows, and, where the stream is watched while it is made,
    /// by how many ns that may part from the one it is watched by. Then the first frame is presented when it came.
    pub fn time_by(&mut self, mode: TimestampMode, drift_limit: Option<i64>) {
        self.keep_time(mode, drift_limit.map_or_else(Timeline::new, Timeline::live));
    }

    fn keep_time(&mut self, mode: TimestampMode, timeline: Timeline) {
        self.mode = mode;
        self.timeline = match mode {
            TimestampMode::Producer => timeline,
            TimestampMode::Server => timeline.unsteady(),
            TimestampMode::Contiguous => timeline.without_gaps(),
        };
    }

    /// Where the stream is watched while it is made: what comes first was stored, and is shown from its beginning.
    pub fn catch_up(&mut self) {
        self.timeline = std::mem::take(&mut self.timeline).catching_up();
    }

    /// Running time stood still for so many ns, as in a pipeline that was paused.
    pub fn paused(&mut self, pause: i64) {
        self.timeline.paused(pause);
    }

    /// What is pushed from now on came at this time.
    pub fn arrived(&mut self, arrival: Arrival) {
        self.timeline.arrived(arrival);
    }

    /// By how many ns the fragment that began last changes presentation times against the producer's clock, where that
    /// has run away from the one it is watched by: negative where it is fast.
    pub fn take_correction(&mut self) -> Option<i64> {
        self.correction.take()
    }

    /// The first connection was asked to go on behind this fragment, which an earlier reading gave out.
    pub fn begin_behind(&mut self, fragment: FragmentNumber) {
        self.assembler.begin_behind(fragment);
    }

    /// The next bytes are those of a new connection, which was asked to go on at the
    /// [`resume_point`](Self::resume_point), or, where `after_loss`, at the earliest there is.
    pub fn resume(&mut self, after_loss: bool) {
        self.reader.reset();
        self.assembler.resume(after_loss);
        self.failure = None;
    }

    /// The next bytes are those of a cluster under the header that came last, or of a document; time begins anew.
    pub fn restart(&mut self) {
        self.reader.restart();
        self.assembler.restart();
        self.deduplicator.restart();
        self.look_ahead.restart();
        self.failure = None;
        self.timeline = Timeline::beginning_at(self.begin);
        self.fragment = None;
        self.lost = false;
        self.captured_until = None;
    }

    /// How many fragments came again and were dropped.
    pub fn duplicates(&self) -> u64 {
        self.assembler.duplicates().saturating_add(self.deduplicator.repeated())
    }

    /// The capture time, in ns, of the end of the last frame.
    pub fn captured_until(&self) -> Option<i64> {
        self.captured_until
    }

    fn put(&mut self, sorted: Sorted) -> Option<Output> {
        match sorted {
            Sorted::Start { fragment, continues } => Some(self.start(fragment, continues)),
            Sorted::Block(block, offset) => self.place(block, offset).map(Output::Block),
            Sorted::End(end) => Some(Output::End(end)),
            Sorted::Dropped(dropped) => Some(Output::Dropped(dropped)),
            Sorted::Repeated(end) => Some(Output::Repeated(end)),
        }
    }

    fn start(&mut self, fragment: Arc<Fragment>, continues: bool) -> Output {
        if !self.range.holds_start_of(&fragment) {
            // Its frames are not those of the fragment before it.
            self.fragment = None;
            return Output::RangeEnd;
        }
        // What continues the fragment before it has its place in time from that one.
        if !continues {
            self.fresh = true;
            self.start = self.start_of(&fragment);
            self.correction = self.timeline.begin_fragment(self.start);
        }
        self.lost |= fragment.after_loss;
        self.fragment = Some(Arc::clone(&fragment));
        Output::Start(fragment)
    }

    /// The start of a fragment on the clock that presentation time follows, in ns.
    fn start_of(&self, fragment: &Fragment) -> i64 {
        match (self.mode, fragment.server_timestamp) {
            (TimestampMode::Server, Some(received)) => received.nanoseconds(),
            _ => fragment.start(),
        }
    }

    fn place(&mut self, mut block: mkv::Block, offset: i64) -> Option<TimedBlock> {
        let fragment = self.fragment.as_ref()?;
        if !self.range.holds_frame(fragment, offset) {
            return None;
        }
        let header = &fragment.header;
        let track = header.track_index(block.track);
        let entry = track.and_then(|index| header.tracks.tracks.get(index));
        let default_duration = entry.and_then(|track| track.default_duration);
        let is_video = entry.is_some_and(|track| matches!(track.kind, TrackKind::Video(_)));
        let frames = u64::try_from(block.frame_count()).unwrap_or(u64::MAX).max(1);
        let frame_duration = block
            .duration
            .and_then(|duration| duration.checked_mul(header.info.timestamp_scale))
            .map(|duration| duration / frames)
            .filter(|duration| (1..i64::MAX.cast_unsigned()).contains(duration))
            .or(default_duration);
        let capture_time = fragment.start().saturating_add(offset);
        let lasts = frame_duration.and_then(|duration| duration.checked_mul(frames));
        // Blocks of a track that the header does not have share one place behind those that it has.
        let place = track.unwrap_or(header.tracks.tracks.len());
        let placement = self.timeline.place(place, self.start.saturating_add(offset), lasts);
        // Pictures come in another order than they were captured in.
        let lasts = lasts.or_else(|| self.timeline.spacing(place)).unwrap_or(0);
        let until = capture_time.saturating_add_unsigned(lasts);
        self.captured_until = match self.captured_until {
            Some(before) if !std::mem::take(&mut self.fresh) => Some(before.max(until)),
            _ => Some(until),
        };
        self.lost |= placement.discont;
        if placement.early && !is_video {
            return None;
        }
        block.invisible |= placement.early;
        Some(TimedBlock {
            block,
            track,
            capture_time,
            pts: placement.pts,
            frame_duration,
            discont: std::mem::take(&mut self.lost),
        })
    }
}
