//! Fragments that come again: a producer sends the fragment that it was in once more after every lost connection, and a
//! clip that is uploaded twice comes twice as a whole.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Event, Fragment, FragmentEnd, FragmentNumber};
use crate::mkv::{self, Pieces};

/// How many fragments are remembered: of 2 s each, those of 17 minutes.
const REMEMBERED: usize = 512;

/// How many of them, the latest, are remembered frame by frame, so that a copy may end after any frame.
const FRAME_BY_FRAME: usize = 8;

/// How many frames of a fragment are remembered one by one. What lies after them is remembered in steps.
const MOST_FRAMES: usize = 4096;

/// How many bytes of frames lie between two steps, and how many equal ones prove that a fragment is a copy.
const STEP: usize = 256 << 10;

/// What goes on to have its place in time.
#[derive(Debug)]
pub(super) enum Sorted {
    /// A fragment begins. If it `continues` the one before it, it is a copy of that one and has more frames.
    Start { fragment: Arc<Fragment>, continues: bool },
    /// A block of the fragment that began last, and its distance from the fragment's start, in ns.
    Block(mkv::Block, i64),
    /// The fragment that began last is whole.
    End(FragmentEnd),
    /// Frames that had been given out before were dropped.
    Dropped(Dropped),
    /// A fragment is whole, and all its frames were dropped.
    Repeated(FragmentEnd),
}

/// What was dropped of a fragment, since it came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The fragment's own number, not that of the one before.
    pub number: FragmentNumber,
    pub blocks: u64,
    /// Frames are left, which had not come before.
    pub goes_on: bool,
}

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, blocks, goes_on } = self;
        match goes_on {
            false => {
                write!(formatter, "Fragment {number} came before under another number: dropped its {blocks} blocks")
            }
            true => {
                write!(formatter, "Fragment {number} begins as one that came before: dropped its first {blocks} blocks")
            }
        }
    }
}

/// Drops the frames that were given out before under another fragment number.
///
/// A fragment is a copy if it has the producer timestamp of an earlier one and, from its first frame on, the same frames: the
/// same track, the same time, the same bytes. What only has the same times, as fragments of two producers on one stream may, is
/// no copy. Frames are held back until that is decided: at the end of the earlier fragment, at the copy's own end, or
/// after [`STEP`] equal bytes. So a fragment that begins like another one and goes on otherwise comes whole.
///
/// Memory: a hash of 8 bytes a frame for the last [`FRAME_BY_FRAME`] fragments, some 100 bytes for each of [`REMEMBERED`], and
/// [`STEP`] bytes of frames that are held back.
#[derive(Debug, Default)]
pub(super) struct Deduplicator {
    policy: Policy,
    memory: VecDeque<Record>,
    state: State,
    ready: VecDeque<Sorted>,
    repeated: u64,
    /// Frames are missing before the next fragment that goes out, as one said that was dropped.
    after_loss: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Policy {
    #[default]
    Drop,
    Keep,
}

/// The fragment at hand.
#[derive(Debug, Default)]
enum State {
    /// There is none, or one that cannot be told from others.
    #[default]
    Unknown,
    /// It goes out.
    New(Record),
    /// It has the start of an earlier one, and no frame yet.
    Begun(Arc<Fragment>),
    /// Up to here, it is a copy of an earlier one.
    Copy(Copy),
}

#[derive(Debug)]
struct Copy {
    fragment: Arc<Fragment>,
    record: Record,
    /// Which of those that are remembered it is a copy of.
    original: usize,
    /// What is not known yet to be equal, or not for long enough.
    held: Vec<(mkv::Block, i64)>,
    held_bytes: usize,
    /// How many blocks have been dropped.
    dropped: u64,
}

/// What is remembered of a fragment's frames: hashes, each of all frames up to a point.
#[derive(Clone, Debug)]
struct Record {
    /// Capture time of its start, in ns.
    start: i64,
    blocks: u32,
    hash: u64,
    /// After each of the first blocks; empty in all but the latest records.
    frame_by_frame: Vec<u64>,
    /// Blocks and hash: after the first block, after each [`STEP`] bytes, and at the end.
    steps: Vec<(u32, u64)>,
    /// Bytes since the last step.
    bytes: usize,
}

impl Record {
    fn new(start: i64) -> Self {
        Self { start, blocks: 0, hash: 0, frame_by_frame: Vec::new(), steps: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, block: &mkv::Block, offset: i64) {
        self.hash = hash(self.hash, block, offset);
        self.blocks = self.blocks.saturating_add(1);
        if self.frame_by_frame.len() < MOST_FRAMES {
            self.frame_by_frame.push(self.hash);
        }
        self.bytes = self.bytes.saturating_add(block.element.len());
        if self.blocks == 1 || self.bytes >= STEP {
            self.bytes = 0;
            self.steps.push((self.blocks, self.hash));
        }
    }

    /// Nothing more comes of it.
    fn finish(&mut self) {
        if self.steps.last().is_none_or(|(blocks, _)| *blocks < self.blocks) {
            self.steps.push((self.blocks, self.hash));
        }
        self.steps.shrink_to_fit();
        self.frame_by_frame.shrink_to_fit();
    }

    /// The hash after so many blocks, if it is known.
    fn hash_after(&self, blocks: u32) -> Option<u64> {
        let index = usize::try_from(blocks.checked_sub(1)?).ok()?;
        self.frame_by_frame.get(index).copied().or_else(|| {
            let step = self.steps.binary_search_by_key(&blocks, |(blocks, _)| *blocks).ok()?;
            self.steps.get(step).map(|(_, hash)| *hash)
        })
    }
}

/// The hash of a block, and of all that came before it.
fn hash(before: u64, block: &mkv::Block, offset: i64) -> u64 {
    let mut head = [0; 24];
    for (to, from) in head.chunks_exact_mut(8).zip([before, block.track, offset.cast_unsigned()]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    block.frames().fold(xxh3_64(&head), |hash, frame| {
        let mut both = [0; 16];
        let bytes = match &frame {
            Pieces::One(bytes) => xxh3_64(bytes),
            Pieces::Many(pieces) => {
                let mut all = Xxh3::new();
                pieces.iter().for_each(|piece| all.update(piece));
                all.digest()
            }
        };
        for (to, from) in both.chunks_exact_mut(8).zip([hash, bytes]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        xxh3_64(&both)
    })
}

impl Deduplicator {
    /// Drops nothing.
    pub fn keeping() -> Self {
        Self { policy: Policy::Keep, ..Self::default() }
    }

    /// What came before is forgotten.
    pub fn restart(&mut self) {
        *self = Self { policy: self.policy, repeated: self.repeated, ..Self::default() };
    }

    /// How many fragments, or beginnings of such, came again and were dropped.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// What comes next, or `None` until more is pushed.
    pub fn pop(&mut self) -> Option<Sorted> {
        self.ready.pop_front()
    }

    /// Nothing more comes, but the fragment at hand is not over: what of it is held back goes out, unless it is a copy.
    /// Whether anything does.
    pub fn release(&mut self) -> bool {
        let state = std::mem::take(&mut self.state);
        match state {
            State::Copy(copy) => {
                let original = self.memory.get(copy.original);
                let known = original.and_then(|original| original.hash_after(copy.record.blocks));
                if known == Some(copy.record.hash) { self.state = State::Copy(copy) } else { self.give_back(copy) }
            }
            state => self.state = state,
        }
        !self.ready.is_empty()
    }

    /// Takes in what comes next. What it is, if that is one thing and nothing waits before it; else it is to be
    /// [popped](Self::pop).
    pub fn push(&mut self, event: Event) -> Option<Sorted> {
        let sorted = match (self.policy, event) {
            (Policy::Keep, event) => Some(unsorted(event)),
            (Policy::Drop, Event::Start(fragment)) => self.start(fragment),
            (Policy::Drop, Event::Block(block, offset)) => self.block(block, offset),
            (Policy::Drop, Event::End(end)) => self.end(end),
        };
        if self.ready.is_empty() {
            return sorted;
        }
        self.ready.extend(sorted);
        None
    }

    fn start(&mut self, fragment: Arc<Fragment>) -> Option<Sorted> {
        // Of the one before it nothing more comes.
        self.close();
        if fragment.number.is_none() || fragment.producer_timestamp.is_none() {
            return Some(self.begin(fragment));
        }
        let start = fragment.start();
        if self.memory.iter().any(|record| record.start == start) {
            self.state = State::Begun(fragment);
            return None;
        }
        self.state = State::New(Record::new(start));
        Some(self.begin(fragment))
    }

    /// The start of a fragment that does not continue the one before it.
    fn begin(&mut self, mut fragment: Arc<Fragment>) -> Sorted {
        if std::mem::take(&mut self.after_loss) && !fragment.after_loss {
            fragment = Arc::new(Fragment { after_loss: true, ..Fragment::clone(&fragment) });
        }
        Sorted::Start { fragment, continues: false }
    }

    /// Whether the original is what went out last.
    fn is_latest(&self, original: usize) -> bool {
        original.saturating_add(1) == self.memory.len()
    }

    fn block(&mut self, block: mkv::Block, offset: i64) -> Option<Sorted> {
        match std::mem::take(&mut self.state) {
            State::Unknown => Some(Sorted::Block(block, offset)),
            State::New(mut record) => {
                record.push(&block, offset);
                self.state = State::New(record);
                Some(Sorted::Block(block, offset))
            }
            State::Begun(fragment) => {
                let mut record = Record::new(fragment.start());
                let mut first = record.clone();
                first.push(&block, offset);
                let is_original =
                    |other: &Record| other.start == first.start && other.hash_after(1) == Some(first.hash);
                let originals = self.memory.iter().enumerate().filter(|(_, other)| is_original(other));
                match originals.max_by_key(|(_, other)| other.blocks).map(|(index, _)| index) {
                    Some(original) => {
                        let copy = Copy { fragment, record, original, held: Vec::new(), held_bytes: 0, dropped: 0 };
                        self.compare(copy, block, offset)
                    }
                    None => {
                        let begin = self.begin(fragment);
                        self.ready.push_back(begin);
                        record.push(&block, offset);
                        self.state = State::New(record);
                        Some(Sorted::Block(block, offset))
                    }
                }
            }
            State::Copy(copy) => self.compare(copy, block, offset),
        }
    }

    /// The next block of what has been a copy so far.
    fn compare(&mut self, mut copy: Copy, block: mkv::Block, offset: i64) -> Option<Sorted> {
        copy.record.push(&block, offset);
        let original = self.memory.get(copy.original)?;
        if copy.record.blocks > original.blocks {
            // The earlier one was cut here.
            drop_held(&mut copy);
            self.tell_dropped(&copy, true);
            let mut fragment = copy.fragment;
            let start = if self.is_latest(copy.original) {
                if fragment.after_loss {
                    fragment = Arc::new(Fragment { after_loss: false, ..Fragment::clone(&fragment) });
                }
                Sorted::Start { fragment, continues: true }
            } else {
                self.begin(fragment)
            };
            self.ready.push_back(start);
            self.state = State::New(copy.record);
            return Some(Sorted::Block(block, offset));
        }
        let is_equal = original.hash_after(copy.record.blocks).map(|hash| hash == copy.record.hash);
        let is_whole = copy.record.blocks == original.blocks;
        copy.held_bytes = copy.held_bytes.saturating_add(block.element.len());
        copy.held.push((block, offset));
        match is_equal {
            Some(true) if is_whole || copy.held_bytes >= STEP => drop_held(&mut copy),
            Some(true) | None => {}
            Some(false) => {
                self.give_back(copy);
                return None;
            }
        }
        self.state = State::Copy(copy);
        None
    }

    fn end(&mut self, end: FragmentEnd) -> Option<Sorted> {
        match self.close() {
            true => Some(Sorted::Repeated(end)),
            false => Some(Sorted::End(end)),
        }
    }

    /// Nothing more comes of the fragment at hand; whether all of it was dropped.
    fn close(&mut self) -> bool {
        match std::mem::take(&mut self.state) {
            State::Unknown => {}
            State::New(record) => self.remember(record),
            State::Begun(fragment) => {
                let begin = self.begin(fragment);
                self.ready.push_back(begin);
            }
            State::Copy(mut copy) => {
                let original = self.memory.get(copy.original);
                let known = original.and_then(|original| original.hash_after(copy.record.blocks));
                if !copy.held.is_empty() && known != Some(copy.record.hash) {
                    // It ends where it cannot be compared.
                    self.give_back(copy);
                    return self.close();
                }
                drop_held(&mut copy);
                self.tell_dropped(&copy, false);
                // After the fragment that went out last, nothing can be missing before what follows.
                self.after_loss |= copy.fragment.after_loss && !self.is_latest(copy.original);
                return true;
            }
        }
        false
    }

    /// It is no copy: what was held back of it goes out.
    fn give_back(&mut self, copy: Copy) {
        // If much of it was equal, that much has been dropped.
        if copy.dropped > 0 {
            self.tell_dropped(&copy, true);
        }
        let begin = self.begin(copy.fragment);
        self.ready.push_back(begin);
        self.ready.extend(copy.held.into_iter().map(|(block, offset)| Sorted::Block(block, offset)));
        self.state = State::New(copy.record);
    }

    fn tell_dropped(&mut self, copy: &Copy, goes_on: bool) {
        self.repeated = self.repeated.saturating_add(1);
        if let Some(number) = copy.fragment.number.clone() {
            self.ready.push_back(Sorted::Dropped(Dropped { number, blocks: copy.dropped, goes_on }));
        }
    }

    fn remember(&mut self, mut record: Record) {
        if record.blocks == 0 {
            return;
        }
        record.finish();
        self.memory.push_back(record);
        if self.memory.len() > REMEMBERED {
            self.memory.pop_front();
        }
        if let Some(older) = self.memory.len().checked_sub(FRAME_BY_FRAME.saturating_add(1))
            && let Some(older) = self.memory.get_mut(older)
        {
            older.frame_by_frame = Vec::new();
        }
    }
}

fn drop_held(copy: &mut Copy) {
    copy.dropped = copy.dropped.saturating_add(u64::try_from(copy.held.len()).unwrap_or(u64::MAX));
    copy.held = Vec::new();
    copy.held_bytes = 0;
}

fn unsorted(event: Event) -> Sorted {
    match event {
        Event::Start(fragment) => Sorted::Start { fragment, continues: false },
        Event::Block(block, offset) => Sorted::Block(block, offset),
        Event::End(end) => Sorted::End(end),
    }
}
