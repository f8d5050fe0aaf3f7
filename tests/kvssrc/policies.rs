//! The policies of docs/credentials.md allow what is called, and no more.

use std::collections::BTreeSet;

use kvs_emulator::{Emulator, Operation};
use serde_json::Value;

use super::archive::{AUDIO, range, serve};
use super::body::{Fragment, body};
use super::support::{STREAM, command, emulator, printed, run, source};

/// The actions that the policy under the heading's paragraph with this beginning allows.
fn allowed(beginning: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/credentials.md")).unwrap();
    let (_, behind) = text.split_once(beginning).expect("the paragraph");
    let (policy, _) = behind.split_once("```json").and_then(|(_, policy)| policy.split_once("```")).expect("a policy");
    let policy: Value = serde_json::from_str(policy).unwrap();
    let [statement] = policy["Statement"].as_array().unwrap().as_slice() else { panic!("{policy}") };
    assert_eq!((&policy["Version"], &statement["Effect"]), (&Value::from("2012-10-17"), &Value::from("Allow")));
    statement["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn called(emulator: &Emulator) -> BTreeSet<String> {
    emulator.requests().iter().map(|request| format!("kinesisvideo:{:?}", request.operation)).collect()
}

#[test]
fn live() {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&[Fragment::audio(0, 10)])).unwrap();
    run(&source(&emulator), AUDIO).ok();
    assert_eq!(called(&emulator), allowed("To follow a stream with `playback-mode=live`"));
}

#[test]
fn archive() {
    let emulator = serve(Emulator::builder(), 20);
    run(&range(&emulator, 0, 20_000), AUDIO).ok();
    assert_eq!(called(&emulator), allowed("To read its archive with `playback-mode=on-demand`"));
}

#[test]
fn listing() {
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    printed(command("gst-device-monitor-1.0", &emulator).arg("Source/Network/KVS"));
    assert!(emulator.requests().iter().any(|request| request.operation == Operation::ListStreams));
    assert_eq!(called(&emulator), allowed("To list the streams of an account"));
}
