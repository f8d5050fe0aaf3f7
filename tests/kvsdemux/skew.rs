//! Tracks that are out of step in the order of the stream, while their times are right.

use proptest::prelude::*;

use super::bench::{Bench, Outlet, Seen};
use super::body::{Block, Fragment, Track, body, element, unsigned};
use super::judges::ffprobe;
use super::support::{emulator_with_body, init, run, run_to_end, source};

/// Fragments of two seconds and how many there are: ten seconds.
const LENGTH: i64 = 2000;
const FRAGMENTS: i64 = 5;

/// Ten seconds of a tone in frames of 20 ms, as A-law.
fn tone() -> Vec<Vec<u8>> {
    let line =
        "audiotestsrc num-buffers=500 samplesperbuffer=160 ! audio/x-raw,format=S16LE,rate=8000,channels=1 ! alawenc";
    let frames: Vec<_> = run(line, "audio/x-alaw").ok().frames.into_iter().map(|frame| frame.bytes).collect();
    assert_eq!(frames.len(), 500);
    frames
}

/// Pictures of 40 ms beside the tone, in the order of `key` (time in ms, whether it is sound), cut where a keyframe of the
/// picture comes, every two seconds.
fn skewed(tone: &[Vec<u8>], key: impl Fn(i64, bool) -> i64) -> Vec<Fragment> {
    let line = "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=64 ! jpegenc";
    let jpeg = run(line, "image/jpeg").ok().frames.remove(0).bytes;
    let pictures = (0..250).map(|at| (at * 40, false, jpeg.clone()));
    let sound = (0..).zip(tone).map(|(at, frame)| (at * 20, true, frame.clone()));
    let mut all: Vec<_> = pictures.chain(sound).collect();
    all.sort_by_key(|(time, is_sound, _)| (key(*time, *is_sound), *is_sound));
    let size = [unsigned(&[0xB0], 64), unsigned(&[0xBA], 64)].concat();
    let more = element(&[0xE0], &size);
    let picture = Track { kind: 1, codec: "V_MJPEG", private: Vec::new(), more, ..Track::alaw(1, "door") };
    let mut fragments: Vec<Fragment> = Vec::new();
    for (time, is_sound, payload) in all {
        if !is_sound && time % LENGTH == 0 {
            let index = u64::try_from(time / LENGTH).unwrap();
            let mut fragment = Fragment::audio(2 * index, 0);
            fragment.number = 100 + index;
            fragment.tracks = vec![picture.clone(), Track::alaw(2, "microphone")];
            fragments.push(fragment);
        }
        let Some(fragment) = fragments.last_mut() else { continue };
        let time = i16::try_from(time - i64::try_from(fragment.cluster).unwrap()).unwrap();
        let track = if is_sound { 2 } else { 1 };
        fragment.blocks.push(Block { track, time, keyframe: true, payload });
    }
    assert_eq!(fragments.len(), usize::try_from(FRAGMENTS).unwrap());
    fragments
}

/// All sound of a fragment after or before all its pictures, but for that of its beginning.
fn in_a_row(sound_first: bool) -> impl Fn(i64, bool) -> i64 {
    move |time, is_sound| 2 * ((time - 21).div_euclid(LENGTH)) + i64::from(is_sound != sound_first)
}

/// No gap covers what a later frame does; frames last so many ms.
#[track_caller]
fn assert_true(outlet: &Outlet, length: u64) {
    let mut told: Vec<(u64, u64)> = Vec::new();
    for seen in &outlet.seen {
        match seen {
            Seen::Buffer(buffer) => {
                let begin = buffer.pts().unwrap().mseconds();
                let overlaps = |gap: &&(u64, u64)| gap.0 < begin + length && begin < gap.1;
                let lie = told.iter().find(overlaps);
                assert!(lie.is_none(), "{}: {lie:?} ms was no silence: a frame came at {begin} ms", outlet.name);
            }
            Seen::Event(event) => {
                if let gst::EventView::Gap(gap) = event.view() {
                    let (start, duration) = gap.get();
                    told.push((start.mseconds(), (start + duration.unwrap()).mseconds()));
                }
            }
        }
    }
}

/// How much silence a pad was told of, in ms.
fn silence(outlet: &Outlet) -> u64 {
    outlet.gaps_ms().iter().map(|(_, duration)| duration).sum()
}

#[test]
fn late_is_not_silent() {
    init();
    let tone = tone();
    let mut orders: Vec<(String, Vec<Fragment>)> = Vec::new();
    for late in [0, 300, 700, 1000, 1900] {
        let sound = skewed(&tone, |time, is_sound| time + if is_sound { late } else { 0 });
        orders.push((format!("sound {late} ms late"), sound));
    }
    orders.push(("pictures first".to_owned(), skewed(&tone, in_a_row(false))));
    orders.push(("sound first".to_owned(), skewed(&tone, in_a_row(true))));
    // In step for four seconds, and a second late from there on.
    let suddenly = skewed(&tone, |time, is_sound| time + if is_sound && time > 4000 { 1000 } else { 0 });
    orders.push(("suddenly late".to_owned(), suddenly));
    for (order, fragments) in orders {
        let bytes = body(&fragments);
        let bench = Bench::new();
        bench.begin_in_bytes().push_bytes(bytes.clone()).unwrap();
        assert!(bench.end());
        for (pad, length) in [("video_0", 40), ("audio_0", 20)] {
            assert_true(&bench.outlet(pad), length);
            assert_eq!(silence(&bench.outlet(pad)), 0, "{order}");
        }
        let heard = bench.outlet("audio_0").payloads().concat();

        // Through an element that fills gaps, and takes nothing that comes for time that is over.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let queue = "queue max-size-time=0 max-size-bytes=0 max-size-buffers=0";
        let emulator = emulator_with_body(bytes);
        for read in [format!("filesrc location={}", file.path().display()), source(&emulator)] {
            let line = format!(
                "{read} ! kvsdemux name=d d.video_0 ! {queue} ! fakesink d.audio_0 ! {queue} ! alawdec ! audiorate ! alawenc"
            );
            let rated = run(&line, "audio/x-alaw").ok();
            assert!(rated.payloads().concat() == heard, "{order}: {} bytes", rated.payloads().concat().len());
        }
    }
}

#[test]
fn sinks_that_begin_together_wait_for_no_track_that_is_late() {
    init();
    let tone = tone();
    for key in [0, 1000, 1900] {
        let fragments = skewed(&tone, |time, is_sound| time + if is_sound { key } else { 0 });
        let emulator = emulator_with_body(body(&fragments));
        let sinks = "d.video_0 ! queue ! fakesink d.audio_0 ! queue ! fakesink";
        run_to_end(&format!("{} ! kvsdemux name=d {sinks}", source(&emulator))).ok();
    }
}

#[test]
fn a_muxer_gets_all_of_both_tracks() {
    init();
    let tone = tone();
    for fragments in
        [skewed(&tone, |time, is_sound| time + if is_sound { 1000 } else { 0 }), skewed(&tone, in_a_row(false))]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        let emulator = emulator_with_body(body(&fragments));
        let frames: usize = fragments.iter().map(|fragment| fragment.blocks.len()).sum();
        let queue = "queue max-size-time=0 max-size-bytes=0 max-size-buffers=0";
        let line = format!(
            "{} ! kvsdemux name=d matroskamux name=m ! filesink location={} d.video_0 ! {queue} ! m.video_0 \
             d.audio_0 ! {queue} ! m.audio_0",
            source(&emulator),
            file.path().display()
        );
        run_to_end(&line).ok();
        assert_eq!(ffprobe(file.path()).counts.iter().sum::<usize>(), frames);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order in fragments that have a frame of each track, as the service wants it, and however much of one
    /// comes with the next.
    #[test]
    fn no_gap_covers_what_a_later_frame_does(
        orders in proptest::collection::vec((any::<u64>(), 0..1500_u64, any::<bool>()), 6),
        length in 1..8_u64,
    ) {
        init();
        let length = length * 1000;
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut rest: Vec<(u64, u8)> = Vec::new();
        for (index, (mut seed, held, sparse)) in (0..).zip(orders) {
            let mut fragment = Fragment::audio(0, 0);
            fragment.number = 100 + index;
            fragment.cluster = index * length;
            fragment.producer_ms += index * length;
            fragment.tracks.push(Track::alaw(2, "loudspeaker"));
            let begin = index * length;
            let times = (begin..begin + length).step_by(100);
            // The second track comes up to `held` ms before the end; what is left comes with the next fragment.
            let (now, later): (Vec<_>, Vec<_>) = times
                .clone()
                .filter(|time| !sparse || time % 700 == 0 || *time == begin)
                .map(|time| (time, 2_u8))
                .partition(|(time, _)| *time == begin || time + held.min(length) < begin + length);
            let mut frames: Vec<_> = rest.drain(..).chain(times.map(|time| (time, 1))).chain(now).collect();
            let mut random = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed >> 33
            };
            // Each track in its own order, and the two in any.
            let bias = random() % 100;
            let mut keys: Vec<u64> = (0..frames.len() as u64).map(|at| at + (random() % 100 > bias) as u64 * random() % 40).collect();
            for track in [1, 2] {
                let mut own: Vec<u64> =
                    frames.iter().zip(&keys).filter(|(frame, _)| frame.1 == track).map(|(_, key)| *key).collect();
                own.sort_unstable();
                let mut own = own.into_iter();
                for (frame, key) in frames.iter().zip(&mut keys) {
                    if frame.1 == track {
                        *key = own.next().unwrap();
                    }
                }
            }
            let mut ordered: Vec<_> = keys.into_iter().zip(frames.drain(..)).collect();
            ordered.sort_by_key(|(key, _)| *key);
            for (_, (time, track)) in ordered {
                let time = i16::try_from(time as i64 - begin as i64).unwrap();
                fragment.blocks.push(Block { track, time, keyframe: true, payload: vec![track; 4] });
            }
            fragments.push(fragment);
            rest = later;
        }
        let bench = Bench::new();
        bench.begin_in_bytes().push_bytes(body(&fragments)).unwrap();
        for outlet in bench.outlets() {
            assert_true(&outlet, 1);
        }
    }
}
