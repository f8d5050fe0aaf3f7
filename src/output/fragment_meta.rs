//! The meta that says of each buffer which fragment it came in.

use std::fmt;
use std::sync::Once;

use gst::meta::CustomMeta;
use gst::{BufferRef, ClockTime, MetaRef};

use super::time::clock_time;
use crate::fragment::{Fragment, FragmentNumber, UnixTime};

const FRAGMENT_NUMBER: &str = "fragment-number";
const PRODUCER_TIMESTAMP: &str = "producer-timestamp";
const SERVER_TIMESTAMP: &str = "server-timestamp";
const MILLIS_BEHIND_NOW: &str = "millis-behind-now";

/// Which fragment of its stream a buffer came in: the custom meta `GstKvsFragmentMeta`.
///
/// `kvssrc` puts it on every buffer. It has no tags, so that parsers, decoders, converters and encoders copy it to what
/// they make of the buffer. C and Python read its structure: `gst_buffer_get_custom_meta()`, then
/// `gst_custom_meta_get_structure()`. A field that is not known is not there.
///
/// ```no_run
/// # fn frame(buffer: &gst::BufferRef) {
/// use gstkvs::FragmentMeta;
///
/// if let Some(meta) = FragmentMeta::of(buffer) {
///     println!("fragment {:?}, received at {:?}", meta.fragment_number(), meta.server_timestamp());
/// }
/// # }
/// ```
pub struct FragmentMeta<'a>(MetaRef<'a, CustomMeta>);

impl<'a> FragmentMeta<'a> {
    /// The name of the meta and of its structure.
    pub const NAME: &'static str = "GstKvsFragmentMeta";

    /// The meta of a buffer; `None` where the buffer does not come of `kvssrc`.
    pub fn of(buffer: &'a BufferRef) -> Option<Self> {
        Self::register();
        CustomMeta::from_buffer(buffer, Self::NAME).ok().map(Self)
    }

    /// `fragment-number` (string): 1 to 128 decimal digits; see `Fragment` in the
    /// [API reference](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/API_reader_Fragment.html).
    pub fn fragment_number(&self) -> Option<&str> {
        self.0.structure().get(FRAGMENT_NUMBER).ok()
    }

    /// `producer-timestamp` (uint64): when the producer began to capture the fragment, since 1970.
    pub fn producer_timestamp(&self) -> Option<ClockTime> {
        self.0.structure().get(PRODUCER_TIMESTAMP).ok().and_then(clock_time)
    }

    /// `server-timestamp` (uint64): when the service began to receive the fragment, since 1970.
    pub fn server_timestamp(&self) -> Option<ClockTime> {
        self.0.structure().get(SERVER_TIMESTAMP).ok().and_then(clock_time)
    }

    /// `millis-behind-now` (uint64): how far the fragment before this one lay behind the newest of the stream, in ms. The
    /// service tells it at a fragment's end, so that the first fragment does not have it.
    pub fn millis_behind_now(&self) -> Option<u64> {
        self.0.structure().get(MILLIS_BEHIND_NOW).ok()
    }

    /// Makes the meta known to GStreamer, once a process.
    pub(crate) fn register() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Another copy of this code may have come with a plugin.
            if !CustomMeta::is_registered(Self::NAME) {
                CustomMeta::register_simple(Self::NAME);
            }
        });
    }
}

impl fmt::Debug for FragmentMeta<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.structure(), formatter)
    }
}

/// The meta of one fragment's buffers: made once, and copied to each.
#[derive(Debug, Default)]
pub(super) struct Stamp(Option<gst::Buffer>);

impl Stamp {
    /// The stamp of a fragment; one that leaves no trace where nothing is known of it.
    pub fn new(fragment: &Fragment) -> Self {
        let nanoseconds = |time: UnixTime| u64::try_from(time.nanoseconds()).unwrap_or(0);
        let number = fragment.number.as_ref().map(FragmentNumber::as_str);
        let producer = fragment.producer_timestamp.map(nanoseconds);
        let server = fragment.server_timestamp.map(nanoseconds);
        if number.is_none() && producer.is_none() && server.is_none() {
            return Self(None);
        }
        FragmentMeta::register();
        let mut template = gst::Buffer::new();
        if let Some(buffer) = template.get_mut()
            && let Ok(mut meta) = CustomMeta::add(buffer, FragmentMeta::NAME)
        {
            let structure = meta.mut_structure();
            structure.set_if_some(FRAGMENT_NUMBER, number);
            structure.set_if_some(PRODUCER_TIMESTAMP, producer);
            structure.set_if_some(SERVER_TIMESTAMP, server);
            structure.set_if_some(MILLIS_BEHIND_NOW, fragment.millis_behind_now);
        }
        Self(Some(template))
    }

    /// Puts the meta on a buffer, which must be writable.
    pub fn put(&self, buffer: &mut gst::Buffer) {
        if let (Some(template), Some(buffer)) = (&self.0, buffer.get_mut()) {
            // Fails on a range only, and this is none.
            let _ = template.copy_into(buffer, gst::BufferCopyFlags::META, ..);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fragment::{Document, Header};
    use crate::mkv;

    fn fragment(number: Option<&str>, producer: i64, behind: Option<u64>) -> Fragment {
        let tracks = mkv::Tracks { tracks: Vec::new(), raw: bytes::Bytes::new() };
        Fragment {
            header: Arc::new(Header { document: Document::default(), info: mkv::Info::default(), tracks }),
            number: number.and_then(FragmentNumber::new),
            producer_timestamp: UnixTime::from_nanoseconds(producer),
            server_timestamp: None,
            millis_behind_now: behind,
            tags: Vec::new(),
            cluster_time: 0,
            after_loss: false,
        }
    }

    #[test]
    fn what_is_known_is_on_the_buffer_and_on_its_copies() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::from_slice([1, 2, 3]);
        let stamp = Stamp::new(&fragment(Some("917"), 5, Some(40)));
        stamp.put(&mut buffer);
        drop(stamp);
        let part = buffer.copy_region(gst::BUFFER_COPY_ALL, 1..2).unwrap();
        for buffer in [&buffer, &buffer.copy(), &part] {
            let meta = FragmentMeta::of(buffer).unwrap();
            assert_eq!(meta.fragment_number(), Some("917"));
            assert_eq!(meta.producer_timestamp(), Some(ClockTime::NSECOND * 5));
            assert_eq!(meta.server_timestamp(), None);
            assert_eq!(meta.millis_behind_now(), Some(40));
        }
    }

    #[test]
    fn nothing_is_said_of_a_file_that_kinesis_video_did_not_write() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        assert!(FragmentMeta::of(&buffer).is_none());
        Stamp::new(&fragment(None, -1, None)).put(&mut buffer);
        assert!(FragmentMeta::of(&buffer).is_none());
    }
}
