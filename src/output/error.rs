//! Why frames cannot become buffers that downstream takes.

use super::caps::CapsError;

/// What keeps kvssrc and downstream from agreeing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no track `{wanted}`; the stream has {available}")]
    NoSuchTrack { wanted: String, available: String },
    #[error("track {number} cannot go out by itself: {reason}")]
    Codec { number: u64, reason: CapsError },
    #[error("downstream takes {downstream}, and the stream has {available}")]
    NoFit {
        downstream: String,
        available: String,
        /// The next header may describe a track that this one does not.
        may_pass: bool,
    },
}

impl Error {
    /// Whether the stream may go on under its next header.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoSuchTrack { .. } => false,
            Self::Codec { reason, .. } => reason.may_pass(),
            Self::NoFit { may_pass, .. } => *may_pass,
        }
    }
}
