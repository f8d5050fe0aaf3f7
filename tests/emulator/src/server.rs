//! Sockets and requests: accepts, checks, records, and hands each request to its operation.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::archive::ArchiveTags;
use crate::body::Body;
use crate::endpoints::Endpoints;
use crate::error::ServiceError;
use crate::fault::{Fault, Faults};
use crate::flush::{Flushes, Flushing};
use crate::keys::KeyRing;
use crate::limits::Usage;
use crate::record::{Operation, Records, RequestRecord};
use crate::signature::{self, Payload};
use crate::store::Store;
use crate::stream::MissingStart;
use crate::{control, get_media, get_media_for_fragment_list, list_fragments, put_media, stream_tags};

/// The name that requests are signed for.
const SERVICE: &str = "kinesisvideo";

/// RFC 9110 section 5.6.7.
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// How long is waited after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The largest JSON body that is read.
const LARGEST_REQUEST: usize = 1024 * 1024;

pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// Everything that a request may need.
pub(crate) struct Context {
    pub region: String,
    pub keys: Arc<KeyRing>,
    pub end_at_head: bool,
    pub missing_start: MissingStart,
    pub archive_tags: ArchiveTags,
    /// Whether GetMediaForFragmentList ends with the first fragment that is missing.
    pub end_at_missing: bool,
    /// What decides the order of ListFragments.
    pub shuffle: u64,
    /// Bytes a second on each connection that carries media.
    pub rate: Option<u64>,
    pub usage: Usage,
    pub clock_ahead: SignedDuration,
    pub streams_a_connection: Option<u32>,
    pub endpoints: Endpoints,
    pub connections: AtomicU64,
    pub store: Store,
    pub faults: Faults,
    pub records: Records,
    /// Bytes handed to sockets.
    pub sent: Arc<AtomicU64>,
}

impl Context {
    /// The time by the emulator's own clock.
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.clock_ahead
    }
}

/// The connection that a request came over.
struct Connection {
    number: u64,
    flushes: Flushes,
}

/// A socket that connections come to, and what they speak.
pub(crate) struct Listener {
    pub socket: TcpListener,
    pub tls: Option<TlsAcceptor>,
}

/// Accepts connections for ever.
pub(crate) async fn serve(context: Arc<Context>, Listener { socket: listener, tls }: Listener) {
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(_) => {
                // Gone before it was accepted, or too many open files: others may be luckier in a moment.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let number = context.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(connection(Arc::clone(&context), socket, tls.clone(), number));
    }
}

async fn connection(context: Arc<Context>, socket: TcpStream, tls: Option<TlsAcceptor>, number: u64) {
    // Without it small pieces of a live body would wait for one another.
    let _ = socket.set_nodelay(true);
    match tls {
        None => requests(context, socket, false, number).await,
        Some(acceptor) => {
            let Ok(socket) = acceptor.accept(socket).await else { return };
            let http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
            requests(context, socket, http2, number).await;
        }
    }
}

async fn requests<S>(context: Arc<Context>, socket: S, http2: bool, number: u64)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (socket, flushes) = Flushing::new(socket, Arc::clone(&context.sent));
    let streams_a_connection = context.streams_a_connection;
    let service = service_fn(move |request| {
        let (context, connection) = (Arc::clone(&context), Connection { number, flushes: flushes.clone() });
        async move { Ok::<_, Infallible>(answer(&context, request, connection).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if let Some(most) = streams_a_connection {
        builder.http2().max_concurrent_streams(most);
    }
    let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    // An error here is a client that went away or a body that was cut on purpose.
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
}

async fn answer(context: &Arc<Context>, request: Request<Incoming>, connection: Connection) -> Response<ResponseBody> {
    let operation = Operation::at(request.uri().path()).filter(|_| request.method() == Method::POST);
    let result = match operation {
        Some(operation) => dispatch(context, operation, request, connection).await,
        None => {
            let message = "Unable to determine service/operation name to be authorized";
            Err(ServiceError::front(StatusCode::NOT_FOUND, "UnknownOperationException", message))
        }
    };
    let headers = operation.map_or(&["x-amzn-errortype"][..], Operation::error_headers);
    let mut response = result.unwrap_or_else(|error| error_response(&error, headers));
    let request_id = uuid::Uuid::new_v4().to_string();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(HeaderName::from_static("x-amzn-requestid"), value);
    }
    if let Ok(value) = HeaderValue::from_str(&context.now().strftime(HTTP_DATE).to_string()) {
        response.headers_mut().insert(DATE, value);
    }
    response
}

async fn dispatch(
    context: &Arc<Context>,
    operation: Operation,
    request: Request<Incoming>,
    connection: Connection,
) -> Result<Response<ResponseBody>, ServiceError> {
    let (head, body) = request.into_parts();
    if operation == Operation::PutMedia {
        let stream = put_media::named_stream(&head.headers);
        record(context, operation, &head, connection.number, stream.clone(), None);
        let checked = async {
            signature::verify(&context.keys, SERVICE, &context.region, &head, Payload::Streaming, context.now())?;
            strike(context, operation, stream.as_deref()).await?;
            put_media::ingest(context, &head.headers)
        };
        return match checked.await {
            Ok(ingest) => Ok(put_media::put_media(ingest, &head.headers, body).await),
            Err(error) => {
                tokio::spawn(put_media::discard(body));
                Err(error)
            }
        };
    }
    let bytes = Limited::new(body, LARGEST_REQUEST).collect().await.map_err(|_| {
        let message = "The request is too large.";
        ServiceError::front(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", message)
    })?;
    let bytes = bytes.to_bytes();
    let json = serde_json::from_slice(&bytes).ok();
    let stream = json.as_ref().and_then(named_stream);
    record(context, operation, &head, connection.number, stream.clone(), json.clone());
    signature::verify(&context.keys, SERVICE, &context.region, &head, Payload::Whole(&bytes), context.now())?;
    if let Some(stream) = &stream {
        context.usage.call(stream, operation)?;
    }
    let fault = strike(context, operation, stream.as_deref()).await?;
    let body: Value = json.filter(Value::is_object).ok_or_else(|| {
        ServiceError::front(StatusCode::BAD_REQUEST, "SerializationException", "The body is no JSON object.")
    })?;
    let answer = match operation {
        Operation::CreateStream => control::create_stream(context, &body),
        Operation::DescribeStream => control::describe_stream(context, &body),
        Operation::ListStreams => control::list_streams(context, &body),
        Operation::TagStream => stream_tags::tag_stream(context, &body),
        Operation::UntagStream => stream_tags::untag_stream(context, &body),
        Operation::ListTagsForStream => stream_tags::list_tags_for_stream(context, &body),
        Operation::GetDataEndpoint => match fault {
            Some(Fault::DataEndpoint(ref url)) => Ok(json!({ "DataEndpoint": url })),
            _ => control::get_data_endpoint(context, &body, &signature::authority(&head)),
        },
        Operation::ListFragments => list_fragments::list_fragments(context, &body),
        Operation::GetMedia | Operation::PutMedia => {
            let media = get_media::get_media(context, &body, fault)?;
            return media_response(context, operation, stream, media, connection.flushes);
        }
        Operation::GetMediaForFragmentList => {
            let media = get_media_for_fragment_list::get_media_for_fragment_list(context, &body, fault)?;
            return media_response(context, operation, stream, media, connection.flushes);
        }
    }?;
    if fault.is_some() {
        let body = Body::bytes(answer.to_string().into(), fault);
        return Ok(streamed_response(body, "application/json", connection.flushes));
    }
    Ok(json_response(StatusCode::OK, &answer))
}

fn record(
    context: &Context,
    operation: Operation,
    head: &Parts,
    connection: u64,
    stream: Option<String>,
    body: Option<Value>,
) {
    context.records.add(RequestRecord {
        operation,
        stream,
        body: body.unwrap_or(Value::Null),
        access_key: signature::access_key(&head.headers),
        when: SystemTime::now(),
        http_version: head.version,
        connection,
    });
}

/// Lets the fault that waits for this request strike; what is left strikes in the body.
async fn strike(context: &Context, operation: Operation, stream: Option<&str>) -> Result<Option<Fault>, ServiceError> {
    match context.faults.strike(stream, operation) {
        Some(Fault::HangRequest { .. }) => std::future::pending().await,
        Some(Fault::Http { status, error_type, message, .. }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(ServiceError::operation(status, &error_type, message))
        }
        other => Ok(other),
    }
}

/// The name of the stream that a request is about.
fn named_stream(body: &Value) -> Option<String> {
    let name = body.get("StreamName").and_then(Value::as_str);
    let arn = || body.get("StreamARN").and_then(Value::as_str).and_then(control::name_in_arn);
    name.or_else(arn).map(str::to_owned)
}

fn media_response(
    context: &Context,
    operation: Operation,
    stream: Option<String>,
    body: Body,
    flushes: Flushes,
) -> Result<Response<ResponseBody>, ServiceError> {
    let place = context.usage.connect(stream.as_deref().unwrap_or_default(), operation)?;
    Ok(streamed_response(body.within(context.rate, place), "video/webm", flushes))
}

fn streamed_response(body: Body, content_type: &'static str, flushes: Flushes) -> Response<ResponseBody> {
    let frames = stream::unfold((body, flushes), |(mut body, mut flushes)| async move {
        let next = body.next().await?;
        if next.is_err() {
            // The connection drops what it has not sent when a body fails: all before the cut is to arrive.
            flushes.next().await;
        }
        Some((next.map(Frame::data), (body, flushes)))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<ResponseBody> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error_response(error: &ServiceError, headers: &[&'static str]) -> Response<ResponseBody> {
    let body = json!({ error.message_member: error.message });
    let mut response = json_response(error.status, &body);
    if let Ok(value) = HeaderValue::from_str(&error.error_type) {
        for name in headers {
            response.headers_mut().insert(HeaderName::from_static(name), value.clone());
        }
    }
    response
}
