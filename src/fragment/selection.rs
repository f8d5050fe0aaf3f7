//! Which of the listed fragments are to be fetched.

use super::copies::without_copies;
use super::{Listed, Steps, reaches, reaching};

/// Chooses from what is listed in the order in which it is played.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// The first moment that is wanted, in ms since 1970; `None`: the earliest there is.
    start: Option<i64>,
    direction: Direction,
    steps: Option<Steps>,
    /// The step of the last fragment chosen.
    shown: Option<i64>,
    drops_copies: bool,
    copies: u64,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    /// A fragment has come that begins at the start or behind it.
    Forward { begun: bool },
    /// The last moment that is wanted, in ms since 1970, and the beginning of the fragment that came last.
    Backward { stop: i64, next_start: Option<i64> },
}

impl Selection {
    /// From `start` on, forward.
    pub fn forward(start: Option<i64>) -> Self {
        Self::new(start)
    }

    /// From `stop` back to `start`. Of the fragments that begin behind `stop`, the first is wanted too, where any are
    /// listed: a keyframe is looked for there.
    pub fn backward(start: i64, stop: i64) -> Self {
        let direction = Direction::Backward { stop, next_start: None };
        Self { direction, ..Self::new(Some(start)) }
    }

    fn new(start: Option<i64>) -> Self {
        let direction = Direction::Forward { begun: false };
        Self { start, direction, steps: None, shown: None, drops_copies: false, copies: 0 }
    }

    /// Of the fragments that begin in one step, only the first that is played. A fragment begins with a keyframe, so that
    /// the others have none that is needed.
    pub fn thinned(self, steps: Option<Steps>) -> Self {
        Self { steps, ..self }
    }

    /// Of copies of one fragment, only one.
    pub fn without_copies(self, drops_copies: bool) -> Self {
        Self { drops_copies, ..self }
    }

    /// How many copies have not been chosen.
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// Takes in what comes next of the listing.
    pub fn choose(&mut self, listed: Vec<Listed>) -> Vec<Listed> {
        let mut chosen = match &mut self.direction {
            Direction::Forward { begun } => match self.start {
                Some(start) if !*begun => {
                    *begun = listed.iter().any(|fragment| fragment.timestamp >= start);
                    reaching(start, listed)
                }
                _ => listed,
            },
            Direction::Backward { stop, next_start } => backward(listed, self.start, *stop, next_start),
        };
        if let Some(steps) = self.steps {
            let stop = match self.direction {
                Direction::Forward { .. } => i64::MAX,
                Direction::Backward { stop, .. } => stop,
            };
            chosen.retain(|fragment| {
                let step = Some(steps.of(fragment.timestamp.saturating_mul(1_000_000)));
                fragment.timestamp > stop || std::mem::replace(&mut self.shown, step) != step
            });
        }
        if self.drops_copies {
            let copies;
            (chosen, copies) = without_copies(chosen);
            self.copies = self.copies.saturating_add(copies);
        }
        chosen
    }
}

fn backward(listed: Vec<Listed>, start: Option<i64>, stop: i64, next_start: &mut Option<i64>) -> Vec<Listed> {
    let mut behind = None;
    let mut chosen = Vec::new();
    for fragment in listed {
        let next = next_start.replace(fragment.timestamp);
        if fragment.timestamp > stop {
            behind = Some(fragment);
            continue;
        }
        if start.is_none_or(|start| reaches(start, &fragment, next)) {
            chosen.extend(behind.take());
            chosen.push(fragment);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::FragmentNumber;

    /// Fragments of 2 s that begin at these seconds.
    fn listed(starts: &[i64]) -> Vec<Listed> {
        let fragment = |start: &i64| {
            let number = FragmentNumber::new(&start.to_string()).unwrap();
            Listed { number, timestamp: start * 1000, length: 2000, size: 1000 }
        };
        starts.iter().map(fragment).collect()
    }

    fn seconds(listed: &[Listed]) -> Vec<i64> {
        listed.iter().map(|fragment| fragment.timestamp / 1000).collect()
    }

    #[test]
    fn forward_it_begins_with_what_holds_the_start() {
        let mut selection = Selection::forward(Some(5000));
        assert_eq!(seconds(&selection.choose(listed(&[0, 2, 4, 6]))), [4, 6]);
        assert_eq!(seconds(&selection.choose(listed(&[8, 10]))), [8, 10]);
    }

    #[test]
    fn what_lies_before_the_start_is_not_wanted_whenever_it_is_listed() {
        let mut selection = Selection::forward(Some(5000));
        for (page, wanted) in [(&[][..], &[][..]), (&[0], &[]), (&[2], &[]), (&[4], &[4]), (&[6, 8], &[6, 8])] {
            assert_eq!(seconds(&selection.choose(listed(page))), wanted, "{page:?}");
        }
    }

    #[test]
    fn backward_it_ends_with_what_holds_the_start() {
        let mut selection = Selection::backward(5000, 10_500);
        assert_eq!(seconds(&selection.choose(listed(&[16, 14, 12, 10, 8]))), [12, 10, 8]);
        assert_eq!(seconds(&selection.choose(listed(&[6, 4, 2, 0]))), [6, 4]);
    }

    #[test]
    fn of_a_step_one_fragment_is_fetched() {
        let steps = Some(Steps::new(8.0, 0, 0));
        let mut selection = Selection::forward(Some(0)).thinned(steps);
        assert_eq!(seconds(&selection.choose(listed(&[0, 2, 4, 6, 8, 10]))), [0, 4, 6, 8]);
        assert_eq!(seconds(&selection.choose(listed(&[12, 14, 16, 18]))), [12, 14, 16]);
        let mut selection = Selection::backward(0, 16_000).thinned(steps);
        assert_eq!(seconds(&selection.choose(listed(&[16, 14, 12, 10]))), [16, 14, 12, 10]);
        assert_eq!(seconds(&selection.choose(listed(&[8, 6, 4, 2, 0]))), [6, 4, 2]);
    }
}
