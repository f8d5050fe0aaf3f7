//! Behind kvssrc: frame by frame beside kvssrc's own elementary output, and beside matroskademux.

use gst::prelude::*;

use super::body::{Block, Fragment, START_MS, Track, body, element, unsigned};
use super::support::{
    Frame, Outcome, Pipeline, STREAM, emulator, emulator_with_body, emulator_with_capture, init, run, run_to_end,
    source,
};

const VIDEO: &str =
    "videotestsrc num-buffers=75 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1";
const AUDIO: &str = "audiotestsrc num-buffers=120 samplesperbuffer=1024 wave=ticks ! audioconvert";
const VOICE: &str = "audiotestsrc num-buffers=120 samplesperbuffer=160 wave=ticks ! audio/x-raw,rate=8000,channels=1";

/// What a pad of this element brings: of each buffer all metas, as text.
fn metas(description: &str, caps: &str) -> Vec<Vec<String>> {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false"));
    let sink = pipeline.sink(caps);
    pipeline.play();
    let describe = |meta: gst::MetaRef<gst::Meta>| {
        if let Some(meta) = meta.downcast_ref::<gst::ReferenceTimestampMeta>() {
            return format!("{} {} {:?}", meta.reference(), meta.timestamp(), meta.duration());
        }
        if let Some(meta) = meta.downcast_ref::<gst_audio::AudioClippingMeta>() {
            return format!("clipped by {:?} and {:?}", meta.start(), meta.end());
        }
        let Some(meta) = meta.try_as_custom_meta() else { return format!("{meta:?}") };
        let mut structure = meta.structure().to_owned();
        // Other in each reading.
        if structure.has_field("millis-behind-now") {
            structure.set("millis-behind-now", 0_u64);
        }
        structure.to_string()
    };
    std::iter::from_fn(|| sink.pull_sample().ok())
        .map(|sample| {
            let mut metas: Vec<_> = sample.buffer().unwrap().iter_meta::<gst::Meta>().map(describe).collect();
            metas.sort();
            metas
        })
        .collect()
}

/// The track's frames as kvssrc gives them, and as it does by way of the container and kvsdemux.
#[track_caller]
fn compare(source: &str, track: u64, pad: &str, caps: &str) -> Outcome {
    let elementary = run(&format!("{source} track={track}"), caps).ok();
    let demuxed = run(&format!("{source} ! kvsdemux name=demux demux.{pad}"), caps).ok();
    assert!(!elementary.frames.is_empty());
    assert_same(&demuxed, &elementary);
    let found = metas(&format!("{source} ! kvsdemux name=demux demux.{pad}"), caps);
    let wanted = metas(&format!("{source} track={track}"), caps);
    assert_eq!(found.len(), wanted.len());
    for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert_eq!(found, wanted, "frame {index}");
    }
    assert!(found.iter().flatten().any(|meta| meta.starts_with("GstKvsFragmentMeta")));
    demuxed
}

#[track_caller]
fn assert_same(ours: &Outcome, judged: &Outcome) {
    assert_eq!(ours.caps.last(), judged.caps.last());
    assert_eq!(ours.frames.len(), judged.frames.len());
    // Of how many pieces a buffer is made says nothing of the frame.
    let plain = |frame: &Frame| Frame { flags: frame.flags - gst::BufferFlags::TAG_MEMORY, ..frame.clone() };
    for (index, (frame, judged)) in ours.frames.iter().zip(&judged.frames).enumerate() {
        let (frame, judged) = (plain(frame), plain(judged));
        assert!(frame.bytes == judged.bytes, "frame {index}: other bytes");
        assert!(
            frame == judged,
            "frame {index}: {:?} is not {:?}",
            Frame { bytes: Vec::new(), ..frame },
            Frame { bytes: Vec::new(), ..judged }
        );
    }
}

/// A file of picture and sound, as the service cuts and serves it.
fn recording(video: &str, audio: &str) -> kvs_emulator::Emulator {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.mkv");
    let mux = format!("matroskamux name=mux ! filesink location={}", file.display());
    run_to_end(&format!("{mux} {video} ! mux. {audio} ! mux.")).ok();
    let emulator = emulator();
    emulator.import_bytes_at(STREAM, std::fs::read(&file).unwrap(), START_MS).unwrap();
    emulator
}

#[test]
fn reordered_pictures_and_aac() {
    let emulator = recording(
        &format!("{VIDEO} ! x264enc key-int-max=25 bframes=3 ! h264parse"),
        &format!("{AUDIO} ! avenc_aac ! aacparse"),
    );
    let video = compare(&source(&emulator), 1, "video_0", "video/x-h264");
    assert_eq!(video.frames.len(), 75);
    assert!(!video.pts_ms().is_sorted(), "no picture was reordered");
    let audio = compare(&source(&emulator), 2, "audio_0", "audio/mpeg");
    assert!(audio.frames.iter().all(|frame| frame.captured.is_some()));
}

#[test]
fn h265_and_opus_with_its_delay() {
    let emulator = recording(
        &format!("{VIDEO} ! x265enc key-int-max=25 ! h265parse"),
        &format!("{AUDIO} ! audioresample ! opusenc"),
    );
    compare(&source(&emulator), 1, "video_0", "video/x-h265");
    compare(&source(&emulator), 2, "audio_0", "audio/x-opus");
}

#[test]
fn codecs_with_headers_of_their_own_before_the_frames() {
    for (encoder, caps) in [("flacenc ! flacparse", "audio/x-flac"), ("vorbisenc", "audio/x-vorbis")] {
        init();
        let name = encoder.split(' ').next().unwrap();
        if gst::ElementFactory::find(name).is_none() {
            eprintln!("SKIPPED: not installed: {name}");
            continue;
        }
        let emulator = recording(
            &format!("{VIDEO} ! x264enc key-int-max=25 tune=zerolatency ! h264parse"),
            &format!("{AUDIO} ! {encoder}"),
        );
        let audio = compare(&source(&emulator), 2, "audio_0", caps);
        assert!(audio.frames[0].flags.contains(gst::BufferFlags::HEADER | gst::BufferFlags::DISCONT));
    }
}

#[test]
fn raw_and_telephone_audio() {
    let emulator =
        recording(&format!("{VOICE} ! audioconvert ! audio/x-raw,format=S16LE"), &format!("{VOICE} ! alawenc"));
    compare(&source(&emulator), 1, "audio_0", "audio/x-raw");
    compare(&source(&emulator), 2, "audio_1", "audio/x-alaw");
}

#[test]
fn captures() {
    for name in ["output_get_media.mkv", "output_get_media_sparse_fragments.mkv"] {
        let Some(emulator) = emulator_with_capture(name) else { return };
        compare(&source(&emulator), 1, "video_0", "video/x-h264");
    }
    let Some(emulator) = emulator_with_capture("test_mixed_tags.mkv") else { return };
    compare(&source(&emulator), 1, "video_0", "image/jpeg");
}

/// Two tracks of A-law, ten fragments, of which the second half was captured an hour before the first.
fn jumping() -> Vec<Fragment> {
    (0..10)
        .map(|index| {
            let mut fragment = Fragment::audio(index, 10);
            fragment.tracks.push(Track::alaw(2, "loudspeaker"));
            let other = fragment.blocks.clone().into_iter().map(|block| Block {
                track: 2,
                time: block.time + 5,
                payload: [block.payload, vec![2; 700]].concat(),
                ..block
            });
            fragment.blocks.extend(other.collect::<Vec<_>>());
            fragment.blocks.sort_by_key(|block| block.time);
            if index >= 5 {
                fragment.producer_ms -= 3_600_000;
            }
            fragment
        })
        .collect()
}

#[test]
fn a_break_is_one_for_every_track() {
    let emulator = emulator_with_body(body(&jumping()));
    for (track, pad) in [(1, "audio_0"), (2, "audio_1")] {
        let outcome = compare(&source(&emulator), track, pad, "audio/x-alaw");
        let breaks = outcome.frames.iter().filter(|frame| frame.flags.contains(gst::BufferFlags::DISCONT)).count();
        assert_eq!(breaks, 2);
    }
}

#[test]
fn ticks_that_are_no_milliseconds() {
    for scale in [1, 22_675, 100_000, 3_000_000] {
        let fragments: Vec<_> = jumping()
            .into_iter()
            .map(|fragment| Fragment { scale, cluster: fragment.cluster * 1_000_000 / scale, ..fragment })
            .collect();
        let emulator = emulator_with_body(body(&fragments));
        compare(&source(&emulator), 2, "audio_1", "audio/x-alaw");
    }
}

/// Fragments whose track has a codec delay, a stripped header and a default duration, and blocks of three frames in
/// laces of fixed size.
fn laced() -> Vec<u8> {
    let stripped = element(&[0x42, 0x55], &[0xEE, 0xEE]);
    let compression = [unsigned(&[0x42, 0x54], 3), stripped].concat();
    let encoding = element(&[0x62, 0x40], &element(&[0x50, 0x34], &compression));
    let more = [
        unsigned(&[0x56, 0xAA], 6_500_000),
        unsigned(&[0x23, 0xE3, 0x83], 20_000_000),
        element(&[0x6D, 0x80], &encoding),
    ];
    let fragments = (0..4).map(|index| {
        let mut fragment = Fragment::audio(index, 0);
        fragment.tracks[0].more = more.concat();
        let block = |time: i16| {
            let frames: Vec<u8> = (0..1800).map(|at| (at % 251) as u8 ^ index as u8 ^ time as u8).collect();
            let [high, low] = time.to_be_bytes();
            element(&[0xA3], &[&[0x81, high, low, 0x84, 2], frames.as_slice()].concat())
        };
        let cluster: Vec<u8> =
            unsigned(&[0xE7], index * 1000).into_iter().chain([0, 60, 120].into_iter().flat_map(block)).collect();
        [fragment.until_cluster(), element(&[0x1F, 0x43, 0xB6, 0x75], &cluster)].concat()
    });
    fragments.collect::<Vec<_>>().concat()
}

#[test]
fn laces_codec_delay_and_stripped_headers() {
    let emulator = emulator_with_body(laced());
    let outcome = compare(&source(&emulator), 1, "audio_0", "audio/x-alaw");
    assert_eq!(outcome.frames.len(), 4 * 3 * 3);
    assert!(outcome.frames.iter().all(|frame| frame.bytes.len() == 602));
    // Of the first frame, 6.5 ms lie before the beginning.
    let durations: Vec<_> = outcome.frames.iter().filter_map(|frame| frame.duration).collect();
    assert!(durations[0] == 13_500_000 && durations[1..].iter().all(|duration| *duration == 20_000_000));
    let captured = |index: usize| outcome.frames[index].captured.unwrap();
    assert_eq!(captured(1), START_MS * 1_000_000 + 20_000_000 - 6_500_000);
}

#[test]
fn the_frames_are_those_of_matroskademux_too() {
    let emulator = recording(
        &format!("{VIDEO} ! x264enc key-int-max=25 bframes=3 ! h264parse"),
        &format!("{AUDIO} ! avenc_aac ! aacparse"),
    );
    for (pad, caps) in [("video_0", "video/x-h264"), ("audio_0", "audio/mpeg")] {
        let ours = run(&format!("{} ! kvsdemux name=demux demux.{pad}", source(&emulator)), caps).ok();
        let judged = run(&format!("{} ! matroskademux name=demux demux.{pad}", source(&emulator)), caps).ok();
        assert_eq!(ours.frames.len(), judged.frames.len());
        // kvsdemux moves its segment by what pictures are decoded before they are shown.
        let first = |outcome: &Outcome| outcome.frames[0].pts.unwrap();
        let (our_first, judged_first) = (first(&ours), first(&judged));
        for (frame, judged) in ours.frames.iter().zip(&judged.frames) {
            assert!(frame.bytes == judged.bytes);
            // The container's own times are those of its ticks.
            let times = (frame.pts.unwrap() - our_first, judged.pts.unwrap() - judged_first);
            assert!(times.0.abs_diff(times.1) < 1_000_000, "{times:?}");
            let flag = |flags: gst::BufferFlags| flags & gst::BufferFlags::DELTA_UNIT;
            assert_eq!(flag(frame.flags), flag(judged.flags));
        }
        let fields = |outcome: &Outcome| {
            let mut fields = outcome.caps.last().unwrap().structure(0).unwrap().to_owned();
            // matroskademux 1.22 doubles that of avenc_aac, which denies SBR.
            fields.remove_field("rate");
            fields
        };
        let (ours, judged) = (fields(&ours), fields(&judged));
        assert!(
            ours.iter()
                .all(|(name, value)| judged.value(name).unwrap().serialize().unwrap() == value.serialize().unwrap()),
            "{ours}\n{judged}"
        );
    }
}
