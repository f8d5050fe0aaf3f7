//! The only room that knows AWS: configuration, credentials, transport, data endpoints, GetMedia, the archive, errors.

mod archive;
mod config;
mod connection;
mod credentials;
mod error;
mod http;
mod list;
mod quota;
mod refusal;
mod request;
mod route;
mod sections;
mod service;
mod stream;
mod trust;

pub use archive::{Archive, Body, MOST_FRAGMENTS, Page, Place};
pub use connection::{Arrival, ArrivalClock, Connection, Consumer, Listener, Received, Unrenewed};
#[cfg(feature = "cognito")]
pub use credentials::CognitoIdentity;
pub use credentials::{CredentialError, CredentialSource, Credentials, IotCertificate, Role, StaticCredentials};
pub use error::{Error, Recovery, ServiceErrorKind};
pub use list::{StreamInfo, list_streams};
pub use request::{Request, Stage, StartSelector};
pub use stream::{InvalidStream, Stream};
pub use trust::{Authorities, InvalidAuthorities};
