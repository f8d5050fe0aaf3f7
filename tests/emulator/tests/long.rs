//! A day of fragments that are made when they are read.

mod client;
mod media;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Client, capture};
use hyper::StatusCode;
use kvs_emulator::{Emulator, Error, Fault, FragmentNumber, LongStream, Repeat};
use media::{Chunk, chunks, cluster, fragment, header};
use serde_json::{Value, json};

/// 2023-11-14, in milliseconds since 1970.
const START: u64 = 1_700_000_000_000;
/// A day of two seconds each.
const DAY: u64 = 43_200;

fn recording() -> Vec<u8> {
    [header(), cluster(0, 50).bytes()].concat()
}

fn long() -> LongStream {
    LongStream::new(recording()).unwrap().start(START)
}

fn day() -> Emulator {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    emulator.put_long_stream("demo", long().upload(250)).unwrap();
    emulator
}

async fn list(emulator: &Emulator, start: u64, end: u64) -> Vec<Value> {
    let client = Client::new(emulator);
    let range = json!({ "StartTimestamp": start as f64 / 1000.0, "EndTimestamp": end as f64 / 1000.0 });
    let selector = json!({ "FragmentSelectorType": "PRODUCER_TIMESTAMP", "TimestampRange": range });
    let mut request = json!({ "StreamName": "demo", "MaxResults": 1000, "FragmentSelector": selector });
    let mut listed = Vec::new();
    loop {
        let page = client.call("/listFragments", &request).await.json();
        listed.extend(page["Fragments"].as_array().unwrap().clone());
        match page["NextToken"].clone() {
            Value::Null => return listed,
            token => request["NextToken"] = token,
        }
    }
}

fn number(fragment: &Value) -> &str {
    fragment["FragmentNumber"].as_str().unwrap()
}

async fn fetch(emulator: &Emulator, numbers: &[&str]) -> Vec<Chunk> {
    let request = json!({ "StreamName": "demo", "Fragments": numbers });
    let answer = Client::new(emulator).call("/getMediaForFragmentList", &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    chunks(&answer.body)
}

/// The first so many fragments that GetMedia gives.
async fn get(emulator: &Emulator, selector: Value, count: u64) -> Vec<Chunk> {
    emulator.set_fault("demo", Fault::EndAfterFragments(count), Repeat::Once);
    let request = json!({ "StreamName": "demo", "StartSelector": selector });
    let answer = Client::new(emulator).call("/getMedia", &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    chunks(&answer.body)
}

fn producer(chunk: &Chunk) -> u64 {
    chunk.tag("PRODUCER_TIMESTAMP").unwrap().replace('.', "").parse().unwrap()
}

#[tokio::test]
async fn a_day_is_listed_and_every_fragment_of_it_once() {
    let emulator = day();
    let listed = list(&emulator, 0, START * 2).await;
    assert_eq!(listed.len() as u64, DAY);
    let numbers: BTreeSet<FragmentNumber> = listed.iter().map(|one| number(one).parse().unwrap()).collect();
    assert_eq!(numbers.len() as u64, DAY);
    let infos = emulator.fragments("demo").unwrap();
    assert!(infos.iter().map(|info| &info.number).eq(numbers.iter()));
    let last = &infos[infos.len() - 1];
    assert_eq!(last.producer_timestamp, START + (DAY - 1) * 2000);
    assert_eq!(last.server_timestamp, last.producer_timestamp + 250);

    let hour = list(&emulator, START + 3_600_000, START + 7_200_000).await;
    assert_eq!(hour.len(), 1801);
    let in_order = |times: &[f64]| times.windows(2).all(|pair| pair[0] <= pair[1]);
    assert!(!in_order(&hour.iter().map(|one| one["ProducerTimestamp"].as_f64().unwrap()).collect::<Vec<_>>()));
    assert!(hour.iter().all(|one| one["FragmentLengthInMilliseconds"] == 2000));
}

#[tokio::test]
async fn fragments_of_a_day_are_fetched_and_differ_in_their_times_only() {
    let emulator = day();
    let infos = emulator.fragments("demo").unwrap();
    let template = &chunks(&recording().into())[0];
    let indexes = [43_199, 0, 1, 20_000];
    let numbers: Vec<&str> = indexes.iter().map(|index| infos[*index].number.as_str()).collect();
    let found = fetch(&emulator, &numbers).await;
    assert_eq!(found.iter().map(Chunk::number).collect::<Vec<_>>(), numbers);
    for (chunk, index) in found.iter().zip(indexes) {
        let begin = index as u64 * 2000;
        assert_eq!((producer(chunk), &chunk.clusters[..]), (START + begin, &[begin][..]));
        let moved = template
            .blocks
            .iter()
            .map(|(track, time, keyframe, frame)| (*track, time + begin as i64, *keyframe, frame.clone()));
        assert!(chunk.blocks.iter().cloned().eq(moved));
    }
    // A fragment is as large as it is listed.
    let request = json!({ "StreamName": "demo", "Fragments": [numbers[0]] });
    let body = Client::new(&emulator).call("/getMediaForFragmentList", &request).await.body;
    let tags = found[0].tags.clone();
    assert_eq!(body.len(), infos[43_199].size + kvs_emulator::matroska::tags(&tags).len());
}

#[tokio::test]
async fn get_media_begins_anywhere_in_a_day() {
    let emulator = day();
    let infos = emulator.fragments("demo").unwrap();
    for (selector, first, count) in [
        (json!({ "StartSelectorType": "EARLIEST" }), 0, 3),
        (json!({ "StartSelectorType": "NOW" }), 43_199, 1),
        (json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": 1_700_000_000 }), 0, 2),
        (json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": 1_700_000_003.999 }), 1, 2),
        (json!({ "StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": 1_700_000_004.249 }), 1, 2),
        (json!({ "StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": 1_700_000_004.25 }), 2, 2),
        (json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": 1000 }), 0, 2),
        (json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": 1_700_086_399.9 }), 43_199, 1),
        (json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": 1_700_086_400 }), 43_200, 0),
        (json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": infos[6].number.as_str() }), 7, 4),
        (
            json!({ "StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": infos[43_198].number.as_str() }),
            43_199,
            1,
        ),
    ] {
        let found = get(&emulator, selector.clone(), 4).await;
        let wanted: Vec<&str> = infos[first..].iter().take(4).map(|info| info.number.as_str()).collect();
        assert_eq!(found.iter().map(Chunk::number).collect::<Vec<_>>(), wanted, "{selector}");
        assert!(found.len() >= count, "{selector}");
        emulator.clear_faults("demo");
    }
}

#[tokio::test]
async fn a_generator_draws_into_each_fragment() {
    let drawn = Arc::new(AtomicU64::new(0));
    let draw = {
        let drawn = Arc::clone(&drawn);
        move |index: u64| {
            drawn.fetch_add(1, Ordering::Relaxed);
            let frame = format!("picture {}", "x".repeat(index as usize));
            kvs_emulator::media::Cluster::new(0).simple_block(1, 0, true, frame.as_bytes()).bytes()
        }
    };
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let few = long().fragments(10).length(1000).absolute(true).first_number("7".parse().unwrap());
    emulator.put_long_stream("demo", few.clone().generator(draw.clone())).unwrap();
    let listed = list(&emulator, START, START + 9000).await;
    assert_eq!((listed.len(), drawn.load(Ordering::Relaxed)), (10, 10));
    list(&emulator, START, START + 9000).await;
    assert_eq!(drawn.load(Ordering::Relaxed), 10, "a size is not worked out twice");
    let found = fetch(&emulator, &["7", "16", "10"]).await;
    for (chunk, index) in found.iter().zip([0, 9, 3]) {
        assert_eq!(chunk.clusters, [START + index * 1000]);
        assert!(chunk.blocks[0].3 == format!("picture {}", "x".repeat(index as usize)));
        let size = |number: &str| {
            let listed = listed.iter().find(|one| one["FragmentNumber"] == number);
            listed.and_then(|one| one["FragmentSizeInBytes"].as_u64()).unwrap()
        };
        assert_eq!(size(chunk.number()), size("7") + index);
    }

    drawn.store(0, Ordering::Relaxed);
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    emulator.put_long_stream("demo", few.generator(draw).listed_size(12_345)).unwrap();
    assert!(list(&emulator, START, START + 9000).await.iter().all(|one| one["FragmentSizeInBytes"] == 12_345));
    assert_eq!(drawn.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_day_expires_is_deleted_and_goes_on() {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    // It ends now.
    emulator.put_long_stream("demo", LongStream::new(recording()).unwrap()).unwrap();
    let infos = emulator.fragments("demo").unwrap();
    let end = infos[43_199].producer_timestamp + 2000;
    assert!(end >= now && end < now + 60_000, "{end}");
    emulator.set_retention("demo", Some(Duration::from_secs(3600))).unwrap();
    let kept = emulator.fragments("demo").unwrap();
    assert!((1770..=1800).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), infos.last());
    assert_eq!(fetch(&emulator, &[infos[0].number.as_str()]).await[0].tag("ERROR_ID"), Some("3000"));
    let gone = json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": infos[0].number.as_str() });
    assert_eq!(get(&emulator, gone, 1).await[0].tag("ERROR_ID"), Some("4000"));
    emulator.clear_faults("demo");

    emulator.set_retention("demo", None).unwrap();
    let last = infos.len();
    assert_eq!(emulator.delete_fragments_up_to("demo", &infos[last - 4].number).unwrap(), kept.len() - 3);
    assert_eq!(emulator.delete_fragments("demo", &[infos[last - 2].number.clone()]).unwrap(), 1);
    let put = emulator.put_fragment("demo", fragment(end, end)).unwrap();
    let wanted = [&infos[last - 3], &infos[last - 1], &put];
    assert!(emulator.fragments("demo").unwrap().iter().eq(wanted));
    let found = get(&emulator, json!({ "StartSelectorType": "EARLIEST" }), 9).await;
    let numbers: Vec<&str> = wanted.iter().map(|info| info.number.as_str()).collect();
    assert_eq!(found.iter().map(Chunk::number).collect::<Vec<_>>(), numbers);
    emulator.clear_faults("demo");
    let missing = infos[last - 2].producer_timestamp as f64 / 1000.0;
    let selector = json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": missing });
    assert_eq!(get(&emulator, selector, 9).await[0].number(), numbers[1]);
    assert_eq!(emulator.delete_oldest_fragments("demo", 2).unwrap(), 2);
    assert!(emulator.fragments("demo").unwrap().iter().eq([&put]));
}

#[tokio::test]
async fn a_real_fragment_is_a_template() {
    let Some(bytes) = capture("output_get_media.mkv") else { return };
    let template = chunks(&bytes).remove(0);
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    emulator.put_long_stream("demo", LongStream::new(bytes).unwrap()).unwrap();
    let infos = emulator.fragments("demo").unwrap();
    assert!((43_100..43_300).contains(&infos.len()), "{}", infos.len());
    let found = fetch(&emulator, &[infos[100].number.as_str()]).await.remove(0);
    assert_eq!(found.blocks.len(), template.blocks.len());
    assert!(found.blocks.iter().zip(&template.blocks).all(|(found, template)| found.3 == template.3));
}

#[test]
fn a_stream_that_has_fragments_or_media_that_is_none_is_refused() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.put_fragment("demo", fragment(0, 0)).unwrap();
    assert!(matches!(emulator.put_long_stream("demo", long()), Err(Error::NotEmpty(_))));
    assert!(LongStream::new(header()).is_err());
    assert!(LongStream::new("no Matroska").is_err());
}
