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
use media::{Chunk, chunks, cluster, header};
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

/// The acknowledgements of fragments, each with its fragment's timecode.
fn events(acknowledgements: &[Value]) -> Vec<(&str, i64)> {
    fn event(line: &Value) -> Option<(&str, i64)> {
        Some((line["EventType"].as_str()?, line["FragmentTimecode"].as_i64()?))
    }
    acknowledgements.iter().map(|line| event(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// What a fragment brings about that is whole.
fn stored(timecodes: &[i64]) -> Vec<(&'static str, i64)> {
    let events = |timecode: &i64| ["BUFFERING", "RECEIVED", "PERSISTED"].map(|event| (event, *timecode));
    timecodes.iter().flat_map(events).collect()
}

/// The stream from its beginning, and of each chunk the tags that are the producer's, in order.
async fn served(emulator: &Emulator) -> (Vec<Chunk>, Vec<Vec<(String, String)>>) {
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let chunks = chunks(&Client::new(emulator).call("/getMedia", &request).await.body);
    let service =
        ["FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP", "MILLIS_BEHIND_NOW", "CONTINUATION_TOKEN"];
    let service = service.map(|name| format!("AWS_KINESISVIDEO_{name}"));
    let of_producer = |chunk: &Chunk| chunk.tags.iter().filter(|tag| !service.contains(&tag.0)).cloned().collect();
    let tags = chunks.iter().map(of_producer).collect();
    (chunks, tags)
}

fn owned(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn tags(tags: &[(&str, &str)]) -> Bytes {
    matroska::tags(tags).into()
}

fn whole(parts: &[Bytes]) -> Bytes {
    parts.concat().into()
}

#[tokio::test]
async fn relative_timecodes_are_added_to_the_producers_start() {
    let emulator = emulator();
    let body = whole(&[header(), cluster(0, 25).unknown_size().bytes(), cluster(1000, 25).bytes()]);
    let acknowledgements = put(&emulator, "RELATIVE", body).await;
    assert_eq!(events(&acknowledgements), stored(&[0, 1000]));
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
async fn timecodes_are_milliseconds_whatever_the_scale() {
    for (scale, ticks, milliseconds) in [
        (1_000_000_000, [1, 3], [1000, 3000]),
        (10_000_000, [5, 123], [50, 1230]),
        (100_000, [10, 23_450], [1, 2345]),
        (1000, [2_000_000, 2_041_000], [2000, 2041]),
    ] {
        let emulator = emulator();
        let media = kvs_emulator::media::header(scale, &[video(1)]);
        let cluster = |time| Cluster::new(time).simple_block(1, 0, true, b"one").bytes();
        let acknowledgements = put(&emulator, "RELATIVE", whole(&[media, cluster(ticks[0]), cluster(ticks[1])])).await;
        assert_eq!(events(&acknowledgements), stored(&milliseconds), "{scale} ns a tick");
        let producer = emulator.fragments("demo").unwrap().into_iter().map(|fragment| fragment.producer_timestamp);
        let wanted = milliseconds.map(|milliseconds| 1_700_000_000_250 + milliseconds as u64);
        assert_eq!(producer.collect::<Vec<_>>(), wanted, "{scale} ns a tick");
    }
}

#[tokio::test]
async fn the_tags_of_a_producers_sdk_are_its_own() {
    let emulator = emulator();
    let notification = [("AWS_KINESISVIDEO_NOTIFICATION", ""), ("motion", "front-door")];
    let image = [
        ("AWS_KINESISVIDEO_IMAGE_GENERATION", ""),
        ("AWS_KINESISVIDEO_IMAGE_PREFIX", "cam1/"),
        ("motion", "front-door"),
    ];
    let end = [("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")];
    let body = [header(), cluster(0, 1).bytes(), tags(&notification), tags(&image), cluster(40, 1).bytes(), tags(&end)];
    assert_eq!(events(&put(&emulator, "RELATIVE", whole(&body)).await), stored(&[0, 40]));
    let (chunks, tags) = served(&emulator).await;
    assert_eq!(tags, [owned(&[&notification[..], &image].concat()), owned(&end)]);
    assert!(chunks.iter().all(|chunk| chunk.tag("CONTINUATION_TOKEN") == Some(chunk.number())));
}

#[tokio::test]
async fn ten_tags_are_allowed_beside_those_of_the_sdk() {
    let names: Vec<String> = (0..11).map(|number| format!("tag {number}")).collect();
    let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    for (count, refused) in [(10, false), (11, true)] {
        let emulator = emulator();
        let own = &pairs[..count];
        // As the SDK writes an event of both kinds: every pair behind each name.
        let notification = tags(&[&[("AWS_KINESISVIDEO_NOTIFICATION", "")][..], own].concat());
        let image = [("AWS_KINESISVIDEO_IMAGE_GENERATION", ""), ("AWS_KINESISVIDEO_IMAGE_PREFIX", "cam1/")];
        let image = tags(&[&image[..], own].concat());
        let end = tags(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]);
        let acknowledged =
            put(&emulator, "RELATIVE", whole(&[header(), cluster(0, 1).bytes(), notification, image, end])).await;
        let last = &acknowledged.last().unwrap()["EventType"];
        assert_eq!(last, if refused { "ERROR" } else { "PERSISTED" }, "{count}");
    }
}

#[tokio::test]
async fn a_fragment_ends_with_its_end_tag() {
    let emulator = emulator();
    emulator.set_end_at_head("demo", false).unwrap();
    let end = || tags(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]);
    let (sender, mut acknowledged) = open(&emulator, "RELATIVE").await;
    let selector = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
    let mut reader = Client::new(&emulator).open("/getMedia", &selector).await.into_body();
    let (mut lines, mut seen) = (Vec::new(), Vec::new());
    sender.send(whole(&[header(), cluster(0, 2).unknown_size().bytes(), end()])).unwrap();
    read_until(&mut acknowledged, &mut lines, b"PERSISTED").await;
    assert_eq!(events(&acknowledgements(&lines)), stored(&[0]));
    read_until(&mut reader, &mut seen, b"CONTINUATION_TOKEN").await;
    assert_eq!(emulator.fragments("demo").unwrap()[0].duration, Some(80));

    // Said again it ends nothing, and what follows begins anew.
    sender.send(whole(&[end(), cluster(80, 1).unknown_size().bytes(), end()])).unwrap();
    drop(sender);
    lines.extend(acknowledged.collect().await.unwrap().to_bytes());
    assert_eq!(events(&acknowledgements(&lines)), stored(&[0, 80]));
    let ends = owned(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]);
    emulator.set_end_at_head("demo", true).unwrap();
    assert_eq!(served(&emulator).await.1, [ends.clone(), ends]);
}

#[tokio::test]
async fn a_frame_behind_the_end_of_its_fragment_is_refused() {
    let emulator = emulator();
    let end = tags(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]);
    let frame = cluster(0, 1).bytes();
    let frame = frame.slice(frame.iter().position(|byte| *byte == 0xA3).unwrap()..);
    let body = whole(&[header(), cluster(0, 1).unknown_size().bytes(), end, frame]);
    let acknowledged = put(&emulator, "RELATIVE", body).await;
    assert_eq!(events(&acknowledged[..3]), stored(&[0]));
    assert_eq!(acknowledged[3..], [json!({ "EventType": "ERROR", "ErrorId": 4006, "ErrorCode": "INVALID_MKV_DATA" })]);
}

#[tokio::test]
async fn tags_before_a_cluster_are_of_the_first_fragment_and_no_other() {
    let emulator = emulator();
    let end = [("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")];
    let body = [
        header(),
        tags(&[("first", "before-anything")]),
        tags(&[("camera", "door")]),
        cluster(0, 1).bytes(),
        tags(&[("camera", "door")]),
        cluster(40, 1).bytes(),
        tags(&[("motion", "1")]),
        tags(&end),
        tags(&[("motion", "2")]),
        cluster(80, 1).bytes(),
        cluster(120, 1).bytes(),
        header(),
        tags(&[("first", "again")]),
        cluster(160, 1).bytes(),
        cluster(200, 1).bytes(),
    ];
    put(&emulator, "RELATIVE", whole(&body)).await;
    let wanted = [
        owned(&[("first", "before-anything"), ("camera", "door"), ("camera", "door")]),
        owned(&[("motion", "1"), end[0]]),
        owned(&[("motion", "2")]),
        Vec::new(),
        owned(&[("first", "again")]),
        Vec::new(),
    ];
    assert_eq!(served(&emulator).await.1, wanted);
}

#[tokio::test]
async fn errors_without_a_fragment_name_none() {
    let one = || cluster(40, 1).bytes();
    let too_many = matroska::tags(&[("AWS_OTHER", "1")]).into();
    for (body, fragments) in [
        (Bytes::from_static(b"this is no Matroska"), 0),
        (whole(&[header(), one(), tags(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]), cluster(0, 1).bytes()]), 1),
        (whole(&[header(), too_many]), 0),
    ] {
        let emulator = emulator();
        let acknowledged = put(&emulator, "RELATIVE", body).await;
        let error = acknowledged.last().unwrap().as_object().unwrap();
        let members: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(members, ["ErrorCode", "ErrorId", "EventType"], "{error:?}");
        assert_eq!(acknowledged.len(), 3 * fragments + 1);
    }
    let emulator = emulator();
    let strange = Cluster::new(40).simple_block(7, 0, true, b"a").bytes();
    let acknowledged = put(&emulator, "RELATIVE", whole(&[header(), strange])).await;
    let [begun, error] = &acknowledged[..] else { panic!("{acknowledged:?}") };
    assert_eq!((&error["EventType"], &error["FragmentTimecode"]), (&json!("ERROR"), &json!(40)));
    assert_eq!(error["FragmentNumber"], begun["FragmentNumber"]);
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
