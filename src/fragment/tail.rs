//! The end of what is listed of a stream that goes on: what was put last may be listed before what was put before it.

use super::{FragmentNumber, Listed};

/// How far before the newest a fragment may begin, in ms, whose neighbours may not be listed yet.
const YOUNG: i64 = 5000;

/// How far apart fragments may lie, in ms, between which none is missing.
const GAP: i64 = 250;

/// Keeps back the youngest fragments of a listing until it is known which are the last.
#[derive(Debug, Default)]
pub struct Tail {
    /// Where what has been given out ended, in ms since 1970, and the greatest number of it.
    before: Option<(i64, FragmentNumber)>,
    held: Vec<Listed>,
}

impl Tail {
    /// Takes in what comes next of the listing, in order; what is old enough.
    pub fn push(&mut self, listed: Vec<Listed>) -> Vec<Listed> {
        self.held.extend(listed);
        let newest = self.held.last().map_or(0, |fragment| fragment.timestamp);
        let old = self.held.partition_point(|fragment| fragment.timestamp < newest.saturating_sub(YOUNG));
        let young = self.held.split_off(old);
        let old = std::mem::replace(&mut self.held, young);
        old.iter().for_each(|fragment| self.before = Some(behind(self.before.take(), fragment)));
        old
    }

    /// Nothing else is listed: what comes before the first gap. What lies behind that has greater numbers than all before.
    pub fn finish(mut self) -> Vec<Listed> {
        let mut before = self.before.take();
        let is_cut = |index: &usize| {
            let (earlier, later) = self.held.split_at(*index);
            if let Some(last) = index.checked_sub(1).and_then(|last| earlier.get(last)) {
                before = Some(behind(before.take(), last));
            }
            let (Some((end, greatest)), Some(next)) = (&before, later.first()) else { return false };
            next.timestamp.saturating_sub(*end) > GAP && later.iter().all(|fragment| fragment.number > *greatest)
        };
        let cut = (0..self.held.len()).find(is_cut);
        self.held.truncate(cut.unwrap_or(usize::MAX));
        self.held
    }
}

/// Where all up to this fragment ends, and the greatest number of them.
fn behind(before: Option<(i64, FragmentNumber)>, fragment: &Listed) -> (i64, FragmentNumber) {
    let end = fragment.timestamp.saturating_add(fragment.length.into());
    let number = fragment.number.clone();
    before.map_or((end, number.clone()), |(before, greatest)| (before.max(end), greatest.max(number)))
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
    fn what_is_old_comes_at_once_and_what_is_young_at_the_end() {
        let mut tail = Tail::default();
        assert_eq!(begins(&tail.push(listed(&[(0, 1), (2000, 2), (4100, 3), (6000, 4), (8000, 5)]))), [0, 2000]);
        assert!(tail.push(Vec::new()).is_empty());
        assert_eq!(begins(&tail.push(listed(&[(10_000, 6)]))), [4100]);
        assert_eq!(begins(&tail.finish()), [6000, 8000, 10_000]);
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
