//! A fragment's metadata: which tags a producer may send, and how many.

/// The quotas of [fragment metadata](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/limits.html).
const MOST: usize = 10;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

/// What the service's own names begin with.
const RESERVED: &str = "AWS";

/// Ends its fragment at once.
const END_OF_FRAGMENT: &str = "AWS_KINESISVIDEO_END_OF_FRAGMENT";

/// Reserved names that a producer's SDK writes all the same.
const SENT_BY_PRODUCERS: [&str; 4] = [
    END_OF_FRAGMENT,
    "AWS_KINESISVIDEO_NOTIFICATION",
    "AWS_KINESISVIDEO_IMAGE_GENERATION",
    "AWS_KINESISVIDEO_IMAGE_PREFIX",
];

/// A tag that the service refuses, or one too many.
pub(crate) struct TooMuch;

/// What counts of a fragment's tags.
///
/// The quota's page leaves open what does. By what the producer SDK's platform-independent core (Stream.c, `putEventMetadata`)
/// is ready to send, its own names do not: beside them an event has up to ten pairs of the user's, and END_OF_FRAGMENT is
/// appended whatever is there. A pair that is written twice counts once: the pairs of a notification that asks for images
/// too are written behind each of the two names, and a persistent tag comes both before and behind the first cluster.
#[derive(Default)]
pub(crate) struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Adds what a Tags element holds.
    pub fn add(&mut self, tags: Vec<(String, String)>) -> Result<(), TooMuch> {
        for tag in tags {
            let (name, value) = &tag;
            let sent_by_sdk = SENT_BY_PRODUCERS.contains(&name.as_str());
            if name.len() > LONGEST_NAME || value.len() > LONGEST_VALUE || (name.starts_with(RESERVED) && !sent_by_sdk)
            {
                return Err(TooMuch);
            }
            if !sent_by_sdk && !self.0.contains(&tag) {
                self.0.push(tag);
            }
        }
        if self.0.len() > MOST { Err(TooMuch) } else { Ok(()) }
    }
}

/// Whether a tag of this name is the service's own.
pub(crate) fn is_services(name: &str) -> bool {
    name.starts_with(RESERVED) && !SENT_BY_PRODUCERS.contains(&name)
}

/// Whether tags end the fragment that they belong to.
pub(crate) fn end_fragment(tags: &[(String, String)]) -> bool {
    tags.iter().any(|(name, _)| name == END_OF_FRAGMENT)
}
