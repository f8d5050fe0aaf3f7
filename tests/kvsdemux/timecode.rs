//! playbin3 in a day-long stream: every seek shows the frame that was asked for, by the number that is drawn into it.

use bytes::Bytes;
use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, TrackKind, header};
use kvs_emulator::{Emulator, FragmentNumber, LongStream, Operation, RequestRecord};

use super::body::START_MS;
use super::support::{PATIENCE, Pipeline, STREAM, init};

/// Fragments of 2 s, of 20 frames each.
const FRAGMENTS: u64 = 43_200;
const LENGTH: u64 = 2000;
const FRAMES: u64 = 20;
/// Milliseconds.
const FRAME: u64 = LENGTH / FRAMES;
const FIRST_NUMBER: u64 = 1000;

const WIDTH: usize = 320;
const HEIGHT: usize = 176;
/// A bit is a block of so many pixels each way; ten of them make a row.
const BLOCK: usize = 32;
const COLUMNS: usize = 10;
/// A number below 2^20, and what is made of it, to know a picture that was spoiled.
const BITS: usize = 40;
const NUMBER: u64 = (1 << 20) - 1;

fn code(frame: u64) -> u64 {
    frame << 20 | (frame.wrapping_mul(0x9_E377) ^ 0x5_A5A5) & NUMBER
}

/// The picture of a frame, in I420.
fn draw(frame: u64) -> Vec<u8> {
    let code = code(frame);
    let mut luma = vec![128; WIDTH * HEIGHT];
    for (at, pixel) in luma.iter_mut().enumerate() {
        let bit = at / WIDTH / BLOCK * COLUMNS + at % WIDTH / BLOCK;
        if bit < BITS {
            *pixel = if code >> bit & 1 == 1 { 235 } else { 16 };
        }
    }
    luma.resize(WIDTH * HEIGHT * 3 / 2, 128);
    luma
}

/// The number in a picture, of which only the luma counts.
fn read(luma: &[u8]) -> u64 {
    let bright = |bit: usize| {
        let (left, top) = (bit % COLUMNS * BLOCK, bit / COLUMNS * BLOCK);
        let inside = (top + 8..top + 24).flat_map(|row| &luma[row * WIDTH + left + 8..row * WIDTH + left + 24]);
        inside.map(|pixel| u64::from(*pixel)).sum::<u64>() > 16 * 16 * 128
    };
    let found = (0..BITS).fold(0, |code, bit| code | u64::from(bright(bit)) << bit);
    let frame = found >> 20;
    assert_eq!(code(frame), found, "a spoiled picture");
    frame
}

/// H.264 of a fragment's frames, one buffer each, and what the codec keeps in the header.
fn encode(fragment: u64) -> (Vec<Bytes>, Bytes) {
    let pipeline = Pipeline::new(&format!(
        "appsrc name=pictures format=time caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=10/1 ! \
         x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 threads=1 ! \
         video/x-h264,stream-format=avc,alignment=au ! appsink name=sink sync=false"
    ));
    let sink = pipeline.sink("video/x-h264");
    let pictures = pipeline.by_name("pictures").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    pipeline.play();
    for frame in 0..FRAMES {
        let mut picture = gst::Buffer::from_mut_slice(draw(fragment * FRAMES + frame));
        picture.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(frame * FRAME));
        pictures.push_buffer(picture).unwrap();
    }
    pictures.end_of_stream().unwrap();
    let (mut frames, mut private) = (Vec::new(), Bytes::new());
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        frames.push(Bytes::from(sample.buffer().unwrap().map_readable().unwrap().to_vec()));
        let data = sample.caps().unwrap().structure(0).unwrap().get::<gst::Buffer>("codec_data").unwrap();
        private = Bytes::from(data.map_readable().unwrap().to_vec());
    }
    assert_eq!(frames.len() as u64, FRAMES);
    (frames, private)
}

fn media(fragment: u64) -> Bytes {
    let block = |cluster: Cluster, (index, frame): (u64, Bytes)| {
        cluster.simple_block(1, i16::try_from(index * FRAME).unwrap(), index == 0, &frame)
    };
    (0..).zip(encode(fragment).0).fold(Cluster::new(0), block).bytes()
}

/// A day of such pictures.
fn day() -> Emulator {
    init();
    let kind = TrackKind::Video { width: WIDTH as u64, height: HEIGHT as u64 };
    let track = TrackEntry::new(1, kind, "V_MPEG4/ISO/AVC").codec_private(encode(0).1);
    let header = header(1_000_000, &[track.default_duration(FRAME * 1_000_000)]);
    let long = LongStream::new([header, media(0)].concat()).unwrap();
    let first: FragmentNumber = FIRST_NUMBER.to_string().parse().unwrap();
    let long = long.fragments(FRAGMENTS).length(LENGTH).start(START_MS).first_number(first);
    let emulator = Emulator::builder().start().unwrap();
    emulator.put_long_stream(STREAM, long.generator(media).listed_size(10_000)).unwrap();
    emulator
}

/// playbin3 that shows the day in an appsink, paused at its beginning.
fn player(emulator: &Emulator) -> (Pipeline, gst_app::AppSink) {
    let caps = gst::Caps::builder("video/x-raw").field("format", "GRAY8").field("width", WIDTH as i32).build();
    let sink = gst_app::AppSink::builder().caps(&caps).sync(false).max_buffers(1).build();
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let uri = format!(
        "kvs://{STREAM}?playback-mode=on-demand&start={}&end={}",
        seconds(START_MS),
        seconds(START_MS + FRAGMENTS * LENGTH)
    );
    let playbin = gst::ElementFactory::make("playbin3").property("uri", uri).property("video-sink", &sink);
    let playbin = playbin.build().unwrap();
    let settings = [
        ("aws-region", emulator.region().to_owned()),
        ("endpoint-url", emulator.url()),
        ("access-key", emulator.access_key().to_owned()),
        ("secret-key", emulator.secret_key().to_owned()),
    ];
    playbin.connect("source-setup", false, move |values| {
        let source = values[1].get::<gst::Element>().unwrap();
        settings.iter().for_each(|(name, value)| source.set_property(name, value));
        None
    });
    let player = Pipeline(playbin.downcast().unwrap());
    let _ = player.set_state(gst::State::Paused);
    player.state(PATIENCE).0.expect("the first frame");
    (player, sink)
}

/// The number of the frame that is shown, and where in the stream it lies.
fn shown(sink: &gst_app::AppSink) -> (u64, gst::ClockTime) {
    let sample = sink.try_pull_preroll(PATIENCE).expect("a frame");
    let buffer = sample.buffer().unwrap();
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
    (read(&buffer.map_readable().unwrap()), segment.to_stream_time(buffer.pts()).expect("a frame of the segment"))
}

/// The ms since 1970 that a call of ListFragments begins with.
fn listed_from(request: &RequestRecord) -> Option<u64> {
    let start = &request.body["FragmentSelector"]["TimestampRange"]["StartTimestamp"];
    (request.operation == Operation::ListFragments).then(|| (start.as_f64().unwrap() * 1000.0).round() as u64)
}

fn names(request: &RequestRecord, number: &str) -> bool {
    request.operation == Operation::GetMediaForFragmentList
        && request.body["Fragments"].as_array().unwrap().iter().any(|named| named == number)
}

#[test]
fn each_seek_in_a_day_shows_the_frame_that_was_asked_for() {
    let emulator = day();
    let (player, sink) = player(&emulator);
    assert_eq!(shown(&sink), (0, gst::ClockTime::ZERO));
    assert_eq!(player.query_duration::<gst::ClockTime>(), Some(gst::ClockTime::from_mseconds(FRAGMENTS * LENGTH)));
    let mut random = fastrand::Rng::with_seed(20);
    for seek in 0..20 {
        let frame = random.u64(0..FRAGMENTS * FRAMES);
        // Where a frame begins, and in the middle of one.
        let to = frame * FRAME + if seek % 2 == 0 { 0 } else { FRAME / 2 };
        let before = emulator.requests().len();
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        player.seek_simple(flags, gst::ClockTime::from_mseconds(to)).expect("a seek");
        player.state(PATIENCE).0.expect("a frame there");
        let (found, time) = shown(&sink);
        assert_eq!(found, frame, "seek {seek} to {to} ms shows frame {found} at {time}");
        assert_eq!(time, gst::ClockTime::from_mseconds(to), "seek {seek}");

        // One page lists the fragment, and the first call behind that fetches it. What was read before the seek lies
        // elsewhere, and may have asked for more at the last moment.
        let number = (FIRST_NUMBER + frame / FRAMES).to_string();
        let requests = emulator.requests().split_off(before);
        let start = (START_MS + to - 10_000)..=(START_MS + to);
        let page = requests.iter().position(|request| listed_from(request).is_some_and(|from| start.contains(&from)));
        let page = page.unwrap_or_else(|| panic!("seek {seek}: no page lists {to} ms"));
        let fetch = requests.iter().position(|request| names(request, &number));
        let fetch = fetch.unwrap_or_else(|| panic!("seek {seek}: nothing fetches {number}"));
        assert!(fetch > page, "seek {seek}");
        let between: Vec<_> = requests[page + 1..fetch].iter().map(|request| request.operation).collect();
        assert!(between.is_empty(), "seek {seek}: {between:?}");
    }
}
