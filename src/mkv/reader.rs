//! The push reader: pieces of a body in, elements out.

use bytes::Bytes;

use super::Element;
use super::block::{Block, Payload};
use super::children::Child;
use super::error::Error;
use super::header::{Document, Info};
use super::ids::Id;
use super::pieces::Walk;
use super::queue::Queue;
use super::tags;
use super::tracks::{self, Tracks};
use super::vint::{self, Head, MAX_HEAD, UNKNOWN};

/// Largest EBML header, Info, Tracks or Tags element, in bytes of data.
pub const MAX_HEADER_ELEMENT: u64 = 1 << 20;

/// Largest SimpleBlock or BlockGroup, in bytes of data.
pub const MAX_BLOCK: u64 = 64 << 20;

/// Reads a body of one or several Matroska documents in a row, of which nothing but the pieces pushed last and the
/// element that is not whole yet is held in memory.
///
/// It never waits and never reads a byte of an incomplete element twice: it knows how many bytes it wants next.
pub struct Reader {
    queue: Queue,
    /// Where the queue begins in the body.
    offset: u64,
    state: State,
    /// What was wrong; then nothing is read any more.
    failure: Option<Error>,
    level: Level,
    /// Where what is open at this level ends; `u64::MAX` where nothing tells.
    end: u64,
    segment: Master,
    cluster: Master,
    /// The open cluster's Timestamp was read.
    has_timestamp: bool,
}

/// What the bytes at the front of the queue are.
#[derive(Clone, Copy, Default)]
enum State {
    /// An element header.
    #[default]
    Between,
    /// An element that is read as a whole.
    Collecting(Head),
    /// The rest of an element that nobody wants.
    Skipping { offset: u64, element: Id, left: u64 },
}

/// What the front of the queue holds for the consumer.
enum Found {
    /// Nothing yet.
    Nothing,
    /// A Segment began, whose header was consumed.
    Segment,
    /// A Cluster ended.
    ClusterEnd,
    /// A whole element.
    Whole(Head),
}

/// Where in a document the reader stands.
#[derive(Clone, Copy, Default, PartialEq)]
enum Level {
    /// Before everything.
    #[default]
    Start,
    /// Behind an EBML header.
    Header,
    /// In a Segment.
    Segment,
    /// In a Cluster of a Segment.
    Cluster,
    /// Behind a Segment.
    End,
}

/// A Segment or Cluster that is open.
#[derive(Clone, Copy, Default)]
struct Master {
    offset: u64,
    /// Where it ends at the latest; `u64::MAX` where nothing tells.
    end: u64,
    /// Whether it has a size of its own.
    sized: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    pub fn new() -> Self {
        Self {
            queue: Queue::default(),
            offset: 0,
            state: State::default(),
            failure: None,
            level: Level::default(),
            end: u64::MAX,
            segment: Master::default(),
            cluster: Master::default(),
            has_timestamp: false,
        }
    }

    /// Takes over the next piece of the body, of any length. Reads nothing yet.
    pub fn push(&mut self, bytes: Bytes) {
        if self.failure.is_none() {
            self.queue.push(bytes);
        }
    }

    /// The next element that is there whole; `None`: it needs more bytes. After an error only that error comes.
    ///
    /// A Cluster of unknown size that the body's end closes has no [`Element::ClusterEnd`].
    #[allow(clippy::should_implement_trait, reason = "a None here is no end")]
    pub fn next(&mut self) -> Result<Option<Element>, Error> {
        // Blocks are built right here: an element is large, and each hand that passes it on copies it.
        let head = match self.find() {
            Ok(Found::Whole(head)) => head,
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::Segment) => return Ok(Some(Element::Segment)),
            Ok(Found::ClusterEnd) => return Ok(Some(Element::ClusterEnd)),
            Err(error) => return self.fail(error),
        };
        let offset = self.offset;
        self.offset = offset.saturating_add(head.whole() as u64);
        // The common case: a SimpleBlock in one piece.
        if head.id == Id::SIMPLE_BLOCK
            && let Some(bytes) = self.queue.front(head.whole())
        {
            let mut walk = Walk::new(bytes, head.length);
            return match Payload::read(&mut walk, head.size, head.id, offset) {
                Ok(payload) => Ok(Some(Element::Block(Block::simple(self.queue.take_front(head.whole()), payload)))),
                Err(error) => self.fail(error),
            };
        }
        self.read(&head, offset)
    }

    /// The body has ended, and [`Reader::next`] gave `None`: was that between two elements?
    pub fn finish(&self) -> Result<(), Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        let truncated = |offset, element| Err(Error::Truncated { offset, element });
        match self.state {
            State::Collecting(head) => truncated(self.offset, head.id),
            State::Skipping { offset, element, .. } => truncated(offset, element),
            State::Between if self.queue.len() > 0 => truncated(self.offset, Id::UNREAD),
            State::Between if self.level == Level::Cluster && self.cluster.sized => {
                truncated(self.cluster.offset, Id::CLUSTER)
            }
            State::Between if matches!(self.level, Level::Cluster | Level::Segment) && self.segment.sized => {
                truncated(self.segment.offset, Id::SEGMENT)
            }
            State::Between => Ok(()),
        }
    }

    /// Bytes of the body that the elements given out and what was skipped make up.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that were pushed and are held yet: at most the last piece and an element below its limit, once
    /// [`Reader::next`] gave `None`.
    pub fn held(&self) -> usize {
        self.queue.len()
    }

    /// Forgets everything: the next byte pushed is the first of another body.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Forgets what was pushed, but not that it stands in a Segment of unknown size: the next byte pushed is the first of
    /// a Cluster, of another of its elements, or of a document.
    pub fn restart(&mut self) {
        self.reset();
        self.segment.end = u64::MAX;
        self.enter(Level::Segment);
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Result<Option<Element>, Error> {
        self.queue = Queue::default();
        self.failure = Some(error.clone());
        Err(error)
    }

    /// Goes on to the next element that makes one for the consumer.
    #[inline]
    fn find(&mut self) -> Result<Found, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        loop {
            let found = match self.state {
                State::Between => {
                    if self.offset >= self.end && self.close() == Level::Cluster {
                        return Ok(Found::ClusterEnd);
                    }
                    let Some(head) = self.peek_head()? else { return Ok(Found::Nothing) };
                    self.begin(head)?
                }
                State::Collecting(head) => {
                    if self.queue.len() < head.whole() {
                        return Ok(Found::Nothing);
                    }
                    self.state = State::Between;
                    return Ok(Found::Whole(head));
                }
                State::Skipping { offset, element, left } => {
                    let count = self.queue.discard(left) as u64;
                    self.offset = self.offset.saturating_add(count);
                    if count < left {
                        self.state = State::Skipping { offset, element, left: left - count };
                        return Ok(Found::Nothing);
                    }
                    self.state = State::Between;
                    Found::Nothing
                }
            };
            if !matches!(found, Found::Nothing) {
                return Ok(found);
            }
        }
    }

    fn enter(&mut self, level: Level) {
        self.level = level;
        self.end = match level {
            Level::Cluster => self.cluster.end,
            Level::Segment => self.segment.end,
            Level::Start | Level::Header | Level::End => u64::MAX,
        };
    }

    /// Leaves the Cluster or Segment that is open for what it stands in; what it was.
    #[cold]
    fn close(&mut self) -> Level {
        let closed = self.level;
        self.enter(if closed == Level::Cluster { Level::Segment } else { Level::End });
        closed
    }

    #[inline]
    fn peek_head(&mut self) -> Result<Option<Head>, Error> {
        let scratch = &mut [0; MAX_HEAD];
        let bytes = self.queue.peek(scratch);
        if self.level == Level::Start && bytes.iter().zip(Id::EBML.0.to_be_bytes()).any(|(&byte, id)| byte != id) {
            let reason = "it does not begin with an EBML header";
            return Err(Error::NotMatroska { offset: self.offset, reason });
        }
        vint::head(bytes).map_err(|malformed| malformed.at(self.offset))
    }

    /// Decides what becomes of the element at the front of the queue.
    #[inline]
    fn begin(&mut self, head: Head) -> Result<Found, Error> {
        // The common case first.
        if head.id == Id::SIMPLE_BLOCK && self.level == Level::Cluster {
            self.expect_inside(&head)?;
            return self.begin_block(head);
        }
        self.begin_other(head)
    }

    fn begin_other(&mut self, head: Head) -> Result<Found, Error> {
        if self.level == Level::Cluster && head.id.ends_cluster() {
            if self.cluster.sized {
                return Err(self.misplaced(&head, "in a Cluster of known size that has not ended"));
            }
            self.close();
            return Ok(Found::ClusterEnd);
        }
        if self.level == Level::Segment && matches!(head.id, Id::EBML | Id::SEGMENT) {
            if self.segment.sized {
                return Err(self.misplaced(&head, "in a Segment of known size that has not ended"));
            }
            self.close();
        }
        self.expect_inside(&head)?;
        match (self.level, head.id) {
            (_, Id::VOID | Id::CRC_32) => self.skip(head),
            (Level::Start | Level::Header | Level::End, Id::EBML) => self.collect(head, MAX_HEADER_ELEMENT),
            (Level::Header, Id::SEGMENT) => {
                self.segment = self.open(head);
                self.enter(Level::Segment);
                Ok(Found::Segment)
            }
            (Level::Start | Level::Header | Level::End, _) => {
                Err(self.misplaced(&head, "outside a Segment, or a Segment without an EBML header"))
            }
            (Level::Segment, Id::INFO | Id::TRACKS | Id::TAGS) => self.collect(head, MAX_HEADER_ELEMENT),
            (Level::Segment, Id::CLUSTER) => {
                self.cluster = self.open(head);
                self.enter(Level::Cluster);
                self.has_timestamp = false;
                Ok(Found::Nothing)
            }
            (Level::Segment, Id::SIMPLE_BLOCK | Id::BLOCK_GROUP) => Err(self.misplaced(&head, "outside a Cluster")),
            (Level::Cluster, Id::BLOCK_GROUP) => self.begin_block(head),
            (Level::Cluster, Id::TIMESTAMP) => {
                if self.has_timestamp {
                    return Err(self.misplaced(&head, "a second one in one Cluster"));
                }
                if head.size > 8 && head.size != UNKNOWN {
                    return Err(self.invalid_size(&head, "an integer of more than 8 bytes"));
                }
                self.collect(head, 8)
            }
            (Level::Segment | Level::Cluster, _) => self.skip(head),
        }
    }

    #[inline]
    fn begin_block(&mut self, head: Head) -> Result<Found, Error> {
        if !self.has_timestamp {
            return Err(self.misplaced(&head, "before its Cluster's Timestamp"));
        }
        self.collect(head, MAX_BLOCK)
    }

    /// Every child ends with its parent at the latest.
    #[inline]
    fn expect_inside(&self, head: &Head) -> Result<(), Error> {
        if head.least() > self.end.saturating_sub(self.offset) {
            return Err(self.invalid_size(head, "it leads out of its parent"));
        }
        Ok(())
    }

    /// Enters a Segment or Cluster: consumes its header.
    fn open(&mut self, head: Head) -> Master {
        let offset = self.offset;
        self.offset = offset.saturating_add(self.queue.discard(head.length as u64) as u64);
        match head.size {
            UNKNOWN => Master { offset, end: self.end, sized: false },
            size => Master { offset, end: self.offset.saturating_add(size), sized: true },
        }
    }

    /// Wants the element as a whole.
    #[inline]
    fn collect(&mut self, head: Head, limit: u64) -> Result<Found, Error> {
        if head.size > limit {
            return Err(self.too_large(&head, limit));
        }
        if self.queue.len() < head.whole() {
            self.state = State::Collecting(head);
            return Ok(Found::Nothing);
        }
        Ok(Found::Whole(head))
    }

    /// Wants nothing of the element.
    fn skip(&mut self, head: Head) -> Result<Found, Error> {
        if head.size == UNKNOWN {
            return Err(self.unknown_size(&head));
        }
        let left = head.size.saturating_add(head.length as u64);
        self.state = State::Skipping { offset: self.offset, element: head.id, left };
        Ok(Found::Nothing)
    }

    /// Takes and reads any other element, which begins at `offset`.
    fn read(&mut self, head: &Head, offset: u64) -> Result<Option<Element>, Error> {
        let element = self.queue.take(head.whole());
        let element = match head.id {
            Id::SIMPLE_BLOCK => {
                let mut walk = element.walk();
                walk.skip(head.length);
                let payload = Payload::read(&mut walk, head.size, head.id, offset);
                payload.map(|payload| Element::Block(Block::simple(element, payload)))
            }
            Id::BLOCK_GROUP => Block::group(element, head, offset).map(Element::Block),
            _ => self.read_header(head, offset, element.into_bytes()),
        };
        match element {
            Ok(element) => Ok(Some(element)),
            Err(error) => self.fail(error),
        }
    }

    fn read_header(&mut self, head: &Head, offset: u64, raw: Bytes) -> Result<Element, Error> {
        let element = Child {
            id: head.id,
            offset,
            data_offset: offset.saturating_add(head.length as u64),
            data: raw.get(head.length..).unwrap_or_default(),
        };
        Ok(match head.id {
            Id::EBML => {
                let Document { doc_type, doc_type_version, doc_type_read_version } = Document::parse(&element)?;
                self.enter(Level::Header);
                Element::Document { doc_type, doc_type_version, doc_type_read_version }
            }
            Id::TIMESTAMP => {
                self.has_timestamp = true;
                Element::Cluster { timestamp: element.unsigned()? }
            }
            Id::INFO => Element::Info(Info::parse(&element)?),
            Id::TRACKS => Element::Tracks(Tracks { tracks: tracks::parse(&element)?, raw }),
            _ => Element::Tags(tags::parse(&element)?),
        })
    }

    #[cold]
    fn too_large(&self, head: &Head, limit: u64) -> Error {
        match head.size {
            UNKNOWN => self.unknown_size(head),
            size => Error::TooLarge { offset: self.offset, element: head.id, size, limit },
        }
    }

    #[cold]
    fn unknown_size(&self, head: &Head) -> Error {
        self.invalid_size(head, "only Segment and Cluster may have an unknown size")
    }

    #[cold]
    fn invalid_size(&self, head: &Head, reason: &'static str) -> Error {
        Error::InvalidSize { offset: self.offset, element: head.id, reason }
    }

    #[cold]
    fn misplaced(&self, head: &Head, reason: &'static str) -> Error {
        Error::InvalidElement { offset: self.offset, element: head.id, reason }
    }
}
