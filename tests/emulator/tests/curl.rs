//! The emulator judged by curl, whose library carries the requests of producers, and which takes HTTP/2 where it is offered.

mod client;
mod media;

use std::path::Path;
use std::process::Command;

use kvs_emulator::{Emulator, HttpVersion, Operation};
use media::{cluster, header};
use serde_json::{Value, json};

/// Runs curl, signing as it signs; answers the body, and the version of HTTP in which it came.
fn curl(emulator: &Emulator, url: &str, arguments: &[&str]) -> (Vec<u8>, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--noproxy", "*"]);
    command.args(["--write-out", "%{stderr}%{http_version}"]);
    command.args(["--aws-sigv4", &format!("aws:amz:{}:kinesisvideo", emulator.region())]);
    command.args(["--user", &format!("{}:{}", emulator.access_key(), emulator.secret_key())]);
    if let Some(authority) = emulator.ca_file() {
        command.arg("--cacert").arg(authority);
    }
    let output = command.args(arguments).arg(url).output().unwrap_or_else(|error| panic!("curl: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?} {url}: {said}");
    (output.stdout, said)
}

fn call(emulator: &Emulator, url: &str, body: &Value) -> (Vec<u8>, String) {
    curl(emulator, url, &["--header", "content-type: application/json", "--data-binary", &body.to_string()])
}

fn data_endpoint(emulator: &Emulator, api: &str) -> (String, String) {
    let request = json!({ "StreamName": "demo", "APIName": api });
    let (body, version) = call(emulator, &format!("{}/getDataEndpoint", emulator.url()), &request);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    (answer["DataEndpoint"].as_str().unwrap().to_owned(), version)
}

/// Puts a file; answers which acknowledgements came, and the version of HTTP.
fn put(emulator: &Emulator, endpoint: &str, file: &Path, more: &[&str]) -> (Vec<String>, String) {
    let mut arguments = vec!["--request", "POST", "--upload-file", file.to_str().unwrap()];
    for header in [
        "x-amzn-stream-name: demo",
        "x-amzn-fragment-timecode-type: RELATIVE",
        "x-amzn-producer-start-timestamp: 1700000000",
    ] {
        arguments.extend(["--header", header]);
    }
    arguments.extend(more);
    let (body, version) = curl(emulator, &format!("{endpoint}/putMedia"), &arguments);
    let event = |line| serde_json::from_str::<Value>(line).unwrap()["EventType"].as_str().unwrap().to_owned();
    (std::str::from_utf8(&body).unwrap().lines().map(event).collect(), version)
}

/// What producers sign, as far as they have it from HTTP/1.1.
const LIKE_A_PRODUCER: [&str; 4] = ["--header", "connection: keep-alive", "--header", "transfer-encoding: chunked"];

fn round_trip(tls: bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body.mkv");
    let media = cluster(0, 25).bytes();
    std::fs::write(&file, [header(), media.clone()].concat()).unwrap();
    let emulator = Emulator::builder().tls(tls).end_at_head(true).start().unwrap();
    emulator.create_stream("demo").unwrap();
    let best = if tls { "2" } else { "1.1" };

    let (endpoint, version) = data_endpoint(&emulator, "PUT_MEDIA");
    assert_eq!(version, best);
    let (events, version) = put(&emulator, &endpoint, &file, &LIKE_A_PRODUCER);
    assert_eq!((events.join(" ").as_str(), version.as_str()), ("BUFFERING RECEIVED PERSISTED", "1.1"));

    let (endpoint, _) = data_endpoint(&emulator, "GET_MEDIA");
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let (body, version) = call(&emulator, &format!("{endpoint}/getMedia"), &request);
    assert_eq!(version, best);
    assert!(body.windows(media.len()).any(|window| window == media));

    // Who signs nothing that only HTTP/1.1 has may put over either, at either address.
    for endpoint in [emulator.url(), emulator.put_media_url()] {
        let (events, version) = put(&emulator, &endpoint, &file, &[]);
        assert_eq!(events.last().map(String::as_str), Some("PERSISTED"));
        assert_eq!(version == "2", tls && endpoint == emulator.url(), "{endpoint}");
    }
    let versions: Vec<(Operation, HttpVersion)> =
        emulator.requests().iter().map(|request| (request.operation, request.http_version)).collect();
    let best = if tls { HttpVersion::HTTP_2 } else { HttpVersion::HTTP_11 };
    let wanted = [
        (Operation::GetDataEndpoint, best),
        (Operation::PutMedia, HttpVersion::HTTP_11),
        (Operation::GetDataEndpoint, best),
        (Operation::GetMedia, best),
        (Operation::PutMedia, best),
        (Operation::PutMedia, HttpVersion::HTTP_11),
    ];
    assert_eq!(versions, wanted);
}

#[test]
fn curl_in_the_clear() {
    round_trip(false);
}

#[test]
fn curl_under_tls() {
    round_trip(true);
}
