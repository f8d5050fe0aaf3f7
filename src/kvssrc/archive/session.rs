//! One reading of a range: from what is listed and fetched to the items of a pad.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::account::Account;
use super::board::{Board, Next};
use super::patience::Attempts;
use super::{Position, Range, lane, lister, milliseconds};
use crate::aws::StartSelector;
use crate::fragment::{
    self, Clock, Edges, Fragment, FrameReader, Header, Listed, Listing, Opening, Output, Stored, TimestampMode,
    UnixTime,
};
use crate::kvssrc::error::Error;
use crate::kvssrc::notice::Notice;
use crate::kvssrc::report::Reporter;
use crate::kvssrc::session::Step;
use crate::mkv::Element;
use crate::output::{self, Queue, Writer};

/// From a position of a range to its end. Dropped, all calls are over at once.
pub struct Session {
    range: Arc<Range>,
    position: Position,
    /// The segment that was asked for, before the range's beginning was known.
    asked: gst::FormattedSegment<gst::ClockTime>,
    board: Arc<Board>,
    tasks: Vec<AbortHandle>,
    frames: FrameReader,
    /// Known once the range's beginning is.
    edges: Option<Edges>,
    /// What is left of the fragment at hand, and how many bytes came before it.
    elements: std::vec::IntoIter<(Element, u64)>,
    offset: u64,
    at_hand: Option<Listed>,
    writing: Option<(Arc<Header>, Writer)>,
    queue: Queue,
    notices: VecDeque<Notice>,
    /// What the tasks have to tell.
    told: mpsc::Receiver<Notice>,
    reporter: Reporter,
    delivered: u64,
    missing: u64,
    ended: bool,
}

/// What GetMedia goes on with behind the archive.
pub struct Continuation {
    pub start: StartSelector,
    pub frames: FrameReader,
    pub writing: Option<(Arc<Header>, Writer)>,
    /// By how many ns presentation time is later than stream time.
    pub lead: i64,
}

impl Session {
    /// Begins to list and to fetch.
    pub fn new(runtime: &Handle, range: &Arc<Range>, position: Position, reporter: Reporter) -> Self {
        let (on_demand, archive) = (range.on_demand, &range.archive);
        let board = Board::new(on_demand.connections, range.plan.request.max_buffered_bytes);
        let board = Arc::new(board.in_bulk(position.segment == range.whole().segment));
        let (account, told) = Account::new(Arc::clone(reporter.statistics()));
        let attempts = || Attempts::new(range.plan.patience.for_failures(true), account.clone());
        reporter.archive(0, 0, 0);
        let start = range.beginning.get().map(|beginning| {
            let from = position.segment.start().unwrap_or_default();
            milliseconds(beginning.saturating_add_unsigned(from.nseconds()))
        });
        // The end is the first moment that is not wanted, and a listing's the last one that is.
        let end = milliseconds(range.end(&position).saturating_sub(1));
        let listing = start.map_or_else(|| Listing::earliest(end), |start| Listing::new(start, end));
        let lister = lister::run(archive.clone(), on_demand.clock, listing, start, attempts(), Arc::clone(&board));
        let mut tasks = vec![runtime.spawn(lister).abort_handle()];
        for index in 0..on_demand.connections {
            let lane = lane::run(index, archive.clone(), attempts(), Arc::clone(&board));
            tasks.push(runtime.spawn(lane).abort_handle());
        }
        Self {
            range: Arc::clone(range),
            asked: position.segment.clone(),
            position,
            board,
            tasks,
            frames: FrameReader::new(fragment::Range::default()),
            edges: None,
            elements: Vec::new().into_iter(),
            offset: 0,
            at_hand: None,
            writing: None,
            queue: Queue::new(),
            notices: VecDeque::new(),
            told,
            reporter,
            delivered: 0,
            missing: 0,
            ended: false,
        }
    }

    /// The next thing to do.
    ///
    /// # Errors
    ///
    /// A fragment is missing, where that is an error.
    pub fn step(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Ok(Step::Item(item));
            }
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Step::Notice(notice));
            }
            if let Some(opening) = self.edges.as_mut().and_then(Edges::take_opening) {
                let segment = self.segment(opening);
                // The element knows that of the position.
                if segment != self.asked {
                    return Ok(Step::Segment(segment));
                }
            }
            match self.edges.as_mut().and_then(Edges::pop) {
                Some(Output::Start(fragment)) => {
                    self.reporter.begin(&fragment);
                    match &mut self.writing {
                        Some((header, writer)) if Arc::ptr_eq(header, &fragment.header) => {
                            writer.begin_fragment(&fragment, &mut self.queue);
                        }
                        _ => return Ok(Step::Negotiate(fragment)),
                    }
                }
                Some(Output::Block(block)) => {
                    let before = self.reporter.block(&block);
                    if let Some((_, writer)) = &mut self.writing {
                        writer.write(&block, &mut self.queue);
                    }
                    if !before.is_empty() {
                        return Ok(Step::Before(before));
                    }
                }
                Some(Output::End(end)) => {
                    self.notices.extend(self.reporter.end(&end, self.frames.duplicates()));
                }
                Some(Output::RangeEnd) => {}
                None => {
                    if !self.read()? {
                        return Ok(if self.ended { Step::End } else { Step::Receive });
                    }
                }
            }
        }
    }

    /// Goes on with a fragment whose header is new, in a format that `downstream` takes.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub fn begin(&mut self, fragment: &Arc<Fragment>, downstream: &gst::Caps) -> Result<(), Error> {
        let before = self.writing.take().map(|(_, writer)| writer);
        let header = &fragment.header;
        let plan = &self.range.plan;
        let mut writer = output::writer(header, downstream, plan.track.as_ref(), &plan.track_caps, before.as_ref())?;
        writer.begin_fragment(fragment, &mut self.queue);
        self.reporter.header(header);
        self.writing = Some((Arc::clone(header), writer));
        Ok(())
    }

    /// Waits for the next fragment. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    ///
    /// Nothing that follows can be had, or a fragment is missing where that is an error.
    pub async fn receive(&mut self) -> Result<(), Error> {
        let next = tokio::select! {
            biased;
            Some(notice) = self.told.recv() => {
                self.notices.push_back(notice);
                return Ok(());
            }
            next = self.board.take() => next?,
        };
        match next {
            Next::Fragment(listed, stored) => self.take(listed, stored),
            Next::Missing(listed, reason) => {
                self.open(&listed);
                self.miss(listed, reason)?;
            }
            Next::End => {
                if let Some(edges) = &mut self.edges {
                    edges.finish();
                }
                let (delivered, missing) = (self.delivered, self.missing);
                self.count();
                self.notices.push_back(Notice::Archive { listed: self.board.listed(), delivered, missing });
                self.ended = true;
            }
        }
        Ok(())
    }

    /// Nothing more comes: all has been said, or, with an error, cannot be. What is still to be told.
    pub fn close(&mut self, error: Option<&Error>) -> impl Iterator<Item = Notice> + use<> {
        self.reporter.close(error, self.frames.duplicates())
    }

    /// How the stream goes on behind all that has gone out, where it does; this reading is over then.
    pub fn continuation(&mut self) -> Option<Continuation> {
        if !self.range.goes_on_behind(&self.position) {
            return None;
        }
        let mut frames = std::mem::replace(&mut self.frames, FrameReader::new(fragment::Range::default()));
        let beginning = self.range.beginning.get().copied().unwrap_or_default();
        let lead = self.edges.as_ref().map_or(0, Edges::lead);
        frames.anchor(mode_of(self.range.on_demand.clock), beginning.saturating_sub(lead));
        let start = match frames.resume_point().whole {
            Some(last) => StartSelector::AfterFragment(last),
            // Nothing was stored from there on.
            None => {
                let from = self.position.segment.start().unwrap_or_default();
                let moment = beginning.saturating_add_unsigned(from.nseconds());
                let moment = UnixTime::from_nanoseconds(moment)?;
                match self.range.on_demand.clock {
                    Clock::Producer => StartSelector::ProducerTimestamp(moment),
                    Clock::Server => StartSelector::ServerTimestamp(moment),
                }
            }
        };
        Some(Continuation { start, frames, writing: self.writing.take(), lead })
    }

    /// The first fragment listed tells where the range begins that begins with it.
    fn open(&mut self, listed: &Listed) {
        if self.edges.is_some() {
            return;
        }
        let mut news = false;
        let beginning = *self.range.beginning.get_or_init(|| {
            news = true;
            listed.timestamp.saturating_mul(1_000_000)
        });
        if news {
            self.notices.push_back(Notice::Duration);
            let whole = self.range.whole();
            self.position.segment.set_stop(whole.segment.stop());
            self.position.segment.set_duration(whole.segment.duration());
        }
        let from = self.position.segment.start().unwrap_or_default();
        let mut start = beginning.saturating_add_unsigned(from.nseconds());
        if self.range.goes_on {
            // What is not kept any more is not waited for.
            start = start.max(listed.timestamp.saturating_mul(1_000_000));
        }
        let clock = self.range.on_demand.clock;
        let edges = Edges::new(clock, beginning, start, self.range.cut(&self.position))
            .snap(self.position.snap, self.position.keyframes_only);
        self.frames.anchor(mode_of(clock), edges.anchor());
        self.edges = Some(edges);
    }

    fn take(&mut self, listed: Listed, stored: Stored) {
        self.open(&listed);
        self.delivered = self.delivered.saturating_add(1);
        self.count();
        self.elements = stored.elements.into_iter();
        self.at_hand = Some(listed);
    }

    fn miss(&mut self, listed: Listed, reason: String) -> Result<(), Error> {
        self.missing = self.missing.saturating_add(1);
        self.count();
        self.frames.lose();
        if self.range.on_demand.fails_on_missing {
            return Err(Error::Missing { number: listed.number, reason });
        }
        let to = listed.timestamp.saturating_add(listed.length.into());
        self.notices.push_back(Notice::Gone { number: listed.number, from: listed.timestamp, to, reason });
        Ok(())
    }

    fn count(&self) {
        self.reporter.archive(self.board.listed(), self.delivered, self.missing);
    }

    /// Reads on in the fragment at hand; whether there is one.
    fn read(&mut self) -> Result<bool, Error> {
        let Some(edges) = &mut self.edges else { return Ok(false) };
        let Some(listed) = &self.at_hand else { return Ok(false) };
        let Some((element, offset)) = self.elements.next() else {
            if let Some(end) = self.frames.end_fragment() {
                self.offset = self.offset.saturating_add(end.size);
                edges.push(Output::End(end));
            }
            self.at_hand = None;
            return Ok(true);
        };
        match self.frames.take(element, self.offset.saturating_add(offset)) {
            Ok(output) => output.into_iter().for_each(|output| edges.push(output)),
            // It came whole, and makes no sense.
            Err(error) => {
                let listed = listed.clone();
                self.elements = Vec::new().into_iter();
                self.delivered = self.delivered.saturating_sub(1);
                self.miss(listed, error.to_string())?;
            }
        }
        Ok(true)
    }

    /// The segment of what goes out: as it was asked for, moved by what comes before the beginning of the range.
    fn segment(&self, opening: Opening) -> gst::FormattedSegment<gst::ClockTime> {
        let mut segment = self.position.segment.clone();
        let lead = gst::ClockTime::from_nseconds(opening.lead);
        let start = gst::ClockTime::from_nseconds(opening.start);
        segment.set_start(start + lead);
        segment.set_position(start + lead);
        segment.set_time(start);
        segment.set_stop(segment.stop().map(|stop| stop + lead));
        segment
    }
}

fn mode_of(clock: Clock) -> TimestampMode {
    match clock {
        Clock::Producer => TimestampMode::Producer,
        Clock::Server => TimestampMode::Server,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
