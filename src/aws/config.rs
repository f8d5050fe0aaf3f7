//! A request's settings and the SDK's own, as one SDK configuration.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;

use super::{Error, Request, http};

/// Loads region, endpoint and credentials.
///
/// # Errors
///
/// No region is set anywhere, or TLS cannot be done.
pub(super) async fn load(request: &Request) -> Result<SdkConfig, Error> {
    let http_client =
        http::client(request.authorities.as_ref()).map_err(|error| Error::Tls { reason: error.to_string() })?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        // A quiet camera is no stalled transfer.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(request.connect_timeout).build())
        // Once more, which also mends a skewed clock; whoever reads the stream has a patience of its own beyond that.
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(100)));
    // A stream's ARN can only be found in the region that it names.
    if let Some(region) = request.region.as_deref().or(request.stream.region()) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint_url) = &request.endpoint_url {
        loader = loader.endpoint_url(endpoint_url);
    }
    if let Some(given) = &request.credentials {
        loader = loader.credentials_provider(Credentials::new(
            &given.access_key,
            &given.secret_key,
            given.session_token.clone(),
            None,
            "element properties",
        ));
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Error::NoRegion);
    }
    Ok(config)
}
