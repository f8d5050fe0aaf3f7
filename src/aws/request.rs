//! What a consumer asks of the service.

use std::time::Duration;

use super::{Authorities, Credentials, Stream};
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
    /// Trusted beside the system's.
    pub authorities: Option<Authorities>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long the service may be silent.
    pub read_timeout: Duration,
    /// How much of a body is read ahead of its consumer, in bytes.
    pub max_buffered_bytes: usize,
}

/// What a call is at before its body begins: what may take a while, in the order in which it comes. What is known from
/// an earlier call is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Configuration and credentials are fetched.
    Credentials,
    /// The stream's data endpoint is asked for.
    Endpoint,
    /// GetMedia is called there.
    Connection,
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

impl StartSelector {
    /// Whether it is a moment, whose fragment may be gone while the stream goes on.
    pub fn is_a_time(&self) -> bool {
        matches!(self, Self::ProducerTimestamp(_) | Self::ServerTimestamp(_))
    }
}

#[cfg(test)]
impl Request {
    /// What tests ask of a service at this URL.
    pub(super) fn of_test(endpoint_url: &str, credentials: Credentials) -> Self {
        Self {
            stream: Stream::Name("demo".into()),
            start: StartSelector::Now,
            region: Some("us-west-2".into()),
            endpoint_url: Some(endpoint_url.to_owned()),
            credentials,
            authorities: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            max_buffered_bytes: 1,
        }
    }
}
