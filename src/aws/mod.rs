//! The only room that knows AWS: configuration, credentials, data endpoints, GetMedia, errors.

mod config;
mod connection;
mod credentials;
mod error;
mod request;
mod stream;

pub use connection::Connection;
#[cfg(feature = "cognito")]
pub use credentials::CognitoIdentity;
pub use credentials::{CredentialError, CredentialSource, Credentials, IotCertificate, Role, StaticCredentials};
pub use error::{Error, ServiceErrorKind};
pub use request::{Request, StartSelector};
pub use stream::{InvalidStream, Stream};
