//! Which stream: its name, or its Amazon Resource Name.

use std::fmt;

/// A stream as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    Name(String),
    /// `arn:PARTITION:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATION`
    Arn {
        arn: String,
        region: String,
    },
}

/// The text can be neither a stream's name nor its ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStream {
    #[error("no stream is set: give a Kinesis Video stream's name or ARN")]
    Missing,
    #[error("`{0}` is no stream ARN: those read arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME/NUMBER")]
    Arn(String),
    #[error("`{0}` is no stream name: those have 1 to 256 letters, digits, `_`, `.` and `-`")]
    Name(String),
}

impl Stream {
    /// Reads a name or an ARN. For what a name may hold see `StreamName` in the
    /// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_CreateStream.html).
    ///
    /// # Errors
    ///
    /// The text is empty or neither.
    pub fn parse(text: &str) -> Result<Self, InvalidStream> {
        if text.is_empty() {
            return Err(InvalidStream::Missing);
        }
        if text.starts_with("arn:") {
            let mut parts = text.splitn(6, ':');
            let (service, region) = (parts.nth(2), parts.next());
            let resource = parts.nth(1);
            return match (service, region, resource) {
                (Some("kinesisvideo"), Some(region), Some(resource))
                    if !region.is_empty() && resource.starts_with("stream/") =>
                {
                    Ok(Self::Arn { arn: text.to_owned(), region: region.to_owned() })
                }
                _ => Err(InvalidStream::Arn(text.to_owned())),
            };
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if text.len() > 256 || !text.bytes().all(allowed) {
            return Err(InvalidStream::Name(text.to_owned()));
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// The name, for calls that take a name or an ARN.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Arn { .. } => None,
        }
    }

    /// The ARN, for calls that take a name or an ARN.
    pub fn arn(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { arn, .. } => Some(arn),
        }
    }

    /// The name, which an ARN holds, too.
    pub fn short_name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Arn { arn, .. } => arn.split('/').nth(1).unwrap_or_default(),
        }
    }

    /// The region that an ARN tells.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { region, .. } => Some(region),
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Arn { arn: text, .. } => formatter.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns() {
        assert_eq!(Stream::parse("front-door.1").unwrap().name(), Some("front-door.1"));
        let arn = "arn:aws:kinesisvideo:eu-west-1:123456789012:stream/door/1500000000000";
        let stream = Stream::parse(arn).unwrap();
        assert_eq!((stream.arn(), stream.region(), stream.name()), (Some(arn), Some("eu-west-1"), None));
        assert_eq!(stream.short_name(), "door");
        for wrong in [
            "",
            "a b",
            "arn:aws:s3:::bucket",
            "arn:aws:kinesisvideo::1:stream/x/1",
            "arn:aws:kinesisvideo:r:1:channel/x/1",
        ] {
            assert!(Stream::parse(wrong).is_err(), "{wrong}");
        }
    }
}
