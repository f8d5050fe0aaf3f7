//! Reads a producer's Matroska as it arrives: fragments begin, grow and end in the store, and are acknowledged.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::emulator::OpenFragment;
use crate::fragment::NewFragment;
use crate::matroska::{self, BlockHead, Cursor, Header, id};
use crate::metadata::{self, Metadata, TooMuch};
use crate::stream::Stream;

/// The largest fragment, in bytes.
const LARGEST: usize = 50_000_000;
/// The longest fragment, in milliseconds.
const LONGEST: i64 = 10_000;
const MOST_TRACKS: usize = 3;
/// What must be there of a SimpleBlock before it is passed on: a track number of eight bytes, time and flags.
const BLOCK_HEAD: usize = 11;

/// Why a fragment is refused: PutMedia's error ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooLarge,
    TooLong,
    TimecodeWentBack,
    NotMatroska,
    TooMuchMetadata,
    UnknownTrack,
    TrackWithoutFrame,
    TooManyTracks,
}

impl Refusal {
    fn id(self) -> u32 {
        match self {
            Self::TooLarge => 4001,
            Self::TooLong => 4002,
            Self::TimecodeWentBack => 4004,
            Self::NotMatroska => 4006,
            Self::TooMuchMetadata => 4009,
            Self::UnknownTrack => 4010,
            Self::TrackWithoutFrame => 4011,
            Self::TooManyTracks => 4012,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "MAX_FRAGMENT_SIZE_REACHED",
            Self::TooLong => "MAX_FRAGMENT_DURATION_REACHED",
            Self::TimecodeWentBack => "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS",
            Self::NotMatroska => "INVALID_MKV_DATA",
            Self::TooMuchMetadata => "FRAGMENT_METADATA_LIMIT_REACHED",
            Self::UnknownTrack => "TRACK_NUMBER_MISMATCH",
            Self::TrackWithoutFrame => "FRAMES_MISSING_FOR_TRACK",
            Self::TooManyTracks => "MORE_THAN_ALLOWED_TRACKS_FOUND",
        }
    }
}

impl From<TooMuch> for Refusal {
    fn from(_: TooMuch) -> Self {
        Self::TooMuchMetadata
    }
}

/// A producer's connection.
pub(crate) struct Ingest {
    stream: Arc<Stream>,
    /// What a cluster's time is added to, in milliseconds since 1970: 0 with absolute timecodes.
    base: u64,
    buffer: BytesMut,
    /// Bytes of a block that still go straight through.
    passing: usize,
    document: Document,
    /// Tags that came while no fragment was open: the next one's, and no other's.
    early: EarlyTags,
    /// A cluster whose timestamp has not come yet.
    cluster: Option<Vec<u8>>,
    open: Option<Open>,
    last_timecode: Option<i64>,
    acknowledgements: Vec<Value>,
}

/// The document that is being received.
#[derive(Default)]
struct Document {
    header: Vec<u8>,
    /// Nanoseconds a tick.
    scale: u64,
    tracks: Vec<u64>,
    in_media: bool,
}

/// Tags before their fragment.
#[derive(Default)]
struct EarlyTags {
    /// The Tags elements as they came.
    elements: Vec<u8>,
    metadata: Metadata,
}

/// The fragment that is being received.
struct Open {
    fragment: OpenFragment,
    timecode: i64,
    metadata: Metadata,
    size: usize,
    /// Tracks that have a frame.
    tracks: Vec<u64>,
}

impl Ingest {
    /// Begins to receive into a stream; `base` is the producer's start for relative timecodes, 0 for absolute ones.
    pub fn new(stream: Arc<Stream>, base: u64) -> Self {
        Self {
            stream,
            base,
            buffer: BytesMut::new(),
            passing: 0,
            document: Document::default(),
            early: EarlyTags::default(),
            cluster: None,
            open: None,
            last_timecode: None,
            acknowledgements: Vec::new(),
        }
    }

    /// Takes bytes; answers the acknowledgements that they bring about, and whether the connection may go on.
    pub fn push(&mut self, bytes: &[u8]) -> (Vec<Value>, bool) {
        self.buffer.extend_from_slice(bytes);
        let result = self.read();
        self.answer(result)
    }

    /// The body has ended.
    pub fn end(&mut self) -> (Vec<Value>, bool) {
        let whole = self.buffer.is_empty() && self.passing == 0 && self.cluster.is_none();
        let result = if whole { self.finish() } else { Err(Refusal::NotMatroska) };
        self.answer(result)
    }

    fn answer(&mut self, result: Result<(), Refusal>) -> (Vec<Value>, bool) {
        if let Err(refusal) = result {
            let mut error = json!({ "EventType": "ERROR", "ErrorId": refusal.id(), "ErrorCode": refusal.code() });
            // Without a fragment neither is there: producers read them as unsigned numbers.
            if let Some(open) = self.open.take() {
                error["FragmentTimecode"] = open.timecode.into();
                error["FragmentNumber"] = open.fragment.info().number.to_string().into();
            }
            self.acknowledgements.push(error);
        }
        (std::mem::take(&mut self.acknowledgements), result.is_ok())
    }

    fn read(&mut self) -> Result<(), Refusal> {
        loop {
            if self.passing > 0 {
                if self.buffer.is_empty() {
                    return Ok(());
                }
                let piece = self.buffer.split_to(self.passing.min(self.buffer.len())).freeze();
                self.passing -= piece.len();
                self.append(piece)?;
                continue;
            }
            let Some(header) = matroska::header(&self.buffer).map_err(|_| Refusal::NotMatroska)? else {
                return Ok(());
            };
            let needed = needed(&header)?;
            if self.buffer.len() < header.length + needed {
                return Ok(());
            }
            if header.id == id::SIMPLE_BLOCK {
                let head = matroska::block_head(&self.buffer[header.length..header.length + needed]);
                self.block(head.ok_or(Refusal::NotMatroska)?)?;
                self.passing = header.length + header.size.unwrap_or_default();
            } else {
                let element = self.buffer.split_to(header.length + needed).freeze();
                self.element(&header, element)?;
            }
        }
    }

    fn element(&mut self, header: &Header, element: Bytes) -> Result<(), Refusal> {
        let body = element.slice(header.length..);
        if self.document.header.is_empty() && header.id != id::EBML {
            return Err(Refusal::NotMatroska);
        }
        match header.id {
            id::EBML => {
                self.finish()?;
                self.document = Document { header: element.to_vec(), scale: 1_000_000, ..Document::default() };
            }
            id::SEGMENT => self.document.header.extend(matroska::unknown_size(id::SEGMENT)),
            id::CLUSTER => {
                self.finish()?;
                if self.document.tracks.is_empty() {
                    return Err(Refusal::NotMatroska);
                }
                self.document.in_media = true;
                self.cluster = Some(element.to_vec());
            }
            id::TIMESTAMP => self.begin(&element, matroska::unsigned(&body))?,
            id::BLOCK_GROUP => {
                let head = block_in_group(&body).ok_or(Refusal::NotMatroska)?;
                self.block(head)?;
                self.append(element)?;
            }
            id::TAGS => self.tags(&body, element)?,
            id::INFO if !self.document.in_media => {
                self.info(&body)?;
                self.document.header.extend_from_slice(&element);
            }
            id::TRACKS if !self.document.in_media => {
                self.tracks(&body)?;
                self.document.header.extend_from_slice(&element);
            }
            _ => match &mut self.cluster {
                Some(cluster) => cluster.extend_from_slice(&element),
                // Behind the end of a fragment it is no fragment's.
                None if self.document.in_media && self.open.is_none() => {}
                None if self.document.in_media => self.append(element)?,
                None => self.document.header.extend_from_slice(&element),
            },
        }
        Ok(())
    }

    fn info(&mut self, body: &Bytes) -> Result<(), Refusal> {
        let mut children = Cursor::new(body);
        while let Some(child) = children.advance().map_err(|_| Refusal::NotMatroska)? {
            if child.id == id::TIMESTAMP_SCALE {
                self.document.scale = matroska::unsigned(&children.body(&child)).max(1);
            }
        }
        Ok(())
    }

    fn tracks(&mut self, body: &Bytes) -> Result<(), Refusal> {
        let mut entries = Cursor::new(body);
        while let Some(entry) = entries.advance().map_err(|_| Refusal::NotMatroska)? {
            if entry.id != id::TRACK_ENTRY {
                continue;
            }
            let mut fields = entries.children(&entry);
            while let Some(field) = fields.advance().map_err(|_| Refusal::NotMatroska)? {
                if field.id == id::TRACK_NUMBER {
                    self.document.tracks.push(matroska::unsigned(&fields.body(&field)));
                }
            }
        }
        if self.document.tracks.len() > MOST_TRACKS { Err(Refusal::TooManyTracks) } else { Ok(()) }
    }

    fn tags(&mut self, body: &Bytes, element: Bytes) -> Result<(), Refusal> {
        let tags = matroska::read_tags(body).map_err(|_| Refusal::NotMatroska)?;
        let ends = metadata::end_fragment(&tags);
        let Some(open) = &mut self.open else {
            // The end of a fragment that is over already says nothing of the next one.
            if !ends {
                self.early.metadata.add(tags)?;
                self.early.elements.extend_from_slice(&element);
            }
            return Ok(());
        };
        open.metadata.add(tags)?;
        self.append(element)?;
        if ends { self.finish() } else { Ok(()) }
    }

    /// A cluster's timestamp has come: its fragment begins.
    fn begin(&mut self, element: &Bytes, ticks: u64) -> Result<(), Refusal> {
        let mut media = self.cluster.take().ok_or(Refusal::NotMatroska)?;
        let timecode = self.milliseconds(i64::try_from(ticks).map_err(|_| Refusal::NotMatroska)?);
        if self.last_timecode.is_some_and(|last| timecode < last) {
            return Err(Refusal::TimecodeWentBack);
        }
        self.last_timecode = Some(timecode);
        media.extend_from_slice(element);
        let EarlyTags { elements, metadata } = std::mem::take(&mut self.early);
        let header = Bytes::from([&self.document.header[..], &elements].concat());
        let size = header.len() + media.len();
        let new = NewFragment {
            header,
            media: media.into(),
            producer_timestamp: Some(self.base.saturating_add_signed(timecode)),
            ..NewFragment::default()
        };
        let fragment = OpenFragment::begin(Arc::clone(&self.stream), new);
        self.open = Some(Open { fragment, timecode, metadata, size, tracks: Vec::new() });
        self.acknowledge("BUFFERING");
        Ok(())
    }

    /// Checks a block that is about to be passed on.
    fn block(&mut self, head: BlockHead) -> Result<(), Refusal> {
        let time = self.milliseconds(i64::from(head.relative));
        let known = self.document.tracks.contains(&head.track);
        let open = self.open.as_mut().ok_or(Refusal::NotMatroska)?;
        if !known {
            return Err(Refusal::UnknownTrack);
        }
        if time > LONGEST {
            return Err(Refusal::TooLong);
        }
        if !open.tracks.contains(&head.track) {
            open.tracks.push(head.track);
        }
        Ok(())
    }

    fn append(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        let open = self.open.as_mut().ok_or(Refusal::NotMatroska)?;
        open.size += bytes.len();
        if open.size > LARGEST {
            return Err(Refusal::TooLarge);
        }
        open.fragment.write(bytes);
        Ok(())
    }

    /// Ends the fragment that is being received, if there is one.
    fn finish(&mut self) -> Result<(), Refusal> {
        if self.cluster.is_some() {
            return Err(Refusal::NotMatroska);
        }
        let Some(open) = &self.open else { return Ok(()) };
        if self.document.tracks.iter().any(|track| !open.tracks.contains(track)) {
            return Err(Refusal::TrackWithoutFrame);
        }
        self.acknowledge("RECEIVED");
        self.acknowledge("PERSISTED");
        if let Some(open) = self.open.take() {
            open.fragment.finish();
        }
        Ok(())
    }

    fn acknowledge(&mut self, event: &str) {
        if let Some(open) = &self.open {
            self.acknowledgements.push(json!({
                "EventType": event,
                "FragmentTimecode": open.timecode,
                "FragmentNumber": open.fragment.info().number.to_string(),
            }));
        }
    }

    fn milliseconds(&self, ticks: i64) -> i64 {
        let milliseconds = i128::from(ticks) * i128::from(self.document.scale) / 1_000_000;
        i64::try_from(milliseconds).unwrap_or(i64::MAX)
    }
}

/// How many bytes behind its header an element needs before it is dealt with.
fn needed(header: &Header) -> Result<usize, Refusal> {
    match (header.id, header.size) {
        (id::SEGMENT | id::CLUSTER, _) => Ok(0),
        (_, None) => Err(Refusal::NotMatroska),
        (_, Some(size)) if size > LARGEST => Err(Refusal::TooLarge),
        (id::SIMPLE_BLOCK, Some(size)) => Ok(size.min(BLOCK_HEAD)),
        (_, Some(size)) => Ok(size),
    }
}

fn block_in_group(body: &Bytes) -> Option<BlockHead> {
    let mut children = Cursor::new(body);
    while let Ok(Some(child)) = children.advance() {
        if child.id == id::BLOCK {
            return matroska::block_head(&children.body(&child));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{self, Cluster, TrackEntry, TrackKind};
    use crate::store::{Store, StreamSettings};

    fn body() -> Vec<u8> {
        let track = TrackEntry::new(1, TrackKind::Video { width: 64, height: 48 }, "V_TEST");
        let cluster =
            |time| Cluster::new(time).simple_block(1, 0, true, &[7; 300]).block_group(1, 40, Some(40), false, b"b");
        let header = media::header(1_000_000, &[track]);
        let tags = matroska::tags(&[("place", "entrance")]);
        [&header[..], &cluster(0).bytes(), &tags, &cluster(80).unknown_size().bytes()].concat()
    }

    fn ingest() -> Ingest {
        Ingest::new(Store::default().create("us-west-2", "demo", StreamSettings::default()).unwrap(), 0)
    }

    /// What is stored and what is acknowledged, with the body in pieces of a length.
    fn receive(body: &[u8], length: usize) -> (Vec<Bytes>, Vec<String>) {
        let mut ingest = ingest();
        let mut acknowledgements = Vec::new();
        for piece in body.chunks(length) {
            acknowledgements.extend(ingest.push(piece).0);
        }
        acknowledgements.extend(ingest.end().0);
        let stored = ingest.stream.stored().iter().map(|fragment| fragment.media()).collect();
        let events = acknowledgements.iter().map(|line| line["EventType"].to_string()).collect();
        (stored, events)
    }

    #[test]
    fn any_pieces_make_the_same_fragments() {
        let body = body();
        let whole = receive(&body, body.len());
        assert_eq!((whole.0.len(), whole.1.len()), (2, 6));
        for length in 1..64 {
            assert_eq!(receive(&body, length), whole);
        }
    }

    #[test]
    fn no_damage_is_taken_for_more_than_an_error() {
        let body = body();
        for index in 0..body.len() {
            for damage in [0x00, 0x01, 0x80, 0xFF] {
                let mut damaged = body.clone();
                damaged[index] = damage;
                let mut ingest = ingest();
                let goes_on = ingest.push(&damaged).1;
                if goes_on {
                    ingest.end();
                }
                // Whatever came of it, nothing is left open.
                assert!(ingest.open.is_none());
                assert!(ingest.stream.stored().iter().all(|fragment| fragment.duration().is_some()));
            }
        }
    }
}
