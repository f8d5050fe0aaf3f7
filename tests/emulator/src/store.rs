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
