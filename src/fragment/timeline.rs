//! Capture time to presentation time: from 0, with the gaps that are there, and never back.

use super::drift::{Arrival, Drift};

/// How long a frame counts where nothing tells, in ns: enough that the next one lies after it.
const SHORTEST_FRAME: i64 = 1_000_000;

/// The least gap in a producer's clock, in ns, that is a clock being set where nobody waited as long: no fragment is
/// longer ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)).
const CLOCK_SET: i64 = 10_000_000_000;

/// Turns the capture time of frames, on a clock that may jump, into a presentation time that does not.
///
/// Invariants: the first frame placed has time 0, or that at which it came where the stream is live; frames of one
/// fragment keep their order, and, but for a squeeze, their distances; the first frame of each track in a fragment lies
/// after all that the track had before. Where the clock says otherwise (a producer that was set back, one that uploads
/// old recordings), the fragment goes on at the end of the last frame.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Presentation time minus capture time, once a frame has been placed.
    offset: Option<i64>,
    squeeze: Option<Squeeze>,
    /// Capture time of the fragment's start.
    fragment_start: i64,
    /// Presentation time of the start of the fragment before, until the first frame of this one is placed.
    previous_start: Option<i64>,
    fragments: u64,
    tracks: Vec<Track>,
    /// The end of the last frame, over all tracks, in presentation time.
    end: i64,
    /// The latest capture time of all frames, and the end of that frame.
    latest_capture: i64,
    captured_until: i64,
    live: Option<Live>,
    gapless: bool,
    /// The capture time that every fragment is presented from, where that is possible.
    origin: Option<i64>,
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
    latest: i64,
    previous: i64,
    spacing: i64,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Presentation time, in ns.
    pub pts: u64,
    /// This frame's time does not follow from the one before: the clock jumped, or was corrected.
    pub discont: bool,
}

impl Timeline {
    pub fn new() -> Self {
        Self::default()
    }

    /// A timeline of frames that are watched as they come, by a clock that may part from the producer's by `limit` ns.
    pub fn live(limit: i64) -> Self {
        Self { live: Some(Live { drift: Drift::new(limit), arrival: None }), ..Self::default() }
    }

    /// The same, with the gaps between fragments closed.
    pub fn without_gaps(self) -> Self {
        Self { gapless: true, ..self }
    }

    /// A timeline whose time 0 is the capture time `origin`, in ns. A fragment that overlaps the one before it moves
    /// behind that; the next one is presented by its own time again.
    pub fn anchored(origin: i64) -> Self {
        Self { offset: Some(origin.saturating_neg()), origin: Some(origin), ..Self::default() }
    }

    /// What is placed from now on came at this time.
    pub fn arrived(&mut self, arrival: Arrival) {
        if let Some(live) = &mut self.live {
            live.arrival = Some(arrival);
        }
    }

    /// A fragment begins; `start` is the capture time of its cluster, in ns. By how many ns presentation times change
    /// against the producer's clock, where that has run away: negative where it is fast.
    pub fn begin_fragment(&mut self, start: i64) -> Option<i64> {
        if self.fragments > 0 {
            self.previous_start = self.offset.map(|_| self.presentation(self.fragment_start));
        }
        self.fragments = self.fragments.saturating_add(1);
        self.fragment_start = start;
        if let Some(origin) = self.origin {
            self.offset = Some(origin.saturating_neg());
        }
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
            let begin = arrival.map_or(0, |arrival| arrival.running_time.max(0));
            self.offset = Some(begin.saturating_sub(capture));
        }
        let mut pts = self.presentation(capture);

        let previous_start = self.previous_start.take();
        if self.gapless && previous_start.is_some() && pts > self.end {
            pts = self.resumption();
            self.shift_to(pts, capture);
        }
        let fragment_goes_back =
            previous_start.is_some_and(|previous| self.presentation(self.fragment_start) < previous);
        let Some(state) = self.tracks.get(track).copied() else {
            return Placement { pts: 0, discont: false };
        };
        let known = state.fragment > 0;
        let track_goes_back = known && state.fragment != self.fragments && pts <= state.latest;
        let goes_back = !first_of_all && (fragment_goes_back || track_goes_back);
        if goes_back {
            pts = self.resumption();
            self.shift_to(pts, capture);
        }
        let discont = std::mem::take(&mut self.discont) | goes_back;

        let mut spacing = state.spacing;
        if known {
            let distance = pts.saturating_sub(state.previous).saturating_abs();
            if distance > 0 && state.fragment == self.fragments {
                spacing = distance;
            }
        }
        let lasts = duration
            .and_then(|duration| i64::try_from(duration).ok())
            .filter(|duration| *duration > 0)
            .unwrap_or(spacing.max(SHORTEST_FRAME));
        if let Some(state) = self.tracks.get_mut(track) {
            let latest = if known { state.latest.max(pts) } else { pts };
            *state = Track { fragment: self.fragments, latest, previous: pts, spacing };
        }
        self.end = self.end.max(pts.saturating_add(lasts));
        self.latest_capture = if first_of_all || goes_back { capture } else { self.latest_capture.max(capture) };
        self.captured_until = self.latest_capture.saturating_add(lasts);
        if let Some(Live { drift, arrival: Some(arrival) }) = &mut self.live {
            drift.observe(pts, *arrival);
        }

        // A frame shown before the first one delivered (a leading picture) has no time before 0 to go to.
        Placement { pts: u64::try_from(pts).unwrap_or(0), discont }
    }

    fn presentation(&self, capture: i64) -> i64 {
        let gained = self.squeeze.map_or(0, |squeeze| squeeze.gained(capture));
        capture.saturating_add(self.offset.unwrap_or(0)).saturating_sub(gained)
    }

    /// From now on, `capture` is presented at `presentation`.
    fn shift_to(&mut self, presentation: i64, capture: i64) {
        self.squeeze = None;
        self.offset = Some(presentation.saturating_sub(capture));
        if let Some(live) = &mut self.live {
            live.drift.corrected();
        }
    }

    /// Where a frame goes whose clock does not tell: at the end of the last one, but not later than it can be shown.
    fn resumption(&self) -> i64 {
        let Some(Live { drift, arrival: Some(arrival) }) = &self.live else { return self.end };
        let as_usual = arrival.running_time.saturating_sub(drift.usual_lateness());
        if as_usual.saturating_sub(self.end) > drift.limit() { as_usual } else { self.end }
    }

    /// Brings the clocks together again where they have parted.
    fn correction(&mut self, start: i64) -> Option<i64> {
        let offset = self.offset?;
        if self.squeeze.is_some_and(|squeeze| !squeeze.is_over(self.latest_capture)) {
            return None;
        }
        if let Some(squeeze) = self.squeeze.take() {
            self.offset = Some(offset.saturating_sub(squeeze.excess));
            if let Some(live) = &mut self.live {
                live.drift.corrected();
            }
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
            return Some(resumption.saturating_sub(presentation));
        }

        let drift = live.drift.judge(arrival.running_time)?;
        live.drift.corrected();
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
    fn leading_pictures_do_not_go_below_zero() {
        assert_eq!(run(&[(1000, &[(0, 80), (0, 0), (0, 120)])]), [(0, false), (0, false), (40, false)]);
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
