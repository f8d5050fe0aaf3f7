//! Where credentials come from: which source, the role on top of it, and how long what they give is kept.

#[cfg(feature = "cognito")]
mod cognito;
mod error;
mod file;
mod iot;
mod refresh;
mod role;
mod sdk;
mod service;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::OnceCell;

#[cfg(feature = "cognito")]
pub use cognito::CognitoIdentity;
pub use error::CredentialError;
pub(super) use error::explain;
pub use iot::IotCertificate;
pub use role::Role;

use super::Error;
use super::error::chain;
use refresh::Refreshing;

/// A source of credentials. In the order of precedence: where several are set, the first of them is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CredentialSource {
    /// Keys that the user gave: `access-key=AKIA… secret-key=…`.
    Keys(StaticCredentials),
    /// kvssink's credential file: `credential-path=/run/kvs/credential`.
    File(PathBuf),
    /// The credentials provider of AWS IoT: `iot-certificate="iot-certificate,endpoint=HOST,cert-path=certificate.pem,`
    /// `key-path=private.key,ca-path=authority.pem,role-aliases=viewer"`.
    Iot(IotCertificate),
    /// An Amazon Cognito identity pool: `cognito-identity-pool-id=eu-west-1:01234567-89ab-cdef-0123-456789abcdef`.
    #[cfg(feature = "cognito")]
    Cognito(CognitoIdentity),
    /// A profile of the SDK's shared files, which also gives the region: `profile=viewer`.
    Profile(String),
    /// The SDK's default chain: environment, shared files (with SSO and `credential_process`), web identity,
    /// containers, instance metadata: nothing set, or `AWS_PROFILE=viewer` in the environment.
    #[default]
    Default,
}

/// A key pair that the user gave, with the token of a temporary one.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticCredentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StaticCredentials(..)")
    }
}

/// The credentials of all calls made for one element. What was fetched is kept in it and renewed, so that connections
/// which come after one another share it; clones are the same one.
#[derive(Clone, Default)]
pub struct Credentials(Arc<Inner>);

/// Equal where they come from the same source in the same way.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.source == other.0.source && self.0.role == other.0.role)
    }
}

impl Eq for Credentials {}

#[derive(Default)]
struct Inner {
    source: CredentialSource,
    role: Option<Role>,
    chain: OnceCell<Chain>,
}

/// What stands behind a source once the first call is made.
struct Chain {
    provider: SharedCredentialsProvider,
    kept: Vec<Refreshing>,
    given: Given,
}

/// Remembers which credentials were given last.
#[derive(Clone)]
struct Given {
    provider: SharedCredentialsProvider,
    last: Arc<Mutex<Option<Identity>>>,
}

/// Access key and session token.
type Identity = (String, Option<String>);

impl Given {
    fn last(&self) -> MutexGuard<'_, Option<Identity>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn credentials(&self) -> provider::Result {
        let given = self.provider.provide_credentials().await?;
        *self.last() = Some((given.access_key_id().to_owned(), given.session_token().map(str::to_owned)));
        Ok(given)
    }
}

impl ProvideCredentials for Given {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Given(..)")
    }
}

impl Credentials {
    /// Credentials of a source, or of the role that is assumed with them. Nothing is asked or read yet.
    pub fn new(source: CredentialSource, role: Option<Role>) -> Self {
        Self(Arc::new(Inner { source, role, chain: OnceCell::new() }))
    }

    /// The profile that the region is to come from, too.
    pub(super) fn profile(&self) -> Option<&str> {
        match &self.0.source {
            CredentialSource::Profile(name) => Some(name),
            _ => None,
        }
    }

    /// What gives credentials to a client; the first `config` stays the one that sources are asked with.
    pub(super) async fn provider(&self, config: &SdkConfig) -> SharedCredentialsProvider {
        self.0.chain.get_or_init(|| self.0.chain(config)).await.provider.clone()
    }

    /// Renews credentials before they expire, for as long as it is polled; those that a role is assumed with are renewed
    /// with the role. `tell` is told what fails, and when those that are held expire.
    pub(super) async fn keep_fresh(&self, tell: impl Fn(Error, Option<SystemTime>)) -> Infallible {
        let Some(kept) = self.0.chain.get().and_then(|chain| chain.kept.last()) else { return pending().await };
        loop {
            if let Err(error) = kept.renewal().await {
                let unknown = || CredentialError::Unavailable { by: "their source".to_owned(), reason: chain(&error) };
                tell(explain(&error).unwrap_or_else(|| unknown().into()), kept.expiration());
            }
        }
    }

    /// Fetches credentials again because the service refused those that are held. Tells whether others came.
    pub(super) async fn renew(&self) -> bool {
        let Some(chain) = self.0.chain.get() else { return false };
        let refused = chain.given.last().clone();
        for kept in &chain.kept {
            kept.forget();
        }
        chain.given.credentials().await.is_ok() && *chain.given.last() != refused
    }
}

impl Inner {
    async fn chain(&self, config: &SdkConfig) -> Chain {
        let mut kept = Vec::new();
        let mut keep = |provider: Refreshing| {
            kept.push(provider.clone());
            SharedCredentialsProvider::new(provider)
        };
        let mut provider = match &self.source {
            CredentialSource::Keys(given) => SharedCredentialsProvider::new(Keys::new(
                &given.access_key,
                &given.secret_key,
                given.session_token.clone(),
                None,
                "access-key",
            )),
            CredentialSource::File(path) => SharedCredentialsProvider::new(file::FileProvider::new(path.clone())),
            CredentialSource::Iot(certificate) => keep(Refreshing::new(iot::IotProvider::new(certificate.clone()))),
            #[cfg(feature = "cognito")]
            CredentialSource::Cognito(identity) => {
                keep(Refreshing::new(cognito::CognitoProvider::new(identity, config)))
            }
            CredentialSource::Profile(name) => keep(Refreshing::new(sdk::SdkProvider::profile(name, config))),
            CredentialSource::Default => keep(Refreshing::new(sdk::SdkProvider::default_chain(config))),
        };
        if let Some(role) = &self.role {
            provider = keep(Refreshing::new(role::RoleProvider::new(role, config, provider).await));
        }
        let given = Given { provider, last: Arc::default() };
        Chain { provider: SharedCredentialsProvider::new(given.clone()), kept, given }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { source, role, .. } = &*self.0;
        formatter.debug_struct("Credentials").field("source", source).field("role", role).finish_non_exhaustive()
    }
}
