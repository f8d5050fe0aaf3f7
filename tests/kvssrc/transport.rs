//! TLS, HTTP/1.1 and HTTP/2, connections that are shared, proxies, and how much is read ahead.

use std::collections::HashSet;
use std::io::Write;
use std::process::Command;

use gst::ResourceError;
use gst::prelude::*;
use kvs_emulator::identity::CredentialServer;
use kvs_emulator::{Emulator, Operation};

use super::body::{Fragment, body};
use super::credentials::iot_source;
use super::relay::Relay;
use super::support::{
    END, PATIENCE, Pipeline, STREAM, emulator, init, run, source, source_for_ever, source_without_patience, wait_until,
};

const CAPS: &str = "audio/x-alaw";

fn fragments() -> Vec<Fragment> {
    (0..5).map(|index| Fragment::audio(index, 20)).collect()
}

/// Fragments of a MiB each.
fn large_fragments(count: u64) -> Vec<Fragment> {
    let large = |index| {
        let mut fragment = Fragment::audio(index, 8);
        for (number, block) in fragment.blocks.iter_mut().enumerate() {
            block.payload = vec![u8::try_from(number).unwrap(); 128 << 10];
        }
        fragment
    };
    (0..count).map(large).collect()
}

/// An emulator that speaks TLS.
fn secure(http2: bool, fragments: &[Fragment]) -> Emulator {
    init();
    let emulator = Emulator::builder().tls(true).http2(http2).end_at_head(true).start().unwrap();
    emulator.import_bytes(STREAM, body(fragments)).unwrap();
    emulator
}

/// Properties with which a source trusts an emulator.
fn trusting(source: &str, emulator: &Emulator) -> String {
    format!("{source} ca-file={}", emulator.ca_file().unwrap().display())
}

fn asked(emulator: &Emulator, operation: Operation) -> usize {
    emulator.requests().iter().filter(|request| request.operation == operation).count()
}

fn pull(sink: &gst_app::AppSink, fragments: &[Fragment]) {
    for block in fragments.iter().flat_map(|fragment| &fragment.blocks) {
        let sample = sink.try_pull_sample(PATIENCE).expect("a frame");
        assert!(sample.buffer().unwrap().map_readable().unwrap().as_slice() == block.payload);
    }
}

#[test]
fn http2_under_tls_where_the_server_offers_it_and_http1_else() {
    for (http2, version) in [(true, "HTTP/2.0"), (false, "HTTP/1.1")] {
        let emulator = secure(http2, &fragments());
        let outcome = run(&trusting(&source(&emulator), &emulator), CAPS).ok();
        assert_eq!(outcome.frames.len(), 100);
        let requests = emulator.requests();
        assert!(requests.iter().any(|request| request.operation == Operation::GetMedia));
        for request in requests {
            assert_eq!(format!("{:?}", request.http_version), version);
        }
    }
}

#[test]
fn a_server_that_no_known_authority_vouches_for_is_refused_at_once() {
    let (emulator, other) = (secure(true, &fragments()), secure(true, &fragments()));
    // For ever patient, were it not permanent.
    let source = source_for_ever(&emulator);
    for (source, reason) in [(trusting(&source, &other), "BadSignature"), (source, "UnknownIssuer")] {
        let text = run(&source, CAPS).failed(ResourceError::OpenRead);
        assert!(text.contains("certificate is not trusted") && text.contains("ca-file"), "{text}");
        // Authorities of emulators have one name, but not one key.
        assert!(text.contains(reason), "{text}");
    }
    assert!(emulator.requests().is_empty());
}

#[test]
fn a_ca_file_that_is_no_use_is_named() {
    let emulator = secure(true, &fragments());
    let mut empty = tempfile::NamedTempFile::new().unwrap();
    writeln!(empty, "no certificate").unwrap();
    let empty = empty.path().display().to_string();
    for file in ["/nowhere/authority.pem", &empty] {
        let text = run(&format!("{} ca-file={file}", source(&emulator)), CAPS).failed(ResourceError::Settings);
        assert!(text.contains(file) && text.contains("ca-file"), "{text}");
    }
    assert!(emulator.requests().is_empty());
}

#[test]
fn elements_share_their_connections() {
    for http2 in [true, false] {
        let emulator = secure(http2, &fragments());
        emulator.import_bytes("other", body(&fragments())).unwrap();
        let source = trusting(&source(&emulator), &emulator);
        run(&source, CAPS).ok();
        run(&source.replace(&format!("stream={STREAM}"), "stream=other"), CAPS).ok();
        let connections = |stream| -> HashSet<u64> {
            let requests = emulator.requests().into_iter();
            requests
                .filter(|request| request.stream.as_deref() == Some(stream))
                .map(|request| request.connection)
                .collect()
        };
        let (first, second) = (connections(STREAM), connections("other"));
        assert!(!first.is_disjoint(&second), "{first:?} {second:?}");
        if http2 {
            assert_eq!(first.union(&second).count(), 1);
        }
    }
}

#[test]
fn readers_of_one_stream_share_its_endpoint_but_not_with_other_credentials() {
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&fragments())).unwrap();
    emulator.set_end_at_head(STREAM, false).unwrap();
    let source = format!("{} start-selector=earliest", source_for_ever(&emulator));
    let pipelines = [0, 1].map(|_| {
        let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
        let sink = pipeline.sink(CAPS);
        pipeline.play();
        pull(&sink, &fragments());
        pipeline
    });
    assert_eq!((asked(&emulator, Operation::GetDataEndpoint), asked(&emulator, Operation::GetMedia)), (1, 2));
    let stranger = source.replace(emulator.secret_key(), "not-the-secret");
    run(&stranger, CAPS).failed(ResourceError::NotAuthorized);
    assert_eq!((asked(&emulator, Operation::GetDataEndpoint), asked(&emulator, Operation::GetMedia)), (2, 2));
    drop(pipelines);
}

#[test]
fn a_stream_that_is_silent_for_longer_than_the_read_timeout_loses_nothing() {
    for http2 in [true, false] {
        let fragments = fragments();
        let emulator = secure(http2, &fragments[..2]);
        emulator.set_end_at_head(STREAM, false).unwrap();
        let source = format!("{} start-selector=earliest read-timeout=200", source_for_ever(&emulator));
        let pipeline = Pipeline::new(&format!("{} ! appsink name=sink sync=false", trusting(&source, &emulator)));
        let sink = pipeline.sink(CAPS);
        pipeline.play();
        pull(&sink, &fragments[..2]);
        let before = asked(&emulator, Operation::GetMedia);
        wait_until("further calls", || asked(&emulator, Operation::GetMedia) >= before + 2);
        emulator.import_bytes(STREAM, body(&fragments[2..])).unwrap();
        pull(&sink, &fragments[2..]);
    }
}

/// A TCP connection that a router has forgotten gives no sign of it, and HTTP/2 would go on using it.
#[test]
fn a_dead_connection_is_left_for_a_new_one() {
    init();
    let fragments = fragments();
    // Names as its own whatever address it was asked by.
    let emulator = Emulator::builder().tls(true).listen(([0, 0, 0, 0], 0).into()).start().unwrap();
    emulator.import_bytes(STREAM, body(&fragments[..2])).unwrap();
    let relay = Relay::to(([127, 0, 0, 1], emulator.address().port()).into());
    let source = source_for_ever(&emulator).replace(&emulator.url(), &format!("https://{}", relay.address));
    let source = format!("{} start-selector=earliest read-timeout=1000", trusting(&source, &emulator));
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
    let sink = pipeline.sink(CAPS);
    pipeline.play();
    pull(&sink, &fragments[..2]);
    relay.cut_silently();
    emulator.import_bytes(STREAM, body(&fragments[2..])).unwrap();
    pull(&sink, &fragments[2..]);
    let connections: HashSet<u64> = emulator.requests().iter().map(|request| request.connection).collect();
    assert!(connections.len() > 1);
}

/// What a pipeline that takes nothing lets the emulator send, while another one reads all of the same stream.
#[track_caller]
fn sent_ahead(emulator: &Emulator, source: &str, fragments: &[Fragment], state: gst::State) -> u64 {
    let frames = fragments.iter().map(|fragment| fragment.blocks.len()).sum::<usize>();
    let read_all = || assert_eq!(run(&format!("{source} {END}"), CAPS).ok().frames.len(), frames);
    read_all();
    let whole = emulator.bytes_sent();
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false max-buffers=1"));
    let sink = pipeline.sink(CAPS);
    pipeline.set_state(state).unwrap();
    assert!(pipeline.state(PATIENCE).0.is_ok());
    read_all();
    let ahead = emulator.bytes_sent() - 2 * whole;
    pipeline.play();
    pull(&sink, fragments);
    ahead
}

/// Under HTTP/2 the emulator cannot send what kvssrc has no room for.
#[test]
fn a_paused_pipeline_reads_no_further_ahead_than_it_may() {
    let fragments = large_fragments(16);
    let emulator = secure(true, &fragments);
    let source = format!("{} start-selector=earliest", trusting(&source_for_ever(&emulator), &emulator));
    let ahead = sent_ahead(&emulator, &source, &fragments, gst::State::Paused);
    // What may be buffered, and the frames that are in the pipeline itself.
    assert!(ahead <= (4 << 20) + (512 << 10), "{ahead}");
}

/// Under HTTP/1.1 the kernel's buffers take some 36 MiB at most, whether or not it is read.
#[test]
fn a_slow_pipeline_stops_the_reading() {
    let fragments = large_fragments(96);
    let emulator = emulator();
    emulator.import_bytes(STREAM, body(&fragments)).unwrap();
    let source = format!("{} start-selector=earliest", source_for_ever(&emulator));
    let ahead = sent_ahead(&emulator, &source, &fragments, gst::State::Playing);
    assert!(ahead <= 48 << 20, "{ahead}");
}

#[test]
fn pipelines_that_take_nothing_do_not_stop_others_on_their_connection() {
    const PAUSED: u64 = 8;
    let fragments = large_fragments(4);
    let emulator = secure(true, &fragments);
    let source = trusting(&source(&emulator), &emulator);
    let paused = (0..PAUSED).map(|_| {
        let pipeline = Pipeline::new(&format!("{source} max-buffered-bytes=1 ! fakesink sync=false"));
        pipeline.set_state(gst::State::Paused).unwrap();
        pipeline
    });
    let paused: Vec<_> = paused.collect();
    wait_until("a MiB for each", || emulator.bytes_sent() >= PAUSED << 20);
    assert_eq!(run(&source, CAPS).ok().frames.len(), 32);
    let connections: HashSet<u64> = emulator.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 1);
    drop(paused);
}

/// Proxies are named in the environment, which only another process can have to itself.
#[test]
fn proxies_of_the_environment() {
    const CHILD: &str = "KVS_TEST_SOURCE";
    if let Ok(source) = std::env::var(CHILD) {
        let outcome = run(&source, CAPS);
        if source.contains("retry-timeout=0") {
            let text = outcome.failed(ResourceError::OpenRead);
            assert!(!text.contains("hush") && !text.contains("dXNlcjpodXNo"), "{text}");
        } else {
            assert_eq!(outcome.ok().frames.len(), 100);
        }
        return;
    }
    let child = |source: &str, environment: &[(&str, &str)]| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().to_lowercase().ends_with("_proxy"))
        {
            child.env_remove(name);
        }
        let output = child
            .args(["--exact", "transport::proxies_of_the_environment", "--nocapture"])
            .env(CHILD, source)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    };

    let plain = emulator();
    plain.import_bytes(STREAM, body(&fragments())).unwrap();
    let secure = secure(true, &fragments());
    let secure_source = trusting(&source(&secure), &secure);

    let proxy = Relay::proxy();
    let url = format!("http://user:hush@{}", proxy.address);
    child(&source(&plain), &[("http_proxy", &url)]);
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("POST {}/", plain.url())), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpodxno\r\n"), "{head}");
    }

    let proxy = Relay::proxy();
    let url = format!("http://user:hush@{}", proxy.address);
    child(&secure_source, &[("HTTPS_PROXY", &url)]);
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {} ", secure.address())), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpodXNo\r\n"), "{head}");
    }
    assert!(secure.requests().iter().all(|request| format!("{:?}", request.http_version) == "HTTP/2.0"));

    let server = CredentialServer::start(&plain).unwrap();
    let proxy = Relay::proxy();
    let url = format!("http://user:hush@{}", proxy.address);
    child(&iot_source(&plain, &server).replace("retry-timeout=0", ""), &[("HTTPS_PROXY", &url)]);
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with(&format!("CONNECT {} ", server.iot_endpoint())), "{heads:?}");

    let proxy = Relay::proxy();
    let url = format!("http://{}", proxy.address);
    for source in [&source(&plain), &secure_source] {
        child(source, &[("http_proxy", &url), ("https_proxy", &url), ("NO_PROXY", "127.0.0.1")]);
    }
    assert!(proxy.heads().is_empty());

    // Nobody listens there: the error tells no password.
    let nobody = "http://user:hush@127.0.0.1:1";
    child(&source_without_patience(&plain), &[("http_proxy", nobody)]);
    child(&format!("{secure_source} retry-timeout=0"), &[("https_proxy", nobody)]);
}
