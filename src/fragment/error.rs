//! Why a GetMedia body cannot be read on.

use crate::mkv;

/// What stops the reading of a body.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The bytes are not the Matroska that the service sends.
    #[error(transparent)]
    Matroska(#[from] mkv::Error),
    /// The service ended the body with an error tag. See `GetMedia` in the
    /// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_GetMedia.html).
    #[error("Kinesis Video ended the stream with error {id} ({code})")]
    Service {
        /// AWS_KINESISVIDEO_ERROR_CODE: a description.
        code: String,
        /// AWS_KINESISVIDEO_ERROR_ID: a number, as text.
        id: String,
    },
    /// A cluster came before the header that describes its tracks.
    #[error("a cluster comes before any Tracks element, at byte {offset}")]
    NoTracks {
        /// Where in the body.
        offset: u64,
    },
}
