//! A request's settings and the SDK's own, as one SDK configuration.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_kinesisvideo as kinesisvideo;

use super::credentials::explain;
use super::error::chain;
use super::sections::Documented;
use super::{Credentials, Error, Request, http};

/// Loads region and credentials, which may be another's that are equal to the request's. The request's endpoint is not in
/// it: it is Kinesis Video's alone, and the clients that fetch credentials are made of the same configuration.
///
/// # Errors
///
/// No region is set anywhere, or TLS cannot be done.
pub(super) async fn load(request: &Request, credentials: &Credentials) -> Result<SdkConfig, Error> {
    let http_client =
        http::client(request.authorities.as_ref()).map_err(|error| Error::Tls { reason: error.to_string() })?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        // A quiet camera is no stalled transfer.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(request.connect_timeout).build())
        // Once more, which also mends a skewed clock; whoever reads the stream has a patience of its own beyond that.
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(100)))
        .no_credentials();
    // A stream's ARN can only be found in the region that it names.
    if let Some(region) = request.region.as_deref().or(request.stream.region()) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = credentials.profile() {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    let sections = Documented::new(&config);
    let config = config.into_builder().service_config(sections).build();
    if config.region().is_none() {
        return Err(Error::NoRegion);
    }
    let provider = credentials.provider(&config).await;
    // What is fetched is kept by the credentials themselves, and longer than a connection.
    Ok(config.into_builder().credentials_provider(provider).identity_cache(IdentityCache::no_cache()).build())
}

/// Kinesis Video's control plane: at the request's endpoint, or else at the one that region and SDK settings choose.
pub(super) fn control_plane(request: &Request, config: &SdkConfig) -> kinesisvideo::Client {
    let builder = match &request.endpoint_url {
        Some(url) => kinesisvideo::config::Builder::from(&with_given_endpoint(config)).endpoint_url(url),
        None => kinesisvideo::config::Builder::from(config),
    };
    kinesisvideo::Client::from_conf(builder.build())
}

/// The same for clients whose endpoint is given. The settings for FIPS and dual-stack endpoints choose among the SDK's own
/// endpoints, and the SDK refuses calls that have both.
pub(super) fn with_given_endpoint(config: &SdkConfig) -> SdkConfig {
    config.clone().into_builder().use_fips(false).use_dual_stack(false).build()
}

/// Has credentials fetched, which the first call would do else.
///
/// # Errors
///
/// There are none.
pub(super) async fn fetch_credentials(config: &SdkConfig) -> Result<(), Error> {
    let Some(provider) = config.credentials_provider() else { return Ok(()) };
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(&error).unwrap_or_else(|| Error::NoCredentials { reason: chain(&error) })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SDK gives up on bodies that are silent for some seconds, which a test would have to wait for.
    #[tokio::test]
    async fn a_silent_body_is_no_stalled_stream() {
        let request = Request::of_test("http://127.0.0.1:1", Credentials::default());
        let config = load(&request, &request.credentials).await.unwrap();
        assert!(!config.stalled_stream_protection().unwrap().is_enabled());
        assert_eq!(config.timeout_config().unwrap().read_timeout(), None);
    }
}
