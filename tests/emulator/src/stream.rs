//! One stream: its fragments, what is being put, how long they are kept, and who is woken by it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::error::Error;
use crate::fault::Interruption;
use crate::fragment::{Fragment, FragmentInfo, NewFragment};
use crate::history::{Held, History};
use crate::long::LongStream;
use crate::number::FragmentNumber;
use crate::store::{self, ACCOUNT, StreamSettings, StreamStatus};
use crate::stream_tags::Tags;
use crate::sync::lock;

/// What GetMedia answers to a start behind a fragment that the stream does not hold: deleted, past its retention, or
/// never there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingStart {
    /// A body of nothing but the error tags with id 4000. The default: "4000 - Requested fragment is not found" is all
    /// that the [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_GetMedia.html)
    /// has for a fragment that is not there, and its errors of the call speak of bad arguments, not of old ones.
    #[default]
    ErrorTag,
    /// `InvalidArgumentException` instead of a body, as the archive's calls answer to a time out of the retention.
    InvalidArgument,
    /// The next fragment that there is.
    GoOn,
}

/// Which of a fragment's timestamps is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Producer,
    Server,
}

impl Origin {
    /// Milliseconds since 1970.
    pub fn of(self, fragment: &Fragment) -> u64 {
        match self {
            Self::Producer => fragment.producer_timestamp,
            Self::Server => fragment.server_timestamp,
        }
    }
}

/// One stream.
pub(crate) struct Stream {
    pub name: String,
    pub arn: String,
    pub version: String,
    /// Milliseconds since 1970.
    pub created: u64,
    pub settings: StreamSettings,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

struct State {
    status: StreamStatus,
    tags: Tags,
    /// Whether the stream is deleted.
    closed: bool,
    history: History,
    last_number: Option<FragmentNumber>,
    verbatim: Option<Bytes>,
    end_at_head: Option<bool>,
    missing_start: Option<MissingStart>,
    /// Milliseconds; `None` keeps every fragment.
    retention: Option<u64>,
    /// How long a fragment is whole before the archive has it, in milliseconds.
    archive_delay: u64,
    /// What ListFragments does not list yet.
    unlisted: Vec<FragmentNumber>,
    /// How often those were cut off who read it then.
    cuts: u64,
    /// What is still to happen to its producer.
    interruptions: VecDeque<Interruption>,
}

impl State {
    /// Drops the fragments that are older than the retention; who reads one reads it to its end.
    fn expire(&mut self) {
        if let Some(retention) = self.retention {
            let oldest = store::now().saturating_sub(retention);
            self.history.expire(oldest);
        }
    }
}

impl Stream {
    /// An empty stream that begins now.
    pub fn new(region: &str, name: &str, settings: StreamSettings) -> Self {
        let created = settings.created.unwrap_or_else(store::now);
        let state = State {
            status: settings.status,
            tags: Tags::new(),
            closed: false,
            history: History::default(),
            last_number: None,
            verbatim: None,
            end_at_head: None,
            missing_start: None,
            retention: None,
            archive_delay: 0,
            unlisted: Vec::new(),
            cuts: 0,
            interruptions: VecDeque::new(),
        };
        Self {
            name: name.to_owned(),
            arn: format!("arn:aws:kinesisvideo:{region}:{ACCOUNT}:stream/{name}/{created}"),
            version: uuid::Uuid::new_v4().simple().to_string()[..20].to_owned(),
            created,
            settings,
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
        }
    }

    /// What the stream holds now.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.expire();
        state
    }

    /// Begins a fragment. Its number is the one asked for where that is free to use, else the next.
    pub fn begin(self: &Arc<Self>, new: NewFragment) -> Arc<Fragment> {
        let mut state = self.state();
        let number = match (new.number.clone(), &state.last_number) {
            (Some(asked), Some(last)) if asked > *last => asked,
            (Some(asked), None) => asked,
            (_, Some(last)) => last.next(),
            (None, None) => FragmentNumber::first(),
        };
        state.last_number = Some(number.clone());
        let fragment = Arc::new(Fragment::begin(number, new));
        state.history.push(Arc::clone(&fragment));
        drop(state);
        self.wake();
        fragment
    }

    /// Adds bytes to a fragment that is being put.
    pub fn append(&self, fragment: &Fragment, bytes: Bytes) {
        fragment.append(bytes);
        self.wake();
    }

    /// Ends a fragment that is being put.
    pub fn finish(&self, fragment: &Fragment, duration: u64) {
        fragment.finish(duration);
        self.wake();
    }

    /// Throws away a fragment that could not be put whole; who reads it is cut off.
    pub fn abandon(&self, fragment: &Arc<Fragment>) {
        fragment.fail();
        self.state().history.remove(fragment);
        self.wake();
    }

    /// Makes the stream begin with a long one; refused where something was put into it already.
    pub fn set_long(&self, long: LongStream) -> Result<(), Error> {
        let mut state = self.state();
        if state.last_number.is_some() {
            return Err(Error::NotEmpty(self.name.clone()));
        }
        let long = Arc::new(long.build());
        state.last_number = Some(long.number(long.count.saturating_sub(1)));
        state.history.set_long(long);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Takes all fragments out that were put.
    pub fn take(&self) -> Vec<Arc<Fragment>> {
        self.state().history.take_stored()
    }

    /// Drops fragments that were put from the front until no more than `keep` are left.
    pub fn keep_last(&self, keep: usize) {
        self.state().history.keep_last(keep);
    }

    #[cfg(test)]
    pub fn stored(&self) -> Vec<Arc<Fragment>> {
        self.state().history.all().map(|held| held.fragment()).collect()
    }

    /// What is known of every fragment.
    pub fn infos(&self) -> Vec<FragmentInfo> {
        let held: Vec<Held> = self.state().history.all().collect();
        held.iter().map(Held::info).collect()
    }

    /// The first fragment whose number is greater.
    pub fn after(&self, number: &FragmentNumber) -> Option<Arc<Fragment>> {
        self.pick(|history| history.after(number))
    }

    pub fn first(&self) -> Option<Arc<Fragment>> {
        self.pick(History::first)
    }

    pub fn last(&self) -> Option<Arc<Fragment>> {
        self.pick(History::last)
    }

    /// The first fragment, in order of number, that contains the moment (milliseconds since 1970), else the first that
    /// begins after it.
    pub fn at(&self, moment: u64, origin: Origin) -> Option<Arc<Fragment>> {
        self.pick(|history| history.at(moment, origin))
    }

    /// One fragment, which is made, where that is to be done, after the lock is given back.
    fn pick(&self, which: impl Fn(&History) -> Option<Held>) -> Option<Arc<Fragment>> {
        let held = which(&self.state().history);
        held.map(|held| held.fragment())
    }

    /// Whether a fragment with this number is there, whole or not.
    pub fn holds(&self, number: &FragmentNumber) -> bool {
        self.state().history.find(number).is_some()
    }

    /// How long fragments are kept from their server timestamp on; `None` keeps them all.
    pub fn set_retention(&self, retention: Option<Duration>) {
        let milliseconds = retention.map(|kept| u64::try_from(kept.as_millis()).unwrap_or(u64::MAX));
        lock(&self.state).retention = milliseconds;
        self.wake();
    }

    /// Drops the fragments that `unwanted` picks by index and number; tells how many. Who reads one reads it to its end.
    pub fn delete(&self, unwanted: impl Fn(usize, &FragmentNumber) -> bool) -> usize {
        let deleted = self.state().history.delete(unwanted);
        self.wake();
        deleted
    }

    /// Milliseconds; `None` keeps every fragment.
    pub fn retention(&self) -> Option<u64> {
        lock(&self.state).retention
    }

    /// How long a fragment is whole before the archive has it.
    pub fn set_archive_delay(&self, delay: Duration) {
        lock(&self.state).archive_delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    }

    /// What ListFragments leaves out, and nothing else.
    pub fn set_unlisted(&self, numbers: &[FragmentNumber]) {
        lock(&self.state).unlisted = numbers.to_vec();
    }

    /// A fragment that the archive has.
    pub fn archived(&self, number: &FragmentNumber) -> Option<Arc<Fragment>> {
        let ends = self.archive_ends();
        self.pick(|history| history.find(number).filter(|held| is_archived(held, ends)))
    }

    /// What the archive has with a timestamp in a range (milliseconds since 1970), each with a place in an order that
    /// `shuffle` decides.
    pub fn list_archive(&self, origin: Origin, range: RangeInclusive<u64>, shuffle: u64) -> Vec<(u64, Held)> {
        let ends = self.archive_ends();
        let state = self.state();
        let is_listed = |held: &Held| state.unlisted.is_empty() || !state.unlisted.contains(&held.number());
        let wanted =
            |held: &Held| range.contains(&held.timestamp(origin)) && is_archived(held, ends) && is_listed(held);
        state.history.all().filter(wanted).map(|held| (place(shuffle, &held), held)).collect()
    }

    /// Until when a fragment must be whole for the archive to have it; `None` where there is no archive.
    fn archive_ends(&self) -> Option<u64> {
        let ends = store::now().checked_sub(lock(&self.state).archive_delay);
        ends.filter(|_| self.settings.retention_hours > 0)
    }

    pub fn set_status(&self, status: StreamStatus) {
        lock(&self.state).status = status;
    }

    pub fn status(&self) -> StreamStatus {
        lock(&self.state).status
    }

    /// Looks at the stream's tags, or changes them.
    pub fn change_tags<T>(&self, change: impl FnOnce(&mut Tags) -> T) -> T {
        change(&mut lock(&self.state).tags)
    }

    /// The stream is deleted, and all in it.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.history.clear();
        drop(state);
        self.wake();
    }

    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    pub fn set_missing_start(&self, missing: MissingStart) {
        lock(&self.state).missing_start = Some(missing);
    }

    pub fn missing_start(&self) -> Option<MissingStart> {
        lock(&self.state).missing_start
    }

    pub fn set_verbatim(&self, body: Option<Bytes>) {
        self.state().verbatim = body;
        self.wake();
    }

    pub fn verbatim(&self) -> Option<Bytes> {
        self.state().verbatim.clone()
    }

    pub fn set_end_at_head(&self, end: bool) {
        self.state().end_at_head = Some(end);
        self.wake();
    }

    pub fn end_at_head(&self) -> Option<bool> {
        self.state().end_at_head
    }

    /// Cuts off all who read it now.
    pub fn cut_readers(&self) {
        lock(&self.state).cuts += 1;
        self.wake();
    }

    /// How often readers were cut off.
    pub fn cuts(&self) -> u64 {
        lock(&self.state).cuts
    }

    /// Interrupts its producer, behind the interruptions that wait.
    pub fn interrupt(&self, interruption: Interruption) {
        lock(&self.state).interruptions.push_back(interruption);
    }

    /// What happens to its producer now.
    pub fn take_interruption(&self) -> Option<Interruption> {
        lock(&self.state).interruptions.pop_front()
    }

    /// Who follows this stream; look at the stream only after marking the value seen, and no change is missed.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn wake(&self) {
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

fn is_archived(held: &Held, archive_ends: Option<u64>) -> bool {
    held.whole_since().zip(archive_ends).is_some_and(|(since, ends)| since <= ends)
}

/// A fragment's place in a shuffled order.
fn place(shuffle: u64, held: &Held) -> u64 {
    // Made with `new` it has the same keys every time.
    let mut hasher = DefaultHasher::new();
    match held {
        Held::Stored(fragment) => (shuffle, fragment.number.as_str()).hash(&mut hasher),
        Held::Long(_, index) => (shuffle, index).hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StreamSettings};

    fn stream() -> Arc<Stream> {
        Store::default().create("us-west-2", "demo", StreamSettings::default()).unwrap()
    }

    fn put(stream: &Arc<Stream>, producer: u64, server: u64, duration: u64) -> Arc<Fragment> {
        let new = NewFragment {
            producer_timestamp: Some(producer),
            server_timestamp: Some(server),
            ..NewFragment::default()
        };
        let fragment = stream.begin(new);
        stream.finish(&fragment, duration);
        fragment
    }

    #[test]
    fn a_moment_finds_the_fragment_that_contains_it() {
        let stream = stream();
        let first = put(&stream, 1000, 5000, 2000);
        let second = put(&stream, 3000, 7000, 2000);
        let third = put(&stream, 9000, 9000, 2000);
        let at = |moment| stream.at(moment, Origin::Producer).map(|fragment| fragment.number.clone());
        assert_eq!(at(0), Some(first.number.clone()));
        assert_eq!(at(1000), Some(first.number.clone()));
        assert_eq!(at(2999), Some(first.number.clone()));
        assert_eq!(at(3000), Some(second.number.clone()));
        assert_eq!(at(6000), Some(third.number.clone()));
        assert_eq!(at(11_000), None);
        let server = stream.at(8000, Origin::Server).unwrap();
        assert_eq!(server.number, second.number);
    }

    #[test]
    fn a_number_that_would_not_grow_is_replaced() {
        let stream = stream();
        let asked = |number: &str| NewFragment { number: number.parse().ok(), ..NewFragment::default() };
        assert_eq!(stream.begin(asked("100")).number.as_str(), "100");
        assert_eq!(stream.begin(asked("99")).number.as_str(), "101");
        assert_eq!(stream.begin(asked("500")).number.as_str(), "500");
        assert_eq!(stream.begin(NewFragment::default()).number.as_str(), "501");
    }

    #[test]
    fn the_fragment_after_a_number_need_not_follow_a_stored_one() {
        let stream = stream();
        for number in ["10", "20", "30"] {
            stream.begin(NewFragment { number: number.parse().ok(), ..NewFragment::default() });
        }
        let after = |number: &str| stream.after(&number.parse().unwrap()).map(|fragment| fragment.number.to_string());
        assert_eq!(after("5").as_deref(), Some("10"));
        assert_eq!(after("10").as_deref(), Some("20"));
        assert_eq!(after("25").as_deref(), Some("30"));
        assert_eq!(after("30"), None);
    }
}
