//! All streams of an emulator, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::stream::Stream;
use crate::sync::lock;

/// The account that every stream's ARN names.
pub(crate) const ACCOUNT: &str = "123456789012";

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
        let stream = Arc::new(Stream::new(region, name, settings));
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

    /// Takes a stream out; its readers find nothing more.
    pub fn remove(&self, name: &str) -> bool {
        let removed = lock(&self.streams).remove(name);
        removed.inspect(|stream| stream.close()).is_some()
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

/// What DescribeStream says of a stream beside its name and ARN.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// The device that writes to it.
    pub device_name: Option<String>,
    /// Such as `video/h264,audio/aac`.
    pub media_type: Option<String>,
    /// The key that encrypts it; the service's own when `None`.
    pub kms_key_id: Option<String>,
    /// How long it is said to keep its fragments; with 0 the archive has none. A stream that CreateStream makes keeps
    /// them so long, one that a test makes as long as [`crate::Emulator::set_retention`] says.
    pub retention_hours: u64,
    /// What it is doing.
    pub status: StreamStatus,
    /// When it was made, in milliseconds since 1970; now when `None`.
    pub created: Option<u64>,
}

impl Default for StreamSettings {
    /// An active stream that is said to keep its fragments for a day.
    fn default() -> Self {
        Self {
            device_name: None,
            media_type: None,
            kms_key_id: None,
            retention_hours: 24,
            status: StreamStatus::Active,
            created: None,
        }
    }
}

/// What a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// It is being made: nothing can be read or put yet.
    Creating,
    /// It is there.
    Active,
    /// It is being changed.
    Updating,
    /// It is being deleted: nothing can be read or put any more.
    Deleting,
}

impl StreamStatus {
    /// The name that the service has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }

    /// Whether media can be read and put.
    pub(crate) fn is_usable(self) -> bool {
        matches!(self, Self::Active | Self::Updating)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_service_refuses_are_refused() {
        let store = Store::default();
        for name in ["", "a b", "stream/1", &"x".repeat(257)] {
            assert!(matches!(store.create("us-west-2", name, StreamSettings::default()), Err(Error::BadName(_))));
        }
    }
}
