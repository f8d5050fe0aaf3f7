//! Every pair of keys that the emulator takes: its own, and temporary ones until they expire.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::credentials::Credentials;
use crate::sync::lock;

/// Temporary keys that requests may be signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key id.
    pub access_key: String,
    /// The secret.
    pub secret_key: String,
    /// The token that goes with them.
    pub session_token: String,
    /// From when on they are refused.
    pub expiration: SystemTime,
}

impl Keys {
    /// Fresh keys, unlike any others.
    pub(crate) fn fresh(lifetime: Duration) -> Self {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        Self {
            access_key: format!("ASIA{}", random()[..16].to_uppercase()),
            secret_key: format!("secret{}", random()),
            session_token: format!("token{}{}", random(), random()),
            expiration: SystemTime::now() + lifetime,
        }
    }

    /// When they expire, as RFC 3339.
    pub fn expiration_text(&self) -> String {
        jiff::Timestamp::try_from(self.expiration).map(|time| time.to_string()).unwrap_or_default()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Whether keys are good.
pub(crate) enum Found {
    Valid(Credentials),
    Expired,
    Unknown,
}

pub(crate) struct KeyRing {
    own: Credentials,
    others: Mutex<Vec<Keys>>,
}

impl KeyRing {
    pub fn new(own: Credentials) -> Self {
        Self { own, others: Mutex::default() }
    }

    pub fn own(&self) -> &Credentials {
        &self.own
    }

    pub fn add(&self, keys: Keys) {
        lock(&self.others).push(keys);
    }

    pub fn remove(&self, access_key: &str) {
        lock(&self.others).retain(|keys| keys.access_key != access_key);
    }

    /// The keys of this id, where the token is theirs.
    pub fn find(&self, access_key: &str, token: Option<&str>) -> Found {
        if access_key == self.own.access_key {
            let same = token == self.own.session_token.as_deref();
            return if same { Found::Valid(self.own.clone()) } else { Found::Unknown };
        }
        let others = lock(&self.others);
        match others.iter().find(|keys| keys.access_key == access_key && token == Some(&keys.session_token)) {
            None => Found::Unknown,
            Some(keys) if keys.expiration <= SystemTime::now() => Found::Expired,
            Some(keys) => Found::Valid(Credentials {
                access_key: keys.access_key.clone(),
                secret_key: keys.secret_key.clone(),
                session_token: Some(keys.session_token.clone()),
            }),
        }
    }
}
