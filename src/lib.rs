//! The GStreamer plugin `kvs`: a source for Amazon Kinesis Video Streams.

// See clippy.toml.
#![warn(clippy::disallowed_methods)]

mod aws;
#[doc(hidden)]
pub mod fragment;
mod kvsdemux;
mod kvsdeviceprovider;
mod kvssrc;
#[doc(hidden)]
pub mod mkv;
#[doc(hidden)]
pub mod output;
mod runtime;

use gst::glib;

pub use output::FragmentMeta;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // Whoever asks a buffer for the meta by its name finds it from now on.
    FragmentMeta::register();
    kvssrc::register(plugin)?;
    kvsdemux::register(plugin)?;
    kvsdeviceprovider::register(plugin)
}

gst::plugin_define!(
    kvs,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
