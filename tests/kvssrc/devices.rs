//! kvsdeviceprovider: the account's streams as devices.

use gst::prelude::*;

use super::support::{PATIENCE, command, init, printed};
use kvs_emulator::{ANY_STREAM, Emulator, Fault, Operation, Repeat, StreamSettings};

/// More than the service is asked for at once.
const STREAMS: usize = 1005;

fn provider(emulator: &Emulator) -> gst::DeviceProvider {
    init();
    // Not the one of the process, whose properties and devices all tests would share.
    let factory =
        gst::DeviceProviderFactory::find("kvsdeviceprovider").and_then(|factory| factory.load().ok()).unwrap();
    let provider = gst::glib::Object::with_type(factory.device_provider_type());
    let provider = provider.downcast::<gst::DeviceProvider>().unwrap();
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

/// The name of a device that is added.
fn added(bus: &gst::Bus) -> String {
    let message = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::DeviceAdded]).expect("a device");
    let gst::MessageView::DeviceAdded(added) = message.view() else { panic!("{message:?}") };
    added.device().display_name().into()
}

#[test]
fn an_application_with_a_runtime_of_its_own_may_ask() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream("front-door").unwrap();
    for mut builder in [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()] {
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let provider = provider(&emulator);
            assert_eq!(provider.devices().len(), 1);
            provider.start().unwrap();
            assert_eq!(provider.devices().len(), 1);
            provider.stop();
        });
    }
}

#[test]
fn a_start_waits_for_no_service_that_is_slow() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream_with("front-door", front_door()).unwrap();
    let slow = Fault::Slow { bytes_per_second: 100 };
    emulator.set_fault_on(ANY_STREAM, Operation::ListStreams, slow, Repeat::Once);
    let provider = provider(&emulator);
    provider.start().unwrap();
    assert_eq!(provider.devices().len(), 0);
    assert_eq!(added(&provider.bus()), "front-door");
    assert_eq!(provider.devices().len(), 1);
    provider.stop();
}

#[test]
fn a_service_that_does_not_answer_keeps_nobody_waiting() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream("front-door").unwrap();
    let provider = provider(&emulator);
    let hangs = Fault::HangRequest { operation: Operation::ListStreams };
    emulator.set_fault(ANY_STREAM, hangs, Repeat::Times(2));
    // Longer than the two of them wait, and shorter than the service is waited for.
    let begin = std::time::Instant::now();
    assert_eq!(provider.devices().len(), 0);
    provider.start().unwrap();
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
    provider.stop();

    // What was asked for then comes no more.
    provider.start().unwrap();
    assert_eq!(added(&provider.bus()), "front-door");
    assert_eq!(provider.devices().len(), 1);
    provider.stop();
}

#[test]
fn a_service_that_refuses_is_a_start_that_fails() {
    let emulator = Emulator::builder().start().unwrap();
    let refusal = Fault::http(Operation::ListStreams, 403, "AccessDeniedException", "not you");
    emulator.set_fault(ANY_STREAM, refusal, Repeat::Always);
    let provider = provider(&emulator);
    assert!(provider.start().is_err());
    assert_eq!(provider.devices().len(), 0);
}
