//! ListStreams: the streams of an account in a region.

use super::{Error, Request, config};
use crate::fragment::UnixTime;

/// Streams that are asked for at once; the service gives up to 10,000.
const PAGE: i32 = 1000;

/// What the service tells of a stream. See `StreamInfo` in the
/// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_StreamInfo.html).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    pub name: String,
    pub arn: String,
    /// Such as `ACTIVE`.
    pub status: String,
    pub device_name: Option<String>,
    /// Such as `video/h264,audio/aac`.
    pub media_type: Option<String>,
    /// 0: nothing is kept but what is on its way.
    pub retention_hours: u32,
    pub created: Option<UnixTime>,
}

/// The streams of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamList {
    pub region: String,
    pub streams: Vec<StreamInfo>,
}

/// Asks for all streams, page after page. The request's stream and start play no part.
///
/// # Errors
///
/// The first call that fails. See the
/// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_ListStreams.html).
pub async fn list_streams(request: &Request) -> Result<StreamList, Error> {
    let limit = request.read_timeout;
    let silent = |_| Error::Silent { operation: "ListStreams", seconds: limit.as_secs_f64() };
    let config = tokio::time::timeout(limit, config::load(request, &request.credentials)).await.map_err(silent)??;
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let mut pages = config::control_plane(request, &config).list_streams().max_results(PAGE).into_paginator().send();
    let mut streams = Vec::new();
    while let Some(page) = tokio::time::timeout(limit, pages.next()).await.map_err(silent)? {
        let page = page.map_err(|error| Error::from_sdk("ListStreams", error))?;
        streams.extend(page.stream_info_list.unwrap_or_default().into_iter().map(StreamInfo::from));
    }
    Ok(StreamList { region, streams })
}

impl From<aws_sdk_kinesisvideo::types::StreamInfo> for StreamInfo {
    fn from(info: aws_sdk_kinesisvideo::types::StreamInfo) -> Self {
        let nanoseconds = info.creation_time.and_then(|time| i64::try_from(time.as_nanos()).ok());
        Self {
            name: info.stream_name.unwrap_or_default(),
            arn: info.stream_arn.unwrap_or_default(),
            status: info.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            device_name: info.device_name,
            media_type: info.media_type,
            retention_hours: info.data_retention_in_hours.and_then(|hours| u32::try_from(hours).ok()).unwrap_or(0),
            created: nanoseconds.and_then(UnixTime::from_nanoseconds),
        }
    }
}
