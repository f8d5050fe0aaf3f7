//! From any bytes and any values of elements to buffers: through kvsdemux, and through both writers of kvssrc.
//!
//! An element catches a panic of its own and posts it as an error of the library, by which these tests find it.

use std::sync::Arc;

use bytes::Bytes;
use gst::prelude::*;
use gstkvs::fragment::{FrameReader, Output, Range, TimestampMode};
use gstkvs::output::{ContainerWriter, Item, Queue, TrackCaps, TrackWriter};
use proptest::collection::vec;
use proptest::prelude::*;

use super::bench::{Bench, Seen};
use super::body::{Fragment, Track, element, tags, unsigned};
use super::support::{emulator_with_body, init, run, source};

/// No time of GStreamer's is later: it counts in 63 bits where it takes differences.
const LATEST: u64 = i64::MAX as u64;

/// What a producer, or a damaged byte, may have written in place of the usual.
#[derive(Clone, Debug)]
struct Values {
    scale: u64,
    default_duration: Option<u64>,
    codec_delay: Option<u64>,
    fragments: Vec<Odd>,
}

#[derive(Clone, Debug)]
struct Odd {
    cluster: u64,
    producer: String,
    server: String,
    blocks: Vec<OddBlock>,
}

#[derive(Clone, Debug)]
struct OddBlock {
    track: u8,
    relative: i16,
    /// Frames in a lace of fixed size.
    frames: u8,
    duration: Option<u64>,
    padding: Option<i64>,
}

fn number() -> impl Strategy<Value = u64> {
    let edges =
        vec![0, 1, 1000, 1_000_000, 33_333_333, 1 << 32, LATEST - 1, LATEST, LATEST + 1, u64::MAX - 1, u64::MAX];
    prop_oneof![3 => prop::sample::select(edges), 1 => any::<u64>(), 1 => 0..100_000_000_u64]
}

fn timestamp() -> impl Strategy<Value = String> {
    let edges = [
        "0",
        "-1",
        "0.001",
        "1767607200.000",
        "9223372036.854775806",
        "9223372036.854775807",
        "9223372036.854775808",
        "18446744073709551615",
        "-9223372036.854775808",
        "1e300",
        "NaN",
        "",
        "1.2.3",
        "+5",
        "253402300799.999",
    ];
    prop_oneof![
        3 => prop::sample::select(edges.map(str::to_owned).to_vec()),
        1 => any::<u64>().prop_map(|seconds| seconds.to_string()),
        1 => (0..4_000_000_000_u64, 0..1000_u16).prop_map(|(seconds, ms)| format!("{seconds}.{ms:03}")),
    ]
}

fn values() -> impl Strategy<Value = Values> {
    let block = (
        1..4_u8,
        prop_oneof![any::<i16>(), Just(i16::MIN), Just(i16::MAX), 0..100_i16],
        prop_oneof![Just(1_u8), 2..5_u8, Just(255_u8)],
        prop::option::of(number()),
        prop::option::of(any::<i64>()),
    );
    let block = block.prop_map(|(track, relative, frames, duration, padding)| OddBlock {
        track,
        relative,
        frames,
        duration,
        padding,
    });
    let fragment = (number(), timestamp(), timestamp(), vec(block, 1..8));
    let fragment = fragment.prop_map(|(cluster, producer, server, blocks)| Odd { cluster, producer, server, blocks });
    let scale = prop_oneof![3 => Just(1_000_000), 2 => number()];
    let values = (scale, prop::option::of(number()), prop::option::of(number()), vec(fragment, 1..5));
    values.prop_map(|(scale, default_duration, codec_delay, fragments)| Values {
        scale,
        default_duration,
        codec_delay,
        fragments,
    })
}

impl Values {
    /// A picture and a sound track, and a third number that the header does not have.
    fn tracks(&self) -> Vec<Track> {
        let mut more = Vec::new();
        more.extend(self.default_duration.iter().flat_map(|duration| unsigned(&[0x23, 0xE3, 0x83], *duration)));
        more.extend(self.codec_delay.iter().flat_map(|delay| unsigned(&[0x56, 0xAA], *delay)));
        let picture =
            Track { kind: 1, codec: "V_MJPEG", private: Vec::new(), more: more.clone(), ..Track::alaw(1, "") };
        vec![picture, Track { more, ..Track::alaw(2, "") }]
    }

    fn body(&self) -> Vec<u8> {
        (0..).zip(&self.fragments).flat_map(|(index, odd)| odd.document(index, self)).collect()
    }
}

impl Odd {
    fn document(&self, index: u64, values: &Values) -> Vec<u8> {
        let like = Fragment { scale: values.scale, tracks: values.tracks(), ..Fragment::audio(index, 0) };
        let mut document = like.until_tags();
        document.extend(tags(&[
            ("AWS_KINESISVIDEO_FRAGMENT_NUMBER".to_owned(), (100 + index).to_string()),
            ("AWS_KINESISVIDEO_SERVER_TIMESTAMP".to_owned(), self.server.clone()),
            ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP".to_owned(), self.producer.clone()),
        ]));
        let blocks = self.blocks.iter().flat_map(OddBlock::bytes);
        let cluster: Vec<u8> = unsigned(&[0xE7], self.cluster).into_iter().chain(blocks).collect();
        document.extend(element(&[0x1F, 0x43, 0xB6, 0x75], &cluster));
        document
    }
}

impl OddBlock {
    fn bytes(&self) -> Vec<u8> {
        let [high, low] = self.relative.to_be_bytes();
        let mut data = vec![0x80 | self.track, high, low];
        if self.frames > 1 {
            data.extend([0x04, self.frames - 1]);
        } else {
            data.push(0);
        }
        data.extend(vec![0xAA; 4 * usize::from(self.frames)]);
        let mut group = element(&[0xA1], &data);
        group.extend(self.duration.iter().flat_map(|duration| unsigned(&[0x9B], *duration)));
        group.extend(self.padding.iter().flat_map(|padding| element(&[0x75, 0xA2], &padding.to_be_bytes())));
        element(&[0xA0], &group)
    }
}

/// Times that GStreamer can count with, or none.
fn check(buffer: &gst::Buffer) {
    for time in [buffer.pts(), buffer.dts(), buffer.duration()].into_iter().flatten() {
        assert!(time.nseconds() < LATEST, "{buffer:?}");
    }
    for meta in buffer.iter_meta::<gst::ReferenceTimestampMeta>() {
        let duration = meta.duration().unwrap_or_default();
        assert!(meta.timestamp().nseconds() < LATEST && duration.nseconds() < LATEST, "{meta:?}");
    }
    if let Some(meta) = gstkvs::FragmentMeta::of(buffer) {
        let _ = (meta.producer_timestamp(), meta.server_timestamp());
    }
}

/// Through both writers, as kvssrc drives them.
fn write(body: &[u8], mode: TimestampMode) -> usize {
    let mut frames = FrameReader::new(Range::default());
    frames.time_by(mode, None);
    frames.push(Bytes::copy_from_slice(body));
    let mut writers: Vec<(ContainerWriter, Vec<TrackWriter>)> = Vec::new();
    let (mut queue, mut under) = (Queue::new(), None);
    while let Ok(Some(output)) = frames.next() {
        match output {
            Output::Start(fragment) => {
                let same = under.as_ref().is_some_and(|header| Arc::ptr_eq(header, &fragment.header));
                if !same {
                    let tracks = fragment.header.tracks.tracks.iter().enumerate();
                    let tracks = tracks.filter_map(|(index, track)| {
                        let caps = TrackCaps::new(None).of(track).ok()?;
                        Some(TrackWriter::new(index, track, caps))
                    });
                    writers.push((ContainerWriter::new(&fragment.header), tracks.collect()));
                    under = Some(Arc::clone(&fragment.header));
                }
                let (container, tracks) = writers.last_mut().unwrap();
                container.begin_fragment(&fragment, &mut queue);
                tracks.iter_mut().for_each(|track| track.begin_fragment(&fragment, &mut queue));
            }
            Output::Block(block) => {
                let (container, tracks) = writers.last_mut().unwrap();
                container.write(&block, &mut queue);
                tracks.iter_mut().for_each(|track| track.write(&block, &mut queue));
            }
            Output::End(_) | Output::Repeated(_) | Output::Dropped(_) | Output::RangeEnd => {}
        }
    }
    let buffers = queue.iter().filter_map(|item| if let Item::Buffer(buffer) = item { Some(buffer) } else { None });
    buffers.inspect(|buffer| check(buffer)).count()
}

/// Whatever came out of the element is sound, and no part of it panicked.
fn judge(bench: &Bench) {
    let said: Vec<String> = bench
        .messages(gst::MessageType::Error)
        .iter()
        .map(|message| match message.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            _ => unreachable!(),
        })
        .collect();
    assert!(!said.iter().any(|text| text.contains("anicked")), "{said:?}");
    for outlet in bench.outlets() {
        for seen in &outlet.seen {
            match seen {
                Seen::Buffer(buffer) => check(buffer),
                Seen::Event(event) => {
                    if let gst::EventView::Gap(gap) = event.view() {
                        let (start, duration) = gap.get();
                        assert!(start.nseconds() < LATEST && duration.unwrap_or_default().nseconds() < LATEST);
                    }
                }
            }
        }
        let _ = outlet.sink.peer_query_position::<gst::ClockTime>();
    }
}

/// A saved body.
fn demux(body: &[u8]) -> Bench {
    let bench = Bench::new();
    let _ = bench.begin_in_bytes().push_bytes(body);
    bench.end();
    judge(&bench);
    bench
}

/// The same by an upstream that has these times, as kvssrc has its own, forward or backward.
fn demux_in_time(body: &[u8], times: &[(u64, u64)], rate: f64) {
    let bench = Bench::new();
    bench.begin_in_time("upstream");
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(rate);
    bench.event(gst::event::Segment::new(&segment));
    let piece = body.len().div_ceil(times.len());
    for (bytes, (pts, duration)) in body.chunks(piece.max(1)).zip(times) {
        let mut buffer = gst::Buffer::from_slice(bytes.to_vec());
        let writable = buffer.get_mut().unwrap();
        // The last is GStreamer's sign for none.
        let time = |ns: u64| (ns < u64::MAX).then(|| gst::ClockTime::from_nseconds(ns));
        writable.set_pts(time(*pts));
        writable.set_duration(time(*duration));
        if let Some(time) = time(*duration) {
            let unix = gst::Caps::new_empty_simple("timestamp/x-unix");
            gst::ReferenceTimestampMeta::add(writable, &unix, time, Some(time));
        }
        if bench.push(buffer).is_err() {
            break;
        }
    }
    bench.end();
    judge(&bench);
}

/// Bytes of which many are heads of elements that matter.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let heads = vec![0xA0, 0xA1, 0xA3, 0x9B, 0xE7, 0x81, 0x82, 0x84, 0x88, 0xFF];
    vec(prop_oneof![any::<u8>(), prop::sample::select(heads)], 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_values_become_buffers(values in values()) {
        init();
        let body = values.body();
        for mode in [TimestampMode::Producer, TimestampMode::Server, TimestampMode::Contiguous] {
            write(&body, mode);
        }
        demux(&body);
    }

    #[test]
    fn any_values_and_times_of_upstream_become_buffers(
        values in values(), times in vec((number(), number()), 1..20), backward in any::<bool>(),
    ) {
        init();
        demux_in_time(&values.body(), &times, if backward { -1.0 } else { 1.0 });
    }

    #[test]
    fn any_bytes_become_buffers_or_an_error(values in values(), rubbish in rubbish(), at in any::<prop::sample::Index>()) {
        init();
        let mut body = values.body();
        let at = at.index(body.len());
        let end = body.len().min(at + rubbish.len());
        body.splice(at..end, rubbish.iter().copied());
        write(&body, TimestampMode::Producer);
        demux(&body);
        demux(&rubbish);
    }
}

/// The values that end in the number that GStreamer has for none, through the element and both of its outputs.
#[test]
fn what_cannot_be_is_unknown() {
    let usual = OddBlock { track: 2, relative: 0, frames: 1, duration: None, padding: None };
    let fragment = |block: &OddBlock| Odd {
        cluster: 0,
        producer: "1767607200.000".to_owned(),
        server: "1767607200.000".to_owned(),
        blocks: vec![block.clone(), OddBlock { relative: 20, ..block.clone() }],
    };
    let plain =
        Values { scale: 1_000_000, default_duration: None, codec_delay: None, fragments: vec![fragment(&usual)] };
    for most in [u64::MAX, u64::MAX - 1, LATEST] {
        let lasting = OddBlock { duration: Some(most), ..usual.clone() };
        for values in [
            Values { default_duration: Some(most), ..plain.clone() },
            Values { fragments: vec![fragment(&lasting)], ..plain.clone() },
            Values { codec_delay: Some(most), ..plain.clone() },
        ] {
            let body = values.body();
            assert!(write(&body, TimestampMode::Producer) > 0);
            let outlet = demux(&body).outlet("audio_0");
            assert_eq!(outlet.pts_ms(), [0, 20], "{values:?}");
            assert!(outlet.buffers().iter().all(|frame| frame.duration().is_none()), "{values:?}");
            let emulator = emulator_with_body(body);
            for caps in ["audio/x-alaw", "video/x-matroska"] {
                let outcome = run(&format!("{} track=2", source(&emulator)), caps).ok();
                let frames =
                    outcome.frames.iter().filter(|frame| frame.bytes.windows(4).any(|bytes| bytes == [0xAA; 4]));
                let times: Vec<_> = frames.map(|frame| (frame.pts, frame.duration)).collect();
                assert_eq!(times, [(Some(0), None), (Some(20_000_000), None)], "{values:?}");
            }
        }
    }
}

/// A foreign meta of our name may hold anything.
#[test]
fn a_meta_of_anybody_is_read() {
    init();
    let mut buffer = gst::Buffer::new();
    let mut meta = gst::meta::CustomMeta::add(buffer.get_mut().unwrap(), gstkvs::FragmentMeta::NAME).unwrap();
    for name in ["producer-timestamp", "server-timestamp"] {
        meta.mut_structure().set(name, u64::MAX);
    }
    let meta = gstkvs::FragmentMeta::of(&buffer).unwrap();
    assert_eq!((meta.producer_timestamp(), meta.server_timestamp()), (None, None));
}
