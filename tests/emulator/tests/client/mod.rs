//! A client for the tests: signs with `aws-sigv4`, speaks HTTP/1.1 or HTTP/2, reads bodies piece by piece.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kvs_emulator::Emulator;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a request is signed with, and what it is signed for.
#[derive(Clone)]
pub struct Client {
    pub address: String,
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
    pub region: String,
    pub service: String,
    pub time: SystemTime,
    pub ca_pem: Option<String>,
    pub http2: bool,
}

/// What is signed beside the head.
pub enum Signed<'a> {
    Bytes(&'a [u8]),
    Unsigned,
}

/// An answer whose body is all there.
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new(emulator: &Emulator) -> Self {
        Self {
            address: emulator.address().to_string(),
            access_key: emulator.access_key().to_owned(),
            secret_key: emulator.secret_key().to_owned(),
            session_token: emulator.session_token().map(str::to_owned),
            region: emulator.region().to_owned(),
            service: "kinesisvideo".to_owned(),
            time: SystemTime::now(),
            ca_pem: emulator.ca_pem().map(str::to_owned),
            http2: false,
        }
    }

    /// A signed request; the body that is sent need not be the one that was signed.
    pub fn request(&self, path: &str, headers: &[(&str, &str)], signed: Signed<'_>, body: Body) -> Request<Body> {
        let token = self.session_token.clone();
        let identity = Credentials::new(&self.access_key, &self.secret_key, token, None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let uri = format!("http://{}{path}", self.address);
        let signable = match signed {
            Signed::Bytes(bytes) => SignableBody::Bytes(bytes),
            Signed::Unsigned => SignableBody::UnsignedPayload,
        };
        let signable = SignableRequest::new("POST", &uri, headers.iter().copied(), signable).unwrap();
        let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
        let mut request = self.unsigned(path, body);
        for (name, value) in headers {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        instructions.apply_to_request_http1x(&mut request);
        request
    }

    /// A request without a signature.
    pub fn unsigned(&self, path: &str, body: Body) -> Request<Body> {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        let request =
            Request::post(if self.http2 { format!("{scheme}://{}{path}", self.address) } else { path.to_owned() });
        let request = if self.http2 { request } else { request.header("host", &self.address) };
        request.body(body).unwrap()
    }

    /// Sends a request over a connection of its own.
    pub async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        let socket = TcpStream::connect(&self.address).await.unwrap();
        match &self.ca_pem {
            None => exchange(socket, self.http2, request).await,
            Some(pem) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let mut config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                config.alpn_protocols = vec![if self.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let socket = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
                exchange(socket, self.http2, request).await
            }
        }
    }

    /// Signs and sends JSON.
    pub async fn open(&self, path: &str, json: &Value) -> Response<Incoming> {
        let body = json.to_string();
        let headers = [("content-type", "application/json")];
        let request = self.request(path, &headers, Signed::Bytes(body.as_bytes()), full(body.clone()));
        self.send(request).await
    }

    /// Signs and sends JSON, and reads the whole answer.
    pub async fn call(&self, path: &str, json: &Value) -> Answer {
        Answer::read(self.open(path, json).await).await
    }
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: head.status, version: head.version, headers: head.headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// As control plane or data endpoint spells it.
    pub fn error_type(&self) -> &str {
        match self.header("x-amzn-errortype") {
            "" => self.header("x-amz-errortype"),
            control => control,
        }
    }
}

async fn exchange<S>(socket: S, http2: bool, request: Request<Body>) -> Response<Incoming>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let socket = TokioIo::new(socket);
    if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }
}

pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is sent piece by piece; dropping the sender ends it.
pub fn streaming() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames = futures_util::stream::unfold(receiver, |mut receiver: mpsc::UnboundedReceiver<Bytes>| async move {
        let bytes = receiver.recv().await?;
        Some((Ok(Frame::data(bytes)), receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// Reads a body until what has come ends with `wanted`, or panics after ten seconds.
pub async fn read_until(body: &mut Incoming, seen: &mut Vec<u8>, wanted: &[u8]) {
    let reading = async {
        while !seen.windows(wanted.len()).any(|window| window == wanted) {
            let frame = body.frame().await.expect("the body has ended").expect("the body was cut");
            seen.extend_from_slice(frame.data_ref().unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("nothing came in ten seconds");
}

/// The captures' folder, or `None`, said loudly, where it is missing.
pub fn capture(name: &str) -> Option<Bytes> {
    let folder = std::env::var_os("KVS_CAPTURES").map(std::path::PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures"));
    match std::fs::read(folder.join(name)) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            eprintln!("SKIPPED: {name} is missing from {}: {error}", folder.display());
            None
        }
    }
}
