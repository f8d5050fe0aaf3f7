//! GetMedia: its six selectors, its layout, and the live edge.

mod client;
mod media;

use bytes::Bytes;
use client::{Client, capture, read_until};
use http_body_util::BodyExt;
use hyper::StatusCode;
use kvs_emulator::matroska::id;
use kvs_emulator::{Emulator, FragmentInfo, NewFragment};
use media::{Chunk, chunks, cluster, fragment, header};
use serde_json::{Value, json};

/// Five fragments of a second, at 100 s, 101 s, 102 s, 110 s and 111 s; each reaches the service 1000 s later.
fn stored() -> (Emulator, Vec<FragmentInfo>) {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let times = [100_000, 101_000, 102_000, 110_000, 111_000];
    let put = |time| emulator.put_fragment("demo", fragment(time, time + 1_000_000)).unwrap();
    let fragments = times.into_iter().map(put).collect();
    (emulator, fragments)
}

async fn read(emulator: &Emulator, selector: Value) -> Vec<Chunk> {
    let request = json!({ "StreamName": "demo", "StartSelector": selector });
    let answer = Client::new(emulator).call("/getMedia", &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.header("content-type"), "video/webm");
    chunks(&answer.body)
}

async fn assert_begins(emulator: &Emulator, selector: Value, rest: &[FragmentInfo]) {
    let chunks = read(emulator, selector.clone()).await;
    let numbers: Vec<&str> = chunks.iter().map(Chunk::number).collect();
    let wanted: Vec<&str> = rest.iter().map(|fragment| fragment.number.as_str()).collect();
    assert_eq!(numbers, wanted, "{selector}");
}

#[tokio::test]
async fn earliest_begins_at_the_first_fragment_and_now_at_the_last() {
    let (emulator, fragments) = stored();
    assert_begins(&emulator, json!({ "StartSelectorType": "EARLIEST" }), &fragments).await;
    assert_begins(&emulator, json!({ "StartSelectorType": "NOW" }), &fragments[4..]).await;
}

#[tokio::test]
async fn a_fragment_number_begins_behind_it() {
    let (emulator, fragments) = stored();
    for (index, fragment) in fragments.iter().enumerate() {
        let number = fragment.number.as_str();
        let selector = json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": number });
        assert_begins(&emulator, selector, &fragments[index + 1..]).await;
    }
}

#[tokio::test]
async fn a_continuation_token_goes_on_behind_its_chunk() {
    let (emulator, fragments) = stored();
    let all = read(&emulator, json!({ "StartSelectorType": "EARLIEST" })).await;
    let token = all[1].tag("CONTINUATION_TOKEN").unwrap();
    let selector = json!({ "StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": token });
    assert_begins(&emulator, selector, &fragments[2..]).await;
}

#[tokio::test]
async fn timestamps_begin_at_the_fragment_that_contains_them() {
    let (emulator, fragments) = stored();
    for (seconds, first) in
        [(0.0, 0), (100.0, 0), (100.999, 0), (101.0, 1), (102.5, 2), (105.0, 3), (110.999, 3), (111.0, 4), (112.0, 5)]
    {
        for (kind, offset) in [("PRODUCER_TIMESTAMP", 0.0), ("SERVER_TIMESTAMP", 1000.0)] {
            let selector = json!({ "StartSelectorType": kind, "StartTimestamp": seconds + offset });
            assert_begins(&emulator, selector, &fragments[first..]).await;
        }
    }
}

#[tokio::test]
async fn a_selector_that_makes_no_sense_is_refused() {
    let (emulator, _) = stored();
    let client = Client::new(&emulator);
    for selector in [
        json!(null),
        json!({}),
        json!({ "StartSelectorType": "SOMEWHERE" }),
        json!({ "StartSelectorType": "FRAGMENT_NUMBER" }),
        json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "12x" }),
        json!({ "StartSelectorType": "CONTINUATION_TOKEN" }),
        json!({ "StartSelectorType": "PRODUCER_TIMESTAMP" }),
        json!({ "StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": "yesterday" }),
    ] {
        let answer = client.call("/getMedia", &json!({ "StreamName": "demo", "StartSelector": selector })).await;
        let refused = (answer.status, answer.error_type(), answer.header("x-amz-errortype"));
        let wanted = (StatusCode::BAD_REQUEST, "InvalidArgumentException", "InvalidArgumentException");
        assert_eq!(refused, wanted, "{selector}");
    }
    let selector = json!({ "StartSelectorType": "NOW" });
    let answer = client.call("/getMedia", &json!({ "StreamName": "none", "StartSelector": selector })).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::NOT_FOUND, "ResourceNotFoundException"));
}

#[tokio::test]
async fn a_chunk_has_the_services_layout() {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let tags = vec![("place".to_owned(), "entrance".to_owned())];
    emulator.put_fragment("demo", NewFragment { tags, ..fragment(5_005, 1_511_852_109_126) }).unwrap();
    let chunks = read(&emulator, json!({ "StartSelectorType": "EARLIEST" })).await;
    let [chunk] = &chunks[..] else { panic!("one chunk, not {}", chunks.len()) };
    assert_eq!(chunk.layout, [id::INFO, id::TRACKS, id::TAGS, id::TAGS, id::CLUSTER, id::TAGS]);
    let names: Vec<&str> = chunk.tags.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = [
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER",
        "AWS_KINESISVIDEO_SERVER_TIMESTAMP",
        "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP",
        "place",
        "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW",
        "AWS_KINESISVIDEO_CONTINUATION_TOKEN",
    ];
    assert_eq!(names, wanted);
    assert_eq!(chunk.tag("SERVER_TIMESTAMP"), Some("1511852109.126"));
    assert_eq!(chunk.tag("PRODUCER_TIMESTAMP"), Some("5.005"));
    assert_eq!(chunk.tag("CONTINUATION_TOKEN"), Some(chunk.number()));
    assert_eq!(chunk.number().len(), 47);
    assert!(chunk.tag("MILLIS_BEHIND_NOW").unwrap().parse::<u64>().unwrap() > 1_000_000);
}

/// What a capture says, but for what depends on the moment of reading.
fn said(body: &Bytes) -> Vec<Chunk> {
    let mut chunks = chunks(body);
    for chunk in &mut chunks {
        chunk.tags.retain(|(name, _)| name != "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW");
    }
    chunks
}

#[tokio::test]
async fn captures_are_served_as_the_service_served_them() {
    for (name, fragments, blocks) in [
        ("output_get_media.mkv", 5, 300),
        ("output_get_media_sparse_fragments.mkv", 3, 180),
        ("test_mixed_tags.mkv", 10, 100),
    ] {
        let Some(bytes) = capture(name) else { return };
        let emulator = Emulator::builder().end_at_head(true).start().unwrap();
        assert_eq!(emulator.import_bytes("demo", bytes.clone()).unwrap().len(), fragments);
        let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
        let body = Client::new(&emulator).call("/getMedia", &request).await.body;
        let (wanted, served) = (said(&bytes), said(&body));
        assert_eq!(wanted.iter().map(|chunk| chunk.blocks.len()).sum::<usize>(), blocks);
        assert_eq!(served, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_capture_without_media_is_one_empty_fragment() {
    let Some(bytes) = capture("empty-mkv-with-tags.mkv") else { return };
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let [info] = &emulator.import_bytes("demo", bytes).unwrap()[..] else { panic!("one fragment") };
    assert_eq!(info.number.as_str(), "91343852338378294813695855977007281634605393997");
    assert_eq!((info.producer_timestamp, info.server_timestamp), (1_515_865_326_543, 1_516_124_526_822));
    assert_eq!(info.duration, Some(0));
}

#[tokio::test]
async fn a_body_is_served_verbatim() {
    let emulator = Emulator::builder().start().unwrap();
    let body: Bytes = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    emulator.serve_verbatim("demo", body.clone()).unwrap();
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
    assert!(Client::new(&emulator).call("/getMedia", &request).await.body == body);
}

#[tokio::test]
async fn a_reader_follows_the_live_edge_byte_by_byte() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream("demo").unwrap();
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
    let mut body = Client::new(&emulator).open("/getMedia", &request).await.into_body();
    let mut seen = Vec::new();

    let mut open = emulator.open_fragment("demo", NewFragment { header: header(), ..NewFragment::default() }).unwrap();
    read_until(&mut body, &mut seen, b"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP").await;
    assert!(!contains(&seen, b"frame 0"));
    let bytes = cluster(0, 2).bytes();
    for byte in &bytes {
        open.write(vec![*byte]);
    }
    read_until(&mut body, &mut seen, b"frame 1 at 0").await;
    assert!(!contains(&seen, b"CONTINUATION_TOKEN"));
    let first = open.finish();
    read_until(&mut body, &mut seen, b"CONTINUATION_TOKEN").await;
    read_until(&mut body, &mut seen, first.number.as_str().as_bytes()).await;

    emulator.put_fragment("demo", NewFragment { media: cluster(1000, 1).bytes(), ..fragment(1, 1) }).unwrap();
    read_until(&mut body, &mut seen, b"frame 0 at 1000").await;
    emulator.set_end_at_head("demo", true).unwrap();
    let rest = body.collect().await.unwrap().to_bytes();
    let whole = chunks(&[seen.as_slice(), &rest].concat().into());
    let blocks: Vec<usize> = whole.iter().map(|chunk| chunk.blocks.len()).collect();
    assert_eq!(blocks, [2, 1]);
}

#[tokio::test]
async fn a_fragment_that_is_thrown_away_cuts_its_readers_off() {
    let emulator = Emulator::builder().start().unwrap();
    let open = emulator.open_fragment("demo", fragment(1, 1)).unwrap();
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let mut body = Client::new(&emulator).open("/getMedia", &request).await.into_body();
    read_until(&mut body, &mut Vec::new(), b"frame 24").await;
    drop(open);
    assert!(body.collect().await.is_err());
    assert_eq!(emulator.fragments("demo").unwrap(), []);
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
