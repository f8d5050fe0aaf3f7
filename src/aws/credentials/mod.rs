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
mod sign_in;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
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
    /// The source's own first, then the role's.
    kept: Vec<Refreshing>,
    /// Held by the one renewal that is under way; how the last one failed, where it did.
    renewing: tokio::sync::Mutex<Option<Failed>>,
}

/// A renewal that brought nothing.
struct Failed {
    /// What was to be replaced.
    refused: Option<Identity>,
    at: Instant,
    error: Error,
}

/// Which credentials a call was signed with, so that it can be told whether others are held by now.
#[derive(Clone, Default)]
pub(super) struct Used(Arc<Mutex<Option<Identity>>>);

/// Access key and session token.
type Identity = (String, Option<String>);

fn identity(keys: &Keys) -> Identity {
    (keys.access_key_id().to_owned(), keys.session_token().map(str::to_owned))
}

impl Used {
    fn last(&self) -> MutexGuard<'_, Option<Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what `provider` gives, and notes it here.
    pub(super) fn note(&self, provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Noting { provider, used: self.clone() })
    }
}

struct Noting {
    provider: SharedCredentialsProvider,
    used: Used,
}

impl ProvideCredentials for Noting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let given = self.provider.provide_credentials().await?;
            *self.used.last() = Some(identity(&given));
            Ok(given)
        })
    }
}

impl fmt::Debug for Noting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Noting(..)")
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
                tell(told(&error), kept.expiration());
            }
        }
    }

    /// Whether a call that the service refused is worth making once more: others are held than those that it was signed
    /// with, or have now been fetched. What is held stays where nothing comes instead.
    ///
    /// # Errors
    ///
    /// The source gives none now: what it says decides, and not the refusal.
    pub(super) async fn renew(&self, refused: &Used) -> Result<bool, Error> {
        let Some(chain) = self.0.chain.get() else { return Ok(false) };
        // Many connections are refused at once: the first one renews for all, or fails for all.
        let asked = Instant::now();
        let mut failed = chain.renewing.lock().await;
        let refused = refused.last().clone();
        if let Some(failed) = failed.as_ref().filter(|failed| failed.refused == refused && failed.at >= asked) {
            return Err(failed.error.clone());
        }
        let renewed = chain.renew(&refused).await;
        let error = renewed.as_ref().err().cloned();
        *failed = error.map(|error| Failed { refused, at: Instant::now(), error });
        renewed
    }
}

impl Chain {
    async fn renew(&self, refused: &Option<Identity>) -> Result<bool, Error> {
        let held = || async { self.provider.provide_credentials().await.map_err(|error| told(&error)) };
        if Some(identity(&held().await?)) != *refused {
            return Ok(true);
        }
        let mut failure = None;
        for kept in &self.kept {
            if let Err(error) = kept.replace().await {
                // That of the source below a role says more than what comes of it.
                failure.get_or_insert(error);
            }
        }
        match failure {
            _ if Some(identity(&held().await?)) != *refused => Ok(true),
            Some(error) => Err(told(&error)),
            None => Ok(false),
        }
    }
}

/// What a source's failure is told as.
fn told(error: &CredentialsError) -> Error {
    explain(error)
        .unwrap_or_else(|| CredentialError::Unavailable { by: "their source".to_owned(), reason: chain(error) }.into())
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
        Chain { provider, kept, renewing: tokio::sync::Mutex::default() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { source, role, .. } = &*self.0;
        formatter.debug_struct("Credentials").field("source", source).field("role", role).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::aws::Recovery;

    /// Gives numbered keys, or says that it is down.
    #[derive(Clone, Debug, Default)]
    struct Source(Arc<(AtomicUsize, AtomicUsize)>);

    impl Source {
        fn set_down(&self, down: bool) {
            self.0.1.store(usize::from(down), Ordering::SeqCst);
        }

        fn asked(&self) -> usize {
            self.0.0.load(Ordering::SeqCst)
        }

        fn credentials(&self) -> Credentials {
            let kept = Refreshing::new(self.clone());
            let provider = SharedCredentialsProvider::new(kept.clone());
            let chain = Chain { provider, kept: vec![kept], renewing: tokio::sync::Mutex::default() };
            Credentials(Arc::new(Inner { chain: OnceCell::new_with(Some(chain)), ..Inner::default() }))
        }
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.0.0.fetch_add(1, Ordering::SeqCst);
            future::ProvideCredentials::ready(match self.0.1.load(Ordering::SeqCst) {
                0 => Ok(Keys::new(format!("K{number}"), "hush", None, None, "test")),
                _ => Err(CredentialError::Unavailable { by: "test".to_owned(), reason: "down".to_owned() }.into()),
            })
        }
    }

    /// Signs a call.
    async fn call(credentials: &Credentials) -> (Used, String) {
        let used = Used::default();
        let provider = used.note(credentials.0.chain.get().unwrap().provider.clone());
        let keys = provider.provide_credentials().await.unwrap();
        (used, keys.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn who_is_refused_with_what_another_has_renewed_tries_that() {
        let source = Source::default();
        let credentials = source.credentials();
        let refused = [call(&credentials).await, call(&credentials).await];
        for (used, key) in refused {
            assert_eq!(key, "K0");
            assert!(credentials.renew(&used).await.unwrap());
            assert_eq!(call(&credentials).await.1, "K1");
        }
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn a_source_that_is_down_is_what_is_told_of_a_refusal() {
        let source = Source::default();
        let credentials = source.credentials();
        let (used, _) = call(&credentials).await;
        source.set_down(true);
        let error = credentials.renew(&used).await.unwrap_err();
        assert_eq!(error.recovery(), Recovery::Retry, "{error}");
        // Still held: others may be served with them.
        assert_eq!(call(&credentials).await.1, "K0");
        source.set_down(false);
        assert!(credentials.renew(&used).await.unwrap());
        assert_eq!(call(&credentials).await.1, "K2");
    }

    #[tokio::test]
    async fn what_the_source_gives_again_is_not_tried_again() {
        let keys = StaticCredentials { access_key: "K".into(), secret_key: "hush".into(), session_token: None };
        let credentials = Credentials::new(CredentialSource::Keys(keys), None);
        credentials.provider(&SdkConfig::builder().build()).await;
        let (used, _) = call(&credentials).await;
        assert!(!credentials.renew(&used).await.unwrap());
    }
}
