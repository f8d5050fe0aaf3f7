//! A request's settings and the SDK's own, as one SDK configuration.

use aws_config::identity::IdentityCache;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};

use super::{Error, Request};

/// Loads region and credentials. The request's endpoint is not in it: it is Kinesis Video's alone, and the clients that
/// fetch credentials are made of the same configuration.
///
/// # Errors
///
/// No region is set anywhere.
pub(super) async fn load(request: &Request) -> Result<SdkConfig, Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        // A quiet camera is no stalled transfer.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .no_credentials();
    // A stream's ARN can only be found in the region that it names.
    if let Some(region) = request.region.as_deref().or(request.stream.region()) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = request.credentials.profile() {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Error::NoRegion);
    }
    let provider = request.credentials.provider(&config).await;
    // What is fetched is kept by the credentials themselves, and longer than a connection.
    Ok(config.into_builder().credentials_provider(provider).identity_cache(IdentityCache::no_cache()).build())
}
