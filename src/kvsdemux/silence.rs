//! When a track has been silent for so long that downstream must be told, so that it waits no longer.

/// How far a track may lie behind the others, in ns: less than a `queue` holds, which would fill up first.
const PATIENCE: u64 = 500_000_000;

/// How far tracks are out of step where nothing is missing, in ns: what a track is said to be silent for ends so far
/// behind the others.
const STEP: u64 = PATIENCE / 2;

/// Up to where one track has been heard of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence {
    /// The end of what came, in ns of stream time.
    until: Option<u64>,
    /// When the last frame began, and how far the last ones were from those before them. Frames without duration last as
    /// long as the least of these: pictures come in another order than they are shown in, so that others are greater.
    last: Option<u64>,
    distances: [Option<u64>; 4],
}

impl Silence {
    /// A frame of the track came.
    pub fn heard(&mut self, pts: u64, duration: Option<u64>) {
        if let Some(distance) = self.last.map(|last| pts.abs_diff(last)).filter(|distance| *distance > 0) {
            let [_, second, third, fourth] = self.distances;
            self.distances = [second, third, fourth, Some(distance)];
        }
        self.last = Some(pts);
        let least = self.distances.iter().flatten().min().copied();
        let end = pts.saturating_add(duration.or(least).unwrap_or(0));
        self.until = Some(self.until.map_or(end, |until| until.max(end)));
    }

    /// Downstream knows from elsewhere that nothing comes before this moment.
    pub fn known_until(&mut self, end: u64) {
        self.until = Some(self.until.map_or(end, |until| until.max(end)));
    }

    /// Another track has come to `now`: start and duration, in ns, of a silence that is to be told.
    pub fn at(&mut self, now: u64) -> Option<(u64, u64)> {
        let Some(until) = self.until else {
            // Silence before its first frame counts from the first frame of any track.
            self.until = Some(now);
            return None;
        };
        if now.saturating_sub(until) < PATIENCE {
            return None;
        }
        let end = now.saturating_sub(STEP);
        self.until = Some(end);
        self.last = None;
        Some((until, end.saturating_sub(until)))
    }
}

/// Whether one track has been heard of in a run of a stream that is played backwards: frames come in the order of time
/// there, and what follows lies before them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentRun {
    heard: bool,
    /// From where to where the run reaches that is at hand, over all tracks, in ns of stream time.
    reach: Option<(u64, u64)>,
}

impl SilentRun {
    /// A frame of the track, or of another one, came.
    pub fn heard(&mut self, is_own: bool, pts: u64, duration: Option<u64>) {
        self.heard |= is_own;
        let end = pts.saturating_add(duration.unwrap_or(0));
        self.reach = Some(self.reach.map_or((pts, end), |(from, to)| (from.min(pts), to.max(end))));
    }

    /// A run ends: start and duration, in ns, of a silence that is to be told.
    pub fn end(&mut self) -> Option<(u64, u64)> {
        let Self { heard, reach } = std::mem::take(self);
        reach.filter(|_| !heard).map(|(from, to)| (from, to.saturating_sub(from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_frame_of_the_track_is_told() {
        let mut run = SilentRun::default();
        assert_eq!(run.end(), None);
        for time in [40, 0, 80] {
            run.heard(false, time * MS, Some(40 * MS));
        }
        assert_eq!(run.end(), Some((0, 120 * MS)));
        run.heard(false, 0, None);
        run.heard(true, u64::MAX, Some(u64::MAX));
        assert_eq!(run.end(), None);
        assert_eq!(run.end(), None);
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_silent_track_is_told_again_and_again_without_a_hole() {
        let mut silence = Silence::default();
        let told: Vec<_> = (0..=50).filter_map(|step| silence.at(step * 40 * MS)).collect();
        assert_eq!(told.first(), Some(&(0, 270 * MS)));
        assert!(told.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "{told:?}");
        assert!((5..=8).contains(&told.len()), "{told:?}");
    }

    #[test]
    fn frames_in_step_are_no_silence() {
        let mut silence = Silence::default();
        for step in 0..100 {
            assert_eq!(silence.at(step * 40 * MS), None);
            silence.heard(step * 40 * MS, None);
        }
    }

    #[test]
    fn long_frames_are_no_silence() {
        let mut known = Silence::default();
        known.heard(0, Some(2000 * MS));
        assert_eq!(known.at(2400 * MS), None);
        // Where nothing tells how long they last, they last as long as the one before.
        let mut unknown = Silence::default();
        unknown.heard(0, None);
        unknown.heard(2000 * MS, None);
        assert_eq!(unknown.at(4400 * MS), None);
        assert_eq!(unknown.at(4500 * MS), Some((4000 * MS, 250 * MS)));
    }

    #[test]
    fn pictures_that_are_shown_in_another_order_last_no_longer() {
        let mut silence = Silence::default();
        for pts in [0, 120, 40, 80, 240, 160, 200, 360, 280, 320] {
            silence.heard(pts * MS, None);
        }
        assert_eq!(silence.at(899 * MS), None);
        assert_eq!(silence.at(900 * MS), Some((400 * MS, 250 * MS)));
    }

    #[test]
    fn a_gap_of_all_tracks_is_told_of_each() {
        let mut silence = Silence::default();
        silence.heard(0, Some(20 * MS));
        assert_eq!(silence.at(3_600_000 * MS), Some((20 * MS, 3_599_730 * MS)));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut silence = Silence::default();
        silence.heard(u64::MAX, Some(u64::MAX));
        assert_eq!(silence.at(0), None);
        silence.known_until(u64::MAX);
        silence.heard(0, None);
        assert_eq!(silence.at(u64::MAX), None);
    }
}
