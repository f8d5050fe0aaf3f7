//! The tags of a fragment: those that the service adds, and the producer's own.

use super::{FragmentNumber, UnixTime};
use crate::mkv;

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
}

impl Tags {
    /// Takes in one Tags element. A tag whose value makes no sense counts as missing: the frames beside it are good.
    pub fn read(&mut self, tags: Vec<mkv::Tag>) {
        for tag in tags {
            let mkv::Tag { name, value } = tag;
            match name.as_str() {
                "AWS_KINESISVIDEO_FRAGMENT_NUMBER" => self.number = FragmentNumber::new(&value),
                "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP" | "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP" => {
                    self.producer_timestamp = UnixTime::from_decimal(&value);
                }
                "AWS_KINESISVIDEO_SERVER_TIMESTAMP" | "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP" => {
                    self.server_timestamp = UnixTime::from_decimal(&value);
                }
                "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW" => self.millis_behind_now = value.parse().ok(),
                "AWS_KINESISVIDEO_CONTINUATION_TOKEN" => self.continuation_token = Some(value),
                // Bodies of the archive: the reference has the second spelling, real ones have had the first.
                "AWS_KINESISVIDEO_ERROR_CODE" | "AWS_KINESISVIDEO_EXCEPTION_MESSAGE" => self.error_code = Some(value),
                "AWS_KINESISVIDEO_ERROR_ID" | "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE" => self.error_id = Some(value),
                // Names that begin with AWS are the service's; one that is not known here is nobody's metadata.
                name if name.starts_with("AWS") => {}
                _ => self.producer.push((name, value)),
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
        self.producer.extend(later.producer);
    }
}
