//! The only room that knows AWS: configuration, credentials, data endpoints, GetMedia, errors.

mod config;
mod connection;
mod error;
mod request;
mod stream;

pub use connection::Connection;
pub use error::{Error, ServiceErrorKind};
pub use request::{Request, StartSelector, StaticCredentials};
pub use stream::{InvalidStream, Stream};
