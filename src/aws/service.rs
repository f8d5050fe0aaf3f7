//! The service as one configuration meets it: its clients, and the data endpoints that it has named.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesisvideo::types::ApiName;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Error, Request, config};

/// GetDataEndpoint is allowed 5 times a second a stream, for all who read it.
const BETWEEN_ENDPOINTS: Duration = Duration::from_secs(1);

/// What calls of one stream share, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Service {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    config: Option<SdkConfig>,
    endpoint: Option<Arc<str>>,
    /// When the service was last asked for an endpoint.
    asked: Option<Instant>,
}

impl Service {
    /// The configuration and the GetMedia endpoint, from memory where they are known.
    pub async fn endpoint(&self, request: &Request) -> Result<(SdkConfig, Arc<str>), Error> {
        // Held while the service is asked, so that it is asked once.
        let mut known = self.known.lock().await;
        let config = match &known.config {
            Some(config) => config.clone(),
            None => {
                let config = config::load(request).await?;
                known.config = Some(config.clone());
                config
            }
        };
        if let Some(endpoint) = &known.endpoint {
            return Ok((config, Arc::clone(endpoint)));
        }
        if let Some(asked) = known.asked {
            tokio::time::sleep_until(asked + BETWEEN_ENDPOINTS).await;
        }
        known.asked = Some(Instant::now());
        let endpoint: Arc<str> = data_endpoint(request, &config).await?.into();
        known.endpoint = Some(Arc::clone(&endpoint));
        Ok((config, endpoint))
    }

    /// The endpoint failed: the next call asks for it again.
    pub async fn forget_endpoint(&self) {
        self.known.lock().await.endpoint = None;
    }
}

async fn data_endpoint(request: &Request, config: &SdkConfig) -> Result<String, Error> {
    let mut config = aws_sdk_kinesisvideo::config::Builder::from(config);
    if let Some(endpoint_url) = &request.endpoint_url {
        config = config.endpoint_url(endpoint_url);
    }
    aws_sdk_kinesisvideo::Client::from_conf(config.build())
        .get_data_endpoint()
        .set_stream_name(request.stream.name().map(str::to_owned))
        .set_stream_arn(request.stream.arn().map(str::to_owned))
        .api_name(ApiName::GetMedia)
        .send()
        .await
        .map_err(|error| Error::from_sdk("GetDataEndpoint", error))?
        .data_endpoint
        .ok_or(Error::NoDataEndpoint)
}
