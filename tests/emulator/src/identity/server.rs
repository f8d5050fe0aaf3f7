//! Sockets and requests: accepts, and hands each request to the service that it asks.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Context, cognito, container, instance, iot, signin, sso, sts};

const LARGEST_REQUEST: usize = 64 * 1024;

pub(super) type Answer = Response<Full<Bytes>>;

/// Accepts connections for ever.
pub(super) async fn serve(context: Arc<Context>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (context, tls) = (Arc::clone(&context), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => requests(context, socket, false).await,
                Some(acceptor) => {
                    // A client without the right certificate is gone here.
                    let Ok(socket) = acceptor.accept(socket).await else { return };
                    requests(context, socket, true).await;
                }
            }
        });
    }
}

async fn requests<S>(context: Arc<Context>, socket: S, mutual: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let context = Arc::clone(&context);
        async move { Ok::<_, Infallible>(dispatch(&context, request, mutual).await) }
    });
    // An error here is a client that went away.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

async fn dispatch(context: &Context, request: Request<Incoming>, mutual: bool) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_REQUEST).collect().await else {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large");
    };
    let body = body.to_bytes();
    let path = head.uri.path();
    if mutual {
        return iot::answer(context, &head);
    }
    match (&head.method, path) {
        (&Method::POST, "/") if head.headers.contains_key("x-amz-target") => cognito::answer(context, &head, &body),
        (&Method::POST, "/") => sts::answer(context, &head, &body),
        (&Method::POST, signin::PATH) => signin::answer(context, &head, &body),
        (&Method::GET, container::PATH) => container::answer(context, &head),
        (&Method::GET, sso::PATH) => sso::answer(context, &head),
        (_, path) if path.starts_with("/latest/") => instance::answer(context, &head),
        _ => answer(StatusCode::NOT_FOUND, "text/plain", "not here"),
    }
}

pub(super) fn answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert("content-type", value);
    }
    response
}

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    answer(status, "application/json", body.to_string())
}

/// A header's text; empty where there is none.
pub(super) fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
