//! A range from its end to its beginning: whole fragments, the last one first, the frames of each in decoding order.

use std::collections::VecDeque;

use super::edges::{time_of, video_tracks};
use super::snap::{Snap, Snapping};
use super::trick::{Thinning, Trick};
use super::{Clock, Edges, Listing, Opening, Output};

/// Cuts fragments that come in descending order to a range, all moments in ns since 1970.
///
/// What goes out of one fragment is a run: its first frame does not follow from what came before, and is marked so;
/// decoders turn round what lies between two such marks. Frames that are only decoded come as in [`Edges`].
#[derive(Debug)]
pub struct Backward {
    clock: Clock,
    origin: i64,
    start: i64,
    end: i64,
    /// It is not known yet which keyframe the range ends with.
    snapping: Option<Ending>,
    trick: Trick,
    thinning: Thinning,
    /// By how much presentation times are later, since frames before the range may be needed.
    lead: i64,
    opening: Option<Opening>,
    /// What came of the fragment at hand.
    held: Vec<Output>,
    ready: VecDeque<Output>,
}

/// Looks for that keyframe: it lies in the fragment that holds the end, or begins the one behind it.
#[derive(Clone, Copy, Debug)]
struct Ending {
    snap: Snap,
    behind: Option<i64>,
}

impl Backward {
    /// The frames from `end` back to `start` of a range that begins at `origin`. The end moves to a keyframe.
    pub fn new(clock: Clock, origin: i64, start: i64, end: i64, snap: Snap) -> Self {
        let lead = origin.saturating_add(Listing::reach().saturating_mul(1_000_000)).saturating_sub(start).max(0);
        let snapping = (snap != Snap::Exact).then_some(Ending { snap, behind: None });
        let mut this = Self {
            clock,
            origin,
            start,
            end,
            snapping,
            trick: Trick::default(),
            thinning: Thinning::default(),
            lead,
            opening: None,
            held: Vec::new(),
            ready: VecDeque::new(),
        };
        if this.snapping.is_none() {
            this.open();
        }
        this
    }

    /// What to leave out.
    pub fn trick(self, trick: Trick) -> Self {
        Self { trick, ..self }
    }

    /// The moment that the frames that come in here must have for presentation time 0.
    pub fn anchor(&self) -> i64 {
        Edges::new(self.clock, self.origin, self.start, self.end).anchor()
    }

    /// Takes in what was read.
    pub fn push(&mut self, output: Output) {
        match &output {
            // What was read before it broke off there.
            Output::Start(_) => self.give(),
            Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => return,
            Output::Block(_) | Output::End(_) => {}
        }
        let over = matches!(output, Output::End(_));
        self.held.push(output);
        if over {
            self.give();
        }
    }

    /// What goes out next.
    pub fn pop(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    /// Nothing follows.
    pub fn finish(&mut self) {
        self.give();
    }

    /// What is known of the range, once, before the first frame goes out.
    pub fn take_opening(&mut self) -> Option<Opening> {
        self.opening.take()
    }

    /// All that is wanted of the fragment at hand goes out.
    fn give(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() || !self.knows_the_end(&held) {
            return;
        }
        self.thinning.go_back();
        let mut edges = Edges::new(self.clock, self.origin, self.start, self.end)
            .trick(self.trick, std::mem::take(&mut self.thinning))
            .lead(self.lead);
        held.into_iter().for_each(|output| edges.push(output));
        edges.finish();
        let mut first = true;
        while let Some(mut output) = edges.pop() {
            if let Output::Block(block) = &mut output {
                block.discont = std::mem::take(&mut first);
            }
            self.ready.push_back(output);
        }
        self.thinning = edges.into_thinning();
    }

    /// Whether it is known where the range ends, also by what came of the fragment at hand.
    fn knows_the_end(&mut self, held: &[Output]) -> bool {
        let Some(ending) = &mut self.snapping else { return true };
        let Some(Output::Start(fragment)) = held.first() else { return true };
        let leading = video_tracks(fragment).next();
        let (mut before, mut begins_behind) = (None, true);
        for output in held {
            let Output::Block(block) = output else { continue };
            let time = time_of(self.clock, fragment, block);
            begins_behind &= time > self.end;
            if leading.is_none() || block.track != leading || !block.block.keyframe {
                continue;
            }
            if time <= self.end {
                before = before.max(Some(time));
            }
            if time >= self.end {
                ending.behind = Some(ending.behind.map_or(time, |behind| behind.min(time)));
            }
        }
        if begins_behind {
            return false;
        }
        self.end = ending.choose(before, self.end).max(self.start);
        self.snapping = None;
        self.open();
        true
    }

    fn open(&mut self) {
        let distance = |time: i64| u64::try_from(time.saturating_sub(self.origin)).unwrap_or(0);
        self.opening = Some(Opening {
            lead: u64::try_from(self.lead).unwrap_or(0),
            start: distance(self.start),
            stop: Some(distance(self.end)),
        });
    }
}

impl Ending {
    /// Of the keyframes at the end or on either side of it.
    fn choose(self, before: Option<i64>, end: i64) -> i64 {
        // Of two that are as close, the one that is played first: on a clock that runs backwards, the one before.
        let mut snapping = Snapping::new(self.snap.reversed(), end.saturating_neg());
        let keyframes = [self.behind, before].into_iter().flatten().map(i64::saturating_neg);
        let found = keyframes.filter_map(|time| snapping.frame(time, true)).next();
        found.unwrap_or_else(|| snapping.finish()).saturating_neg()
    }
}

/// The edges of a range, whichever way it is played.
#[derive(Debug)]
pub enum Cut {
    Forward(Edges),
    Backward(Backward),
}

impl Cut {
    /// See [`Edges::anchor`].
    pub fn anchor(&self) -> i64 {
        match self {
            Self::Forward(edges) => edges.anchor(),
            Self::Backward(backward) => backward.anchor(),
        }
    }

    /// See [`Edges::lead_time`]; 0 backward, where nothing follows.
    pub fn lead_time(&self) -> i64 {
        match self {
            Self::Forward(edges) => edges.lead_time(),
            Self::Backward(_) => 0,
        }
    }

    /// Takes in what was read.
    pub fn push(&mut self, output: Output) {
        match self {
            Self::Forward(edges) => edges.push(output),
            Self::Backward(backward) => backward.push(output),
        }
    }

    /// What goes out next.
    pub fn pop(&mut self) -> Option<Output> {
        match self {
            Self::Forward(edges) => edges.pop(),
            Self::Backward(backward) => backward.pop(),
        }
    }

    /// Nothing follows.
    pub fn finish(&mut self) {
        match self {
            Self::Forward(edges) => edges.finish(),
            Self::Backward(backward) => backward.finish(),
        }
    }

    /// What is known of the range, once, before the first frame goes out.
    pub fn take_opening(&mut self) -> Option<Opening> {
        match self {
            Self::Forward(edges) => edges.take_opening(),
            Self::Backward(backward) => backward.take_opening(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fragment::edges::tests::{MS, body};
    use crate::fragment::{FrameReader, Range, Steps, TimestampMode};

    /// A frame: its track, its time in a fragment of 2 s in ms, and whether it is a keyframe.
    type Frame = (u8, i16, bool);

    /// A frame that came out: its track, when it was captured in ms, whether it is invisible, and whether it begins a run.
    type Came = (u64, i64, bool, bool);

    fn read(fragments: &[Vec<Frame>], mut cut: Cut) -> Vec<Came> {
        let mut came = Vec::new();
        let mut reader = FrameReader::new(Range::default());
        let anchor = cut.anchor();
        let backward = matches!(cut, Cut::Backward(_));
        reader.anchor(TimestampMode::Producer, anchor);
        let mut fragments: Vec<_> = fragments.iter().enumerate().collect();
        if backward {
            fragments.reverse();
        }
        for (index, frames) in fragments {
            if backward {
                reader.anchor(TimestampMode::Producer, anchor);
            }
            reader.push(body(100_000 + i64::try_from(index).unwrap() * 2000, frames).into());
            while let Some(output) = reader.next().unwrap() {
                cut.push(output);
            }
            reader.end_fragment();
            while let Some(output) = reader.ready() {
                cut.push(output);
            }
        }
        cut.finish();
        while let Some(output) = cut.pop() {
            if let Output::Block(timed) = output {
                let captured = timed.capture_time / MS - 100_000;
                came.push((timed.block.track, captured, timed.block.invisible, timed.discont));
            }
        }
        came
    }

    fn at(ms: i64) -> i64 {
        (100_000 + ms) * MS
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<Frame>>> {
        let video =
            proptest::collection::vec((Just(1_u8), (0_i16..50).prop_map(|frame| frame * 40), any::<bool>()), 0..20);
        let audio =
            proptest::collection::vec((Just(2_u8), (0_i16..40).prop_map(|frame| frame * 50), Just(true)), 0..10);
        let fragment = (video, audio).prop_map(|(video, audio)| {
            let mut all: Vec<Frame> = video.into_iter().chain(audio).collect();
            all.sort_by_key(|frame| frame.1);
            all
        });
        proptest::collection::vec(fragment, 1..5)
    }

    fn snaps() -> impl Strategy<Value = Snap> {
        prop_oneof![Just(Snap::Exact), Just(Snap::Before), Just(Snap::After), Just(Snap::Nearest)]
    }

    proptest! {
        #[test]
        fn what_is_shown_is_the_same_either_way(
            fragments in frames(),
            start in 0_i64..9000,
            length in 0_i64..9000,
        ) {
            let (start, end) = (at(start), at(start + length));
            let forward = read(&fragments, Cut::Forward(Edges::new(Clock::Producer, at(0), start, end)));
            let backward =
                read(&fragments, Cut::Backward(Backward::new(Clock::Producer, at(0), start, end, Snap::Exact)));
            let shown = |came: &[Came]| {
                let mut shown: Vec<_> = came.iter().filter(|came| !came.2).map(|came| (came.1, came.0)).collect();
                shown.sort_unstable();
                shown
            };
            prop_assert_eq!(shown(&backward), shown(&forward));
            // A run is a fragment, its first frame begins it, and runs come from the last to the first.
            for pair in backward.windows(2) {
                let [before, after] = pair else { continue };
                prop_assert_eq!(after.3, before.1 / 2000 != after.1 / 2000);
                prop_assert!(after.1 / 2000 <= before.1 / 2000);
            }
            prop_assert!(backward.first().is_none_or(|first| first.3));
        }

        #[test]
        fn nothing_outside_of_the_range_is_shown(
            fragments in frames(),
            (start, length) in (0_i64..9000, 0_i64..9000),
            snap in snaps(),
            (rate, thinned, without_audio) in (0.1_f64..20.0, any::<bool>(), any::<bool>()),
        ) {
            let (begin, end) = (at(start), at(start + length));
            let trick = Trick { keyframes: thinned.then(|| Steps::new(rate, 0, begin)), without_audio };
            let edges = Edges::new(Clock::Producer, at(0), begin, end).snap(snap).trick(trick, Thinning::default());
            let turned = Backward::new(Clock::Producer, at(0), begin, end, snap).trick(trick);
            for cut in [Cut::Forward(edges), Cut::Backward(turned)] {
                // A keyframe before the start, or behind the end, may move it.
                let moved = if snap == Snap::Exact { 0 } else { 10_000 };
                for (_, time, ..) in read(&fragments, cut).iter().filter(|came| !came.2) {
                    prop_assert!((start - moved..start + length + moved).contains(time));
                }
            }
        }
    }

    #[test]
    fn the_end_moves_to_the_keyframe_that_would_be_played_before_or_after() {
        for (snap, behind, before, found) in [
            // What is played before a moment lies behind it.
            (Snap::After, Some(400), Some(200), 400),
            (Snap::Before, Some(400), Some(200), 200),
            (Snap::Nearest, Some(400), Some(200), 400),
            (Snap::Nearest, Some(401), Some(200), 200),
            (Snap::Before, Some(400), None, 300),
            (Snap::After, None, Some(200), 300),
            (Snap::Nearest, None, Some(200), 200),
            (Snap::After, Some(300), Some(300), 300),
            (Snap::Nearest, None, None, 300),
        ] {
            assert_eq!(Ending { snap, behind }.choose(before, 300), found, "{snap:?} {behind:?} {before:?}");
        }
    }
}
