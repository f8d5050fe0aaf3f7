//! What the archive's calls share: how the service's tags are spelt in their bodies.

use bytes::Bytes;

use crate::fragment::{Fragment, seconds};
use crate::matroska;
use crate::number::FragmentNumber;

/// The id that the service has for a fragment that its archive does not hold.
const FRAGMENT_NOT_FOUND: u32 = 3000;

/// How the service's tags are spelt in the body of GetMediaForFragmentList.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveTags {
    /// As bodies have been seen: `AWS_KINESISVIDEO_SERVER_TIMESTAMP` and `…_PRODUCER_TIMESTAMP`; for a fragment that is
    /// missing `…_ERROR_CODE`, `…_ERROR_ID` and its number
    /// ([aws-sdk-js 3217](https://github.com/aws/aws-sdk-js/issues/3217)).
    #[default]
    Observed,
    /// As the
    /// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_reader_GetMediaForFragmentList.html)
    /// has them: `AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP` and `…_PRODUCER_SIDE_TIMESTAMP`; for a fragment that is missing
    /// its number, `…_EXCEPTION_ERROR_CODE` and `…_EXCEPTION_MESSAGE`.
    Reference,
}

impl ArchiveTags {
    /// The tags between the producer's header and the media.
    pub(crate) fn leading(self, fragment: &Fragment) -> Bytes {
        let (server, producer) = match self {
            Self::Observed => ("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP"),
            Self::Reference => ("AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP", "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP"),
        };
        let tags = [
            ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", fragment.number.to_string()),
            (server, seconds(fragment.server_timestamp)),
            (producer, seconds(fragment.producer_timestamp)),
        ];
        matroska::tags(&tags).into()
    }

    /// The tags of a document that stands for a fragment that is missing.
    pub(crate) fn missing(self, number: &FragmentNumber) -> Bytes {
        let (id, number) = (FRAGMENT_NOT_FOUND.to_string(), number.to_string());
        let tags = match self {
            Self::Observed => [
                ("AWS_KINESISVIDEO_ERROR_CODE", "FRAGMENT_NOT_FOUND".to_owned()),
                ("AWS_KINESISVIDEO_ERROR_ID", id),
                ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", number),
            ],
            Self::Reference => [
                ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", number),
                ("AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", id),
                ("AWS_KINESISVIDEO_EXCEPTION_MESSAGE", "The requested fragment is not found.".to_owned()),
            ],
        };
        matroska::tags(&tags).into()
    }
}
