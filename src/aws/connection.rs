//! One GetMedia connection: from the data endpoint to the last byte of the body.

use aws_config::SdkConfig;
use aws_sdk_kinesisvideo::types::ApiName;
use aws_sdk_kinesisvideomedia as media;
use bytes::Bytes;
use media::primitives::ByteStream;
use media::types::StartSelectorType;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{Error, Request, StartSelector, config};

/// Pieces of the body that may lie read ahead; each is at most a read of the HTTP client (some 400 KiB).
const READ_AHEAD: usize = 4;

/// A GetMedia call, from its resolving to its last byte, made on a task of its own. Dropped, it is over at once,
/// whatever it was waiting for.
#[derive(Debug)]
pub struct Connection {
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    task: AbortHandle,
}

impl Connection {
    /// Begins the call; what comes of it is told by [`next`](Self::next).
    pub fn open(runtime: &Handle, request: Request) -> Self {
        let (sender, pieces) = mpsc::channel(READ_AHEAD);
        let task = runtime.spawn(async move {
            if let Err(error) = read(&request, &sender).await {
                // Nobody listens any more where the connection was dropped.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { pieces, task: task.abort_handle() }
    }

    /// The next bytes of the body; `None` at its clean end. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    ///
    /// Whatever ended the call before its end; nothing follows it.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.pieces.recv().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(request: &Request, sender: &mpsc::Sender<Result<Bytes, Error>>) -> Result<(), Error> {
    let config = config::load(request).await?;
    let mut body = match open(request, &config).await {
        Err(error) if error.is_outdated_credentials() && request.credentials.renew().await => {
            open(request, &config).await?
        }
        opened => opened?,
    };
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Error::Body { reason: super::error::chain(&error) })?;
        if sender.send(Ok(piece)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn open(request: &Request, config: &SdkConfig) -> Result<ByteStream, Error> {
    let endpoint = data_endpoint(request, config).await?;
    let config = media::config::Builder::from(config).endpoint_url(&endpoint).build();
    let opened = media::Client::from_conf(config)
        .get_media()
        .set_stream_name(request.stream.name().map(str::to_owned))
        .set_stream_arn(request.stream.arn().map(str::to_owned))
        .start_selector(start_selector(&request.start)?)
        .send()
        .await
        .map_err(|error| Error::from_sdk("GetMedia", error))?;
    Ok(opened.payload)
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

fn start_selector(start: &StartSelector) -> Result<media::types::StartSelector, Error> {
    let date_time = |time: crate::fragment::UnixTime| {
        let (seconds, nanoseconds) = time.seconds_and_nanoseconds();
        aws_smithy_types::DateTime::from_secs_and_nanos(seconds, nanoseconds)
    };
    let builder = media::types::StartSelector::builder();
    match start {
        StartSelector::Now => builder.start_selector_type(StartSelectorType::Now),
        StartSelector::Earliest => builder.start_selector_type(StartSelectorType::Earliest),
        StartSelector::ProducerTimestamp(time) => {
            builder.start_selector_type(StartSelectorType::ProducerTimestamp).start_timestamp(date_time(*time))
        }
        StartSelector::ServerTimestamp(time) => {
            builder.start_selector_type(StartSelectorType::ServerTimestamp).start_timestamp(date_time(*time))
        }
        StartSelector::AfterFragment(number) => {
            builder.start_selector_type(StartSelectorType::FragmentNumber).after_fragment_number(number.as_str())
        }
        StartSelector::ContinuationToken(token) => {
            builder.start_selector_type(StartSelectorType::ContinuationToken).continuation_token(token)
        }
    }
    .build()
    .map_err(|error| Error::Request { operation: "GetMedia", reason: super::error::chain(&error) })
}
