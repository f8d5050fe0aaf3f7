//! Credentials of kvssrc's own sources: files and IoT certificates, renewed while a pipeline goes on.

use std::path::Path;
use std::time::{Duration, SystemTime};

use gst::ResourceError;
use gst::prelude::*;
use kvs_emulator::identity::{CredentialServer, Party, Pem, Refusal};
use kvs_emulator::{Emulator, Fault, Keys, Operation, Repeat};
use serde_json::json;

use super::body::{Fragment, body};
use super::support::{END, PATIENCE, Pipeline, STREAM, emulator_with_body, run, wait_until};

/// An emulator with ten frames to read.
pub fn emulator() -> Emulator {
    emulator_with_body(body(&[Fragment::audio(0, 10)]))
}

/// kvssrc without any credentials, and without patience.
pub fn source(emulator: &Emulator) -> String {
    format!(
        "kvssrc name=source stream={STREAM} start-selector=earliest {END} retry-timeout=0 aws-region={} endpoint-url={}",
        emulator.region(),
        emulator.url()
    )
}

/// `iot-certificate` with the files that the endpoint takes.
pub fn iot_certificate(server: &CredentialServer) -> String {
    iot_certificate_of(server, [Pem::Certificate, Pem::Key, Pem::Authority])
}

fn iot_certificate_of(server: &CredentialServer, files: [Pem; 3]) -> String {
    let [certificate, key, authority] = files.map(|file| server.pem(file).display().to_string());
    format!(
        "iot-certificate,endpoint={},cert-path={certificate},key-path={key},ca-path={authority},role-aliases=viewer",
        server.iot_endpoint()
    )
}

/// kvssrc with an IoT certificate.
pub fn iot_source(emulator: &Emulator, server: &CredentialServer) -> String {
    format!("{} iot-certificate=\"{}\"", source(emulator), iot_certificate(server))
}

/// The access key that signed the last request.
pub fn last_used(emulator: &Emulator) -> String {
    emulator.requests().last().and_then(|request| request.access_key.clone()).expect("a signed request")
}

/// A pipeline that runs again and again with one element.
struct Viewer(gst::Element);

impl Viewer {
    fn new(source: &str) -> Self {
        Self(gst::parse::launch(&format!("{source} ! fakesink sync=false")).unwrap())
    }

    /// Reads the stream from its beginning to its end.
    #[track_caller]
    fn watch(&self) {
        let message = self.ending();
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    }

    /// Reads the stream, which must fail.
    #[track_caller]
    fn fail(&self) -> String {
        let message = self.ending();
        let gst::MessageView::Error(error) = message.view() else { panic!("{message:?}") };
        error.error().to_string()
    }

    fn ending(&self) -> gst::Message {
        self.ending_after(|| ())
    }

    /// The same, when this has been done while it plays.
    fn ending_after(&self, meanwhile: impl FnOnce()) -> gst::Message {
        let bus = self.0.bus().unwrap();
        let _ = self.0.set_state(gst::State::Playing);
        meanwhile();
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        self.0.set_state(gst::State::Null).unwrap();
        message
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

pub fn write_keys(path: &Path, keys: &Keys) {
    let Keys { access_key, secret_key, session_token, .. } = keys;
    let text = format!("CREDENTIALS {access_key} {} {secret_key} {session_token}\n", keys.expiration_text());
    std::fs::write(path, text).unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_file_of_keys() {
    let emulator = emulator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    std::fs::write(&path, format!("CREDENTIALS {} {}", emulator.access_key(), emulator.secret_key())).unwrap();
    run(&format!("{} credential-path={}", source(&emulator), path.display()), "ANY").ok();
    assert_eq!(last_used(&emulator), emulator.access_key());
}

#[test]
fn a_file_of_temporary_keys_that_is_written_again() {
    let emulator = emulator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let viewer = Viewer::new(&format!("{} credential-path={}", source(&emulator), path.display()));
    for _ in 0..2 {
        let keys = emulator.issue(HOUR);
        write_keys(&path, &keys);
        viewer.watch();
        assert_eq!(last_used(&emulator), keys.access_key);
        emulator.revoke(&keys);
    }
    // In the middle of being written: what it held before is used.
    let keys = emulator.issue(HOUR);
    write_keys(&path, &keys);
    viewer.watch();
    for text in ["", "CREDENTIALS", "CREDENTIALS ASIA 2999-01-01T00:00:00Z"] {
        std::fs::write(&path, text).unwrap();
        viewer.watch();
        assert_eq!(last_used(&emulator), keys.access_key);
    }
}

#[test]
fn a_file_that_was_good_is_waited_for() {
    let emulator = emulator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let properties = format!("credential-path={}", path.display());
    let source = source(&emulator).replace("retry-timeout=0", "");
    let viewer = Viewer::new(&format!("{source} {properties}"));
    let keys = emulator.issue(Duration::from_secs(2));
    write_keys(&path, &keys);
    viewer.watch();
    wait_until("they expire", || SystemTime::now() >= keys.expiration);
    std::fs::write(&path, "CREDENTIALS").unwrap();
    let keys = emulator.issue(HOUR);
    let bus = viewer.0.bus().unwrap();
    let message = viewer.ending_after(|| {
        let told = bus.iter_timed_filtered(PATIENCE, &[gst::MessageType::Element, gst::MessageType::Error]);
        let reconnects = |message: &gst::Message| {
            message.structure().is_some_and(|structure| structure.get("state") == Ok("reconnecting"))
        };
        assert!(told.take_while(|message| message.type_() == gst::MessageType::Element).any(|it| reconnects(&it)));
        write_keys(&path, &keys);
    });
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    assert_eq!(last_used(&emulator), keys.access_key);
}

#[test]
fn a_file_that_is_of_no_use() {
    let emulator = emulator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let source = format!("{} credential-path={}", source(&emulator), path.display());
    let fails = |kind| {
        let text = run(&source, "ANY").failed(kind);
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(!text.contains("hush"), "{text}");
        text
    };
    assert!(fails(ResourceError::Settings).contains("No such file"));
    std::fs::write(&path, "AKIA hush").unwrap();
    assert!(fails(ResourceError::Settings).contains("CREDENTIALS"));
    std::fs::write(&path, "CREDENTIALS AKIA hush hushtoken").unwrap();
    assert!(fails(ResourceError::Settings).contains("RFC 3339"));
    std::fs::write(&path, "CREDENTIALS ASIA 2020-01-01T00:00:00Z hush hushtoken").unwrap();
    assert!(fails(ResourceError::NotAuthorized).contains("expired at 2020-01-01T00:00:00Z"));
    assert!(emulator.requests().is_empty());
}

#[test]
fn an_iot_certificate() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    run(&iot_source(&emulator, &server), "ANY").ok();
    let named = iot_source(&emulator, &server).replace("viewer", "viewer,iot-thing-name=gate");
    run(&named, "ANY").ok();
    let [first, second] = server.requests().try_into().unwrap();
    assert_eq!((first.party, second.party), (Party::Iot, Party::Iot));
    assert_eq!(first.asked, json!({ "roleAlias": "viewer", "thingName": STREAM }));
    assert_eq!(second.asked, json!({ "roleAlias": "viewer", "thingName": "gate" }));
    assert_eq!(last_used(&emulator), server.issued()[1].access_key);
}

#[test]
fn an_iot_certificate_that_is_refused() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let source = source(&emulator);
    let fails = |certificate: &str, kind, says: &str| {
        let text = run(&format!("{source} iot-certificate=\"{certificate}\""), "ANY").failed(kind);
        assert!(text.contains(says), "{text}");
    };
    let files = |files| iot_certificate_of(&server, files);
    let stranger = files([Pem::StrangeCertificate, Pem::StrangeKey, Pem::Authority]);
    fails(&stranger, ResourceError::NotAuthorized, "strange-certificate.pem");
    let strange_endpoint = files([Pem::Certificate, Pem::Key, Pem::StrangeAuthority]);
    fails(&strange_endpoint, ResourceError::Settings, "ca-path");
    fails(&files([Pem::Certificate, Pem::StrangeKey, Pem::Authority]), ResourceError::Settings, "key-path");
    fails(&files([Pem::Key, Pem::Key, Pem::Authority]), ResourceError::Settings, "cert-path");
    fails(&files([Pem::Certificate, Pem::Certificate, Pem::Authority]), ResourceError::Settings, "key-path");
    let missing = iot_certificate(&server).replace("authority.pem", "nothing.pem");
    fails(&missing, ResourceError::Settings, "nothing.pem");
    let incomplete = iot_certificate(&server).replace("role-aliases=viewer", "connection-timeout=5");
    fails(&incomplete, ResourceError::Settings, "role-aliases");
    let nowhere = iot_certificate(&server).replace(&server.iot_endpoint(), "iot.invalid");
    fails(&nowhere, ResourceError::OpenRead, "iot.invalid");
    assert!(server.requests().is_empty());

    let certificate = iot_certificate(&server);
    server.set_refusal(Some(Refusal::new(403, "", "Access Denied")));
    fails(&certificate, ResourceError::NotAuthorized, "Access Denied");
    server.set_refusal(Some(Refusal::new(500, "", "Internal Failure")));
    fails(&certificate, ResourceError::OpenRead, "Internal Failure");
    server.set_refusal(None);
    server.set_lifetime(Duration::ZERO);
    fails(&certificate, ResourceError::OpenRead, "clock");
    assert!(emulator.requests().is_empty());
}

#[test]
fn a_refresh_that_fails_is_tried_again_while_the_old_credentials_are_valid() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let viewer = Viewer::new(&iot_source(&emulator, &server));
    // They age after half of it, and the other half is time enough for any machine to see what comes then.
    server.set_lifetime(Duration::from_secs(16));
    viewer.watch();
    server.set_lifetime(HOUR);
    server.set_refusal(Some(Refusal::new(500, "", "Internal Failure")));
    wait_until("a refresh fails", || {
        viewer.watch();
        server.requests().len() > 1
    });
    viewer.watch();
    assert_eq!(last_used(&emulator), server.issued()[0].access_key);
    server.set_refusal(None);
    wait_until("a refresh succeeds", || {
        viewer.watch();
        server.issued().len() > 1 && last_used(&emulator) == server.issued()[1].access_key
    });
    assert!(SystemTime::now() < server.issued()[0].expiration, "the first ones were used for too long to tell");
}

#[test]
fn a_connection_that_stands_does_not_keep_credentials_from_being_renewed() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream(STREAM).unwrap();
    let server = CredentialServer::start(&emulator).unwrap();
    server.set_lifetime(Duration::from_secs(4));
    let source = iot_source(&emulator, &server).replace("start-selector=earliest", "").replace(END, "");
    let pipeline = Pipeline::new(&format!("{source} ! audio/x-alaw ! fakesink sync=false"));
    pipeline.play();
    wait_until("they are renewed", || server.issued().len() > 1);
    server.set_refusal(Some(Refusal::new(500, "", "Internal Failure")));
    let bus = pipeline.bus().unwrap();
    let told = loop {
        let types = [gst::MessageType::Element, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("nothing is told");
        let gst::MessageView::Element(element) = message.view() else { panic!("{message:?}") };
        let structure = element.structure().unwrap();
        match structure.name().as_str() {
            "kvs-credentials" => break structure.to_owned(),
            name => assert!(name != "kvs-connection" || structure.get("state") != Ok("reconnecting"), "{structure}"),
        }
    };
    assert!(told.get::<&str>("reason").unwrap().contains("Internal Failure"), "{told}");
    let expirations: Vec<_> = server.issued().iter().map(|keys| keys.expiration).collect();
    let expiration = SystemTime::UNIX_EPOCH + Duration::from_nanos(told.get::<i64>("expiration").unwrap() as u64);
    assert!(expirations.contains(&expiration), "{told}");
    let issued = expirations.len();
    server.set_refusal(None);
    wait_until("they are renewed once more", || server.issued().len() > issued);
    let calls = emulator.requests().iter().filter(|request| request.operation == Operation::GetMedia).count();
    assert_eq!(calls, 1);
}

#[test]
fn credentials_that_expire_are_replaced_before_they_are_used() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let viewer = Viewer::new(&iot_source(&emulator, &server));
    server.set_lifetime(Duration::from_secs(2));
    viewer.watch();
    server.set_refusal(Some(Refusal::new(500, "", "Internal Failure")));
    // On a slow machine others may have been fetched by then.
    let expiration = server.issued().last().unwrap().expiration;
    wait_until("they expire", || SystemTime::now() >= expiration);
    let error = viewer.fail();
    assert!(error.contains("Internal Failure"), "{error}");
    server.set_refusal(None);
    server.set_lifetime(HOUR);
    viewer.watch();
    assert_eq!(last_used(&emulator), server.issued().last().unwrap().access_key);
}

#[test]
fn credentials_are_fetched_once_for_all_connections() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let viewer = Viewer::new(&iot_source(&emulator, &server));
    for _ in 0..5 {
        viewer.watch();
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn credentials_that_the_service_takes_no_longer_are_replaced() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let viewer = Viewer::new(&iot_source(&emulator, &server));
    viewer.watch();
    emulator.revoke(&server.issued()[0]);
    viewer.watch();
    assert_eq!(last_used(&emulator), server.issued()[1].access_key);
    for (operation, issued) in [(Operation::GetDataEndpoint, 3), (Operation::GetMedia, 4)] {
        let fault = Fault::http(operation, 403, "ExpiredTokenException", "The security token has expired");
        emulator.set_fault(STREAM, fault, Repeat::Once);
        // The data endpoint is known until all of the connection before is gone.
        wait_until("others are asked for", || {
            viewer.watch();
            server.issued().len() == issued
        });
    }
    assert_eq!(server.issued().len(), 4);
    // Others would be refused as well.
    let denied = Fault::http(Operation::GetMedia, 403, "AccessDeniedException", "Not allowed");
    emulator.set_fault(STREAM, denied, Repeat::Once);
    let error = viewer.fail();
    assert!(error.contains("AccessDeniedException"), "{error}");
    assert_eq!(server.issued().len(), 4);
}

#[test]
fn a_refusal_does_not_end_a_stream_while_the_source_is_away() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let viewer = Viewer::new(&iot_source(&emulator, &server).replace("retry-timeout=0", ""));
    viewer.watch();
    emulator.revoke(&server.issued()[0]);
    server.set_refusal(Some(Refusal::new(503, "", "Not now")));
    let message = viewer.ending_after(|| {
        wait_until("others are asked for", || server.requests().len() > 1);
        server.set_refusal(None);
    });
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    assert_eq!(last_used(&emulator), server.issued()[1].access_key);
}

#[test]
fn the_first_source_that_is_set_is_used() {
    let emulator = emulator();
    let server = CredentialServer::start(&emulator).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let of_file = emulator.issue(HOUR);
    write_keys(&path, &of_file);
    let keys = format!("access-key={} secret-key={}", emulator.access_key(), emulator.secret_key());
    let file = format!("credential-path={}", path.display());
    let iot = format!("iot-certificate=\"{}\"", iot_certificate(&server));
    let rest = "cognito-identity-pool-id=us-west-2:0 profile=nobody aws-region=us-west-2";
    let used = |properties: &[&str]| {
        run(&format!("{} {}", source(&emulator), properties.join(" ")), "ANY").ok();
        last_used(&emulator)
    };
    assert_eq!(used(&[&keys, &file, &iot, rest]), emulator.access_key());
    assert_eq!(used(&[&file, &iot, rest]), of_file.access_key);
    assert_eq!(server.requests().len(), 0);
    let of_iot = used(&[&iot, rest]);
    assert_eq!(of_iot, server.issued()[0].access_key);
}
