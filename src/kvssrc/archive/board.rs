//! What is listed, what is being fetched and what is ready, in the order of the range: the lister adds to it, lanes claim
//! and fill it, the streaming thread takes from it.

mod absence;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::aws::{self, MOST_FRAGMENTS};
use crate::fragment::{FragmentNumber, Listed, Stored};

pub use absence::MOST_YOUNG;

/// How many fragments are listed ahead at most of those that have been taken, and how many for each of those: who seeks
/// again and again takes few, and should not use up the calls that the next seek needs.
const LISTED_AHEAD: u64 = 3000;
const LISTED_AT_FIRST: u64 = 10;
const LISTED_PER_TAKEN: u64 = 8;

/// How many fragments the first call begins with. No other one is made before these have been taken.
const FIRST_CALL: u64 = 2;

/// How many fragments a call names backwards: with 5 calls a second, those of 2 s come at 200 times their speed.
const MOST_BACKWARD: usize = 20;

/// How many it names where a lane has no connection and may get one at any time: it goes on behind what the others have.
const MOST_WITHOUT_ALL: usize = 100;

/// How long what is ready may wait to be taken before connections are given up: who pauses, or plays in real time, should
/// keep nobody else from reading. And how often is looked whether somebody fetches what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);

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

/// What a lane may do with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Read more of it.
    Granted,
    /// Nothing: there is no room, and the fragment that everybody waits for did not come where it should have.
    Passed,
}

/// Shared by all that work on one reading of a range.
///
/// Fragments are dealt out in turn, so that all lanes advance together and what one has read waits little for the others.
/// Bytes that wait are limited; the lane that has the fragment everybody waits for may always read, so that something
/// always goes on. Where nothing does, since what is ready is not taken, or since a lane that was dealt to has got no
/// connection, all lanes are called back: they give back what they have, with their connections, and it is dealt anew.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// How often lanes have been called back.
    recalls: watch::Sender<u64>,
    lanes: usize,
    /// How many fragments a call names at most.
    most: usize,
    /// Whether the first call goes on with its lane's share of what follows.
    in_bulk: bool,
    /// How many bytes may wait.
    limit: u64,
    goes_on: bool,
}

#[derive(Debug, Default)]
struct State {
    /// From the first that has not been taken on.
    slots: VecDeque<Slot>,
    /// The place of the first slot, and of the first that nobody has been dealt.
    first: Place,
    undealt: Place,
    /// What was dealt and given back, in order.
    returned: Vec<Place>,
    /// What the lanes are to fetch next.
    dealt: VecDeque<Vec<Wanted>>,
    /// What is taken comes slowly enough to do without connections meanwhile: what is fetched is what there is room for.
    slow: bool,
    /// How many lanes have a connection, and how often all had been called back when each claimed what it has.
    connected: usize,
    claims: Vec<Option<u64>>,
    recalls: u64,
    buffered: u64,
    /// How many bytes the lanes are to bring of what they have claimed.
    expected: u64,
    /// What was listed and not added.
    copies: u64,
    all_listed: bool,
    failure: Option<aws::Error>,
}

#[derive(Debug)]
struct Slot {
    listed: Listed,
    lane: Option<usize>,
    /// When the service first did not find it.
    absent_since: Option<Instant>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Waiting,
    Whole(Stored),
    Missing(String),
}

impl Slot {
    /// Whether the lane is to bring it. What has come already, and is still to be taken, is waited for by nobody.
    fn is_awaited_of(&self, lane: usize) -> bool {
        self.lane == Some(lane) && matches!(self.content, Content::Waiting)
    }
}

impl State {
    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(index)
    }

    /// From now on this lane is to bring it, or none.
    fn own(&mut self, place: Place, lane: Option<usize>) {
        let Some(slot) = self.slot(place) else { return };
        let (before, size) = (std::mem::replace(&mut slot.lane, lane), u64::from(slot.listed.size));
        self.expected = match (before, lane) {
            (None, Some(_)) => self.expected.saturating_add(size),
            (Some(_), None) => self.expected.saturating_sub(size),
            _ => self.expected,
        };
    }

    /// What the lane has was claimed after so many calls back; `None`: it has nothing.
    fn claim(&mut self, lane: usize, recalls: Option<u64>) {
        if let Some(claim) = self.claims.get_mut(lane) {
            *claim = recalls;
        }
    }

    /// What becomes of it is known.
    fn settle(&mut self, place: Place, content: Content) {
        let Some(slot) = self.slot(place) else { return };
        let size = u64::from(slot.listed.size);
        let before = std::mem::replace(&mut slot.content, content);
        if slot.lane.is_some() && matches!(before, Content::Waiting) {
            self.expected = self.expected.saturating_sub(size);
        }
    }

    fn end(&self) -> Place {
        self.first.saturating_add(self.slots.len() as u64)
    }

    /// Whether the first call has not brought yet what it begins with.
    fn is_opening(&self) -> bool {
        let begins = self.slots.front().is_some_and(|slot| slot.lane.is_some());
        begins && self.first < self.undealt.min(FIRST_CALL)
    }

    /// Whether what everybody waits for is to be fetched, and by no lane yet.
    fn is_urgent(&self) -> bool {
        self.slots.front().is_some_and(|slot| slot.lane.is_none())
    }

    /// Whether there is anything to claim, and room for it.
    fn is_claimable(&self, limit: u64) -> bool {
        let listed = !self.dealt.is_empty() || !self.returned.is_empty() || self.undealt < self.end();
        let room = match self.slow {
            false => self.buffered < limit,
            // So much that a call is worth its while.
            true => !self.dealt.is_empty() || self.buffered.saturating_add(self.expected) <= limit / 2,
        };
        // Dealt anew is what all have given back.
        let whole = self.claims.iter().flatten().all(|recalls| *recalls == self.recalls);
        listed && whole && !self.is_opening() && (room || self.is_urgent())
    }

    fn is_over(&self) -> bool {
        let all_dealt = self.all_listed && self.undealt == self.end();
        self.failure.is_some()
            || (all_dealt && self.dealt.is_empty() && self.returned.is_empty() && self.all_has_come())
    }

    /// Whether no lane has anything left that it could give back.
    fn all_has_come(&self) -> bool {
        !self.slots.iter().any(|slot| matches!(slot.content, Content::Waiting))
    }

    /// Deals what is listed to so many lanes in turn, to each at most so many, and to all no more than so many bytes but
    /// one fragment; the first of all to one, and, unless in bulk, nothing else.
    fn deal(&mut self, lanes: usize, most: usize, room: Option<u64>, in_bulk: bool) {
        let most = most as u64;
        let (lanes, opening, most) = match self.undealt {
            0 if !in_bulk => (1, 0, FIRST_CALL),
            0 => (lanes.max(1), FIRST_CALL, most.saturating_sub(FIRST_CALL)),
            _ => (lanes.max(1), 0, most),
        };
        let most = usize::try_from(most.saturating_mul(lanes as u64).saturating_add(opening)).unwrap_or(usize::MAX);
        let mut places = std::mem::take(&mut self.returned);
        let given_back = places.len();
        places.extend((self.undealt..self.end()).take(most.saturating_sub(given_back)));
        let (mut hands, mut count, mut size) = (vec![Vec::new(); lanes], 0_usize, 0_u64);
        let turns = (0..opening).map(|_| 0).chain((0..lanes).cycle());
        for (place, hand) in places.iter().zip(turns).take(most) {
            let (Some(slot), Some(hand)) = (self.slot(*place), hands.get_mut(hand)) else { break };
            size = size.saturating_add(slot.listed.size.into());
            if count > 0 && room.is_some_and(|room| size > room) {
                break;
            }
            hand.push(Wanted { place: *place, number: slot.listed.number.clone() });
            count += 1;
        }
        let left = places.split_off(count);
        self.undealt = places.last().map_or(self.undealt, |last| self.undealt.max(last.saturating_add(1)));
        self.returned = left.into_iter().filter(|place| *place < self.undealt).collect();
        self.dealt.extend(hands.into_iter().filter(|hand| !hand.is_empty()));
    }
}

impl Board {
    /// A board for so many lanes, on which at most `limit` bytes wait.
    pub fn new(lanes: usize, limit: usize) -> Self {
        Self {
            state: Mutex::new(State { claims: vec![None; lanes], ..State::default() }),
            recalls: watch::Sender::default(),
            changed: watch::Sender::new(()),
            lanes,
            most: MOST_FRAGMENTS,
            in_bulk: false,
            limit: u64::try_from(limit).unwrap_or(u64::MAX),
            goes_on: false,
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
        let slot = |listed| Slot { listed, lane: None, absent_since: None, content: Content::Waiting };
        self.change(|state| state.slots.extend(listed.into_iter().map(slot)));
    }

    /// So many that are listed are copies of others, and are not added.
    pub fn left_out(&self, copies: u64) {
        self.lock().copies = copies;
    }

    /// How many were left out.
    pub fn copies(&self) -> u64 {
        self.lock().copies
    }

    /// How many fragments have been added or left out.
    pub fn listed(&self) -> u64 {
        let state = self.lock();
        state.end().saturating_add(state.copies)
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

    /// Waits until there is something for a lane to claim; whether there is, or will be no more.
    pub async fn has_more(&self) -> bool {
        let begin = Instant::now();
        let has_more = self
            .wait(|state| match state.is_over() {
                true => Some(false),
                false => state.is_claimable(self.limit).then_some(true),
            })
            .await;
        if begin.elapsed() < PATIENCE {
            self.lock().slow = false;
        }
        has_more
    }

    /// A lane has a connection.
    pub fn connect(&self) {
        let mut state = self.lock();
        state.connected = state.connected.saturating_add(1);
    }

    /// The lane has neither connection nor anything to fetch.
    pub fn disconnect(&self, lane: usize) {
        self.change(|state| {
            state.connected = state.connected.saturating_sub(1);
            state.claim(lane, None);
        });
    }

    /// What the lane, which has a connection, is to fetch, where there still is anything; so many more can be had.
    pub fn claim(&self, lane: usize, connections: usize) -> Option<Vec<Wanted>> {
        let mut state = self.lock();
        if state.is_over() || !state.is_claimable(self.limit) {
            return None;
        }
        if state.dealt.is_empty() {
            let lanes = state.connected.saturating_add(connections).min(self.lanes);
            let most = if lanes < self.lanes { self.most.min(MOST_WITHOUT_ALL) } else { self.most };
            let waits = state.buffered.saturating_add(state.expected);
            let room = state.slow.then(|| self.limit.saturating_sub(waits));
            state.deal(lanes, most, room, self.in_bulk);
        }
        let claimed = state.dealt.pop_front()?;
        for wanted in &claimed {
            state.own(wanted.place, Some(lane));
        }
        let recalls = state.recalls;
        state.claim(lane, Some(recalls));
        Some(claimed)
    }

    /// Until the lane is to give back what it has.
    pub async fn recalled(&self, lane: usize) {
        let claimed = self.lock().claims.get(lane).copied().flatten();
        // Fails only where there is no board any more.
        let _ = self.recalls.subscribe().wait_for(|recalls| claimed.is_some_and(|claimed| claimed != *recalls)).await;
    }

    /// The lane fetches this no more: it is dealt anew, with all that no lane has claimed.
    pub fn give_back(&self, lane: usize, left: impl IntoIterator<Item = Wanted>) {
        self.change(|state| {
            let unclaimed = std::mem::take(&mut state.dealt);
            for Wanted { place, .. } in left.into_iter().chain(unclaimed.into_iter().flatten()) {
                state.own(place, None);
                state.returned.push(place);
            }
            state.returned.sort_unstable();
            state.claim(lane, None);
        });
    }

    /// Waits until the lane may read more of a body that has `brought` this as the last of all; calls all lanes back where
    /// that is in vain.
    pub async fn room(&self, lane: usize, brought: Option<Place>) -> Room {
        let mut idle_since = Instant::now();
        loop {
            let room = self.wait(|state| {
                if state.buffered < self.limit {
                    return Some(Room::Granted);
                }
                let urgent = state.slots.front().is_some_and(|slot| slot.is_awaited_of(lane));
                let passed = brought.is_some_and(|brought| brought > state.first);
                urgent.then_some(if passed { Room::Passed } else { Room::Granted })
            });
            if let Ok(room) = timeout(LOOK, room).await {
                return room;
            }
            let mut state = self.lock();
            match state.slots.front() {
                // Somebody is at it.
                Some(Slot { content: Content::Waiting, lane: Some(_), .. }) => idle_since = Instant::now(),
                Some(Slot { content: Content::Waiting, lane: None, .. }) => self.recall(&mut state, lane),
                _ if idle_since.elapsed() >= PATIENCE => {
                    state.slow = true;
                    self.recall(&mut state, lane);
                }
                _ => {}
            }
        }
    }

    /// Calls all lanes back, unless that has been done since this one has claimed what it has.
    fn recall(&self, state: &mut State, lane: usize) {
        if state.claims.get(lane).copied().flatten() == Some(state.recalls) {
            state.recalls = state.recalls.saturating_add(1);
            self.recalls.send_replace(state.recalls);
        }
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
        self.change(|state| state.settle(place, Content::Whole(stored)));
    }

    /// A fragment cannot be had.
    pub fn miss(&self, place: Place, reason: String) {
        self.change(|state| state.settle(place, Content::Missing(reason)));
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
mod tests;
