//! Capture time to presentation time: from 0, with the gaps that are there, and never back.

use super::drift::{Arrival, Drift};

/// How long a frame counts where nothing tells, in ns: enough that the next one lies after it.
const SHORTEST_FRAME: i64 = 1_000_000;

/// The least gap in a clock, in ns, that is a clock being set where nobody waited as long, and the least step back where
/// fragments come in no steady order: no fragment is longer ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)).
const CLOCK_SET: i64 = 10_000_000_000;

/// Turns the capture time of frames, on a clock that may jump, into a presentation time that does not.
///
/// Invariants: the first frame placed has time 0 or `begin`, or that at which it came where the stream is live; frames of one
/// fragment keep their order, and, but for a squeeze, their distances; the first frame of each track in a fragment lies
/// after all that the track had before. Where the clock says otherwise (a producer that was set back, one that uploads
/// old recordings), the fragment goes on at the end of the last frame, and what follows keeps its distance from it;
/// where timelines are [`anchored`](Self::anchored) or [`unsteady`](Self::unsteady), it is by itself.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Presentation time of the first frame, where the stream is not live.
    begin: i64,
    /// Presentation time minus capture time, once a frame has been placed.
    offset: Option<i64>,
    /// How much later the fragment at hand alone is presented, in ns, since it would overlap the one before it.
    later: i64,
    squeeze: Option<Squeeze>,
    /// Capture time of the fragment's start.
    fragment_start: i64,
    /// That of the fragment before, until the first frame of this one is placed.
    previous_start: Option<i64>,
    fragments: u64,
    tracks: Vec<Track>,
    /// The latest capture time of all frames, and the end of that frame.
    latest_capture: i64,
    captured_until: i64,
    live: Option<Live>,
    gapless: bool,
    /// Every fragment is presented by its own time, where that is possible.
    anchored: bool,
    /// So is every fragment, unless the clock was set back.
    unsteady: bool,
    /// Time does not follow from the fragment before.
    discont: bool,
}

/// What a stream has that is watched while it is made.
#[derive(Clone, Debug)]
struct Live {
    drift: Drift,
    arrival: Option<Arrival>,
}

/// Frames at half their distances, until presentation time is earlier by `excess` ns: how a clock that runs fast is
/// caught up with, since time does not go back.
#[derive(Clone, Copy, Debug)]
struct Squeeze {
    /// Capture time at which it begins.
    from: i64,
    excess: i64,
}

impl Squeeze {
    /// How much earlier it makes a frame, in ns.
    fn gained(self, capture: i64) -> i64 {
        (capture.saturating_sub(self.from) / 2).clamp(0, self.excess)
    }

    fn is_over(self, capture: i64) -> bool {
        self.gained(capture) == self.excess
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// The fragment that the track's last frame was in, counted from 1; 0 before any.
    fragment: u64,
    /// The frame that is shown last, and how long it says that it lasts.
    latest: i64,
    lasts: Option<i64>,
    /// The frame before, in decoding order.
    previous: i64,
    /// The least distance between two frames of this fragment, and of the last one before it that had two: what frames
    /// last that do not say so. Pictures come in another order than they are shown in, so that others are greater.
    spacing: Option<i64>,
    spacing_before: Option<i64>,
}

impl Track {
    /// Takes in a frame of this fragment.
    fn push(&mut self, fragment: u64, pts: i64, lasts: Option<i64>) {
        let known = self.fragment > 0;
        if known && self.fragment == fragment {
            let distance = Some(pts.saturating_sub(self.previous).saturating_abs()).filter(|distance| *distance > 0);
            self.spacing = [self.spacing, distance].into_iter().flatten().min();
        } else {
            self.spacing_before = self.spacing.take().or(self.spacing_before);
        }
        if !known || pts > self.latest {
            self.latest = pts;
            self.lasts = lasts;
        }
        self.fragment = fragment;
        self.previous = pts;
    }

    fn least_spacing(&self) -> Option<i64> {
        [self.spacing, self.spacing_before].into_iter().flatten().min()
    }

    /// The end of its last frame.
    fn end(&self) -> i64 {
        self.latest.saturating_add(self.lasts.or(self.least_spacing()).unwrap_or(SHORTEST_FRAME))
    }

    /// The soonest that another frame may follow.
    fn soonest(&self) -> i64 {
        let distance = [self.lasts, self.least_spacing()].into_iter().flatten().min();
        self.latest.saturating_add(distance.unwrap_or(SHORTEST_FRAME))
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Presentation time, in ns.
    pub pts: u64,
    /// The frame is over before time 0: it was captured before the first one placed, and has no time of its own.
    pub early: bool,
    /// This frame's time does not follow from the one before: the clock jumped, or was corrected.
    pub discont: bool,
}

impl Timeline {
    pub fn new() -> Self {
        Self::default()
    }

    /// A timeline whose first frame has this presentation time, in ns.
    pub fn beginning_at(begin: i64) -> Self {
        Self { begin, ..Self::default() }
    }

    /// A timeline of frames that are watched as they come, by a clock that may part from the producer's by `limit` ns.
    pub fn live(limit: i64) -> Self {
        Self { live: Some(Live { drift: Drift::new(limit), arrival: None }), ..Self::default() }
    }

    /// The same, where what comes first was stored, and is not as near as what follows can be.
    pub fn catching_up(mut self) -> Self {
        self.live = self.live.map(|live| Live { drift: live.drift.catching_up(), ..live });
        self
    }

    /// The same, with the gaps between fragments closed.
    pub fn without_gaps(self) -> Self {
        Self { gapless: true, ..self }
    }

    /// A timeline whose time 0 is the capture time `origin`, in ns. A fragment that overlaps the one before it moves
    /// behind that; the next one is presented by its own time again.
    pub fn anchored(origin: i64) -> Self {
        Self { offset: Some(origin.saturating_neg()), anchored: true, ..Self::default() }
    }

    /// The same, where fragments begin when they were received. One that overlaps the one before it came early, or that
    /// one late: it follows at once, and those behind it are presented by their own times as soon as a pause leaves room.
    pub fn unsteady(self) -> Self {
        Self { unsteady: true, ..self }
    }

    /// What is placed from now on came at this time.
    pub fn arrived(&mut self, arrival: Arrival) {
        if let Some(live) = &mut self.live {
            live.arrival = Some(arrival);
        }
    }

    /// Running time stood still for so many ns, and what comes from now on is presented as much later.
    pub fn paused(&mut self, pause: i64) {
        if let Some(live) = &mut self.live {
            live.drift.paused(pause);
        }
    }

    /// A fragment begins; `start` is the capture time of its cluster, in ns. By how many ns presentation times change
    /// against the producer's clock, where that has run away: negative where it is fast.
    pub fn begin_fragment(&mut self, start: i64) -> Option<i64> {
        self.previous_start = (self.fragments > 0).then_some(self.fragment_start);
        self.fragments = self.fragments.saturating_add(1);
        self.fragment_start = start;
        self.later = 0;
        let correction = self.correction(start)?;
        self.discont = true;
        Some(correction)
    }

    /// Places a frame of the track with index `track`, captured at `capture` (ns) and lasting `duration` ns where known.
    pub fn place(&mut self, track: usize, capture: i64, duration: Option<u64>) -> Placement {
        if track >= self.tracks.len() {
            self.tracks.resize(track.saturating_add(1), Track::default());
        }
        let first_of_all = self.offset.is_none();
        if first_of_all {
            let arrival = self.live.as_ref().and_then(|live| live.arrival);
            let begin = arrival.map_or(self.begin, |arrival| arrival.running_time.max(0));
            self.offset = Some(begin.saturating_sub(capture));
        }
        let mut pts = self.presentation(capture);

        let previous_start = self.previous_start.take().filter(|_| !first_of_all);
        if self.gapless && previous_start.is_some() && pts > self.end() {
            pts = self.resumption();
            self.shift_to(pts, capture);
            self.judge_anew();
        }
        let Some(mut state) = self.tracks.get(track).copied() else {
            return Placement { pts: 0, early: false, discont: false };
        };
        let least_step = if self.unsteady { CLOCK_SET } else { 1 };
        let clock_goes_back =
            previous_start.is_some_and(|previous| previous.saturating_sub(self.fragment_start) >= least_step);
        let overlaps = state.fragment > 0 && state.fragment != self.fragments && pts <= state.latest;
        let goes_back = clock_goes_back || overlaps;
        let came_early = self.unsteady && overlaps && !clock_goes_back;
        if goes_back {
            let own_time = pts;
            // By the track alone and no later than need be: else a little would add up with each that comes early.
            pts = if came_early { state.soonest() } else { self.resumption() };
            if came_early || self.anchored {
                self.later = self.later.saturating_add(pts.saturating_sub(own_time));
            } else {
                self.shift_to(pts, capture);
            }
            if clock_goes_back {
                self.judge_anew();
            }
        }
        let discont = std::mem::take(&mut self.discont) | (goes_back && !came_early);

        let lasts = duration.and_then(|duration| i64::try_from(duration).ok()).filter(|duration| *duration > 0);
        state.push(self.fragments, pts, lasts);
        let lasts = lasts.or(state.least_spacing()).unwrap_or(SHORTEST_FRAME);
        if let Some(track) = self.tracks.get_mut(track) {
            *track = state;
        }
        self.latest_capture = if first_of_all || goes_back { capture } else { self.latest_capture.max(capture) };
        self.captured_until = self.latest_capture.saturating_add(lasts);
        let early = !self.anchored && pts < 0 && pts.saturating_add(lasts) <= 0;
        Placement { pts: u64::try_from(pts).unwrap_or(0), early, discont }
    }

    /// How long frames of a track last that do not say so, in ns, as far as their distances tell.
    pub fn spacing(&self, track: usize) -> Option<u64> {
        self.tracks.get(track)?.least_spacing().and_then(|spacing| u64::try_from(spacing).ok())
    }

    fn presentation(&self, capture: i64) -> i64 {
        let gained = self.squeeze.map_or(0, |squeeze| squeeze.gained(capture));
        capture.saturating_add(self.offset.unwrap_or(0)).saturating_add(self.later).saturating_sub(gained)
    }

    /// From now on, `capture` is presented at `presentation`.
    fn shift_to(&mut self, presentation: i64, capture: i64) {
        self.squeeze = None;
        self.later = 0;
        self.offset = Some(presentation.saturating_sub(capture));
    }

    /// How early or late frames have come so far tells nothing of those that follow.
    fn judge_anew(&mut self) {
        if let Some(live) = &mut self.live {
            live.drift.corrected();
        }
    }

    /// The end of the last frame, over all tracks.
    fn end(&self) -> i64 {
        self.tracks.iter().filter(|track| track.fragment > 0).map(Track::end).max().unwrap_or(0)
    }

    /// Where a frame goes whose clock does not tell: at the end of the last one, but not later than it can be shown.
    fn resumption(&self) -> i64 {
        let end = self.end();
        let Some(Live { drift, arrival: Some(arrival) }) = &self.live else { return end };
        let as_usual = arrival.running_time.saturating_sub(drift.usual_lateness());
        if as_usual.saturating_sub(end) > drift.limit() { as_usual } else { end }
    }

    /// Brings the clocks together again where they have parted.
    fn correction(&mut self, start: i64) -> Option<i64> {
        let offset = self.offset?;
        if self.squeeze.is_some_and(|squeeze| !squeeze.is_over(self.latest_capture)) {
            return None;
        }
        if let Some(squeeze) = self.squeeze.take() {
            self.offset = Some(offset.saturating_sub(squeeze.excess));
            self.judge_anew();
        }
        let presentation = self.presentation(start);
        let live = self.live.as_mut()?;
        let arrival = live.arrival?;

        // A producer whose clock was set forward would leave the pipeline waiting for as long.
        let early = presentation.saturating_sub(arrival.running_time).saturating_add(live.drift.usual_lateness());
        let gap = start.saturating_sub(self.captured_until);
        if !arrival.waited && gap > CLOCK_SET && early > CLOCK_SET {
            let resumption = self.resumption();
            self.shift_to(resumption, start);
            self.judge_anew();
            return Some(resumption.saturating_sub(presentation));
        }

        let drift = live.drift.judge(presentation, arrival)?;
        if drift > 0 {
            self.offset = self.offset.map(|offset| offset.saturating_add(drift));
        } else {
            // Behind all frames that have their place, so that none is overtaken.
            let from = start.max(self.latest_capture.saturating_add(1));
            self.squeeze = Some(Squeeze { from, excess: drift.saturating_neg() });
        }
        Some(drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn run(fragments: &[(i64, &[(usize, i64)])]) -> Vec<(i64, bool)> {
        let mut timeline = Timeline::new();
        let mut placed = Vec::new();
        for (start, frames) in fragments {
            timeline.begin_fragment(start * MS);
            for (track, offset) in *frames {
                let placement = timeline.place(*track, (start + offset) * MS, None);
                placed.push((placement.pts as i64 / MS, placement.discont));
            }
        }
        placed
    }

    #[test]
    fn begins_at_zero_and_keeps_gaps() {
        let placed = run(&[(1_500_000, &[(0, 5), (0, 45)]), (1_504_000, &[(0, 5)])]);
        assert_eq!(placed, [(0, false), (40, false), (4000, false)]);
    }

    #[test]
    fn a_clock_that_jumps_back_goes_on_after_the_last_frame() {
        let placed = run(&[(5000, &[(0, 0), (0, 40)]), (1000, &[(0, 0), (0, 40)]), (2000, &[(0, 0)])]);
        assert_eq!(placed, [(0, false), (40, false), (80, true), (120, false), (1080, false)]);
    }

    #[test]
    fn a_clock_that_stands_still_goes_on_too() {
        let placed = run(&[(0, &[(0, 0), (0, 40)]), (0, &[(0, 0), (0, 40)]), (0, &[(0, 0)])]);
        assert_eq!(placed, [(0, false), (40, false), (80, true), (120, false), (160, true)]);
    }

    #[test]
    fn an_unsteady_clock_that_is_set_back_is_followed_from_there() {
        let mut timeline = Timeline::new().unsteady();
        let mut place = |start: i64| {
            timeline.begin_fragment(start * MS);
            [0, 40].map(|time| {
                let placement = timeline.place(0, (start + time) * MS, None);
                (placement.pts as i64 / MS, placement.discont)
            })
        };
        assert_eq!(place(100_000), [(0, false), (40, false)]);
        // A step that is no more than one of them coming early.
        assert_eq!(place(99_990), [(80, false), (120, false)]);
        assert_eq!(place(100_200), [(200, false), (240, false)]);
        assert_eq!(place(50_000), [(280, true), (320, false)]);
        assert_eq!(place(51_000), [(1280, false), (1320, false)]);
    }

    #[test]
    fn reordered_frames_stay_as_they_are() {
        let placed = run(&[(0, &[(0, 80), (0, 200), (0, 120), (0, 160)]), (240, &[(0, 80), (0, 0), (0, 40)])]);
        let times: Vec<_> = placed.iter().map(|(time, _)| *time).collect();
        assert_eq!(times, [0, 120, 40, 80, 240, 160, 200]);
        assert!(placed.iter().all(|(_, discont)| !discont));
    }

    #[test]
    fn audio_may_reach_into_the_next_fragment() {
        let placed = run(&[(0, &[(0, 0), (1, 0), (0, 40), (1, 90)]), (80, &[(0, 0), (1, 31)])]);
        assert_eq!(placed[4..], [(80, false), (111, false)]);
    }

    #[test]
    fn gaps_can_be_closed() {
        let mut timeline = Timeline::new().without_gaps();
        let mut place = |start: i64, offset: i64| {
            timeline.begin_fragment(start * MS);
            [0, 40].map(|time| timeline.place(0, (start + offset + time) * MS, None).pts / 1_000_000)
        };
        assert_eq!(place(0, 0), [0, 40]);
        assert_eq!(place(5000, 0), [80, 120]);
        // What follows without a gap stays where it is.
        assert_eq!(place(5080, 0), [160, 200]);
        assert_eq!(place(3_600_000, 7), [240, 280]);
    }

    #[test]
    fn an_anchored_timeline_comes_back_to_its_origin() {
        let mut timeline = Timeline::anchored(1000 * MS);
        let mut place = |start: i64| {
            timeline.begin_fragment(start * MS);
            [0, 40, 80].map(|time| {
                let placement = timeline.place(0, (start + time) * MS, None);
                (placement.pts as i64 / MS, placement.discont)
            })
        };
        assert_eq!(place(1500), [(500, false), (540, false), (580, false)]);
        // Overlaps: behind the last frame.
        assert_eq!(place(1540), [(620, true), (660, false), (700, false)]);
        assert_eq!(place(1800), [(800, false), (840, false), (880, false)]);
    }

    #[test]
    fn a_fragment_ends_where_the_picture_that_is_shown_last_does() {
        // Pictures of 40 ms, each third one shown before the two that come before it.
        let pictures = [(0, 0), (0, 120), (0, 40), (0, 80), (0, 240), (0, 160), (0, 200)];
        let restarted = run(&[(5000, &pictures), (1000, &pictures), (1000, &pictures[..1])]);
        let starts: Vec<_> = restarted.iter().step_by(pictures.len()).copied().collect();
        assert_eq!(starts, [(0, false), (280, true), (560, true)]);

        let mut timeline = Timeline::new().without_gaps();
        let starts = [0, 5000, 5280, 9000].map(|start| {
            timeline.begin_fragment(start * MS);
            let times = pictures.map(|(_, time)| timeline.place(0, (start + time) * MS, None).pts / 1_000_000);
            assert_eq!(times.map(|time| time - times[0]), pictures.map(|(_, time)| time as u64));
            times[0]
        });
        assert_eq!(starts, [0, 280, 560, 840]);
    }

    #[test]
    fn a_pause_between_two_frames_is_not_how_long_frames_last() {
        let placed = run(&[(5000, &[(0, 0), (0, 40), (0, 80), (0, 900)]), (0, &[(0, 0)]), (0, &[(0, 0)])]);
        assert_eq!(placed[4..], [(940, true), (980, true)]);
    }

    #[test]
    fn what_was_captured_before_the_first_frame_is_early_but_for_what_lasts() {
        let early = |frames: &[(usize, i64)]| {
            let mut timeline = Timeline::new();
            timeline.begin_fragment(1000 * MS);
            let place = |(track, time): &(usize, i64)| {
                let placement = timeline.place(*track, (1000 + time) * MS, None);
                (placement.pts as i64 / MS, placement.early)
            };
            frames.iter().map(place).collect::<Vec<_>>()
        };
        assert_eq!(early(&[(0, 80), (0, 0), (0, 120)]), [(0, false), (0, true), (40, false)]);
        assert_eq!(
            early(&[(0, 100), (1, 30), (1, 60), (1, 90), (1, 120)]),
            [(0, false), (0, true), (0, true), (0, false), (20, false)]
        );
        let mut anchored = Timeline::anchored(1000 * MS);
        anchored.begin_fragment(0);
        assert_eq!(anchored.place(0, 0, None), Placement { pts: 0, early: false, discont: false });
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut timeline = Timeline::new();
        timeline.begin_fragment(i64::MAX);
        timeline.place(0, i64::MAX, Some(u64::MAX));
        timeline.begin_fragment(i64::MIN);
        timeline.place(0, i64::MIN, None);
        timeline.begin_fragment(i64::MAX);
        timeline.place(0, i64::MAX, Some(1));
    }
}
