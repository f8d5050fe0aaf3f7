//! DeviceProvider virtual methods: the service is asked once, when somebody wants to know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use tokio::task::AbortHandle;

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

/// How long a start waits for the devices, since who asks for a list right behind it, as gst-device-monitor-1.0 does
/// unless it follows, sees only those. What comes later is added when it comes.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// How long a probe waits for them: there is no later.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// The provider's instance.
#[derive(Default)]
pub struct KvsDeviceProvider {
    access: Mutex<Access>,
    /// Since it has been started.
    watch: Mutex<Option<Watch>>,
}

/// Adds the devices that are found, until it is dropped.
struct Watch {
    task: AbortHandle,
    /// Nothing is to be added any more.
    over: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.task.abort();
    }
}

type Devices = Result<Vec<gst::Device>, gst::LoggableError>;

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
        let mut access = lock(&self.access);
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
        lock(&self.access).settings.get(pspec.name()).unwrap_or_else(|| pspec.default_value().clone())
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
        let (found, devices) = mpsc::channel();
        let probed = self
            .list(move |devices| {
                // Fails where nobody waits any more.
                let _ = found.send(devices);
            })
            .and_then(|task| {
                devices.recv_timeout(PROBE_PATIENCE).unwrap_or_else(|_| {
                    task.abort();
                    Err(failed(&format_args!("no answer within {} s", PROBE_PATIENCE.as_secs())))
                })
            });
        probed.unwrap_or_else(|error| {
            error.log_with_imp(self);
            Vec::new()
        })
    }

    fn start(&self) -> Result<(), gst::LoggableError> {
        let provider = self.obj().downgrade();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let (told, result) = mpsc::channel();
        let task = self.list(move |devices| {
            let Some(provider) = provider.upgrade() else { return };
            let result = devices.map(|devices| devices.iter().for_each(|device| add(&provider, device, &ended)));
            // Fails where the start has not waited.
            if let Err(mpsc::SendError(Err(error))) = told.send(result) {
                error.log_with_object(&provider);
            }
        })?;
        let watch = Watch { task, over };
        match result.recv_timeout(START_PATIENCE) {
            Ok(Err(error)) => return Err(error),
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => gst::info!(CAT, imp = self, "The streams are added when they are known"),
        }
        *lock(&self.watch) = Some(watch);
        Ok(())
    }

    fn stop(&self) {
        let watch = lock(&self.watch).take();
        drop(watch);
    }
}

impl KvsDeviceProvider {
    /// Asks the service; what comes of it is given to `done` on a thread of the runtime, unless the task is aborted
    /// before. Whoever calls may be in a runtime of its own, so that none is entered here.
    fn list(&self, done: impl FnOnce(Devices) + Send + 'static) -> Result<AbortHandle, gst::LoggableError> {
        let Access { mut settings, set } = lock(&self.access).clone();
        settings.set("stream", &ANY_STREAM.to_value());
        let request = settings.plan().map_err(|error| failed(&error))?.request;
        let runtime = runtime().map_err(|error| failed(&error))?;
        let task = runtime.spawn(async move {
            let list = aws::list_streams(&request).await.map_err(|error| failed(&error));
            done(list.map(|list| {
                gst::info!(CAT, "{} streams in {}", list.streams.len(), list.region);
                list.streams.iter().map(|stream| KvsDevice::new(stream, &list.region, &set).upcast()).collect()
            }));
        });
        Ok(task.abort_handle())
    }
}

/// Adds a device, unless that is `over`.
fn add(provider: &super::KvsDeviceProvider, device: &gst::Device, over: &AtomicBool) {
    if !over.load(Ordering::SeqCst) {
        provider.device_add(device);
        // Stopped meanwhile: the next start begins with none.
        if over.load(Ordering::SeqCst) {
            provider.device_remove(device);
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> gst::LoggableError {
    gst::loggable_error!(CAT, "The streams cannot be listed: {}", error)
}

/// What a thread that panicked left behind is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
