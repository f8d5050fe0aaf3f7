//! Media for the tests, and what a GetMedia body says.

#![allow(dead_code)]

use bytes::Bytes;
use kvs_emulator::NewFragment;
use kvs_emulator::matroska::{self, Cursor, id};
use kvs_emulator::media::{self, Cluster, TrackEntry, TrackKind};

/// One chunk of a GetMedia body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// Ids of the Segment's children in order.
    pub layout: Vec<u32>,
    /// Every tag in order.
    pub tags: Vec<(String, String)>,
    /// Cluster times in ticks.
    pub clusters: Vec<u64>,
    /// Each block: track, time in ticks with the cluster's added, keyframe, payload.
    pub blocks: Vec<(u64, i64, bool, Bytes)>,
}

impl Chunk {
    pub fn tag(&self, name: &str) -> Option<&str> {
        let name = format!("AWS_KINESISVIDEO_{name}");
        self.tags.iter().find(|(tag, _)| *tag == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self) -> &str {
        self.tag("FRAGMENT_NUMBER").unwrap()
    }
}

/// Reads a whole body; every document must be well formed to its end.
pub fn chunks(body: &Bytes) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut cursor = Cursor::new(body);
    while let Some(element) = cursor.advance().unwrap() {
        if element.id == id::EBML {
            chunks.push(Chunk::default());
            continue;
        }
        let chunk = chunks.last_mut().expect("a body begins with an EBML header");
        let body = || cursor.body(&element);
        match element.id {
            id::SEGMENT => cursor.position = element.body,
            id::CLUSTER => {
                chunk.layout.push(id::CLUSTER);
                // Known size or not, its children come along this walk.
                cursor.position = element.body;
            }
            id::TAGS => {
                chunk.layout.push(id::TAGS);
                chunk.tags.extend(matroska::read_tags(&body()).unwrap());
            }
            id::TIMESTAMP => chunk.clusters.push(matroska::unsigned(&body())),
            id::SIMPLE_BLOCK => block(chunk, &body(), true, true),
            id::BLOCK_GROUP => group(chunk, &body()),
            id::POSITION | id::PREV_SIZE => {}
            other => chunk.layout.push(other),
        }
    }
    chunks
}

fn group(chunk: &mut Chunk, body: &Bytes) {
    let (mut keyframe, mut found) = (true, None);
    let mut fields = Cursor::new(body);
    while let Some(field) = fields.advance().unwrap() {
        match field.id {
            id::BLOCK => found = Some(fields.body(&field)),
            id::REFERENCE_BLOCK => keyframe = false,
            _ => {}
        }
    }
    block(chunk, &found.unwrap(), false, keyframe);
}

fn block(chunk: &mut Chunk, body: &Bytes, simple: bool, keyframe: bool) {
    let head = matroska::block_head(body).unwrap();
    let time = *chunk.clusters.last().unwrap() as i64 + i64::from(head.relative);
    let keyframe = if simple { head.flags & 0x80 != 0 } else { keyframe };
    chunk.blocks.push((head.track, time, keyframe, body.slice(head.relative_offset + 3..)));
}

/// A header with one video track of 25 frames a second.
pub fn header() -> Bytes {
    let track = TrackEntry::new(1, TrackKind::Video { width: 64, height: 48 }, "V_TEST").default_duration(40_000_000);
    media::header(1_000_000, &[track])
}

/// A fragment of one second: 25 frames, each of its own bytes.
pub fn fragment(producer_timestamp: u64, server_timestamp: u64) -> NewFragment {
    NewFragment {
        header: header(),
        media: cluster(0, 25).bytes(),
        producer_timestamp: Some(producer_timestamp),
        server_timestamp: Some(server_timestamp),
        ..NewFragment::default()
    }
}

/// A cluster of frames 40 ms apart.
pub fn cluster(timestamp: u64, frames: i16) -> Cluster {
    (0..frames).fold(Cluster::new(timestamp), |cluster, frame| {
        cluster.simple_block(1, frame * 40, frame == 0, format!("frame {frame} at {timestamp}").as_bytes())
    })
}
