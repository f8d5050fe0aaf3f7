//! Each fault strikes as it is told, as often as it is told.

mod client;
mod media;

use std::time::{Duration, Instant};

use client::{Client, read_until};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use kvs_emulator::{ANY_STREAM, Emulator, Fault, Interruption, Operation, Repeat};
use media::{chunks, fragment};
use serde_json::{Value, json};

fn stored() -> Emulator {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    for second in 0..3 {
        emulator.put_fragment("demo", fragment(second * 1000, second * 1000)).unwrap();
    }
    emulator
}

fn earliest() -> Value {
    json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } })
}

/// Reads until the body ends; tells whether it was cut.
async fn drain(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => seen.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => return (seen, true),
        }
    }
    (seen, false)
}

async fn cut_exactly(emulator: &Emulator, http2: bool) {
    let client = Client { http2, ..Client::new(emulator) };
    let (whole, cut) = drain(client.open("/getMedia", &earliest()).await.into_body()).await;
    assert!(!cut);
    for limit in [0, 1, 700, whole.len() - 1] {
        emulator.set_fault("demo", Fault::CutAfter(limit as u64), Repeat::Once);
        let (seen, cut) = drain(client.open("/getMedia", &earliest()).await.into_body()).await;
        // The body says how far behind it is, in digits that change.
        assert_eq!((seen.len(), cut), (limit, true));
    }
    let (again, cut) = drain(client.open("/getMedia", &earliest()).await.into_body()).await;
    assert_eq!((again.len(), cut), (whole.len(), false));
}

#[tokio::test]
async fn a_body_is_cut_after_exactly_so_many_bytes() {
    cut_exactly(&stored(), false).await;
}

#[tokio::test]
async fn a_body_under_tls_is_cut_after_exactly_so_many_bytes() {
    for http2 in [false, true] {
        let emulator = Emulator::builder().tls(true).end_at_head(true).start().unwrap();
        emulator.put_fragment("demo", fragment(0, 0)).unwrap();
        cut_exactly(&emulator, http2).await;
    }
}

#[tokio::test]
async fn a_large_body_is_cut_after_exactly_so_many_bytes() {
    let emulator = Emulator::builder().start().unwrap();
    let body: bytes::Bytes = (0..1_000_000_u64).flat_map(u64::to_le_bytes).collect();
    emulator.serve_verbatim("demo", body.clone()).unwrap();
    emulator.set_fault("demo", Fault::CutAfter(7_654_321), Repeat::Once);
    let (seen, cut) = drain(Client::new(&emulator).open("/getMedia", &earliest()).await.into_body()).await;
    assert!(cut && seen == body[..7_654_321]);
}

#[tokio::test]
async fn a_body_stalls_after_exactly_so_many_bytes() {
    let emulator = stored();
    emulator.set_fault("demo", Fault::StallAfter(500), Repeat::Always);
    let mut body = Client::new(&emulator).open("/getMedia", &earliest()).await.into_body();
    let mut seen = Vec::new();
    while seen.len() < 500 {
        seen.extend_from_slice(body.frame().await.unwrap().unwrap().data_ref().unwrap());
    }
    assert_eq!(seen.len(), 500);
    emulator.clear_faults("demo");
    let (rest, cut) = drain(Client::new(&emulator).open("/getMedia", &earliest()).await.into_body()).await;
    assert!(rest.len() > 500 && !cut);
    // A whole body later there is still nothing more of the first.
    assert!(tokio::time::timeout(Duration::ZERO, body.frame()).await.is_err());
}

#[tokio::test]
async fn who_reads_a_stream_is_cut_off_and_who_comes_later_is_not() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.put_fragment("demo", fragment(0, 0)).unwrap();
    let client = Client::new(&emulator);
    let mut body = client.open("/getMedia", &earliest()).await.into_body();
    read_until(&mut body, &mut Vec::new(), b"CONTINUATION_TOKEN").await;
    emulator.cut_readers("demo").unwrap();
    assert!(drain(body).await.1);
    emulator.set_end_at_head("demo", true).unwrap();
    assert!(!drain(client.open("/getMedia", &earliest()).await.into_body()).await.1);
}

/// The fragments that come of a producer that is interrupted: number, cluster time and blocks of each.
async fn interrupted(kept: bool, again: bool) -> Vec<(u64, Vec<i64>)> {
    let emulator = Emulator::builder().start().unwrap();
    emulator.put_fragment("demo", fragment(0, 0)).unwrap();
    emulator.start_live("demo").unwrap();
    let interruption = Interruption { length: Duration::from_millis(1), kept, again };
    emulator.interrupt_producer("demo", interruption).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while emulator.fragments("demo").unwrap().iter().filter(|info| info.duration.is_some()).count() < 3 {
        assert!(Instant::now() < deadline, "fragments come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    emulator.set_fault("demo", Fault::EndAfterFragments(3), Repeat::Once);
    let (seen, _) = drain(Client::new(&emulator).open("/getMedia", &earliest()).await.into_body()).await;
    let times = |chunk: &media::Chunk| chunk.blocks.iter().map(|block| block.1).collect();
    chunks(&seen.into()).iter().map(|chunk| (chunk.clusters[0], times(chunk))).collect()
}

#[tokio::test]
async fn a_producer_that_is_interrupted_sends_its_fragment_again_or_goes_on_with_the_next() {
    let (resent, cut, thrown_away) =
        tokio::join!(interrupted(true, true), interrupted(true, false), interrupted(false, true));
    let whole = &resent[1].1;
    assert!(resent[0].1.len() < whole.len() && whole.starts_with(&resent[0].1), "{resent:?}");
    assert_eq!([resent[0].0, resent[1].0], [0, 0]);
    assert!(resent[2].0 > 0);
    assert!(cut[0].1.len() < whole.len() && cut[1].0 > 0 && cut[1].1.len() == whole.len(), "{cut:?}");
    assert_eq!(thrown_away[0], (0, whole.clone()));
}

#[tokio::test]
async fn a_body_ends_after_so_many_fragments() {
    let emulator = stored();
    emulator.set_fault("demo", Fault::EndAfterFragments(2), Repeat::Once);
    let (seen, cut) = drain(Client::new(&emulator).open("/getMedia", &earliest()).await.into_body()).await;
    assert!(!cut);
    assert_eq!(chunks(&seen.into()).len(), 2);
}

#[tokio::test]
async fn a_body_carries_the_error_tags() {
    for after in [0, 2] {
        let emulator = stored();
        let fault = Fault::BodyErrorTag { code: "KMS_KEY_ACCESS_DENIED".into(), id: 4500, after };
        emulator.set_fault("demo", fault, Repeat::Once);
        let (seen, cut) = drain(Client::new(&emulator).open("/getMedia", &earliest()).await.into_body()).await;
        let chunks = chunks(&seen.into());
        assert_eq!((chunks.len() as u64, cut), (after + 1, false));
        let last = chunks.last().unwrap();
        assert_eq!(last.tags.len(), 2);
        assert_eq!((last.tag("ERROR_CODE"), last.tag("ERROR_ID")), (Some("KMS_KEY_ACCESS_DENIED"), Some("4500")));
    }
}

#[tokio::test]
async fn an_operation_answers_an_error_by_name_so_many_times() {
    let emulator = stored();
    let client = Client::new(&emulator);
    let fault = Fault::http(Operation::GetDataEndpoint, 400, "ThrottlingException", "Rate exceeded");
    emulator.set_fault("demo", fault, Repeat::Times(2));
    let request = json!({ "StreamName": "demo", "APIName": "GET_MEDIA" });
    for _ in 0..2 {
        let answer = client.call("/getDataEndpoint", &request).await;
        assert_eq!((answer.status, answer.error_type()), (StatusCode::BAD_REQUEST, "ThrottlingException"));
        assert_eq!(answer.json(), json!({ "Message": "Rate exceeded" }));
        assert_eq!(answer.header("x-amzn-requestid").len(), 36);
    }
    assert_eq!(client.call("/getDataEndpoint", &request).await.status, StatusCode::OK);
    assert_eq!(client.call("/getMedia", &earliest()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_media_operation_names_its_error_in_both_headers() {
    let emulator = stored();
    let fault = Fault::http(Operation::GetMedia, 400, "ConnectionLimitExceededException", "Too many connections");
    emulator.set_fault(ANY_STREAM, fault, Repeat::Once);
    let answer = Client::new(&emulator).call("/getMedia", &earliest()).await;
    assert_eq!(answer.error_type(), "ConnectionLimitExceededException");
    assert_eq!(answer.header("x-amz-errortype"), "ConnectionLimitExceededException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_hangs() {
    let emulator = stored();
    emulator.set_fault("demo", Fault::HangRequest { operation: Operation::GetMedia }, Repeat::Once);
    let client = Client::new(&emulator);
    let hanging = tokio::spawn(async move { client.call("/getMedia", &earliest()).await.status });
    let arrived = |request: &kvs_emulator::RequestRecord| request.operation == Operation::GetMedia;
    let request = emulator.wait_for_request(arrived, Duration::from_secs(10)).unwrap();
    assert_eq!((request.stream.as_deref(), &request.body), (Some("demo"), &earliest()));
    assert!(!hanging.is_finished());
    let second = Client::new(&emulator).call("/getMedia", &earliest()).await;
    assert_eq!(second.status, StatusCode::OK);
    assert!(!hanging.is_finished());
    hanging.abort();
}

#[tokio::test]
async fn dropping_the_emulator_closes_its_connections() {
    let emulator = stored();
    emulator.set_end_at_head("demo", false).unwrap();
    let mut body = Client::new(&emulator).open("/getMedia", &earliest()).await.into_body();
    let number = emulator.fragments("demo").unwrap()[2].number.to_string();
    let mut seen = Vec::new();
    read_until(&mut body, &mut seen, number.as_bytes()).await;
    let address = emulator.address();
    tokio::task::spawn_blocking(|| drop(emulator)).await.unwrap();
    assert!(drain(body).await.1);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// A call for the three fragments of [`stored`].
fn batch(emulator: &Emulator) -> Value {
    let numbers: Vec<String> =
        emulator.fragments("demo").unwrap().iter().map(|fragment| fragment.number.to_string()).collect();
    json!({ "StreamName": "demo", "Fragments": numbers })
}

fn range() -> Value {
    let range = json!({ "StartTimestamp": 0, "EndTimestamp": 10 });
    json!({
        "StreamName": "demo",
        "FragmentSelector": { "FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": range },
    })
}

#[tokio::test]
async fn one_batch_of_many_is_cut_in_its_body() {
    let emulator = stored();
    let (client, batch) = (Client::new(&emulator), batch(&emulator));
    let whole = client.call("/getMediaForFragmentList", &batch).await.body.len();
    emulator.set_fault_on("demo", Operation::GetMediaForFragmentList, Fault::CutAfter(700), Repeat::Nth(2));
    for (length, is_cut) in [(whole, false), (700, true), (whole, false)] {
        let (seen, cut) = drain(client.open("/getMediaForFragmentList", &batch).await.into_body()).await;
        assert_eq!((seen.len(), cut), (length, is_cut));
    }
    // The same fault for GetMedia waits for GetMedia alone.
    emulator.set_fault("demo", Fault::CutAfter(5), Repeat::Once);
    assert_eq!(client.call("/getMediaForFragmentList", &batch).await.body.len(), whole);
    assert!(drain(client.open("/getMedia", &earliest()).await.into_body()).await.1);
}

#[tokio::test]
async fn a_batch_ends_stalls_and_fails_as_get_media_does() {
    let emulator = stored();
    let (client, batch) = (Client::new(&emulator), batch(&emulator));
    let operation = Operation::GetMediaForFragmentList;
    emulator.set_fault_on("demo", operation, Fault::EndAfterFragments(2), Repeat::Once);
    let error = Fault::BodyErrorTag { code: "INTERNAL_ERROR".into(), id: 5000, after: 1 };
    emulator.set_fault_on("demo", operation, error, Repeat::Once);
    emulator.set_fault_on("demo", operation, Fault::StallAfter(300), Repeat::Once);
    assert_eq!(chunks(&client.call("/getMediaForFragmentList", &batch).await.body).len(), 2);
    let found = chunks(&client.call("/getMediaForFragmentList", &batch).await.body);
    assert_eq!((found.len(), found[1].tag("ERROR_ID")), (2, Some("5000")));
    let mut body = client.open("/getMediaForFragmentList", &batch).await.into_body();
    let mut seen = 0;
    while seen < 300 {
        seen += body.frame().await.unwrap().unwrap().data_ref().unwrap().len();
    }
    assert_eq!(seen, 300);
    assert_eq!(chunks(&client.call("/getMediaForFragmentList", &batch).await.body).len(), 3);
    assert!(tokio::time::timeout(Duration::ZERO, body.frame()).await.is_err());
}

#[tokio::test]
async fn one_fragment_of_a_batch_is_missing_once() {
    let emulator = stored();
    let (client, batch) = (Client::new(&emulator), batch(&emulator));
    emulator.set_fault("demo", Fault::MissingFragment(1), Repeat::Once);
    for lost in [true, false] {
        let found = chunks(&client.call("/getMediaForFragmentList", &batch).await.body);
        let missing: Vec<bool> = found.iter().map(|chunk| chunk.tag("ERROR_ID") == Some("3000")).collect();
        assert_eq!(missing, [false, lost, false]);
        assert_eq!(found[1].number(), batch["Fragments"][1].as_str().unwrap());
    }
}

#[tokio::test]
async fn one_fragment_of_a_batch_is_left_out_once() {
    let emulator = stored();
    let (client, batch) = (Client::new(&emulator), batch(&emulator));
    emulator.set_fault("demo", Fault::LeftOutFragment(1), Repeat::Once);
    for wanted in [vec![0, 2], vec![0, 1, 2]] {
        let found = chunks(&client.call("/getMediaForFragmentList", &batch).await.body);
        let found: Vec<_> = found.iter().map(|chunk| chunk.number().to_owned()).collect();
        let wanted: Vec<_> = wanted.iter().map(|place: &usize| batch["Fragments"][*place].as_str().unwrap()).collect();
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn one_fragment_is_not_listed_for_a_while() {
    let emulator = stored();
    let client = Client::new(&emulator);
    let hidden = emulator.fragments("demo").unwrap()[1].number.clone();
    for unlisted in [vec![hidden], Vec::new()] {
        emulator.set_unlisted("demo", &unlisted).unwrap();
        let answer = client.call("/listFragments", &range()).await.json();
        assert_eq!(answer["Fragments"].as_array().unwrap().len(), 3 - unlisted.len());
        // It is there.
        let found = chunks(&client.call("/getMediaForFragmentList", &batch(&emulator)).await.body);
        assert!(found.iter().all(|chunk| chunk.tag("ERROR_ID").is_none()));
    }
}

#[tokio::test]
async fn one_connection_is_slow() {
    let emulator = stored();
    let (client, batch) = (Client::new(&emulator), batch(&emulator));
    let slow = Fault::Slow { bytes_per_second: 5_000 };
    emulator.set_fault_on("demo", Operation::GetMediaForFragmentList, slow, Repeat::Once);
    let began = Instant::now();
    let slow = client.open("/getMediaForFragmentList", &batch).await;
    let quick = client.call("/getMediaForFragmentList", &batch).await;
    let (seen, cut) = drain(slow.into_body()).await;
    assert_eq!((seen.len(), cut), (quick.body.len(), false));
    // The first piece and what may be caught up take no time.
    let least = Duration::from_millis(seen.len() as u64 / 5 - 150);
    assert!(least > Duration::from_millis(100) && began.elapsed() >= least, "{} bytes", seen.len());
}

#[tokio::test]
async fn one_call_of_the_archive_is_throttled_by_its_number() {
    let emulator = stored();
    let client = Client::new(&emulator);
    for (operation, path, request) in [
        (Operation::ListFragments, "/listFragments", range()),
        (Operation::GetMediaForFragmentList, "/getMediaForFragmentList", batch(&emulator)),
    ] {
        let fault = Fault::http(operation, 400, "ClientLimitExceededException", "Slow down");
        emulator.set_fault("demo", fault, Repeat::Nth(3));
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(client.call(path, &request).await.status.as_u16());
        }
        assert_eq!(statuses, [200, 200, 400, 200], "{path}");
    }
}

#[tokio::test]
async fn a_listing_is_cut_and_stalls() {
    let emulator = stored();
    let client = Client::new(&emulator);
    let whole = client.call("/listFragments", &range()).await.body;
    emulator.set_fault_on("demo", Operation::ListFragments, Fault::CutAfter(40), Repeat::Once);
    emulator.set_fault_on("demo", Operation::ListFragments, Fault::StallAfter(50), Repeat::Once);
    let response = client.open("/listFragments", &range()).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(drain(response.into_body()).await, (whole[..40].to_vec(), true));
    let mut body = client.open("/listFragments", &range()).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().data_ref().unwrap(), &whole[..50]);
    assert_eq!(client.call("/listFragments", &range()).await.body, whole);
    assert!(tokio::time::timeout(Duration::ZERO, body.frame()).await.is_err());
}
