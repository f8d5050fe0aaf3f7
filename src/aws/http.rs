//! HTTP for all calls of a process: persistent connections that are shared by all who trust the same authorities.
//!
//! The SDK's own client speaks HTTP/2 too, but leaves its limits as they are: one window for all bodies of a connection,
//! so that a few paused pipelines would stop every other one, no sign of life asked of a connection that is dead, and one
//! connection a server for as many bodies as there are, which the server does not allow.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::header::{HeaderMap, HeaderName, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{causes, is_refused_certificate};
use super::route::{BoxError, Connector, Proxies, Route};
use super::trust::{self, Authorities};

/// The most of a body that waits here for its reader, in bytes: the window of an HTTP/2 stream. HTTP/1.1 holds less.
pub(super) const READ_AHEAD: u32 = 1 << 20;

/// Readers of one HTTP/2 connection must not wait for one another: room for some 2,000 of them that read nothing.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What is under way at a time over one HTTP/2 connection, bodies included. Servers allow 100 at the least (RFC 9113
/// section 6.5.2), and what is more would wait unseen until another body ends.
const CALLS_A_CONNECTION: usize = 64;

/// An HTTP/2 connection with open streams that is silent for so long is asked for a sign of life, …
const PING_AFTER: Duration = Duration::from_secs(5);
/// … and closed where none comes for so long; new calls would be sent over it else.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The process's client for all who trust these authorities beside the system's.
///
/// # Errors
///
/// TLS cannot be done at all.
pub(super) fn client(authorities: Option<&Authorities>) -> Result<SharedHttpClient, rustls::Error> {
    // Never emptied: connections are kept for the next pipeline, and few authorities are met in a process's life.
    static CLIENTS: LazyLock<Mutex<HashMap<Option<Authorities>, SharedHttpClient>>> = LazyLock::new(Mutex::default);
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match clients.entry(authorities.cloned()) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(place) => place.insert(SharedHttpClient::new(Pools::new(authorities)?)).clone(),
    })
}

type Pool = Client<Connector, SdkBody>;

/// Pools for each connect timeout: the SDK's providers of credentials have their own.
struct Pools {
    proxies: Proxies,
    route: Route,
    tls: Arc<ClientConfig>,
    by_connect_timeout: Mutex<HashMap<Option<Duration>, Arc<Shards>>>,
}

impl Pools {
    fn new(authorities: Option<&Authorities>) -> Result<Self, rustls::Error> {
        let proxies = Proxies::from_environment();
        let to_proxy = trust::client_config(authorities, &[b"http/1.1"])?;
        Ok(Self {
            route: Route::new(proxies.clone(), Arc::new(to_proxy)),
            proxies,
            tls: Arc::new(trust::client_config(authorities, &[b"h2", b"http/1.1"])?),
            by_connect_timeout: Mutex::default(),
        })
    }

    fn shards(&self, connect_timeout: Option<Duration>) -> Arc<Shards> {
        let mut pools = self.by_connect_timeout.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = pools.entry(connect_timeout).or_insert_with(|| {
            let connector = Connector::new(self.route.clone(), Arc::clone(&self.tls), connect_timeout);
            Arc::new(Shards { connector, all: Mutex::default() })
        });
        Arc::clone(shards)
    }
}

/// As many pools as it takes: each has one HTTP/2 connection a server, and a place for each call over it.
struct Shards {
    connector: Connector,
    all: Mutex<Vec<(Pool, Arc<Semaphore>)>>,
}

impl Shards {
    /// The first pool with a place left, so that few calls share one connection; the place is given back where it is
    /// dropped.
    fn place(&self) -> (Pool, Option<OwnedSemaphorePermit>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (pool, places) in &*all {
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                return (pool.clone(), Some(place));
            }
        }
        let pool = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_initial_stream_window_size(READ_AHEAD)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(self.connector.clone());
        let places = Arc::new(Semaphore::new(CALLS_A_CONNECTION));
        let place = Arc::clone(&places).try_acquire_owned().ok();
        all.push((pool.clone(), places));
        (pool, place)
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pools(..)")
    }
}

impl HttpClient for Pools {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Calls {
            shards: self.shards(settings.connect_timeout()),
            proxies: self.proxies.clone(),
            read_timeout: settings.read_timeout(),
        })
    }
}

/// The pools as the SDK makes its calls over them.
struct Calls {
    shards: Arc<Shards>,
    proxies: Proxies,
    /// Until the head of the answer.
    read_timeout: Option<Duration>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Calls(..)")
    }
}

impl HttpConnector for Calls {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        // A tunnel has been asked for with it; a proxy that forwards wants it with each request.
        if request.uri().scheme() == Some(&Scheme::HTTP)
            && let Some(proxy) = self.proxies.before(request.uri())
            && let Some(authorization) = proxy.basic_auth()
        {
            request.headers_mut().entry(PROXY_AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || metadata(&connection));
        }
        let (pool, place) = self.shards.place();
        let (answer, read_timeout) = (pool.request(request), self.read_timeout);
        HttpConnectorFuture::new(async move {
            let answer = match read_timeout {
                Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(|_| {
                    let text = format!("no answer within {timeout:?}");
                    ConnectorError::timeout(io::Error::new(io::ErrorKind::TimedOut, text).into())
                })?,
                None => answer.await,
            };
            let mut answer = answer.map_err(|error| connector_error(error.into()))?;
            name_error(answer.headers_mut());
            // The place is the body's, and goes with it.
            let with_place = |body: Incoming| {
                body.map_frame(move |frame| {
                    let _ = &place;
                    frame
                })
            };
            HttpResponse::try_from(answer.map(|body| SdkBody::from_body_1_x(with_place(body))))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Data endpoints name their errors in a header of another spelling than the SDK reads, which then could tell neither a
/// clock that is wrong nor what is worth another try.
/// See [GetMedia](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_GetMedia.html).
fn name_error(headers: &mut HeaderMap) {
    const READ: HeaderName = HeaderName::from_static("x-amzn-errortype");
    if !headers.contains_key(READ)
        && let Some(code) = headers.get("x-amz-errortype").cloned()
    {
        headers.insert(READ, code);
    }
}

/// With which the SDK keeps a connection whose server has failed out of the pool.
fn metadata(connection: &CaptureConnection) -> Option<ConnectionMetadata> {
    let captured = connection.clone();
    let known = connection.connection_metadata();
    let connected = known.as_ref()?;
    let mut extensions = http::Extensions::new();
    connected.get_extras(&mut extensions);
    let addresses = extensions.get::<HttpInfo>();
    let mut builder = ConnectionMetadata::builder().proxied(connected.is_proxied()).poison_fn(move || {
        if let Some(connected) = captured.connection_metadata().as_ref() {
            connected.poison();
        }
    });
    builder.set_local_addr(addresses.map(HttpInfo::local_addr)).set_remote_addr(addresses.map(HttpInfo::remote_addr));
    Some(builder.build())
}

/// How the SDK's retries see it. All that is asked through here may be asked twice.
fn connector_error(error: BoxError) -> ConnectorError {
    let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if is_refused_certificate(error.as_ref()) {
        ConnectorError::other(error, None)
    } else if causes(error.as_ref()).filter_map(<dyn std::error::Error>::downcast_ref).any(timed_out) {
        ConnectorError::timeout(error)
    } else if causes(error.as_ref()).filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_user)
    {
        ConnectorError::user(error)
    } else {
        ConnectorError::io(error)
    }
}

#[cfg(test)]
mod tests {
    use kvs_emulator::{Emulator, Operation};
    use tokio::runtime::Handle;

    use super::*;
    use crate::aws::{
        Connection, Consumer, CredentialSource, Credentials, Received, Request, StartSelector, StaticCredentials,
    };

    /// Waits until the service has agreed to each, long before any of them would end for being silent.
    async fn opened(connections: &mut [Connection]) {
        let opened = async {
            for connection in connections {
                while !matches!(connection.next().await.unwrap().unwrap(), Received::Opened) {}
            }
        };
        tokio::time::timeout(Duration::from_secs(30), opened).await.expect("a body waits for another to end");
    }

    #[tokio::test]
    async fn more_bodies_than_a_connection_carries_go_over_further_ones() {
        let emulator = Emulator::builder().tls(true).streams_a_connection(100).start().unwrap();
        emulator.create_stream("demo").unwrap();
        let keys = StaticCredentials {
            access_key: emulator.access_key().to_owned(),
            secret_key: emulator.secret_key().to_owned(),
            session_token: None,
        };
        let credentials = Credentials::new(CredentialSource::Keys(keys), None);
        let request = Request {
            authorities: Some(Authorities::read(emulator.ca_file().unwrap()).unwrap()),
            ..Request::of_test(&emulator.url(), credentials)
        };
        let consumer = Consumer::new(&Handle::current(), request, None);
        let open = || consumer.open(StartSelector::Now, tokio::time::Instant::now(), None);
        let mut bodies: Vec<_> = (0..150).map(|_| open()).collect();
        opened(&mut bodies).await;
        let used = || {
            let mut used: HashMap<u64, usize> = HashMap::new();
            for request in emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia) {
                *used.entry(request.connection).or_default() += 1;
            }
            used
        };
        let before = used();
        assert!(before.values().all(|bodies| *bodies <= CALLS_A_CONNECTION), "{before:?}");
        // Places that were given back are taken again.
        bodies.truncate(20);
        bodies.extend((0..100).map(|_| open()));
        opened(&mut bodies[20..]).await;
        assert_eq!(used().len(), before.len());
    }
}
