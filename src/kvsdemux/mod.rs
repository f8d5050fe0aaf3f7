//! The element `kvsdemux`.

use gst::glib;
use gst::prelude::*;

mod control;
mod demuxer;
mod error;
mod imp;
mod outlet;
mod reading;
mod silence;
mod streams;
mod tags;

glib::wrapper! {
    /// Takes a stream of Amazon Kinesis Video Streams apart, into one pad a track.
    ///
    /// `kvsdemux` takes what `kvssrc` makes and what GetMedia answers. Behind `kvssrc`, its frames are those that
    /// `kvssrc` would push as the only track: the same bytes, times, flags and metas. Players plug it by themselves.
    ///
    /// Of a body in a file, and of a file of what `kvssrc` made, it tells the fragments as `kvssrc` does: by metas, by
    /// `kvs-fragment` on each pad and on the bus, and by tags.
    ///
    /// Record picture and sound of a camera:
    ///
    /// ```text
    /// gst-launch-1.0 -e kvssrc stream=X ! kvsdemux name=d mp4mux name=m ! filesink location=out.mp4 d.video_0 ! queue ! h264parse ! m. d.audio_0 ! queue ! aacparse ! m.
    /// ```
    ///
    /// Play the body of a GetMedia call that was saved to a file, placed in time by its fragments' producer timestamps:
    ///
    /// ```text
    /// gst-launch-1.0 filesrc location=captured-get-media.mkv ! kvsdemux ! h264parse ! avdec_h264 ! videoconvert ! autovideosink
    /// ```
    pub struct KvsDemux(ObjectSubclass<imp::KvsDemux>) @extends gst::Element, gst::Object;
}

/// Registers the element: for what `kvssrc` makes it comes before any other demuxer.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "kvsdemux", gst::Rank::PRIMARY + 1, KvsDemux::static_type())
}
