//! Which calls list a range of the archive in order, though each answer is in none.

use super::FragmentNumber;

/// No fragment is longer, in ms ([quotas](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html)).
const LONGEST_FRAGMENT: i64 = 10_000;

/// How much of the range the first call asks for, in ms: enough for the first calls that fetch, and answered with one page
/// where fragments last a third of a second or more.
const FIRST_WINDOW: i64 = 300_000;

/// How many fragments a later call is meant to find: less than a page, as they do not come evenly.
const WANTED: i64 = 700;

/// How far a fragment may reach past the length that is listed for it, in ms: the last frame's own duration.
const LAST_FRAME: i64 = 1000;

/// A fragment as ListFragments describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub number: FragmentNumber,
    /// Milliseconds since 1970, on the clock that was listed by.
    pub timestamp: i64,
    /// Milliseconds.
    pub length: u32,
    /// Bytes.
    pub size: u32,
}

/// A call of ListFragments: fragments that begin from `start` to `end`, both in ms since 1970 and inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub start: i64,
    pub end: i64,
    /// The page behind the one that was answered last.
    pub next_page: bool,
}

/// Lists a range from its beginning to its end or the other way, a window at a time, and never holds more than one.
///
/// Pages are in no order, so that the first fragment is known only once a window is known whole: windows are cut so that
/// they fit a page. Behind an empty one comes a probe of all that is left: the earliest of its first page bounds a
/// window that holds a thousandth of what the probe found.
#[derive(Clone, Debug)]
pub struct Listing {
    /// From the range's end to its beginning: then times are counted backwards here, and signs are the other way.
    backward: bool,
    /// Where the window at hand begins, and where the range ends.
    start: i64,
    end: i64,
    width: i64,
    window: Window,
    /// What the pages of the window held so far.
    found: Vec<Listed>,
    next_page: bool,
    /// The last fragment given out: what the service lists twice comes once.
    last: Option<(i64, FragmentNumber)>,
}

/// What is asked for, up to a moment.
#[derive(Clone, Copy, Debug)]
enum Window {
    /// All of it, over as many pages as there are.
    All(i64),
    /// All of it where it fits a page, else only the earliest.
    Probe(i64),
}

impl Listing {
    /// All fragments with a frame between `start` and `end`, in ms since 1970, the latter inclusive. Fragments are listed
    /// by their beginning, so that this asks for one maximal fragment more.
    pub fn new(start: i64, end: i64) -> Self {
        let first = start.saturating_sub(LONGEST_FRAGMENT).max(0);
        let window = Window::Probe(start.saturating_add(FIRST_WINDOW).min(end));
        Self::from(first, end, window)
    }

    /// The same from the end to the beginning.
    pub fn backward(start: i64, end: i64) -> Self {
        let first = start.saturating_sub(LONGEST_FRAGMENT).max(0);
        let (begin, end) = (end.saturating_neg(), first.saturating_neg());
        let window = Window::Probe(begin.saturating_add(FIRST_WINDOW).min(end));
        Self { backward: true, ..Self::from(begin, end, window) }
    }

    /// How long a fragment may be, in ms: so far behind a moment the next one begins at the latest, where nothing is missing.
    pub const fn reach() -> i64 {
        LONGEST_FRAGMENT
    }

    /// All fragments up to `end`, in ms since 1970.
    pub fn earliest(end: i64) -> Self {
        Self::from(0, end, Window::Probe(end))
    }

    fn from(start: i64, end: i64, window: Window) -> Self {
        Self {
            backward: false,
            start,
            end,
            width: FIRST_WINDOW,
            window,
            found: Vec::new(),
            next_page: false,
            last: None,
        }
    }

    /// The next call to make; `None` where all is listed.
    pub fn call(&self) -> Option<Call> {
        let (Window::All(end) | Window::Probe(end)) = self.window;
        let (start, end) = match self.backward {
            false => (self.start, end),
            true => (end.saturating_neg(), self.start.saturating_neg()),
        };
        (self.start <= self.end).then_some(Call { start, end, next_page: self.next_page })
    }

    /// Whether what is asked for now may end before all that is still kept: then something may lie behind it, or, from
    /// the end on, nothing before it. Only a window as a whole may: of one of which the first page came, the others are
    /// there.
    pub fn may_be_refused(&self) -> bool {
        let (Window::All(end) | Window::Probe(end)) = self.window;
        !self.next_page && if self.backward { self.last.is_some() } else { end < self.end }
    }

    /// The window at hand is asked for from its first page on again.
    pub fn again(&mut self) {
        self.found.clear();
        self.next_page = false;
    }

    /// Takes in the answer to that call, of which `more` pages follow. What comes next of the range, by timestamp and
    /// then by number: nothing where that is not known yet.
    pub fn answer(&mut self, page: Vec<Listed>, more: bool) -> Vec<Listed> {
        // What was not asked for is not taken.
        let asked = self.call().map(|call| call.start..=call.end);
        self.found.extend(
            page.into_iter().filter(|fragment| asked.as_ref().is_some_and(|asked| asked.contains(&fragment.timestamp))),
        );
        match self.window {
            Window::Probe(end) if more => match self.found.iter().map(|fragment| self.time_of(fragment)).min() {
                Some(earliest) if earliest < end => {
                    self.begin(self.start, Window::Probe(earliest.max(self.start)));
                    Vec::new()
                }
                // All of them begin at one moment, or the page was empty.
                earliest => {
                    self.next_page = true;
                    if earliest.is_some() {
                        self.window = Window::All(end);
                    }
                    Vec::new()
                }
            },
            Window::All(_) if more => {
                self.next_page = true;
                Vec::new()
            }
            Window::All(end) | Window::Probe(end) => self.finish(end),
        }
    }

    fn time_of(&self, fragment: &Listed) -> i64 {
        if self.backward { fragment.timestamp.saturating_neg() } else { fragment.timestamp }
    }

    fn begin(&mut self, start: i64, window: Window) {
        self.start = start;
        self.window = window;
        self.found.clear();
        self.next_page = false;
    }

    /// The window up to `end` is known whole.
    fn finish(&mut self, end: i64) -> Vec<Listed> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable_by(|left, right| (left.timestamp, &left.number).cmp(&(right.timestamp, &right.number)));
        if self.backward {
            found.reverse();
        }
        found.retain(|fragment| {
            let key = (fragment.timestamp, fragment.number.clone());
            let new = self.last.as_ref().is_none_or(|last| if self.backward { key < *last } else { *last < key });
            if new {
                self.last = Some(key);
            }
            new
        });
        let start = end.saturating_add(1);
        if found.is_empty() {
            self.width = FIRST_WINDOW;
            self.begin(start, Window::Probe(self.end));
            return found;
        }
        let listed = end.saturating_sub(self.start).saturating_add(1);
        let count = i64::try_from(found.len()).unwrap_or(i64::MAX).max(1);
        let wanted = listed.saturating_mul(WANTED) / count;
        // A window that was cut at its only fragment tells nothing of how dense they are.
        self.width = if count > 1 { wanted.clamp(1000, self.width.saturating_mul(32)) } else { FIRST_WINDOW };
        self.begin(start, Window::All(start.saturating_add(self.width).min(self.end)));
        found
    }
}

/// Those of the first fragments, in order, that have frames at `start` (ms since 1970) or behind it.
pub fn reaching(start: i64, mut fragments: Vec<Listed>) -> Vec<Listed> {
    let next_starts: Vec<Option<i64>> =
        fragments.iter().skip(1).map(|next| Some(next.timestamp)).chain([None]).collect();
    let mut next_starts = next_starts.into_iter();
    fragments.retain(|fragment| reaches(start, fragment, next_starts.next().flatten()));
    fragments
}

/// Whether a fragment has frames at `start` or behind it; `next_start` is where the next one begins. All in ms since 1970.
pub fn reaches(start: i64, fragment: &Listed, next_start: Option<i64>) -> bool {
    let end = fragment.timestamp.saturating_add(fragment.length.into());
    // Where nothing else holds the moment, the last frame of this one may.
    let is_last = next_start.is_none_or(|next| next > start);
    fragment.timestamp >= start
        || fragment.length == 0
        || end > start
        || (is_last && end.saturating_add(LAST_FRAME) > start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(timestamp: i64, number: u64, length: u32) -> Listed {
        Listed { number: FragmentNumber::new(&number.to_string()).unwrap(), timestamp, length, size: 1000 }
    }

    /// Runs a listing against a service with these fragments, in this order and pages of so many; what was listed and how
    /// many calls there were until the first fragment, and in all.
    fn run(mut listing: Listing, stored: &[Listed], page: usize) -> (Vec<Listed>, usize, usize) {
        let (mut all, mut first, mut calls, mut place) = (Vec::new(), 0, 0, 0);
        while let Some(call) = listing.call() {
            calls += 1;
            assert!(calls < 10_000, "{call:?}");
            place = if call.next_page { place + page } else { 0 };
            let inside = |fragment: &&Listed| (call.start..=call.end).contains(&fragment.timestamp);
            let found: Vec<Listed> = stored.iter().filter(inside).cloned().collect();
            let here: Vec<Listed> = found.iter().skip(place).take(page).cloned().collect();
            all.extend(listing.answer(here, place + page < found.len()));
            if first == 0 && !all.is_empty() {
                first = calls;
            }
        }
        (all, first, calls)
    }

    fn day(shuffled: bool) -> Vec<Listed> {
        let mut all: Vec<Listed> =
            (0..43_200).map(|index: u64| fragment(1_000_000_000 + index as i64 * 2000, 500 + index, 2000)).collect();
        if shuffled {
            all.sort_by_key(|fragment| {
                fragment.number.as_str().parse::<u64>().unwrap_or(0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            });
        }
        all
    }

    #[test]
    fn a_day_is_listed_in_order_with_little_more_than_its_pages() {
        let in_order = day(false);
        for stored in [day(true), day(false)] {
            let end = 1_000_000_000 + 86_400_000;
            let (all, first, calls) = run(Listing::new(1_000_000_000, end), &stored, 1000);
            assert_eq!(all, in_order);
            assert_eq!(first, 1);
            assert!(calls < 75, "{calls}");
            // The beginning is unknown: as it is for who reads from the earliest fragment on.
            let (all, first, calls) = run(Listing::earliest(end + 1_000_000_000_000), &stored, 1000);
            assert_eq!(all, in_order);
            assert!(first <= 2, "{first}");
            assert!(calls < 80, "{calls}");
        }
    }

    #[test]
    fn a_day_is_listed_from_any_moment_back() {
        let mut in_order = day(false);
        in_order.reverse();
        for (shuffled, stored) in [(true, day(true)), (false, day(false))] {
            for (stop, skipped) in [(86_400_000, 0), (50_000_000, 18_199)] {
                let (all, first, calls) = run(Listing::backward(1_000_000_000, 1_000_000_000 + stop), &stored, 1000);
                assert_eq!(all, in_order[skipped..]);
                assert_eq!(first, 1);
                assert!(calls < 75, "{calls}");
            }
            // A week behind the last fragment.
            let (all, first, _) = run(Listing::backward(1_000_000_000, 1_700_000_000), &stored, 1000);
            assert_eq!(all, in_order);
            assert!(!shuffled || first <= 3, "{first}");
        }
    }

    #[test]
    fn years_without_a_fragment_cost_a_call_or_two() {
        const YEAR: i64 = 365 * 86_400_000;
        let stored: Vec<_> = (0..10).map(|year: u64| fragment(year as i64 * YEAR, year, 2000)).collect();
        let (all, _, calls) = run(Listing::new(0, 20 * YEAR), &stored, 1000);
        assert_eq!(all, stored);
        assert!(calls < 5, "{calls}");
        let (mut all, _, calls) = run(Listing::backward(0, 20 * YEAR), &stored, 1000);
        all.reverse();
        assert_eq!(all, stored);
        assert!(calls < 5, "{calls}");
    }

    #[test]
    fn what_holds_the_start_is_wanted() {
        let stored = [fragment(0, 1, 2000), fragment(2000, 2, 2000), fragment(4000, 3, 2000)];
        let from = |start| reaching(start, stored.to_vec()).len();
        assert_eq!([0, 1999, 2000, 3999, 4000, 5999, 6500, 7000].map(from), [3, 3, 2, 2, 1, 1, 1, 0]);
    }

    proptest! {
        #[test]
        fn every_fragment_of_a_range_comes_once_and_in_order(
            times in proptest::collection::vec(0_i64..3_000_000, 0..120),
            (start, length) in (0_i64..3_000_000, 0_i64..3_000_000),
            page in 1_usize..20,
            way in 0..3,
        ) {
            let stored: Vec<_> =
                times.iter().enumerate().map(|(index, time)| fragment(*time, index as u64, 2000)).collect();
            let end = start + length;
            let (listing, from) = match way {
                0 => (Listing::earliest(end), 0),
                1 => (Listing::new(start, end), start - LONGEST_FRAGMENT),
                _ => (Listing::backward(start, end), start - LONGEST_FRAGMENT),
            };
            let mut wanted: Vec<_> =
                stored.iter().filter(|fragment| (from..=end).contains(&fragment.timestamp)).cloned().collect();
            wanted.sort_by_key(|fragment| (fragment.timestamp, fragment.number.clone()));
            if way == 2 {
                wanted.reverse();
            }
            let (all, _, _) = run(listing, &stored, page);
            prop_assert_eq!(all, wanted);
        }
    }
}
