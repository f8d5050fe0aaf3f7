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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{StartSelector, StaticCredentials, Stream};

    /// The SDK gives up on bodies that are silent for some seconds, which a test would have to wait for.
    #[tokio::test]
    async fn a_silent_body_is_no_stalled_stream() {
        let credentials = StaticCredentials { access_key: "a".into(), secret_key: "s".into(), session_token: None };
        let request = Request {
            stream: Stream::Name("demo".into()),
            start: StartSelector::Now,
            region: Some("us-west-2".into()),
            endpoint_url: None,
            credentials: Some(credentials),
            authorities: None,
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(1),
            max_buffered_bytes: 1,
        };
        let config = load(&request).await.unwrap();
        assert!(!config.stalled_stream_protection().unwrap().is_enabled());
        assert_eq!(config.timeout_config().unwrap().read_timeout(), None);
    }
}
