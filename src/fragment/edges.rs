//! The exact edges of a range: which frames lie in it, and which others they cannot be decoded without.

use std::collections::VecDeque;
use std::sync::Arc;

use super::snap::{Snap, Snapping};
use super::trick::{Thinning, Trick};
use super::{Clock, Fragment, Output, TimedBlock, UnixTime};
use crate::mkv::TrackKind;

/// How much earlier than the range time is anchored, in ns, so that no frame that is needed lies before 0: more than two
/// maximal fragments ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)).
const ANCHOR: i64 = 30_000_000_000;

/// How many fragments may end while a keyframe is looked for behind the place where it was wanted.
const SNAP_PATIENCE: u8 = 2;

/// What is known once the first frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// By how many ns presentation times are later than the distance from the range's beginning.
    pub lead: u64,
    /// How far from the range's beginning frames that are shown may lie, in ns.
    pub start: u64,
    /// The same of their end, where that is not where it was asked for.
    pub stop: Option<u64>,
}

/// Cuts frames to a range, all moments in ns since 1970.
///
/// Frames before the range that its first video frames need come from their keyframe on, and frames behind it where one
/// that follows them needs them; both are invisible. Presentation time is the distance from `origin`, and as much more
/// as the frames before it take.
#[derive(Debug)]
pub struct Edges {
    clock: Clock,
    origin: i64,
    start: i64,
    end: i64,
    trick: Trick,
    thinning: Thinning,
    state: State,
    opening: Option<Opening>,
    /// By how many ns presentation times are later; at least so many.
    lead: i64,
    fragment: Option<Arc<Fragment>>,
    /// Video behind the end that a frame before it may still need.
    past: Vec<TimedBlock>,
    ready: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    /// It is not known yet which keyframe the range begins with.
    Snapping {
        snapping: Snapping,
        held: Vec<Output>,
        behind: bool,
        patience: u8,
    },
    /// It is not known yet what the first frames need.
    Before {
        held: Vec<Held>,
        /// The video tracks whose first frame of the range has come.
        begun: Vec<usize>,
        inside: bool,
    },
    Inside,
}

/// Something that goes out once the first frames are known.
#[derive(Debug)]
enum Held {
    Start(Arc<Fragment>),
    /// A block at a time of the range's clock.
    Block(Box<TimedBlock>, i64, bool),
}

impl Edges {
    /// The frames from `start` to `end` of a range that begins at `origin`.
    pub fn new(clock: Clock, origin: i64, start: i64, end: i64) -> Self {
        Self {
            clock,
            origin,
            start,
            end,
            trick: Trick::default(),
            thinning: Thinning::default(),
            state: State::before(),
            opening: None,
            lead: 0,
            fragment: None,
            past: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Which keyframe to begin with.
    pub fn snap(mut self, snap: Snap) -> Self {
        if snap != Snap::Exact {
            let snapping = Snapping::new(snap, self.start);
            self.state = State::Snapping { snapping, held: Vec::new(), behind: false, patience: SNAP_PATIENCE };
        }
        self
    }

    /// What to leave out.
    pub fn trick(mut self, trick: Trick, thinning: Thinning) -> Self {
        self.trick = trick;
        self.thinning = thinning;
        self
    }

    /// What was left out.
    pub fn into_thinning(self) -> Thinning {
        self.thinning
    }

    /// By how many ns presentation times are later at least.
    pub fn lead(mut self, lead: i64) -> Self {
        self.lead = lead;
        self
    }

    /// The moment that the frames that come in here must have for presentation time 0.
    pub fn anchor(&self) -> i64 {
        self.origin.saturating_sub(ANCHOR)
    }

    /// By how many ns presentation times are later than the distance from the range's beginning.
    pub fn lead_time(&self) -> i64 {
        self.lead
    }

    /// Takes in what was read.
    pub fn push(&mut self, output: Output) {
        let State::Snapping { snapping, held, behind, patience } = &mut self.state else { return self.take(output) };
        let mut begin = None;
        match &output {
            Output::Start(fragment) => self.fragment = Some(Arc::clone(fragment)),
            Output::Block(block) => {
                let Some(fragment) = &self.fragment else { return };
                let time = time_of(self.clock, fragment, block);
                *behind |= time >= self.start;
                // The first video track leads.
                match video_tracks(fragment).next() {
                    Some(leading) if block.track == Some(leading) && time < self.end => {
                        begin = snapping.frame(time, block.block.keyframe);
                    }
                    Some(_) => {}
                    // Any frame of sound is as good as a keyframe.
                    None => begin = Some(self.start),
                }
            }
            Output::End(_) if *behind => {
                *patience = patience.saturating_sub(1);
                begin = (*patience == 0).then(|| snapping.finish());
            }
            Output::End(_) | Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => {}
        }
        held.push(output);
        if let Some(begin) = begin {
            self.begin_at(begin);
        }
    }

    /// What was held comes anew, for a range that begins here.
    fn begin_at(&mut self, begin: i64) {
        if let State::Snapping { held, .. } = std::mem::replace(&mut self.state, State::before()) {
            self.start = begin;
            held.into_iter().for_each(|output| self.take(output));
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Start(fragment) => {
                self.past.clear();
                self.fragment = Some(Arc::clone(&fragment));
                match &mut self.state {
                    State::Before { held, .. } => held.push(Held::Start(fragment)),
                    State::Inside | State::Snapping { .. } => self.ready.push_back(Output::Start(fragment)),
                }
            }
            Output::Block(block) => self.push_block(block),
            Output::End(end) => {
                // A track that is silent for longer than a fragment keeps no other one waiting.
                if matches!(self.state, State::Before { inside: true, .. }) {
                    self.open();
                }
                if matches!(self.state, State::Inside) {
                    self.ready.push_back(Output::End(end));
                }
            }
            Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => {}
        }
    }

    /// What goes out next.
    pub fn pop(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    /// Nothing follows.
    pub fn finish(&mut self) {
        if let State::Snapping { snapping, .. } = &self.state {
            self.begin_at(snapping.finish());
        }
        if matches!(self.state, State::Before { inside: true, .. }) {
            self.open();
        }
    }

    /// What is known of the beginning, once, before the first frame goes out.
    pub fn take_opening(&mut self) -> Option<Opening> {
        self.opening.take()
    }

    fn push_block(&mut self, mut block: TimedBlock) {
        let Some(fragment) = &self.fragment else { return };
        let time = time_of(self.clock, fragment, &block);
        let video_tracks: Vec<usize> = video_tracks(fragment).collect();
        let track = block.track;
        let video = track.is_some_and(|track| video_tracks.contains(&track));
        if !video_tracks.is_empty() && !video && self.trick.without_audio {
            return;
        }
        if let (true, Some(steps)) = (video, self.trick.keyframes) {
            // Nothing that is shown needs a frame outside of the range.
            let inside = (self.start..self.end).contains(&time);
            if !(inside && block.block.keyframe && self.thinning.wants(track, steps.of(time))) {
                return;
            }
        }
        if time >= self.end {
            if video && matches!(self.state, State::Inside) {
                block.block.invisible = true;
                self.past.push(block);
            }
            return;
        }
        match &mut self.state {
            State::Inside | State::Snapping { .. } => {
                if video && !self.past.is_empty() {
                    let (needed, others) = self.past.drain(..).partition(|past| past.track == track);
                    self.past = others;
                    let needed: Vec<TimedBlock> = needed;
                    for past in needed {
                        self.give(past);
                    }
                }
                // A frame that is shown before the beginning, behind one in decoding order that is not.
                if video {
                    hide_before(&mut block, time, self.start);
                }
                if video || time >= self.start {
                    self.give(block);
                }
            }
            State::Before { held, begun, inside } => {
                let of_track = |held: &Held| matches!(held, Held::Block(block, ..) if block.track == track);
                let first = video && !track.is_some_and(|track| begun.contains(&track));
                if first && block.block.keyframe {
                    held.retain(|held| !of_track(held));
                }
                let early = time < self.start;
                if early && !video {
                    return;
                }
                if early && video && !block.block.keyframe && !held.iter().any(of_track) {
                    return;
                }
                held.push(Held::Block(Box::new(block), time, video));
                if !early {
                    *inside = true;
                    begun.extend(track.filter(|_| first));
                    if video_tracks.iter().all(|track| begun.contains(track)) {
                        self.open();
                    }
                }
            }
        }
    }

    /// What was held goes out.
    fn open(&mut self) {
        let State::Before { held, .. } = std::mem::replace(&mut self.state, State::Inside) else { return };
        let video_start = held.iter().filter_map(|held| match held {
            Held::Block(_, time, true) => Some(*time),
            _ => None,
        });
        let video_start = video_start.min().unwrap_or(self.start);
        self.lead = self.origin.saturating_sub(video_start).max(self.lead);
        self.opening = Some(Opening {
            lead: u64::try_from(self.lead).unwrap_or(0),
            start: u64::try_from(self.start.saturating_sub(self.origin)).unwrap_or(0),
            stop: None,
        });
        let mut fragment = None;
        for held in held {
            match held {
                Held::Start(start) => fragment = Some(start),
                Held::Block(mut block, time, video) => {
                    if !video && time < self.start {
                        continue;
                    }
                    if let Some(fragment) = fragment.take() {
                        self.ready.push_back(Output::Start(fragment));
                    }
                    hide_before(&mut block, time, self.start);
                    self.give(*block);
                }
            }
        }
        if let Some(fragment) = fragment {
            self.ready.push_back(Output::Start(fragment));
        }
    }

    fn give(&mut self, mut block: TimedBlock) {
        let earlier = u64::try_from(ANCHOR.saturating_sub(self.lead)).unwrap_or(0);
        block.pts = block.pts.saturating_sub(earlier);
        self.ready.push_back(Output::Block(block));
    }
}

impl State {
    fn before() -> Self {
        Self::Before { held: Vec::new(), begun: Vec::new(), inside: false }
    }
}

/// When a block was captured, on the range's clock.
pub(super) fn time_of(clock: Clock, fragment: &Fragment, block: &TimedBlock) -> i64 {
    let begin = match clock {
        Clock::Producer => fragment.producer_timestamp,
        Clock::Server => fragment.server_timestamp,
    };
    let begin = begin.map_or(fragment.start(), UnixTime::nanoseconds);
    begin.saturating_add(block.capture_time.saturating_sub(fragment.start()))
}

/// The indices of the video tracks.
pub(super) fn video_tracks(fragment: &Fragment) -> impl Iterator<Item = usize> + '_ {
    let tracks = fragment.header.tracks.tracks.iter().enumerate();
    tracks.filter(|(_, track)| matches!(track.kind, TrackKind::Video(_))).map(|(index, _)| index)
}

/// Makes a block invisible that begins before the start, and no longer than up to there: timestamps are rounded to ms and
/// durations are not, so that a sliver of the last one would be shown else.
fn hide_before(block: &mut TimedBlock, time: i64, start: i64) {
    let left = u64::try_from(start.saturating_sub(time)).unwrap_or(0);
    if left > 0 {
        block.block.invisible = true;
        block.frame_duration = block.frame_duration.map(|duration| duration.min(left));
    }
}

#[cfg(test)]
pub(super) mod tests;
