//! Files of other people's muxers become fragments: every frame once, in order, each fragment led by its keyframe.

mod client;
mod media;

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use client::Client;
use kvs_emulator::media::{Cluster, TrackEntry, TrackKind};
use kvs_emulator::{Emulator, Error, FragmentInfo, NewFragment, matroska};
use media::{Chunk, chunks};
use serde_json::json;

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Twelve seconds of H.264 with B-frames, a keyframe every two seconds, and AAC, as ffmpeg writes them.
fn from_ffmpeg(folder: &Path) -> PathBuf {
    let path = folder.join("ffmpeg.mkv");
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=12"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:duration=12"]);
    arguments.extend([
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-preset",
        "ultrafast",
        "-bf",
        "2",
        "-g",
        "50",
        "-keyint_min",
        "50",
    ]);
    arguments.extend(["-sc_threshold", "0", "-c:a", "aac", path.to_str().unwrap()]);
    run("ffmpeg", &arguments);
    path
}

async fn served(emulator: &Emulator) -> (Bytes, Vec<Chunk>) {
    let request = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    let body = Client::new(emulator).call("/getMedia", &request).await.body;
    let chunks = chunks(&body);
    (body, chunks)
}

async fn import(path: &Path) -> (Vec<FragmentInfo>, Bytes, Vec<Chunk>) {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let fragments = emulator.import_file("demo", path).unwrap();
    let (body, chunks) = served(&emulator).await;
    (fragments, body, chunks)
}

/// The frames of one track of a file: time, keyframe, payload.
fn frames(chunks: &[Chunk], track: u64) -> Vec<(i64, bool, Bytes)> {
    let blocks = chunks.iter().flat_map(|chunk| &chunk.blocks).filter(|block| block.0 == track);
    blocks.map(|(_, time, keyframe, payload)| (*time, *keyframe, payload.clone())).collect()
}

/// What a file holds, read as one chunk whose clusters follow one another.
fn of_file(path: &Path) -> Vec<Chunk> {
    chunks(&std::fs::read(path).unwrap().into())
}

async fn assert_cut_well(path: &Path, video: u64, audio: u64) {
    let (fragments, _, chunks) = import(path).await;
    let file = of_file(path);
    for track in [video, audio] {
        assert!(!frames(&file, track).is_empty());
        let (own, wanted) = (frames(&chunks, track), frames(&file, track));
        assert!(own == wanted, "{}: the frames of track {track} differ", path.display());
    }
    assert_eq!(chunks.len(), 6);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.clusters.len(), 1);
        let (track, time, keyframe, _) = &chunk.blocks[0];
        assert_eq!((*track, *keyframe), (video, true));
        let begin = chunk.clusters[0] as i64;
        assert_eq!(*time, begin);
        if let Some(next) = chunks.get(index + 1) {
            let sound = chunk.blocks.iter().filter(|block| block.0 == audio);
            assert!(sound.clone().all(|block| (index == 0 || block.1 >= begin) && block.1 < next.clusters[0] as i64));
            // mkvmerge puts several frames into a block.
            assert!(sound.count() > 5);
        }
    }
    let steps: Vec<u64> =
        fragments.windows(2).map(|pair| pair[1].producer_timestamp - pair[0].producer_timestamp).collect();
    assert!(steps.iter().all(|step| (1900..=2100).contains(step)), "{steps:?}");
    let last = fragments.last().unwrap();
    let end = last.producer_timestamp + last.duration.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(end <= now && now - end < 30_000, "the last fragment ends at {end}, now is {now}");
    assert!(fragments.windows(2).all(|pair| pair[0].number < pair[1].number));
}

#[tokio::test]
async fn a_file_of_ffmpeg_is_cut_at_its_keyframes() {
    let folder = tempfile::tempdir().unwrap();
    assert_cut_well(&from_ffmpeg(folder.path()), 1, 2).await;
}

#[tokio::test]
async fn a_file_of_mkvmerge_is_cut_at_its_keyframes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mkvmerge.mkv");
    let source = from_ffmpeg(folder.path());
    run("mkvmerge", &["-q", "-o", path.to_str().unwrap(), source.to_str().unwrap()]);
    assert_cut_well(&path, 1, 2).await;
}

#[tokio::test]
async fn files_of_matroskamux_are_cut_at_their_keyframes() {
    let folder = tempfile::tempdir().unwrap();
    let source = from_ffmpeg(folder.path());
    for (streamable, offset) in [("false", ""), ("true", "offset-to-zero=true")] {
        let path = folder.path().join(format!("matroskamux-{streamable}.mkv"));
        let pipeline = format!(
            "filesrc location={} ! matroskademux name=d matroskamux name=m streamable={streamable} {offset} \
             ! filesink location={} d.video_0 ! queue ! m.video_0 d.audio_0 ! queue ! m.audio_0",
            source.display(),
            path.display()
        );
        let arguments: Vec<&str> = ["-q"].into_iter().chain(pipeline.split_whitespace()).collect();
        run("gst-launch-1.0", &arguments);
        assert_cut_well(&path, 1, 2).await;
    }
}

#[tokio::test]
async fn what_is_served_decodes_to_every_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (_, body, _) = import(&from_ffmpeg(folder.path())).await;
    // Document by document: ffmpeg reads no chain.
    let starts: Vec<usize> =
        (0..body.len()).filter(|start| body[*start..].starts_with(&[0x1A, 0x45, 0xDF, 0xA3])).collect();
    let mut frames = 0;
    for (index, start) in starts.iter().enumerate() {
        let path = folder.path().join(format!("{index}.mkv"));
        std::fs::write(&path, &body[*start..starts.get(index + 1).copied().unwrap_or(body.len())]).unwrap();
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-select_streams", "v", "-of", "csv=p=0"])
            .args(["-show_entries", "stream=nb_read_frames"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        frames += String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().unwrap();
    }
    assert_eq!((starts.len(), frames), (6, 300));
}

#[tokio::test]
async fn sound_alone_is_cut_every_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.mka");
    let source = ["-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:duration=9", "-c:a", "aac"];
    run("ffmpeg", &[&source[..], &[path.to_str().unwrap()]].concat());
    let (fragments, _, chunks) = import(&path).await;
    assert_eq!(frames(&chunks, 1), frames(&of_file(&path), 1));
    assert_eq!(fragments.len(), 5);
    assert!(fragments[..4].iter().all(|fragment| (1950..=2050).contains(&fragment.duration.unwrap())));
}

#[tokio::test]
async fn pictures_without_keyframes_are_cut_after_ten_seconds() {
    let track = TrackEntry::new(1, TrackKind::Video { width: 16, height: 16 }, "V_TEST").default_duration(500_000_000);
    let clusters = (0..25_u64).map(|second| {
        let cluster = Cluster::new(second * 1000);
        cluster.simple_block(1, 0, second == 0, b"even").simple_block(1, 500, false, b"odd").bytes()
    });
    let header = kvs_emulator::media::header(1_000_000, &[track]);
    let file: Vec<u8> = std::iter::once(header).chain(clusters).flatten().collect();
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let fragments = emulator.import_bytes_at("demo", file, 50_000).unwrap();
    let spans: Vec<_> = fragments.iter().map(|fragment| (fragment.producer_timestamp, fragment.duration)).collect();
    assert_eq!(spans, [(50_000, Some(10_000)), (60_000, Some(10_000)), (70_000, Some(5_000))]);
    let (_, chunks) = served(&emulator).await;
    assert_eq!(frames(&chunks, 1).len(), 50);
}

#[tokio::test]
async fn another_timestamp_scale_and_block_groups_are_kept() {
    let track = TrackEntry::new(3, TrackKind::Video { width: 16, height: 16 }, "V_TEST");
    let header = kvs_emulator::media::header(500_000, &[track]);
    let first = Cluster::new(100).unknown_size().block_group(3, 0, Some(80), true, b"a").block_group(
        3,
        80,
        Some(80),
        false,
        b"b",
    );
    let second = Cluster::new(260).block_group(3, 0, Some(80), false, b"c").block_group(3, 80, None, true, b"d");
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let fragments = emulator.import_bytes_at("demo", [header, first.bytes(), second.bytes()].concat(), 0).unwrap();
    let producer: Vec<u64> = fragments.iter().map(|fragment| fragment.producer_timestamp).collect();
    assert_eq!(producer, [50, 170]);
    let (_, chunks) = served(&emulator).await;
    let read: Vec<_> = frames(&chunks, 3).into_iter().map(|(time, keyframe, _)| (time, keyframe)).collect();
    assert_eq!(read, [(100, true), (180, false), (260, false), (340, true)]);
    assert_eq!(chunks.iter().map(|chunk| chunk.clusters.clone()).collect::<Vec<_>>(), [[100], [340]]);
}

#[tokio::test]
async fn sound_goes_where_it_belongs() {
    let tracks = [
        TrackEntry::new(1, TrackKind::Video { width: 16, height: 16 }, "V_TEST"),
        TrackEntry::new(2, TrackKind::Audio { rate: 48000.0, channels: 1, bit_depth: 0 }, "A_TEST"),
    ];
    // Sound of 60 ms comes before the keyframe of 40 ms, sound of 20 ms behind it.
    let cluster = Cluster::new(0)
        .simple_block(1, 0, true, b"key 0")
        .simple_block(2, 0, true, b"sound 0")
        .simple_block(2, 60, true, b"sound 60")
        .simple_block(1, 40, true, b"key 40")
        .simple_block(2, 20, true, b"sound 20")
        .simple_block(2, 80, true, b"sound 80");
    let file = [kvs_emulator::media::header(1_000_000, &tracks), cluster.bytes()].concat();
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    emulator.import_bytes("demo", file).unwrap();
    let (_, chunks) = served(&emulator).await;
    let payloads = |chunk: &Chunk| chunk.blocks.iter().map(|block| block.3.clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&chunks[0]), ["key 0", "sound 0", "sound 20"]);
    assert_eq!(payloads(&chunks[1]), ["key 40", "sound 60", "sound 80"]);
}

#[tokio::test]
async fn sound_that_outlasts_the_pictures_is_kept() {
    let tracks = [
        TrackEntry::new(1, TrackKind::Video { width: 16, height: 16 }, "V_TEST"),
        TrackEntry::new(2, TrackKind::Audio { rate: 48000.0, channels: 1, bit_depth: 0 }, "A_TEST"),
    ];
    // Fifteen seconds of sound, one picture, and forty seconds more of sound.
    let picture = Cluster::new(15_000).simple_block(1, 0, true, b"picture").bytes();
    let sound = |second: u64| Cluster::new(second * 1000).simple_block(2, 0, true, b"sound").bytes();
    let file: Vec<u8> = std::iter::once(kvs_emulator::media::header(1_000_000, &tracks))
        .chain((0..15).map(sound))
        .chain([picture])
        .chain((15..55).map(sound))
        .flatten()
        .collect();
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let fragments = emulator.import_bytes_at("demo", file, 0).unwrap();
    let begins: Vec<u64> = fragments.iter().map(|fragment| fragment.producer_timestamp).collect();
    assert_eq!(begins, [0, 10_000, 15_000, 25_000, 35_000, 45_000]);
    assert!(fragments.iter().all(|fragment| fragment.duration.unwrap() <= 10_000));
    let (_, chunks) = served(&emulator).await;
    let times: Vec<i64> = frames(&chunks, 2).into_iter().map(|(time, _, _)| time).collect();
    assert_eq!(times, (0..55).map(|second| second * 1000).collect::<Vec<_>>());
    assert_eq!(&chunks[2].blocks[0].3[..], b"picture");
}

#[tokio::test]
async fn a_timestamp_scale_too_fine_for_ten_seconds_makes_shorter_fragments() {
    let track = TrackEntry::new(1, TrackKind::Video { width: 16, height: 16 }, "V_TEST");
    // A tick is a microsecond: a block reaches 32 ms from its cluster.
    let clusters = (0..5_u64).map(|index| Cluster::new(index * 20_000).simple_block(1, 0, index == 0, b"f").bytes());
    let header = kvs_emulator::media::header(1_000, &[track]);
    let file: Vec<u8> = std::iter::once(header).chain(clusters).flatten().collect();
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    let fragments = emulator.import_bytes_at("demo", file, 0).unwrap();
    let begins: Vec<u64> = fragments.iter().map(|fragment| fragment.producer_timestamp).collect();
    assert_eq!(begins, [0, 40, 80]);
    let (_, chunks) = served(&emulator).await;
    let times: Vec<i64> = frames(&chunks, 1).into_iter().map(|(time, _, _)| time).collect();
    assert_eq!(times, [0, 20_000, 40_000, 60_000, 80_000]);
}

#[tokio::test]
async fn a_recording_of_the_service_keeps_the_producers_tags() {
    let early = matroska::tags(&[("AWS_KINESISVIDEO_NOTIFICATION", ""), ("motion", "front-door")]);
    let late = [("AWS_KINESISVIDEO_IMAGE_GENERATION", ""), ("AWS_KINESISVIDEO_IMAGE_PREFIX", "cam1/")].map(|tag| [tag]);
    let late = late.iter().flat_map(|tags| matroska::tags(tags));
    let end = matroska::tags(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")]);
    let first = NewFragment {
        header: [media::header().to_vec(), early].concat().into(),
        media: media::cluster(0, 2).bytes().iter().copied().chain(late).chain(end).collect(),
        ..media::fragment(1_000, 2_000)
    };
    let original = Emulator::builder().end_at_head(true).start().unwrap();
    original.put_fragment("demo", first).unwrap();
    original.put_fragment("demo", media::fragment(5_000, 6_000)).unwrap();
    let (body, wanted) = served(&original).await;
    let copy = Emulator::builder().end_at_head(true).start().unwrap();
    copy.import_bytes("demo", body).unwrap();
    let (_, found) = served(&copy).await;
    assert_eq!(wanted[0].tags.len(), 10);
    for (found, wanted) in found.iter().zip(&wanted) {
        // How far the reader is behind is another matter at each reading.
        let tags = |chunk: &Chunk| {
            let mut tags = chunk.tags.clone();
            tags.retain(|(name, _)| name != "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW");
            tags
        };
        assert_eq!((&found.layout, tags(found)), (&wanted.layout, tags(wanted)));
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn what_is_no_matroska_is_refused() {
    let emulator = Emulator::builder().start().unwrap();
    assert!(matches!(emulator.import_bytes("demo", "RIFF, not Matroska"), Err(Error::Malformed(_))));
    assert!(matches!(emulator.import_bytes("demo", ""), Err(Error::Empty)));
    assert!(matches!(emulator.import_file("demo", "/nowhere.mkv"), Err(Error::Io { .. })));
    let cut = Cluster::new(0).simple_block(1, 0, true, b"frame").bytes();
    let header = media::header();
    let file = [header, cut.slice(..cut.len() - 1)].concat();
    assert!(matches!(emulator.import_bytes("demo", file), Err(Error::Malformed(_))));
}
