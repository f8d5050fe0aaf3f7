//! The errors of the service, as a client meets them, and those of the emulator's own interface.

use std::io;

use hyper::StatusCode;

use crate::matroska::Malformed;

/// What went wrong in a call of the emulator's own interface.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a socket did not do what it should.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The media given is not Matroska that can be cut into fragments.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The media given holds nothing that can be served.
    #[error("no media in what was given")]
    Empty,
    /// The stream does not exist.
    #[error("no stream named {0}")]
    NoStream(String),
    /// The stream exists already.
    #[error("a stream named {0} exists already")]
    StreamExists(String),
    /// A long stream must be all that a stream begins with.
    #[error("the stream {0} has fragments already")]
    NotEmpty(String),
    /// A stream's name that the service would refuse.
    #[error("{0:?} is no stream name: 1 to 256 of a-z, A-Z, 0-9, '_', '.', '-'")]
    BadName(String),
    /// The certificates could not be made.
    #[error("making the certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificates could not be used.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// An error answer of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceError {
    pub status: StatusCode,
    pub error_type: String,
    pub message: String,
    /// The service's front writes `message`, its operations write `Message`.
    pub message_member: &'static str,
}

impl ServiceError {
    /// An error that one of the service's operations answers.
    pub fn operation(status: StatusCode, error_type: &str, message: impl Into<String>) -> Self {
        Self { status, error_type: error_type.to_owned(), message: message.into(), message_member: "Message" }
    }

    /// An error of the front that checks signatures.
    pub fn front(status: StatusCode, error_type: &str, message: impl Into<String>) -> Self {
        Self { message_member: "message", ..Self::operation(status, error_type, message) }
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::operation(StatusCode::BAD_REQUEST, "InvalidArgumentException", message)
    }

    pub fn stream_not_found() -> Self {
        let message = "The requested stream is not found or not active.";
        Self::operation(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }
}
