//! PutMedia: what its headers ask for, and the acknowledgements that answer it while the body still comes.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::HeaderMap;
use hyper::Response;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderValue};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::control;
use crate::error::ServiceError;
use crate::ingest::Ingest;
use crate::server::{Context, ResponseBody};

/// 0 where the producer wants no acknowledgements.
const ACKNOWLEDGMENT_REQUIRED: &str = "x-amzn-fragment-acknowledgment-required";

/// How long the rest of a refused body is still read.
const LINGER: Duration = Duration::from_secs(5);

/// The stream that the headers name.
pub(crate) fn named_stream(headers: &HeaderMap) -> Option<String> {
    let arn = || text(headers, "x-amzn-stream-arn").and_then(control::name_in_arn);
    text(headers, "x-amzn-stream-name").or_else(arn).map(str::to_owned)
}

/// What the headers ask for: the stream, and what its timecodes mean.
pub(crate) fn ingest(context: &Context, headers: &HeaderMap) -> Result<Ingest, ServiceError> {
    let request = serde_json::json!({
        "StreamName": text(headers, "x-amzn-stream-name"),
        "StreamARN": text(headers, "x-amzn-stream-arn"),
    });
    Ok(Ingest::new(control::find_active_stream(context, &request)?, base(headers)?))
}

/// Receives a body; the answer begins at once and lasts until the body has ended.
pub(crate) async fn put_media(ingest: Ingest, headers: &HeaderMap, body: Incoming) -> Response<ResponseBody> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let wanted = text(headers, ACKNOWLEDGMENT_REQUIRED).is_none_or(|text| !["0", "false"].contains(&text));
    let mut connection = Connection { ingest, body, sender, acknowledges: wanted };
    // A client that waits for "100 Continue" gets it only while its body is waited for, so before the answer.
    let expects = headers.contains_key(EXPECT);
    let goes_on = !expects || connection.receive().await;
    tokio::spawn(async move {
        while goes_on && connection.receive().await {}
        let Connection { ingest, body, sender, .. } = connection;
        drop((ingest, sender));
        discard(body).await;
    });
    let lines = stream::unfold(receiver, |mut receiver| async move {
        let line: Bytes = receiver.recv().await?;
        Some((Ok::<_, io::Error>(Frame::data(line)), receiver))
    });
    let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads what is left of a refused body for a while: closing at once would reset the connection, and the producer
/// would never read why it was refused.
pub(crate) async fn discard(mut body: Incoming) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// A producer's connection: its body, and the answer to it.
struct Connection {
    ingest: Ingest,
    body: Incoming,
    sender: mpsc::UnboundedSender<Bytes>,
    /// Whether the producer wants acknowledgements.
    acknowledges: bool,
}

impl Connection {
    /// Receives the next piece of the body; tells whether there may be another.
    async fn receive(&mut self) -> bool {
        let (acknowledgements, goes_on) = match self.body.frame().await {
            Some(Ok(frame)) => frame.data_ref().map_or((Vec::new(), true), |bytes| self.ingest.push(bytes)),
            // The producer is gone, and the fragment that it had begun with it.
            Some(Err(_)) => return false,
            None => (self.ingest.end().0, false),
        };
        for acknowledgement in acknowledgements.iter().filter(|_| self.acknowledges) {
            // A producer that does not listen is still received.
            let _ = self.sender.send(line(acknowledgement));
        }
        goes_on
    }
}

fn line(acknowledgement: &Value) -> Bytes {
    Bytes::from(format!("{acknowledgement}\n"))
}

/// What a cluster's time is added to, in milliseconds since 1970.
fn base(headers: &HeaderMap) -> Result<u64, ServiceError> {
    let invalid = |message: &str| ServiceError::invalid_argument(message);
    let start = text(headers, "x-amzn-producer-start-timestamp")
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
        .ok_or_else(|| invalid("x-amzn-producer-start-timestamp must be seconds since 1970."))?;
    match text(headers, "x-amzn-fragment-timecode-type") {
        Some("ABSOLUTE") => Ok(0),
        Some("RELATIVE") => Ok((start * 1000.0).round() as u64),
        _ => Err(invalid("x-amzn-fragment-timecode-type must be ABSOLUTE or RELATIVE.")),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
