//! Fragments vanish by age or when told, and GetMedia goes on, or says that its start is gone.

mod client;
mod media;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{Answer, Client, read_until};
use http_body_util::BodyExt;
use hyper::StatusCode;
use kvs_emulator::{Emulator, FragmentInfo, MissingStart, NewFragment};
use media::{Chunk, chunks, cluster, fragment, header};
use serde_json::{Value, json};

/// Five fragments of a second at 0 s to 4 s.
fn stored(missing: Option<MissingStart>) -> (Emulator, Vec<FragmentInfo>) {
    let builder = Emulator::builder().end_at_head(true);
    let builder = missing.map_or(builder.clone(), |missing| builder.missing_start(missing));
    let emulator = builder.start().unwrap();
    let put = |second: u64| emulator.put_fragment("demo", fragment(second * 1000, second * 1000)).unwrap();
    let fragments = (0..5).map(put).collect();
    (emulator, fragments)
}

async fn get(emulator: &Emulator, selector: Value) -> Answer {
    let request = json!({ "StreamName": "demo", "StartSelector": selector });
    Client::new(emulator).call("/getMedia", &request).await
}

fn after(number: &str) -> [Value; 2] {
    [
        json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": number }),
        json!({ "StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": number }),
    ]
}

fn numbers(answer: &Answer) -> Vec<String> {
    chunks(&answer.body).iter().map(|chunk| chunk.number().to_owned()).collect()
}

fn wanted(fragments: &[FragmentInfo]) -> Vec<String> {
    fragments.iter().map(|fragment| fragment.number.to_string()).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[tokio::test]
async fn fragments_are_deleted_when_told() {
    let (emulator, fragments) = stored(None);
    assert_eq!(emulator.delete_fragments("demo", &[fragments[2].number.clone()]).unwrap(), 1);
    assert_eq!(emulator.delete_fragments("demo", &[fragments[2].number.clone()]).unwrap(), 0);
    assert_eq!(emulator.delete_oldest_fragments("demo", 1).unwrap(), 1);
    assert_eq!(emulator.fragments("demo").unwrap(), [&fragments[1..2], &fragments[3..]].concat());
    assert_eq!(emulator.delete_fragments_up_to("demo", &fragments[2].number).unwrap(), 1);
    let answer = get(&emulator, json!({ "StartSelectorType": "EARLIEST" })).await;
    assert_eq!(numbers(&answer), wanted(&fragments[3..]));
    assert_eq!(emulator.delete_oldest_fragments("demo", 9).unwrap(), 2);
    assert_eq!(emulator.fragments("demo").unwrap(), []);
    // A number is not used again.
    assert!(emulator.put_fragment("demo", fragment(9, 9)).unwrap().number > fragments[4].number);
}

#[tokio::test]
async fn fragments_vanish_when_their_retention_is_over() {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let begin = now();
    for age in [7_200_000, 3_700_000, 3_500_000, 0] {
        emulator.put_fragment("demo", fragment(begin, begin - age)).unwrap();
    }
    assert_eq!(emulator.fragments("demo").unwrap().len(), 4);
    emulator.set_retention("demo", Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(emulator.fragments("demo").unwrap().len(), 2);
    let answer = get(&emulator, json!({ "StartSelectorType": "EARLIEST" })).await;
    assert_eq!(chunks(&answer.body).len(), 2);

    emulator.set_retention("demo", Some(Duration::from_millis(400))).unwrap();
    let began = Instant::now();
    while !emulator.fragments("demo").unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "the last fragment is still there");
        tokio::task::yield_now().await;
    }
    assert!(now() >= begin + 400);
    emulator.set_retention("demo", None).unwrap();
    emulator.put_fragment("demo", fragment(0, 0)).unwrap();
    assert_eq!(emulator.fragments("demo").unwrap().len(), 1);
}

#[tokio::test]
async fn a_start_that_is_gone_is_answered_with_the_error_tags() {
    let (emulator, fragments) = stored(None);
    emulator.delete_oldest_fragments("demo", 2).unwrap();
    for selector in after(fragments[1].number.as_str()).iter().chain(&after("1")) {
        let answer = get(&emulator, selector.clone()).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "video/webm"));
        let [chunk] = &chunks(&answer.body)[..] else { panic!("one document") };
        assert_eq!(chunk.tags.len(), 2);
        assert_eq!((chunk.tag("ERROR_ID"), chunk.tag("ERROR_CODE")), (Some("4000"), Some("FRAGMENT_NOT_FOUND")));
    }
    for selector in after(fragments[2].number.as_str()) {
        assert_eq!(numbers(&get(&emulator, selector).await), wanted(&fragments[3..]));
    }
}

#[tokio::test]
async fn a_start_that_is_gone_is_refused_where_that_is_chosen() {
    let (emulator, fragments) = stored(Some(MissingStart::InvalidArgument));
    emulator.delete_oldest_fragments("demo", 1).unwrap();
    for selector in after(fragments[0].number.as_str()) {
        let answer = get(&emulator, selector).await;
        assert_eq!((answer.status, answer.error_type()), (StatusCode::BAD_REQUEST, "InvalidArgumentException"));
    }
}

#[tokio::test]
async fn a_start_that_is_gone_is_passed_over_where_that_is_chosen() {
    let (emulator, fragments) = stored(Some(MissingStart::InvalidArgument));
    emulator.set_missing_start("demo", MissingStart::GoOn).unwrap();
    emulator.delete_oldest_fragments("demo", 3).unwrap();
    for selector in after(fragments[0].number.as_str()).iter().chain(&after("1")) {
        assert_eq!(numbers(&get(&emulator, selector.clone()).await), wanted(&fragments[3..]));
    }
}

#[tokio::test]
async fn who_reads_a_deleted_fragment_reads_it_whole_and_goes_on_with_the_earliest() {
    let emulator = Emulator::builder().start().unwrap();
    let mut open = emulator.open_fragment("demo", NewFragment { header: header(), ..NewFragment::default() }).unwrap();
    open.write(cluster(0, 2).bytes());
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let mut body = Client::new(&emulator).open("/getMedia", &request).await.into_body();
    let mut seen = Vec::new();
    read_until(&mut body, &mut seen, b"frame 1 at 0").await;

    // The one that is read and the two behind it vanish before the connection comes to them.
    let second = emulator.put_fragment("demo", fragment(1000, 1000)).unwrap();
    let third = emulator.put_fragment("demo", fragment(2000, 2000)).unwrap();
    assert_eq!(emulator.delete_fragments_up_to("demo", &third.number).unwrap(), 3);
    open.write(cluster(0, 3).bytes());
    let first = open.finish();
    read_until(&mut body, &mut seen, b"CONTINUATION_TOKEN").await;
    read_until(&mut body, &mut seen, first.number.as_str().as_bytes()).await;
    let fourth = emulator.put_fragment("demo", fragment(3000, 3000)).unwrap();
    emulator.set_end_at_head("demo", true).unwrap();
    let rest = body.collect().await.unwrap().to_bytes();
    let whole = chunks(&[seen.as_slice(), &rest].concat().into());
    let found: Vec<&str> = whole.iter().map(Chunk::number).collect();
    assert_eq!(found, [first.number.as_str(), fourth.number.as_str()]);
    assert_eq!(whole[0].blocks.len(), 5);
    assert!(second.number < fourth.number);
}

#[tokio::test]
async fn who_waits_gets_nothing_of_what_vanished_meanwhile() {
    let (emulator, fragments) = stored(None);
    emulator.set_end_at_head("demo", false).unwrap();
    let last = fragments[4].number.as_str();
    let request = json!({ "StreamName": "demo", "StartSelector": after(last)[0] });
    let mut body = Client::new(&emulator).open("/getMedia", &request).await.into_body();
    // Both at once for the waiting connection: its thread finds the second only.
    emulator.set_retention("demo", Some(Duration::from_secs(3600))).unwrap();
    emulator.put_fragment("demo", fragment(5000, 5000)).unwrap();
    let kept = emulator.put_fragment("demo", fragment(6000, now())).unwrap();
    let mut seen = Vec::new();
    read_until(&mut body, &mut seen, b"CONTINUATION_TOKEN").await;
    read_until(&mut body, &mut seen, kept.number.as_str().as_bytes()).await;
    emulator.set_end_at_head("demo", true).unwrap();
    let rest = body.collect().await.unwrap().to_bytes();
    let whole = chunks(&[seen.as_slice(), &rest].concat().into());
    assert_eq!(whole.iter().map(Chunk::number).collect::<Vec<_>>(), [kept.number.as_str()]);
}
