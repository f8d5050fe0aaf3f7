//! What a consumer asks of the service.

use super::{Credentials, Stream};
use crate::fragment::{FragmentNumber, UnixTime};

/// A GetMedia call, before any endpoint is known.
#[derive(Clone, Debug)]
pub struct Request {
    pub stream: Stream,
    pub start: StartSelector,
    /// Wins over the stream's own and the SDK's.
    pub region: Option<String>,
    /// Control-plane endpoint; without it the SDK's.
    pub endpoint_url: Option<String>,
    pub credentials: Credentials,
}

/// Where to begin. See `StartSelector` in the
/// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_StartSelector.html).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartSelector {
    /// With the newest fragment.
    #[default]
    Now,
    /// With the oldest fragment that is still there.
    Earliest,
    /// With the fragment that holds this moment of the producer's clock.
    ProducerTimestamp(UnixTime),
    /// With the fragment that holds this moment of the service's clock.
    ServerTimestamp(UnixTime),
    /// With the fragment after this one.
    AfterFragment(FragmentNumber),
    /// Where an earlier body said that one should go on.
    ContinuationToken(String),
}
