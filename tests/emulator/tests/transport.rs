//! HTTP/1.1 in the clear, HTTP/1.1 and HTTP/2 under TLS, and many emulators at once.

mod client;
mod media;

use client::{Answer, Client, Signed, streaming};
use hyper::{StatusCode, Version};
use kvs_emulator::{Emulator, Operation};
use media::{chunks, cluster, fragment, header};
use serde_json::json;

async fn round_trip(tls: bool, http2: bool) {
    let emulator = Emulator::builder().tls(tls).end_at_head(true).start().unwrap();
    let scheme = if tls { "https" } else { "http" };
    assert_eq!(emulator.url(), format!("{scheme}://{}", emulator.address()));
    emulator.put_fragment("demo", fragment(0, 0)).unwrap();
    let client = Client { http2, ..Client::new(&emulator) };
    let version = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };

    let endpoint = client.call("/getDataEndpoint", &json!({ "StreamName": "demo", "APIName": "GET_MEDIA" })).await;
    assert_eq!((endpoint.status, endpoint.version), (StatusCode::OK, version));
    assert_eq!(endpoint.json()["DataEndpoint"], emulator.url());

    let producer = client.call("/getDataEndpoint", &json!({ "StreamName": "demo", "APIName": "PUT_MEDIA" })).await;
    assert_eq!(producer.json()["DataEndpoint"], emulator.put_media_url());
    assert_eq!(emulator.put_media_url() == emulator.url(), !tls);

    let headers = [
        ("x-amzn-stream-name", "demo"),
        ("x-amzn-fragment-timecode-type", "RELATIVE"),
        ("x-amzn-producer-start-timestamp", "1700000000"),
    ];
    let (sender, body) = streaming();
    let response = client.send(client.request("/putMedia", &headers, Signed::Unsigned, body)).await;
    sender.send(header()).unwrap();
    sender.send(cluster(0, 3).bytes()).unwrap();
    drop(sender);
    let acknowledged = Answer::read(response).await;
    assert!(String::from_utf8_lossy(&acknowledged.body).contains("PERSISTED"));

    let selector = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let media = client.call("/getMedia", &selector).await;
    assert_eq!((media.status, media.version), (StatusCode::OK, version));
    let blocks: Vec<usize> = chunks(&media.body).iter().map(|chunk| chunk.blocks.len()).collect();
    assert_eq!(blocks, [25, 3]);

    let requests = emulator.requests();
    let operations: Vec<Operation> = requests.iter().map(|request| request.operation).collect();
    let endpoint = Operation::GetDataEndpoint;
    assert_eq!(operations, [endpoint, endpoint, Operation::PutMedia, Operation::GetMedia]);
    assert!(requests.iter().all(|request| request.http_version == version));
    assert!(requests.windows(2).all(|pair| pair[0].connection != pair[1].connection));

    let wrong = Client { secret_key: "another".into(), ..client };
    assert_eq!(wrong.call("/listStreams", &json!({})).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn http1_in_the_clear() {
    round_trip(false, false).await;
}

#[tokio::test]
async fn http1_under_tls() {
    round_trip(true, false).await;
}

#[tokio::test]
async fn http2_under_tls() {
    round_trip(true, true).await;
}

#[tokio::test]
async fn a_large_body_arrives_whole_over_each() {
    for (tls, http2) in [(false, false), (true, false), (true, true)] {
        let emulator = Emulator::builder().tls(tls).start().unwrap();
        let body: bytes::Bytes = (0..2_000_000_u64).flat_map(u64::to_le_bytes).collect();
        emulator.serve_verbatim("demo", body.clone()).unwrap();
        let client = Client { http2, ..Client::new(&emulator) };
        let selector = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
        assert!(client.call("/getMedia", &selector).await.body == body);
    }
}

#[test]
fn where_http1_is_all_there_is_producers_have_no_address_of_their_own() {
    let emulator = Emulator::builder().tls(true).http2(false).start().unwrap();
    assert_eq!(emulator.put_media_url(), emulator.url());
}

#[test]
fn producers_are_waited_for_where_it_is_asked_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Emulator::builder().tls(true).listen_for_put_media(free.local_addr().unwrap()).start();
    assert!(taken.is_err(), "another socket listens there");
    let address = "127.0.0.1:0".parse().unwrap();
    let emulator = Emulator::builder().tls(true).listen_for_put_media(address).start().unwrap();
    assert_ne!(emulator.put_media_url(), emulator.url());
}

#[test]
fn the_authority_is_in_a_file_as_long_as_the_emulator() {
    let emulator = Emulator::builder().tls(true).start().unwrap();
    let path = emulator.ca_file().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), emulator.ca_pem().unwrap());
    assert!(emulator.ca_pem().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    drop(emulator);
    assert!(!path.exists());
    assert!(Emulator::builder().start().unwrap().ca_file().is_none());
}

#[test]
fn many_emulators_run_at_once() {
    let emulators: Vec<Emulator> = (0..32).map(|_| Emulator::builder().start().unwrap()).collect();
    let addresses: std::collections::HashSet<_> = emulators.iter().map(Emulator::address).collect();
    assert_eq!(addresses.len(), 32);
}
