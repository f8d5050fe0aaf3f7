//! call_audio.rs: both voices of a call where they belong, sample by sample.

use super::body::{Block, Fragment, START_MS, Track, body};
use super::sample::{END, example};
use super::support::{STREAM, emulator_with_body, printed};

/// Seconds of the call, one a fragment.
const SECONDS: u64 = 3;
const RATE: u64 = 8000;
/// When the agent begins to speak, in ms.
const ANSWER: u64 = 500;
/// Samples a block of 20 ms.
const BLOCK: u64 = 160;

/// The customer says 1, 2, 3 …, the agent the same from 10001 on: no two samples nearby are equal.
fn sample(agent: bool, index: u64) -> i16 {
    i16::try_from(index % 9000 + 1).unwrap() + if agent { 10_000 } else { 0 }
}

/// A fragment of a call whose header claims AAC.
fn fragment(second: u64) -> Fragment {
    let track = |number, name| Track { codec: "A_AAC", private: Vec::new(), ..Track::alaw(number, name) };
    let mut fragment = Fragment::audio(second, 0);
    // The customer need not be the first track.
    fragment.tracks = vec![track(1, "AUDIO_TO_CUSTOMER"), track(2, "AUDIO_FROM_CUSTOMER")];
    fragment.tags = vec![("ContactId".to_owned(), "c0ffee".to_owned()), ("InstanceId".to_owned(), "42".to_owned())];
    for time in (0..1000).step_by(20) {
        let first = (second * 1000 + time) * RATE / 1000;
        for (track, agent) in [(1, true), (2, false)] {
            if agent && second * 1000 + time < ANSWER {
                continue;
            }
            let payload = (first..first + BLOCK).flat_map(|index| sample(agent, index).to_le_bytes()).collect();
            fragment.blocks.push(Block { track, time: i16::try_from(time).unwrap(), keyframe: true, payload });
        }
    }
    fragment
}

#[test]
fn a_call_becomes_one_stereo_file() {
    let fragments: Vec<Fragment> = (0..SECONDS).map(fragment).collect();
    assert_eq!(fragments[0].producer_ms, START_MS);
    let emulator = emulator_with_body(body(&fragments));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("call.wav");
    let (stdout, _) = printed(
        example("call_audio", &emulator)
            .args([
                "--stream",
                STREAM,
                "--end",
                END,
                "--track-caps",
                "audio/x-raw,format=S16LE,rate=8000,channels=1",
                "-o",
            ])
            .arg(&file),
    );
    assert!(stdout.contains("ContactId: c0ffee") && stdout.contains("InstanceId: 42"), "{stdout}");
    let mut read = hound::WavReader::open(&file).unwrap();
    let format = read.spec();
    assert_eq!((format.channels, format.sample_rate, format.bits_per_sample), (2, 8000, 16));
    let samples: Vec<i16> = read.samples::<i16>().map(Result::unwrap).collect();
    assert_eq!(samples.len() as u64, SECONDS * RATE * 2);
    for (index, pair) in (0_u64..).zip(samples.chunks_exact(2)) {
        let answered = index * 1000 / RATE >= ANSWER;
        assert_eq!(pair, [sample(false, index), if answered { sample(true, index) } else { 0 }], "sample {index}");
    }
}

#[test]
fn a_stream_that_is_no_call_is_told() {
    let emulator = emulator_with_body(body(&[Fragment::audio(0, 4)]));
    let folder = tempfile::tempdir().unwrap();
    let output = example("call_audio", &emulator)
        .args(["--stream", STREAM, "--end", END, "-o"])
        .arg(folder.path().join("call.wav"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("AUDIO_FROM_CUSTOMER") && text.contains("microphone"), "{text}");
}
