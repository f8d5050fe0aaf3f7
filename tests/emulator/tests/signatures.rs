//! Every way in which a signature can be wrong, and the error that the service gives for it.

mod client;

use std::time::{Duration, SystemTime};

use client::{Answer, Client, Signed, full};
use hyper::StatusCode;
use kvs_emulator::Emulator;
use serde_json::json;

const INVALID: &str = "InvalidSignatureException";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided.";

async fn refused(client: &Client, status: StatusCode, error_type: &str, message: &str) {
    for path in ["/listStreams", "/getMedia"] {
        let answer = client.call(path, &json!({})).await;
        assert_refused(&answer, status, error_type, message);
        let spelt = ["x-amz-errortype", "x-amzn-errortype"].map(|name| answer.headers.contains_key(name));
        assert_eq!(spelt, [path == "/getMedia", path != "/getMedia"]);
    }
}

fn assert_refused(answer: &Answer, status: StatusCode, error_type: &str, message: &str) {
    assert_eq!((answer.status, answer.error_type()), (status, error_type));
    let said = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(said.contains(message), "{said}");
    assert_eq!(answer.header("x-amzn-requestid").len(), 36);
    assert_eq!(answer.header("content-type"), "application/json");
}

fn emulator() -> Emulator {
    Emulator::builder().region("eu-west-1").credentials("AKIATESTTESTTESTTEST", "secret").start().unwrap()
}

#[tokio::test]
async fn a_right_signature_is_accepted() {
    let emulator = emulator();
    let answer = Client::new(&emulator).call("/listStreams", &json!({})).await;
    assert_eq!((answer.status, answer.json()["StreamInfoList"].clone()), (StatusCode::OK, json!([])));
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let emulator = emulator();
    let client = Client { secret_key: "another".into(), ..Client::new(&emulator) };
    refused(&client, StatusCode::FORBIDDEN, INVALID, MISMATCH).await;
}

#[tokio::test]
async fn a_wrong_region_is_refused() {
    let emulator = emulator();
    let client = Client { region: "us-east-1".into(), ..Client::new(&emulator) };
    refused(&client, StatusCode::FORBIDDEN, INVALID, "scoped to a valid region, not 'us-east-1'").await;
}

#[tokio::test]
async fn a_wrong_service_is_refused() {
    let emulator = emulator();
    let client = Client { service: "kinesis".into(), ..Client::new(&emulator) };
    refused(&client, StatusCode::FORBIDDEN, INVALID, "scoped to correct service: 'kinesisvideo'").await;
}

#[tokio::test]
async fn a_skewed_clock_is_refused_in_both_directions() {
    let emulator = emulator();
    let six_minutes = Duration::from_secs(360);
    let late = Client { time: SystemTime::now() - six_minutes, ..Client::new(&emulator) };
    refused(&late, StatusCode::FORBIDDEN, INVALID, "Signature expired: ").await;
    let early = Client { time: SystemTime::now() + six_minutes, ..Client::new(&emulator) };
    refused(&early, StatusCode::FORBIDDEN, INVALID, "Signature not yet current: ").await;
    let four_minutes = Client { time: SystemTime::now() - Duration::from_secs(240), ..Client::new(&emulator) };
    assert_eq!(four_minutes.call("/listStreams", &json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_tampered_body_is_refused() {
    let emulator = emulator();
    let client = Client::new(&emulator);
    let request = client.request("/listStreams", &[], Signed::Bytes(b"{}"), full(r#"{"MaxResults":1}"#));
    let answer = Answer::read(client.send(request).await).await;
    assert_refused(&answer, StatusCode::FORBIDDEN, INVALID, MISMATCH);
}

#[tokio::test]
async fn a_tampered_header_is_refused() {
    let emulator = emulator();
    let client = Client::new(&emulator);
    let mut request =
        client.request("/listStreams", &[("content-type", "application/json")], Signed::Bytes(b"{}"), full("{}"));
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let answer = Answer::read(client.send(request).await).await;
    assert_refused(&answer, StatusCode::FORBIDDEN, INVALID, MISMATCH);
}

#[tokio::test]
async fn an_unsigned_body_is_refused_but_for_put_media() {
    let emulator = emulator();
    emulator.create_stream("demo").unwrap();
    let client = Client::new(&emulator);
    let unsigned = |path, headers: &[(&str, &str)]| client.request(path, headers, Signed::Unsigned, full("{}"));
    let answer = Answer::read(client.send(unsigned("/listStreams", &[])).await).await;
    assert_refused(&answer, StatusCode::FORBIDDEN, INVALID, MISMATCH);
    let headers = [
        ("x-amzn-stream-name", "demo"),
        ("x-amzn-fragment-timecode-type", "RELATIVE"),
        ("x-amzn-producer-start-timestamp", "1700000000.5"),
    ];
    let answer = Answer::read(client.send(unsigned("/putMedia", &headers)).await).await;
    assert_eq!(answer.status, StatusCode::OK);
    let wrong = Client { secret_key: "another".into(), ..client.clone() };
    let request = wrong.request("/putMedia", &headers, Signed::Unsigned, full(""));
    assert_refused(&Answer::read(wrong.send(request).await).await, StatusCode::FORBIDDEN, INVALID, MISMATCH);
}

#[tokio::test]
async fn an_unknown_access_key_is_refused() {
    let emulator = emulator();
    let client = Client { access_key: "AKIAANOTHERANOTHER00".into(), ..Client::new(&emulator) };
    refused(&client, StatusCode::FORBIDDEN, "UnrecognizedClientException", "security token included").await;
}

#[tokio::test]
async fn a_session_token_must_be_there_and_right() {
    let builder = Emulator::builder().credentials("ASIATESTTESTTESTTEST", "secret").session_token("token");
    let emulator = builder.start().unwrap();
    let right = Client::new(&emulator);
    assert_eq!(right.call("/listStreams", &json!({})).await.status, StatusCode::OK);
    for session_token in [None, Some("another".to_owned())] {
        let client = Client { session_token, ..right.clone() };
        refused(&client, StatusCode::FORBIDDEN, "UnrecognizedClientException", "security token included").await;
    }
}

#[tokio::test]
async fn no_signature_is_refused() {
    let emulator = emulator();
    let client = Client::new(&emulator);
    let answer = Answer::read(client.send(client.unsigned("/listStreams", full("{}"))).await).await;
    let error_type = "MissingAuthenticationTokenException";
    assert_refused(&answer, StatusCode::FORBIDDEN, error_type, "Missing Authentication Token");
}

#[tokio::test]
async fn half_a_signature_is_refused() {
    let emulator = emulator();
    let client = Client::new(&emulator);
    for authorization in ["Bearer x", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e", "AWS4-HMAC-SHA256 Credential=a"] {
        let mut request = client.unsigned("/listStreams", full("{}"));
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        let answer = Answer::read(client.send(request).await).await;
        assert_refused(&answer, StatusCode::BAD_REQUEST, "IncompleteSignatureException", "");
    }
}

#[tokio::test]
async fn refused_requests_are_recorded_without_secrets() {
    let emulator = emulator();
    let client = Client { secret_key: "another".into(), ..Client::new(&emulator) };
    client.call("/describeStream", &json!({ "StreamName": "demo" })).await;
    let requests = emulator.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].access_key.as_deref(), Some("AKIATESTTESTTESTTEST"));
    assert_eq!(requests[0].stream.as_deref(), Some("demo"));
    assert_eq!(requests[0].body, json!({ "StreamName": "demo" }));
    assert!(!format!("{requests:?}").contains("secret"));
}
