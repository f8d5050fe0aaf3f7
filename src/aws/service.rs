//! The service as one configuration meets it: its clients, and the data endpoints that it has named.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesisvideo::types::ApiName;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::credentials::Used;
use super::quota::Quota;
use super::{Authorities, Credentials, Error, Request, Stage, Stream, config};

/// GetDataEndpoint is allowed 5 times a second a stream, for all who read it; there are three endpoints to ask for.
const BETWEEN_ENDPOINTS: Duration = Duration::from_secs(1);

/// What all of a process that read one stream with the same settings share, over all their connections.
pub(super) struct Service {
    settings: Settings,
    known: Mutex<Known>,
    /// What ListFragments and GetMediaForFragmentList may use.
    pub listing: Quota,
    pub fetching: Quota,
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").field("stream", &self.settings.stream).finish_non_exhaustive()
    }
}

/// What decides about configuration and endpoint; no `Debug`, since some of it is secret.
#[derive(PartialEq, Eq)]
struct Settings {
    stream: Stream,
    region: Option<String>,
    endpoint_url: Option<String>,
    credentials: Credentials,
    authorities: Option<Authorities>,
    connect_timeout: Duration,
}

#[derive(Debug, Default)]
struct Known {
    config: Option<SdkConfig>,
    /// Credentials have been had, and are renewed by themselves.
    credentials: bool,
    endpoints: HashMap<ApiName, Endpoint>,
}

/// The data endpoint of one operation.
#[derive(Debug, Default)]
struct Endpoint {
    url: Option<Arc<str>>,
    /// When the service was last asked for it.
    asked: Option<Instant>,
}

impl Service {
    /// The service as this request meets it: that of all others who ask with the same settings, as long as any does.
    pub fn of(request: &Request) -> Arc<Self> {
        static ALL: std::sync::Mutex<Vec<Weak<Service>>> = std::sync::Mutex::new(Vec::new());
        let settings = Settings {
            stream: request.stream.clone(),
            region: request.region.clone(),
            endpoint_url: request.endpoint_url.clone(),
            credentials: request.credentials.clone(),
            authorities: request.authorities.clone(),
            connect_timeout: request.connect_timeout,
        };
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|service| service.strong_count() > 0);
        if let Some(known) = all.iter().filter_map(Weak::upgrade).find(|service| service.settings == settings) {
            return known;
        }
        let service =
            Arc::new(Self { settings, known: Mutex::default(), listing: Quota::default(), fetching: Quota::default() });
        all.push(Arc::downgrade(&service));
        service
    }

    /// The configuration for an operation's client and its endpoint, from memory where they are known; `tell` is told what is not.
    /// Which credentials calls of this configuration are signed with is noted in `used`, also where this fails.
    pub async fn endpoint(
        &self,
        request: &Request,
        operation: ApiName,
        used: &Used,
        tell: &(dyn Fn(Stage) + Sync),
    ) -> Result<(SdkConfig, Arc<str>), Error> {
        // Held while the service is asked, so that it is asked once.
        let mut known = self.known.lock().await;
        if !known.credentials {
            tell(Stage::Credentials);
        }
        let config = match &known.config {
            Some(config) => config.clone(),
            None => {
                let config = config::load(request, self.credentials()).await?;
                known.config = Some(config.clone());
                config
            }
        };
        if !known.credentials {
            config::fetch_credentials(&config).await?;
            known.credentials = true;
        }
        let config = match config.credentials_provider() {
            Some(provider) => {
                let provider = used.note(provider);
                config.into_builder().credentials_provider(provider).build()
            }
            None => config,
        };
        let endpoint = known.endpoints.entry(operation.clone()).or_default();
        if let Some(url) = &endpoint.url {
            return Ok((config::with_given_endpoint(&config), Arc::clone(url)));
        }
        tell(Stage::Endpoint);
        if let Some(asked) = endpoint.asked {
            tokio::time::sleep_until(asked + BETWEEN_ENDPOINTS).await;
        }
        endpoint.asked = Some(Instant::now());
        let url: Arc<str> = data_endpoint(request, &config, operation).await?.into();
        endpoint.url = Some(Arc::clone(&url));
        Ok((config::with_given_endpoint(&config), url))
    }

    /// What its configuration asks for credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.settings.credentials
    }

    /// This endpoint failed: the next call asks for another, unless somebody has done so already.
    pub async fn forget_endpoint(&self, failed: &Arc<str>) {
        self.known.lock().await.forget(failed);
    }
}

impl Known {
    /// Forgets this very endpoint, and not one that came after it.
    fn forget(&mut self, failed: &Arc<str>) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.url.take_if(|known| Arc::ptr_eq(known, failed));
        }
    }
}

async fn data_endpoint(request: &Request, config: &SdkConfig, operation: ApiName) -> Result<String, Error> {
    config::control_plane(request, config)
        .get_data_endpoint()
        .set_stream_name(request.stream.name().map(str::to_owned))
        .set_stream_arn(request.stream.arn().map(str::to_owned))
        .api_name(operation)
        .send()
        .await
        .map_err(|error| Error::from_sdk("GetDataEndpoint", error))?
        .data_endpoint
        .ok_or(Error::NoDataEndpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::CredentialSource;

    #[tokio::test]
    async fn the_second_of_two_equal_elements_may_be_the_first_to_connect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        std::fs::write(&path, "CREDENTIALS first hush").unwrap();
        // Nobody listens there.
        let request =
            || Request::of_test("http://127.0.0.1:1", Credentials::new(CredentialSource::File(path.clone()), None));
        let (first, second, used) = (request(), request(), Used::default());
        let service = Service::of(&first);
        assert!(Arc::ptr_eq(&service, &Service::of(&second)));
        service.endpoint(&second, ApiName::GetMedia, &used, &|_| ()).await.unwrap_err();
        assert!(!service.credentials().renew(&used).await.unwrap());
        std::fs::write(&path, "CREDENTIALS second hush").unwrap();
        assert!(service.credentials().renew(&used).await.unwrap());
    }
}
