//! The element `kvssrc`.

use gst::glib;
use gst::prelude::*;

mod announcement;
mod archive;
mod checkpoint;
mod error;
mod imp;
mod journal;
mod link;
mod notice;
mod progress;
mod reading;
mod report;
mod session;
mod settings;
mod statistics;

glib::wrapper! {
    /// Reads a stream of Amazon Kinesis Video Streams.
    ///
    /// `kvssrc` signs and makes a GetMedia call and turns its endless Matroska body into buffers with timestamps and
    /// caps. Downstream decides what they are: who takes Matroska gets one clean Matroska stream of all tracks, who
    /// takes only an elementary format gets the frames of one track.
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
    ] {
        property_type.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "kvssrc", gst::Rank::PRIMARY, KvsSrc::static_type())
}
