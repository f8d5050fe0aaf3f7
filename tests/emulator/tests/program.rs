//! The program: what it prints, what it serves, and that it stops when told.

mod client;
mod media;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use client::{Answer, Client, Signed, full, read_until};
use hyper::StatusCode;
use kvs_emulator::media::Cluster;
use kvs_emulator::{DEMO_ACCESS_KEY, DEMO_SECRET_KEY};
use media::{chunks, cluster, header};
use serde_json::{Value, json};

struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    fn start_at(address: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvs-emulator"));
        let mut child = command.args(["--listen", address]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, output, url }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn client(&self) -> Client {
        Client {
            address: self.url.split_once("://").unwrap().1.to_owned(),
            access_key: DEMO_ACCESS_KEY.to_owned(),
            secret_key: DEMO_SECRET_KEY.to_owned(),
            session_token: None,
            region: "us-west-2".to_owned(),
            service: "kinesisvideo".to_owned(),
            time: SystemTime::now(),
            ca_pem: None,
            http2: false,
        }
    }

    fn stop(mut self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone where it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(stream: &str, selector: &str) -> Value {
    json!({ "StreamName": stream, "StartSelector": { "StartSelectorType": selector } })
}

/// Half a second: five fragments, each of a frame of 60 ms and one of 40 ms.
fn recording() -> Vec<u8> {
    let fragment = |index: u64| {
        let frame = |which: &str| format!("{which} of {index};").into_bytes();
        Cluster::new(index * 100).simple_block(1, 0, true, &frame("first")).simple_block(1, 60, false, &frame("second"))
    };
    std::iter::once(header()).chain((0..5).map(|index| fragment(index).bytes())).flatten().collect()
}

#[tokio::test]
async fn it_serves_its_streams_and_stops_at_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.mkv");
    std::fs::write(&file, [header(), cluster(0, 25).bytes()].concat()).unwrap();
    let stream = format!("demo={}", file.display());
    let mut program = Program::start(&["--stream", &stream, "--stream", "empty", "--end-at-head"]);
    let line = program.line();
    let wanted = format!(
        "kvssrc stream=demo start-selector=earliest endpoint-url={} aws-region=us-west-2 access-key={DEMO_ACCESS_KEY} \
         secret-key={DEMO_SECRET_KEY}",
        program.url
    );
    assert_eq!(line, wanted);
    let client = program.client();
    let answer = client.call("/getMedia", &get("demo", "EARLIEST")).await;
    assert_eq!(chunks(&answer.body)[0].blocks.len(), 25);
    assert!(client.call("/getMedia", &get("empty", "EARLIEST")).await.body.is_empty());
    program.stop("-TERM");
}

#[tokio::test]
async fn it_replays_for_ever_and_stops_at_sigint_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.mkv");
    std::fs::write(&file, recording()).unwrap();
    let began = Instant::now();
    let program = Program::start(&["--stream", &format!("demo={}", file.display()), "--live"]);
    let mut body = program.client().open("/getMedia", &get("demo", "EARLIEST")).await.into_body();
    let mut seen = Vec::new();
    // Twice through, and into the third time.
    for wanted in ["second of 4;", "first of 0;", "second of 4;", "first of 0;", "AWS_KINESISVIDEO_CONTINUATION_TOKEN"]
    {
        let mut part = Vec::new();
        read_until(&mut body, &mut part, wanted.as_bytes()).await;
        seen.extend(part);
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "a second's recording came too soon");
    program.stop("-INT");

    let last = seen.windows(4).rposition(|window| window == [0x1A, 0x45, 0xDF, 0xA3]).unwrap();
    let chunks = chunks(&seen[..last].to_vec().into());
    assert!(chunks.len() >= 10);
    let times: Vec<u64> = chunks.iter().map(|chunk| chunk.clusters[0]).collect();
    let producer: Vec<u64> =
        chunks.iter().map(|chunk| chunk.tag("PRODUCER_TIMESTAMP").unwrap().replace('.', "").parse().unwrap()).collect();
    assert_eq!(times[..10], [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    assert!(producer.windows(2).all(|pair| pair[1] - pair[0] == 100));
    let numbers: Vec<kvs_emulator::FragmentNumber> =
        chunks.iter().map(|chunk| chunk.number().parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test]
async fn it_speaks_tls_with_keys_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    let mut arguments = vec!["--stream", "demo", "--tls", "--tls-ca-file", authority.to_str().unwrap()];
    arguments.extend(["--region", "eu-west-1", "--access-key", "AKIAOWNOWNOWNOWNOWN0", "--secret-key", "own-secret"]);
    arguments.extend(["--session-token", "own-token"]);
    let mut program = Program::start(&arguments);
    assert!(program.url.starts_with("https://127.0.0.1:"));
    let line = program.line();
    assert!(line.contains("aws-region=eu-west-1") && !line.contains("own-"), "{line}");
    let client = Client {
        access_key: "AKIAOWNOWNOWNOWNOWN0".to_owned(),
        secret_key: "own-secret".to_owned(),
        session_token: Some("own-token".to_owned()),
        region: "eu-west-1".to_owned(),
        ca_pem: Some(std::fs::read_to_string(&authority).unwrap()),
        http2: true,
        ..program.client()
    };
    let answer = client.call("/describeStream", &json!({ "StreamName": "demo" })).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn who_reaches_it_by_any_name_is_pointed_to_that_name() {
    let program = Program::start_at("0.0.0.0:0", &["--stream", "demo"]);
    let port = program.url.strip_prefix("http://0.0.0.0:").unwrap();
    let client = Client { address: format!("127.0.0.1:{port}"), ..program.client() };
    let body = json!({ "StreamName": "demo", "APIName": "GET_MEDIA" }).to_string();
    // Some producers name their port in no header.
    for (host, wanted) in [
        (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}")),
        ("127.0.0.1".to_owned(), format!("http://127.0.0.1:{port}")),
        ("localhost".to_owned(), format!("http://localhost:{port}")),
        ("localhost:9000".to_owned(), "http://localhost:9000".to_owned()),
        ("[::1]".to_owned(), format!("http://[::1]:{port}")),
    ] {
        let headers = [("host", host.as_str())];
        let signed = Signed::Bytes(body.as_bytes());
        let request = client.request("/getDataEndpoint", &headers, signed, full(body.clone()));
        let answer = Answer::read(client.send(request).await).await;
        assert_eq!(answer.json(), json!({ "DataEndpoint": wanted }), "{host}");
    }
}

#[tokio::test]
async fn it_says_where_producers_find_it_under_tls() {
    let mut program = Program::start(&["--stream", "demo", "--tls", "--put-media-listen", "127.0.0.1:0"]);
    assert!(program.line().starts_with("kvssrc stream=demo "));
    let producers = program.line();
    let address = producers.strip_prefix("producers without HTTP/2 at https://127.0.0.1:");
    assert!(address.is_some_and(|port| port.parse::<u16>().is_ok()), "{producers}");
    assert!(!program.url.ends_with(address.unwrap()));
}

#[tokio::test]
async fn without_streams_it_waits_for_them() {
    let program = Program::start(&[]);
    let made = program.client().call("/createStream", &json!({ "StreamName": "door" })).await;
    assert_eq!(made.status, StatusCode::OK);
    let listed = program.client().call("/listStreams", &json!({})).await.json();
    assert_eq!(listed["StreamInfoList"][0]["StreamName"], "door");
    program.stop("-TERM");
}

#[tokio::test]
async fn streams_are_kept_and_described_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.mkv");
    std::fs::write(&file, recording()).unwrap();
    let stream = format!("demo={}", file.display());
    let arguments = ["--stream", "door", "--stream", &stream, "--retention", "2", "--media-type", "video/h264"];
    let program = Program::start(&[&arguments[..], &["--end-at-head"]].concat());
    let client = program.client();
    let listed = client.call("/listStreams", &json!({})).await.json();
    for (stream, name) in listed["StreamInfoList"].as_array().unwrap().iter().zip(["demo", "door"]) {
        assert_eq!(stream["StreamName"], name);
        assert_eq!((&stream["DataRetentionInHours"], &stream["MediaType"]), (&json!(2), &json!("video/h264")));
    }
    // The recording ends now, so all of it is there.
    assert_eq!(chunks(&client.call("/getMedia", &get("demo", "EARLIEST")).await.body).len(), 5);
    program.stop("-TERM");
}

#[tokio::test]
async fn a_day_is_served_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.mkv");
    std::fs::write(&file, [header(), cluster(0, 50).bytes()].concat()).unwrap();
    let stream = format!("day={}", file.display());
    let small = format!("small={}", file.display());
    let program =
        Program::start(&["--long-stream", &stream, "--stream", &small, "--end-at-head", "--limits", "--rate", "1kB"]);
    let client = program.client();
    let range = json!({ "StartTimestamp": 0, "EndTimestamp": 5_000_000_000_u64 });
    let selector = json!({ "FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": range });
    let mut request = json!({ "StreamName": "day", "MaxResults": 1000, "FragmentSelector": selector });
    let page = client.call("/listFragments", &request).await.json();
    assert_eq!(page["Fragments"].as_array().unwrap().len(), 1000);
    request["NextToken"] = page["NextToken"].clone();
    assert_eq!(client.call("/listFragments", &request).await.status.as_u16(), 200);
    // What is answered at once: a page of a day may take so long that five are no second's.
    let request = json!({ "StreamName": "small", "FragmentSelector": request["FragmentSelector"] });
    let mut granted = 0;
    let began = Instant::now();
    while client.call("/listFragments", &request).await.status.as_u16() == 200 {
        granted += 1;
        assert!(granted < 100, "there is no limit");
    }
    assert!(granted == 5 || (granted > 5 && began.elapsed() >= Duration::from_secs(1)), "{granted}");
    // A fragment of more than 1 kB takes longer than a second.
    let request = json!({ "StreamName": "day", "Fragments": [page["Fragments"][0]["FragmentNumber"]] });
    let began = Instant::now();
    let body = client.call("/getMediaForFragmentList", &request).await.body;
    assert_eq!(chunks(&body)[0].blocks.len(), 50);
    assert!(body.len() > 1150 && began.elapsed() >= Duration::from_secs(1), "{} bytes", body.len());
    program.stop("-TERM");
}

#[test]
fn it_says_what_is_wrong_with_its_arguments() {
    for (arguments, wanted) in [
        (vec!["--stream", "demo=/nowhere.mkv"], "/nowhere.mkv"),
        (vec!["--stream", "a b"], "no stream name"),
        (vec!["--listen", "somewhere"], "--listen"),
        (vec!["--stream", "demo", "--retention", "0"], "--retention"),
        (vec!["--stream", "demo", "--rate", "fast"], "25MB"),
        (vec!["--long-stream", "demo"], "NAME=FILE"),
        (vec!["--long-stream", "demo=/nowhere.mkv"], "/nowhere.mkv"),
        (vec!["--stream", "demo", "--tls-ca-file", "ca.pem"], "--tls"),
        (vec!["--stream", "demo", "--put-media-listen", "127.0.0.1:0"], "--tls"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvs-emulator"));
        if !arguments.contains(&"--listen") {
            // What is wrong must be told, and not that somebody listens at the default port.
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let output = command.args(&arguments).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(wanted), "{said}");
    }
}
