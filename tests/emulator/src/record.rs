//! The requests that came in, for tests to look at and to wait for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::Version;
use serde_json::Value;

use crate::sync::lock;

/// An operation of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `/createStream`
    CreateStream,
    /// `/describeStream`
    DescribeStream,
    /// `/listStreams`
    ListStreams,
    /// `/tagStream`
    TagStream,
    /// `/untagStream`
    UntagStream,
    /// `/listTagsForStream`
    ListTagsForStream,
    /// `/getDataEndpoint`
    GetDataEndpoint,
    /// `/getMedia`
    GetMedia,
    /// `/putMedia`
    PutMedia,
    /// `/listFragments`
    ListFragments,
    /// `/getMediaForFragmentList`
    GetMediaForFragmentList,
}

impl Operation {
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/createStream" => Self::CreateStream,
            "/describeStream" => Self::DescribeStream,
            "/listStreams" => Self::ListStreams,
            "/tagStream" => Self::TagStream,
            "/untagStream" => Self::UntagStream,
            "/listTagsForStream" => Self::ListTagsForStream,
            "/getDataEndpoint" => Self::GetDataEndpoint,
            "/getMedia" => Self::GetMedia,
            "/putMedia" => Self::PutMedia,
            "/listFragments" => Self::ListFragments,
            "/getMediaForFragmentList" => Self::GetMediaForFragmentList,
            _ => return None,
        })
    }

    /// The headers that name its errors. The references of all data endpoints tell of their own spelling; what speaks JSON
    /// has the control plane's too, since boto3 knows its errors by name.
    pub(crate) fn error_headers(self) -> &'static [&'static str] {
        match self {
            Self::GetMedia | Self::PutMedia | Self::GetMediaForFragmentList => &["x-amz-errortype"],
            Self::ListFragments => &["x-amz-errortype", "x-amzn-errortype"],
            _ => &["x-amzn-errortype"],
        }
    }
}

/// One request as it came in, whether or not it was granted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Which operation.
    pub operation: Operation,
    /// The stream's name, where the request names one (by name or ARN).
    pub stream: Option<String>,
    /// The JSON body; `Null` for PutMedia and for a body that is no JSON.
    pub body: Value,
    /// The access key id that signed it.
    pub access_key: Option<String>,
    /// When its head (and, but for PutMedia, its body) had arrived.
    pub when: SystemTime,
    /// HTTP/1.1 or HTTP/2.
    pub http_version: Version,
    /// Which connection it came over; no two connections of an emulator share a number.
    pub connection: u64,
}

#[derive(Default)]
pub(crate) struct Records {
    requests: Mutex<Vec<RequestRecord>>,
    arrived: Condvar,
}

impl Records {
    pub fn add(&self, record: RequestRecord) {
        lock(&self.requests).push(record);
        self.arrived.notify_all();
    }

    pub fn all(&self) -> Vec<RequestRecord> {
        lock(&self.requests).clone()
    }

    pub fn wait(&self, fits: impl Fn(&RequestRecord) -> bool, timeout: Duration) -> Option<RequestRecord> {
        let deadline = Instant::now() + timeout;
        let mut requests = lock(&self.requests);
        loop {
            if let Some(found) = requests.iter().find(|record| fits(record)) {
                return Some(found.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            requests = self.arrived.wait_timeout(requests, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
