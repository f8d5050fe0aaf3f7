//! One reading of a range: from what is listed and fetched to the items of a pad.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::account::Account;
use super::board::{Board, MOST_YOUNG, Next};
use super::course::{as_it_is, course};
use super::patience::Attempts;
use super::{Position, Range, lane, lister};
use crate::aws::StartSelector;
use crate::fragment::{
    self, Backward, Clock, Cut, Edges, Fragment, FragmentNumber, FrameReader, Header, Listed, Opening, Output, Stored,
    Tail, Thinning, TimedBlock, TimestampMode, UnixTime,
};
use crate::kvssrc::error::Error;
use crate::kvssrc::notice::Notice;
use crate::kvssrc::report::Reporter;
use crate::kvssrc::session::Step;
use crate::kvssrc::statistics::Counts;
use crate::kvssrc::undescribed::Undescribed;
use crate::mkv::Element;
use crate::output::{self, Downstream, Item, Order, Queue, Writer, clock_time};

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
    cut: Option<Cut>,
    /// What is left of the fragment at hand, and how many bytes came before it.
    elements: std::vec::IntoIter<(Element, u64)>,
    offset: u64,
    at_hand: Option<Listed>,
    writing: Option<(Arc<Header>, Writer)>,
    undescribed: Undescribed,
    /// What goes to the pad. Backward, a run is gathered there first.
    queue: Queue,
    run_is_whole: bool,
    /// Comes behind a header that goes out first.
    opening: Option<TimedBlock>,
    /// By how many ns the times of what goes out are later, as the element knows it.
    later: u64,
    /// How far the frames that went out reach.
    reached: Option<gst::ClockTime>,
    notices: VecDeque<Notice>,
    /// What the tasks have to tell.
    told: mpsc::Receiver<Notice>,
    reporter: Reporter,
    delivered: u64,
    missing: u64,
    /// Of those that came, copies of others.
    repeated: u64,
    /// The greatest number of all that came or is missing: the service gives them in the order in which fragments come to
    /// it, and a producer's clock may have been set back meanwhile.
    newest: Option<FragmentNumber>,
    /// What could not be had before a stream that goes on, and behind all that could: it may be too young, and come yet.
    not_yet: VecDeque<(Listed, String)>,
    /// The presentation time, in ns, of the latest frame that is shown.
    latest: Option<u64>,
    ended: bool,
    /// Where the end was set on another clock than this, a fragment behind it has come.
    is_past_the_end: bool,
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
        let board = board.in_bulk(position.segment == range.whole().segment).goes_on(range.goes_on_behind(&position));
        let board = Arc::new(if position.is_backward() { board.backward() } else { board });
        let (account, told) = Account::new(Arc::clone(reporter.statistics()));
        let has_end = range.goes_on.is_none() || range.plan.range.end.is_some();
        let patience = range.plan.patience;
        let attempts = || Attempts::new(patience.for_failures(has_end), account.clone());
        reporter.archive(Counts::default());
        let (position, steps) = as_it_is(range, position);
        let (listing, selection) = course(range, &position);
        let selection = selection.thinned(steps).without_copies(range.plan.drops_duplicates);
        let tail = range.goes_on_behind(&position).then(Tail::default);
        let (archive, clock) = (archive.clone(), on_demand.clock);
        let lister = lister::run(archive.clone(), clock, listing, selection, tail, attempts(), Arc::clone(&board));
        let mut tasks = vec![runtime.spawn(lister).abort_handle()];
        for index in 0..on_demand.connections {
            let lane = lane::run(index, archive.clone(), attempts(), patience.for_absence(), Arc::clone(&board));
            tasks.push(runtime.spawn(lane).abort_handle());
        }
        // Of a stream that is followed, the end was set for all readings.
        let limits = if range.goes_on.is_some() { range.plan.range } else { fragment::Range::default() };
        let mut frames = FrameReader::new(limits);
        frames.drop_duplicates(range.plan.drops_duplicates);
        Self {
            range: Arc::clone(range),
            asked: position.segment.clone(),
            position,
            board,
            tasks,
            frames,
            cut: None,
            elements: Vec::new().into_iter(),
            offset: 0,
            at_hand: None,
            writing: None,
            undescribed: Undescribed::default(),
            queue: Queue::new(),
            run_is_whole: false,
            opening: None,
            later: 0,
            reached: None,
            notices: VecDeque::new(),
            told,
            reporter,
            delivered: 0,
            missing: 0,
            repeated: 0,
            newest: None,
            not_yet: VecDeque::new(),
            latest: None,
            ended: false,
            is_past_the_end: false,
        }
    }

    /// The next thing to do.
    ///
    /// # Errors
    ///
    /// A fragment is missing, where that is an error.
    pub fn step(&mut self) -> Result<Step, Error> {
        loop {
            let later = self.writing.as_ref().map_or(0, |(_, writer)| writer.later());
            if later != self.later {
                let before = std::mem::replace(&mut self.later, later);
                return Ok(Step::Later { before, later });
            }
            if let Some(step) = self.step_of_queue() {
                return Ok(step);
            }
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Step::Notice(notice));
            }
            if let Some(opening) = self.cut.as_mut().and_then(Cut::take_opening) {
                let segment = self.segment(opening);
                // The element knows that of the position.
                if segment != self.asked {
                    return Ok(Step::Segment(segment));
                }
            }
            let next = match self.opening.take() {
                Some(block) => Some(Output::Block(block)),
                None => self.cut.as_mut().and_then(Cut::pop),
            };
            match next {
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
                    if let Some((_, writer)) = &mut self.writing
                        && writer.open(&block, &mut self.queue)
                    {
                        self.opening = Some(block);
                        continue;
                    }
                    if !block.block.invisible {
                        self.latest = self.latest.max(Some(block.pts));
                    }
                    let later = self.cut.as_ref().map_or(0, |cut| cut.lead_time().saturating_neg());
                    let before = self.reporter.block(&block, later);
                    if let Some((_, writer)) = &mut self.writing {
                        writer.write(&block, &mut self.queue);
                    }
                    if !before.is_empty() {
                        return Ok(Step::Before(before));
                    }
                }
                Some(Output::End(end)) => {
                    self.run_is_whole = true;
                    if let Some((_, writer)) = &mut self.writing {
                        writer.end_fragment(&end, &mut self.queue);
                    }
                    self.notices.extend(self.reporter.end(&end, self.frames.duplicates()));
                }
                Some(Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd) => {}
                None => {
                    self.run_is_whole = true;
                    if self.queue.is_empty() && !self.read()? {
                        return if self.ended { self.undescribed.end().map(|()| Step::End) } else { Ok(Step::Receive) };
                    }
                }
            }
        }
    }

    /// These are the next that go out: backward, a run.
    pub fn put_back(&mut self, buffers: Vec<gst::Buffer>) {
        self.run_is_whole = true;
        buffers.into_iter().rev().for_each(|buffer| self.queue.push_front(Item::Buffer(buffer)));
    }

    /// These are what goes out next.
    pub fn put_back_caps(&mut self, caps: gst::Caps) {
        self.run_is_whole = true;
        self.queue.push_front(Item::Caps(caps));
    }

    /// Goes on with a fragment whose header is new, in a format that `downstream` takes.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub fn begin(&mut self, fragment: &Arc<Fragment>, downstream: &Downstream) -> Result<(), Error> {
        let before = self.writing.take().map(|(_, writer)| writer);
        let is_first = before.is_none();
        let header = &fragment.header;
        let plan = &self.range.plan;
        let (track, caps) = (plan.track.as_ref(), &plan.track_caps);
        let choice = output::writer(header, downstream, track, caps, plan.on_new_track, before);
        let mut writer = match self.undescribed.judge(fragment, choice)? {
            Ok((writer, left_out)) => {
                self.notices.extend(left_out.into_iter().map(Notice::TrackLeftOut));
                writer
            }
            Err(notice) => {
                self.notices.push_back(notice);
                return Ok(());
            }
        };
        if is_first {
            writer.play(Order::of(self.position.segment.upcast_ref()));
        }
        writer.begin_fragment(fragment, &mut self.queue);
        self.range.goes_out_as(writer.kinds());
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
            Next::Fragment(listed, stored) => {
                for (listed, reason) in std::mem::take(&mut self.not_yet) {
                    self.miss(listed, reason)?;
                }
                self.take(listed, stored);
            }
            Next::Missing(listed, reason) if self.range.goes_on_behind(&self.position) => {
                self.open(&listed);
                self.not_yet.push_back((listed, reason));
                if self.not_yet.len() as u64 > MOST_YOUNG
                    && let Some((listed, reason)) = self.not_yet.pop_front()
                {
                    self.miss(listed, reason)?;
                }
            }
            Next::Missing(listed, reason) => {
                self.open(&listed);
                self.miss(listed, reason)?;
            }
            Next::End => self.finish(),
        }
        Ok(())
    }

    /// All that is wanted has come.
    fn finish(&mut self) {
        if let Some(cut) = &mut self.cut {
            cut.finish();
        }
        self.count();
        let is_all = self.range.goes_on.is_none() && self.position.segment == self.range.whole().segment;
        if is_all && self.board.listed() == 0 {
            self.notices.push_back(Notice::Nothing);
        }
        self.notices.push_back(Notice::Archive(self.counts()));
        self.ended = true;
    }

    /// Nothing more comes: all has been said, or, with an error, cannot be. What is still to be told.
    pub fn close(&mut self, error: Option<&Error>) -> impl Iterator<Item = Notice> + use<> {
        self.reporter.close(error, self.frames.duplicates())
    }

    /// How the stream goes on behind all that has gone out, where it does; this reading is over then.
    pub fn continuation(&mut self) -> Option<Continuation> {
        if !self.range.goes_on_behind(&self.position) || self.is_past_the_end {
            return None;
        }
        let mut frames = std::mem::replace(&mut self.frames, FrameReader::new(self.range.plan.range));
        let beginning = self.range.beginning.get().copied().unwrap_or_default();
        let lead = self.cut.as_ref().map_or(0, Cut::lead_time);
        frames.anchor(timestamp_mode(self.range.on_demand.clock), beginning.saturating_sub(lead));
        let start = match self.newest.take() {
            Some(newest) => {
                frames.begin_behind(newest.clone());
                StartSelector::AfterFragment(newest)
            }
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

    /// Goes on with what another reading had begun to put together and to write.
    pub fn continued(mut self, before: Continuation) -> Self {
        self.frames = before.frames;
        self.writing = before.writing;
        if let Some((_, writer)) = &mut self.writing {
            writer.play(Order::of(self.position.segment.upcast_ref()));
        }
        self
    }

    /// The time behind the latest frame that is shown, in the segment that it went out in; `None` where there is none.
    pub fn behind_latest(&self) -> Option<gst::ClockTime> {
        self.latest.and_then(|latest| clock_time(latest.saturating_add(self.later).saturating_add(1)))
    }

    /// What went out last ended there, in time of the segment it went out in. The frames of a segment come in decoding
    /// order, so that others may have ended later.
    pub fn passed(&mut self, position: Option<gst::ClockTime>) {
        if !self.position.is_backward() {
            self.reached = self.reached.max(position);
        }
    }

    /// How far the frames that went out reach, where that is not where the last one ended.
    pub fn reached(&self) -> Option<gst::ClockTime> {
        self.reached
    }

    /// What of the queue goes out next.
    fn step_of_queue(&mut self) -> Option<Step> {
        if !self.position.is_backward() {
            return self.queue.pop_front().map(Step::Item);
        }
        if !std::mem::take(&mut self.run_is_whole) {
            return None;
        }
        // Backward, the base class marks the first buffer of a list only. Caps come before a run.
        let mut run = gst::BufferList::new();
        while let Some(Item::Buffer(_)) = self.queue.front() {
            if let (Some(Item::Buffer(buffer)), Some(run)) = (self.queue.pop_front(), run.get_mut()) {
                run.add(buffer);
            }
        }
        let step = if run.is_empty() { self.queue.pop_front().map(Step::Item) } else { Some(Step::Run(run)) };
        // Where other caps lie in between, the rest follows at once.
        self.run_is_whole = !self.queue.is_empty();
        step
    }

    /// The first fragment listed tells where the range begins that begins with it.
    fn open(&mut self, listed: &Listed) {
        if self.cut.is_some() {
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
        let (mut start, end) = (self.range.moment(from), self.range.cut(&self.position));
        if self.range.goes_on.is_some() && !self.position.is_backward() {
            // What is not kept any more is not waited for.
            start = start.max(listed.timestamp.saturating_mul(1_000_000));
        }
        let Position { snap, trick, .. } = self.position;
        let clock = self.range.on_demand.clock;
        let cut = match self.position.is_backward() {
            false => {
                let edges = Edges::new(clock, beginning, start, end).snap(snap).trick(trick, Thinning::default());
                Cut::Forward(edges)
            }
            true => Cut::Backward(Backward::new(clock, beginning, start, end, snap).trick(trick)),
        };
        self.frames.anchor(timestamp_mode(clock), cut.anchor());
        self.cut = Some(cut);
    }

    fn take(&mut self, listed: Listed, stored: Stored) {
        self.open(&listed);
        if let Some(cut @ Cut::Backward(_)) = &self.cut {
            // Each fragment lies at its own time, whatever came before it.
            self.frames.anchor(timestamp_mode(self.range.on_demand.clock), cut.anchor());
        }
        self.delivered = self.delivered.saturating_add(1);
        self.newest = self.newest.take().max(Some(listed.number.clone()));
        self.count();
        self.elements = stored.elements.into_iter();
        self.at_hand = Some(listed);
    }

    fn miss(&mut self, listed: Listed, reason: String) -> Result<(), Error> {
        self.missing = self.missing.saturating_add(1);
        self.newest = self.newest.take().max(Some(listed.number.clone()));
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
        self.reporter.archive(self.counts());
    }

    fn counts(&self) -> Counts {
        let (delivered, missing) = (self.delivered, self.missing);
        let duplicates = self.repeated.saturating_add(self.board.copies());
        Counts { listed: self.board.listed(), delivered, missing, duplicates }
    }

    /// Reads on in the fragment at hand; whether there is one.
    fn read(&mut self) -> Result<bool, Error> {
        if self.at_hand.is_none() {
            return Ok(false);
        }
        let taken = match self.elements.next() {
            Some((element, offset)) => self.frames.take(element, self.offset.saturating_add(offset)),
            None => {
                self.offset = self.offset.saturating_add(self.frames.end_fragment());
                self.drain();
                self.at_hand = None;
                return Ok(true);
            }
        };
        match taken {
            Ok(output) => {
                output.into_iter().for_each(|output| self.put(output));
                self.drain();
            }
            // It came whole, and makes no sense.
            Err(error) => {
                self.elements = Vec::new().into_iter();
                self.delivered = self.delivered.saturating_sub(1);
                if let Some(listed) = self.at_hand.clone() {
                    self.miss(listed, error.to_string())?;
                }
            }
        }
        Ok(true)
    }

    /// All that the elements so far mean.
    fn drain(&mut self) {
        while let Some(output) = self.frames.ready() {
            self.put(output);
        }
    }

    fn put(&mut self, output: Output) {
        match output {
            // Backward, it is the beginning, and what is wanted follows.
            Output::RangeEnd if !self.position.is_backward() => self.pass_the_end(),
            Output::Dropped(dropped) => self.notices.push_back(self.reporter.dropped(dropped)),
            Output::Repeated(_) => {
                self.delivered = self.delivered.saturating_sub(1);
                self.repeated = self.repeated.saturating_add(1);
                self.count();
            }
            output => {
                if let Some(cut) = &mut self.cut {
                    cut.push(output);
                }
            }
        }
    }

    /// The fragment at hand begins after the end of a range that was set for all readings.
    fn pass_the_end(&mut self) {
        // Nothing of it is told.
        self.frames.end_fragment();
        while self.frames.ready().is_some() {}
        let came_late = self.at_hand.take().is_some_and(|listed| self.range.is_before_the_end(&listed));
        self.is_past_the_end = true;
        self.delivered = self.delivered.saturating_sub(1);
        self.elements = Vec::new().into_iter();
        if !came_late {
            self.stop();
            self.finish();
        }
    }

    /// No more calls are made.
    fn stop(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    /// The segment of what goes out: as it was asked for, moved by what comes before the beginning of the range.
    fn segment(&self, opening: Opening) -> gst::FormattedSegment<gst::ClockTime> {
        let mut segment = self.position.segment.clone();
        let lead = clock_time(opening.lead.saturating_add(self.later)).unwrap_or_default();
        let start = clock_time(opening.start).unwrap_or_default();
        let stop = opening.stop.and_then(clock_time).or(segment.stop());
        let stop = stop.map(|stop| stop.saturating_add(lead));
        segment.set_start(start.saturating_add(lead));
        segment.set_time(start);
        segment.set_stop(stop);
        segment.set_position(if self.position.is_backward() { stop } else { segment.start() });
        segment
    }
}

fn timestamp_mode(clock: Clock) -> TimestampMode {
    match clock {
        Clock::Producer => TimestampMode::Producer,
        Clock::Server => TimestampMode::Server,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}
