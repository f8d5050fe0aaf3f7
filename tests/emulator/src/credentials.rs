//! The pair of keys that is an emulator's own.

use std::fmt;

/// The demonstration's access key id.
pub const DEMO_ACCESS_KEY: &str = "AKIAKVSEMULATORDEMO0";
/// The demonstration's secret: it guards nothing.
pub const DEMO_SECRET_KEY: &str = "kvs-emulator-demonstration-secret-key-00";

/// What a request must be signed with.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

impl Default for Credentials {
    fn default() -> Self {
        let (access_key, secret_key) = (DEMO_ACCESS_KEY.to_owned(), DEMO_SECRET_KEY.to_owned());
        Self { access_key, secret_key, session_token: None }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}
