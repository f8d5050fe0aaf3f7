//! All tracks as one clean Matroska stream: one header, then a cluster a fragment.

use std::sync::Arc;

use super::buffer;
use super::fragment_meta::Stamp;
use super::{Item, Kinds, Queue};
use crate::fragment::{Fragment, Header, TimedBlock};
use crate::mkv::{TrackKind, writer};

/// The `variant` that marks a stream as rebuilt by this plugin.
const VARIANT: &str = "kvs";

/// Writes the blocks of fragments under one header.
#[derive(Debug)]
pub struct ContainerWriter {
    header: Arc<Header>,
    state: State,
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
            captured: false,
            unix_time: buffer::unix_time_caps(),
            stamp: Stamp::default(),
        }
    }

    /// What goes out.
    pub fn kinds(&self) -> Kinds {
        kinds(&self.header)
    }

    /// The next block opens a cluster; before the first, the header goes out.
    pub fn begin_fragment(&mut self, fragment: &Arc<Fragment>, queue: &mut Queue) {
        self.stamp = Stamp::new(fragment);
        if matches!(self.state, State::New) {
            self.write_header(queue);
        }
        self.captured = fragment.producer_timestamp.is_some();
        self.state = State::BetweenClusters;
    }

    /// Writes one block, its bytes as they came; only its distance from the cluster is set anew where that changed.
    pub fn write(&mut self, timed: &TimedBlock, queue: &mut Queue) {
        let block = &timed.block;
        let scale = self.header.info.timestamp_scale.max(1);
        let time = i64::try_from(timed.pts.saturating_add(scale / 2) / scale).unwrap_or(i64::MAX);
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
            queue.push_back(Item::Buffer(self.cluster(cluster, timed, delta)));
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

    fn cluster(&self, time: i64, first: &TimedBlock, delta: bool) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_slice(writer::cluster(u64::try_from(time).unwrap_or(0)));
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

    fn write_header(&self, queue: &mut Queue) {
        let document = &self.header.document;
        let bytes = writer::header(
            &document.doc_type,
            document.version,
            document.read_version,
            &self.header.info,
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
