//! The end of what is listed of a stream that goes on: what was put last may be listed before what was put before it.

use super::{FragmentNumber, Listed};

/// How far before the newest a fragment may begin, in ms, whose neighbours may not be listed yet.
const YOUNG: i64 = 5000;

/// How far apart fragments may lie, in ms, between which none is missing.
const GAP: i64 = 250;

/// Keeps back what lies behind a gap among the youngest fragments of a listing, until it is known that it is old enough.
#[derive(Debug, Default)]
pub struct Tail {
    /// What has been given out.
    before: Before,
    held: Vec<Listed>,
}

/// Where fragments ended, in ms since 1970, and the greatest number of them.
#[derive(Clone, Debug, Default)]
struct Before(Option<(i64, FragmentNumber)>);

impl Before {
    fn add(&mut self, fragment: &Listed) {
        let end = fragment.timestamp.saturating_add(fragment.length.into());
        let (end, greatest) = match self.0.take() {
            Some((before, greatest)) => (before.max(end), greatest.max(fragment.number.clone())),
            None => (end, fragment.number.clone()),
        };
        self.0 = Some((end, greatest));
    }

    /// Whether something may be missing before this fragment.
    fn is_far_from(&self, next: &Listed) -> bool {
        self.0.as_ref().is_some_and(|(end, _)| next.timestamp.saturating_sub(*end) > GAP)
    }

    fn has_lower_numbers_than(&self, later: &[Listed]) -> bool {
        self.0.as_ref().is_some_and(|(_, greatest)| later.iter().all(|fragment| fragment.number > *greatest))
    }
}

impl Tail {
    /// Takes in what comes next of the listing, in order; what is to be read whatever follows.
    pub fn push(&mut self, listed: Vec<Listed>) -> Vec<Listed> {
        self.held.extend(listed);
        let young = self.held.last().map_or(0, |newest| newest.timestamp.saturating_sub(YOUNG));
        self.give_up_to(|before, later| {
            later.first().is_some_and(|next| next.timestamp >= young && before.is_far_from(next))
        })
    }

    /// Nothing else is listed: what comes before the first gap. What lies behind that has greater numbers than all before.
    pub fn finish(mut self) -> Vec<Listed> {
        self.give_up_to(|before, later| {
            later.first().is_some_and(|next| before.is_far_from(next)) && before.has_lower_numbers_than(later)
        })
    }

    /// What lies before the first place, if any, at which to stop.
    fn give_up_to(&mut self, stops: impl Fn(&Before, &[Listed]) -> bool) -> Vec<Listed> {
        let mut count = 0;
        while let Some((next, _)) = self.held.get(count..).and_then(<[Listed]>::split_first) {
            if stops(&self.before, self.held.get(count..).unwrap_or_default()) {
                break;
            }
            self.before.add(next);
            count += 1;
        }
        self.held.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fragments of 2 s that begin at these ms, with these numbers.
    fn listed(fragments: &[(i64, u64)]) -> Vec<Listed> {
        let fragment = |(timestamp, number): &(i64, u64)| {
            let number = FragmentNumber::new(&number.to_string()).unwrap();
            Listed { number, timestamp: *timestamp, length: 2000, size: 1000 }
        };
        fragments.iter().map(fragment).collect()
    }

    fn begins(listed: &[Listed]) -> Vec<i64> {
        listed.iter().map(|fragment| fragment.timestamp).collect()
    }

    #[test]
    fn what_lies_behind_a_gap_comes_when_it_is_old() {
        let mut tail = Tail::default();
        assert_eq!(begins(&tail.push(listed(&[(0, 1), (2100, 2), (6000, 3), (8000, 4)]))), [0, 2100]);
        assert!(tail.push(Vec::new()).is_empty());
        assert!(tail.push(listed(&[(10_000, 5)])).is_empty());
        assert_eq!(begins(&tail.push(listed(&[(12_000, 6)]))), [6000, 8000, 10_000, 12_000]);
        assert!(tail.finish().is_empty());
    }

    #[test]
    fn what_lies_behind_a_young_gap_does_not_come() {
        for (fragments, wanted) in [
            (&[(0, 1), (2000, 2), (6000, 4)][..], &[0, 2000][..]),
            (&[(0, 1), (4000, 3), (6000, 4)], &[0]),
            (&[(2000, 2), (6000, 4)], &[2000]),
            (&[(6000, 4)], &[6000]),
            // An old gap stays one.
            (&[(0, 1), (4000, 3), (6000, 4), (8000, 5), (10_000, 6)], &[0, 4000, 6000, 8000, 10_000]),
            // The camera's clock was set back: what lies behind the gap came first.
            (&[(0, 7), (2000, 8), (6000, 4)], &[0, 2000, 6000]),
        ] {
            let mut tail = Tail::default();
            let mut all = tail.push(listed(fragments));
            all.extend(tail.finish());
            assert_eq!(begins(&all), wanted, "{fragments:?}");
        }
    }
}
