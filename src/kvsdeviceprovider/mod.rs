//! The device provider `kvsdeviceprovider`: the streams of an account as devices.

use gst::glib;
use gst::prelude::*;

mod device;
mod imp;

/// The class of its devices.
const DEVICE_CLASS: &str = "Source/Network/KVS";

glib::wrapper! {
    /// Lists the streams of an account in a region as devices, of which each makes a `kvssrc`.
    ///
    /// It asks the service (ListStreams) once, when it is started or probed. Region, endpoint and credentials are those
    /// that `kvssrc` would find, or its properties. Its rank is none, so that no application asks the service unknowingly:
    ///
    /// ```text
    /// GST_PLUGIN_FEATURE_RANK=kvsdeviceprovider:MARGINAL gst-device-monitor-1.0 Source/Network/KVS
    /// ```
    pub struct KvsDeviceProvider(ObjectSubclass<imp::KvsDeviceProvider>) @extends gst::DeviceProvider, gst::Object;
}

glib::wrapper! {
    /// A stream as a device.
    pub struct KvsDevice(ObjectSubclass<device::KvsDevice>) @extends gst::Device, gst::Object;
}

/// Registers the device provider.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::DeviceProvider::register(Some(plugin), "kvsdeviceprovider", gst::Rank::NONE, KvsDeviceProvider::static_type())
}
