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
    // Its 10 s again and again, each at a time of its own: what comes twice is dropped.
    Some((0..TOTAL / capture.len()).flat_map(|index| later(&capture, index as u64 * 10)).collect())
}

/// The capture with its producer timestamps so many seconds later.
fn later(capture: &[u8], seconds: u64) -> Vec<u8> {
    const NAME: &[u8] = b"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP";
    let mut bytes = capture.to_vec();
    for at in (0..capture.len()).filter(|at| capture[*at..].starts_with(NAME)) {
        // After the name come the ID and the size of the text: seconds since 1970, in ten digits, and three decimals.
        let text = at + NAME.len() + 2..at + NAME.len() + 24;
        let digits = text.clone().find(|from| capture[*from..from + 10].iter().all(u8::is_ascii_digit));
        let from = digits.expect("seconds since 1970");
        let time: u64 = str::from_utf8(&capture[from..from + 10]).expect("digits").parse().expect("a number");
        bytes[from..from + 10].copy_from_slice((time + seconds).to_string().as_bytes());
    }
    bytes
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
