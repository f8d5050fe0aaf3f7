//! Walking every block of a capture of 200 MB: the reader of this project beside three crates on the same bytes.
//!
//! `cargo bench --bench mkv`; a table of the fastest walks follows Criterion's own output. What each is asked to do:
//!
//! - `kvs`: takes the body in pieces of 64 KiB; every block with its track, time, flags and frames. It copies no frame.
//! - `webm-iterable`: reads the body from a `Read` that gives the same pieces; every tag, and of a SimpleBlock its
//!   track, time and flags. It copies each frame twice.
//! - `mkv-element`: the same `Read`; EBML, Info, Tracks and Tags as typed elements, Segment and Cluster by their header
//!   alone (whole, it would hold a Cluster, and refuse one of unknown size), each SimpleBlock as an element with its
//!   header read. It copies each frame twice.
//! - `matroska-demuxer`: every frame, one reused. It needs `Seek` and reads no chained documents, so that it gets no
//!   pieces but each document whole, in a `Cursor`; and without SeekHead, which leads out of a fragment and makes it
//!   fail. It reads no Tags. It copies each frame once.
//!
//! "cold" is a body that lies in memory as a whole, so that each frame's first byte comes from main memory; "warm"
//! gives the same capture again and again, as a body is that has just come from a socket.

#[path = "../tests/common/captures.rs"]
mod captures;

use std::hint::black_box;
use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use bytes::Bytes;
use captures::capture;
use criterion::{Criterion, Throughput};
use gstkvs::mkv::{Element, Reader};

const PIECE: usize = 64 * 1024;
const TOTAL: usize = 200_000_000;

/// What a walk found: compared, so that nobody is fast by leaving something out.
#[derive(Debug, Default, PartialEq)]
struct Found {
    frames: u64,
    bytes: u64,
    keyframes: u64,
    /// Of relative timestamps.
    times: i64,
}

/// One of the competitors.
type Walk = fn(&Body) -> Found;

/// A body: the same bytes several times.
struct Body {
    bytes: Bytes,
    times: usize,
    /// The documents in it, each without SeekHead.
    documents: Vec<Bytes>,
}

impl Body {
    fn new(bytes: Bytes, times: usize) -> Self {
        let mut without = bytes.to_vec();
        let heads = positions(&without, [0x11, 0x4D, 0x9B, 0x74]);
        // An ID that nobody knows.
        heads.into_iter().for_each(|at| without[at + 3] = 0x75);
        let starts = positions(&without, [0x1A, 0x45, 0xDF, 0xA3]);
        let without = Bytes::from(without);
        let ends = starts.iter().skip(1).copied().chain([without.len()]);
        let documents = starts.iter().zip(ends).map(|(&start, end)| without.slice(start..end)).collect();
        Self { bytes, times, documents }
    }

    fn len(&self) -> usize {
        self.bytes.len() * self.times
    }

    fn pieces(&self) -> impl Iterator<Item = Bytes> {
        (0..self.times).flat_map(|_| {
            let bytes = &self.bytes;
            (0..bytes.len()).step_by(PIECE).map(|at| bytes.slice(at..bytes.len().min(at + PIECE)))
        })
    }

    fn read(&self) -> PieceReader<impl Iterator<Item = Bytes>> {
        PieceReader { piece: Bytes::new(), pieces: self.pieces() }
    }

    fn documents(&self) -> impl Iterator<Item = &Bytes> {
        (0..self.times).flat_map(|_| &self.documents)
    }
}

/// Where an ID stands.
fn positions(bytes: &[u8], id: [u8; 4]) -> Vec<usize> {
    bytes.windows(4).enumerate().filter(|(_, window)| *window == id).map(|(at, _)| at).collect()
}

/// Gives pieces to who wants to read.
struct PieceReader<I> {
    piece: Bytes,
    pieces: I,
}

impl<I: Iterator<Item = Bytes>> Read for PieceReader<I> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.pieces.next().unwrap_or_default();
        }
        let length = into.len().min(self.piece.len());
        into[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

fn kvs(body: &Body) -> Found {
    let mut found = Found::default();
    let mut reader = Reader::new();
    for piece in body.pieces() {
        reader.push(piece);
        while let Some(element) = reader.next().expect("a sound body") {
            match element {
                Element::Block(block) => {
                    for frame in block.frames() {
                        found.frames += 1;
                        found.bytes += black_box(frame).len() as u64;
                    }
                    found.keyframes += u64::from(block.keyframe);
                    found.times += i64::from(block.relative_timestamp);
                    black_box(block.track);
                }
                other => drop(black_box(other)),
            }
        }
    }
    reader.finish().expect("a whole body");
    found
}

fn webm_iterable(body: &Body) -> Found {
    use webm_iterable::WebmIterator;
    use webm_iterable::matroska_spec::{MatroskaSpec, SimpleBlock};

    let mut found = Found::default();
    for tag in WebmIterator::new(body.read(), &[]) {
        let tag = tag.expect("a sound body");
        if let MatroskaSpec::SimpleBlock(data) = &tag {
            let block = SimpleBlock::try_from(data).expect("a sound block");
            found.frames += 1;
            found.bytes += black_box(block.raw_frame_data()).len() as u64;
            found.keyframes += u64::from(block.keyframe);
            found.times += i64::from(block.timestamp);
            black_box(block.track);
        }
        black_box(tag);
    }
    found
}

fn mkv_element(body: &Body) -> Found {
    use mkv_element::io::blocking_impl::{ReadElement, ReadFrom};
    use mkv_element::prelude::{
        Cluster, Ebml, Element, Header, Info, Segment, SimpleBlock, Tags, Timestamp, Tracks, VInt64,
    };

    let mut found = Found::default();
    let mut read = body.read();
    while let Ok(header) = Header::read_from(&mut read) {
        match header.id {
            Segment::ID | Cluster::ID => {}
            Ebml::ID => drop(black_box(Ebml::read_element(&header, &mut read).expect("an EBML header"))),
            Info::ID => drop(black_box(Info::read_element(&header, &mut read).expect("an Info"))),
            Tracks::ID => drop(black_box(Tracks::read_element(&header, &mut read).expect("a Tracks"))),
            // It refuses the service's own, which have no Targets.
            Tags::ID => drop(black_box(Tags::read_element(&header, &mut read))),
            Timestamp::ID => drop(black_box(Timestamp::read_element(&header, &mut read).expect("a Timestamp"))),
            SimpleBlock::ID => {
                let block = SimpleBlock::read_element(&header, &mut read).expect("a SimpleBlock");
                let mut data = &block[..];
                let track = VInt64::read_from(&mut data).expect("a track number");
                found.frames += 1;
                found.bytes += black_box(&data[3..]).len() as u64;
                found.keyframes += u64::from(data[2] & 0x80 != 0);
                found.times += i64::from(i16::from_be_bytes([data[0], data[1]]));
                black_box(*track);
            }
            _ => {
                std::io::copy(&mut read.by_ref().take(*header.size), &mut std::io::sink()).expect("memory");
            }
        }
    }
    found
}

fn matroska_demuxer(body: &Body) -> Found {
    use matroska_demuxer::{Frame, MatroskaFile};

    let mut found = Found::default();
    let mut frame = Frame::default();
    for document in body.documents() {
        let mut file = MatroskaFile::open(Cursor::new(document)).expect("a sound document");
        let mut start = None;
        while file.next_frame(&mut frame).expect("a sound document") {
            // Its timestamps have the cluster's in them, which is the first frame's.
            let start = *start.get_or_insert(frame.timestamp);
            found.frames += 1;
            found.bytes += black_box(&frame.data).len() as u64;
            found.keyframes += u64::from(frame.is_keyframe == Some(true));
            found.times += (frame.timestamp - start) as i64;
            black_box(frame.track);
        }
    }
    found
}

/// Runs one of them; the time of the fastest walk, which other work on the machine disturbs least. `None` where the
/// command line leaves it out.
fn measure(criterion: &mut Criterion, group: &str, name: &str, body: &Body, walk: Walk) -> Option<Duration> {
    let found = walk(body);
    let mut fastest = None;
    let mut group = criterion.benchmark_group(group);
    group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: found.frames, bytes: body.len() as u64 });
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let walks = (0..times).map(|_| {
                let start = Instant::now();
                black_box(walk(black_box(body)));
                let elapsed = start.elapsed();
                fastest = Some(fastest.unwrap_or(elapsed).min(elapsed));
                elapsed
            });
            walks.sum()
        });
    });
    group.finish();
    fastest
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut table = Vec::new();
    for name in ["output_get_media.mkv", "test_mixed_tags.mkv"] {
        let Some(bytes) = capture(name) else { continue };
        let times = TOTAL.div_ceil(bytes.len());
        let cold = Body::new(bytes.repeat(times).into(), 1);
        let warm = Body::new(bytes, times);
        for (temperature, body) in [("warm", warm), ("cold", cold)] {
            let expected = kvs(&body);
            let group = format!("{name}, {temperature}");
            let walks: [(&str, Walk); 4] = [
                ("kvs", kvs),
                ("webm-iterable", webm_iterable),
                ("mkv-element", mkv_element),
                ("matroska-demuxer", matroska_demuxer),
            ];
            for (crate_name, walk) in walks {
                assert_eq!(walk(&body), expected, "{crate_name} on {group}");
                if let Some(fastest) = measure(&mut criterion, &group, crate_name, &body, walk) {
                    let nanoseconds = fastest.as_nanos() as f64;
                    let (frame, throughput) = (nanoseconds / expected.frames as f64, body.len() as f64 / nanoseconds);
                    table.push(format!("{group:<30} {crate_name:<18} {frame:>9.1} ns a frame {throughput:>8.2} GB/s"));
                }
            }
        }
    }
    table.iter().for_each(|row| println!("{row}"));
    criterion.final_summary();
}
