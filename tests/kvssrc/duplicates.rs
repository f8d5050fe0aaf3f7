//! Fragments that a producer sends again: given out once, wherever they are read.

use std::collections::BTreeSet;

use gst::prelude::*;
use kvs_emulator::{Emulator, Operation};

use super::archive::{AUDIO, range};
use super::body::{Fragment, START_MS, body};
use super::dvr::scene::{FLUSH, Scene};
use super::seek::ms;
use super::support::{PATIENCE, Pipeline, STREAM, capture, emulator, emulator_with_body, run, source, source_for_ever};

/// Fragments of the lengths of real ones: no two have one size.
fn upload() -> Vec<Fragment> {
    (0..8).map(|index| Fragment::audio(index, 20 + index as i16)).collect()
}

fn put(emulator: &Emulator, fragment: &Fragment) {
    emulator.import_bytes_at(STREAM, fragment.bytes(), fragment.producer_ms).unwrap();
}

/// The payloads of all frames, and their times in ms.
fn wanted(fragments: &[Fragment]) -> Vec<(Vec<u8>, u64)> {
    let frames = |fragment: &Fragment| {
        let start = fragment.producer_ms - START_MS;
        let blocks = fragment.blocks.clone().into_iter();
        blocks.map(move |block| (block.payload, start + u64::try_from(block.time).unwrap())).collect::<Vec<_>>()
    };
    fragments.iter().flat_map(frames).collect()
}

/// What came of a pipeline that must end well.
struct Read {
    frames: Vec<(Vec<u8>, u64)>,
    disconts: usize,
    stats: gst::Structure,
    archive: Option<gst::Structure>,
    warnings: Vec<String>,
}

impl Read {
    fn count(&self, name: &str) -> u64 {
        self.stats.get(name).unwrap()
    }
}

fn read(source: &str) -> Read {
    let pipeline = Pipeline::new(&format!("{source} ! appsink name=sink sync=false"));
    let sink = pipeline.sink(AUDIO);
    sink.set_property("max-buffers", 0_u32);
    // Nobody takes what comes until the end.
    sink.set_property("wait-on-eos", false);
    pipeline.play();
    let (mut archive, mut warnings) = (None, Vec::new());
    for message in pipeline.bus().unwrap().iter_timed(PATIENCE) {
        match message.view() {
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Warning(warning) => warnings.push(warning.error().to_string()),
            gst::MessageView::Element(element) => {
                archive =
                    element.structure().filter(|told| told.name() == "kvs-archive").map(ToOwned::to_owned).or(archive);
            }
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    let mut frames = Vec::new();
    let mut disconts = 0;
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::ZERO) {
        let buffer = sample.buffer().unwrap();
        disconts += usize::from(buffer.flags().contains(gst::BufferFlags::DISCONT));
        frames.push((buffer.map_readable().unwrap().to_vec(), buffer.pts().unwrap().mseconds()));
    }
    let stats = pipeline.by_name("source").unwrap().property("stats");
    Read { frames, disconts, stats, archive, warnings }
}

#[test]
fn live_a_fragment_that_comes_again_comes_once() {
    let upload = upload();
    let cut = Fragment { blocks: upload[2].blocks[..5].to_vec(), ..upload[2].clone() };
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    upload[..2].iter().chain([&cut]).chain(&upload[1..]).for_each(|fragment| put(&emulator, fragment));
    let once = read(&source(&emulator));
    assert_eq!(once.frames, wanted(&upload));
    assert_eq!(once.warnings, [""; 0]);
    assert!(once.disconts <= 1, "{}", once.disconts);
    // The second as a whole, and the beginning of the third.
    assert_eq!((once.count("dropped-duplicates"), once.count("dropped-blocks")), (2, 21 + 5));
    let twice = read(&format!("{} drop-duplicates=false", source(&emulator)));
    assert_eq!(twice.frames.len(), wanted(&upload).len() + 21 + 5);
    assert_eq!(twice.count("dropped-duplicates"), 0);
}

#[test]
fn a_container_has_each_frame_once_too() {
    let upload = upload();
    let cut = Fragment { blocks: upload[2].blocks[..5].to_vec(), ..upload[2].clone() };
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    upload[..2].iter().chain([&cut]).chain(&upload[2..]).for_each(|fragment| put(&emulator, fragment));
    for demuxer in ["matroskademux", "kvsdemux"] {
        let outcome = run(&format!("{} ! {demuxer}", source(&emulator)), AUDIO).ok();
        let payloads: Vec<_> = outcome.payloads().iter().map(|payload| payload.to_vec()).collect();
        assert_eq!(payloads, wanted(&upload).into_iter().map(|(payload, _)| payload).collect::<Vec<_>>(), "{demuxer}");
        assert_eq!(
            outcome.pts_ms(),
            wanted(&upload).into_iter().map(|(_, time)| time).collect::<Vec<_>>(),
            "{demuxer}"
        );
    }
}

#[test]
fn a_saved_body_has_each_frame_once_for_kvsdemux_if_that_is_wanted() {
    let upload = upload();
    let again: Vec<_> =
        (200..).zip(&upload).map(|(number, fragment)| Fragment { number, ..fragment.clone() }).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.mkv");
    std::fs::write(&file, [body(&upload), body(&again)].concat()).unwrap();
    for (property, times) in [("", 1), ("drop-duplicates=false", 2)] {
        let outcome = run(&format!("filesrc location={} ! kvsdemux {property}", file.display()), AUDIO).ok();
        assert_eq!(outcome.frames.len(), wanted(&upload).len() * times);
    }
}

#[test]
fn a_body_of_kvssink_with_a_fragment_sent_again_has_each_frame_once() {
    let Some(file) = capture("kvssink/h264-bframes-resent.get.mkv") else { return };
    let all =
        run(&format!("filesrc location={} ! kvsdemux drop-duplicates=false", file.display()), "video/x-h264").ok();
    let emulator = emulator_with_body(std::fs::read(&file).unwrap());
    let saved = format!("filesrc location={} ! kvsdemux", file.display());
    let live = format!("{} start-selector=earliest idle-timeout=1000", source_for_ever(&emulator));
    for description in [saved, live] {
        let once = run(&description, "video/x-h264").ok();
        assert!(once.warnings.is_empty(), "{:?}", once.warnings);
        // Which frames there are is told by what was captured when.
        let captured: BTreeSet<_> = all.frames.iter().map(|frame| (frame.captured, frame.bytes.clone())).collect();
        let of: Vec<_> = once.frames.iter().map(|frame| (frame.captured, frame.bytes.clone())).collect();
        assert_eq!((of.len(), all.frames.len()), (captured.len(), captured.len() + 1), "{description}");
        assert_eq!(of.into_iter().collect::<BTreeSet<_>>(), captured);
        // 30 frames a second, each shown at its distance from the first one.
        let first = once.frames.iter().map(|frame| (frame.captured, frame.pts)).min().unwrap();
        for frame in &once.frames {
            assert_eq!(frame.captured.unwrap() - first.0.unwrap(), frame.pts.unwrap() - first.1.unwrap());
        }
        assert!(once.frames[1..].iter().all(|frame| !frame.flags.contains(gst::BufferFlags::DISCONT)));
    }
}

/// The numbers of all fragments that the service was asked for.
fn fetched(emulator: &Emulator) -> Vec<String> {
    let requests = emulator.requests();
    let lists = requests.iter().filter(|request| request.operation == Operation::GetMediaForFragmentList);
    lists
        .flat_map(|request| request.body["Fragments"].as_array().unwrap().clone())
        .map(|number| number.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn of_the_archive_one_copy_is_fetched_and_all_are_accounted_for() {
    let upload = upload();
    let cut = Fragment { blocks: upload[3].blocks[..5].to_vec(), ..upload[3].clone() };
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    // A clip that is uploaded twice, of which the first upload was cut in one fragment.
    upload[..3].iter().chain([&cut]).chain(&upload).for_each(|fragment| put(&emulator, fragment));
    let once = read(&range(&emulator, 0, 60_000));
    assert_eq!(once.frames, wanted(&upload));
    assert_eq!(once.warnings, [""; 0]);
    let archive = once.archive.clone().unwrap();
    let count = |name: &str| archive.get::<u64>(name).unwrap();
    assert_eq!((count("listed"), count("delivered"), count("missing"), count("duplicates")), (12, 9, 0, 3));
    assert_eq!((once.count("duplicates"), once.count("dropped-blocks")), (3, 5));
    assert_eq!(fetched(&emulator).len(), 9);
    let twice = read(&format!("{} drop-duplicates=false", range(&emulator, 0, 60_000)));
    assert_eq!(twice.frames.len(), wanted(&upload).len() + 20 + 21 + 22 + 5);
}

#[test]
fn what_has_the_size_and_the_time_of_another_is_fetched_and_its_frames_decide() {
    let one: Vec<_> = (0..6).map(|index| Fragment::audio(index, 20)).collect();
    let mut other = one.clone();
    other.iter_mut().flat_map(|fragment| &mut fragment.blocks).for_each(|block| block.payload[2] = 0x55);
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    one.iter().chain(&other).chain(&one).for_each(|fragment| put(&emulator, fragment));
    let read = read(&range(&emulator, 0, 60_000));
    let of = |mark: u8| read.frames.iter().filter(|(payload, _)| payload[2] == mark).count();
    assert_eq!((of(0xAA), of(0x55)), (120, 120));
    assert_eq!(read.count("duplicates"), 6);
    assert_eq!(read.count("delivered"), 12);
}

#[test]
fn backwards_and_after_seeks_each_frame_comes_once() {
    let upload = upload();
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    let cut = Fragment { blocks: upload[3].blocks[..5].to_vec(), ..upload[3].clone() };
    upload[..3].iter().chain([&cut]).chain(&upload).for_each(|fragment| put(&emulator, fragment));
    let pipeline = Pipeline::new(&format!("{} ! appsink name=sink sync=false", range(&emulator, 0, 8000)));
    let sink = pipeline.sink(AUDIO);
    sink.set_property("max-buffers", 0_u32);
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(PATIENCE).0.unwrap();
    for (rate, from, to) in [(-1.0, 0, 8000), (1.0, 0, 8000), (1.0, 2000, 6000), (-1.0, 2000, 6000)] {
        let set = gst::SeekType::Set;
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        pipeline.set_state(gst::State::Paused).unwrap();
        pipeline.seek(rate, flags, set, ms(from), set, ms(to)).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut frames = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
            let buffer = sample.buffer().unwrap();
            let time = segment.to_stream_time(buffer.pts()).unwrap().mseconds();
            frames.push((buffer.map_readable().unwrap().to_vec(), time));
        }
        frames.sort_by_key(|(_, time)| *time);
        let wanted: Vec<_> = wanted(&upload).into_iter().filter(|(_, time)| (from..to).contains(time)).collect();
        assert_eq!(frames, wanted, "rate {rate} from {from} to {to}");
    }
}

#[test]
fn going_back_in_a_live_stream_leaves_copies_out() {
    let mut scene = Scene::playing(3, "", "");
    scene.put_one(4, 300);
    scene.put(3);
    scene.put_one(7, 300);
    scene.wait_for(31);
    let shown = scene.take();
    scene.seek(FLUSH, shown[2].stream_time);
    scene.put(1);
    scene.wait_for(35);
    // In a row, each once: that is what `take` holds.
    assert_eq!(scene.take().first().map(|frame| frame.index), Some(shown[2].index));
}

#[test]
fn a_checkpoint_passes_what_was_dropped() {
    let upload = upload();
    let emulator = emulator();
    emulator.create_stream(STREAM).unwrap();
    upload[..3].iter().chain(&upload[1..3]).for_each(|fragment| put(&emulator, fragment));
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let source = format!("{} checkpoint-location={}", source(&emulator), checkpoint.display());
    assert_eq!(read(&source).frames, wanted(&upload[..3]));
    let last = emulator.fragments(STREAM).unwrap().last().unwrap().number.to_string();
    let text = std::fs::read_to_string(&checkpoint).unwrap();
    assert!(text.contains(&format!("fragment={last}")), "{text}: not {last}");
    assert_eq!(read(&source).frames.len(), 0);
}
