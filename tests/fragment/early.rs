//! What was captured before the first frame of a stream, and comes behind it.

use gstkvs::fragment::{FrameReader, Output, Range};

use super::body::{Block, Fragment, START_MS, Track, body};

/// Track, presentation time in ms, and whether it is invisible, of every frame that comes.
fn read(blocks: &[(u8, i16)]) -> Vec<(u64, u64, bool)> {
    let fragment = |index| Fragment {
        tracks: vec![
            Track { number: 1, kind: 1, codec: "V_VP8", private: Vec::new(), name: "", more: Vec::new() },
            Track::alaw(2, "microphone"),
        ],
        blocks: blocks
            .iter()
            .map(|(track, time)| Block { track: *track, time: *time, keyframe: true, payload: vec![0; 4] })
            .collect(),
        producer_ms: START_MS + index * 1000,
        ..Fragment::audio(index, 0)
    };
    let mut reader = FrameReader::new(Range::default());
    reader.push(body(&[fragment(0), fragment(1)]).into());
    let mut frames = Vec::new();
    while let Some(output) = reader.next().unwrap() {
        if let Output::Block(timed) = output {
            frames.push((timed.block.track, timed.pts / 1_000_000, timed.block.invisible));
        }
    }
    frames
}

#[test]
fn sound_from_before_the_first_picture_is_left_out() {
    let frames = read(&[(1, 0), (2, -100), (2, -70), (2, -40), (2, -10), (1, 40), (2, 20)]);
    let (first, second) = frames.split_at(4);
    // The last of them is heard for the most part.
    assert_eq!(first, [(1, 0, false), (2, 0, false), (1, 40, false), (2, 20, false)]);
    // From the second fragment on there is time for all.
    let times: Vec<_> = second.iter().map(|(_, time, _)| *time).collect();
    assert_eq!(times, [1000, 900, 930, 960, 990, 1040, 1020]);
}

#[test]
fn pictures_from_before_the_first_one_are_not_shown() {
    let frames = read(&[(1, 80), (1, 0), (1, 40), (1, 200), (1, 120), (1, 160)]);
    let hidden: Vec<_> = frames.iter().filter(|(_, _, invisible)| *invisible).collect();
    assert_eq!(hidden, [&(1, 0, true), &(1, 0, true)]);
    assert_eq!(frames[..6].iter().map(|(_, time, _)| *time).collect::<Vec<_>>(), [0, 0, 0, 120, 40, 80]);
    assert_eq!(frames.len(), 12);
}

#[test]
fn a_keyframe_behind_sound_that_is_later_is_there() {
    let frames = read(&[(2, 30), (1, 0), (2, 50), (1, 40), (1, 80)]);
    assert_eq!(frames[..5], [(2, 0, false), (1, 0, true), (2, 20, false), (1, 10, false), (1, 50, false)]);
}
