//! Refusals that are not in the service's own form: those of what stands before it, and of what stands between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use gst::ResourceError;
use kvs_emulator::{Fault, Repeat};

use super::body::{Fragment, body};
use super::support::{STREAM, emulator, emulator_with_body, run, source, source_without_patience};

/// Answers every request so.
fn answering(status: u16, content_type: &str, text: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 {status} Because\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    thread::spawn(move || listener.incoming().flatten().for_each(|client| drop(respond(client, &answer))));
    address
}

fn respond(mut client: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length])?;
    client.write_all(answer.as_bytes())
}

const DENIED: &str = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n";
const NGINX: &str = "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// Refusals: status, type, body, the error's kind, and what it says.
fn refusals() -> Vec<(u16, &'static str, &'static str, ResourceError, &'static [&'static str])> {
    use ResourceError::{NotAuthorized, OpenRead};
    let unknown = "<UnknownOperationException/>";
    let expired = "<ExpiredTokenException><Message>The token has expired</Message></ExpiredTokenException>";
    vec![
        (403, "application/xml", DENIED, NotAuthorized, &["Unable to determine service/operation", "AccessDenied"]),
        (403, "", DENIED, NotAuthorized, &["Unable to determine service/operation", "AccessDeniedException"]),
        (403, "text/html", NGINX, NotAuthorized, &["403 Forbidden: nginx", "HTTP 403"]),
        (403, "text/plain", "Blocked by rule 17", NotAuthorized, &["Blocked by rule 17 (HTTP 403)"]),
        (401, "text/plain", "Who are you?", NotAuthorized, &["Who are you? (HTTP 401)"]),
        (404, "text/xml", unknown, OpenRead, &["UnknownOperationException"]),
        (404, "text/html", "<h1>Not here</h1>", OpenRead, &["Not here (HTTP 404)"]),
        (502, "text/html", "<h1>Bad Gateway</h1>", OpenRead, &["Bad Gateway (HTTP 502)"]),
        (503, "", "", OpenRead, &["HTTP 503"]),
        (400, "text/xml", expired, NotAuthorized, &["AWS refused the credentials", "The token has expired"]),
    ]
}

#[test]
fn refusals_in_xml_html_or_plain_text_show_their_own_reason() {
    for (status, content_type, body, kind, says) in refusals() {
        let emulator = emulator();
        let address = answering(status, content_type, body);
        let source = source_without_patience(&emulator).replace(&emulator.url(), &format!("http://{address}"));
        let text = run(&source, "ANY").failed(kind);
        // The first line is what users see.
        let shown = text.lines().next().unwrap();
        for part in says {
            assert!(shown.contains(part), "{body}: {text}");
        }
        let credentials = says.iter().any(|part| part.contains("credentials"));
        assert_eq!(shown.contains("credentials"), credentials, "{body}: {text}");
        assert!(!text.contains("unnamed") && !shown.contains("There is no stream"), "{body}: {text}");
    }
}

#[test]
fn data_endpoints_refuse_in_other_forms_too() {
    for (status, content_type, text, kind, says) in refusals() {
        let emulator = emulator_with_body(body(&[Fragment::audio(0, 10)]));
        let endpoint = format!("http://{}", answering(status, content_type, text));
        emulator.set_fault(STREAM, Fault::DataEndpoint(endpoint), Repeat::Always);
        let outcome = run(&source_without_patience(&emulator), "ANY").failed(kind);
        assert!(says.iter().all(|part| outcome.lines().next().unwrap().contains(part)), "{text}: {outcome}");
    }
}

/// A hotel's network may say yes to everything: it is waited for, and its page is told.
#[test]
fn an_answer_that_is_a_page_is_no_answer_of_the_service() {
    let emulator = emulator();
    let address = answering(200, "text/html", "<title>Welcome to the guest network</title>");
    let source = source(&emulator).replace(&emulator.url(), &format!("http://{address}"));
    let text = run(&format!("{source} retry-timeout=300"), "ANY").failed(ResourceError::OpenRead);
    assert!(text.contains("no answer of the service") && text.contains("Welcome to the guest network"), "{text}");
}
