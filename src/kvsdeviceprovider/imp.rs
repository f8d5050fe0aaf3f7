//! DeviceProvider virtual methods: the service is asked once, when somebody wants to know.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::{DEVICE_CLASS, KvsDevice};
use crate::aws;
use crate::kvssrc::Settings;
use crate::runtime::runtime;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("kvsdeviceprovider", gst::DebugColorFlags::empty(), Some("Kinesis Video device provider"))
});

/// The properties of kvssrc that say how the service is asked, and are the provider's, too.
const ACCESS: [&str; 11] = [
    "aws-region",
    "endpoint-url",
    "access-key",
    "secret-key",
    "session-token",
    "credential-path",
    "profile",
    "role-arn",
    "role-session-name",
    "role-external-id",
    "ca-file",
];

/// Stands for the stream where none is meant.
const ANY_STREAM: &str = "any";

/// The provider's instance.
#[derive(Default)]
pub struct KvsDeviceProvider {
    access: Mutex<Access>,
}

/// How the service is asked; no `Debug`, since some of it is secret.
#[derive(Clone, Default)]
struct Access {
    settings: Settings,
    /// The properties that have been set, for the elements of the devices.
    set: Vec<(String, String)>,
}

#[glib::object_subclass]
impl ObjectSubclass for KvsDeviceProvider {
    const NAME: &'static str = "GstKvsDeviceProvider";
    type Type = super::KvsDeviceProvider;
    type ParentType = gst::DeviceProvider;
}

impl ObjectImpl for KvsDeviceProvider {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            ACCESS
                .iter()
                .filter_map(|name| Settings::properties().iter().find(|property| property.name() == *name))
                .filter_map(own)
                .collect()
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut access = self.access();
        if access.settings.set(pspec.name(), value) {
            access.set.retain(|(name, _)| name != pspec.name());
            if let Ok(Some(value)) = value.get::<Option<String>>() {
                access.set.push((pspec.name().to_owned(), value));
            }
        } else {
            gst::error!(CAT, imp = self, "There is no property {} of this type", pspec.name());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.access().settings.get(pspec.name()).unwrap_or_else(|| pspec.default_value().clone())
    }
}

/// A property of the same kind: one specification can be of one class only.
fn own(property: &glib::ParamSpec) -> Option<glib::ParamSpec> {
    let default = property.default_value().get::<Option<String>>().ok()?;
    Some(
        glib::ParamSpecString::builder(property.name())
            .nick(property.nick())
            .blurb(property.blurb().unwrap_or_default())
            .default_value(default.as_deref())
            .flags(property.flags())
            .build(),
    )
}

impl GstObjectImpl for KvsDeviceProvider {}

impl DeviceProviderImpl for KvsDeviceProvider {
    fn metadata() -> Option<&'static gst::subclass::DeviceProviderMetadata> {
        static METADATA: LazyLock<gst::subclass::DeviceProviderMetadata> = LazyLock::new(|| {
            gst::subclass::DeviceProviderMetadata::new(
                "Kinesis Video Streams device provider",
                DEVICE_CLASS,
                "Lists the streams of an account in a region, each for kvssrc to read",
                "The gst-plugin-kvs developers",
            )
        });
        Some(&*METADATA)
    }

    fn probe(&self) -> Vec<gst::Device> {
        self.devices().unwrap_or_else(|error| {
            error.log_with_imp(self);
            Vec::new()
        })
    }

    fn start(&self) -> Result<(), gst::LoggableError> {
        let devices = self.devices()?;
        for device in devices {
            self.obj().device_add(&device);
        }
        Ok(())
    }

    /// Nothing goes on in between.
    fn stop(&self) {}
}

impl KvsDeviceProvider {
    fn devices(&self) -> Result<Vec<gst::Device>, gst::LoggableError> {
        let failed =
            |error: &dyn std::fmt::Display| gst::loggable_error!(CAT, "The streams cannot be listed: {}", error);
        let Access { mut settings, set } = self.access().clone();
        settings.set("stream", &ANY_STREAM.to_value());
        let request = settings.plan().map_err(|error| failed(&error))?.request;
        let runtime = runtime().map_err(|error| failed(&error))?;
        let list = runtime.block_on(aws::list_streams(&request)).map_err(|error| failed(&error))?;
        gst::info!(CAT, imp = self, "{} streams in {}", list.streams.len(), list.region);
        Ok(list.streams.iter().map(|stream| KvsDevice::new(stream, &list.region, &set).upcast()).collect())
    }

    /// What a thread that panicked left behind is still whole.
    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
