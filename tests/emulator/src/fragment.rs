//! One fragment: its number, its timestamps, and its bytes, which may still be coming.

use std::sync::Mutex;

use bytes::Bytes;

use crate::matroska::{self, id};
use crate::number::FragmentNumber;
use crate::store;
use crate::sync::lock;

/// How many bytes one read hands out at most.
const READ: usize = 256 * 1024;

/// A fragment to be put into a stream.
#[derive(Clone, Debug, Default)]
pub struct NewFragment {
    /// Everything before the service's own tags: EBML header, Segment, Info, Tracks, Tags.
    pub header: Bytes,
    /// Everything between the service's own tags: a Cluster, and what the producer has before and behind it.
    pub media: Bytes,
    /// The producer's own tags for this fragment, written as a Tags element before `media`.
    pub tags: Vec<(String, String)>,
    /// The number; the stream's next when `None` or when it is not greater than the stream's last.
    pub number: Option<FragmentNumber>,
    /// Milliseconds since 1970; now when `None`.
    pub producer_timestamp: Option<u64>,
    /// Milliseconds since 1970; now when `None`.
    pub server_timestamp: Option<u64>,
    /// How long it lasts, in milliseconds; read from the blocks of `media` when `None`.
    pub duration: Option<u64>,
}

/// What is known of a stored fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FragmentInfo {
    /// Its number.
    pub number: FragmentNumber,
    /// Milliseconds since 1970.
    pub producer_timestamp: u64,
    /// Milliseconds since 1970.
    pub server_timestamp: u64,
    /// Milliseconds; `None` while it is being put.
    pub duration: Option<u64>,
    /// Bytes so far, without the service's own tags.
    pub size: usize,
}

/// A fragment in a stream.
pub(crate) struct Fragment {
    pub number: FragmentNumber,
    pub producer_timestamp: u64,
    pub server_timestamp: u64,
    pub header: Bytes,
    body: Mutex<Body>,
}

#[derive(Default)]
struct Body {
    /// Each piece with the offset of its end.
    pieces: Vec<(usize, Bytes)>,
    state: BodyState,
}

#[derive(Default)]
enum BodyState {
    #[default]
    Open,
    Complete {
        duration: u64,
        /// When it was, in milliseconds since 1970.
        since: u64,
    },
    Failed,
}

/// What a reader of a fragment finds at its offset.
pub(crate) enum Read {
    Bytes(Bytes),
    /// Nothing yet.
    Pending,
    /// The fragment ends here.
    End,
    /// The fragment was thrown away.
    Failed,
}

impl Fragment {
    pub fn begin(number: FragmentNumber, new: NewFragment) -> Self {
        let now = store::now();
        let fragment = Self {
            number,
            producer_timestamp: new.producer_timestamp.unwrap_or(now),
            server_timestamp: new.server_timestamp.unwrap_or(now),
            header: new.header,
            body: Mutex::default(),
        };
        if !new.tags.is_empty() {
            fragment.append(matroska::tags(&new.tags).into());
        }
        fragment.append(new.media);
        fragment
    }

    pub fn append(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut body = lock(&self.body);
        let end = body.length() + bytes.len();
        body.pieces.push((end, bytes));
    }

    pub fn finish(&self, duration: u64) {
        lock(&self.body).state = BodyState::Complete { duration, since: store::now() };
    }

    pub fn fail(&self) {
        lock(&self.body).state = BodyState::Failed;
    }

    /// Milliseconds; `None` while it is being put.
    pub fn duration(&self) -> Option<u64> {
        match lock(&self.body).state {
            BodyState::Complete { duration, .. } => Some(duration),
            BodyState::Open | BodyState::Failed => None,
        }
    }

    /// Since when it is whole, in milliseconds since 1970; `None` while it is being put.
    pub fn whole_since(&self) -> Option<u64> {
        match lock(&self.body).state {
            BodyState::Complete { since, .. } => Some(since),
            BodyState::Open | BodyState::Failed => None,
        }
    }

    pub fn size(&self) -> usize {
        lock(&self.body).length()
    }

    /// What stands at an offset of the media.
    pub fn read(&self, offset: usize) -> Read {
        let body = lock(&self.body);
        if matches!(body.state, BodyState::Failed) {
            return Read::Failed;
        }
        let index = body.pieces.partition_point(|(end, _)| *end <= offset);
        match (body.pieces.get(index), &body.state) {
            (Some((end, piece)), _) => {
                let from = piece.len() - (end - offset);
                Read::Bytes(piece.slice(from..piece.len().min(from + READ)))
            }
            (None, BodyState::Open) => Read::Pending,
            (None, _) => Read::End,
        }
    }

    /// The media so far in one piece.
    pub fn media(&self) -> Bytes {
        let body = lock(&self.body);
        match &body.pieces[..] {
            [(_, only)] => only.clone(),
            pieces => pieces.iter().flat_map(|(_, piece)| piece).copied().collect(),
        }
    }

    pub fn info(&self) -> FragmentInfo {
        FragmentInfo {
            number: self.number.clone(),
            producer_timestamp: self.producer_timestamp,
            server_timestamp: self.server_timestamp,
            duration: self.duration(),
            size: self.header.len() + self.size(),
        }
    }

    /// The tags that the service writes between the producer's header and the media.
    pub fn leading_tags(&self) -> Bytes {
        let tags = [
            ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", self.number.to_string()),
            ("AWS_KINESISVIDEO_SERVER_TIMESTAMP", seconds(self.server_timestamp)),
            ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", seconds(self.producer_timestamp)),
        ];
        matroska::tags(&tags).into()
    }

    /// The tags that the service writes behind the media.
    pub fn trailing_tags(&self) -> Bytes {
        let behind = store::now().saturating_sub(self.server_timestamp);
        let tags = [
            ("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", behind.to_string()),
            ("AWS_KINESISVIDEO_CONTINUATION_TOKEN", self.number.to_string()),
        ];
        matroska::tags(&tags).into()
    }
}

impl Body {
    fn length(&self) -> usize {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }
}

/// The header that every document without a producer's own has: EBML header and Segment of unknown size.
pub(crate) fn bare_header() -> Bytes {
    let body = [
        matroska::uint(0x4286, 1),
        matroska::uint(0x42F7, 1),
        matroska::uint(0x42F2, 4),
        matroska::uint(0x42F3, 8),
        matroska::string(0x4282, "matroska"),
        matroska::uint(0x4287, 4),
        matroska::uint(0x4285, 2),
    ]
    .concat();
    [matroska::element(id::EBML, &body), matroska::unknown_size(id::SEGMENT)].concat().into()
}

/// Seconds since 1970 with three decimals, as the service writes timestamps.
pub(crate) fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment() -> Fragment {
        Fragment::begin(FragmentNumber::first(), NewFragment::default())
    }

    #[test]
    fn a_reader_gets_every_byte_in_order_and_waits_for_the_next() {
        let fragment = fragment();
        assert!(matches!(fragment.read(0), Read::Pending));
        fragment.append(Bytes::from_static(b"abc"));
        fragment.append(Bytes::from_static(b"defg"));
        let (mut offset, mut read) = (0, Vec::new());
        while let Read::Bytes(bytes) = fragment.read(offset) {
            offset += bytes.len();
            read.extend_from_slice(&bytes);
        }
        assert_eq!(read, b"abcdefg");
        assert!(matches!(fragment.read(2), Read::Bytes(bytes) if &bytes[..] == b"c"));
        assert!(matches!(fragment.read(7), Read::Pending));
        fragment.finish(40);
        assert!(matches!(fragment.read(7), Read::End));
        assert_eq!(fragment.duration(), Some(40));
        fragment.fail();
        assert!(matches!(fragment.read(0), Read::Failed));
    }

    #[test]
    fn a_large_piece_is_read_in_slices() {
        let fragment = fragment();
        fragment.append(Bytes::from(vec![7; READ + 1]));
        assert!(matches!(fragment.read(0), Read::Bytes(bytes) if bytes.len() == READ));
        assert!(matches!(fragment.read(READ), Read::Bytes(bytes) if bytes.len() == 1));
    }

    #[test]
    fn timestamps_are_seconds_with_three_decimals() {
        assert_eq!(seconds(1_511_852_109_126), "1511852109.126");
        assert_eq!(seconds(0), "0.000");
        assert_eq!(seconds(5005), "5.005");
    }
}
