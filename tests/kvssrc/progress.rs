//! GStreamer's progress messages for what takes a while before the first byte.

use gst::ProgressType;
use gst::ProgressType::{Canceled, Complete, Continue, Error, Start};
use gst::prelude::*;
use kvs_emulator::{Emulator, Fault, Operation, Repeat};

use super::body::{Fragment, body};
use super::support::{PATIENCE, Pipeline, STREAM, emulator, source, source_for_ever};

fn stored() -> Emulator {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&[Fragment::audio(0, 5), Fragment::audio(1, 5)])).unwrap();
    emulator
}

type Told = (ProgressType, String, String);

fn told(message: &gst::MessageRef) -> Option<Told> {
    let gst::MessageView::Progress(progress) = message.view() else { return None };
    let (type_, code, text) = progress.get();
    Some((type_, code.to_owned(), text.to_owned()))
}

/// The progress messages of a pipeline until its end, or until there are so many.
fn until_end(source: &str) -> Vec<Told> {
    let pipeline = Pipeline::new(&format!("{source} ! fakesink sync=false"));
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let mut all = Vec::new();
    loop {
        let message = bus.timed_pop(PATIENCE).expect("the end");
        if matches!(message.type_(), gst::MessageType::Eos | gst::MessageType::Error) {
            return all;
        }
        all.extend(told(&message));
    }
}

fn short(all: &[Told]) -> Vec<(ProgressType, &str)> {
    all.iter().map(|(type_, code, _)| (*type_, code.as_str())).collect()
}

#[test]
fn the_steps_of_a_connection() {
    let emulator = stored();
    let all = until_end(&source(&emulator));
    let first = [
        (Start, "credentials"),
        (Complete, "credentials"),
        (Start, "endpoint"),
        (Complete, "endpoint"),
        (Start, "connect"),
        (Complete, "connect"),
    ];
    let short = short(&all);
    assert_eq!(short[..6], first);
    // What is known is not fetched again.
    assert!(short[6..].chunks(2).all(|pair| pair == [(Start, "connect"), (Complete, "connect")]), "{short:?}");
}

#[test]
fn a_step_that_is_tried_again_goes_on() {
    let emulator = stored();
    for _ in 0..2 {
        let fault = Fault::http(Operation::GetMedia, 500, "InternalFailure", "Not now");
        emulator.set_fault(STREAM, fault, Repeat::Once);
    }
    let all = until_end(&source(&emulator));
    let short = short(&all);
    assert_eq!(short[4..8], [(Start, "connect"), (Continue, "connect"), (Start, "endpoint"), (Complete, "endpoint")]);
    assert_eq!(short[8..10], [(Continue, "connect"), (Complete, "connect")]);
    assert!(all[5].2.starts_with("Once more in ") && all[5].2.contains("Not now"), "{:?}", all[5]);
}

#[test]
fn a_step_that_fails_says_why() {
    let emulator = emulator();
    let all = until_end(&source(&emulator));
    let (type_, code, text) = all.last().unwrap();
    assert_eq!((*type_, code.as_str()), (Error, "endpoint"));
    assert!(text.contains("ResourceNotFoundException"), "{text}");
    let wrong = source(&emulator).replace(emulator.secret_key(), "wrongsecret");
    let all = until_end(&wrong);
    assert_eq!(all.last().unwrap().0, Error);
    assert!(all.iter().all(|(_, _, text)| !text.contains("wrongsecret")), "{all:?}");
    let missing =
        source(&emulator).replace(&format!("secret-key={}", emulator.secret_key()), "credential-path=/nowhere");
    let missing = missing.replace(&format!("access-key={}", emulator.access_key()), "");
    let all = until_end(&missing);
    assert_eq!(short(&all), [(Start, "credentials"), (Error, "credentials")]);
    assert!(all[1].2.contains("/nowhere"), "{all:?}");
}

#[test]
fn a_step_that_nobody_waits_for_any_more_is_cancelled() {
    let emulator = stored();
    emulator.set_fault(STREAM, Fault::HangRequest { operation: Operation::GetMedia }, Repeat::Always);
    let pipeline = Pipeline::new(&format!("{} ! fakesink name=sink", source_for_ever(&emulator)));
    // A pipeline's bus drops what comes while the pipeline stops.
    pipeline.set_auto_flush_bus(false);
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    let next = || bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Progress]).and_then(|message| told(&message));
    while next().expect("connecting").1 != "connect" {}
    pipeline.set_state(gst::State::Null).unwrap();
    let (type_, code, _) = next().expect("the last word");
    assert_eq!((type_, code.as_str()), (Canceled, "connect"));
}
