//! What an answer that is an error says for itself, in whatever form. The service's operations write JSON, which the SDK
//! reads; what stands before them writes XML, and proxies write HTML or plain text.

use std::borrow::Cow;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ErrorMetadata;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};

/// How much of a body is looked at, in bytes, and how much of it is told, in characters.
const LARGEST_BODY: usize = 16 << 10;
const LONGEST_TEXT: usize = 200;

/// How deep in an XML document its code and message may be.
const DEEPEST: usize = 4;

/// An error's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error's name, such as `AccessDeniedException`.
    pub code: Option<String>,
    /// One line.
    pub message: Option<String>,
}

impl Refusal {
    /// Of an answer in which the SDK found `metadata`, which may be nothing.
    pub fn of(metadata: &ErrorMetadata, answer: &HttpResponse) -> Self {
        let code = metadata.code().or_else(|| answer.headers().get("x-amzn-errortype")).and_then(name);
        let message = metadata.message().map(first_line).filter(|message| !message.is_empty());
        if message.is_some() {
            return Self { code, message };
        }
        let body = Self::of_body(answer.body().bytes().unwrap_or_default());
        // JSON without a message has nothing for people in it, where its name is known.
        let message = body.message.filter(|message| code.is_none() || !message.starts_with('{'));
        Self { code: code.or(body.code), message }
    }

    /// Of a body in XML, in HTML or in plain text.
    pub fn of_body(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body.get(..LARGEST_BODY).unwrap_or(body));
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.starts_with('<') {
            return Self { code: None, message: told(&first_line(text)) };
        }
        Self::of_xml(text).unwrap_or_else(|| Self { code: None, message: told(&html_text(text)) })
    }

    /// `None` where it is no XML, or a page for people.
    fn of_xml(text: &str) -> Option<Self> {
        let mut document = Document::new(text);
        let mut root = document.root_element().ok()?;
        let name = root.start_el().local().to_owned();
        let mut found = Self::default();
        found.search(&mut root, 0);
        let is_error = found != Self::default() || name.ends_with("Exception") || name.ends_with("Error");
        if name.eq_ignore_ascii_case("html") || !is_error {
            return None;
        }
        // `<AccessDeniedException>` around the message; `<Error>`, `<ErrorResponse>` or `<Response>` around code and message.
        if found.code.is_none() && !matches!(name.as_str(), "Error" | "ErrorResponse" | "Response") {
            found.code = Some(name);
        }
        Some(found)
    }

    fn search(&mut self, element: &mut ScopedDecoder<'_, '_>, depth: usize) {
        while let Some(mut child) = element.next_tag() {
            let place = match child.start_el().local() {
                "Code" | "code" => &mut self.code,
                "Message" | "message" => &mut self.message,
                _ if depth < DEEPEST => {
                    self.search(&mut child, depth + 1);
                    continue;
                }
                _ => continue,
            };
            let text = try_data(&mut child).ok().and_then(|text| told(&first_line(text.trim())));
            *place = place.take().or(text);
        }
    }
}

/// An error's name without the namespace before it and the address behind it.
fn name(code: &str) -> Option<String> {
    let name = code.split(':').next()?.rsplit('#').next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A refused signature is explained on further lines with the whole signed request, session token included.
pub(super) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// What of a text is told; `None` where there is nothing in it.
fn told(text: &str) -> Option<String> {
    let text = text.split(|character: char| character.is_whitespace() || character.is_control());
    let text = text.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => text.get(..end).map(|text| format!("{text}…")),
        None => (!text.is_empty()).then_some(text),
    }
}

/// The text of a page, from its title on, with nothing said twice.
fn html_text(page: &str) -> String {
    // Of the same length, in bytes.
    let lower = page.to_ascii_lowercase();
    let behind = |from: usize, end: &str| {
        let end_at = lower.get(from..).and_then(|rest| rest.find(end));
        end_at.map_or(page.len(), |at| from.saturating_add(at).saturating_add(end.len()))
    };
    let (mut said, mut at): (Vec<String>, usize) = (Vec::new(), 0);
    while let Some(rest) = page.get(at..).filter(|rest| !rest.is_empty()) {
        let text = rest.split('<').next().unwrap_or_default();
        if let Some(text) = told(&unescaped(text))
            && !said.iter().any(|said| said.contains(&text))
        {
            said.push(text);
        }
        let tag = at.saturating_add(text.len());
        let is = |name: &str| lower.get(tag..).is_some_and(|rest| rest.starts_with(name));
        at = match () {
            () if is("<!--") => behind(tag, "-->"),
            () if is("<style") => behind(tag, "</style>"),
            () if is("<script") => behind(tag, "</script>"),
            () => behind(tag, ">"),
        };
    }
    said.join(": ")
}

fn unescaped(text: &str) -> Cow<'_, str> {
    const ENTITIES: [(&str, &str); 6] =
        [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let unescaped = |text: String, (entity, character): (&str, &str)| text.replace(entity, character);
    Cow::Owned(ENTITIES.into_iter().fold(text.to_owned(), unescaped))
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::metadata::Builder as ErrorBuilder;
    use proptest::prelude::*;

    use super::*;

    fn body(text: &str) -> (Option<String>, Option<String>) {
        let refusal = Refusal::of_body(text.as_bytes());
        (refusal.code, refusal.message)
    }

    #[test]
    fn xml_html_and_plain_text_tell_their_reason() {
        let denied =
            "<AccessDeniedException>\n  <Message>Unable to determine service</Message>\n</AccessDeniedException>";
        let (open, close) = ("<Error><Code>SlowDown</Code><Message>", "</Message><Resource>/x</Resource></Error>");
        for (text, code, message) in [
            (denied, Some("AccessDeniedException"), Some("Unable to determine service")),
            ("<UnknownOperationException/>\n", Some("UnknownOperationException"), None),
            (
                &format!("<?xml version=\"1.0\"?>\n{open}Less &amp; slower{close}"),
                Some("SlowDown"),
                Some("Less & slower"),
            ),
            (
                &format!("<ErrorResponse xmlns=\"urn:x\">{open}Later{close}<RequestId>1</RequestId></ErrorResponse>"),
                Some("SlowDown"),
                Some("Later"),
            ),
            (&format!("{open}No match\nx-amz-security-token:hush{close}"), Some("SlowDown"), Some("No match")),
            (
                "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n\
                 <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
                None,
                Some("403 Forbidden: nginx"),
            ),
            (
                "<!DOCTYPE html><HTML><HEAD><STYLE>p { x > y }</STYLE><script>if (1 < 2) {}</script><TITLE>No</TITLE>\
                 <!-- <p>hidden</p> --></HEAD><BODY><P>Access&nbsp;Denied by the&#39;proxy&#39;",
                None,
                Some("No: Access Denied by the'proxy'"),
            ),
            ("<h1>Not here</h1>", None, Some("Not here")),
            ("<title>Welcome</title>", None, Some("Welcome")),
            ("  Forbidden by policy 17\nhush\n", None, Some("Forbidden by policy 17")),
            ("", None, None),
            ("<", None, None),
            ("<Error><Code>SlowDown</Code>", Some("SlowDown"), None),
        ] {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            assert_eq!(body(text), (owned(code), owned(message)), "{text}");
        }
        assert_eq!(body(&"long ".repeat(1000)).1.unwrap().chars().count(), LONGEST_TEXT + 1);
    }

    #[test]
    fn what_the_sdk_has_read_goes_first() {
        let read = |code: Option<&str>, message: Option<&str>, header: Option<&'static str>, body: &'static str| {
            let mut metadata = ErrorMetadata::builder();
            metadata = code.into_iter().fold(metadata, ErrorBuilder::code);
            metadata = message.into_iter().fold(metadata, ErrorBuilder::message);
            let mut answer = HttpResponse::new(403.try_into().unwrap(), SdkBody::from(body));
            if let Some(header) = header {
                answer.headers_mut().insert("x-amzn-errortype", header);
            }
            let refusal = Refusal::of(&metadata.build(), &answer);
            (refusal.code.unwrap_or_default(), refusal.message.unwrap_or_default())
        };
        let text = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(read(Some("A"), Some("Not so.\nhush"), None, "{}"), text("A", "Not so."));
        assert_eq!(read(Some("A"), None, None, "{\"__type\":\"A\"}"), text("A", ""));
        assert_eq!(read(None, None, None, "{\"reason\":\"B\"}"), text("", "{\"reason\":\"B\"}"));
        let header = Some("com.amazonaws#A:http://internal");
        assert_eq!(read(None, None, header, "<B><Message>Not so.</Message></B>"), text("A", "Not so."));
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in "(<(html|Error|p|!--|script)>?|[<>&;/]|Code|Message|\\PC{0,4}){0,40}") {
            let message = Refusal::of_body(body.as_bytes()).message.unwrap_or_default();
            prop_assert!(message.chars().count() <= LONGEST_TEXT + 1);
        }
    }
}
