//! The archive: ListFragments and GetMediaForFragmentList.

mod client;
mod media;

use std::collections::BTreeSet;
use std::time::Duration;

use client::{Answer, Client, capture};
use hyper::StatusCode;
use kvs_emulator::matroska::id;
use kvs_emulator::{ArchiveTags, Builder, Emulator, FragmentInfo, NewFragment, StreamSettings};
use media::{Chunk, chunks, fragment};
use serde_json::{Value, json};

/// Fragments of a second, at 100 s, 101 s and so on; each reaches the service 1000 s later.
fn stored(builder: Builder, count: u64) -> (Emulator, Vec<FragmentInfo>) {
    let emulator = builder.end_at_head(true).start().unwrap();
    let put = |second: u64| emulator.put_fragment("demo", fragment(second * 1000, (1000 + second) * 1000)).unwrap();
    let fragments = (100..100 + count).map(put).collect();
    (emulator, fragments)
}

fn range(origin: &str, start: f64, end: f64) -> Value {
    json!({
        "StreamName": "demo",
        "FragmentSelector": {
            "FragmentSelectorType": origin,
            "TimestampRange": { "StartTimestamp": start, "EndTimestamp": end },
        },
    })
}

fn with(mut request: Value, name: &str, value: impl Into<Value>) -> Value {
    request[name] = value.into();
    request
}

async fn list(emulator: &Emulator, request: &Value) -> Value {
    let answer = Client::new(emulator).call("/listFragments", request).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    answer.json()
}

/// Every page's fragments.
async fn pages(emulator: &Emulator, request: Value) -> Vec<Vec<Value>> {
    let (mut pages, mut request) = (Vec::new(), request);
    loop {
        let page = list(emulator, &request).await;
        pages.push(page["Fragments"].as_array().unwrap().clone());
        match &page["NextToken"] {
            Value::Null => return pages,
            token => request = json!({ "StreamName": "demo", "MaxResults": request["MaxResults"], "NextToken": token }),
        }
    }
}

fn numbers(fragments: &[Value]) -> Vec<String> {
    fragments.iter().map(|fragment| fragment["FragmentNumber"].as_str().unwrap().to_owned()).collect()
}

fn sorted(mut numbers: Vec<String>) -> Vec<String> {
    numbers.sort_unstable();
    numbers
}

fn wanted(fragments: &[FragmentInfo]) -> Vec<String> {
    fragments.iter().map(|fragment| fragment.number.to_string()).collect()
}

async fn get(emulator: &Emulator, numbers: &[impl AsRef<str>]) -> Answer {
    let numbers: Vec<&str> = numbers.iter().map(AsRef::as_ref).collect();
    let request = json!({ "StreamName": "demo", "Fragments": numbers });
    Client::new(emulator).call("/getMediaForFragmentList", &request).await
}

fn assert_error(answer: &Answer, status: StatusCode, error_type: &str) {
    assert_eq!((answer.status, answer.error_type()), (status, error_type), "{:?}", answer.body);
    assert!(answer.json()["Message"].is_string());
}

#[tokio::test]
async fn fragments_that_begin_in_the_closed_range_are_listed() {
    let (emulator, fragments) = stored(Emulator::builder(), 5);
    for (start, end, found) in [
        (0.0, 1e9, 0..5),
        (101.0, 103.0, 1..4),
        (100.001, 103.0, 1..4),
        (100.001, 102.999, 1..3),
        (101.0, 101.0, 1..2),
        (101.5, 101.9, 0..0),
        (200.0, 300.0, 0..0),
    ] {
        for (origin, offset) in [("PRODUCER_TIMESTAMP", 0.0), ("SERVER_TIMESTAMP", 1000.0)] {
            let page = list(&emulator, &range(origin, start + offset, end + offset)).await;
            assert_eq!(page["NextToken"], Value::Null);
            let listed = sorted(numbers(page["Fragments"].as_array().unwrap()));
            assert_eq!(listed, wanted(&fragments[found.clone()]), "{start} to {end}");
        }
    }
}

#[tokio::test]
async fn a_listed_fragment_has_every_member() {
    let (emulator, fragments) = stored(Emulator::builder(), 1);
    let arn = emulator.arn("demo").unwrap();
    let mut request = with(range("PRODUCER_TIMESTAMP", 0.0, 1000.0), "StreamARN", arn);
    request.as_object_mut().unwrap().remove("StreamName");
    let wanted = json!({
        "FragmentNumber": fragments[0].number.as_str(),
        "FragmentSizeInBytes": fragments[0].size,
        "ProducerTimestamp": 100.0,
        "ServerTimestamp": 1100.0,
        "FragmentLengthInMilliseconds": 1000,
    });
    assert_eq!(list(&emulator, &request).await, json!({ "Fragments": [wanted], "NextToken": null }));
}

#[tokio::test]
async fn pages_hold_every_fragment_once_and_in_no_order() {
    let (emulator, fragments) = stored(Emulator::builder(), 250);
    let request = with(range("SERVER_TIMESTAMP", 0.0, 1e9), "MaxResults", 40);
    let found = pages(&emulator, request.clone()).await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40, 40, 40, 40, 40, 10]);
    let listed: Vec<String> = found.iter().flat_map(|page| numbers(page)).collect();
    assert_eq!(sorted(listed.clone()), wanted(&fragments));
    for page in &found {
        let page = numbers(page);
        assert_ne!(page, sorted(page.clone()), "a page is in order");
    }
    // Across pages too: the first does not hold the first fragments.
    assert_ne!(sorted(numbers(&found[0])), wanted(&fragments[..40]));
    assert_eq!(pages(&emulator, request).await, found, "the same call gives the same order");
    // A hundred where nothing is said, up to a thousand where it is.
    let all = range("SERVER_TIMESTAMP", 0.0, 1e9);
    assert_eq!(list(&emulator, &all).await["Fragments"].as_array().unwrap().len(), 100);
    let page = list(&emulator, &with(all, "MaxResults", 1000)).await;
    assert_eq!((page["Fragments"].as_array().unwrap().len(), &page["NextToken"]), (250, &Value::Null));

    // A fragment that vanishes or comes between two pages moves no other.
    let first = list(&emulator, &with(range("SERVER_TIMESTAMP", 0.0, 1e9), "MaxResults", 40)).await;
    emulator.delete_oldest_fragments("demo", 50).unwrap();
    emulator.put_fragment("demo", fragment(2_000_000_000_000, 2_000_000_000_000)).unwrap();
    let token = first["NextToken"].clone();
    let rest = pages(&emulator, json!({ "StreamName": "demo", "MaxResults": 1000, "NextToken": token })).await;
    let seen: BTreeSet<String> =
        numbers(first["Fragments"].as_array().unwrap()).into_iter().chain(numbers(&rest.concat())).collect();
    assert!(wanted(&fragments[50..]).iter().all(|number| seen.contains(number)));
}

#[tokio::test]
async fn another_seed_is_another_order() {
    let mut orders = Vec::new();
    for seed in [0, 7, 0] {
        let emulator = Emulator::builder().shuffle(seed).start().unwrap();
        for number in 1000..1050_u64 {
            let number = number.to_string().parse().ok();
            emulator.put_fragment("demo", NewFragment { number, ..fragment(1, 1) }).unwrap();
        }
        orders.push(numbers(&pages(&emulator, range("SERVER_TIMESTAMP", 0.0, 1.0)).await.concat()));
    }
    assert_eq!(orders[0].len(), 50);
    assert_eq!(orders[0], orders[2]);
    assert_ne!(orders[0], orders[1]);
    assert_eq!(sorted(orders[0].clone()), sorted(orders[1].clone()));
}

#[tokio::test]
async fn a_fragment_reaches_the_archive_whole_and_late() {
    let (emulator, fragments) = stored(Emulator::builder(), 2);
    let open = emulator.open_fragment("demo", fragment(105_000, 1_105_000)).unwrap();
    let number = open.info().number.to_string();
    let all = range("SERVER_TIMESTAMP", 0.0, 1e9);
    assert_eq!(pages(&emulator, all.clone()).await[0].len(), 2);
    assert_eq!(chunks(&get(&emulator, &[&number]).await.body)[0].tag("ERROR_ID"), Some("3000"));
    open.finish();
    assert_eq!(pages(&emulator, all.clone()).await[0].len(), 3);
    assert_eq!(chunks(&get(&emulator, &[&number]).await.body)[0].blocks.len(), 25);

    emulator.set_archive_delay("demo", Duration::from_secs(3600)).unwrap();
    assert_eq!(pages(&emulator, all.clone()).await[0].len(), 0);
    assert_eq!(chunks(&get(&emulator, &[&number]).await.body)[0].tag("ERROR_ID"), Some("3000"));
    emulator.set_archive_delay("demo", Duration::ZERO).unwrap();
    let listed = sorted(numbers(&pages(&emulator, all).await[0]));
    assert_eq!(listed, [wanted(&fragments), vec![number]].concat());
}

#[tokio::test]
async fn a_range_that_ends_before_the_retention_is_refused_by_server_time_only() {
    let (emulator, _) = stored(Emulator::builder(), 2);
    emulator.set_retention("demo", Some(Duration::from_secs(3600))).unwrap();
    let client = Client::new(&emulator);
    let answer = client.call("/listFragments", &range("SERVER_TIMESTAMP", 0.0, 2000.5)).await;
    assert_error(&answer, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    assert_eq!(answer.json()["Message"], "End timestamp 2000500 is outside of the stream retention period.");
    let page = list(&emulator, &range("PRODUCER_TIMESTAMP", 0.0, 2000.0)).await;
    assert_eq!(page["Fragments"], json!([]));
    assert_eq!(list(&emulator, &range("SERVER_TIMESTAMP", 0.0, 1e10)).await["Fragments"], json!([]));

    // A stream without retention has no archive.
    let settings = StreamSettings { retention_hours: 0, ..StreamSettings::default() };
    emulator.create_stream_with("passing", settings).unwrap();
    let number = emulator.put_fragment("passing", fragment(1, 1)).unwrap().number;
    let request = with(range("SERVER_TIMESTAMP", 0.0, 1e9), "StreamName", "passing");
    let answer = client.call("/listFragments", &request).await;
    assert_error(&answer, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    let request = json!({ "StreamName": "passing", "Fragments": [number.as_str()] });
    let answer = client.call("/getMediaForFragmentList", &request).await;
    assert_eq!(chunks(&answer.body)[0].tag("ERROR_CODE"), Some("FRAGMENT_NOT_FOUND"));
}

#[tokio::test]
async fn media_comes_in_the_order_asked_for() {
    let (emulator, fragments) = stored(Emulator::builder(), 5);
    let asked: Vec<String> = [3, 0, 4, 0].iter().map(|index| fragments[*index].number.to_string()).collect();
    let answer = get(&emulator, &asked).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "video/webm"));
    let chunks = chunks(&answer.body);
    assert_eq!(chunks.iter().map(Chunk::number).collect::<Vec<_>>(), asked);
    assert_eq!(chunks[0].layout, [id::INFO, id::TRACKS, id::TAGS, id::CLUSTER]);
    assert_eq!(chunks[0].tags.len(), 3);
    assert_eq!(chunks[0].tag("SERVER_TIMESTAMP"), Some("1103.000"));
    assert_eq!(chunks[0].tag("PRODUCER_TIMESTAMP"), Some("103.000"));
    assert_eq!(chunks[0].blocks.len(), 25);
}

#[tokio::test]
async fn tags_are_spelt_as_in_the_reference_where_that_is_chosen() {
    let (emulator, fragments) = stored(Emulator::builder().archive_tags(ArchiveTags::Reference), 1);
    let chunks = chunks(&get(&emulator, &[fragments[0].number.as_str(), "7"]).await.body);
    let names: Vec<&str> = chunks.iter().flat_map(|chunk| &chunk.tags).map(|(name, _)| name.as_str()).collect();
    let wanted = [
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER",
        "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP",
        "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP",
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER",
        "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE",
        "AWS_KINESISVIDEO_EXCEPTION_MESSAGE",
    ];
    assert_eq!(names, wanted);
    assert_eq!((chunks[1].number(), chunks[1].tag("EXCEPTION_ERROR_CODE")), ("7", Some("3000")));
}

#[tokio::test]
async fn a_missing_fragment_is_said_to_be_and_the_rest_comes() {
    let (emulator, fragments) = stored(Emulator::builder(), 4);
    emulator.delete_fragments("demo", &[fragments[1].number.clone()]).unwrap();
    let found = chunks(&get(&emulator, &wanted(&fragments)).await.body);
    assert_eq!(found.iter().map(Chunk::number).collect::<Vec<_>>(), wanted(&fragments));
    assert_eq!(found.iter().map(|chunk| chunk.blocks.len()).collect::<Vec<_>>(), [25, 0, 25, 25]);
    let missing = [
        ("AWS_KINESISVIDEO_ERROR_CODE", "FRAGMENT_NOT_FOUND"),
        ("AWS_KINESISVIDEO_ERROR_ID", "3000"),
        ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", fragments[1].number.as_str()),
    ];
    assert_eq!(found[1].tags, missing.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(found[1].layout, [id::TAGS]);
}

#[tokio::test]
async fn a_missing_fragment_ends_the_body_where_that_is_chosen() {
    let (emulator, fragments) = stored(Emulator::builder().end_at_missing(true), 4);
    emulator.delete_fragments("demo", &[fragments[1].number.clone()]).unwrap();
    let found = chunks(&get(&emulator, &wanted(&fragments)).await.body);
    assert_eq!(found.iter().map(Chunk::number).collect::<Vec<_>>(), wanted(&fragments[..2]));
}

#[tokio::test]
async fn a_capture_is_served_as_it_was_stored() {
    let Some(bytes) = capture("output_get_media.mkv") else { return };
    let emulator = Emulator::builder().start().unwrap();
    let fragments = emulator.import_bytes("demo", bytes.clone()).unwrap();
    let found = chunks(&get(&emulator, &wanted(&fragments)).await.body);
    let stored = chunks(&bytes);
    assert_eq!(found.len(), stored.len());
    for (found, stored) in found.iter().zip(&stored) {
        assert_eq!((&found.clusters, &found.blocks), (&stored.clusters, &stored.blocks));
        for name in ["FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"] {
            assert_eq!(found.tag(name), stored.tag(name));
        }
        assert_eq!(found.tag("CONTINUATION_TOKEN"), None);
    }
}

#[tokio::test]
async fn calls_that_make_no_sense_are_refused() {
    let (emulator, fragments) = stored(Emulator::builder(), 200);
    emulator.put_fragment("other", NewFragment { number: "5".parse().ok(), ..fragment(0, 0) }).unwrap();
    let arn = emulator.arn("demo").unwrap();
    let client = Client::new(&emulator);
    let all = range("SERVER_TIMESTAMP", 0.0, 1e9);
    let token = list(&emulator, &all).await["NextToken"].as_str().unwrap().to_owned();
    let no_range = json!({ "StreamName": "demo", "FragmentSelector": { "FragmentSelectorType": "SERVER_TIMESTAMP" } });
    let refused = [
        with(all.clone(), "MaxResults", 0),
        with(all.clone(), "MaxResults", 1001),
        with(all.clone(), "NextToken", "zz"),
        with(all.clone(), "StreamARN", arn),
        json!({ "StreamName": "other", "NextToken": token }),
        json!({ "StreamName": "demo" }),
        range("SERVER", 0.0, 1.0),
        range("SERVER_TIMESTAMP", 2.0, 1.0),
        no_range,
    ];
    for request in refused {
        let answer = client.call("/listFragments", &request).await;
        assert_error(&answer, StatusCode::BAD_REQUEST, "InvalidArgumentException");
        assert_eq!(answer.header("x-amz-errortype"), "InvalidArgumentException");
    }
    let many: Vec<String> = (0..1001).map(|number: u32| number.to_string()).collect();
    for fragments in [json!([]), json!(["12a"]), json!([""]), json!([7]), json!("7"), json!(many), json!(["5"])] {
        let request = json!({ "StreamName": "demo", "Fragments": fragments });
        let answer = client.call("/getMediaForFragmentList", &request).await;
        assert_error(&answer, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    }
    let missing = with(all, "StreamName", "missing");
    let answer = client.call("/listFragments", &missing).await;
    assert_error(&answer, StatusCode::NOT_FOUND, "ResourceNotFoundException");
    let request = json!({ "StreamName": "missing", "Fragments": [fragments[0].number.as_str()] });
    let answer = client.call("/getMediaForFragmentList", &request).await;
    assert_error(&answer, StatusCode::NOT_FOUND, "ResourceNotFoundException");
}
