//! What is listed, what is being fetched and what is ready, in the order of the range: the lister adds to it, lanes claim
//! and fill it, the streaming thread takes from it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::aws::{self, MOST_FRAGMENTS};
use crate::fragment::{FragmentNumber, Listed, Stored};

/// How many fragments are listed ahead at most of those that have been taken, and how many for each of those: who seeks
/// again and again takes few, and should not use up the calls that the next seek needs.
const LISTED_AHEAD: u64 = 3000;
const LISTED_AT_FIRST: u64 = 10;
const LISTED_PER_TAKEN: u64 = 8;

/// How many fragments the first call begins with. No other one is made before these have been taken.
const FIRST_CALL: u64 = 2;

/// How many fragments a call names backwards: with 5 calls a second, those of 2 s come at 200 times their speed.
const MOST_BACKWARD: usize = 20;

/// A fragment's place in the range, counted from the first listed.
pub type Place = u64;

/// A fragment to be fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub place: Place,
    pub number: FragmentNumber,
}

/// What comes next of the range.
#[derive(Debug)]
pub enum Next {
    Fragment(Listed, Stored),
    /// It could not be had, for this reason.
    Missing(Listed, String),
    /// Everything has come.
    End,
}

/// Shared by all that work on one reading of a range.
///
/// Fragments are dealt out in turn, so that all lanes advance together and what one has read waits little for the others.
/// Bytes that wait are limited; the lane that has the fragment everybody waits for may always read, so that something
/// always goes on.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    lanes: usize,
    /// How many fragments a call names at most.
    most: usize,
    /// Whether the first call goes on with its lane's share of what follows.
    in_bulk: bool,
    /// How many bytes may wait.
    limit: u64,
}

#[derive(Debug, Default)]
struct State {
    /// From the first that has not been taken on.
    slots: VecDeque<Slot>,
    /// The place of the first slot, and of the first that nobody has been dealt.
    first: Place,
    undealt: Place,
    /// What the lanes are to fetch next.
    dealt: VecDeque<Vec<Wanted>>,
    buffered: u64,
    all_listed: bool,
    failure: Option<aws::Error>,
}

#[derive(Debug)]
struct Slot {
    listed: Listed,
    lane: Option<usize>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Waiting,
    Whole(Stored),
    Missing(String),
}

impl State {
    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(index)
    }

    fn end(&self) -> Place {
        self.first.saturating_add(self.slots.len() as u64)
    }

    /// Whether the first call has not brought yet what it begins with.
    fn is_opening(&self) -> bool {
        self.first < self.undealt.min(FIRST_CALL)
    }

    /// Deals what is listed to so many lanes in turn, to each at most so many; the first of all to one, and, unless in bulk,
    /// nothing else.
    fn deal(&mut self, lanes: usize, most: usize, in_bulk: bool) {
        let (begin, most) = (self.undealt, most as u64);
        let (lanes, opening, most) = match begin {
            0 if !in_bulk => (1, 0, FIRST_CALL),
            0 => (lanes.max(1), FIRST_CALL, most.saturating_sub(FIRST_CALL)),
            _ => (lanes.max(1), 0, most),
        };
        let most = most.saturating_mul(lanes as u64).saturating_add(opening);
        let end = self.end().min(begin.saturating_add(most));
        let mut hands: Vec<Vec<Wanted>> = vec![Vec::new(); lanes];
        let turns = (0..opening).map(|_| 0).chain((0..lanes).cycle());
        for (place, hand) in (begin..end).zip(turns) {
            if let (Some(slot), Some(hand)) = (self.slot(place), hands.get_mut(hand)) {
                hand.push(Wanted { place, number: slot.listed.number.clone() });
            }
        }
        self.dealt.extend(hands.into_iter().filter(|hand| !hand.is_empty()));
        self.undealt = end;
    }
}

impl Board {
    /// A board for so many lanes, on which at most `limit` bytes wait.
    pub fn new(lanes: usize, limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            lanes,
            most: MOST_FRAGMENTS,
            in_bulk: false,
            limit: u64::try_from(limit).unwrap_or(u64::MAX),
        }
    }

    /// Whether the range is likely to be read as a whole. Else the first call asks for little, and ends well where it is
    /// sought on at once.
    pub fn in_bulk(mut self, in_bulk: bool) -> Self {
        self.in_bulk = in_bulk;
        self
    }

    /// For a range that is played backwards. Nothing says in which order the service sends what a call names: if it were
    /// that of time, the fragment that everybody waits for would be the last of the call, and all others would be held
    /// until then.
    pub fn backward(self) -> Self {
        Self { most: MOST_BACKWARD, ..self }
    }

    /// Adds what comes next of the range.
    pub fn add(&self, listed: Vec<Listed>) {
        let slot = |listed| Slot { listed, lane: None, content: Content::Waiting };
        self.change(|state| state.slots.extend(listed.into_iter().map(slot)));
    }

    /// How many fragments have been added.
    pub fn listed(&self) -> u64 {
        self.lock().end()
    }

    /// All of the range has been added.
    pub fn all_listed(&self) {
        self.change(|state| state.all_listed = true);
    }

    /// Nothing can go on: the last that comes of the board.
    pub fn fail(&self, error: aws::Error) {
        self.change(|state| {
            state.failure.get_or_insert(error);
        });
    }

    /// Waits until more of the range should be listed.
    pub async fn wants_more(&self) {
        self.wait(|state| {
            let wanted = state.first.saturating_mul(LISTED_PER_TAKEN).saturating_add(LISTED_AT_FIRST);
            ((state.slots.len() as u64) < wanted.min(LISTED_AHEAD)).then_some(())
        })
        .await;
    }

    /// Waits for fragments that the lane is to fetch, and for room for them; `None` where there will be no more.
    pub async fn claim(&self, lane: usize) -> Option<Vec<Wanted>> {
        self.wait(|state| {
            if state.failure.is_some() || (state.all_listed && state.undealt == state.end() && state.dealt.is_empty()) {
                return Some(None);
            }
            let urgent = state.slots.front().is_some_and(|slot| slot.lane.is_none());
            if state.buffered >= self.limit && !urgent {
                return None;
            }
            if state.is_opening() {
                return None;
            }
            if state.dealt.is_empty() {
                state.deal(self.lanes, self.most, self.in_bulk);
            }
            let claimed = state.dealt.pop_front()?;
            for wanted in &claimed {
                if let Some(slot) = state.slot(wanted.place) {
                    slot.lane = Some(lane);
                }
            }
            Some(Some(claimed))
        })
        .await
    }

    /// Waits until the lane may read more.
    pub async fn room(&self, lane: usize) {
        self.wait(|state| {
            // What has come already, and is still to be taken, is waited for by nobody.
            let is_awaited = |slot: &Slot| slot.lane == Some(lane) && matches!(slot.content, Content::Waiting);
            let urgent = state.slots.front().is_some_and(is_awaited);
            (state.buffered < self.limit || urgent).then_some(())
        })
        .await;
    }

    /// So many bytes have been read.
    pub fn read(&self, bytes: u64) {
        // Nobody waits for there to be less room.
        let mut state = self.lock();
        state.buffered = state.buffered.saturating_add(bytes);
    }

    /// So many bytes that had been read are gone.
    pub fn drop_bytes(&self, bytes: u64) {
        self.change(|state| state.buffered = state.buffered.saturating_sub(bytes));
    }

    /// A fragment is there.
    pub fn fill(&self, place: Place, stored: Stored) {
        self.change(|state| {
            if let Some(slot) = state.slot(place) {
                slot.content = Content::Whole(stored);
            }
        });
    }

    /// A fragment cannot be had.
    pub fn miss(&self, place: Place, reason: String) {
        self.change(|state| {
            if let Some(slot) = state.slot(place) {
                slot.content = Content::Missing(reason);
            }
        });
    }

    /// What comes next of the range. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    ///
    /// All that could be had has been taken.
    pub async fn take(&self) -> Result<Next, aws::Error> {
        let next = self
            .wait(|state| match state.slots.front() {
                Some(Slot { content: Content::Waiting, .. }) => state.failure.clone().map(Err),
                Some(_) => state.slots.pop_front().map(|slot| {
                    state.first = state.first.saturating_add(1);
                    Ok(match slot.content {
                        Content::Whole(stored) => {
                            state.buffered = state.buffered.saturating_sub(stored.size);
                            Next::Fragment(slot.listed, stored)
                        }
                        Content::Missing(reason) => Next::Missing(slot.listed, reason),
                        Content::Waiting => Next::Missing(slot.listed, String::new()),
                    })
                }),
                None => match &state.failure {
                    Some(error) => Some(Err(error.clone())),
                    None => state.all_listed.then_some(Ok(Next::End)),
                },
            })
            .await;
        self.changed.send_replace(());
        next
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.send_replace(());
    }

    /// Waits until something is found.
    async fn wait<T>(&self, mut find: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            // Marked as seen before the state is looked at, so that no change is missed.
            changes.borrow_and_update();
            if let Some(found) = find(&mut self.lock()) {
                return found;
            }
            if changes.changed().await.is_err() {
                // Not while there is a board.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What a thread that panicked left behind is still whole here: no change can stop half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: u64) -> Listed {
        let number = FragmentNumber::new(&number.to_string()).unwrap();
        Listed { number, timestamp: 0, length: 1000, size: 10 }
    }

    fn stored(number: &FragmentNumber) -> Stored {
        Stored { number: number.clone(), elements: Vec::new(), size: 10 }
    }

    /// What is ready at once.
    async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn fragments_are_dealt_in_turn_and_taken_in_order() {
        let board = Board::new(3, 1000);
        board.add((0..10).map(listed).collect());
        let places = |hand: &[Wanted]| hand.iter().map(|wanted| wanted.place).collect::<Vec<_>>();
        let first = board.claim(0).await.unwrap();
        assert_eq!(places(&first), [0, 1]);
        // Until these have been taken, one call is enough.
        assert!(now(board.claim(1)).await.is_none());
        for wanted in first {
            board.fill(wanted.place, stored(&wanted.number));
            assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
        }
        let hands = [board.claim(2).await.unwrap(), board.claim(0).await.unwrap(), board.claim(1).await.unwrap()];
        assert_eq!(hands.each_ref().map(|hand| places(hand)), [vec![2, 5, 8], vec![3, 6, 9], vec![4, 7]]);
        for wanted in hands.iter().rev().flatten() {
            board.fill(wanted.place, stored(&wanted.number));
        }
        board.all_listed();
        for number in 2..10 {
            let Next::Fragment(_, fragment) = board.take().await.unwrap() else { panic!("fragment {number}") };
            assert_eq!(fragment.number.as_str(), number.to_string());
        }
        assert!(matches!(board.take().await.unwrap(), Next::End));
        assert!(board.claim(0).await.is_none());
    }

    #[tokio::test]
    async fn backward_a_call_names_few_fragments() {
        let board = Board::new(2, 1000).backward();
        board.add((0..100).map(listed).collect());
        for wanted in board.claim(0).await.unwrap() {
            board.fill(wanted.place, stored(&wanted.number));
            assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
        }
        for lane in [0, 1, 0, 1] {
            assert_eq!(board.claim(lane).await.unwrap().len(), MOST_BACKWARD);
        }
    }

    #[tokio::test]
    async fn in_bulk_the_first_call_goes_on_with_its_share() {
        let board = Board::new(3, 1000).in_bulk(true);
        board.add((0..10).map(listed).collect());
        let places = |hand: &[Wanted]| hand.iter().map(|wanted| wanted.place).collect::<Vec<_>>();
        let first = board.claim(0).await.unwrap();
        assert_eq!(places(&first), [0, 1, 2, 5, 8]);
        for wanted in &first[..2] {
            assert!(now(board.claim(1)).await.is_none());
            board.fill(wanted.place, stored(&wanted.number));
            assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
        }
        let hands = [board.claim(1).await.unwrap(), board.claim(2).await.unwrap()];
        assert_eq!(hands.each_ref().map(|hand| places(hand)), [vec![3, 6, 9], vec![4, 7]]);
        assert!(now(board.claim(1)).await.is_none());
        for (lanes, calls) in [(1, 1), (5, 5)] {
            let board = Board::new(lanes, 1000).in_bulk(true);
            board.add((0..20_000).map(listed).collect());
            let mut state = board.lock();
            state.deal(lanes, MOST_FRAGMENTS, true);
            assert_eq!(state.dealt.len(), calls);
            assert!(state.dealt.iter().all(|hand| hand.len() <= MOST_FRAGMENTS && hand.len() >= MOST_FRAGMENTS - 2));
        }
    }

    #[tokio::test]
    async fn only_who_has_the_next_fragment_reads_past_the_limit() {
        let board = Board::new(2, 10);
        board.add((0..6).map(listed).collect());
        for wanted in board.claim(0).await.unwrap() {
            board.fill(wanted.place, stored(&wanted.number));
            assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
        }
        let first = board.claim(0).await.unwrap();
        let second = board.claim(1).await.unwrap();
        board.read(10);
        board.fill(first[0].place, stored(&first[0].number));
        // Everybody waits for the streaming thread.
        assert!(now(board.room(0)).await.is_none());
        assert!(now(board.room(1)).await.is_none());
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
        assert!(now(board.room(1)).await.is_some());
        board.read(1000);
        assert!(now(board.room(0)).await.is_none());
        assert!(now(board.room(1)).await.is_some());
        board.miss(second[0].place, "gone".to_owned());
        board.drop_bytes(1000);
        assert!(matches!(board.take().await, Ok(Next::Missing(_, reason)) if reason == "gone"));
        assert!(now(board.take()).await.is_none());
    }

    #[tokio::test]
    async fn a_failure_comes_behind_all_that_could_be_had() {
        let board = Board::new(1, 10);
        board.add((0..2).map(listed).collect());
        let wanted = board.claim(0).await.unwrap();
        board.fail(aws::Error::NoDataEndpoint);
        board.fill(0, stored(&wanted[0].number));
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
        assert!(board.take().await.is_err());
    }
}
