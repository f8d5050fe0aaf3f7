//! What is left out of a range that is played fast.

/// How many keyframes of a track come in a second of running time at most: as many as an eye takes for a movement, and a
/// decoder has the time for.
const KEYFRAMES_A_SECOND: i64 = 3;

/// What is wanted of a stream that has video; one that has none is played as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trick {
    /// Only keyframes of video, and not all of them.
    pub keyframes: Option<Steps>,
    pub without_audio: bool,
}

/// Time cut into steps, each of which needs one keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Where one of them begins, in ns, and how long each is.
    anchor: i64,
    length: i64,
}

impl Steps {
    /// The steps of a range that is played at `rate` from `anchor` on, in ns: each lasts a third of a second of running
    /// time, and at least `interval` ns. At rate 8 that is 2.67 s of the stream, so that of fragments of 2 s every fourth
    /// need not be fetched.
    pub fn new(rate: f64, interval: u64, anchor: i64) -> Self {
        // Saturates where a rate is beyond all sense.
        let length = (rate.abs() * 1e9) as i64 / KEYFRAMES_A_SECOND;
        Self { anchor, length: length.max(i64::try_from(interval).unwrap_or(i64::MAX)).max(1) }
    }

    /// Which step a moment, in ns, lies in.
    pub fn of(&self, time: i64) -> i64 {
        time.saturating_sub(self.anchor).div_euclid(self.length)
    }
}

/// Chooses keyframes, the first that comes of each step.
#[derive(Clone, Debug, Default)]
pub struct Thinning {
    tracks: Vec<Shown>,
}

/// The steps of a track that have a keyframe.
#[derive(Clone, Copy, Debug)]
struct Shown {
    track: Option<usize>,
    last: i64,
    lowest: i64,
    /// All from this one on, which came in earlier runs.
    done: Option<i64>,
}

impl Thinning {
    /// Whether a keyframe of a track is wanted that lies in this step.
    pub fn wants(&mut self, track: Option<usize>, step: i64) -> bool {
        match self.tracks.iter_mut().find(|shown| shown.track == track) {
            None => self.tracks.push(Shown { track, last: step, lowest: step, done: None }),
            Some(shown) if shown.last == step || shown.done.is_some_and(|done| step >= done) => return false,
            Some(shown) => {
                shown.last = step;
                shown.lowest = shown.lowest.min(step);
            }
        }
        true
    }

    /// What follows lies before all that came: a range that is played backwards.
    pub fn go_back(&mut self) {
        self.tracks.iter_mut().for_each(|shown| shown.done = Some(shown.lowest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_three_keyframes_whatever_the_rate() {
        for rate in [1.0, 8.0, -8.0, 100.0] {
            let steps = Steps::new(rate, 0, 5_000_000_000);
            let lasts = (rate.abs() * 1e9) as i64;
            assert_eq!(steps.of(5_000_000_000), 0);
            assert_eq!(steps.of(5_000_000_000 + lasts - 10) - steps.of(5_000_000_000), 2);
        }
        assert_eq!(Steps::new(1.0, 2_000_000_000, 0).of(4_000_000_000), 2);
        for rate in [0.0, f64::MAX, f64::NAN, f64::MIN_POSITIVE] {
            Steps::new(rate, 0, i64::MIN).of(i64::MAX);
        }
    }

    #[test]
    fn each_step_is_shown_once_in_either_direction() {
        let mut thinning = Thinning::default();
        let mut wanted =
            |steps: &[i64]| -> Vec<bool> { steps.iter().map(|step| thinning.wants(Some(0), *step)).collect() };
        assert_eq!(wanted(&[0, 0, 1, 3, 3]), [true, false, true, true, false]);
        let mut thinning = Thinning::default();
        let mut wanted = |steps: &[i64]| -> Vec<bool> {
            thinning.go_back();
            steps.iter().map(|step| thinning.wants(Some(0), *step)).collect()
        };
        assert_eq!(wanted(&[5, 6]), [true, true]);
        assert_eq!(wanted(&[4, 5]), [true, false]);
        assert_eq!(wanted(&[2, 3, 4]), [true, true, false]);
    }
}
