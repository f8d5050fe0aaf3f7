//! A body that is being sent: fragments one after the other, from where a call says, and what a fault makes of them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::archive::ArchiveTags;
use crate::fault::Fault;
use crate::fragment::{Fragment, Read, bare_header};
use crate::limits::{Pace, Place};
use crate::matroska;
use crate::number::FragmentNumber;
use crate::stream::{Origin, Stream};

/// How many bytes are handed out at once at most.
const SLICE: usize = 256 * 1024;

/// A body that is being sent.
pub(crate) struct Body {
    source: Source,
    /// What is to be sent before anything else.
    ready: VecDeque<Bytes>,
    current: Option<(Arc<Fragment>, usize)>,
    /// Whether nothing follows what is ready.
    ended: bool,
    fault: Option<Fault>,
    pace: Option<Pace>,
    place: Option<Place>,
    whole_fragments: u64,
    sent: u64,
}

/// Where the fragments come from.
enum Source {
    /// Nowhere: the bytes are all there.
    Bytes,
    Follow(Follow),
    List(List),
}

/// Fragments of a stream in order of their numbers, also those to come.
pub(crate) struct Follow {
    stream: Arc<Stream>,
    changes: watch::Receiver<u64>,
    /// How often readers had been cut off before this one came.
    cuts: u64,
    position: Position,
    /// Whether to end where nothing more is stored, unless the stream says otherwise.
    end_at_head: bool,
}

/// Where the next fragment is looked for.
pub(crate) enum Position {
    /// The latest fragment, or the first to come.
    Now,
    /// The earliest fragment.
    Earliest,
    /// The fragment that contains this moment, or the first behind it; milliseconds since 1970.
    At(u64, Origin),
    /// The fragment after this one.
    After(FragmentNumber),
}

/// Fragments of the archive in the order in which they were asked for.
pub(crate) struct List {
    pub stream: Arc<Stream>,
    pub numbers: VecDeque<FragmentNumber>,
    pub tags: ArchiveTags,
    /// Whether the body ends with the first fragment that is missing.
    pub end_at_missing: bool,
    /// Numbers that are not to be found whether they are there or not.
    pub lost: Vec<FragmentNumber>,
}

/// What comes next of a source.
enum Next {
    Fragment(Arc<Fragment>),
    /// A document that is no fragment.
    Document(Bytes),
    /// Nothing yet.
    Pending,
    End,
}

impl Body {
    /// A body of bytes that are all there.
    pub fn bytes(bytes: Bytes, fault: Option<Fault>) -> Self {
        let mut body = Self::new(Source::Bytes, fault);
        let slice = |start| bytes.slice(start..bytes.len().min(start + SLICE));
        body.ready.extend((0..bytes.len()).step_by(SLICE).map(slice));
        body.ended = true;
        body
    }

    /// A body that follows a stream.
    pub fn follow(stream: Arc<Stream>, position: Position, end_at_head: bool, fault: Option<Fault>) -> Self {
        let (changes, cuts) = (stream.follow(), stream.cuts());
        Self::new(Source::Follow(Follow { stream, changes, cuts, position, end_at_head }), fault)
    }

    /// A body of fragments of the archive.
    pub fn list(list: List, fault: Option<Fault>) -> Self {
        Self::new(Source::List(list), fault)
    }

    fn new(source: Source, fault: Option<Fault>) -> Self {
        let pace = match fault {
            Some(Fault::Slow { bytes_per_second }) => Some(Pace::new(bytes_per_second)),
            _ => None,
        };
        Self {
            source,
            ready: VecDeque::new(),
            current: None,
            ended: false,
            fault,
            pace,
            place: None,
            whole_fragments: 0,
            sent: 0,
        }
    }

    /// Holds the body to so many bytes a second, unless a fault makes it slow, and keeps its place among connections.
    pub fn within(mut self, bytes_per_second: Option<u64>, place: Option<Place>) -> Self {
        self.pace = self.pace.or(bytes_per_second.map(Pace::new));
        self.place = place;
        self
    }

    /// The body ends with a document of nothing but the error tags.
    pub fn end_with_error(&mut self, code: &str, id: u32) {
        let tags = [("AWS_KINESISVIDEO_ERROR_CODE", code.to_owned()), ("AWS_KINESISVIDEO_ERROR_ID", id.to_string())];
        self.ready.extend([bare_header(), matroska::tags(&tags).into()]);
        self.ended = true;
    }

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
        if let Some(pace) = self.pace.as_ref().map(Pace::piece).filter(|piece| *piece < bytes.len()) {
            self.ready.push_front(bytes.split_off(pace));
        }
        if let Some(Fault::CutAfter(limit) | Fault::StallAfter(limit)) = self.fault {
            bytes.truncate(usize::try_from(limit - self.sent).unwrap_or(usize::MAX));
        }
        if let Some(pace) = &mut self.pace {
            pace.wait(bytes.len()).await;
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
            self.source.mark_seen();
            if self.source.is_cut() {
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            match &mut self.current {
                Some((fragment, offset)) => match fragment.read(*offset) {
                    Read::Bytes(bytes) => {
                        *offset += bytes.len();
                        return Some(Ok(bytes));
                    }
                    Read::Pending => {}
                    Read::End => {
                        self.ready.extend(self.source.passed(fragment));
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
                    match self.source.advance() {
                        Next::Fragment(fragment) => {
                            self.ready.extend([fragment.header.clone(), self.source.leading_tags(&fragment)]);
                            self.current = Some((fragment, 0));
                            continue;
                        }
                        Next::Document(document) => {
                            self.ready.push_back(document);
                            continue;
                        }
                        Next::Pending => {}
                        Next::End => return None,
                    }
                }
            }
            self.source.changed().await;
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
}

impl Source {
    /// Changes from here on are waited for; to be called before the stream is looked at, so that none is missed.
    fn mark_seen(&mut self) {
        if let Self::Follow(follow) = self {
            follow.changes.borrow_and_update();
        }
    }

    fn is_cut(&self) -> bool {
        matches!(self, Self::Follow(follow) if follow.stream.cuts() != follow.cuts)
    }

    async fn changed(&mut self) {
        match self {
            // The stream lives as long as this body holds it, so its changes do not end.
            Self::Follow(follow) => drop(follow.changes.changed().await),
            Self::Bytes | Self::List(_) => std::future::pending().await,
        }
    }

    fn advance(&mut self) -> Next {
        match self {
            Self::Bytes => Next::End,
            Self::Follow(follow) => follow.advance(),
            Self::List(list) => list.advance(),
        }
    }

    fn leading_tags(&self, fragment: &Fragment) -> Bytes {
        match self {
            Self::List(list) => list.tags.leading(fragment),
            Self::Bytes | Self::Follow(_) => fragment.leading_tags(),
        }
    }

    /// A fragment is whole; answers what stands behind it.
    fn passed(&mut self, fragment: &Fragment) -> Option<Bytes> {
        let Self::Follow(follow) = self else { return None };
        follow.position = Position::After(fragment.number.clone());
        Some(fragment.trailing_tags())
    }
}

impl Follow {
    fn advance(&self) -> Next {
        let found = match &self.position {
            Position::Now => self.stream.last(),
            Position::Earliest => self.stream.first(),
            Position::At(moment, origin) => self.stream.at(*moment, *origin),
            Position::After(number) => self.stream.after(number),
        };
        match found {
            Some(fragment) => Next::Fragment(fragment),
            None if self.stream.is_closed() || self.stream.end_at_head().unwrap_or(self.end_at_head) => Next::End,
            None => Next::Pending,
        }
    }
}

impl List {
    fn advance(&mut self) -> Next {
        let Some(number) = self.numbers.pop_front() else { return Next::End };
        let lost = self.lost.contains(&number);
        match self.stream.archived(&number).filter(|_| !lost) {
            Some(fragment) => Next::Fragment(fragment),
            None => {
                if self.end_at_missing {
                    self.numbers.clear();
                }
                Next::Document([bare_header(), self.tags.missing(&number)].concat().into())
            }
        }
    }
}
