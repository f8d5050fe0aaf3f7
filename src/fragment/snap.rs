//! The keyframe that a range begins with, or, played backwards, ends with.

/// Which keyframe that is, beside a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snap {
    /// None: what comes before the moment is only decoded.
    #[default]
    Exact,
    /// The last one at the moment or before it.
    Before,
    /// The first one at the moment or behind it.
    After,
    /// The one of these that is closer.
    Nearest,
}

impl Snap {
    /// The same choice on a clock that runs backwards.
    pub fn reversed(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
            Self::Exact | Self::Nearest => self,
        }
    }
}

/// Looks for that keyframe in the frames of one video track, all moments in ns.
#[derive(Clone, Copy, Debug)]
pub struct Snapping {
    snap: Snap,
    wanted: i64,
    before: Option<i64>,
}

impl Snapping {
    pub fn new(snap: Snap, wanted: i64) -> Self {
        Self { snap, wanted, before: None }
    }

    /// The next frame in decoding order; the moment of the keyframe, once that is known.
    pub fn frame(&mut self, time: i64, keyframe: bool) -> Option<i64> {
        if keyframe && time <= self.wanted {
            self.before = Some(self.before.map_or(time, |before| before.max(time)));
            return (time == self.wanted).then_some(time);
        }
        match self.snap {
            Snap::Exact => Some(self.wanted),
            Snap::Before if time >= self.wanted => Some(self.finish()),
            Snap::After if keyframe => Some(time),
            Snap::Nearest => match self.before {
                Some(before) if self.is_farther(time, before) => Some(before),
                // Of two that are as close, it is the one before.
                Some(before) if keyframe && time.saturating_sub(self.wanted) == self.wanted.saturating_sub(before) => {
                    Some(before)
                }
                _ => keyframe.then_some(time),
            },
            _ => None,
        }
    }

    /// Nothing follows: where there is no such keyframe, the moment itself.
    pub fn finish(&self) -> i64 {
        match (self.snap, self.before) {
            (Snap::Before | Snap::Nearest, Some(before)) => before,
            _ => self.wanted,
        }
    }

    fn is_farther(&self, time: i64, than: i64) -> bool {
        time.saturating_sub(self.wanted) > self.wanted.saturating_sub(than)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where frames of 40 ms with a keyframe each 200 ms begin, and after how many of them that is known.
    fn found(snap: Snap, wanted: i64) -> (i64, usize) {
        let mut snapping = Snapping::new(snap, wanted);
        let mut frames = (0..20_i64).map(|frame| snapping.frame(frame * 40, frame % 5 == 0));
        match frames.by_ref().enumerate().find_map(|(index, found)| found.map(|found| (found, index + 1))) {
            Some(found) => found,
            None => (snapping.finish(), 20),
        }
    }

    #[test]
    fn the_keyframe_is_found_as_soon_as_it_can_be_known() {
        assert_eq!(found(Snap::Exact, 290), (290, 2));
        assert_eq!(found(Snap::Before, 290), (200, 9));
        assert_eq!(found(Snap::After, 290), (400, 11));
        assert_eq!(found(Snap::Nearest, 290), (200, 11));
        assert_eq!(found(Snap::Nearest, 310), (400, 11));
        assert_eq!(found(Snap::Nearest, 210), (200, 7));
        // As far from the one as from the other.
        assert_eq!(found(Snap::Nearest, 300), (200, 11));
        for snap in [Snap::Before, Snap::After, Snap::Nearest] {
            assert_eq!(found(snap, 400), (400, 11));
        }
    }

    #[test]
    fn where_no_keyframe_follows_there_is_the_one_before_or_none() {
        assert_eq!(found(Snap::After, 700), (700, 20));
        assert_eq!(found(Snap::Nearest, 780), (600, 20));
        assert_eq!(found(Snap::Before, 900), (600, 20));
    }
}
