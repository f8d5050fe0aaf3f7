//! The streams and their fragments: what was put, what is being put, and who is woken by it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;

use crate::error::Error;
use crate::fragment::{Fragment, NewFragment};
use crate::number::FragmentNumber;
use crate::sync::lock;

/// The account that every stream's ARN names.
pub(crate) const ACCOUNT: &str = "123456789012";

/// How long a fragment may become that is still being put, in milliseconds.
const LONGEST: u64 = 10_000;

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// All streams of an emulator.
#[derive(Default)]
pub(crate) struct Store {
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
}

impl Store {
    pub fn create(&self, region: &str, name: &str, settings: StreamSettings) -> Result<Arc<Stream>, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=256).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(Error::BadName(name.to_owned()));
        }
        let mut streams = lock(&self.streams);
        if streams.contains_key(name) {
            return Err(Error::StreamExists(name.to_owned()));
        }
        let created = now();
        let stream = Arc::new(Stream {
            name: name.to_owned(),
            arn: format!("arn:aws:kinesisvideo:{region}:{ACCOUNT}:stream/{name}/{created}"),
            version: uuid::Uuid::new_v4().simple().to_string()[..20].to_owned(),
            created,
            settings,
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(0),
        });
        streams.insert(name.to_owned(), Arc::clone(&stream));
        Ok(stream)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Stream>> {
        lock(&self.streams).get(name).cloned()
    }

    pub fn get_or_create(&self, region: &str, name: &str) -> Result<Arc<Stream>, Error> {
        match self.get(name) {
            Some(stream) => Ok(stream),
            None => match self.create(region, name, StreamSettings::default()) {
                Err(Error::StreamExists(_)) => self.get(name).ok_or_else(|| Error::NoStream(name.to_owned())),
                result => result,
            },
        }
    }

    /// Streams in the order of their names, from the first whose name is greater than `after`.
    pub fn list(&self, after: Option<&str>) -> Vec<Arc<Stream>> {
        lock(&self.streams)
            .iter()
            .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after))
            .map(|(_, stream)| Arc::clone(stream))
            .collect()
    }
}

/// What CreateStream says of a stream beside its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamSettings {
    pub device_name: Option<String>,
    pub media_type: Option<String>,
    pub kms_key_id: Option<String>,
    pub retention_hours: u64,
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

#[derive(Default)]
struct State {
    fragments: VecDeque<Arc<Fragment>>,
    last_number: Option<FragmentNumber>,
    verbatim: Option<Bytes>,
    end_at_head: Option<bool>,
}

impl Stream {
    /// Begins a fragment. Its number is the one asked for where that is free to use, else the next.
    pub fn begin(self: &Arc<Self>, new: NewFragment) -> Arc<Fragment> {
        let mut state = lock(&self.state);
        let number = match (new.number.clone(), &state.last_number) {
            (Some(asked), Some(last)) if asked > *last => asked,
            (Some(asked), None) => asked,
            (_, Some(last)) => last.next(),
            (None, None) => FragmentNumber::first(),
        };
        state.last_number = Some(number.clone());
        let fragment = Arc::new(Fragment::begin(number, new));
        state.fragments.push_back(Arc::clone(&fragment));
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
        lock(&self.state).fragments.retain(|stored| !Arc::ptr_eq(stored, fragment));
        self.wake();
    }

    /// Takes all fragments out.
    pub fn take(&self) -> Vec<Arc<Fragment>> {
        lock(&self.state).fragments.drain(..).collect()
    }

    /// Drops fragments from the front until no more than `keep` are left.
    pub fn keep_last(&self, keep: usize) {
        let mut state = lock(&self.state);
        while state.fragments.len() > keep {
            state.fragments.pop_front();
        }
    }

    pub fn fragments(&self) -> Vec<Arc<Fragment>> {
        lock(&self.state).fragments.iter().cloned().collect()
    }

    /// The first fragment whose number is greater.
    pub fn after(&self, number: &FragmentNumber) -> Option<Arc<Fragment>> {
        let state = lock(&self.state);
        let index = state.fragments.partition_point(|fragment| fragment.number <= *number);
        state.fragments.get(index).cloned()
    }

    pub fn first(&self) -> Option<Arc<Fragment>> {
        lock(&self.state).fragments.front().cloned()
    }

    pub fn last(&self) -> Option<Arc<Fragment>> {
        lock(&self.state).fragments.back().cloned()
    }

    /// The first fragment, in order of number, that contains the moment, else the first that begins after it.
    /// `begin` tells where a fragment begins, in milliseconds since 1970.
    pub fn at(&self, moment: u64, begin: impl Fn(&Fragment) -> u64) -> Option<Arc<Fragment>> {
        let state = lock(&self.state);
        let contains = |fragment: &&Arc<Fragment>| {
            let begin = begin(fragment);
            let duration = fragment.duration().unwrap_or(LONGEST).max(1);
            begin <= moment && moment < begin.saturating_add(duration)
        };
        let later = || state.fragments.iter().find(|fragment| begin(fragment) > moment);
        state.fragments.iter().find(contains).or_else(later).cloned()
    }

    pub fn set_verbatim(&self, body: Option<Bytes>) {
        lock(&self.state).verbatim = body;
        self.wake();
    }

    pub fn verbatim(&self) -> Option<Bytes> {
        lock(&self.state).verbatim.clone()
    }

    pub fn set_end_at_head(&self, end: bool) {
        lock(&self.state).end_at_head = Some(end);
        self.wake();
    }

    pub fn end_at_head(&self) -> Option<bool> {
        lock(&self.state).end_at_head
    }

    /// Who follows this stream; look at the stream only after marking the value seen, and no change is missed.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn wake(&self) {
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let at =
            |moment| stream.at(moment, |fragment| fragment.producer_timestamp).map(|fragment| fragment.number.clone());
        assert_eq!(at(0), Some(first.number.clone()));
        assert_eq!(at(1000), Some(first.number.clone()));
        assert_eq!(at(2999), Some(first.number.clone()));
        assert_eq!(at(3000), Some(second.number.clone()));
        assert_eq!(at(6000), Some(third.number.clone()));
        assert_eq!(at(11_000), None);
        let server = stream.at(8000, |fragment| fragment.server_timestamp).unwrap();
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

    #[test]
    fn names_that_the_service_refuses_are_refused() {
        let store = Store::default();
        for name in ["", "a b", "stream/1", &"x".repeat(257)] {
            assert!(matches!(store.create("us-west-2", name, StreamSettings::default()), Err(Error::BadName(_))));
        }
    }
}
