//! The only room that knows AWS: configuration, credentials, data endpoints, GetMedia, errors.

mod config;
mod connection;
mod error;
mod request;
mod service;
mod stream;

pub use connection::{Connection, Consumer, Received};
pub use error::{Error, Recovery, ServiceErrorKind};
pub use request::{Request, StartSelector, StaticCredentials};
pub use stream::{InvalidStream, Stream};
