//! Limits and pace hold where they are asked for.

mod client;
mod media;

use std::time::{Duration, Instant};

use client::{Answer, Client};
use http_body_util::BodyExt;
use hyper::StatusCode;
use kvs_emulator::{Builder, Emulator, Limits};
use media::fragment;
use serde_json::{Value, json};

const RARE: Limits = Limits { calls_per_second: 2, get_media_connections: 3, fragment_list_connections: 5 };
const OFTEN: Limits = Limits { calls_per_second: 1000, ..RARE };

/// An emulator with a fragment in each of two streams, and the calls that are counted, for a stream.
fn stored(builder: Builder) -> (Emulator, impl Fn(&str) -> [(&'static str, Value); 4]) {
    let emulator = builder.start().unwrap();
    let [number, _] = ["demo", "other"].map(|name| emulator.put_fragment(name, fragment(1000, 1000)).unwrap().number);
    let range = json!({ "StartTimestamp": 0, "EndTimestamp": 10 });
    let selector = json!({ "FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": range });
    let calls = move |stream: &str| {
        [
            ("/getDataEndpoint", json!({ "StreamName": stream, "APIName": "GET_MEDIA" })),
            ("/getMedia", json!({ "StreamName": stream, "StartSelector": { "StartSelectorType": "EARLIEST" } })),
            ("/listFragments", json!({ "StreamName": stream, "FragmentSelector": selector })),
            ("/getMediaForFragmentList", json!({ "StreamName": stream, "Fragments": [number.as_str()] })),
        ]
    };
    (emulator, calls)
}

async fn assert_refused(client: &Client, path: &str, request: &Value, error_type: &str) {
    let answer = client.call(path, request).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::BAD_REQUEST, error_type), "{path}");
    assert!(answer.json()["Message"].is_string());
}

/// Calls until the call is granted.
async fn granted(client: &Client, path: &str, request: &Value) -> Instant {
    let began = Instant::now();
    while client.open(path, request).await.status() != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(10), "{path} is still refused");
    }
    Instant::now()
}

#[tokio::test]
async fn calls_are_counted_for_each_stream_and_a_second_later_forgotten() {
    let (emulator, calls) = stored(Emulator::builder().end_at_head(true).limits(RARE));
    let client = Client::new(&emulator);
    for (path, request) in calls("demo") {
        let began = Instant::now();
        for _ in 0..2 {
            assert_eq!(client.call(path, &request).await.status, StatusCode::OK, "{path}");
        }
        assert_refused(&client, path, &request, "ClientLimitExceededException").await;
        assert!(granted(&client, path, &request).await >= began + Duration::from_secs(1), "{path}");
    }
    let (path, request) = &calls("other")[0];
    assert_eq!(client.call(path, request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn connections_are_counted_while_their_bodies_last() {
    // So slow that no body ends meanwhile.
    let (emulator, calls) = stored(Emulator::builder().limits(OFTEN).rate(100));
    let client = Client::new(&emulator);
    let [_, get_media, _, list] = calls("demo");
    for ((path, request), most, error_type) in
        [(get_media, 3, "ConnectionLimitExceededException"), (list, 5, "ClientLimitExceededException")]
    {
        let mut open = Vec::new();
        for _ in 0..most {
            let response = client.open(path, &request).await;
            assert_eq!(response.status(), StatusCode::OK);
            open.push(response);
        }
        assert_refused(&client, path, &request, error_type).await;
        open.pop();
        granted(&client, path, &request).await;
    }
    let (path, request) = &calls("other")[1];
    assert_eq!(client.open(path, request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_connection_gets_its_rate_and_no_more() {
    let emulator = Emulator::builder().rate(4_000_000).start().unwrap();
    emulator.serve_verbatim("demo", vec![7; 2_000_000]).unwrap();
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
    let client = Client::new(&emulator);
    let began = Instant::now();
    // Each has its own.
    let (first, second) = tokio::join!(client.call("/getMedia", &request), client.call("/getMedia", &request));
    let elapsed = began.elapsed();
    assert_eq!((first.body.len(), second.body.len()), (2_000_000, 2_000_000));
    // The first and the last piece take no time, and so much may be caught up.
    assert!(elapsed >= Duration::from_millis(400), "2 MB at 4 MB/s came in {elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "2 MB at 4 MB/s came in {elapsed:?}");
}

#[tokio::test]
async fn without_being_asked_for_nothing_is_limited() {
    let (emulator, calls) = stored(Emulator::builder());
    let client = Client::new(&emulator);
    for (path, request) in calls("demo") {
        let mut open = Vec::new();
        for _ in 0..12 {
            open.push(client.open(path, &request).await);
        }
        assert!(open.iter().all(|response| response.status() == StatusCode::OK), "{path}");
    }
    // A body that is held open is still one.
    let (path, request) = &calls("demo")[3];
    let body = client.open(path, request).await.into_body();
    assert!(!body.collect().await.unwrap().to_bytes().is_empty());
    assert!(!Answer::read(client.open(path, request).await).await.body.is_empty());
}
