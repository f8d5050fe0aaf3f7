//! The element `kvssrc`.

use gst::glib;
use gst::prelude::*;

mod ahead;
mod archive;
mod checkpoint;
mod dvr;
mod error;
mod follow;
mod idle;
mod imp;
mod journal;
mod link;
mod notice;
mod pace;
mod progress;
mod reading;
mod report;
mod seeking;
mod seeks;
mod session;
mod settings;
mod statistics;
mod undescribed;

pub(crate) use settings::Settings;

glib::wrapper! {
    /// Reads a stream of Amazon Kinesis Video Streams.
    ///
    /// `kvssrc` signs and makes a GetMedia call and turns its endless Matroska body into buffers with timestamps and
    /// caps. Downstream decides what they are: who takes Matroska gets one clean Matroska stream of all tracks, who
    /// takes only an elementary format gets the frames of one track.
    ///
    /// # What travels with the media
    ///
    /// Every buffer has the time of its capture, as [`gst::ReferenceTimestampMeta`] with caps `timestamp/x-unix` in ns
    /// since 1970, and says which fragment it came in, as [`crate::FragmentMeta`].
    ///
    /// At the end of each fragment, when all of it is known, comes `kvs-fragment`: as a serialized custom downstream event
    /// behind its last buffer, and as an element message. Of its fields those that are not known are missing:
    ///
    /// | field | type | meaning |
    /// | --- | --- | --- |
    /// | `fragment-number` | string | 1 to 128 decimal digits |
    /// | `producer-timestamp` | uint64 | when its capture began, in ns since 1970 |
    /// | `server-timestamp` | uint64 | when the service began to receive it, in ns since 1970 |
    /// | `millis-behind-now` | uint64 | how far it lies behind the newest of the stream, in ms |
    /// | `continuation-token` | string | goes on behind it |
    /// | `size` | uint64 | bytes, header and tags included |
    /// | `frames` | structure | a field `track-N` (uint64) for each track: how many of its frames were wanted |
    /// | `tags` | structure | the producer's own tags (strings); of two with one name the later |
    ///
    /// Behind a cut it comes once, with the end that came at last. The bus has one message a fragment, also where an
    /// archive is read fast; an application that wants to be behind no buffer takes the event.
    ///
    /// Tags are the stream's name (title), the capture time of the first frame (datetime), and the fragment's own tags
    /// (extended-comment, `key=value`) that came before its frames. They are sent before the first frame of a fragment where
    /// they have changed.
    ///
    /// Steps that may take a while are [`gst::message::Progress`] with the codes `credentials`, `endpoint` and `connect`:
    /// each starts once, goes on while it is tried again, and is completed, fails or is cancelled.
    ///
    /// # Examples
    ///
    /// Record the next minutes of a camera:
    ///
    /// ```text
    /// gst-launch-1.0 -e kvssrc stream=X ! matroskademux ! mp4mux ! filesink location=out.mp4
    /// ```
    ///
    /// Show what it saw from a moment on:
    ///
    /// ```text
    /// gst-launch-1.0 kvssrc stream=X start-timestamp=2026-01-05T10:00:00Z ! h264parse ! avdec_h264 ! videoconvert ! autovideosink
    /// ```
    ///
    /// Read with the certificate of an AWS IoT device, as kvssink does (docs/credentials.md has an example of each
    /// source):
    ///
    /// ```text
    /// gst-launch-1.0 kvssrc stream=X iot-certificate="iot-certificate,endpoint=HOST,cert-path=certificate.pem,key-path=private.key,ca-path=authority.pem,role-aliases=viewer" ! filesink location=out.mkv
    /// ```
    pub struct KvsSrc(ObjectSubclass<imp::KvsSrc>) @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object, @implements gst::URIHandler;
}

/// Registers the element.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    #[cfg(feature = "doc")]
    for property_type in [
        settings::StartSelectorType::static_type(),
        settings::TimestampModeType::static_type(),
        settings::PlaybackMode::static_type(),
        settings::FragmentSelectorType::static_type(),
        settings::OnMissing::static_type(),
        settings::OnNewTrackType::static_type(),
    ] {
        property_type.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "kvssrc", gst::Rank::PRIMARY, KvsSrc::static_type())
}
