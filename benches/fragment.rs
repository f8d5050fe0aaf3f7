//! Reader, Assembler and Timeline together: a capture repeated to 200 MB, in pieces of 64 KiB as a socket gives them.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gstkvs::fragment::{FrameReader, Output, Range};

const TOTAL: usize = 200 << 20;
const PIECE: usize = 64 << 10;

fn body() -> Option<Bytes> {
    let folder = std::env::var_os("KVS_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"), PathBuf::from);
    let capture = std::fs::read(folder.join("output_get_media.mkv")).ok()?;
    Some(capture.repeat(TOTAL / capture.len()).into())
}

/// Blocks and bytes of payload, so that nothing can be left out.
fn read(body: &Bytes) -> (u64, u64) {
    let mut frames = FrameReader::new(Range::default());
    let (mut count, mut bytes) = (0, 0);
    let mut rest = body.clone();
    while !rest.is_empty() {
        frames.push(rest.split_to(PIECE.min(rest.len())));
        while let Some(output) = frames.next().expect("a good capture") {
            if let Output::Block(timed) = output {
                count += 1;
                bytes += timed.frames().map(|(frame, _)| frame.len() as u64).sum::<u64>();
                black_box(timed.pts);
            }
        }
    }
    (count, bytes)
}

fn fragments(criterion: &mut Criterion) {
    let Some(body) = body() else {
        eprintln!("SKIPPED: no capture output_get_media.mkv; set KVS_CAPTURES to the folder that holds it");
        return;
    };
    let (frames, _) = read(&body);
    let mut group = criterion.benchmark_group("fragment");
    group.sample_size(10);
    group.throughput(Throughput::Elements(frames));
    group.bench_function("a frame", |bencher| bencher.iter(|| black_box(read(&body))));
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("a byte", |bencher| bencher.iter(|| black_box(read(&body))));
    group.finish();
}

criterion_group!(benches, fragments);
criterion_main!(benches);
