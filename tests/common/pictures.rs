//! A long stream whose pictures show the number of their frame, with sound beside them.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::sync::LazyLock;

use bytes::Bytes;
use gst::prelude::*;
use kvs_emulator::media::{Cluster, TrackEntry, TrackKind, header};
use kvs_emulator::{Emulator, FragmentNumber, LongStream};

use crate::body::START_MS;
use crate::support::{PATIENCE, Pipeline, STREAM, init};

/// Fragments of 2 s, of 20 frames each, of which every tenth is a keyframe.
pub const LENGTH: u64 = 2000;
pub const FRAMES: u64 = 20;
pub const KEYFRAMES: u64 = 10;
/// Milliseconds of a frame, and of a packet of sound.
pub const FRAME: u64 = LENGTH / FRAMES;
pub const PACKET: u64 = 20;
/// The number of the first fragment; each other has the number after.
pub const FIRST_NUMBER: u64 = 1000;

const WIDTH: usize = 320;
const HEIGHT: usize = 176;
/// A bit is a block of so many pixels each way; ten of them make a row.
const BLOCK: usize = 32;
const COLUMNS: usize = 10;
/// A number below 2^20, and what is made of it, to know a picture that was spoiled.
const BITS: usize = 40;
const NUMBER: u64 = (1 << 20) - 1;

/// What [`number`] reads, as an appsink takes it.
pub fn caps() -> gst::Caps {
    gst::Caps::builder("video/x-raw").field("format", "GRAY8").field("width", WIDTH as i32).build()
}

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

/// The number of the frame that a picture shows.
#[track_caller]
pub fn number(picture: &gst::BufferRef) -> u64 {
    let luma = picture.map_readable().unwrap();
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

/// What came out of a pipeline that ends in `appsink name=sink`, and what its caps have beside.
fn encoded(
    pipeline: &Pipeline,
    caps: &str,
    private: impl Fn(&gst::StructureRef) -> gst::Buffer,
) -> (Vec<Bytes>, Bytes) {
    let sink = pipeline.sink(caps);
    let copy = |buffer: &gst::BufferRef| Bytes::from(buffer.map_readable().unwrap().to_vec());
    let (mut frames, mut header) = (Vec::new(), Bytes::new());
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        frames.push(copy(sample.buffer().unwrap()));
        header = copy(&private(sample.caps().unwrap().structure(0).unwrap()));
    }
    (frames, header)
}

/// H.264 of a fragment's frames, and what the codec keeps in the header.
fn pictures(fragment: u64) -> (Vec<Bytes>, Bytes) {
    let pipeline = Pipeline::new(&format!(
        "appsrc name=pictures format=time caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=10/1 ! \
         x264enc tune=zerolatency speed-preset=ultrafast key-int-max={KEYFRAMES} threads=1 ! \
         video/x-h264,stream-format=avc,alignment=au ! appsink name=sink sync=false"
    ));
    let pictures = pipeline.by_name("pictures").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    pipeline.play();
    for frame in 0..FRAMES {
        let mut picture = gst::Buffer::from_mut_slice(draw(fragment * FRAMES + frame));
        picture.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(frame * FRAME));
        pictures.push_buffer(picture).unwrap();
    }
    pictures.end_of_stream().unwrap();
    let encoded = encoded(&pipeline, "video/x-h264", |caps| caps.get("codec_data").unwrap());
    assert_eq!(encoded.0.len() as u64, FRAMES);
    encoded
}

/// Opus of every fragment, and what the codec keeps in the header.
static SOUND: LazyLock<(Vec<Bytes>, Bytes)> = LazyLock::new(|| {
    let pipeline = Pipeline::new(
        "audiotestsrc num-buffers=110 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=1 ! opusenc frame-size=20 ! \
         appsink name=sink sync=false",
    );
    pipeline.play();
    let (mut packets, header) = encoded(&pipeline, "audio/x-opus", |caps| {
        caps.get::<gst::ArrayRef>("streamheader").unwrap().as_slice()[0].get().unwrap()
    });
    packets.truncate(usize::try_from(LENGTH / PACKET).unwrap());
    assert_eq!(packets.len() as u64, LENGTH / PACKET);
    (packets, header)
});

fn media(fragment: u64, with_sound: bool) -> Bytes {
    let video = (0..).zip(pictures(fragment).0).map(|(index, frame)| (index * FRAME, 1, index % KEYFRAMES == 0, frame));
    let mut blocks: Vec<(u64, u64, bool, Bytes)> = video.collect();
    if with_sound {
        blocks.extend((0..).zip(&SOUND.0).map(|(index, packet)| (index * PACKET, 2, true, packet.clone())));
    }
    blocks.sort_by_key(|(time, track, ..)| (*time, *track));
    let block = |cluster: Cluster, (time, track, keyframe, frame): (u64, u64, bool, Bytes)| {
        cluster.simple_block(track, i16::try_from(time).unwrap(), keyframe, &frame)
    };
    blocks.into_iter().fold(Cluster::new(0), block).bytes()
}

/// So many fragments of them, encoded when they are fetched.
pub fn serve(fragments: u64, with_sound: bool) -> Emulator {
    init();
    let kind = TrackKind::Video { width: WIDTH as u64, height: HEIGHT as u64 };
    let video = TrackEntry::new(1, kind, "V_MPEG4/ISO/AVC").codec_private(pictures(0).1);
    let mut tracks = vec![video.default_duration(FRAME * 1_000_000)];
    if with_sound {
        let kind = TrackKind::Audio { rate: 48_000.0, channels: 1, bit_depth: 0 };
        let sound = TrackEntry::new(2, kind, "A_OPUS").codec_private(SOUND.1.clone());
        tracks.push(sound.default_duration(PACKET * 1_000_000));
    }
    let recording = [header(1_000_000, &tracks), media(0, with_sound)].concat();
    let first: FragmentNumber = FIRST_NUMBER.to_string().parse().unwrap();
    let long = LongStream::new(recording).unwrap().fragments(fragments).length(LENGTH).start(START_MS);
    let long = long.first_number(first).listed_size(10_000).generator(move |index| media(index, with_sound));
    let emulator = Emulator::builder().start().unwrap();
    emulator.put_long_stream(STREAM, long).unwrap();
    emulator
}
