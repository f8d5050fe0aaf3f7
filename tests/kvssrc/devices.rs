//! kvsdeviceprovider: the account's streams as devices.

use gst::prelude::*;

use super::support::{command, init, printed};
use kvs_emulator::{Emulator, StreamSettings};

/// More than the service is asked for at once.
const STREAMS: usize = 1005;

fn provider(emulator: &Emulator) -> gst::DeviceProvider {
    init();
    let provider = gst::DeviceProviderFactory::by_name("kvsdeviceprovider").unwrap();
    for (name, value) in [
        ("aws-region", emulator.region()),
        ("endpoint-url", &emulator.url()),
        ("access-key", emulator.access_key()),
        ("secret-key", emulator.secret_key()),
    ] {
        provider.set_property(name, value);
    }
    provider
}

fn front_door() -> StreamSettings {
    StreamSettings {
        media_type: Some("video/h264".to_owned()),
        retention_hours: 48,
        created: Some(1_767_607_200_000),
        ..StreamSettings::default()
    }
}

#[test]
fn every_page_is_asked_for() {
    let emulator = Emulator::builder().start().unwrap();
    for number in 0..STREAMS {
        emulator.create_stream(&format!("camera-{number:04}")).unwrap();
    }
    let devices = provider(&emulator).devices();
    let names: Vec<String> = devices.iter().map(|device| device.display_name().to_string()).collect();
    let wanted: Vec<String> = (0..STREAMS).map(|number| format!("camera-{number:04}")).collect();
    assert!(names.iter().all(|name| wanted.contains(name)) && names.len() == STREAMS, "{} devices", names.len());
}

#[test]
fn a_device_tells_of_its_stream_and_makes_its_element() {
    let emulator = Emulator::builder().start().unwrap();
    let arn = emulator.create_stream_with("front-door", front_door()).unwrap();
    let devices = provider(&emulator).devices();
    let device = devices.iter().next().unwrap();
    assert_eq!((device.display_name().as_str(), device.device_class().as_str()), ("front-door", "Source/Network/KVS"));
    assert_eq!(
        device.caps(),
        gst::ElementFactory::find("kvssrc")
            .and_then(|factory| { Some(factory.static_pad_templates().iter().next()?.caps()) })
    );
    let properties = device.properties().unwrap();
    let text = |name| properties.get::<String>(name).unwrap();
    assert_eq!(text("stream-name"), "front-door");
    assert_eq!(text("stream-arn"), arn);
    assert_eq!(text("aws-region"), emulator.region());
    assert_eq!(text("creation-time"), "2026-01-05T10:00:00Z");
    assert_eq!(text("media-type"), "video/h264");
    assert_eq!(properties.get::<u32>("retention-hours"), Ok(48));
    assert!(text("launch-line").starts_with("gst-launch-1.0 kvssrc stream=front-door aws-region="));
    assert!(!properties.to_string().contains(emulator.secret_key()));

    let element = device.create_element(Some("door")).unwrap();
    assert_eq!(element.name(), "door");
    assert_eq!(element.factory().unwrap().name(), "kvssrc");
    assert_eq!(element.property::<String>("stream"), "front-door");
    assert_eq!(element.property::<String>("endpoint-url"), emulator.url());
    // It has the keys, too: it is only for what the stream holds that it ends.
    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("fakesink").build().unwrap();
    pipeline.add_many([&element, &sink]).unwrap();
    element.link(&sink).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let asked = emulator.wait_for_request(
        |request| request.operation == kvs_emulator::Operation::GetMedia,
        std::time::Duration::from_secs(30),
    );
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(asked.is_some());
}

#[test]
fn the_device_monitor_lists_them() {
    let emulator = Emulator::builder().start().unwrap();
    let arn = emulator.create_stream_with("front-door", front_door()).unwrap();
    emulator.create_stream("garden").unwrap();
    let (stdout, _) = printed(command("gst-device-monitor-1.0", &emulator).arg("Source/Network/KVS"));
    for wanted in [
        "front-door",
        "garden",
        "Source/Network/KVS",
        &arn,
        "retention-hours = 48",
        "2026-01-05T10:00:00Z",
        "gst-launch-1.0 kvssrc",
    ] {
        assert!(stdout.contains(wanted), "{wanted}: {stdout}");
    }
    // Who looks for cameras does not ask the service.
    let asked = emulator.requests().len();
    let _ = command("gst-device-monitor-1.0", &emulator).arg("Video/Source").output().unwrap();
    assert_eq!(emulator.requests().len(), asked);
}
