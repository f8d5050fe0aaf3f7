//! Which of the listed fragments are one fragment again, as far as a listing tells.

use std::collections::HashMap;

use super::Listed;

/// Leaves out all but the last copy of what is listed several times with one timestamp, one length and one size; how many
/// that were. Of copies, that with the greatest number is kept the longest by the service.
///
/// A size tells one fragment from another only if sizes differ: where fragments of other times have the same size, as those of
/// raw audio do, all are kept, and their frames decide.
pub fn without_copies(listed: Vec<Listed>) -> (Vec<Listed>, u64) {
    let is_again = |fragment: &Listed, other: &Listed| {
        fragment.timestamp == other.timestamp && fragment.length == other.length && fragment.size == other.size
    };
    // Where each size occurs, and whether that is at one time only.
    let mut sizes: HashMap<u32, (i64, bool)> = HashMap::new();
    for fragment in &listed {
        let (timestamp, is_rare) = sizes.entry(fragment.size).or_insert((fragment.timestamp, true));
        *is_rare &= *timestamp == fragment.timestamp;
    }
    let is_rare = |fragment: &Listed| sizes.len() > 1 && sizes.get(&fragment.size).is_some_and(|(_, is_rare)| *is_rare);
    let mut kept: Vec<Listed> = Vec::with_capacity(listed.len());
    let mut copies = 0_u64;
    for fragment in listed {
        let mut same_time = kept.iter_mut().rev().take_while(|other| other.timestamp == fragment.timestamp);
        match same_time.find(|other| is_rare(&fragment) && is_again(&fragment, other)) {
            Some(other) => {
                copies = copies.saturating_add(1);
                if other.number < fragment.number {
                    *other = fragment;
                }
            }
            None => kept.push(fragment),
        }
    }
    (kept, copies)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fragment::FragmentNumber;

    fn listed(fragments: &[(i64, u64, u32)]) -> Vec<Listed> {
        let fragment = |(timestamp, number, size): &(i64, u64, u32)| {
            let number = FragmentNumber::new(&number.to_string()).unwrap();
            Listed { number, timestamp: *timestamp, length: 2000, size: *size }
        };
        fragments.iter().map(fragment).collect()
    }

    fn kept(fragments: &[(i64, u64, u32)]) -> (Vec<String>, u64) {
        let (kept, copies) = without_copies(listed(fragments));
        (kept.into_iter().map(|fragment| fragment.number.to_string()).collect(), copies)
    }

    fn numbers(numbers: &[u64]) -> Vec<String> {
        numbers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn of_copies_the_last_is_kept() {
        let uploads = [(0, 1, 900), (0, 5, 900), (2000, 2, 950), (2000, 6, 950), (4000, 3, 870), (4000, 7, 870)];
        assert_eq!(kept(&uploads), (numbers(&[5, 6, 7]), 3));
        let mut backward = uploads;
        backward.reverse();
        assert_eq!(kept(&backward), (numbers(&[7, 6, 5]), 3));
        assert_eq!(kept(&[(0, 1, 900), (0, 2, 900), (0, 3, 900), (2000, 4, 901)]), (numbers(&[3, 4]), 2));
    }

    #[test]
    fn what_only_has_the_same_time_is_kept() {
        assert_eq!(kept(&[(0, 1, 900), (0, 2, 901), (2000, 3, 950), (2000, 4, 951)]), (numbers(&[1, 2, 3, 4]), 0));
        // Sizes that tell nothing.
        assert_eq!(kept(&[(0, 1, 900), (0, 2, 900), (2000, 3, 900), (2000, 4, 900)]), (numbers(&[1, 2, 3, 4]), 0));
        assert_eq!(kept(&[(0, 1, 900), (0, 2, 900)]), (numbers(&[1, 2]), 0));
        assert_eq!(kept(&[]), (Vec::new(), 0));
    }

    proptest! {
        #[test]
        fn one_of_each_time_and_size_is_kept_in_order(
            fragments in proptest::collection::vec((0_i64..6, 0_u32..4), 0..24),
        ) {
            let mut all: Vec<_> =
                fragments.iter().enumerate().map(|(index, (time, size))| (time * 2000, index as u64, *size)).collect();
            all.sort_unstable_by_key(|(time, number, _)| (*time, *number));
            let (kept, copies) = without_copies(listed(&all));
            prop_assert_eq!(kept.len() as u64 + copies, all.len() as u64);
            prop_assert!(kept.is_sorted_by_key(|fragment| fragment.timestamp));
            for (time, _, size) in &all {
                prop_assert!(kept.iter().any(|fragment| fragment.timestamp == *time && fragment.size == *size));
            }
        }
    }
}
