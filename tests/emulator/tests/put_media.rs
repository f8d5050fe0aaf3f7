//! PutMedia: acknowledgements while the body comes, timecodes, and every reason to refuse a fragment.

mod client;
mod media;

use std::time::Duration;

use bytes::Bytes;
use client::{Answer, Client, Signed, full, read_until, streaming};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use kvs_emulator::matroska;
use kvs_emulator::media::{Cluster, TrackEntry, TrackKind};
use kvs_emulator::{Emulator, Operation};
use media::{chunks, cluster, header};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

const START: &str = "1700000000.250";

fn headers(timecode_type: &str) -> [(&str, &str); 3] {
    [
        ("x-amzn-stream-name", "demo"),
        ("x-amzn-fragment-timecode-type", timecode_type),
        ("x-amzn-producer-start-timestamp", START),
    ]
}

fn emulator() -> Emulator {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    emulator.create_stream("demo").unwrap();
    emulator
}

async fn open(emulator: &Emulator, timecode_type: &str) -> (UnboundedSender<Bytes>, Incoming) {
    let (sender, body) = streaming();
    let client = Client::new(emulator);
    let response = client.send(client.request("/putMedia", &headers(timecode_type), Signed::Unsigned, body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    (sender, response.into_body())
}

/// Puts a whole body at once; answers the acknowledgements.
async fn put(emulator: &Emulator, timecode_type: &str, body: Bytes) -> Vec<Value> {
    let client = Client::new(emulator);
    let request = client.request("/putMedia", &headers(timecode_type), Signed::Unsigned, full(body));
    let answer = Answer::read(client.send(request).await).await;
    assert_eq!(answer.status, StatusCode::OK);
    acknowledgements(&answer.body)
}

fn acknowledgements(body: &[u8]) -> Vec<Value> {
    std::str::from_utf8(body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(acknowledgements: &[Value]) -> Vec<(&str, i64)> {
    let event =
        |line: &Value| (line["EventType"].as_str().unwrap().to_owned(), line["FragmentTimecode"].as_i64().unwrap());
    let names = ["BUFFERING", "RECEIVED", "PERSISTED", "ERROR"];
    let known = |name: String| names.into_iter().find(|known| *known == name).unwrap();
    acknowledgements.iter().map(event).map(|(name, timecode)| (known(name), timecode)).collect()
}

fn whole(parts: &[Bytes]) -> Bytes {
    parts.concat().into()
}

#[tokio::test]
async fn relative_timecodes_are_added_to_the_producers_start() {
    let emulator = emulator();
    let body = whole(&[header(), cluster(0, 25).unknown_size().bytes(), cluster(1000, 25).bytes()]);
    let acknowledgements = put(&emulator, "RELATIVE", body).await;
    let wanted = [
        ("BUFFERING", 0),
        ("RECEIVED", 0),
        ("PERSISTED", 0),
        ("BUFFERING", 1000),
        ("RECEIVED", 1000),
        ("PERSISTED", 1000),
    ];
    assert_eq!(events(&acknowledgements), wanted);
    let fragments = emulator.fragments("demo").unwrap();
    let producer: Vec<u64> = fragments.iter().map(|fragment| fragment.producer_timestamp).collect();
    assert_eq!(producer, [1_700_000_000_250, 1_700_000_001_250]);
    let durations: Vec<_> = fragments.iter().map(|fragment| fragment.duration).collect();
    assert_eq!(durations, [Some(1000), Some(1000)]);
    for (index, acknowledgement) in acknowledgements.iter().enumerate() {
        assert_eq!(acknowledgement["FragmentNumber"], fragments[index / 3].number.as_str());
    }
    assert!(fragments[0].number < fragments[1].number);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(fragments.iter().all(|fragment| now - fragment.server_timestamp < 60_000));
}

#[tokio::test]
async fn absolute_timecodes_are_the_producer_timestamps() {
    let emulator = emulator();
    let body = whole(&[header(), cluster(1_600_000_000_000, 5).bytes(), cluster(1_600_000_000_200, 5).bytes()]);
    let acknowledgements = put(&emulator, "ABSOLUTE", body).await;
    assert_eq!(events(&acknowledgements)[3], ("BUFFERING", 1_600_000_000_200));
    let fragments = emulator.fragments("demo").unwrap();
    assert_eq!(fragments[0].producer_timestamp, 1_600_000_000_000);
    assert_eq!(fragments[1].producer_timestamp, 1_600_000_000_200);
}

#[tokio::test]
async fn bytes_are_acknowledged_and_served_while_the_body_still_comes() {
    let emulator = emulator();
    emulator.set_end_at_head("demo", false).unwrap();
    let (sender, mut acknowledged) = open(&emulator, "RELATIVE").await;
    let selector = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
    let mut served = Client::new(&emulator).open("/getMedia", &selector).await.into_body();
    let (mut lines, mut seen) = (Vec::new(), Vec::new());

    sender.send(header()).unwrap();
    let media = cluster(0, 2).unknown_size().bytes();
    // The second frame comes without its last byte: all before it is served.
    for byte in &media[..media.len() - 1] {
        sender.send(vec![*byte].into()).unwrap();
    }
    read_until(&mut acknowledged, &mut lines, b"BUFFERING").await;
    read_until(&mut served, &mut seen, b"frame 1 at ").await;
    sender.send(media.slice(media.len() - 1..)).unwrap();
    read_until(&mut served, &mut seen, b"frame 1 at 0").await;
    assert_eq!(events(&acknowledgements(&lines)), [("BUFFERING", 0)]);

    sender.send(cluster(80, 1).unknown_size().bytes()).unwrap();
    read_until(&mut acknowledged, &mut lines, b"PERSISTED").await;
    read_until(&mut served, &mut seen, b"frame 0 at 80").await;
    drop(sender);
    lines.extend(acknowledged.collect().await.unwrap().to_bytes());
    assert_eq!(events(&acknowledgements(&lines)).len(), 6);
    emulator.set_end_at_head("demo", true).unwrap();
    seen.extend(served.collect().await.unwrap().to_bytes());
    let blocks: Vec<usize> = chunks(&seen.into()).iter().map(|chunk| chunk.blocks.len()).collect();
    assert_eq!(blocks, [2, 1]);
}

#[tokio::test]
async fn what_a_producer_sends_is_served_as_it_came() {
    let emulator = emulator();
    let tags = Bytes::from(matroska::tags(&[("place", "entrance")]));
    let checksum = matroska::element(matroska::id::CRC32, &[0xFF; 4]);
    let group = Cluster::new(40).element(&checksum).block_group(1, 0, Some(40), true, b"grouped").bytes();
    let body = whole(&[header(), cluster(0, 1).bytes(), tags.clone(), group.clone(), header(), cluster(80, 1).bytes()]);
    put(&emulator, "RELATIVE", body).await;
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let served = Client::new(&emulator).call("/getMedia", &request).await.body;
    let contains = |wanted: &[u8]| served.windows(wanted.len()).any(|window| window == wanted);
    assert!(contains(&whole(&[cluster(0, 1).bytes(), tags])));
    assert!(contains(&group) && contains(&cluster(80, 1).bytes()));
    assert_eq!(chunks(&served).len(), 3);
}

#[tokio::test]
async fn a_producer_that_breaks_off_leaves_no_half_fragment() {
    let emulator = emulator();
    let (sender, mut acknowledged) = open(&emulator, "RELATIVE").await;
    sender.send(whole(&[header(), cluster(0, 3).bytes(), cluster(120, 3).bytes().slice(..40)])).unwrap();
    read_until(&mut acknowledged, &mut Vec::new(), b"\"FragmentTimecode\":120").await;
    sender.send(Bytes::from_static(b"\x00\x00\x00")).unwrap();
    drop(sender);
    let lines = acknowledged.collect().await.unwrap().to_bytes();
    let last = acknowledgements(&lines).pop().unwrap();
    assert_eq!((last["EventType"].as_str(), last["ErrorId"].as_u64()), (Some("ERROR"), Some(4006)));
    assert_eq!(emulator.fragments("demo").unwrap().len(), 1);
}

#[tokio::test]
async fn fragments_that_break_the_services_limits_are_refused() {
    let two_tracks = kvs_emulator::media::header(1_000_000, &[video(1), video(2)]);
    let four_tracks = kvs_emulator::media::header(1_000_000, &[video(1), video(2), video(3), video(4)]);
    let tags: Vec<(String, String)> = (0..11).map(|number| (format!("tag {number}"), String::new())).collect();
    let aws_tag = matroska::tags(&[("AWS_SECRET", "1")]).into();
    let long_value = matroska::tags(&[("name", "x".repeat(257))]).into();
    let one = || cluster(0, 1).bytes();
    let far = Cluster::new(0).simple_block(1, 0, true, b"a").simple_block(1, 10_001, false, b"b").bytes();
    let strange = Cluster::new(0).simple_block(7, 0, true, b"a").bytes();
    let heavy = Cluster::new(0).simple_block(1, 0, true, &vec![0; 50_000_000]).bytes();
    for (body, id, code) in [
        (whole(&[header(), heavy]), 4001, "MAX_FRAGMENT_SIZE_REACHED"),
        (whole(&[header(), far]), 4002, "MAX_FRAGMENT_DURATION_REACHED"),
        (whole(&[header(), cluster(40, 1).bytes(), one()]), 4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS"),
        (Bytes::from_static(b"this is no Matroska"), 4006, "INVALID_MKV_DATA"),
        (one(), 4006, "INVALID_MKV_DATA"),
        (whole(&[header(), one().slice(..20)]), 4006, "INVALID_MKV_DATA"),
        (whole(&[header(), one(), matroska::tags(&tags).into()]), 4009, "FRAGMENT_METADATA_LIMIT_REACHED"),
        (whole(&[header(), one(), aws_tag]), 4009, "FRAGMENT_METADATA_LIMIT_REACHED"),
        (whole(&[header(), one(), long_value]), 4009, "FRAGMENT_METADATA_LIMIT_REACHED"),
        (whole(&[header(), strange]), 4010, "TRACK_NUMBER_MISMATCH"),
        (whole(&[two_tracks, one()]), 4011, "FRAMES_MISSING_FOR_TRACK"),
        (whole(&[four_tracks, one()]), 4012, "MORE_THAN_ALLOWED_TRACKS_FOUND"),
    ] {
        let emulator = emulator();
        let (sender, acknowledged) = open(&emulator, "RELATIVE").await;
        sender.send(body).unwrap();
        drop(sender);
        let lines = acknowledged.collect().await.unwrap().to_bytes();
        let last = acknowledgements(&lines).pop().unwrap();
        let said = (&last["EventType"], &last["ErrorId"], &last["ErrorCode"]);
        assert_eq!(said, (&json!("ERROR"), &json!(id), &json!(code)));
        let kept = emulator.fragments("demo").unwrap();
        assert!(kept.iter().all(|fragment| fragment.duration.is_some()), "{code}");
    }
}

fn video(number: u64) -> TrackEntry {
    TrackEntry::new(number, TrackKind::Video { width: 64, height: 48 }, "V_TEST")
}

#[tokio::test]
async fn headers_that_make_no_sense_are_refused() {
    let emulator = emulator();
    let client = Client::new(&emulator);
    let [name, timecode_type, start] = headers("RELATIVE");
    let other = ("x-amzn-stream-name", "other");
    let invalid = (StatusCode::BAD_REQUEST, "InvalidArgumentException");
    for (headers, wanted) in [
        (vec![timecode_type, start], invalid),
        (vec![name, start], invalid),
        (vec![name, ("x-amzn-fragment-timecode-type", "SOMETIMES"), start], invalid),
        (vec![name, timecode_type], invalid),
        (vec![name, timecode_type, ("x-amzn-producer-start-timestamp", "today")], invalid),
        (vec![other, timecode_type, start], (StatusCode::NOT_FOUND, "ResourceNotFoundException")),
    ] {
        let request = client.request("/putMedia", &headers, Signed::Unsigned, full(""));
        let answer = Answer::read(client.send(request).await).await;
        assert_eq!((answer.status, answer.error_type()), wanted, "{headers:?}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let emulator = emulator();
    let client = Client::new(&emulator);
    let request = client.request("/putMedia", &headers("RELATIVE"), Signed::Unsigned, full(""));
    let mut head = "POST /putMedia HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n".to_owned();
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let mut socket = tokio::net::TcpStream::connect(emulator.address()).await.unwrap();
    socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    let body = whole(&[header(), cluster(0, 1).bytes()]);
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    socket.write_all(&chunked).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(9).any(|window| window == b"PERSISTED") {
        let mut piece = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(10), socket.read(&mut piece)).await.unwrap().unwrap();
        assert!(read > 0, "the connection closed before the fragment was persisted");
        seen.extend_from_slice(&piece[..read]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(emulator.requests()[0].operation, Operation::PutMedia);
}
