//! Flushes, in the middle of which bytes begin anew: at a header, or at a cluster.

use super::bench::Bench;
use super::body::{Fragment, body};

fn flush(bench: &Bench) {
    assert!(bench.event(gst::event::FlushStart::new()));
    assert!(bench.event(gst::event::FlushStop::new(true)));
    assert!(bench.event(gst::event::Segment::new(&gst::FormattedSegment::<gst::format::Bytes>::new())));
}

/// Where the cluster begins in a fragment's document.
fn at_cluster(fragment: &Fragment) -> Vec<u8> {
    fragment.bytes()[fragment.until_cluster().len()..].to_vec()
}

#[test]
fn after_a_flush_comes_a_header() {
    let bench = Bench::new();
    let bytes = body(&[Fragment::audio(0, 10), Fragment::audio(1, 10)]);
    // In the middle of a block.
    bench.begin_in_bytes().push_bytes(&bytes[..bytes.len() - 260]).unwrap();
    let id = bench.outlet("audio_0").stream_id();
    flush(&bench);
    bench.clear();
    bench.push_bytes(body(&[Fragment::audio(5, 10)])).unwrap();
    let outlet = bench.outlet("audio_0");
    assert_eq!(outlet.buffers().len(), 10);
    assert_eq!(outlet.pts_ms()[0], 0);
    assert!(outlet.buffers()[0].flags().contains(gst::BufferFlags::DISCONT));
    assert_eq!(outlet.stream_id(), id);
    assert_eq!(bench.outlets().len(), 1);
}

#[test]
fn after_a_flush_comes_a_cluster() {
    let bench = Bench::new();
    let scale = 100_000;
    let mut bytes = body(&[Fragment { scale, ..Fragment::audio(0, 10) }]);
    // Another header has begun, which does not count before it is whole.
    bytes.extend(&body(&[Fragment::audio(1, 10)])[..100]);
    bench.begin_in_bytes().push_bytes(bytes).unwrap();
    flush(&bench);
    bench.clear();
    bench.push_bytes(at_cluster(&Fragment { scale, ..Fragment::audio(5, 10) })).unwrap();
    let outlet = bench.outlet("audio_0");
    assert_eq!(outlet.pts_ms(), (0..10).map(|index| index * 2).collect::<Vec<_>>());
    // A header may follow, as it does in a body of the service.
    bench.push_bytes(body(&[Fragment { scale, ..Fragment::audio(6, 10) }])).unwrap();
    assert_eq!(bench.outlet("audio_0").buffers().len(), 20);
}

#[test]
fn after_a_flush_before_any_header_one_must_come() {
    let bench = Bench::new();
    let bytes = body(&[Fragment::audio(0, 10)]);
    bench.begin_in_bytes().push_bytes(&bytes[..50]).unwrap();
    flush(&bench);
    bench.push_bytes(bytes).unwrap();
    assert_eq!(bench.outlet("audio_0").buffers().len(), 10);

    let bench = Bench::new();
    bench.begin_in_bytes();
    assert_eq!(bench.push_bytes(at_cluster(&Fragment::audio(0, 10))), Err(gst::FlowError::Error));
    bench.error(gst::StreamError::Demux);
}

#[test]
fn flushes_go_to_every_pad() {
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&[Fragment::audio(0, 10)])).unwrap();
    bench.clear();
    flush(&bench);
    let order = bench.outlet("audio_0").order();
    use gst::EventType as Type;
    assert_eq!(order, [Some(Type::FlushStart), Some(Type::FlushStop), Some(Type::Segment)]);
}

#[test]
fn a_state_change_begins_everything_anew() {
    use gst::prelude::*;
    let bench = Bench::new();
    bench.begin_in_bytes().push_bytes(body(&[Fragment::audio(0, 10)])).unwrap();
    bench.element.set_state(gst::State::Ready).unwrap();
    assert!(bench.element.src_pads().is_empty());
    assert!(bench.outlet("audio_0").removed);
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.begin_in_bytes().push_bytes(body(&[Fragment::audio(1, 10)])).unwrap();
    assert_eq!(bench.outlets().len(), 2);
    assert_eq!(bench.outlet("audio_0").pts_ms()[0], 0);
}
