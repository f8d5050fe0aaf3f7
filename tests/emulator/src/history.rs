//! The fragments that a stream holds, in order of their numbers: those of a long stream, then those that were put.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::fragment::{Fragment, FragmentInfo};
use crate::long::Long;
use crate::number::FragmentNumber;
use crate::stream::Origin;

/// How long a fragment may become that is still being put, in milliseconds.
const LONGEST: u64 = 10_000;

/// A stream's fragments.
#[derive(Default)]
pub(crate) struct History {
    long: Option<Kept>,
    stored: VecDeque<Arc<Fragment>>,
}

/// What is left of a long stream.
struct Kept {
    long: Arc<Long>,
    /// The first index that is kept.
    begin: u64,
    deleted: BTreeSet<u64>,
}

/// A fragment that is held; one of a long stream is made when it is asked for, which is best done without a lock.
#[derive(Clone)]
pub(crate) enum Held {
    Stored(Arc<Fragment>),
    Long(Arc<Long>, u64),
}

impl Held {
    pub fn fragment(&self) -> Arc<Fragment> {
        match self {
            Self::Stored(fragment) => Arc::clone(fragment),
            Self::Long(long, index) => long.fragment(*index),
        }
    }

    pub fn info(&self) -> FragmentInfo {
        match self {
            Self::Stored(fragment) => fragment.info(),
            Self::Long(long, index) => long.info(*index),
        }
    }

    pub fn number(&self) -> FragmentNumber {
        match self {
            Self::Stored(fragment) => fragment.number.clone(),
            Self::Long(long, index) => long.number(*index),
        }
    }

    /// Milliseconds since 1970.
    pub fn timestamp(&self, origin: Origin) -> u64 {
        match self {
            Self::Stored(fragment) => origin.of(fragment),
            Self::Long(long, index) => long.timestamp(*index, origin),
        }
    }

    /// Since when it is whole, in milliseconds since 1970; `None` while it is being put.
    pub fn whole_since(&self) -> Option<u64> {
        match self {
            Self::Stored(fragment) => fragment.whole_since(),
            Self::Long(long, index) => Some(long.whole_since(*index)),
        }
    }
}

impl History {
    pub fn set_long(&mut self, long: Arc<Long>) {
        self.long = Some(Kept { long, begin: 0, deleted: BTreeSet::new() });
    }

    pub fn push(&mut self, fragment: Arc<Fragment>) {
        self.stored.push_back(fragment);
    }

    pub fn remove(&mut self, fragment: &Arc<Fragment>) {
        self.stored.retain(|stored| !Arc::ptr_eq(stored, fragment));
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes out the fragments that were put.
    pub fn take_stored(&mut self) -> Vec<Arc<Fragment>> {
        self.stored.drain(..).collect()
    }

    /// Drops the oldest that were put until no more than `keep` of them are left.
    pub fn keep_last(&mut self, keep: usize) {
        while self.stored.len() > keep {
            self.stored.pop_front();
        }
    }

    /// Drops what has a server timestamp before a moment, in milliseconds since 1970.
    pub fn expire(&mut self, oldest: u64) {
        self.stored.retain(|fragment| fragment.server_timestamp >= oldest);
        if let Some(kept) = &mut self.long {
            kept.begin = kept.begin.max(kept.long.index_at(oldest, Origin::Server));
        }
    }

    /// Drops the fragments that `unwanted` picks by index and number; tells how many.
    pub fn delete(&mut self, unwanted: impl Fn(usize, &FragmentNumber) -> bool) -> usize {
        let (mut index, mut deleted) = (0, 0);
        let mut is_unwanted = |number: &FragmentNumber| {
            let unwanted = unwanted(index, number);
            index += 1;
            deleted += usize::from(unwanted);
            unwanted
        };
        if let Some(kept) = &mut self.long {
            let indexes: Vec<u64> = kept.indexes().collect();
            kept.deleted.extend(indexes.into_iter().filter(|index| is_unwanted(&kept.long.number(*index))));
        }
        self.stored.retain(|fragment| !is_unwanted(&fragment.number));
        deleted
    }

    /// All fragments.
    pub fn all(&self) -> impl Iterator<Item = Held> {
        let of_long = self.long.iter().flat_map(|kept| kept.indexes().map(|index| kept.held(index)));
        of_long.chain(self.stored.iter().map(|fragment| Held::Stored(Arc::clone(fragment))))
    }

    pub fn first(&self) -> Option<Held> {
        self.all().next()
    }

    pub fn last(&self) -> Option<Held> {
        let stored = self.stored.back().map(|fragment| Held::Stored(Arc::clone(fragment)));
        stored.or_else(|| self.long.as_ref().and_then(|kept| kept.indexes().next_back().map(|index| kept.held(index))))
    }

    pub fn find(&self, number: &FragmentNumber) -> Option<Held> {
        let index = self.stored.partition_point(|fragment| fragment.number < *number);
        let stored = self.stored.get(index).map(|fragment| Held::Stored(Arc::clone(fragment)));
        let of_long = || self.long.as_ref().and_then(|kept| kept.from(kept.long.index_from(number)));
        stored.filter(|held| held.number() == *number).or_else(|| of_long().filter(|held| held.number() == *number))
    }

    /// The first fragment whose number is greater.
    pub fn after(&self, number: &FragmentNumber) -> Option<Held> {
        let of_long = self.long.as_ref().and_then(|kept| kept.from(kept.long.index_from(&number.next())));
        let index = self.stored.partition_point(|fragment| fragment.number <= *number);
        of_long.or_else(|| self.stored.get(index).map(|fragment| Held::Stored(Arc::clone(fragment))))
    }

    /// The first fragment, in order of number, that contains the moment (milliseconds since 1970), else the first that
    /// begins after it.
    pub fn at(&self, moment: u64, origin: Origin) -> Option<Held> {
        let contains = |fragment: &&Arc<Fragment>| {
            let begin = origin.of(fragment);
            let duration = fragment.duration().unwrap_or(LONGEST).max(1);
            begin <= moment && moment < begin.saturating_add(duration)
        };
        let later = || self.stored.iter().find(|fragment| origin.of(fragment) > moment);
        let held = |fragment: &Arc<Fragment>| Held::Stored(Arc::clone(fragment));
        // Fragments of a long stream follow one another without a gap, but for those that were deleted.
        let behind = self.long.as_ref().map(|kept| (kept, kept.long.index_at(moment.saturating_add(1), origin)));
        let containing = || {
            let (kept, behind) = behind.as_ref()?;
            kept.from(behind.checked_sub(1)?).filter(|_| kept.has(behind - 1))
        };
        containing()
            .or_else(|| self.stored.iter().find(contains).map(held))
            .or_else(|| behind.as_ref().and_then(|(kept, behind)| kept.from(*behind)))
            .or_else(|| later().map(held))
    }
}

impl Kept {
    fn has(&self, index: u64) -> bool {
        (self.begin..self.long.count).contains(&index) && !self.deleted.contains(&index)
    }

    fn indexes(&self) -> impl DoubleEndedIterator<Item = u64> {
        (self.begin..self.long.count).filter(|index| !self.deleted.contains(index))
    }

    fn held(&self, index: u64) -> Held {
        Held::Long(Arc::clone(&self.long), index)
    }

    /// The first fragment that is kept from an index on.
    fn from(&self, index: u64) -> Option<Held> {
        let found = (index.max(self.begin)..self.long.count).find(|index| !self.deleted.contains(index));
        found.map(|index| self.held(index))
    }
}
