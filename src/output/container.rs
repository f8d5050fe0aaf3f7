//! All tracks as one clean Matroska document: one header, then for each fragment its tags and a cluster.

use std::sync::Arc;

use gst::prelude::*;

use super::buffer;
use super::document::{Document, LeftOut, Place};
use super::fragment_meta::Stamp;
use super::{Item, Kinds, Queue};
use crate::fragment::{Fragment, FragmentEnd, Header, TimedBlock, UnixTime, Written};
use crate::mkv::{self, Block, Pieces, Rewrite, TrackKind, writer};

/// The query that kvsdemux answers.
const TAKES_HEADERS: &str = "GstKvsTakesHeaders";

/// How many tracks that were left out are remembered.
const MOST_TOLD: usize = 64;

/// The `variant` that marks a stream as rebuilt by this plugin.
const VARIANT: &str = "kvs";

/// What a track means that the document has no place for: one more than its header has, or one of another codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNewTrack {
    /// It is left out.
    #[default]
    LeaveOut,
    /// Another document begins, whose header has it.
    NewDocument,
    /// So it does for every other header: who takes the stream apart knows what to do.
    EveryHeader,
}

/// Writes the blocks of fragments under one header: the first one. What changes in later ones is brought into it where
/// the frames can go on there: numbers and ticks are written anew, parameter sets go before keyframes.
///
/// Before a fragment's cluster stand its tags, in the same buffer: number and timestamps as the service spells them, and
/// what the producer sent before its cluster; after it what came at its end. So a file of the stream can be read as a body
/// of GetMedia can. The producer timestamp is that of the cluster that is written, which may begin later than the fragment:
/// a frame was captured at it + (block time - cluster time).
#[derive(Debug)]
pub struct ContainerWriter {
    document: Document,
    /// What blocks come under, and what becomes of those of each of its tracks.
    header: Arc<Header>,
    places: Vec<Place>,
    /// What has been told to be left out of the document.
    told: Vec<LeftOut>,
    /// Time has jumped since the last block that went out.
    discont: bool,
    state: State,
    /// The fragment at hand.
    fragment: Option<Arc<Fragment>>,
    /// Its tags have not gone out.
    untold: bool,
    captured: bool,
    unix_time: gst::Caps,
    stamp: Stamp,
}

#[derive(Debug)]
enum State {
    /// The header has not gone out.
    New,
    /// The next block opens a cluster.
    BetweenClusters,
    /// A cluster of this time, in ticks, is open.
    InCluster(i64),
}

impl ContainerWriter {
    pub fn new(header: &Arc<Header>) -> Self {
        Self {
            document: Document::new(header),
            header: Arc::clone(header),
            places: header.tracks.tracks.iter().map(|_| Place::AsItCame).collect(),
            told: Vec::new(),
            discont: false,
            state: State::New,
            fragment: None,
            untold: false,
            captured: false,
            unix_time: buffer::unix_time_caps(),
            stamp: Stamp::default(),
        }
    }

    /// What goes out.
    pub fn kinds(&self) -> Kinds {
        kinds(&self.document.header)
    }

    /// Goes on with blocks under another header. Which of its tracks are left out and have not been before.
    pub fn go_on(&mut self, header: &Arc<Header>, on_new_track: OnNewTrack) -> Vec<LeftOut> {
        let (places, mut left_out) = self.document.places(header);
        let is_new = match on_new_track {
            OnNewTrack::LeaveOut => false,
            OnNewTrack::NewDocument => !left_out.is_empty(),
            OnNewTrack::EveryHeader => true,
        };
        if is_new {
            *self = Self { discont: self.discont, ..Self::new(header) };
            return Vec::new();
        }
        self.header = Arc::clone(header);
        self.places = places;
        left_out.retain(|track| !self.told.contains(track));
        self.told.extend(left_out.iter().take(MOST_TOLD.saturating_sub(self.told.len())).cloned());
        left_out
    }

    /// The next block opens a cluster.
    pub fn begin_fragment(&mut self, fragment: &Arc<Fragment>) {
        self.stamp = Stamp::new(fragment);
        self.captured = fragment.producer_timestamp.is_some();
        self.fragment = Some(Arc::clone(fragment));
        self.untold = true;
        if !matches!(self.state, State::New) {
            self.state = State::BetweenClusters;
        }
    }

    /// The header, which tells when the first block was captured; whether it goes out now.
    pub fn open(&mut self, first: &TimedBlock, queue: &mut Queue) -> bool {
        let is_new = matches!(self.state, State::New);
        if is_new {
            let date = first.capture_time.saturating_sub(self.time(self.ticks(first)));
            self.write_header(self.captured.then_some(date), queue);
            self.state = State::BetweenClusters;
        }
        is_new
    }

    /// What came at the end of a fragment goes out; all of its tags where none of its blocks has.
    pub fn end_fragment(&mut self, end: &FragmentEnd, queue: &mut Queue) {
        let fragment = self.fragment.take().filter(|fragment| fragment.number == end.number);
        if matches!(self.state, State::New) {
            return;
        }
        let before = fragment.as_ref().map_or(&[][..], |fragment| &fragment.tags);
        let mut tags: Vec<Written> = Vec::new();
        if let (true, Some(fragment)) = (self.untold, &fragment) {
            tags.extend(fragment.labels(fragment.producer_timestamp));
            tags.extend(before.iter().map(written));
        }
        tags.extend(end.news(before).map(written));
        tags.extend(end.labels());
        self.untold = false;
        self.state = State::BetweenClusters;
        let Some(bytes) = writer::tags(self.track_uid(), tags.iter().map(|(name, value)| (*name, value.as_ref())))
        else {
            return;
        };
        let mut buffer = gst::Buffer::from_slice(bytes);
        // A cluster follows, so that reading can begin here, too.
        buffer::stamp(&mut buffer, None, None, gst::BufferFlags::empty());
        self.stamp.put(&mut buffer);
        queue.push_back(Item::Buffer(buffer));
    }

    /// Writes one block, its bytes as they came; only its distance from the cluster is set anew where that changed, and what
    /// the document has otherwise.
    pub fn write(&mut self, timed: &TimedBlock, queue: &mut Queue) {
        let block = &timed.block;
        self.discont |= timed.discont;
        if self.is_left_out(timed) {
            return;
        }
        let discont = std::mem::take(&mut self.discont);
        let time = self.ticks(timed);
        let delta = self.is_delta(timed);

        let open = match self.state {
            State::InCluster(cluster) if !discont => {
                i16::try_from(time.saturating_sub(cluster)).ok().map(|relative| (cluster, relative))
            }
            _ => None,
        };
        let (_, relative) = open.unwrap_or_else(|| {
            // The block keeps its own distance where the cluster need not begin before 0 for it.
            let cluster = time.saturating_sub(self.own_distance(block)).max(0);
            let relative = i16::try_from(time.saturating_sub(cluster)).unwrap_or(i16::MAX);
            self.state = State::InCluster(cluster);
            let begin = timed.capture_time.saturating_sub(self.time(relative.into()));
            queue.push_back(Item::Buffer(self.cluster(cluster, begin, (timed, discont), delta)));
            (cluster, relative)
        });

        let mut buffer = buffer::from_pieces(self.block(timed, relative));
        // Reading can begin at a cluster only, so that no block stands for itself.
        let mut flags = gst::BufferFlags::DELTA_UNIT;
        flags.set(gst::BufferFlags::DECODE_ONLY, block.invisible);
        buffer::stamp(&mut buffer, Some(timed.pts), timed.duration(), flags);
        if self.captured {
            buffer::capture_time(&mut buffer, &self.unix_time, timed.capture_time, timed.duration());
        }
        self.stamp.put(&mut buffer);
        queue.push_back(Item::Buffer(buffer));
    }

    /// A cluster of this time, in ticks, whose time was this moment of the producer's clock, in ns.
    fn cluster(&mut self, time: i64, begin: i64, (first, discont): (&TimedBlock, bool), delta: bool) -> gst::Buffer {
        let cluster = writer::cluster(u64::try_from(time).unwrap_or(0));
        let mut buffer = match self.tags(begin, discont) {
            Some(mut bytes) => {
                bytes.extend_from_slice(&cluster);
                gst::Buffer::from_slice(bytes)
            }
            None => gst::Buffer::from_slice(cluster),
        };
        let mut flags = gst::BufferFlags::empty();
        flags.set(gst::BufferFlags::DELTA_UNIT, delta);
        flags.set(gst::BufferFlags::DISCONT, discont);
        buffer::stamp(&mut buffer, Some(first.pts), None, flags);
        if self.captured {
            buffer::capture_time(&mut buffer, &self.unix_time, first.capture_time, None);
        }
        self.stamp.put(&mut buffer);
        buffer
    }

    /// The Tags before a cluster: before the first one of a fragment all that is known of it, before another one its moment
    /// where time has jumped.
    fn tags(&mut self, begin: i64, discont: bool) -> Option<Vec<u8>> {
        let is_first = std::mem::take(&mut self.untold);
        let fragment = self.fragment.as_ref().filter(|_| is_first || discont)?;
        let begin = UnixTime::from_nanoseconds(begin).filter(|_| self.captured);
        let mut tags: Vec<Written> = fragment.labels(begin).collect();
        if is_first {
            tags.extend(fragment.tags.iter().map(written));
        }
        writer::tags(self.track_uid(), tags.iter().map(|(name, value)| (*name, value.as_ref())))
    }

    /// That of the track which tags are about: the first one of the header that goes out.
    fn track_uid(&self) -> u64 {
        let tracks = &self.document.header.tracks.tracks;
        let first_video = tracks.iter().find(|track| matches!(track.kind, TrackKind::Video(_)));
        first_video.or(tracks.first()).map_or(0, |track| track.uid)
    }

    /// The block's time in ticks.
    fn ticks(&self, timed: &TimedBlock) -> i64 {
        let scale = scale(&self.document.header);
        i64::try_from(timed.pts.saturating_add(scale / 2) / scale).unwrap_or(i64::MAX)
    }

    /// So many ticks in ns.
    fn time(&self, ticks: i64) -> i64 {
        ticks.saturating_mul(i64::try_from(scale(&self.document.header)).unwrap_or(i64::MAX))
    }

    /// How far the block lies from the cluster that it came in, in ticks.
    fn own_distance(&self, block: &Block) -> i64 {
        let (from, to) = (scale(&self.header), scale(&self.document.header));
        let distance = i64::from(block.relative_timestamp);
        if from == to {
            return distance;
        }
        let ticks = i128::from(distance) * i128::from(from) / i128::from(to);
        i64::try_from(ticks).unwrap_or(0)
    }

    /// A track that has no place, or one that the header does not have where its number may be that of another one.
    fn is_left_out(&self, timed: &TimedBlock) -> bool {
        match timed.track.map(|track| self.places.get(track)) {
            Some(place) => place == Some(&Place::Nowhere),
            None => !Arc::ptr_eq(&self.header, &self.document.header),
        }
    }

    /// The block's element at this distance from its cluster.
    fn block(&self, timed: &TimedBlock, relative: i16) -> Pieces {
        let block = &timed.block;
        let scales = (scale(&self.header), scale(&self.document.header));
        let place = timed.track.and_then(|track| self.places.get(track));
        let (number, in_band) = match place {
            Some(Place::As { number, in_band }) => (*number, in_band.as_ref()),
            _ => (block.track, None),
        };
        // Pictures are not laced.
        let in_band = in_band.filter(|_| block.frame_count() == 1);
        let frame = in_band.and_then(|in_band| in_band.frame(&block.frames().next()?, block.keyframe));
        if number == block.track && scales.0 == scales.1 && frame.is_none() {
            return writer::block_with_relative_timestamp(block, relative);
        }
        mkv::rewritten(block, &Rewrite { track: number, relative, frame, scales })
    }

    fn write_header(&self, date: Option<i64>, queue: &mut Queue) {
        let Header { document, info, tracks } = &*self.document.header;
        let bytes = writer::header(&document.doc_type, document.version, document.read_version, info, date, tracks);
        let mut header = gst::Buffer::from_slice(bytes);
        buffer::stamp(&mut header, None, None, gst::BufferFlags::HEADER);
        let mut caps = caps(&self.document.header);
        if let Some(structure) = caps.get_mut().and_then(|caps| caps.structure_mut(0)) {
            structure.set("streamheader", gst::Array::new([&header]));
        }
        queue.push_back(Item::Caps(caps));
        // The buffer in the caps belongs to no fragment.
        header.make_mut();
        self.stamp.put(&mut header);
        queue.push_back(Item::Buffer(header));
    }

    /// Whether a cluster that begins with this block cannot be decoded without those before it.
    fn is_delta(&self, timed: &TimedBlock) -> bool {
        let track = timed.track.and_then(|index| self.header.tracks.tracks.get(index));
        let video = track.is_some_and(|track| matches!(track.kind, TrackKind::Video(_)));
        video && !timed.block.keyframe
    }
}

fn written((name, value): &(String, String)) -> Written<'_> {
    (name, value.as_str().into())
}

/// The caps of the rebuilt stream, without its header.
pub(super) fn caps(header: &Header) -> gst::Caps {
    let Kinds { video, audio } = kinds(header);
    variant_caps(if audio && !video { "audio/x-matroska" } else { "video/x-matroska" })
}

/// ns a tick.
fn scale(header: &Header) -> u64 {
    header.info.timestamp_scale.max(1)
}

fn kinds(header: &Header) -> Kinds {
    let any = |is: fn(&TrackKind) -> bool| header.tracks.tracks.iter().any(|track| is(&track.kind));
    Kinds {
        video: any(|kind| matches!(kind, TrackKind::Video(_))),
        audio: any(|kind| matches!(kind, TrackKind::Audio(_))),
    }
}

/// The caps of every stream that [`ContainerWriter`] writes, for a pad template.
pub fn template_caps() -> gst::Caps {
    let mut caps = variant_caps("video/x-matroska");
    caps.merge(variant_caps("audio/x-matroska"));
    caps
}

/// Whether a pad's stream is taken apart by kvsdemux, behind whatever stands between: that knows what to do at a new header.
pub(super) fn reaches_kvsdemux(pad: &gst::Pad) -> bool {
    let mut query = gst::query::Custom::new(gst::Structure::new_empty(TAKES_HEADERS));
    pad.peer_query(&mut query)
}

/// Whether this is what [`reaches_kvsdemux`] asks.
pub(crate) fn asks_for_kvsdemux(query: &gst::QueryRef) -> bool {
    query.structure().is_some_and(|structure| structure.name() == TAKES_HEADERS)
}

fn variant_caps(media_type: &str) -> gst::Caps {
    gst::Caps::builder(media_type).field("variant", VARIANT).build()
}
