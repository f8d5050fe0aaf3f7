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
    /// It asks the service (ListStreams) once, when it is started or probed; streams that are not known two seconds after
    /// the start are added when they are, and a probe that has no answer within five finds none. Region, endpoint and credentials are those
    /// that `kvssrc` would find, or its properties:
    ///
    /// ```text
    /// gst-device-monitor-1.0 Source/Network/KVS
    /// ```
    ///
    /// Whoever looks for cameras (`Video/Source`) or microphones (`Audio/Source`) does not ask it.
    pub struct KvsDeviceProvider(ObjectSubclass<imp::KvsDeviceProvider>) @extends gst::DeviceProvider, gst::Object;
}

glib::wrapper! {
    /// A stream as a device.
    pub struct KvsDevice(ObjectSubclass<device::KvsDevice>) @extends gst::Device, gst::Object;
}

/// Registers the device provider.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // The lowest: of rank none, no device monitor would ask it, not even one that names its class.
    let rank = gst::Rank::NONE + 1;
    gst::DeviceProvider::register(Some(plugin), "kvsdeviceprovider", rank, KvsDeviceProvider::static_type())
}
