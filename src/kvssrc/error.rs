//! What goes wrong in the element, as the messages that GStreamer applications expect.

use std::io;

use super::checkpoint::CheckpointError;
use super::settings::SettingsError;
use crate::aws::{self, CredentialError, ServiceErrorKind};
use crate::fragment::FragmentNumber;
use crate::{fragment, output};

/// Anything that ends the element's work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("no threads for the network: {0}")]
    Runtime(#[from] io::Error),
    #[error(transparent)]
    Aws(#[from] aws::Error),
    #[error(transparent)]
    Fragment(#[from] fragment::Error),
    #[error(transparent)]
    Output(#[from] output::Error),
    #[error("the connection ended early again and again, at last because {0}")]
    Interrupted(String),
    #[error("fragment {number} is missing: {reason}")]
    Missing { number: FragmentNumber, reason: String },
    #[error("downstream refused the caps {0}")]
    Refused(gst::Caps),
}

impl Error {
    /// One sentence for the user, and what the service said for the debug string; `stream` is the one being read.
    pub fn message(&self, stream: &str) -> gst::ErrorMessage {
        use gst::ResourceError as Resource;
        match self {
            Self::Settings(error) => gst::error_msg!(Resource::Settings, ("{}.", sentence(error))),
            Self::Checkpoint(error) => {
                let text = format!("{}.", sentence(error));
                match error {
                    CheckpointError::Read { .. } => gst::error_msg!(Resource::OpenRead, ("{text}")),
                    CheckpointError::Write { .. } => gst::error_msg!(Resource::OpenWrite, ("{text}")),
                    CheckpointError::Corrupt(_) | CheckpointError::Foreign { .. } => {
                        gst::error_msg!(Resource::Settings, ("{text}"))
                    }
                }
            }
            Self::Runtime(error) => gst::error_msg!(Resource::Failed, ("kvssrc cannot start."), ["{error}"]),
            Self::Aws(error) => aws_message(error, stream),
            Self::Fragment(fragment::Error::Service { code, id }) => gst::error_msg!(
                Resource::Read,
                ("Kinesis Video ended stream {stream} with error {id}: {code}."),
                ["{self}"]
            ),
            Self::Fragment(fragment::Error::Matroska(error)) => gst::error_msg!(
                gst::StreamError::Demux,
                ("Stream {stream} is not Matroska as Kinesis Video sends it: {error}."),
                ["byte {} of the GetMedia body: {error:?}", error.offset()]
            ),
            Self::Fragment(error @ fragment::Error::NoTracks { .. }) => {
                gst::error_msg!(gst::StreamError::Demux, ("Stream {stream} cannot be read: {error}."), ["{error:?}"])
            }
            Self::Interrupted(_) => {
                gst::error_msg!(Resource::Read, ("The connection to stream {stream} broke."), ["{self}"])
            }
            Self::Missing { number, reason } => {
                gst::error_msg!(Resource::Read, ("Fragment {number} of stream {stream} is missing."), ["{reason}"])
            }
            Self::Output(error) => {
                gst::error_msg!(gst::CoreError::Negotiation, ("Not negotiated: {error}."), ["{error:?}"])
            }
            Self::Refused(caps) => {
                gst::error_msg!(gst::CoreError::Negotiation, ("Downstream refused the stream's caps."), ["{caps}"])
            }
        }
    }

    /// What basesrc is told.
    pub fn flow(&self) -> gst::FlowError {
        match self {
            Self::Output(_) | Self::Refused(_) => gst::FlowError::NotNegotiated,
            _ => gst::FlowError::Error,
        }
    }
}

fn aws_message(error: &aws::Error, stream: &str) -> gst::ErrorMessage {
    use gst::ResourceError as Resource;
    match error {
        aws::Error::NoRegion => gst::error_msg!(Resource::Settings, ("{}.", sentence(error))),
        aws::Error::NoCredentials { reason } => gst::error_msg!(
            Resource::NotAuthorized,
            ("No AWS credentials: set access-key and secret-key, another of kvssrc's sources, or what the AWS SDK reads."),
            ["{reason}"]
        ),
        aws::Error::Credentials(error) => {
            let text = sentence(error);
            match error {
                CredentialError::File { .. }
                | CredentialError::Certificate { .. }
                | CredentialError::Endpoint { .. } => {
                    gst::error_msg!(Resource::Settings, ("{text}."), ["{error:?}"])
                }
                CredentialError::Expired { .. }
                | CredentialError::Refused { .. }
                | CredentialError::SignedOut { .. } => {
                    gst::error_msg!(Resource::NotAuthorized, ("{text}."), ["{error:?}"])
                }
                CredentialError::Unavailable { .. } => {
                    gst::error_msg!(Resource::OpenRead, ("{text}."), ["{error:?}"])
                }
            }
        }
        aws::Error::Service { kind, operation, code, message, status, request_id } => {
            let request_id = request_id.as_deref().unwrap_or("unknown");
            let debug = format!("{operation}: {code} (HTTP {status}, request id {request_id}): {message}");
            let reason = format!("{} ({code})", message.trim_end_matches('.'));
            match kind {
                ServiceErrorKind::NotFound => gst::error_msg!(
                    Resource::NotFound,
                    ("There is no stream {stream} in this account and region."),
                    ["{debug}"]
                ),
                ServiceErrorKind::NotAuthorized => gst::error_msg!(
                    Resource::NotAuthorized,
                    ("AWS refused the credentials for stream {stream}: {reason}."),
                    ["{debug}"]
                ),
                ServiceErrorKind::Denied => gst::error_msg!(
                    Resource::NotAuthorized,
                    ("{operation} was refused for stream {stream}: {reason}."),
                    ["{debug}"]
                ),
                ServiceErrorKind::Clock => gst::error_msg!(
                    Resource::OpenRead,
                    ("Kinesis Video refused a call for its time: is this machine's clock right?"),
                    ["{debug}"]
                ),
                ServiceErrorKind::Throttled => gst::error_msg!(
                    Resource::Busy,
                    ("Kinesis Video is throttling stream {stream}: too many calls or connections."),
                    ["{debug}"]
                ),
                ServiceErrorKind::InvalidArgument => gst::error_msg!(
                    Resource::Settings,
                    ("Kinesis Video refused what was asked of stream {stream}: {reason}."),
                    ["{debug}"]
                ),
                ServiceErrorKind::WrongEndpoint | ServiceErrorKind::Unavailable | ServiceErrorKind::Other => {
                    gst::error_msg!(
                        Resource::OpenRead,
                        ("Kinesis Video failed to open stream {stream}: {reason}."),
                        ["{debug}"]
                    )
                }
            }
        }
        aws::Error::Unreachable { .. } | aws::Error::Silent { .. } => {
            gst::error_msg!(Resource::OpenRead, ("Kinesis Video could not be reached."), ["{error}"])
        }
        aws::Error::Endpoint { reason, .. } => gst::error_msg!(
            Resource::Settings,
            ("The AWS settings give no endpoint for stream {stream}: {}.", reason.trim_end_matches('.')),
            ["{error}"]
        ),
        aws::Error::Untrusted { .. } => gst::error_msg!(
            Resource::OpenRead,
            ("The server's certificate is not trusted; ca-file can name the authority that signed it."),
            ["{error}"]
        ),
        aws::Error::Tls { .. } => gst::error_msg!(Resource::Failed, ("{}.", sentence(error))),
        aws::Error::Response { .. } | aws::Error::Request { .. } | aws::Error::NoDataEndpoint => {
            gst::error_msg!(Resource::OpenRead, ("Stream {stream} could not be opened."), ["{error}"])
        }
        aws::Error::Body { .. } => {
            gst::error_msg!(Resource::Read, ("The connection to stream {stream} broke."), ["{error}"])
        }
    }
}

/// With a capital first letter.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
