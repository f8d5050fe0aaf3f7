//! No secret is seen: not in pipeline graphs, stats, URI or messages, not in the debug log at its highest level.

use std::process::Command;
use std::time::Duration;

use gst::prelude::*;
use kvs_emulator::identity::{CredentialServer, LOGIN_PROVIDER, LOGIN_TOKEN, Pem};
use serde_json::{Value, json};

use super::credentials::{emulator, iot_certificate, write_keys};
use super::support::{PATIENCE, STREAM, init};

/// What the process that logs is to run, as JSON.
const RUNS: &str = "KVS_TEST_RUNS";

/// An element with these properties, set as an application sets them: GStreamer's own parser logs what it parses.
fn run(run: &Value) {
    let source = gst::ElementFactory::make("kvssrc").name("source").build().unwrap();
    for (name, value) in run["properties"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        match name.as_str() {
            "iot-certificate" => source.set_property(name, value.parse::<gst::Structure>().unwrap()),
            "start-selector" | "retry-timeout" => source.set_property_from_str(name, value),
            _ => source.set_property(name, value),
        }
    }
    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("fakesink").property("sync", false).build().unwrap();
    pipeline.add_many([&source, &sink]).unwrap();
    source.link(&sink).unwrap();
    let bus = pipeline.bus().unwrap();
    let _ = pipeline.set_state(gst::State::Playing);
    let message = loop {
        let message = bus.timed_pop(PATIENCE).expect("the pipeline hangs");
        println!("{message:?}");
        if matches!(message.type_(), gst::MessageType::Eos | gst::MessageType::Error) {
            break message;
        }
    };
    println!("{}", pipeline.debug_to_dot_data(gst::DebugGraphDetails::all()));
    println!("{}", source.property::<gst::Structure>("stats"));
    println!("{:?}", source.property::<Option<String>>("uri"));
    assert_eq!(message.type_() == gst::MessageType::Eos, run["succeeds"].as_bool().unwrap(), "{run}: {message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn are_nowhere() {
    if let Ok(runs) = std::env::var(RUNS) {
        init();
        let runs: Value = serde_json::from_str(&runs).unwrap();
        runs.as_array().unwrap().iter().for_each(run);
        return;
    }
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, malformed, log) =
        (folder.path().join("credential"), folder.path().join("malformed"), folder.path().join("log"));
    let in_file = emulator.issue(Duration::from_secs(3600));
    write_keys(&file, &in_file);
    std::fs::write(&malformed, "CREDENTIALS ASIAMALFORMED secretmalformed tokenmalformed").unwrap();

    let keys = emulator.issue(Duration::from_secs(3600));
    let right = [
        ("access-key", keys.access_key.clone()),
        ("secret-key", keys.secret_key.clone()),
        ("session-token", keys.session_token.clone()),
    ];
    let wrong = [
        ("access-key", keys.access_key.clone()),
        ("secret-key", "secretwrong".to_owned()),
        ("session-token", keys.session_token.clone()),
    ];
    let unknown = [
        ("access-key", "AKIAUNKNOWN".to_owned()),
        ("secret-key", "secretunknown".to_owned()),
        ("session-token", "tokenunknown".to_owned()),
    ];
    let role = ("role-arn", "arn:aws:iam::123456789012:role/viewer".to_owned());
    let pool = ("cognito-identity-pool-id", "us-west-2:0123".to_owned());
    let login = |token: &str| ("cognito-login", format!("{LOGIN_PROVIDER}:{token}"));
    let key_as_certificate = iot_certificate(&server).replace("certificate.pem", "key.pem");
    let runs = [
        (true, right.to_vec()),
        (false, wrong.to_vec()),
        (false, unknown.to_vec()),
        (false, right[..1].to_vec()),
        (true, [&right[..], std::slice::from_ref(&role)].concat()),
        (false, [&wrong[..], std::slice::from_ref(&role)].concat()),
        (false, [&unknown[..], &[role]].concat()),
        (true, vec![("credential-path", file.display().to_string())]),
        (false, vec![("credential-path", malformed.display().to_string())]),
        (true, vec![("iot-certificate", iot_certificate(&server))]),
        (false, vec![("iot-certificate", key_as_certificate)]),
        (true, vec![pool.clone(), login(LOGIN_TOKEN)]),
        (false, vec![pool, login("tokenlogin")]),
        (false, vec![login("tokenlogin")]),
        (false, vec![("cognito-identity-pool-id", "x".to_owned()), login("tokenlogin")]),
    ];
    let always = [
        ("stream", STREAM.to_owned()),
        ("start-selector", "earliest".to_owned()),
        ("end-timestamp", "2026-01-06T00:00:00Z".to_owned()),
        ("retry-timeout", "0".to_owned()),
        ("aws-region", emulator.region().to_owned()),
        ("endpoint-url", emulator.url()),
    ];
    let runs: Vec<Value> = runs
        .iter()
        .map(|(succeeds, properties)| {
            let properties = always.iter().chain(properties);
            let properties: serde_json::Map<String, Value> =
                properties.map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            json!({ "succeeds": succeeds, "properties": properties })
        })
        .collect();

    let mut child = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        child.env_remove(name);
    }
    let output = child
        .args(["--exact", "secrets::are_nowhere", "--nocapture"])
        .env(RUNS, Value::Array(runs).to_string())
        .env("HOME", folder.path())
        .env("AWS_ENDPOINT_URL_STS", server.url())
        .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY", server.url())
        .env("GST_DEBUG", "*:9")
        .env("GST_DEBUG_NO_COLOR", "1")
        .env("GST_DEBUG_FILE", &log)
        .output()
        .unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();

    let issued = server.issued();
    assert_eq!(issued.len(), 3, "STS, IoT and Cognito");
    let keys = issued.iter().chain([&in_file, &keys]);
    let mut secrets: Vec<String> =
        keys.flat_map(|keys| [&keys.access_key, &keys.secret_key, &keys.session_token]).cloned().collect();
    for secret in [
        "secretwrong",
        "AKIAUNKNOWN",
        "secretunknown",
        "tokenunknown",
        "ASIAMALFORMED",
        "secretmalformed",
        "tokenmalformed",
        LOGIN_TOKEN,
        "tokenlogin",
    ] {
        secrets.push(secret.to_owned());
    }
    // The lines of the private key, whose own two ends are no secret.
    let key = std::fs::read_to_string(server.pem(Pem::Key)).unwrap();
    secrets.extend(key.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    for secret in secrets {
        for (name, text) in [("what is printed", &printed), ("the log", &log)] {
            let line = text.lines().find(|line| line.contains(&secret));
            assert!(line.is_none(), "{secret} is in {name}: {}", line.unwrap_or_default());
        }
    }

    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed") && printed.contains("digraph pipeline"), "{printed}");
    // What is no secret is there: the graphs and the log are those of these pipelines.
    assert!(printed.contains(&emulator.url()), "{printed}");
    assert!(log.contains("Reading demo") && log.contains("LOG") && log.lines().count() > 1000);
}
