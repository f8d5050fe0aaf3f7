//! The archive of a stream: ListFragments, a page a call, and the bodies of GetMediaForFragmentList.

use std::sync::Arc;

use archived::primitives::{ByteStream, DateTime};
use archived::types::{FragmentSelector, FragmentSelectorType, TimestampRange};
use aws_sdk_kinesisvideo::types::ApiName;
use aws_sdk_kinesisvideoarchivedmedia as archived;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::within;
use super::credentials::Used;
use super::service::Service;
use super::{Error, Request, ServiceErrorKind, Stage};
use crate::fragment::{Clock, FragmentNumber, Listed};

/// The most fragments that a page lists, and that a call of GetMediaForFragmentList may name
/// ([ListFragments](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_reader_ListFragments.html)).
pub const MOST_FRAGMENTS: usize = 1000;

const LIST: &str = "ListFragments";
const GET: &str = "GetMediaForFragmentList";

/// Calls to the archive of one stream, within what the service allows of them. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Archive {
    request: Arc<Request>,
    service: Arc<Service>,
}

/// One answer of ListFragments.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In no order.
    pub fragments: Vec<Listed>,
    /// What the call for the next page brings; `None` on the last one.
    pub next: Option<String>,
}

/// The body of a GetMediaForFragmentList call.
#[derive(Debug)]
pub struct Body {
    stream: ByteStream,
    limit: std::time::Duration,
}

/// One of the connections that the service allows a stream at a time, given back where it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Archive {
    /// Asks nothing of the service yet.
    pub fn new(request: &Request) -> Self {
        Self { request: Arc::new(request.clone()), service: Service::of(request) }
    }

    /// A page of the fragments that begin between two moments, both inclusive, in ms since 1970; the first one, or
    /// that which the page before named.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub async fn list(&self, clock: Clock, start: i64, end: i64, next: Option<String>) -> Result<Page, Error> {
        let used = Used::default();
        match self.try_list(clock, start, end, next.clone(), &used).await {
            Err(error) => {
                self.renewed(error, &used).await?;
                self.try_list(clock, start, end, next, &used).await
            }
            page => page,
        }
    }

    /// Waits for a place among the connections of all who read the stream alike, in the order of asking.
    pub async fn place(&self) -> Place {
        Place { _permit: self.service.fetching.connect().await }
    }

    /// How many places could be had at once.
    pub fn free_places(&self) -> usize {
        self.service.fetching.free()
    }

    /// The body that holds these fragments, at most [`MOST_FRAGMENTS`]: one at a time in a place.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub async fn get(&self, numbers: &[FragmentNumber], _place: &Place) -> Result<Body, Error> {
        let used = Used::default();
        match self.try_get(numbers, &used).await {
            Err(error) => {
                self.renewed(error, &used).await?;
                self.try_get(numbers, &used).await
            }
            body => body,
        }
    }

    /// Whether a call that failed so is to be made once more, with other credentials; what it failed of else.
    async fn renewed(&self, error: Error, used: &Used) -> Result<(), Error> {
        if error.is_outdated_credentials() && self.service.credentials().renew(used).await? {
            Ok(())
        } else {
            Err(error)
        }
    }

    async fn client(&self, operation: ApiName, used: &Used) -> Result<(archived::Client, Arc<str>), Error> {
        let endpoint = self.service.endpoint(&self.request, operation, used, &untold);
        let (config, endpoint) = within(self.request.read_timeout, "GetDataEndpoint", endpoint).await?;
        let config = archived::config::Builder::from(&config);
        let config = config.endpoint_url(&*endpoint).retry_classifier(RetriesElsewhere).build();
        Ok((archived::Client::from_conf(config), endpoint))
    }

    async fn try_list(
        &self,
        clock: Clock,
        start: i64,
        end: i64,
        next: Option<String>,
        used: &Used,
    ) -> Result<Page, Error> {
        let (client, endpoint) = self.client(ApiName::ListFragments, used).await?;
        let selector = fragment_selector(clock, start, end)?;
        self.service.listing.call().await;
        let call = client
            .list_fragments()
            .set_stream_name(self.request.stream.name().map(str::to_owned))
            .set_stream_arn(self.request.stream.arn().map(str::to_owned))
            .max_results(i64::try_from(MOST_FRAGMENTS).unwrap_or(i64::MAX))
            .set_next_token(next)
            .fragment_selector(selector)
            .send();
        let answer = async { call.await.map_err(|error| Error::from_sdk(LIST, error)) };
        match within(self.request.read_timeout, LIST, answer).await {
            Ok(answer) => Ok(Page {
                fragments: answer.fragments().iter().filter_map(|fragment| listed(fragment, clock)).collect(),
                next: answer.next_token,
            }),
            Err(error) => {
                self.service.forget_endpoint(&endpoint).await;
                Err(error)
            }
        }
    }

    async fn try_get(&self, numbers: &[FragmentNumber], used: &Used) -> Result<Body, Error> {
        let (client, endpoint) = self.client(ApiName::GetMediaForFragmentList, used).await?;
        self.service.fetching.call().await;
        let call = client
            .get_media_for_fragment_list()
            .set_stream_name(self.request.stream.name().map(str::to_owned))
            .set_stream_arn(self.request.stream.arn().map(str::to_owned))
            .set_fragments(Some(numbers.iter().map(|number| number.as_str().to_owned()).collect()))
            .send();
        let answer = async { call.await.map_err(|error| Error::from_sdk(GET, error)) };
        match within(self.request.read_timeout, GET, answer).await {
            Ok(answer) => Ok(Body { stream: answer.payload, limit: self.request.read_timeout }),
            Err(error) => {
                self.service.forget_endpoint(&endpoint).await;
                Err(error)
            }
        }
    }
}

impl Body {
    /// The next piece; `None` at the clean end.
    ///
    /// # Errors
    ///
    /// The connection broke, or was silent for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = async { Ok(self.stream.next().await) };
        let piece = within(self.limit, GET, piece).await?;
        piece.transpose().map_err(|error| Error::Body { reason: super::error::chain(&error) })
    }
}

/// Leaves it to whoever made a call to make it again, where it is counted and told, and waits for its turn. The SDK makes
/// it once more only where its own clock was wrong.
#[derive(Debug)]
struct RetriesElsewhere;

impl ClassifyRetry for RetriesElsewhere {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().is_client_error());
        let Some(response) = response else { return RetryAction::RetryForbidden };
        let code =
            response.headers().get("x-amzn-errortype").and_then(|code| code.split(':').next()).unwrap_or_default();
        match ServiceErrorKind::of(code, response.status().as_u16()) {
            ServiceErrorKind::Throttled => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "retries elsewhere"
    }
}

/// The steps of a call to the archive are told to nobody: several are made at once.
fn untold(_: Stage) {}

fn fragment_selector(clock: Clock, start: i64, end: i64) -> Result<FragmentSelector, Error> {
    let wrong = |error: archived::error::BuildError| Error::Request { operation: LIST, reason: error.to_string() };
    let range = TimestampRange::builder()
        .start_timestamp(DateTime::from_millis(start))
        .end_timestamp(DateTime::from_millis(end))
        .build()
        .map_err(wrong)?;
    let clock = match clock {
        Clock::Producer => FragmentSelectorType::ProducerTimestamp,
        Clock::Server => FragmentSelectorType::ServerTimestamp,
    };
    FragmentSelector::builder().fragment_selector_type(clock).timestamp_range(range).build().map_err(wrong)
}

/// `None` where what must be there is not.
fn listed(fragment: &archived::types::Fragment, clock: Clock) -> Option<Listed> {
    let timestamp = match clock {
        Clock::Producer => fragment.producer_timestamp(),
        Clock::Server => fragment.server_timestamp(),
    };
    // The service writes seconds as a floating-point number, which a whole millisecond may lie just below.
    let nanoseconds = timestamp?.as_nanos();
    Some(Listed {
        number: FragmentNumber::new(fragment.fragment_number()?)?,
        timestamp: i64::try_from((nanoseconds + 500_000).div_euclid(1_000_000)).ok()?,
        length: u32::try_from(fragment.fragment_length_in_milliseconds()).unwrap_or(0),
        size: u32::try_from(fragment.fragment_size_in_bytes()).unwrap_or(u32::MAX),
    })
}
