//! One connection after the other, fetching what the board deals.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::board::{Board, Place, Room, Wanted};
use super::patience::Attempts;
use crate::aws::{self, Archive, Body, Recovery};
use crate::fragment::{FragmentNumber, Piece, Splitter};

/// Fetches until there is nothing more to fetch, or a call fails for good. Called back, it makes room for others.
pub async fn run(number: usize, archive: Archive, attempts: Attempts, patience: Duration, board: Arc<Board>) {
    let watched = Arc::clone(&board);
    let mut lane = Lane {
        lane: number,
        archive,
        attempts,
        patience,
        board,
        left: VecDeque::new(),
        alone: false,
        absent: None,
        held: 0,
        brought: None,
    };
    while lane.board.has_more().await {
        // Who waits for a place has nothing that others wait for.
        let place = lane.archive.place().await;
        lane.attempts.interrupted();
        lane.board.connect();
        lane.left = lane.board.claim(lane.lane, lane.archive.free_places()).unwrap_or_default().into();
        lane.alone = false;
        while !lane.left.is_empty() {
            let fetched = tokio::select! {
                biased;
                () = watched.recalled(number) => None,
                fetched = lane.fetch(&place) => Some(fetched),
            };
            match fetched {
                Some(Ok(())) => {}
                Some(Err(error)) => return lane.board.fail(error),
                None => lane.give_back(),
            }
        }
        lane.board.disconnect(lane.lane);
    }
}

struct Lane {
    lane: usize,
    archive: Archive,
    attempts: Attempts,
    /// How long a fragment that is not found is asked for again.
    patience: Duration,
    board: Arc<Board>,
    /// What is still to be fetched, in order.
    left: VecDeque<Wanted>,
    /// The first of them failed before, and is fetched alone.
    alone: bool,
    /// What the service said of a fragment that the body at hand did not bring, and that is asked for again.
    absent: Option<String>,
    /// How many bytes of the body at hand are on the board, and of no fragment there.
    held: u64,
    /// The last place of all that it has brought.
    brought: Option<Place>,
}

/// How a body ended.
enum Ended {
    Cleanly,
    /// The bytes broke off, or are no Matroska; for an error of the connection there is one to report.
    Broken(Option<aws::Error>, String),
    /// It went on behind the fragment that everybody waits for, until there was no room for more.
    Passed,
    /// The service could not give this fragment.
    Refused(Option<FragmentNumber>, String),
}

impl Lane {
    /// Makes one call and fills the board with what it brings.
    async fn fetch(&mut self, place: &aws::Place) -> Result<(), aws::Error> {
        self.brought = None;
        self.board.room(self.lane, None).await;
        let count = if self.alone { 1 } else { self.left.len() };
        let numbers: Vec<FragmentNumber> = self.left.iter().take(count).map(|wanted| wanted.number.clone()).collect();
        let body = match self.archive.get(&numbers, place).await {
            Ok(body) => body,
            // One of them is a number that the service does not know.
            Err(error) if error.recovery() == Recovery::StartElsewhere => {
                if self.alone {
                    self.miss_first(error.to_string());
                } else {
                    self.fetch_alone(error.to_string());
                }
                return Ok(());
            }
            Err(error) => return self.wait(error).await,
        };
        let before = self.left.len();
        let ended = self.read(body).await;
        let progressed = self.left.len() < before;
        if progressed {
            self.attempts.succeeded();
        }
        let asked_for_more = before.saturating_sub(self.left.len()) < count;
        let absent = self.absent.take();
        match ended {
            Ended::Cleanly | Ended::Passed if absent.is_some() => {
                self.seek(absent.unwrap_or_default(), progressed, matches!(ended, Ended::Passed)).await;
            }
            Ended::Cleanly if !asked_for_more => self.alone = false,
            // Behind a fragment that it does not have, the service may end the body.
            Ended::Cleanly if progressed => {
                self.alone = false;
                self.attempts.again("the service ended it early".to_owned());
            }
            Ended::Cleanly if self.alone => self.miss_first("the service sent nothing of it".to_owned()),
            Ended::Cleanly => self.fetch_alone("the service sent nothing".to_owned()),
            Ended::Broken(Some(error), _) if progressed => self.fetch_alone(error.to_string()),
            Ended::Broken(Some(error), _) => {
                self.alone = true;
                return self.wait(error).await;
            }
            Ended::Broken(None, reason) if self.alone && !progressed => self.miss_first(reason),
            Ended::Broken(None, reason) => self.fetch_alone(reason),
            Ended::Passed => {
                self.left.make_contiguous().sort_unstable_by_key(|wanted| wanted.place);
                self.fetch_alone("the service left it out".to_owned());
            }
            Ended::Refused(number, reason) => {
                let is_it = |wanted: &Wanted| number.as_ref().is_some_and(|number| *number == wanted.number);
                if let Some(wanted) = self.left.iter().position(is_it).and_then(|index| self.left.remove(index)) {
                    self.left.push_front(wanted);
                }
                if self.alone && !progressed {
                    self.miss_first(reason);
                } else {
                    self.fetch_alone(reason);
                }
            }
        }
        Ok(())
    }

    /// Goes on after a body without all that it was to bring: with what else is left at once, and else after a delay.
    async fn seek(&mut self, reason: String, progressed: bool, passed: bool) {
        let board = Arc::clone(&self.board);
        self.left.make_contiguous().sort_by_key(|wanted| (!passed && board.is_absent(wanted.place), wanted.place));
        // Where there is room for nothing else, the fragment that everybody waits for comes alone.
        self.alone = passed || (self.alone && board.is_full());
        if self.left.front().is_some_and(|wanted| board.is_absent(wanted.place)) {
            tokio::time::sleep(self.attempts.absent(reason)).await;
        } else if progressed {
            self.attempts.again(reason);
        } else {
            self.fetch_alone(reason);
        }
    }

    async fn wait(&mut self, error: aws::Error) -> Result<(), aws::Error> {
        let delay = self.attempts.failed(&error).ok_or(error)?;
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// The first of what is left is fetched by itself, at once.
    fn fetch_alone(&mut self, reason: String) {
        self.alone = true;
        self.attempts.again(reason);
    }

    /// Reads a body to its end, or to what cannot be read.
    async fn read(&mut self, mut body: Body) -> Ended {
        let mut splitter = Splitter::new();
        let ended = loop {
            if self.board.room(self.lane, self.brought).await == Room::Passed {
                break Ended::Passed;
            }
            let (piece, ended) = match body.next().await {
                Ok(Some(bytes)) => {
                    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.board.read(size);
                    self.attempts.received(bytes.len());
                    self.held = self.held.saturating_add(size);
                    splitter.push(bytes);
                    (splitter.next(), None)
                }
                Ok(None) => (splitter.finish(), Some(Ended::Cleanly)),
                Err(error) => (Ok(None), Some(Ended::Broken(Some(error), String::new()))),
            };
            let mut piece = piece;
            let stopped = loop {
                match piece {
                    Ok(Some(found)) => {
                        if let Some(refused) = self.place(found) {
                            break Some(refused);
                        }
                        if ended.is_some() {
                            break None;
                        }
                        piece = splitter.next();
                    }
                    Ok(None) => break None,
                    // A body that ends cleanly in the middle of an element was cut as well.
                    Err(error) => break Some(Ended::Broken(None, error.to_string())),
                }
            };
            if let Some(ended) = stopped.or(ended) {
                break ended;
            }
        };
        self.board.drop_bytes(std::mem::take(&mut self.held));
        ended
    }

    /// Lets go of the body at hand, and of what it did not bring.
    fn give_back(&mut self) {
        self.attempts.interrupted();
        self.board.drop_bytes(std::mem::take(&mut self.held));
        self.board.give_back(self.lane, self.left.drain(..));
    }

    /// Puts a piece on the board, which takes its bytes over; what is wrong where nothing behind it can be trusted.
    fn place(&mut self, piece: Piece) -> Option<Ended> {
        match piece {
            Piece::Whole(stored) => {
                let wanted = self.position(&stored.number).and_then(|index| self.left.remove(index));
                match wanted {
                    Some(wanted) => {
                        self.held = self.held.saturating_sub(stored.size);
                        self.brought = self.brought.max(Some(wanted.place));
                        if self.board.is_absent(wanted.place) {
                            self.attempts.settled();
                        }
                        self.board.fill(wanted.place, stored);
                    }
                    None => self.forget(stored.size),
                }
                None
            }
            Piece::Failed { number, id, reason, size } => {
                self.forget(size);
                let text = format!("{reason} ({id})");
                let index = number.as_ref().and_then(|number| self.position(number));
                let Some(index) = index.filter(|_| is_gone(&id, &reason)) else {
                    return Some(Ended::Refused(number, text));
                };
                let sought = |wanted: &Wanted| self.board.is_sought(wanted.place, self.patience);
                if self.left.get(index).is_some_and(sought) {
                    let number = number.map(|number| number.to_string()).unwrap_or_default();
                    self.absent = Some(format!("fragment {number} was not found: {text}"));
                } else if let Some(wanted) = self.left.remove(index) {
                    self.attempts.settled();
                    self.brought = self.brought.max(Some(wanted.place));
                    self.board.miss(wanted.place, text);
                }
                None
            }
            Piece::Nothing(size) => {
                self.forget(size);
                None
            }
        }
    }

    fn forget(&mut self, size: u64) {
        self.held = self.held.saturating_sub(size);
        self.board.drop_bytes(size);
    }

    fn position(&self, number: &FragmentNumber) -> Option<usize> {
        self.left.iter().position(|wanted| wanted.number == *number)
    }

    fn miss_first(&mut self, reason: String) {
        self.alone = false;
        if let Some(wanted) = self.left.pop_front() {
            self.board.miss(wanted.place, reason);
        }
    }
}

/// Whether the archive does not find such a fragment: there is none any more, or it is found a little later.
///
/// See `GetMediaForFragmentList` in the
/// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_reader_GetMediaForFragmentList.html).
fn is_gone(id: &str, code: &str) -> bool {
    matches!(id, "3000" | "4000") || code == "FRAGMENT_NOT_FOUND"
}
