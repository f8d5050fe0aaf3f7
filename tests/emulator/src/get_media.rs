//! GetMedia: where a reader begins, and the body that it then follows.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::control;
use crate::error::ServiceError;
use crate::fault::Fault;
use crate::fragment::{Fragment, Read, bare_header};
use crate::matroska;
use crate::number::FragmentNumber;
use crate::server::Context;
use crate::stream::{MissingStart, Stream};

/// The error id of a start behind a fragment that is not there.
const FRAGMENT_NOT_FOUND: u32 = 4000;

/// A body that is being sent.
pub(crate) struct Body {
    stream: Arc<Stream>,
    changes: watch::Receiver<u64>,
    position: Position,
    /// What is to be sent before anything else.
    ready: VecDeque<Bytes>,
    current: Option<(Arc<Fragment>, usize)>,
    /// Whether to end where nothing more is stored, unless the stream says otherwise.
    end_at_head: bool,
    ended: bool,
    fault: Option<Fault>,
    whole_fragments: u64,
    sent: u64,
}

/// Where the next fragment is looked for.
enum Position {
    /// The latest fragment, or the first to come.
    Now,
    /// The earliest fragment.
    Earliest,
    /// The fragment that contains this moment, or the first behind it; milliseconds since 1970.
    Producer(u64),
    Server(u64),
    /// The fragment after this one.
    After(FragmentNumber),
}

/// Answers a request with the body that it asks for.
pub(crate) fn get_media(context: &Context, request: &Value, fault: Option<Fault>) -> Result<Body, ServiceError> {
    let stream = control::find_active_stream(context, request)?;
    let position = position(request)?;
    let mut body = Body {
        changes: stream.follow(),
        stream,
        position,
        ready: VecDeque::new(),
        current: None,
        end_at_head: context.end_at_head,
        ended: false,
        fault,
        whole_fragments: 0,
        sent: 0,
    };
    if let Some(verbatim) = body.stream.verbatim() {
        body.ready.extend(slices(verbatim));
        body.ended = true;
    } else if let Position::After(number) = &body.position
        && !body.stream.holds(number)
    {
        match body.stream.missing_start().unwrap_or(context.missing_start) {
            MissingStart::ErrorTag => body.end_with_error("FRAGMENT_NOT_FOUND", FRAGMENT_NOT_FOUND),
            MissingStart::InvalidArgument => {
                return Err(ServiceError::invalid_argument(format!("Fragment {number} is not found.")));
            }
            MissingStart::GoOn => {}
        }
    }
    Ok(body)
}

fn position(request: &Value) -> Result<Position, ServiceError> {
    let invalid = |message: String| ServiceError::invalid_argument(message);
    let selector = request
        .get("StartSelector")
        .filter(|selector| selector.is_object())
        .ok_or_else(|| invalid("StartSelector is required.".to_owned()))?;
    let kind = selector
        .get("StartSelectorType")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid("StartSelectorType is required.".to_owned()))?;
    let number = |member: &str| {
        let text = selector.get(member).and_then(Value::as_str).unwrap_or_default();
        text.parse().map_err(|_| invalid(format!("{kind} needs {member}, a fragment number.")))
    };
    let moment = || {
        let seconds = selector.get("StartTimestamp").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
        let seconds = seconds.ok_or_else(|| invalid(format!("{kind} needs StartTimestamp, seconds since 1970.")))?;
        Ok((seconds * 1000.0).round() as u64)
    };
    Ok(match kind {
        "NOW" => Position::Now,
        "EARLIEST" => Position::Earliest,
        "PRODUCER_TIMESTAMP" => Position::Producer(moment()?),
        "SERVER_TIMESTAMP" => Position::Server(moment()?),
        "FRAGMENT_NUMBER" => Position::After(number("AfterFragmentNumber")?),
        "CONTINUATION_TOKEN" => Position::After(number("ContinuationToken")?),
        _ => return Err(invalid(format!("{kind} is no StartSelectorType."))),
    })
}

impl Body {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.fault {
            Some(Fault::CutAfter(limit)) if self.sent >= limit => {
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Some(Fault::StallAfter(limit)) if self.sent >= limit => return std::future::pending().await,
            _ => {}
        }
        let mut bytes = match self.undisturbed().await? {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error)),
        };
        if let Some(Fault::CutAfter(limit) | Fault::StallAfter(limit)) = self.fault {
            bytes.truncate(usize::try_from(limit - self.sent).unwrap_or(usize::MAX));
        }
        self.sent += bytes.len() as u64;
        Some(Ok(bytes))
    }

    async fn undisturbed(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            if self.ended {
                return None;
            }
            self.changes.borrow_and_update();
            match &mut self.current {
                Some((fragment, offset)) => match fragment.read(*offset) {
                    Read::Bytes(bytes) => {
                        *offset += bytes.len();
                        return Some(Ok(bytes));
                    }
                    Read::Pending => {}
                    Read::End => {
                        self.ready.push_back(fragment.trailing_tags());
                        self.position = Position::After(fragment.number.clone());
                        self.current = None;
                        self.whole_fragments += 1;
                        continue;
                    }
                    Read::Failed => return Some(Err(io::ErrorKind::ConnectionAborted.into())),
                },
                None => {
                    if self.ends_by_fault() {
                        continue;
                    }
                    if let Some(fragment) = self.find() {
                        self.ready.extend([fragment.header.clone(), fragment.leading_tags()]);
                        self.current = Some((fragment, 0));
                        continue;
                    }
                    if self.stream.is_closed() || self.stream.end_at_head().unwrap_or(self.end_at_head) {
                        return None;
                    }
                }
            }
            // The stream lives as long as this body holds it, so its changes do not end.
            let _ = self.changes.changed().await;
        }
    }

    fn find(&self) -> Option<Arc<Fragment>> {
        match &self.position {
            Position::Now => self.stream.last(),
            Position::Earliest => self.stream.first(),
            Position::Producer(moment) => self.stream.at(*moment, |fragment| fragment.producer_timestamp),
            Position::Server(moment) => self.stream.at(*moment, |fragment| fragment.server_timestamp),
            Position::After(number) => self.stream.after(number),
        }
    }

    fn ends_by_fault(&mut self) -> bool {
        match &self.fault {
            Some(Fault::EndAfterFragments(limit)) if self.whole_fragments >= *limit => self.ended = true,
            Some(Fault::BodyErrorTag { code, id, after }) if self.whole_fragments >= *after => {
                let (code, id) = (code.clone(), *id);
                self.end_with_error(&code, id);
            }
            _ => return false,
        }
        true
    }

    /// The body ends with a document of nothing but the error tags.
    fn end_with_error(&mut self, code: &str, id: u32) {
        let tags = [("AWS_KINESISVIDEO_ERROR_CODE", code.to_owned()), ("AWS_KINESISVIDEO_ERROR_ID", id.to_string())];
        self.ready.extend([bare_header(), matroska::tags(&tags).into()]);
        self.ended = true;
    }
}

fn slices(body: Bytes) -> impl Iterator<Item = Bytes> {
    const SLICE: usize = 256 * 1024;
    (0..body.len()).step_by(SLICE).map(move |start| body.slice(start..body.len().min(start + SLICE)))
}
