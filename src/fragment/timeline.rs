//! Capture time to presentation time: from 0, with the gaps that are there, and never back.

/// How long a frame counts where nothing tells, in ns: enough that the next one lies after it.
const SHORTEST_FRAME: i64 = 1_000_000;

/// Turns the capture time of frames, on a clock that may jump, into a presentation time that does not.
///
/// Invariants: the first frame placed has time 0; frames of one fragment keep their distances; the first frame of each
/// track in a fragment lies after all that the track had before. Where the clock says otherwise (a producer that was
/// set back, one that uploads old recordings), the fragment goes on at the end of the last frame.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Presentation time minus capture time, once a frame has been placed.
    offset: Option<i64>,
    /// Capture time of the fragment's start.
    fragment_start: i64,
    /// Presentation time of the start of the fragment before, until the first frame of this one is placed.
    previous_start: Option<i64>,
    fragments: u64,
    tracks: Vec<Track>,
    /// The end of the last frame, over all tracks, in presentation time.
    end: i64,
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
    /// The clock jumped back: this frame's time does not follow from the one before.
    pub discont: bool,
}

impl Timeline {
    pub fn new() -> Self {
        Self::default()
    }

    /// A fragment begins; `start` is the capture time of its cluster, in ns.
    pub fn begin_fragment(&mut self, start: i64) {
        if self.fragments > 0 {
            self.previous_start = self.offset.map(|offset| self.fragment_start.saturating_add(offset));
        }
        self.fragments = self.fragments.saturating_add(1);
        self.fragment_start = start;
    }

    /// Places a frame of the track with index `track`, captured at `capture` (ns) and lasting `duration` ns where known.
    pub fn place(&mut self, track: usize, capture: i64, duration: Option<u64>) -> Placement {
        if track >= self.tracks.len() {
            self.tracks.resize(track.saturating_add(1), Track::default());
        }
        let Some(state) = self.tracks.get_mut(track) else {
            return Placement { pts: 0, discont: false };
        };

        let first_of_all = self.offset.is_none();
        let offset = *self.offset.get_or_insert(0_i64.saturating_sub(capture));
        let mut pts = capture.saturating_add(offset);

        let fragment_goes_back =
            self.previous_start.take().is_some_and(|previous| self.fragment_start.saturating_add(offset) < previous);
        let known = state.fragment > 0;
        let track_goes_back = known && state.fragment != self.fragments && pts <= state.latest;
        let discont = !first_of_all && (fragment_goes_back || track_goes_back);
        if discont {
            pts = self.end;
            self.offset = Some(pts.saturating_sub(capture));
        }

        if known {
            let spacing = pts.saturating_sub(state.previous).saturating_abs();
            if spacing > 0 && state.fragment == self.fragments {
                state.spacing = spacing;
            }
        }
        let lasts = duration
            .and_then(|duration| i64::try_from(duration).ok())
            .filter(|duration| *duration > 0)
            .unwrap_or(state.spacing.max(SHORTEST_FRAME));
        state.latest = if known { state.latest.max(pts) } else { pts };
        state.previous = pts;
        state.fragment = self.fragments;
        self.end = self.end.max(pts.saturating_add(lasts));

        // A frame shown before the first one delivered (a leading picture) has no time before 0 to go to.
        Placement { pts: u64::try_from(pts).unwrap_or(0), discont }
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
