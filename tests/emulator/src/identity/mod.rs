//! The services that give credentials, as a client meets them: AWS STS, Amazon Cognito, the credentials provider of
//! AWS IoT, the metadata services of instances and containers, the portal of IAM Identity Center, AWS Sign-In.
//!
//! What they give, the emulator that they belong to takes.

mod cognito;
mod container;
mod instance;
mod iot;
mod server;
mod signin;
mod sso;
mod sts;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::emulator::Emulator;
use crate::error::Error;
use crate::keys::{KeyRing, Keys};
use crate::sync::lock;

pub use cognito::{LOGIN_PROVIDER, LOGIN_TOKEN};
pub use container::AUTHORIZATION_TOKEN;
pub use instance::ROLE_NAME;
pub use signin::LOGIN_SESSION;
pub use sso::ACCESS_TOKEN;
pub use sts::WEB_IDENTITY_TOKEN;
pub use tls::Pem;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Party {
    /// AssumeRole and AssumeRoleWithWebIdentity.
    Sts,
    /// GetId and GetCredentialsForIdentity.
    Cognito,
    /// The credentials provider of AWS IoT.
    Iot,
    /// Version 2 of the instance metadata service.
    Instance,
    /// The endpoint that containers of ECS and EKS have.
    Container,
    /// GetRoleCredentials of the portal.
    Sso,
    /// The token endpoint of AWS Sign-In.
    SignIn,
}

/// A request for credentials.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CredentialRequest {
    /// Whom it asked.
    pub party: Party,
    /// What it asked for, by the names of the protocol.
    pub asked: Value,
}

/// Instead of credentials.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

impl Refusal {
    /// An error answer, in the form of whoever gives it; `status` outside of HTTP's counts as 500.
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }
}

/// What every service needs.
struct Context {
    keys: Arc<KeyRing>,
    region: String,
    state: Mutex<State>,
}

struct State {
    lifetime: Duration,
    refusal: Option<Refusal>,
    requests: Vec<CredentialRequest>,
    issued: Vec<Keys>,
    session: Option<signin::Session>,
}

impl Context {
    /// Notes a request, and answers it with fresh keys unless it is to be refused.
    fn give(&self, party: Party, asked: Value) -> Result<Keys, Refusal> {
        let mut state = lock(&self.state);
        state.requests.push(CredentialRequest { party, asked });
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let keys = Keys::fresh(state.lifetime);
        self.keys.add(keys.clone());
        state.issued.push(keys.clone());
        Ok(keys)
    }
}

/// All these services on two free ports of 127.0.0.1: plain HTTP, and TLS that asks for a certificate. Dropping it
/// stops them.
pub struct CredentialServer {
    context: Arc<Context>,
    address: SocketAddr,
    iot_address: SocketAddr,
    files: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CredentialServer {
    /// Starts the services of an emulator on a thread of their own. What they give is valid for an hour.
    ///
    /// # Errors
    ///
    /// Sockets, certificates or the thread cannot be made.
    pub fn start(emulator: &Emulator) -> Result<Self, Error> {
        let lifetime = Duration::from_secs(3600);
        let state = State { lifetime, refusal: None, requests: Vec::new(), issued: Vec::new(), session: None };
        let region = emulator.region().to_owned();
        let context = Arc::new(Context { keys: emulator.key_ring(), region, state: Mutex::new(state) });
        let files = tempfile::tempdir().map_err(Error::io("making a folder for certificates"))?;
        let tls = TlsAcceptor::from(tls::mutual(files.path())?);
        let bind = || {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok::<_, io::Error>((listener, address))
        };
        let (plain, address) = bind().map_err(Error::io("listening"))?;
        let (mutual, iot_address) = bind().map_err(Error::io("listening"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("starting the runtime"))?;
        let (plain, mutual) = {
            let _inside = runtime.enter();
            let listener =
                |socket| tokio::net::TcpListener::from_std(socket).map_err(Error::io("preparing the socket"));
            (listener(plain)?, listener(mutual)?)
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving =
            (server::serve(Arc::clone(&context), plain, None), server::serve(Arc::clone(&context), mutual, Some(tls)));
        let thread = std::thread::Builder::new().name("kvs-identity".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving.0 => {}
                    () = serving.1 => {}
                    _ = stopped => {}
                }
            });
        });
        let thread = thread.map_err(Error::io("starting the thread"))?;
        Ok(Self { context, address, iot_address, files, stop: Some(stop), thread: Some(thread) })
    }

    /// Begins the session [`LOGIN_SESSION`], as `aws login` does, in its folder of sessions (`~/.aws/login/cache`). What
    /// it gives at first is valid for so long, and renewed at the token endpoint.
    ///
    /// # Errors
    ///
    /// The session cannot be written.
    pub fn sign_in(&self, folder: &Path, lifetime: Duration) -> Result<(), Error> {
        signin::sign_in(&self.context, folder, lifetime)
    }

    /// URL of STS, Cognito, the portal and the token endpoint, and of the metadata services of instances.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// URL of the metadata service of containers.
    pub fn container_url(&self) -> String {
        format!("http://{}{}", self.address, container::PATH)
    }

    /// Host and port of the IoT credentials provider.
    pub fn iot_endpoint(&self) -> String {
        self.iot_address.to_string()
    }

    /// A file of [`Pem`].
    pub fn pem(&self, file: Pem) -> PathBuf {
        self.files.path().join(file.name())
    }

    /// How long what is given from now on is valid.
    pub fn set_lifetime(&self, lifetime: Duration) {
        lock(&self.context.state).lifetime = lifetime;
    }

    /// Refuses every request for credentials from now on, or none; GetId still names an identity.
    pub fn set_refusal(&self, refusal: Option<Refusal>) {
        lock(&self.context.state).refusal = refusal;
    }

    /// Every request for credentials so far, refused ones too.
    pub fn requests(&self) -> Vec<CredentialRequest> {
        lock(&self.context.state).requests.clone()
    }

    /// All that was given so far.
    pub fn issued(&self) -> Vec<Keys> {
        lock(&self.context.state).issued.clone()
    }
}

impl Drop for CredentialServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            let _ = thread.join();
        }
    }
}
