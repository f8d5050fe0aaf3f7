//! Matroska files of every shape the reader takes, together with what must be read of them.

use gstkvs::mkv::{Element, Id};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::matroska::*;

/// What an element says, without how its bytes lie.
#[derive(Clone, Debug, PartialEq)]
pub enum Summary {
    Document(String),
    Segment,
    /// The TimestampScale.
    Info(u64),
    /// The number of each track and the bytes stripped off its frames.
    Tracks(Vec<(u64, Vec<u8>)>),
    /// Names.
    Tags(Vec<String>),
    Cluster(u64),
    Block {
        track: u64,
        relative: i16,
        keyframe: bool,
        duration: Option<u64>,
        element: Vec<u8>,
        frames: Vec<Vec<u8>>,
    },
    ClusterEnd,
}

/// What the reader gave.
pub fn summarise(element: &Element) -> Summary {
    match element {
        Element::Document { doc_type, .. } => Summary::Document(doc_type.clone()),
        Element::Segment => Summary::Segment,
        Element::Info(info) => Summary::Info(info.timestamp_scale),
        Element::Tracks(tracks) => {
            Summary::Tracks(tracks.tracks.iter().map(|track| (track.number, track.stripped_header.to_vec())).collect())
        }
        Element::Tags(tags) => Summary::Tags(tags.iter().map(|tag| tag.name.clone()).collect()),
        Element::Cluster { timestamp } => Summary::Cluster(*timestamp),
        Element::Block(block) => Summary::Block {
            track: block.track,
            relative: block.relative_timestamp,
            keyframe: block.keyframe,
            duration: block.duration,
            element: block.element.to_bytes().to_vec(),
            frames: block.frames().map(|frame| frame.to_bytes().to_vec()).collect(),
        },
        Element::ClusterEnd => Summary::ClusterEnd,
    }
}

/// Something that is skipped: ID and length.
type Noise = Option<(Id, usize)>;

#[derive(Clone, Debug)]
pub struct Document {
    doc_type: &'static str,
    /// Bytes of the Segment's size; unknown without.
    segment_size: Option<usize>,
    scale: u64,
    /// Each with the bytes stripped off its frames.
    tracks: Vec<Option<Vec<u8>>>,
    tags_before: Vec<String>,
    clusters: Vec<Cluster>,
    noise: Noise,
}

#[derive(Clone, Debug)]
struct Cluster {
    /// As with the Segment.
    size: Option<usize>,
    timestamp: u64,
    blocks: Vec<Block>,
    noise: Noise,
    tags_after: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Block {
    track: u64,
    relative: i16,
    size: usize,
    lacing: Lacing,
    frames: Vec<Vec<u8>>,
    kind: Kind,
    noise: Noise,
}

#[derive(Clone, Copy, Debug)]
enum Lacing {
    None,
    Xiph,
    Ebml,
    Fixed,
}

#[derive(Clone, Debug)]
enum Kind {
    Simple { keyframe: bool },
    Group { duration: Option<u64>, reference: bool },
}

fn noise() -> impl Strategy<Value = Noise> {
    let id = prop::sample::select(vec![Id::VOID, Id::CRC_32, Id(0x1234_5678), Id(0xA7)]);
    option::weighted(0.3, (id, prop_oneof![0..300_usize, 300..20_000_usize]))
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    vec("[a-zA-Z_äß]{0,20}", 0..4)
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0..300_usize, 2 => 250..260_usize, 1 => 300..9_000_usize];
    (any::<u8>(), length).prop_map(|(first, length)| (0..length).map(|at| first.wrapping_add(at as u8)).collect())
}

fn block() -> impl Strategy<Value = Block> {
    let frames = prop_oneof![
        4 => frame().prop_map(|frame| (Lacing::None, vec![frame])),
        1 => vec(frame(), 1..9).prop_map(|frames| (Lacing::Xiph, frames)),
        1 => vec(frame(), 1..9).prop_map(|frames| (Lacing::Ebml, frames)),
        1 => (frame(), 1..9_usize).prop_map(|(frame, count)| (Lacing::Fixed, vec![frame; count])),
    ];
    let kind = prop_oneof![
        2 => any::<bool>().prop_map(|keyframe| Kind::Simple { keyframe }),
        1 => (option::of(any::<u64>()), any::<bool>())
            .prop_map(|(duration, reference)| Kind::Group { duration, reference }),
    ];
    (prop_oneof![1..4_u64, 100..20_000_u64], any::<i16>(), 1..=8_usize, frames, kind, noise()).prop_map(
        |(track, relative, size, (lacing, frames), kind, noise)| Block {
            track,
            relative,
            size,
            lacing,
            frames,
            kind,
            noise,
        },
    )
}

fn cluster() -> impl Strategy<Value = Cluster> {
    (option::of(1..=8_usize), any::<u64>(), vec(block(), 0..6), noise(), option::of(tags()))
        .prop_map(|(size, timestamp, blocks, noise, tags_after)| Cluster { size, timestamp, blocks, noise, tags_after })
}

/// A document of any shape.
pub fn document() -> impl Strategy<Value = Document> {
    let scale = prop_oneof![Just(1_000_000), Just(1), Just(22_675), 1..u64::MAX];
    (
        prop::sample::select(vec!["matroska", "webm"]),
        option::of(1..=8_usize),
        scale,
        vec(option::of(vec(any::<u8>(), 0..9)), 1..4),
        tags(),
        vec(cluster(), 0..4),
        noise(),
    )
        .prop_map(|(doc_type, segment_size, scale, tracks, tags_before, clusters, noise)| Document {
            doc_type,
            segment_size,
            scale,
            tracks,
            tags_before,
            clusters,
            noise,
        })
}

/// The file of these documents, and what is read of it.
pub fn render(documents: &[Document]) -> (Vec<u8>, Vec<Summary>) {
    let (mut bytes, mut summaries) = (Vec::new(), Vec::new());
    for document in documents {
        // What comes ends a Cluster that is open yet.
        document.render(&mut bytes, &mut summaries);
    }
    (bytes, summaries)
}

/// Whether a Cluster is open at the end.
fn is_open(summaries: &[Summary]) -> bool {
    summaries.iter().rev().find_map(|summary| match summary {
        Summary::Cluster(_) => Some(true),
        Summary::ClusterEnd => Some(false),
        _ => None,
    }) == Some(true)
}

fn end_cluster(summaries: &mut Vec<Summary>) {
    if is_open(summaries) {
        summaries.push(Summary::ClusterEnd);
    }
}

fn push_noise(noise: &Noise, bytes: &mut Vec<u8>) {
    if let Some((id, length)) = noise {
        bytes.extend(element(*id, vec![0xA3; *length]));
    }
}

fn push_tags(names: &[String], bytes: &mut Vec<u8>, summaries: &mut Vec<Summary>) {
    end_cluster(summaries);
    let tags = names.iter().map(|name| element(Id::SIMPLE_TAG, element(Id::TAG_NAME, name))).collect::<Vec<_>>();
    bytes.extend(element(Id::TAGS, element(Id::TAG, tags.concat())));
    summaries.push(Summary::Tags(names.to_vec()));
}

impl Document {
    fn render(&self, bytes: &mut Vec<u8>, summaries: &mut Vec<Summary>) {
        end_cluster(summaries);
        bytes.extend(ebml_header(self.doc_type));
        summaries.extend([Summary::Document(self.doc_type.into()), Summary::Segment]);

        let mut segment = Vec::new();
        segment.extend(element(Id::INFO, unsigned(Id::TIMESTAMP_SCALE, self.scale)));
        summaries.push(Summary::Info(self.scale));
        push_noise(&self.noise, &mut segment);
        let (mut entries, mut tracks) = (Vec::new(), Vec::new());
        for (number, stripped) in (1..).zip(&self.tracks) {
            let mut entry = element(Id::TRACK_NUMBER, [number]);
            if let Some(stripped) = stripped {
                let settings = element(Id::CONTENT_COMP_SETTINGS, stripped);
                let compression = [element(Id::CONTENT_COMP_ALGO, [3]), settings].concat();
                let encoding = element(Id::CONTENT_ENCODING, element(Id::CONTENT_COMPRESSION, compression));
                entry.extend(element(Id::CONTENT_ENCODINGS, encoding));
            }
            entries.extend(element(Id::TRACK_ENTRY, entry));
            tracks.push((u64::from(number), stripped.clone().unwrap_or_default()));
        }
        segment.extend(element(Id::TRACKS, entries));
        summaries.push(Summary::Tracks(tracks));
        push_tags(&self.tags_before, &mut segment, summaries);
        for cluster in &self.clusters {
            cluster.render(&mut segment, summaries);
        }
        if self.segment_size.is_some() {
            end_cluster(summaries);
        }
        bytes.extend(element_sized(Id::SEGMENT, &segment, self.segment_size));
    }
}

impl Cluster {
    fn render(&self, bytes: &mut Vec<u8>, summaries: &mut Vec<Summary>) {
        end_cluster(summaries);
        let mut cluster = unsigned(Id::TIMESTAMP, self.timestamp);
        summaries.push(Summary::Cluster(self.timestamp));
        push_noise(&self.noise, &mut cluster);
        for block in &self.blocks {
            block.render(&mut cluster, summaries);
        }
        bytes.extend(element_sized(Id::CLUSTER, &cluster, self.size));
        if self.size.is_some() {
            end_cluster(summaries);
        }
        if let Some(tags) = &self.tags_after {
            push_tags(tags, bytes, summaries);
        }
    }
}

impl Block {
    fn render(&self, bytes: &mut Vec<u8>, summaries: &mut Vec<Summary>) {
        let (flag, payload) = self.payload();
        let (element, keyframe, duration) = match self.kind {
            Kind::Simple { keyframe } => {
                let flags = flag | if keyframe { 0x80 } else { 0 };
                let data = block_data(self.track, self.relative, flags, &payload);
                (element_sized(Id::SIMPLE_BLOCK, &data, Some(self.size)), keyframe, None)
            }
            Kind::Group { duration, reference } => {
                let mut group = Vec::new();
                push_noise(&self.noise, &mut group);
                let data = block_data(self.track, self.relative, flag, &payload);
                group.extend(element_sized(Id::BLOCK, &data, Some(self.size)));
                group.extend(duration.map(|duration| unsigned(Id::BLOCK_DURATION, duration)).unwrap_or_default());
                if reference {
                    group.extend(element(Id::REFERENCE_BLOCK, [0xFF]));
                }
                (element_sized(Id::BLOCK_GROUP, &group, Some(self.size)), !reference, duration)
            }
        };
        push_noise(&self.noise, bytes);
        bytes.extend(&element);
        let (track, relative, frames) = (self.track, self.relative, self.frames.clone());
        summaries.push(Summary::Block { track, relative, keyframe, duration, element, frames });
    }

    /// The lacing flag, and lace header and frames.
    fn payload(&self) -> (u8, Vec<u8>) {
        let last = self.frames.len() - 1;
        let mut payload = vec![last as u8];
        let flag = match self.lacing {
            Lacing::None => {
                payload.clear();
                0x00
            }
            Lacing::Xiph => {
                for frame in &self.frames[..last] {
                    payload.extend(vec![255; frame.len() / 255]);
                    payload.push((frame.len() % 255) as u8);
                }
                0x02
            }
            Lacing::Ebml => {
                let mut before: Option<i64> = None;
                for frame in &self.frames[..last] {
                    let length = frame.len() as i64;
                    match before {
                        None => payload.extend(size(Some(length as u64), size_length(length as u64))),
                        Some(before) => payload.extend(signed(length - before)),
                    }
                    before = Some(length);
                }
                0x06
            }
            Lacing::Fixed => 0x04,
        };
        payload.extend(self.frames.concat());
        (flag, payload)
    }
}

/// A difference of frame sizes: biased, in two or three bytes.
fn signed(difference: i64) -> Vec<u8> {
    let length = if difference.abs() < 8_000 { 2 } else { 3 };
    let bias = (1_i64 << (7 * length - 1)) - 1;
    size(Some((difference + bias) as u64), length as usize)
}
