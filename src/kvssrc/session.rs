//! One reading of a stream over all its connections: what has come, what is to go out, and how it goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::ahead::Opener;
use super::checkpoint::Checkpoint;
use super::dvr::Watch;
use super::error::Error;
use super::idle::Idle;
use super::link::{Event, Link};
use super::notice::Notice;
use super::pace::Pace;
use super::report::Reporter;
use super::settings::{Live, Patience, Plan};
use super::undescribed::Undescribed;
use crate::aws::{self, ArrivalClock, Consumer, Recovery, StartSelector, Unrenewed};
use crate::fragment::{self, Arrival, Fragment, FragmentNumber, FrameReader, Header, Output, TimedBlock, UnixTime};
use crate::output::{self, Downstream, Item, OnNewTrack, Order, Queue, TrackCaps, TrackSelector, Writer, clock_time};

/// How long the head of a stream is watched for more of a range that is over.
const IDLE_IN_THE_PAST: Duration = Duration::from_secs(10);

/// From the bytes of connections to the items of a pad.
pub struct Session {
    link: Link,
    frames: FrameReader,
    checkpoint: Option<Checkpoint>,
    track: Option<TrackSelector>,
    track_caps: TrackCaps,
    on_new_track: OnNewTrack,
    writing: Option<(Arc<Header>, Writer)>,
    undescribed: Undescribed,
    queue: Queue,
    notices: VecDeque<Notice>,
    reporter: Reporter,
    /// Told where the reading is, where one can go back in it.
    watch: Option<Watch>,
    stream_time: Option<gst::ClockTime>,
    /// Comes behind a header that goes out first.
    opening: Option<TimedBlock>,
    /// By how many ns the times of what goes out are later, as the element knows it.
    later: u64,
    /// Whole, and gone out; the checkpoint is to name it.
    accepted: Option<FragmentNumber>,
    opener: Opener,
    /// What the running times of what comes are counted from, in ns on the reading's clock.
    base_time: Option<u64>,
    /// The start that the connection at hand began with.
    start: StartSelector,
    end: Option<UnixTime>,
    patience: Patience,
    /// Nothing more will be asked of the service.
    ended: bool,
    /// The connection at hand has brought something new.
    progressed: bool,
    /// Any connection has.
    anything: bool,
    /// The connection at hand stands.
    connected: bool,
    /// The last connection ended well.
    ended_well: bool,
    idle: Idle,
}

/// What a session asks of its element.
#[derive(Debug)]
pub enum Step {
    /// Push this.
    Item(Item),
    /// Push all of this at once.
    Run(gst::BufferList),
    /// Tell the application, or downstream.
    Notice(Notice),
    /// Tell this before all else.
    Before(Vec<Notice>),
    /// What is pushed from now on belongs to this segment.
    Segment(gst::FormattedSegment<gst::ClockTime>),
    /// In the segment at hand, presentation time 0 has this stream time.
    StreamTime(gst::ClockTime),
    /// The times of what is pushed from now on are later by other so many ns than before, and so is the segment at hand.
    Later { before: u64, later: u64 },
    /// Ask downstream what it takes, and go on with [`Session::begin`].
    Negotiate(Arc<Fragment>),
    /// Wait for [`Session::receive`].
    Receive,
    /// All that was asked for has gone out.
    End,
}

/// Why a connection is over.
enum Failure {
    Clean,
    Call(aws::Error),
    Body(fragment::Error),
}

impl Session {
    /// Nothing is asked of the service yet. A live reading is timed by `clock`.
    ///
    /// # Errors
    ///
    /// There is a checkpoint that cannot be used.
    pub fn new(
        runtime: &Handle,
        plan: &Plan,
        clock: ArrivalClock,
        reporter: Reporter,
        watch: Option<Watch>,
    ) -> Result<Self, Error> {
        let consumer = Consumer::new(runtime, plan.request.clone(), plan.live.map(|_| clock));
        let mut frames = FrameReader::new(plan.range);
        frames.drop_duplicates(plan.drops_duplicates);
        frames.time_by(plan.timestamp_mode, plan.live.map(Live::drift_limit));
        let accepted = plan.checkpoint.as_ref().map(Checkpoint::read).transpose()?.flatten();
        let start = match accepted {
            Some(fragment) => {
                frames.begin_behind(fragment.clone());
                StartSelector::AfterFragment(fragment)
            }
            None => plan.request.start.clone(),
        };
        if start != StartSelector::Now {
            frames.catch_up();
        }
        let opener = Opener::new(consumer, start.clone(), plan.live.is_some());
        Ok(Self {
            link: Link::new(opener.clone(), start.clone(), frames.resume_point()),
            frames,
            checkpoint: plan.checkpoint.clone(),
            track: plan.track.clone(),
            track_caps: plan.track_caps.clone(),
            on_new_track: plan.on_new_track,
            writing: None,
            undescribed: Undescribed::default(),
            queue: Queue::new(),
            notices: VecDeque::new(),
            reporter,
            watch,
            stream_time: None,
            opening: None,
            later: 0,
            accepted: None,
            opener,
            base_time: None,
            start,
            end: plan.range.end,
            patience: plan.patience,
            ended: false,
            progressed: false,
            anything: false,
            connected: false,
            ended_well: false,
            idle: Idle::new(Instant::now()),
        })
    }

    /// Goes on where a reading of the archive ended, with what it had begun to put together and to write.
    pub fn continued(mut self, frames: FrameReader, writing: Option<(Arc<Header>, Writer)>) -> Self {
        self.frames = frames;
        self.frames.resume(false);
        self.link = Link::new(self.opener.clone(), self.start.clone(), self.frames.resume_point());
        self.writing = writing;
        if let Some((_, writer)) = &mut self.writing {
            // The segment goes on.
            self.later = writer.later();
            writer.go_on_as(Order::Decoding);
        }
        self
    }

    /// The next thing to do.
    ///
    /// # Errors
    ///
    /// The stream cannot go on; all that came before has gone out.
    pub fn step(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(time) = self.stream_time.take() {
                return Ok(Step::StreamTime(time));
            }
            let later = self.writing.as_ref().map_or(0, |(_, writer)| writer.later());
            if later != self.later {
                let before = std::mem::replace(&mut self.later, later);
                return Ok(Step::Later { before, later });
            }
            if let Some(item) = self.queue.pop_front() {
                return Ok(Step::Item(item));
            }
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Step::Notice(notice));
            }
            if let (Some(checkpoint), Some(number)) = (&self.checkpoint, self.accepted.take()) {
                checkpoint.write(&number)?;
            }
            let next = match self.opening.take() {
                Some(block) => Ok(Some(Output::Block(block))),
                None => self.frames.next(),
            };
            match next {
                Ok(Some(Output::Start(fragment))) => {
                    self.progress();
                    self.reporter.begin(&fragment);
                    if let Some(watch) = &mut self.watch {
                        watch.begin(&fragment);
                    }
                    if let Some(correction) = self.frames.take_correction() {
                        self.notices.push_back(Notice::Corrected { correction });
                    }
                    if fragment.after_loss {
                        self.notices.extend(Notice::missing(self.frames.captured_until(), fragment.start()));
                    }
                    match &mut self.writing {
                        Some((header, writer)) if Arc::ptr_eq(header, &fragment.header) => {
                            writer.begin_fragment(&fragment, &mut self.queue);
                        }
                        _ => return Ok(Step::Negotiate(fragment)),
                    }
                }
                Ok(Some(Output::Block(block))) => {
                    if let Some((_, writer)) = &mut self.writing
                        && writer.open(&block, &mut self.queue)
                    {
                        self.opening = Some(block);
                        continue;
                    }
                    self.idle.heard();
                    if !self.progressed {
                        self.progress();
                    }
                    let lead = self.watch.as_mut().and_then(|watch| watch.frame(&block));
                    let before = self.reporter.block(&block, self.watch.as_ref().map_or(0, Watch::later));
                    if let Some((_, writer)) = &mut self.writing {
                        writer.write(&block, &mut self.queue);
                    }
                    self.stream_time = lead.filter(|lead| *lead > 0).and_then(clock_time);
                    if !before.is_empty() {
                        return Ok(Step::Before(before));
                    }
                }
                Ok(Some(Output::End(end))) => {
                    self.idle.fragment_over();
                    if let Some(watch) = &self.watch {
                        watch.end(&end, self.frames.captured_until());
                    }
                    // All of its frames have gone out: the queue was empty, and whatever is asked for next comes behind it.
                    if let Some((_, writer)) = &mut self.writing {
                        writer.end_fragment(&end, &mut self.queue);
                    }
                    self.notices.extend(self.reporter.end(&end, self.frames.duplicates()));
                    self.accepted = end.number;
                }
                Ok(Some(Output::Dropped(dropped))) => {
                    self.progress();
                    self.notices.push_back(self.reporter.dropped(dropped));
                }
                Ok(Some(Output::Repeated(end))) => {
                    self.idle.fragment_over();
                    self.reporter.repeated(&end, self.frames.duplicates());
                    self.accepted = end.number;
                }
                Ok(Some(Output::RangeEnd)) => return self.undescribed.end().map(|()| Step::End),
                Ok(None) if self.ended && !self.frames.release() => {
                    return self.undescribed.end().map(|()| Step::End);
                }
                Ok(None) if self.ended => {}
                Ok(None) => return Ok(Step::Receive),
                Err(error) => self.ended = self.over(Failure::Body(error))?,
            }
        }
    }

    /// These are the next that go out.
    pub fn put_back(&mut self, buffers: Vec<gst::Buffer>) {
        buffers.into_iter().rev().for_each(|buffer| self.queue.push_front(Item::Buffer(buffer)));
    }

    /// These are what goes out next.
    pub fn put_back_caps(&mut self, caps: gst::Caps) {
        self.queue.push_front(Item::Caps(caps));
    }

    /// Goes on with a fragment whose header is new, in a format that `downstream` takes.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub fn begin(&mut self, fragment: &Arc<Fragment>, downstream: &Downstream) -> Result<(), Error> {
        let before = self.writing.take().map(|(_, writer)| writer);
        let header = &fragment.header;
        let (track, caps) = (self.track.as_ref(), &self.track_caps);
        let choice = output::writer(header, downstream, track, caps, self.on_new_track, before);
        let was_left_out = self.undescribed.is_run();
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
        if was_left_out {
            self.frames.lose();
        }
        writer.begin_fragment(fragment, &mut self.queue);
        self.reporter.header(header);
        self.writing = Some((Arc::clone(header), writer));
        Ok(())
    }

    /// Waits for the next thing that the connection brings. Nothing is lost where the future is dropped. `base_time` is
    /// what the reading's clock showed at running time 0, in ns.
    ///
    /// # Errors
    ///
    /// The connection failed in a way that no other connection would mend.
    pub async fn receive(&mut self, base_time: u64) -> Result<(), Error> {
        self.idle.wait_begins(Instant::now());
        let event = self.link.next(self.idle_at()).await;
        self.idle.wait_ends(Instant::now());
        match event {
            Event::Connecting(attempt) => self.notices.push_back(Notice::Connecting { attempt }),
            Event::Began(stage) => self.notices.extend(self.reporter.stage(stage)),
            Event::Connected => {
                self.connected = true;
                self.notices.extend(self.reporter.connected());
                if !self.ended_well {
                    self.idle.begin_anew();
                }
                self.notices.push_back(Notice::Connected);
            }
            Event::Unrenewed(Unrenewed { error, expiration }) => {
                self.notices.push_back(Notice::Unrenewed { reason: error.to_string(), expiration });
            }
            Event::Bytes(bytes, arrival) => {
                self.reporter.received(bytes.len());
                self.idle.received();
                if let Some(aws::Arrival { time, waited }) = arrival {
                    // It only ever goes back where another clock is taken.
                    let before = self.base_time.replace(base_time).unwrap_or(base_time);
                    if let Some(pause @ 1..) = base_time.checked_sub(before) {
                        self.frames.paused(i64::try_from(pause).unwrap_or(i64::MAX));
                    }
                    // What came before the clock was started anew, as by a pause, came before running time 0.
                    let running_time = 0_i64.saturating_add_unsigned(time).saturating_sub_unsigned(base_time);
                    self.frames.arrived(Arrival { running_time, waited });
                }
                self.frames.push(bytes);
            }
            Event::Over(None) => self.ended = self.over(Failure::Clean)?,
            Event::Over(Some(error)) => self.ended = self.over(Failure::Call(error))?,
            Event::Idle => self.ended = true,
        }
        Ok(())
    }

    /// Nothing more comes: all has been said, or, with an error, cannot be. What is still to be told.
    pub fn close(&mut self, error: Option<&Error>) -> impl Iterator<Item = Notice> + use<> {
        self.reporter.close(error, self.frames.duplicates())
    }

    /// When the stream ends for want of anything new.
    fn idle_at(&self) -> Option<Instant> {
        // Time in which the service is not there is not counted, nor a fragment that falls silent half-way, unless that was
        // asked for: the read timeout watches over these.
        let counts = self.connected && (!self.idle.is_under_way() || self.patience.idle.is_some());
        self.idle_timeout().filter(|_| counts).map(|timeout| self.idle.reaches(timeout))
    }

    /// How long nothing new may come before that is the end.
    fn idle_timeout(&self) -> Option<Duration> {
        self.patience.idle.or_else(|| self.end_is_past().then_some(IDLE_IN_THE_PAST))
    }

    fn end_is_past(&self) -> bool {
        self.end.is_some_and(|end| UnixTime::now().is_some_and(|now| end <= now))
    }

    fn progress(&mut self) {
        self.progressed = true;
        self.anything = true;
        self.idle.heard();
        self.link.progressed();
    }

    /// A connection is over: prepares the next one; whether that is the end of the stream instead.
    fn over(&mut self, failure: Failure) -> Result<bool, Error> {
        let progressed = std::mem::take(&mut self.progressed);
        let was_connected = std::mem::take(&mut self.connected);
        let point = self.frames.resume_point();
        let was_under_way = self.idle.connection_over(point.partial.is_some());
        let resumable = point.whole.is_some() || point.partial.is_some();
        let cut = self.frames.finish().err();

        if let Failure::Call(error) = &failure {
            self.reporter.failed(error);
        }
        let mut reason = match (&failure, &cut) {
            (Failure::Clean, None) => "the service ended it".to_owned(),
            (Failure::Clean, Some(cut)) => format!("it was cut: {cut}"),
            (Failure::Call(error), _) => error.to_string(),
            (Failure::Body(error), _) => error.to_string(),
        };
        if self.anything && !resumable {
            // Nothing tells two fragments of such a stream apart.
            return match failure {
                Failure::Clean | Failure::Call(aws::Error::Body { .. } | aws::Error::Silent { .. }) => {
                    if cut.is_some() || !matches!(failure, Failure::Clean) {
                        self.notices.push_back(Notice::Cut { reason });
                    }
                    Ok(true)
                }
                Failure::Call(error) => Err(error.into()),
                Failure::Body(error) => Err(error.into()),
            };
        }
        // Between two fragments a camera may be silent, which is no failure.
        let is_silent = matches!(failure, Failure::Call(aws::Error::Silent { .. })) && was_connected && !was_under_way;
        let ends_well = (is_silent || matches!(failure, Failure::Clean)) && cut.is_none();
        let ended_well = std::mem::replace(&mut self.ended_well, ends_well);
        if ends_well && !is_silent && ended_well && !progressed && self.end_is_past() {
            // Nothing was behind what the connection before had brought.
            return Ok(true);
        }
        if ends_well && self.idle_timeout().is_some_and(|timeout| self.idle.has_reached(timeout, Instant::now())) {
            return Ok(true);
        }
        let recovery = match &failure {
            Failure::Clean => Recovery::Retry,
            Failure::Call(error) => error.recovery(),
            Failure::Body(error) => recovery_of(error),
        };
        if ends_well {
            self.link.stood();
        }
        let mut after_loss = false;
        let mut pace = Pace::after(progressed, ends_well);
        self.start = match recovery {
            Recovery::Retry => self.opener.start_behind(&point),
            Recovery::StartElsewhere
                if self.start != StartSelector::Earliest && (resumable || self.start.is_a_time()) =>
            {
                reason.push_str(", so that reading goes on with the earliest fragment there is");
                after_loss = resumable;
                pace = Pace::AtOnce;
                StartSelector::Earliest
            }
            Recovery::StartElsewhere | Recovery::None => return Err(failure.into()),
        };
        if !ends_well && !progressed && self.link.has_failed_for(self.retry_timeout()) {
            return Err(match failure {
                Failure::Clean => Error::Interrupted(reason),
                failure => failure.into(),
            });
        }
        self.frames.resume(after_loss);
        let delay = self.link.reconnect(self.start.clone(), point, pace);
        self.notices.extend(self.reporter.reconnecting(reason, delay, self.frames.duplicates()));
        Ok(false)
    }

    /// How long calls may fail in a row; `None`: for ever.
    fn retry_timeout(&self) -> Option<Duration> {
        self.patience.for_failures(self.end.is_some())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Clean => Self::Interrupted("the service ended the connection".to_owned()),
            Failure::Call(error) => error.into(),
            Failure::Body(error) => error.into(),
        }
    }
}

/// Whether a new connection may do better than one whose body held this.
///
/// From the error ids of `GetMedia` in the
/// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_GetMedia.html).
pub(super) fn recovery_of(error: &fragment::Error) -> Recovery {
    match error {
        fragment::Error::Service { id, .. } => match id.as_str() {
            "3002" | "4503" | "5000" => Recovery::Retry,
            "4000" => Recovery::StartElsewhere,
            _ => Recovery::None,
        },
        fragment::Error::Matroska(_) | fragment::Error::NoTracks { .. } => Recovery::None,
    }
}
