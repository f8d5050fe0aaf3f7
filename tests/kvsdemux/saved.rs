//! Streams in files: the body of GetMedia as it came, and the Matroska that kvssrc makes of it. Both tell the same.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstkvs::FragmentMeta;

use super::body::{Block, Fragment, START_MS, body};
use super::judges;
use super::support::{PATIENCE, Pipeline, capture, emulator_with_body, printed, run, run_to_end, source};

/// A frame: its bytes, presentation and capture time in ns, fragment number, and producer timestamp.
type Came = (Vec<u8>, Option<u64>, Option<u64>, Option<String>, Option<u64>);

/// A body in a file, and what `kvssrc ! filesink` makes of it.
struct Files {
    _folder: tempfile::TempDir,
    body: PathBuf,
    container: PathBuf,
}

impl Files {
    fn new(bytes: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (body, container) = (folder.path().join("body.mkv"), folder.path().join("out.mkv"));
        std::fs::write(&body, &bytes).unwrap();
        let emulator = emulator_with_body(bytes);
        run_to_end(&format!("{} ! filesink location={}", source(&emulator), container.display())).ok();
        Self { _folder: folder, body, container }
    }
}

/// What a pad of kvsdemux and the bus tell of a file.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Each with the number of frames before it.
    fragments: Vec<(usize, String)>,
    comments: Vec<(usize, Vec<String>)>,
    messages: Vec<String>,
    /// Bytes, presentation time, capture time, fragment number, producer timestamp.
    frames: Vec<Came>,
}

/// The structure as text, without the bytes that its fragment took, and how far it lay behind when it was read.
fn text(structure: &gst::StructureRef) -> String {
    let mut structure = structure.to_owned();
    structure.remove_fields(["size", "millis-behind-now"]);
    structure.to_string()
}

fn told(file: &Path) -> Told {
    let pipeline =
        Pipeline::new(&format!("filesrc location={} ! kvsdemux ! fakesink name=sink sync=false", file.display()));
    let told: Arc<Mutex<Told>> = Arc::default();
    let list = Arc::clone(&told);
    let sink = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    let types = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    sink.add_probe(types, move |_, info| {
        let mut told = list.lock().unwrap();
        if let Some(buffer) = info.buffer() {
            let captured: Vec<_> = buffer.iter_meta::<gst::ReferenceTimestampMeta>().collect();
            assert!(captured.len() <= 1);
            let captured = captured.first().map(|meta| meta.timestamp().nseconds());
            let fragment = FragmentMeta::of(buffer);
            let number = fragment.as_ref().and_then(|meta| meta.fragment_number().map(str::to_owned));
            let producer = fragment.and_then(|meta| meta.producer_timestamp()).map(gst::ClockTime::nseconds);
            let bytes = buffer.map_readable().unwrap().to_vec();
            told.frames.push((bytes, buffer.pts().map(gst::ClockTime::nseconds), captured, number, producer));
        }
        let frames = told.frames.len();
        match info.event().map(|event| event.view()) {
            Some(gst::EventView::CustomDownstream(event)) => {
                told.fragments.push((frames, text(event.structure().unwrap())));
            }
            Some(gst::EventView::Tag(event)) if event.tag().get::<gst::tags::DateTime>().is_some() => {
                let comments = event.tag().iter_tag::<gst::tags::ExtendedComment>();
                told.comments.push((frames, comments.map(|comment| comment.get().to_owned()).collect()));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.play();
    let bus = pipeline.bus().unwrap();
    loop {
        let message = bus.timed_pop(PATIENCE).expect("the end");
        match message.view() {
            gst::MessageView::Element(element) => {
                told.lock().unwrap().messages.push(text(element.structure().unwrap()));
            }
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Warning(warning) => panic!("{warning:?}"),
            _ => {}
        }
    }
    drop(pipeline);
    std::mem::take(&mut told.lock().unwrap())
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The tags of the SDK itself, tags of a name that nobody knows, and tags of the user, before and behind clusters.
fn tagged() -> Vec<Fragment> {
    let mut fragments: Vec<_> = (0..4).map(|index| Fragment::audio(index, 5)).collect();
    // matroskademux ends the stream at a name of other than ASCII.
    fragments[0].tags = pairs(&[("first", "ä"), ("camera", "north"), ("Tür %41", "offen")]);
    fragments[1].tags = pairs(&[("AWS_KINESISVIDEO_NOTIFICATION", ""), ("motion", "front-door"), ("camera", "north")]);
    fragments[1].late_tags = pairs(&[
        ("AWS_KINESISVIDEO_IMAGE_GENERATION", ""),
        ("AWS_KINESISVIDEO_IMAGE_PREFIX", "cam1/"),
        ("conf", "0.93"),
        ("camera", "north"),
    ]);
    fragments[3].late_tags = pairs(&[("AWSOME", "yes"), ("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]);
    fragments[3].millis_behind_now = 17;
    fragments
}

#[test]
fn a_body_tells_its_fragments_and_their_tags() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body.mkv");
    std::fs::write(&file, body(&tagged())).unwrap();
    let told = told(&file);
    assert_eq!(told.fragments.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [5, 10, 15, 20]);
    assert_eq!(told.messages, told.fragments.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
    let comments = |of: &[&str]| of.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = [
        (0, comments(&["first=ä", "camera=north", "Tür %41=offen"])),
        (5, comments(&["AWS_KINESISVIDEO_NOTIFICATION=", "motion=front-door", "camera=north"])),
        (10, Vec::new()),
    ];
    assert_eq!(told.comments, expected);
    let all = told.messages.join("\n");
    for tag in ["IMAGE_PREFIX", "IMAGE_GENERATION", "cam1/", "0.93", "AWSOME", "END_OF_FRAGMENT", "continuation-token"]
    {
        assert!(all.contains(tag), "{tag} is not in {all}");
    }
    for (index, frame) in (0_u64..).zip(&told.frames) {
        assert_eq!(frame.2, Some((START_MS + index / 5 * 1000 + index % 5 * 20) * 1_000_000));
        assert_eq!(frame.3, Some((100 + index / 5).to_string()));
    }
}

#[track_caller]
fn assert_same(bytes: Vec<u8>) -> Files {
    let files = Files::new(bytes);
    let (judged, ours) = (told(&files.body), told(&files.container));
    assert!(!judged.frames.is_empty());
    assert_eq!(ours, judged);
    judges::mkvinfo(&files.container);
    judges::ffprobe(&files.container);
    files
}

#[test]
fn what_kvssrc_makes_of_it_tells_the_same() {
    assert_same(body(&tagged()));
}

#[test]
fn gaps_and_a_clock_that_jumps_back() {
    let mut fragments = tagged();
    fragments[1].producer_ms += 7000;
    fragments[2].producer_ms -= 3_600_000;
    fragments[3].producer_ms -= 3_600_000 - 123;
    assert_same(body(&fragments));
}

#[test]
fn clusters_whose_first_block_is_not_at_their_time() {
    let mut fragments = tagged();
    for block in fragments.iter_mut().flat_map(|fragment| &mut fragment.blocks) {
        block.time += 9;
    }
    let files = Files::new(body(&fragments));
    let (judged, ours) = (told(&files.body), told(&files.container));
    // The first cluster cannot begin before time 0, and what is said of it is said of the one that is written.
    let captured = |told: &Told| told.frames.iter().map(|frame| (frame.1, frame.2)).collect::<Vec<_>>();
    assert_eq!(captured(&ours), captured(&judged));
    assert_eq!(ours.fragments[1..], judged.fragments[1..]);
    let begin = ours.frames[0].4.unwrap();
    assert_eq!(begin, judged.frames[0].4.unwrap() + 9_000_000);
}

#[test]
fn ticks_and_clusters_of_any_size() {
    for scale in [500_000, 5_000_000] {
        let fragments = tagged().into_iter().map(|fragment| Fragment {
            scale,
            cluster: fragment.cluster * 1_000_000 / scale,
            blocks: fragment
                .blocks
                .into_iter()
                .map(|block| Block { time: (i64::from(block.time) * 1_000_000 / scale as i64) as i16, ..block })
                .collect(),
            ..fragment
        });
        assert_same(body(&fragments.collect::<Vec<_>>()));
    }
}

#[test]
fn time_that_jumps_within_a_fragment() {
    // The second track reaches back behind where the first fragment ended.
    let mut fragments = tagged();
    for fragment in &mut fragments {
        fragment.tracks.push(super::body::Track::alaw(2, "loudspeaker"));
        let more: Vec<_> = fragment.blocks.iter().map(|block| Block { track: 2, ..block.clone() }).collect();
        fragment.blocks.extend(more);
    }
    fragments[1].producer_ms -= 960;
    for block in fragments[1].blocks.iter_mut().filter(|block| block.track == 1) {
        block.time += 100;
    }
    assert_same(body(&fragments));
}

#[test]
fn the_date_is_that_of_block_time_0() {
    let files = assert_same(body(&tagged()));
    let mkvinfo = judges::mkvinfo(&files.container);
    assert!(mkvinfo.contains("Date: 2026-01-05 10:00:00 UTC"), "{mkvinfo}");
    // Each fragment is between its tags.
    let order: Vec<_> = mkvinfo
        .lines()
        .filter_map(|line| ["|+ Tags", "|+ Cluster"].into_iter().find(|name| line.starts_with(name)))
        .collect();
    assert_eq!(order, ["|+ Tags", "|+ Cluster", "|+ Tags"].repeat(4));
    for name in ["motion", "AWS_KINESISVIDEO_NOTIFICATION", "AWS_KINESISVIDEO_IMAGE_PREFIX", "conf", "AWSOME"] {
        assert_eq!(mkvinfo.matches(&format!("Name: {name}\n")).count(), 1, "{name}");
    }
    let date =
        printed(std::process::Command::new("ffprobe").args(["-v", "warning", "-show_format"]).arg(&files.container));
    assert!(date.0.contains("TAG:creation_time=2026-01-05T10:00:00.000000Z"), "{}", date.0);
    // The archive's readers take the tags between clusters too, in either way of reading.
    for way in ["", "! queue "] {
        let line = format!("filesrc location={} {way}! matroskademux", files.container.display());
        let outcome = run(&line, "audio/x-alaw").ok();
        assert_eq!(outcome.frames.len(), 20);
        assert!(outcome.warnings.is_empty());
    }
}

#[test]
fn bodies_that_producers_sent() {
    for name in ["output_get_media.mkv", "output_get_media_sparse_fragments.mkv", "test_mixed_tags.mkv"] {
        let Some(file) = capture(name) else { return };
        let files = Files::new(std::fs::read(file).unwrap());
        let (judged, ours) = (told(&files.body), told(&files.container));
        assert_eq!(ours.fragments, judged.fragments, "{name}");
        assert_eq!(ours.comments, judged.comments, "{name}");
        assert_eq!(ours.frames, judged.frames, "{name}");
        judges::mkvinfo(&files.container);
    }
}

/// A muxer's file, of which nothing is known but its frames.
#[test]
fn a_file_that_is_no_body_has_neither_date_nor_numbers() {
    let mut fragment = Fragment::audio(0, 5);
    fragment.cluster = 0;
    let all = fragment.bytes();
    let head = fragment.until_cluster();
    // Without the tags before its cluster.
    let tags = head.windows(4).position(|id| id == [0x12, 0x54, 0xC3, 0x67]).unwrap();
    let bytes = [&head[..tags], &all[head.len()..]].concat();
    let files = Files::new(bytes);
    let mkvinfo = judges::mkvinfo(&files.container);
    assert!(!mkvinfo.contains("Date:") && !mkvinfo.contains("FRAGMENT_NUMBER"), "{mkvinfo}");
    let told = told(&files.container);
    assert!(told.fragments.is_empty() && told.frames.iter().all(|frame| frame.2.is_none() && frame.3.is_none()));
}
