//! The way to a server: directly, or through the proxy that the environment names for it.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// How long an idle connection is silent before the kernel asks whether the other side is still there.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Which proxy stands before which server.
#[derive(Clone)]
pub(super) struct Proxies {
    matcher: Arc<Matcher>,
    /// Where a container asks for its credentials: on the machine itself, as with AWS IoT Greengrass.
    container: Option<Authority>,
}

impl Proxies {
    /// Those that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name, as curl reads them.
    pub fn from_environment() -> Self {
        Self::new(Matcher::from_env(), std::env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI").ok().as_deref())
    }

    fn new(matcher: Matcher, container: Option<&str>) -> Self {
        let container = container.and_then(|uri| uri.parse::<Uri>().ok()?.into_parts().authority);
        Self { matcher: Arc::new(matcher), container }
    }

    /// The proxy for this destination. Instance and container metadata can be reached from the machine itself only.
    pub fn before(&self, destination: &Uri) -> Option<Intercept> {
        let container = self.container.is_some() && destination.authority() == self.container.as_ref();
        if container || destination.host().is_some_and(is_metadata) {
            return None;
        }
        self.matcher.intercept(destination)
    }
}

/// Whether this is an address of the link itself, or one that EC2 and EKS use in the same way.
fn is_metadata(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || matches!(address.segments(), [0xfd00, 0x0ec2, 0, ..])
        }
        Err(_) => false,
    }
}

/// Makes the connections that TLS or HTTP is then spoken over.
#[derive(Clone)]
pub(super) struct Route {
    proxies: Proxies,
    direct: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
}

impl Route {
    /// `tls` is for proxies that are themselves reached by HTTPS, in HTTP/1.1.
    pub fn new(proxies: Proxies, tls: Arc<ClientConfig>) -> Self {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_nodelay(true);
        direct.set_keepalive(Some(TCP_KEEP_ALIVE));
        Self { proxies, to_proxy: HttpsConnector::from((direct.clone(), tls)), direct }
    }
}

impl Service<Uri> for Route {
    type Response = Routed;
    type Error = BoxError;
    type Future = Connecting<Routed>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.before(&destination) else {
            let connecting = self.direct.call(destination);
            return Box::pin(async {
                Ok(Routed { stream: MaybeHttpsStream::Http(connecting.await?), forwards: false })
            });
        };
        if destination.scheme() == Some(&Scheme::HTTPS) {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(destination);
            return Box::pin(async { Ok(Routed { stream: connecting.await?, forwards: false }) });
        }
        let connecting = self.to_proxy.call(proxy.uri().clone());
        Box::pin(async { Ok(Routed { stream: connecting.await?, forwards: true }) })
    }
}

/// A connection to a server, to a tunnel that ends there, or to a proxy that reads each request and hands it on.
pub(super) struct Routed {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    forwards: bool,
}

impl fmt::Debug for Routed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Routed").field("forwards", &self.forwards).finish_non_exhaustive()
    }
}

impl Connection for Routed {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.forwards)
    }
}

impl Read for Routed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl Write for Routed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A route with TLS where the URL wants it, within a time.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Route>,
    timeout: Option<Duration>,
}

impl Connector {
    /// `timeout` is for all of it: name resolution, TCP, proxy and TLS.
    pub fn new(route: Route, tls: Arc<ClientConfig>, timeout: Option<Duration>) -> Self {
        Self { https: HttpsConnector::from((route, tls)), timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Routed>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connecting = self.https.call(destination);
        let Some(timeout) = self.timeout else { return connecting };
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {timeout:?}")))?,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_never_asked_of_a_proxy() {
        let matcher = Matcher::builder().all("http://proxy:1").no("near.example").build();
        let proxies = Proxies::new(matcher, Some("http://localhost:4567/2016-11-01/credentialprovider/"));
        let proxied = |uri| proxies.before(&Uri::from_static(uri)).is_some();
        for uri in [
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "https://near.example/",
            "http://localhost:4567/2016-11-01/credentialprovider/",
        ] {
            assert!(!proxied(uri), "{uri}");
        }
        for uri in [
            "http://169.253.1.1/",
            "http://[fd00:ec3::254]/",
            "http://localhost:4568/",
            "https://kinesisvideo.eu-west-1.amazonaws.com/",
        ] {
            assert!(proxied(uri), "{uri}");
        }
    }
}
