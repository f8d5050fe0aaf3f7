//! How an emulator is to be, and its start.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::future::join_all;
use jiff::SignedDuration;
use rustls::ServerConfig;
use tempfile::NamedTempFile;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::archive::ArchiveTags;
use crate::credentials::Credentials;
use crate::emulator::Emulator;
use crate::endpoints::Endpoints;
use crate::error::Error;
use crate::fault::Faults;
use crate::keys::KeyRing;
use crate::limits::{Limits, Usage};
use crate::record::Records;
use crate::server::{self, Context, Listener};
use crate::store::Store;
use crate::stream::MissingStart;
use crate::tls;

/// How an emulator is to be.
#[derive(Clone, Debug)]
pub struct Builder {
    address: SocketAddr,
    put_media_address: Option<SocketAddr>,
    region: String,
    credentials: Credentials,
    tls: bool,
    http2: bool,
    names: Vec<String>,
    end_at_head: bool,
    missing_start: MissingStart,
    archive_tags: ArchiveTags,
    end_at_missing: bool,
    shuffle: u64,
    rate: Option<u64>,
    limits: Option<Limits>,
    clock_ahead: SignedDuration,
    streams_a_connection: Option<u32>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            put_media_address: None,
            region: "us-west-2".to_owned(),
            credentials: Credentials::default(),
            tls: false,
            http2: true,
            names: Vec::new(),
            end_at_head: false,
            missing_start: MissingStart::default(),
            archive_tags: ArchiveTags::default(),
            end_at_missing: false,
            shuffle: 0,
            rate: None,
            limits: None,
            clock_ahead: SignedDuration::ZERO,
            streams_a_connection: None,
        }
    }
}

impl Builder {
    /// Where to listen; a free port of 127.0.0.1 else.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Where to listen for PutMedia where HTTP/2 is offered; a free port of the same address else.
    pub fn listen_for_put_media(mut self, address: SocketAddr) -> Self {
        self.put_media_address = Some(address);
        self
    }

    /// The region that requests must be signed for; us-west-2 else.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The keys that requests must be signed with; the demonstration's else.
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        self.credentials.access_key = access_key.into();
        self.credentials.secret_key = secret_key.into();
        self
    }

    /// The session token that requests must carry; none else.
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        self.credentials.session_token = Some(token.into());
        self
    }

    /// Whether to speak TLS, with HTTP/2 and HTTP/1.1 offered, but at PutMedia's data endpoint HTTP/1.1 alone.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Whether HTTP/2 is offered under TLS; it is else.
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// A further name that its certificate is for, such as the service's own; this machine's are there already.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// Whether GetMedia's body ends cleanly where nothing more is stored, instead of waiting for more.
    pub fn end_at_head(mut self, end: bool) -> Self {
        self.end_at_head = end;
        self
    }

    /// What GetMedia answers to a start behind a fragment that is not there; the error tags else.
    pub fn missing_start(mut self, missing: MissingStart) -> Self {
        self.missing_start = missing;
        self
    }

    /// How the service's tags are spelt in the body of GetMediaForFragmentList.
    pub fn archive_tags(mut self, tags: ArchiveTags) -> Self {
        self.archive_tags = tags;
        self
    }

    /// Whether GetMediaForFragmentList's body ends with the first fragment that is missing; else it goes on behind it.
    /// The reference does not say which: that the number stands beside the error suggests that others follow.
    pub fn end_at_missing(mut self, end: bool) -> Self {
        self.end_at_missing = end;
        self
    }

    /// What decides the order, which is none, in which ListFragments lists; the same number gives the same order.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.shuffle = seed;
        self
    }

    /// How many bytes a second each connection that carries media gets at most; the service's 25 MB would be 25,000,000.
    pub fn rate(mut self, bytes_per_second: u64) -> Self {
        self.rate = Some(bytes_per_second);
        self
    }

    /// How many calls and connections a stream may have; as many as one likes else.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// How far the clock that signatures are judged by, and that answers are dated by, is ahead of this machine's, in
    /// seconds.
    pub fn clock_ahead(mut self, seconds: i64) -> Self {
        self.clock_ahead = SignedDuration::from_secs(seconds);
        self
    }

    /// How many requests may be under way at a time on a connection of HTTP/2 (RFC 9113 section 5.1.2); 200 else.
    pub fn streams_a_connection(mut self, most: u32) -> Self {
        self.streams_a_connection = Some(most);
        self
    }

    /// Starts it on a thread of its own.
    pub fn start(self) -> Result<Emulator, Error> {
        let (socket, address) = bind(self.address)?;
        let identity = self.tls.then(|| tls::identity(self.http2, &self.names)).transpose()?;
        let ca = identity.as_ref().map(|identity| Ca::new(&identity.ca_pem)).transpose()?;
        let mut sockets = vec![(socket, identity.as_ref().map(|identity| Arc::clone(&identity.config)))];
        let mut put_media = address;
        if let Some(http1) = identity.and_then(|identity| identity.http1) {
            let (socket, address) = bind(self.put_media_address.unwrap_or(SocketAddr::new(address.ip(), 0)))?;
            sockets.push((socket, Some(http1)));
            put_media = address;
        }
        let context = Arc::new(Context {
            region: self.region,
            keys: Arc::new(KeyRing::new(self.credentials)),
            end_at_head: self.end_at_head,
            missing_start: self.missing_start,
            archive_tags: self.archive_tags,
            end_at_missing: self.end_at_missing,
            shuffle: self.shuffle,
            rate: self.rate,
            usage: Usage::new(self.limits),
            clock_ahead: self.clock_ahead,
            streams_a_connection: self.streams_a_connection,
            endpoints: Endpoints { address, put_media, tls: self.tls },
            connections: AtomicU64::new(1),
            store: Store::default(),
            faults: Faults::default(),
            records: Records::default(),
            sent: Arc::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("starting the runtime"))?;
        let listeners = {
            let _inside = runtime.enter();
            let listener = |(socket, tls): (TcpListener, Option<Arc<ServerConfig>>)| {
                let socket = tokio::net::TcpListener::from_std(socket).map_err(Error::io("preparing the socket"))?;
                Ok(Listener { socket, tls: tls.map(TlsAcceptor::from) })
            };
            sockets.into_iter().map(listener).collect::<Result<Vec<_>, Error>>()?
        };
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = join_all(listeners.into_iter().map(|listener| server::serve(Arc::clone(&context), listener)));
        let serving = Box::pin(serving);
        let thread = std::thread::Builder::new()
            .name("kvs-emulator".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = serving => {}
                        _ = stopped => {}
                    }
                });
                // Dropping the runtime closes every connection.
            })
            .map_err(Error::io("starting the emulator's thread"))?;
        Ok(Emulator::running(context, ca, handle, stop, thread))
    }
}

/// A socket that listens, and its address.
fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let socket = TcpListener::bind(address).map_err(Error::io(format!("listening on {address}")))?;
    socket.set_nonblocking(true).map_err(Error::io("preparing the socket"))?;
    let address = socket.local_addr().map_err(Error::io("reading the socket's address"))?;
    Ok((socket, address))
}

/// The certificate that clients must trust.
pub(crate) struct Ca {
    pub pem: String,
    file: NamedTempFile,
}

impl Ca {
    fn new(pem: &str) -> Result<Self, Error> {
        let mut file = NamedTempFile::with_suffix(".pem").map_err(Error::io("making a file for the authority"))?;
        file.write_all(pem.as_bytes()).map_err(Error::io("writing the authority"))?;
        Ok(Self { pem: pem.to_owned(), file })
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }
}
