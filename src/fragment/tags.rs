//! The tags of a fragment: those that the service adds, and the producer's own.

use std::borrow::Cow;

use super::{Fragment, FragmentEnd, FragmentNumber, UnixTime};
use crate::mkv;

/// What the service itself adds to the body of GetMedia; see the section Response Syntax of `GetMedia` in the
/// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_dataplane_GetMedia.html).
const NUMBER: &str = "AWS_KINESISVIDEO_FRAGMENT_NUMBER";
const PRODUCER_TIMESTAMP: &str = "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP";
const SERVER_TIMESTAMP: &str = "AWS_KINESISVIDEO_SERVER_TIMESTAMP";
const MILLIS_BEHIND_NOW: &str = "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW";
const CONTINUATION_TOKEN: &str = "AWS_KINESISVIDEO_CONTINUATION_TOKEN";

/// The producer's tags of one fragment that are held, and the bytes of their names and texts; the service allows ten of
/// 128 and 256 bytes. What is past that is left out.
const MAX_TAGS: usize = 4096;
const MAX_BYTES: usize = 512 * 1024;

/// What the Tags elements said since the last fragment began or ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Tags {
    pub number: Option<FragmentNumber>,
    pub producer_timestamp: Option<UnixTime>,
    pub server_timestamp: Option<UnixTime>,
    pub millis_behind_now: Option<u64>,
    pub continuation_token: Option<String>,
    pub error_code: Option<String>,
    pub error_id: Option<String>,
    /// The producer's fragment metadata, in the order it came.
    pub producer: Vec<(String, String)>,
    /// Of all names and texts in `producer`.
    bytes: usize,
}

/// Whether the tags do not say this already, by the last one of that name.
fn is_news(tags: &[(String, String)], name: &str, value: &str) -> bool {
    tags.iter().rev().find(|(known, _)| known == name).is_none_or(|(_, known)| known != value)
}

/// A tag as it is written: its name and its text.
pub type Written<'a> = (&'a str, Cow<'a, str>);

impl Fragment {
    /// What the service writes before a cluster of the fragment that begins at this moment: number and timestamps.
    pub fn labels(&self, producer_timestamp: Option<UnixTime>) -> impl Iterator<Item = Written<'_>> {
        let number = self.number.as_ref().map(|number| (NUMBER, Cow::from(number.as_str())));
        let server = self.server_timestamp.map(|time| (SERVER_TIMESTAMP, Cow::from(time.to_decimal())));
        let producer = producer_timestamp.map(|time| (PRODUCER_TIMESTAMP, Cow::from(time.to_decimal())));
        [number, server, producer].into_iter().flatten()
    }
}

impl FragmentEnd {
    /// The producer's tags that came after the cluster and say what those before it had not.
    pub fn news<'a>(&'a self, before: &'a [(String, String)]) -> impl Iterator<Item = &'a (String, String)> {
        self.tags.iter().filter(|(name, value)| is_news(before, name, value))
    }

    /// What the service writes at the end of a fragment: what goes on behind it. How far it lies behind the newest of the
    /// stream is true of one reading, and is left out.
    pub fn labels(&self) -> impl Iterator<Item = Written<'_>> {
        self.continuation_token.as_deref().map(|token| (CONTINUATION_TOKEN, Cow::from(token))).into_iter()
    }
}

impl Tags {
    /// Takes in one Tags element. A tag whose value makes no sense counts as missing: the frames beside it are good.
    pub fn read(&mut self, tags: Vec<mkv::Tag>) {
        for tag in tags {
            let mkv::Tag { name, value } = tag;
            match name.as_str() {
                NUMBER => self.number = FragmentNumber::new(&value),
                PRODUCER_TIMESTAMP | "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP" => {
                    self.producer_timestamp = UnixTime::from_decimal(&value);
                }
                SERVER_TIMESTAMP | "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP" => {
                    self.server_timestamp = UnixTime::from_decimal(&value);
                }
                MILLIS_BEHIND_NOW => self.millis_behind_now = value.parse().ok(),
                CONTINUATION_TOKEN => self.continuation_token = Some(value),
                // Bodies of the archive: the reference has the second spelling, real ones have had the first.
                "AWS_KINESISVIDEO_ERROR_CODE" | "AWS_KINESISVIDEO_EXCEPTION_MESSAGE" => self.error_code = Some(value),
                "AWS_KINESISVIDEO_ERROR_ID" | "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE" => self.error_id = Some(value),
                // The SDK's own, such as AWS_KINESISVIDEO_NOTIFICATION, are the producer's to send.
                _ => self.tell(name, value),
            }
        }
    }

    /// Adds what later elements said; a later word on the same thing wins.
    pub fn merge(&mut self, later: Self) {
        self.number = later.number.or(self.number.take());
        self.producer_timestamp = later.producer_timestamp.or(self.producer_timestamp);
        self.server_timestamp = later.server_timestamp.or(self.server_timestamp);
        self.millis_behind_now = later.millis_behind_now.or(self.millis_behind_now);
        self.continuation_token = later.continuation_token.or(self.continuation_token.take());
        self.error_code = later.error_code.or(self.error_code.take());
        self.error_id = later.error_id.or(self.error_id.take());
        later.producer.into_iter().for_each(|(name, value)| self.tell(name, value));
    }

    /// Adds a tag of the producer's.
    fn tell(&mut self, name: String, value: String) {
        let bytes = self.bytes.saturating_add(name.len()).saturating_add(value.len());
        if self.producer.len() < MAX_TAGS && bytes <= MAX_BYTES && is_news(&self.producer, &name, &value) {
            self.bytes = bytes;
            self.producer.push((name, value));
        }
    }
}
