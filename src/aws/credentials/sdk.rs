//! What the AWS SDK finds by itself: one profile, or its whole default chain.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};

use super::sign_in::without_session;

/// Reads environment and shared files anew each time it is asked: the SDK's own providers read them once.
#[derive(Debug)]
pub(super) struct SdkProvider {
    profile: Option<String>,
    config: SdkConfig,
}

impl SdkProvider {
    pub fn profile(name: &str, config: &SdkConfig) -> Self {
        Self { profile: Some(name.to_owned()), config: config.clone() }
    }

    pub fn default_chain(config: &SdkConfig) -> Self {
        Self { profile: None, config: config.clone() }
    }

    async fn credentials(&self) -> provider::Result {
        match &self.profile {
            // Alone, because in the chain the environment would win over it.
            Some(name) => {
                let mut config = ProviderConfig::without_region()
                    .with_region(self.config.region().cloned())
                    .with_use_fips(self.config.use_fips())
                    .with_use_dual_stack(self.config.use_dual_stack())
                    .with_behavior_version(Some(BehaviorVersion::latest()));
                if let Some(client) = self.config.http_client() {
                    config = config.with_http_client(client);
                }
                let builder = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name);
                builder.build().provide_credentials().await
            }
            None => {
                let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(self.config.region().cloned());
                if let Some(client) = self.config.http_client() {
                    loader = loader.http_client(client);
                }
                match loader.load().await.credentials_provider() {
                    Some(chain) => chain.provide_credentials().await,
                    None => Err(CredentialsError::not_loaded_no_source()),
                }
            }
        }
    }
}

impl ProvideCredentials for SdkProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.credentials().await.map_err(without_session) })
    }
}
