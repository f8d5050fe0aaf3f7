//! What goes wrong in the element, as the messages that GStreamer applications expect.

use crate::output::caps::CapsError;
use crate::{fragment, mkv};

/// Anything that ends the element's work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Fragment(#[from] fragment::Error),
    #[error("a buffer cannot be read")]
    Unreadable,
    #[error("no track of the stream can go out: {reasons}")]
    NoKnownTrack {
        reasons: String,
        /// The next header may describe a track that this one does not.
        may_pass: bool,
    },
    #[error("the stream ended before any fragment with frames")]
    NoStreams,
}

impl Error {
    /// One sentence for the user, and where it was for the debug string.
    pub fn message(&self) -> gst::ErrorMessage {
        use gst::StreamError as Stream;
        match self {
            Self::Fragment(fragment::Error::Matroska(error)) => gst::error_msg!(
                Stream::Demux,
                ("The stream is not Matroska as Kinesis Video sends it: {error}."),
                ["byte {} of the stream: {error:?}", error.offset()]
            ),
            Self::Fragment(fragment::Error::Service { .. }) => {
                gst::error_msg!(gst::ResourceError::Read, ("{self}."), ["{self:?}"])
            }
            Self::Fragment(error @ fragment::Error::NoTracks { .. }) => {
                gst::error_msg!(Stream::Demux, ("The stream cannot be read: {error}."), ["{error:?}"])
            }
            Self::Unreadable => gst::error_msg!(Stream::Demux, ("The stream cannot be read: {self}.")),
            Self::NoKnownTrack { reasons, .. } => {
                gst::error_msg!(Stream::CodecNotFound, ("No track of the stream can go out by itself."), ["{reasons}"])
            }
            Self::NoStreams => {
                gst::error_msg!(Stream::Demux, ("The stream ended before any fragment with frames."), ["{self:?}"])
            }
        }
    }
}

/// What is missing though the work goes on.
#[derive(Debug)]
pub enum Loss {
    /// The stream ended inside an element.
    Cut(mkv::Error),
    /// A track has no pad.
    Track { number: u64, reason: CapsError },
    /// The header of a fragment describes no track.
    Fragment { reasons: String },
}

impl Loss {
    /// Warns the application.
    pub fn warn(&self, element: &super::KvsDemux) {
        use gst::StreamError as Stream;
        match self {
            Self::Cut(error) => gst::element_warning!(
                element,
                Stream::Demux,
                ("The stream ended in the middle of its data."),
                ["{error}"]
            ),
            Self::Fragment { reasons } => gst::element_warning!(
                element,
                Stream::CodecNotFound,
                ("A fragment is left out: its header describes no track."),
                ["{reasons}"]
            ),
            Self::Track { number, reason } => {
                gst::element_warning!(element, Stream::CodecNotFound, ("Track {number} has no pad: {reason}."));
            }
        }
    }
}

/// Why the streaming thread goes no further.
#[derive(Debug)]
pub enum Stop {
    /// Downstream wants no more.
    Flow(gst::FlowError),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<gst::FlowError> for Stop {
    fn from(error: gst::FlowError) -> Self {
        Self::Flow(error)
    }
}
