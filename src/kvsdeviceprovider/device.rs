//! One stream as a device: what is told of it, and the element that reads it.

use std::sync::OnceLock;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::DEVICE_CLASS;
use crate::aws::StreamInfo;
use crate::output;

/// The device's instance; no `Debug`, since some of the properties are secret.
#[derive(Default)]
pub struct KvsDevice {
    /// The properties of the element that reads the stream.
    element: OnceLock<Vec<(String, String)>>,
}

#[glib::object_subclass]
impl ObjectSubclass for KvsDevice {
    const NAME: &'static str = "GstKvsDevice";
    type Type = super::KvsDevice;
    type ParentType = gst::Device;
}

impl ObjectImpl for KvsDevice {}

impl GstObjectImpl for KvsDevice {}

impl DeviceImpl for KvsDevice {
    fn create_element(&self, name: Option<&str>) -> Result<gst::Element, gst::LoggableError> {
        let mut builder = gst::ElementFactory::make("kvssrc");
        if let Some(name) = name {
            builder = builder.name(name);
        }
        let element =
            builder.build().map_err(|error| gst::loggable_error!(super::imp::CAT, "No kvssrc can be made: {error}"))?;
        self.set_up(&element);
        Ok(element)
    }

    fn reconfigure_element(&self, element: &gst::Element) -> Result<(), gst::LoggableError> {
        let is_kvssrc = element.factory().is_some_and(|factory| factory.name() == "kvssrc");
        if !is_kvssrc || element.current_state() > gst::State::Ready {
            return Err(gst::loggable_error!(super::imp::CAT, "Only a kvssrc that is stopped can read another stream"));
        }
        self.set_up(element);
        Ok(())
    }
}

impl KvsDevice {
    fn set_up(&self, element: &gst::Element) {
        for (name, value) in self.element.get().into_iter().flatten() {
            element.set_property(name, value);
        }
    }
}

impl super::KvsDevice {
    /// A device for a stream of this region. `access` are further properties of the element: how the service was asked.
    pub fn new(stream: &StreamInfo, region: &str, access: &[(String, String)]) -> Self {
        let properties = gst::Structure::builder("kvs-stream")
            .field("stream-name", &stream.name)
            .field("stream-arn", &stream.arn)
            .field("aws-region", region)
            .field("status", &stream.status)
            .field("retention-hours", stream.retention_hours)
            .field_if_some("creation-time", stream.created.map(|time| time.to_string()))
            .field_if_some("device-name", stream.device_name.as_deref())
            .field_if_some("media-type", stream.media_type.as_deref())
            .field("launch-line", launch_line(stream, region))
            .build();
        let device: Self = glib::Object::builder()
            .property("display-name", &stream.name)
            .property("device-class", DEVICE_CLASS)
            .property("caps", output::template_caps())
            .property("properties", properties)
            .build();
        let mut element = access.to_vec();
        for (name, value) in [("stream", stream.name.as_str()), ("aws-region", region)] {
            element.retain(|(other, _)| other != name);
            element.push((name.to_owned(), value.to_owned()));
        }
        // Set once, here.
        let _ = device.imp().element.set(element);
        device
    }
}

/// What shows the stream, as typed into a shell. A stream's name holds nothing that a shell would read as anything else.
fn launch_line(stream: &StreamInfo, region: &str) -> String {
    let line = format!("gst-launch-1.0 kvssrc stream={} aws-region={region}", stream.name);
    if stream.media_type.as_deref().is_some_and(|media| media.starts_with("audio/")) {
        format!("{line} ! decodebin3 ! audioconvert ! audioresample ! autoaudiosink")
    } else {
        format!("{line} ! decodebin3 ! videoconvert ! autovideosink")
    }
}
