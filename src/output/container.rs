//! All tracks as one clean Matroska stream: one header, then for each fragment its tags and a cluster.

use std::sync::Arc;

use super::buffer;
use super::fragment_meta::Stamp;
use super::{Item, Kinds, Queue};
use crate::fragment::{Fragment, FragmentEnd, Header, TimedBlock, UnixTime, Written};
use crate::mkv::{TrackKind, writer};

/// The `variant` that marks a stream as rebuilt by this plugin.
const VARIANT: &str = "kvs";

/// Writes the blocks of fragments under one header.
///
/// Before a fragment's cluster stand its tags, in the same buffer: number and timestamps as the service spells them, and
/// what the producer sent before its cluster; after it what came at its end. So a file of the stream can be read as a body
/// of GetMedia can. The producer timestamp is that of the cluster that is written, which may begin later than the fragment:
/// a frame was captured at it + (block time - cluster time).
#[derive(Debug)]
pub struct ContainerWriter {
    header: Arc<Header>,
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
            header: Arc::clone(header),
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
        kinds(&self.header)
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
        let Some(bytes) = writer::tags(tags.iter().map(|(name, value)| (*name, value.as_ref()))) else { return };
        let mut buffer = gst::Buffer::from_slice(bytes);
        // A cluster follows, so that reading can begin here, too.
        buffer::stamp(&mut buffer, None, None, gst::BufferFlags::empty());
        self.stamp.put(&mut buffer);
        queue.push_back(Item::Buffer(buffer));
    }

    /// Writes one block, its bytes as they came; only its distance from the cluster is set anew where that changed.
    pub fn write(&mut self, timed: &TimedBlock, queue: &mut Queue) {
        let block = &timed.block;
        let time = self.ticks(timed);
        let delta = self.is_delta(timed);

        let open = match self.state {
            State::InCluster(cluster) if !timed.discont => {
                i16::try_from(time.saturating_sub(cluster)).ok().map(|relative| (cluster, relative))
            }
            _ => None,
        };
        let (_, relative) = open.unwrap_or_else(|| {
            // The block keeps its own distance where the cluster need not begin before 0 for it.
            let cluster = time.saturating_sub(i64::from(block.relative_timestamp)).max(0);
            let relative = i16::try_from(time.saturating_sub(cluster)).unwrap_or(i16::MAX);
            self.state = State::InCluster(cluster);
            let begin = timed.capture_time.saturating_sub(self.time(relative.into()));
            queue.push_back(Item::Buffer(self.cluster(cluster, begin, timed, delta)));
            (cluster, relative)
        });

        let mut buffer = buffer::from_pieces(writer::block_with_relative_timestamp(block, relative));
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
    fn cluster(&mut self, time: i64, begin: i64, first: &TimedBlock, delta: bool) -> gst::Buffer {
        let cluster = writer::cluster(u64::try_from(time).unwrap_or(0));
        let mut buffer = match self.tags(begin, first.discont) {
            Some(mut bytes) => {
                bytes.extend_from_slice(&cluster);
                gst::Buffer::from_slice(bytes)
            }
            None => gst::Buffer::from_slice(cluster),
        };
        let mut flags = gst::BufferFlags::empty();
        flags.set(gst::BufferFlags::DELTA_UNIT, delta);
        flags.set(gst::BufferFlags::DISCONT, first.discont);
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
        writer::tags(tags.iter().map(|(name, value)| (*name, value.as_ref())))
    }

    /// The block's time in ticks.
    fn ticks(&self, timed: &TimedBlock) -> i64 {
        let scale = self.header.info.timestamp_scale.max(1);
        i64::try_from(timed.pts.saturating_add(scale / 2) / scale).unwrap_or(i64::MAX)
    }

    /// So many ticks in ns.
    fn time(&self, ticks: i64) -> i64 {
        ticks.saturating_mul(i64::try_from(self.header.info.timestamp_scale.max(1)).unwrap_or(i64::MAX))
    }

    fn write_header(&self, date: Option<i64>, queue: &mut Queue) {
        let document = &self.header.document;
        let bytes = writer::header(
            &document.doc_type,
            document.version,
            document.read_version,
            &self.header.info,
            date,
            &self.header.tracks,
        );
        let mut header = gst::Buffer::from_slice(bytes);
        buffer::stamp(&mut header, None, None, gst::BufferFlags::HEADER);
        let mut caps = caps(&self.header);
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

fn variant_caps(media_type: &str) -> gst::Caps {
    gst::Caps::builder(media_type).field("variant", VARIANT).build()
}
