//! When a track has been silent for so long that downstream must be told, so that it waits no longer.

/// How far a track lies behind the others before anything is told of it, in ns: less than a `queue` holds, which would fill
/// up first where a sink waits for the track's first frame.
const PATIENCE: u64 = 500_000_000;

/// How far tracks are out of step where nothing is missing, in ns: what a track is said to be silent for ends so much
/// earlier than frames may come for.
const STEP: u64 = PATIENCE / 2;

/// The longest fragment, in ns ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)).
const LONGEST_FRAGMENT: u64 = 10_000_000_000;

/// Up to where one track has been heard of, and up to where it is silent.
///
/// A silence covers no time that a frame comes for, however late in the order of the stream. Frames of a fragment come in
/// any order, all pictures before all sound or each sound a second late, and what is late at its end comes in the next
/// one. So a track may come for the fragment before the one at hand, and for as much more as it ever came late. One that
/// had no frame at all in a fragment is silent in it: where a track goes on, the service takes no fragment without it
/// ([PutMedia](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_PutMedia.html), error 4011).
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence {
    /// The end of what came or was told, in ns of stream time.
    until: Option<u64>,
    /// A frame has come, or downstream was told not to wait for the first one.
    begun: bool,
    /// When the last frame began, and how far the last ones were from those before them. Frames without duration last as
    /// long as the least of these: pictures come in another order than they are shown in, so that others are greater.
    last: Option<u64>,
    distances: [Option<u64>; 4],
    /// How far the other tracks have come, and by how much a frame of this one came later at most.
    others: Option<u64>,
    lateness: u64,
    fragment: Span,
    before: Span,
}

/// A fragment as the track had it.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    /// The time of its first block.
    begin: Option<u64>,
    heard: bool,
}

impl Silence {
    /// A fragment begins.
    pub fn begin_fragment(&mut self) {
        // One without blocks says nothing.
        if self.fragment.begin.is_some() {
            self.before = std::mem::take(&mut self.fragment);
        }
    }

    /// A frame of the track came.
    pub fn heard(&mut self, pts: u64, duration: Option<u64>) {
        self.fragment.begin.get_or_insert(pts);
        self.fragment.heard = true;
        let late = self.others.map_or(0, |others| others.saturating_sub(pts));
        self.lateness = self.lateness.max(late.min(LONGEST_FRAGMENT));
        if let Some(distance) = self.last.map(|last| pts.abs_diff(last)).filter(|distance| *distance > 0) {
            let [_, second, third, fourth] = self.distances;
            self.distances = [second, third, fourth, Some(distance)];
        }
        self.last = Some(pts);
        let least = self.distances.iter().flatten().min().copied();
        let end = pts.saturating_add(duration.or(least).unwrap_or(0));
        self.until = Some(self.until.filter(|_| self.begun).map_or(end, |until| until.max(end)));
        self.begun = true;
    }

    /// Downstream knows from elsewhere that nothing comes before this moment.
    pub fn known_until(&mut self, end: u64) {
        self.until = Some(self.until.map_or(end, |until| until.max(end)));
        self.begun = true;
    }

    /// Another track has come to `now`: start and duration, in ns, of a silence that is to be told. One without duration
    /// says of no time that it is silent: a sink that waits for the first frame need not.
    pub fn at(&mut self, now: u64) -> Option<(u64, u64)> {
        self.fragment.begin.get_or_insert(now);
        self.others = Some(self.others.map_or(now, |others| others.max(now)));
        let Some(until) = self.until else {
            // Silence before its first frame counts from the first frame of any track.
            self.until = Some(now);
            return None;
        };
        let come = self.has_come_for(now);
        if come.saturating_sub(until) >= PATIENCE.saturating_add(self.lateness) {
            let end = come.saturating_sub(STEP).saturating_sub(self.lateness);
            self.until = Some(end);
            self.last = None;
            self.begun = true;
            return Some((until, end.saturating_sub(until)));
        }
        if !self.begun && now.saturating_sub(until) >= PATIENCE {
            self.begun = true;
            return Some((until, 0));
        }
        None
    }

    /// Up to where all frames of the track have come, unless they are late.
    fn has_come_for(&self, now: u64) -> u64 {
        let fragment = if self.before.heard { self.before } else { self.fragment };
        let begin = fragment.begin.filter(|_| self.before.begin.is_some()).unwrap_or(0);
        begin.max(now.saturating_sub(LONGEST_FRAGMENT.saturating_mul(2)))
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

    /// The others go on to `to`, in ms, in fragments of so many ms and steps of 40.
    fn go_on(silence: &mut Silence, from: u64, to: u64, length: u64) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        for time in (from..to).step_by(40) {
            if time % length < 40 {
                silence.begin_fragment();
            }
            told.extend(silence.at(time * MS).map(|(start, duration)| (start / MS, duration / MS)));
        }
        told
    }

    #[test]
    fn a_silent_track_is_told_with_every_fragment_and_without_a_hole() {
        let mut silence = Silence::default();
        let told = go_on(&mut silence, 0, 8000, 2000);
        // A sink need not wait for it; then, what is certain.
        assert_eq!(told, [(0, 0), (0, 1750), (1750, 2000), (3750, 2000)]);
    }

    #[test]
    fn frames_in_step_are_no_silence() {
        let mut silence = Silence::default();
        for step in 0..100 {
            if step % 10 == 0 {
                silence.begin_fragment();
            }
            assert_eq!(silence.at(step * 40 * MS), None);
            silence.heard(step * 40 * MS, None);
        }
    }

    #[test]
    fn what_comes_late_is_no_silence() {
        for lateness in [300, 700, 1000, 1900] {
            let mut silence = Silence::default();
            for time in (0..20_000).step_by(40) {
                if time % 2000 == 0 {
                    silence.begin_fragment();
                }
                assert_eq!(silence.at(time * MS).filter(|(_, duration)| *duration > 0), None, "{lateness}: {time}");
                if time == 0 || time > lateness {
                    silence.heard(time.saturating_sub(lateness) * MS, Some(40 * MS));
                }
            }
        }
    }

    #[test]
    fn all_frames_of_a_fragment_after_those_of_the_other_track_are_no_silence() {
        // With the first one before them, or without.
        for first in [false, true] {
            let mut silence = Silence::default();
            for fragment in 0..6 {
                silence.begin_fragment();
                let times = (0..50).map(|frame| (fragment * 2000 + frame * 40) * MS);
                if first || fragment == 0 {
                    silence.heard(fragment * 2000 * MS, Some(40 * MS));
                }
                for time in times.clone() {
                    assert!(silence.at(time).is_none_or(|(_, duration)| duration == 0));
                }
                times.for_each(|time| silence.heard(time, Some(40 * MS)));
            }
        }
    }

    #[test]
    fn a_track_that_falls_silent_is_told_so_once_it_is_certain() {
        let mut silence = Silence::default();
        for time in (0..5000).step_by(40) {
            if time % 2000 == 0 {
                silence.begin_fragment();
            }
            assert_eq!(silence.at(time * MS), None);
            silence.heard(time * MS, Some(40 * MS));
        }
        // It had frames in the third fragment, of which more may come in the fourth.
        let told = go_on(&mut silence, 5000, 12_000, 2000);
        assert_eq!(told, [(5000, 2750), (7750, 2000)]);
    }

    #[test]
    fn a_fragment_that_does_not_end_keeps_nobody_waiting_for_ever() {
        let mut silence = Silence::default();
        let told = go_on(&mut silence, 0, 30_000, 1_000_000);
        assert_eq!(told[..2], [(0, 0), (0, 270)]);
        assert!(told[1..].windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "{told:?}");
    }

    #[test]
    fn long_frames_are_no_silence() {
        let mut known = Silence::default();
        known.heard(0, Some(12_000 * MS));
        assert_eq!(known.at(32_400 * MS), None);
        // Where nothing tells how long they last, they last as long as the one before.
        let mut unknown = Silence::default();
        unknown.heard(0, None);
        unknown.heard(2000 * MS, None);
        assert_eq!(unknown.at(24_400 * MS), None);
        assert_eq!(unknown.at(24_500 * MS), Some((4000 * MS, 250 * MS)));
    }

    #[test]
    fn pictures_that_are_shown_in_another_order_last_no_longer() {
        let mut silence = Silence::default();
        for pts in [0, 120, 40, 80, 240, 160, 200, 360, 280, 320] {
            silence.heard(pts * MS, None);
        }
        assert_eq!(silence.at(20_899 * MS), None);
        assert_eq!(silence.at(20_900 * MS), Some((400 * MS, 250 * MS)));
    }

    #[test]
    fn a_gap_of_all_tracks_is_told_of_each() {
        let mut silence = Silence::default();
        silence.heard(0, Some(20 * MS));
        assert_eq!(silence.at(3_600_000 * MS), Some((20 * MS, 3_579_730 * MS)));
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
