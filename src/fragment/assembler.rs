//! Matroska elements to fragments: which frames belong to which fragment, and when a fragment is whole.

use std::sync::Arc;

use super::tags::Tags;
use super::{Error, FragmentNumber, UnixTime};
use crate::mkv::{self, Element};

/// What an EBML header says of the document behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// DocType: `matroska` or `webm`.
    pub doc_type: String,
    /// DocTypeVersion.
    pub version: u64,
    /// DocTypeReadVersion.
    pub read_version: u64,
}

impl Default for Document {
    /// The defaults of EBML (RFC 8794 section 11.2), and the type that Kinesis Video sends.
    fn default() -> Self {
        Self { doc_type: "matroska".to_owned(), version: 1, read_version: 1 }
    }
}

/// What a fragment's frames need to be understood: the header that the service repeats before each fragment.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub document: Document,
    pub info: mkv::Info,
    pub tracks: mkv::Tracks,
}

impl Header {
    /// Whether frames under the one header mean the same under the other. Unique ids and the names of the writing
    /// program may change with every restart of a producer; they say nothing of the frames.
    fn describes_the_same(&self, other: &Self) -> bool {
        let (tracks, others) = (&self.tracks.tracks, &other.tracks.tracks);
        self.document == other.document
            && self.info.timestamp_scale == other.info.timestamp_scale
            && tracks.len() == others.len()
            && tracks
                .iter()
                .zip(others)
                .all(|(track, other)| track == other || mkv::Track { uid: other.uid, ..track.clone() } == *other)
    }

    /// The index, in `tracks`, of the track that a block names.
    pub fn track_index(&self, number: u64) -> Option<usize> {
        self.tracks.tracks.iter().position(|track| track.number == number)
    }
}

/// One fragment, as far as it is known when its first frame comes.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// The same `Arc` as the fragment before it, unless the tracks really changed.
    pub header: Arc<Header>,
    /// `None` in a file that Kinesis Video did not write.
    pub number: Option<FragmentNumber>,
    pub producer_timestamp: Option<UnixTime>,
    pub server_timestamp: Option<UnixTime>,
    /// How far the last fragment that told lay behind the newest of the stream, in ms: a fragment tells at its own end.
    pub millis_behind_now: Option<u64>,
    /// The producer's metadata that came before the cluster.
    pub tags: Vec<(String, String)>,
    /// The time of its cluster as the producer wrote it, in ns.
    pub cluster_time: i64,
    /// Frames are missing between the fragment before it and this one.
    pub after_loss: bool,
}

impl Fragment {
    /// The capture time of its start, in ns: the producer timestamp, or the cluster's own time where there is none.
    pub fn start(&self) -> i64 {
        self.producer_timestamp.map_or(self.cluster_time, UnixTime::nanoseconds)
    }
}

/// A fragment is whole: nothing of it can follow.
#[derive(Clone, Debug)]
pub struct FragmentEnd {
    pub number: Option<FragmentNumber>,
    pub producer_timestamp: Option<UnixTime>,
    pub server_timestamp: Option<UnixTime>,
    /// Bytes of the body from the end of the fragment before it to its own end: header, tags and cluster.
    pub size: u64,
    /// How far it lies behind the newest of the stream, in ms.
    pub millis_behind_now: Option<u64>,
    pub continuation_token: Option<String>,
    /// The producer's metadata that came after the cluster.
    pub tags: Vec<(String, String)>,
}

/// What an element meant.
#[derive(Clone, Debug)]
pub enum Event {
    /// A fragment's cluster begins.
    Start(Arc<Fragment>),
    /// A block of the fragment that began last, and its distance from the fragment's start, in ns.
    Block(mkv::Block, i64),
    /// The fragment is whole.
    End(FragmentEnd),
}

/// Where to go on after a connection that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePoint {
    /// The last fragment that came whole.
    pub whole: Option<FragmentNumber>,
    /// The fragment after it, of which the beginning came.
    pub partial: Option<Partial>,
}

/// A fragment that has not come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    pub number: FragmentNumber,
    pub server_timestamp: Option<UnixTime>,
    /// How many of its blocks have come.
    pub blocks: u64,
}

impl ResumePoint {
    /// Whether the fragment was given out whole, or lies before all that was.
    fn is_past(&self, number: &FragmentNumber) -> bool {
        self.whole.as_ref().is_some_and(|whole| number <= whole)
            || self.partial.as_ref().is_some_and(|partial| *number < partial.number)
    }
}

/// Puts elements together into fragments.
#[derive(Debug, Default)]
pub struct Assembler {
    document: Document,
    info: mkv::Info,
    header: Option<Arc<Header>>,
    /// Set by a Tracks element until the cluster that uses it.
    tracks: Option<mkv::Tracks>,
    tags: Tags,
    state: State,
    whole: Option<FragmentNumber>,
    resuming: Option<Resuming>,
    duplicates: u64,
    /// Where in the body the fragment at hand begins, and where the last element ended.
    begin: u64,
    offset: u64,
    millis_behind_now: Option<u64>,
}

/// What a new connection has still to make good.
#[derive(Debug)]
struct Resuming {
    point: ResumePoint,
    /// Nothing says yet that the new connection begins where the old one ended.
    after_loss: bool,
}

/// How far the fragment at hand has come.
#[derive(Debug, Default)]
enum State {
    /// Its cluster has not begun.
    #[default]
    Head,
    /// Its cluster has: `anchor` is that cluster's time, or where it were on the clock of the cluster at hand, whose time is
    /// `cluster`, both in ns.
    Open {
        number: Option<FragmentNumber>,
        producer_timestamp: Option<UnixTime>,
        server_timestamp: Option<UnixTime>,
        anchor: i64,
        cluster: i64,
        blocks: u64,
        skip: u64,
    },
    /// It was given out whole before, and is not again.
    Duplicate(FragmentNumber),
}

impl Assembler {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next element, which ended at byte `offset` of the body.
    ///
    /// # Errors
    ///
    /// An error tag of the service, or a cluster without a header.
    pub fn push(&mut self, element: Element, offset: u64) -> Result<Option<Event>, Error> {
        let event = self.take(element, offset);
        self.offset = offset;
        event
    }

    fn take(&mut self, element: Element, offset: u64) -> Result<Option<Event>, Error> {
        match element {
            Element::Document { doc_type, doc_type_version, doc_type_read_version } => {
                let end = self.end_of_fragment();
                self.document = Document { doc_type, version: doc_type_version, read_version: doc_type_read_version };
                self.info = mkv::Info::default();
                Ok(end)
            }
            Element::Info(info) => {
                self.info = info;
                Ok(None)
            }
            Element::Tracks(tracks) => {
                self.tracks = Some(tracks);
                Ok(None)
            }
            Element::Tags(tags) => self.push_tags(tags, offset),
            Element::Cluster { timestamp } => self.push_cluster(timestamp, offset),
            Element::Block(block) => Ok(self.push_block(block)),
            Element::Segment | Element::ClusterEnd => Ok(None),
        }
    }

    /// Where to go on if the connection ends here.
    pub fn resume_point(&self) -> ResumePoint {
        let partial = match &self.state {
            State::Open { number: Some(number), server_timestamp, blocks, skip, .. } => Some(Partial {
                number: number.clone(),
                server_timestamp: *server_timestamp,
                // Cut again before all that came the first time did.
                blocks: *blocks.max(skip),
            }),
            _ => self.resuming.as_ref().and_then(|resuming| resuming.point.partial.clone()),
        };
        ResumePoint { whole: self.whole.clone(), partial }
    }

    /// The first connection was asked to go on behind this fragment, which an earlier reading gave out.
    pub fn begin_behind(&mut self, fragment: FragmentNumber) {
        self.whole = Some(fragment);
        self.resume(false);
    }

    /// The first connection was asked to go on at this point, to which others came.
    pub fn begin_at(&mut self, point: ResumePoint) {
        self.whole = point.whole.clone();
        self.resuming = Some(Resuming { point, after_loss: false });
    }

    /// A new connection begins, which was asked to go on at the [`resume_point`](Self::resume_point), or, where
    /// `after_loss`, at the earliest there is. What was given out does not come again.
    pub fn resume(&mut self, after_loss: bool) {
        let point = self.resume_point();
        self.document = Document::default();
        self.info = mkv::Info::default();
        self.tracks = None;
        self.tags = Tags::default();
        self.state = State::Head;
        self.begin = 0;
        self.offset = 0;
        self.resuming = Some(Resuming { point, after_loss });
    }

    /// What came before is gone, but for the header: next comes a cluster under it, or another header.
    pub fn restart(&mut self) {
        self.tracks = None;
        self.tags = Tags::default();
        self.state = State::Head;
        self.begin = 0;
        self.offset = 0;
        if let Some(header) = &self.header {
            self.document = header.document.clone();
            self.info = header.info.clone();
        }
    }

    /// Nothing follows that belongs to the fragment at hand.
    pub fn end_fragment(&mut self) -> Option<FragmentEnd> {
        match self.end_of_fragment() {
            Some(Event::End(end)) => Some(end),
            _ => None,
        }
    }

    /// How many fragments came again and were dropped.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn push_tags(&mut self, tags: Vec<mkv::Tag>, offset: u64) -> Result<Option<Event>, Error> {
        let mut tags_here = Tags::default();
        tags_here.read(tags);
        // A body whose documents hold several fragments: the number of the next one ends this one.
        let end = match &self.state {
            State::Open { number, .. } if tags_here.number.is_some() && tags_here.number != *number => {
                self.end_of_fragment()
            }
            State::Duplicate(number) if tags_here.number.as_ref().is_some_and(|other| other != number) => {
                self.end_of_fragment()
            }
            _ => None,
        };
        self.tags.merge(tags_here);
        if self.tags.error_code.is_some() || self.tags.error_id.is_some() {
            return Err(Error::Service {
                code: self.tags.error_code.take().unwrap_or_else(|| "no code".to_owned()),
                id: self.tags.error_id.take().unwrap_or_else(|| "without id".to_owned()),
            });
        }
        if end.is_none() && self.tags.continuation_token.is_some() {
            // The tag stands in the fragment that it ends.
            self.offset = offset;
            return Ok(self.end_of_fragment());
        }
        Ok(end)
    }

    fn push_cluster(&mut self, timestamp: u64, offset: u64) -> Result<Option<Event>, Error> {
        let time = ticks(timestamp, self.info.timestamp_scale);
        match &mut self.state {
            State::Open { cluster, anchor, producer_timestamp, number: Some(_), .. } if self.tracks.is_none() => {
                // A saved stream in which time has jumped within the fragment.
                if let (Some(begin), Some(now)) = (*producer_timestamp, self.tags.producer_timestamp.take()) {
                    *anchor = time.saturating_sub(now.nanoseconds().saturating_sub(begin.nanoseconds()));
                }
                *cluster = time;
                return Ok(None);
            }
            State::Duplicate(_) => return Ok(None),
            State::Open { .. } | State::Head => {}
        }
        let header = self.take_header(offset)?;
        let number = self.tags.number.take();
        let server_timestamp = self.tags.server_timestamp.take();
        let producer_timestamp = self.tags.producer_timestamp.take();
        let tags = std::mem::take(&mut self.tags.producer);
        let (resumed, after_loss) = match (&number, self.resuming.take()) {
            (Some(number), Some(mut resuming)) if resuming.point.is_past(number) => {
                // Where the last whole fragment comes again, all that follows it does.
                resuming.after_loss &= resuming.point.whole.as_ref() != Some(number);
                self.resuming = Some(resuming);
                self.duplicates = self.duplicates.saturating_add(1);
                self.state = State::Duplicate(number.clone());
                return Ok(None);
            }
            (Some(number), Some(resuming)) => match resuming.point.partial {
                Some(partial) if partial.number == *number => (Some(partial.blocks), false),
                Some(_) => (None, true),
                None => (None, resuming.after_loss),
            },
            (None, Some(resuming)) => (None, resuming.after_loss),
            (_, None) => (None, false),
        };
        let skip = resumed.unwrap_or(0);
        self.state = State::Open {
            number: number.clone(),
            producer_timestamp,
            server_timestamp,
            anchor: time,
            cluster: time,
            blocks: 0,
            skip,
        };
        if resumed.is_some() {
            return Ok(None);
        }
        Ok(Some(Event::Start(Arc::new(Fragment {
            header,
            number,
            producer_timestamp,
            server_timestamp,
            millis_behind_now: self.millis_behind_now,
            tags,
            cluster_time: time,
            after_loss,
        }))))
    }

    fn push_block(&mut self, block: mkv::Block) -> Option<Event> {
        let scale = i64::try_from(self.info.timestamp_scale).unwrap_or(i64::MAX);
        let State::Open { anchor, cluster, blocks, skip, .. } = &mut self.state else {
            return None;
        };
        *blocks = blocks.saturating_add(1);
        if *blocks <= *skip {
            return None;
        }
        let in_cluster = i64::from(block.relative_timestamp).saturating_mul(scale);
        let offset = cluster.saturating_sub(*anchor).saturating_add(in_cluster);
        Some(Event::Block(block, offset))
    }

    fn take_header(&mut self, offset: u64) -> Result<Arc<Header>, Error> {
        let same = match (self.tracks.take(), &self.header) {
            (None, Some(header)) => return Ok(Arc::clone(header)),
            (None, None) => return Err(Error::NoTracks { offset }),
            (Some(tracks), header) => {
                let new = Header { document: self.document.clone(), info: self.info.clone(), tracks };
                match header {
                    Some(header) if header.describes_the_same(&new) => Arc::clone(header),
                    _ => Arc::new(new),
                }
            }
        };
        self.header = Some(Arc::clone(&same));
        Ok(same)
    }

    fn is_past(&self, number: &FragmentNumber) -> bool {
        self.resuming.as_ref().is_some_and(|resuming| resuming.point.is_past(number))
    }

    /// Ends the fragment at hand, also one that never had a cluster.
    fn end_of_fragment(&mut self) -> Option<Event> {
        let tags = std::mem::take(&mut self.tags);
        let size = self.offset.saturating_sub(self.begin);
        self.begin = self.offset;
        self.millis_behind_now = tags.millis_behind_now.or(self.millis_behind_now);
        let (number, producer_timestamp, server_timestamp) = match std::mem::take(&mut self.state) {
            State::Open { number, producer_timestamp, server_timestamp, .. } => {
                (number, producer_timestamp, server_timestamp)
            }
            State::Duplicate(_) => return None,
            // One without frames.
            State::Head => {
                let number = tags.number.filter(|number| !self.is_past(number))?;
                (Some(number), tags.producer_timestamp, tags.server_timestamp)
            }
        };
        if number.is_some() {
            self.whole = number.clone();
        }
        Some(Event::End(FragmentEnd {
            number,
            producer_timestamp,
            server_timestamp,
            size,
            millis_behind_now: tags.millis_behind_now,
            continuation_token: tags.continuation_token,
            tags: tags.producer,
        }))
    }
}

/// Ticks of a timestamp scale as ns.
fn ticks(count: u64, scale: u64) -> i64 {
    i64::try_from(u128::from(count) * u128::from(scale)).unwrap_or(i64::MAX)
}
