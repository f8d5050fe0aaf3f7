//! How far the producer's clock has run away from the one that its stream is watched by.

/// The shortest time, in ns, over which frames that come late are judged: they come unevenly, but not for so long.
const WINDOW: i64 = 10_000_000_000;

/// The fewest fragments over which they are.
const FRAGMENTS: u32 = 2;

/// For how long, in ns, fragments have to come early before presentation is brought forward. Of the longest fragments
/// three begin in that time and the one that it takes to notice
/// ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)): half a minute.
const STAYS: i64 = 15_000_000_000;

/// The part of it, in ns, in which they may come earlier and earlier, as the end of a burst does.
const SETTLES: i64 = 5_000_000_000;

/// When the bytes that are being read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Running time of the pipeline, in ns.
    pub running_time: i64,
    /// They had come before, and waited until somebody wanted them: they tell nothing of the producer's clock.
    pub waited: bool,
}

/// Judges two clocks by how long after its presentation time a fragment begins to come, its lateness.
///
/// A fragment tells by its beginning, whether it comes frame by frame or is uploaded whole. Networks and producers hold
/// fragments back, and none comes before it is made. So frames are late only where no fragment of a window is on time;
/// and where fragments come early for a while, with others that are held back among them, what was shown first had come
/// late, and all that follows is shown later than it could be.
///
/// Invariant: presentation is by choice as far ahead of the fragments as `ahead` says, and never further by more than the
/// limit for long.
#[derive(Clone, Debug)]
pub struct Drift {
    /// How far the clocks may part, in ns.
    limit: i64,
    window: Option<Window>,
    /// The soonest lateness of the last whole window.
    usual: Option<i64>,
    ahead: Ahead,
    early: Option<Early>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    begin: i64,
    fragments: u32,
    soonest: i64,
}

/// How early fragments come by choice, in ns.
#[derive(Clone, Copy, Debug)]
enum Ahead {
    /// So much: as long as the pipeline was paused.
    Known(i64),
    /// At least so much: what was stored comes faster than it was made, and nobody asked for what is newest.
    CatchingUp(i64),
}

/// Fragments that come early.
#[derive(Clone, Copy, Debug)]
struct Early {
    /// When the first and the last of them came.
    since: i64,
    until: i64,
    /// The lateness of the one that is the least early, once what made them late at first has passed.
    least: Option<i64>,
}

impl Drift {
    /// Clocks may part by `limit` ns.
    pub fn new(limit: i64) -> Self {
        Self { limit, window: None, usual: None, ahead: Ahead::Known(0), early: None }
    }

    /// The same, where what comes first was stored: it says nothing of how soon frames come that are made later.
    pub fn catching_up(self) -> Self {
        Self { ahead: Ahead::CatchingUp(0), ..self }
    }

    /// How far the clocks may part, in ns.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// How long after its presentation time a fragment comes that nothing holds back, in ns.
    pub fn usual_lateness(&self) -> i64 {
        self.usual.or(self.window.map(|window| window.soonest)).unwrap_or(0)
    }

    /// Running time stood still for so many ns: all that follows is shown as much later, and is meant to be.
    pub fn paused(&mut self, pause: i64) {
        let (Ahead::Known(ahead) | Ahead::CatchingUp(ahead)) = &mut self.ahead;
        *ahead = ahead.saturating_add(pause);
        self.usual = self.usual.map(|usual| usual.saturating_sub(pause));
        self.corrected();
    }

    /// A fragment that is to be presented at `presentation`, in ns, begins to come: by how many ns presentation times have
    /// to change so that the clocks agree again. Positive where frames come too late, as those of a slow clock.
    pub fn judge(&mut self, presentation: i64, arrival: Arrival) -> Option<i64> {
        if arrival.waited {
            return None;
        }
        let now = arrival.running_time;
        let lateness = now.saturating_sub(presentation);
        let whole =
            self.window.filter(|window| now.saturating_sub(window.begin) >= WINDOW && window.fragments >= FRAGMENTS);
        let window = match self.window {
            Some(window) if whole.is_none() => Window {
                fragments: window.fragments.saturating_add(1),
                soonest: window.soonest.min(lateness),
                ..window
            },
            _ => Window { begin: now, fragments: 1, soonest: lateness },
        };
        self.window = Some(window);
        let late = whole.and_then(|Window { soonest, .. }| {
            self.usual = Some(soonest);
            self.catch_up(soonest);
            (soonest > self.limit).then_some(soonest)
        });
        if late.is_some() {
            // What was ahead of the fragments is used up.
            self.ahead = Ahead::Known(0);
        }
        let correction = late.or_else(|| self.early(now, lateness));
        if correction.is_some() {
            self.corrected();
        }
        correction
    }

    /// Presentation times have changed: what was seen before does not count any more.
    pub fn corrected(&mut self) {
        self.window = None;
        self.early = None;
    }

    /// What was stored has been read where fragments come no earlier than before.
    fn catch_up(&mut self, soonest: i64) {
        if let Ahead::CatchingUp(ahead) = self.ahead {
            let earlier = soonest.saturating_neg();
            self.ahead = if earlier > ahead.saturating_add(self.limit) {
                Ahead::CatchingUp(earlier)
            } else {
                Ahead::Known(earlier.max(ahead))
            };
        }
    }

    /// By how many ns fragments come earlier than need be, as a negative number, if they have for long enough.
    fn early(&mut self, now: i64, lateness: i64) -> Option<i64> {
        let Ahead::Known(ahead) = self.ahead else { return None };
        let lateness = lateness.saturating_add(ahead);
        let lasting = self.early.filter(|early| now.saturating_sub(early.until) <= STAYS);
        if lateness >= self.limit.saturating_neg() {
            self.early = lasting;
            return None;
        }
        let mut early = lasting.unwrap_or(Early { since: now, until: now, least: None });
        early.until = now;
        let lasts = now.saturating_sub(early.since);
        if lasts >= SETTLES {
            early.least = Some(early.least.map_or(lateness, |least| least.max(lateness)));
        }
        self.early = Some(early);
        early.least.filter(|_| lasts >= STAYS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const LIMIT: i64 = 3 * SECOND / 2;

    /// Fragments of a length, each presented at its own time: corrections, with the time at which each was made.
    struct Watched {
        drift: Drift,
        length: i64,
        time: i64,
        corrections: Vec<(i64, i64)>,
    }

    impl Watched {
        fn new(drift: Drift, length: i64) -> Self {
            Self { drift, length, time: 0, corrections: Vec::new() }
        }

        /// So many seconds of fragments that come with this lateness, as far as nothing was corrected.
        fn run(&mut self, seconds: i64, lateness: i64) -> &mut Self {
            let end = self.time + seconds * SECOND;
            while self.time < end {
                let moved: i64 = self.corrections.iter().map(|(_, correction)| correction).sum();
                let arrival = Arrival { running_time: self.time, waited: false };
                let correction = self.drift.judge(self.time - lateness + moved, arrival);
                self.corrections.extend(correction.map(|correction| (self.time, correction)));
                self.time += self.length;
            }
            self
        }
    }

    #[test]
    fn a_step_to_the_early_side_that_stays_is_found_within_half_a_minute() {
        for length in [1, 2, 5, 10] {
            let mut watched = Watched::new(Drift::new(LIMIT), length * SECOND);
            let step = watched.run(length, 0).time;
            watched.run(100, -8 * SECOND);
            let [(time, correction)] = watched.corrections[..] else { panic!("{:?}", watched.corrections) };
            assert_eq!(correction, -8 * SECOND);
            assert!(time - step <= 30 * SECOND, "{length}: {time}");
        }
    }

    #[test]
    fn what_passes_is_no_step() {
        let mut watched = Watched::new(Drift::new(LIMIT), 2 * SECOND);
        for _ in 0..20 {
            watched.run(14, -8 * SECOND).run(30, 0);
        }
        assert_eq!(watched.corrections, []);
    }

    #[test]
    fn interruptions_do_not_hide_a_step() {
        let mut watched = Watched::new(Drift::new(LIMIT), 2 * SECOND);
        watched.run(2, 0);
        for _ in 0..3 {
            watched.run(6, -8 * SECOND).run(2, SECOND);
        }
        assert_eq!(watched.corrections, [(watched.time - 8 * SECOND, -8 * SECOND)]);
    }

    #[test]
    fn a_pause_is_no_step_and_what_comes_on_top_of_it_is_one() {
        let mut watched = Watched::new(Drift::new(LIMIT), 2 * SECOND);
        watched.run(20, 0);
        watched.drift.paused(30 * SECOND);
        watched.run(100, -30 * SECOND);
        assert_eq!(watched.corrections, []);
        watched.run(30, -35 * SECOND);
        assert_eq!(watched.corrections.iter().map(|(_, correction)| *correction).collect::<Vec<_>>(), [-5 * SECOND]);
    }

    #[test]
    fn a_pause_that_is_used_up_makes_nothing_later() {
        let mut watched = Watched::new(Drift::new(LIMIT), 2 * SECOND);
        watched.run(20, 0);
        watched.drift.paused(30 * SECOND);
        for lateness in (-30..=1).rev() {
            watched.run(4, lateness * SECOND);
        }
        assert_eq!(watched.corrections, []);
    }

    #[test]
    fn what_was_late_for_a_while_is_as_near_as_before() {
        let mut watched = Watched::new(Drift::new(LIMIT), 2 * SECOND);
        watched.run(20, 0).run(60, 10 * SECOND).run(60, 0);
        let corrections: Vec<_> = watched.corrections.iter().map(|(_, correction)| *correction).collect();
        assert_eq!(corrections, [10 * SECOND, -10 * SECOND]);
    }

    #[test]
    fn a_backlog_that_was_asked_for_is_no_step() {
        let mut watched = Watched::new(Drift::new(LIMIT).catching_up(), 2 * SECOND);
        for lateness in 0..10 {
            watched.run(6, -60 * lateness * SECOND);
        }
        watched.run(100, -540 * SECOND);
        assert_eq!(watched.corrections, []);
        // From then on it is as any other.
        watched.run(30, -545 * SECOND);
        assert_eq!(watched.corrections.iter().map(|(_, correction)| *correction).collect::<Vec<_>>(), [-5 * SECOND]);
    }

    proptest! {
        /// Whatever came before, fragments that come evenly are on time within a minute, and nothing moves after that.
        #[test]
        fn what_stays_is_followed(
            before in prop::collection::vec((1_i64..30, -60_i64..60), 0..20),
            lateness in -60_i64..60,
            length in 1_i64..=10,
        ) {
            let mut watched = Watched::new(Drift::new(LIMIT), length * SECOND);
            for (seconds, lateness) in before {
                watched.run(seconds, lateness * SECOND);
            }
            watched.run(90, lateness * SECOND);
            let moved: i64 = watched.corrections.iter().map(|(_, correction)| correction).sum();
            prop_assert!((lateness * SECOND - moved).abs() <= LIMIT, "{:?}", watched.corrections);
            let corrections = watched.corrections.len();
            watched.run(200, lateness * SECOND);
            prop_assert_eq!(watched.corrections.len(), corrections);
        }
    }
}
