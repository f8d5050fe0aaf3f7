//! Fragments that a producer sends again, whole or cut, and what only looks like them.

use gstkvs::fragment::{Dropped, FrameReader, Output, Range, TimestampMode};
use proptest::prelude::*;

use super::body::{Block, Fragment, START_MS, Track, body};

/// A frame with all that downstream would see of it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    payload: Vec<u8>,
    pts_ms: i64,
    captured_ms: i64,
    discont: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Reading {
    frames: Vec<Seen>,
    starts: Vec<u64>,
    ends: Vec<u64>,
    dropped: Vec<(u64, u64, bool)>,
    repeated: Vec<u64>,
    after_loss: usize,
}

impl Reading {
    fn take(&mut self, reader: &mut FrameReader) {
        let number = |number: &gstkvs::fragment::FragmentNumber| number.as_str().parse().unwrap();
        while let Some(output) = reader.next().unwrap() {
            match output {
                Output::Start(fragment) => {
                    self.starts.push(number(fragment.number.as_ref().unwrap()));
                    self.after_loss += usize::from(fragment.after_loss);
                }
                Output::Block(block) => self.frames.push(Seen {
                    payload: block.frames().next().unwrap().0.to_bytes().to_vec(),
                    pts_ms: block.pts as i64 / 1_000_000,
                    captured_ms: block.capture_time / 1_000_000 - START_MS as i64,
                    discont: block.discont,
                }),
                Output::End(end) => self.ends.push(number(end.number.as_ref().unwrap())),
                Output::Dropped(Dropped { number: dropped, blocks, goes_on }) => {
                    self.dropped.push((number(&dropped), blocks, goes_on));
                }
                Output::Repeated(end) => self.repeated.push(number(end.number.as_ref().unwrap())),
                Output::RangeEnd => {}
            }
        }
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.frames.iter().map(|frame| frame.payload.clone()).collect()
    }
}

fn read_by(mode: TimestampMode, drops: bool, fragments: &[Fragment]) -> Reading {
    let mut reader = FrameReader::new(Range::default());
    reader.drop_duplicates(drops);
    reader.time_by(mode, None);
    reader.push(body(fragments).into());
    let mut reading = Reading::default();
    reading.take(&mut reader);
    reader.release();
    reading.take(&mut reader);
    reading
}

fn read(fragments: &[Fragment]) -> Reading {
    read_by(TimestampMode::Producer, true, fragments)
}

/// Picture and sound of the `index`th second: of every four pictures the second is shown after the two that follow it.
fn second(index: u64, frames: i16) -> Fragment {
    let shown = |frame: i16| match frame % 4 {
        1 => frame + 2,
        0 => frame,
        _ => frame - 1,
    };
    let block = |track: u8, time: i16| Block {
        track,
        time,
        keyframe: time == 0,
        payload: [&[track][..], &index.to_be_bytes(), &time.to_be_bytes(), &[track; 90]].concat(),
    };
    Fragment {
        tracks: vec![Track::alaw(1, ""), Track::alaw(2, "")],
        blocks: (0..frames).flat_map(|frame| [block(1, shown(frame) * 40), block(2, frame * 40 + 11)]).collect(),
        ..Fragment::audio(index, 0)
    }
}

fn numbered(fragment: &Fragment, number: u64) -> Fragment {
    Fragment { number, ..fragment.clone() }
}

fn cut(fragment: &Fragment, blocks: usize) -> Fragment {
    Fragment { blocks: fragment.blocks[..blocks.min(fragment.blocks.len())].to_vec(), ..fragment.clone() }
}

/// The same fragments in the same time without anything of them sent again.
fn undisturbed(fragments: &[Fragment]) -> Vec<Seen> {
    read_by(TimestampMode::Producer, false, fragments).frames
}

#[test]
fn the_rest_of_a_fragment_that_was_cut_follows_without_a_seam() {
    let seconds: Vec<_> = (0..4).map(|index| second(index, 24)).collect();
    let wanted = undisturbed(&seconds);
    for blocks in 1..=48 {
        let sent = [
            seconds[0].clone(),
            cut(&seconds[1], blocks),
            numbered(&seconds[1], 200),
            numbered(&seconds[2], 201),
            numbered(&seconds[3], 202),
        ];
        let reading = read(&sent);
        assert_eq!(reading.frames, wanted, "cut after {blocks} blocks");
        assert_eq!(reading.dropped, [(200, blocks as u64, blocks < 48)]);
        assert_eq!(reading.repeated.is_empty(), blocks < 48);
        // By the service's clock, the copy was received later; its frames belong to the first all the same.
        let by_server = read_by(TimestampMode::Server, true, &sent);
        assert_eq!(by_server.frames, wanted, "cut after {blocks} blocks");
    }
}

#[test]
fn a_copy_that_is_cut_too_brings_nothing_and_loses_nothing() {
    let seconds: Vec<_> = (0..3).map(|index| second(index, 10)).collect();
    for (first, second) in [(8, 3), (8, 8), (8, 13), (20, 1), (1, 20)] {
        let sent = [
            seconds[0].clone(),
            cut(&seconds[1], first),
            numbered(&cut(&seconds[1], second), 200),
            numbered(&seconds[1], 201),
            numbered(&seconds[2], 202),
        ];
        assert_eq!(read(&sent).frames, undisturbed(&seconds), "{first} and {second} blocks");
    }
}

#[test]
fn what_is_uploaded_twice_comes_once() {
    let upload: Vec<_> = (0..200).map(|index| second(index, 5)).collect();
    let again = upload.iter().map(|fragment| numbered(fragment, fragment.number + 1000));
    let next = second(200, 5);
    let sent: Vec<_> = upload.iter().cloned().chain(again).chain([numbered(&next, 5000)]).collect();
    let reading = read(&sent);
    let all: Vec<_> = upload.iter().cloned().chain([next]).collect();
    assert_eq!(reading.frames, undisturbed(&all));
    assert_eq!(reading.repeated.len(), 200);
    assert_eq!(reading.ends.len(), 201);
    // Each second of both uploads in turn, as an archive lists it.
    let mut in_turn: Vec<_> = sent.clone();
    in_turn.sort_by_key(|fragment| (fragment.producer_ms, fragment.number));
    assert_eq!(read(&in_turn).frames, reading.frames);
}

#[test]
fn of_what_came_long_ago_copies_are_known_too_but_not_for_ever() {
    let upload: Vec<_> = (0..600).map(|index| second(index % 250, 1)).collect();
    let times: Vec<_> = (0..600)
        .map(|index| Fragment { producer_ms: START_MS + index * 1000, ..upload[index as usize].clone() })
        .collect();
    let again = |index: usize| vec![numbered(&times[index], 9000)];
    assert_eq!(read(&[times.clone(), again(599 - 500)].concat()).repeated, [9000]);
    assert_eq!(read(&[times.clone(), again(0)].concat()).repeated, [0; 0]);
}

#[test]
fn duplicates_are_kept_where_that_is_asked_for() {
    let seconds: Vec<_> = (0..2).map(|index| second(index, 3)).collect();
    let sent = [seconds[0].clone(), seconds[1].clone(), numbered(&seconds[1], 200)];
    let reading = read_by(TimestampMode::Producer, false, &sent);
    assert_eq!(reading.frames.len(), 18);
    assert_eq!((reading.starts.len(), reading.dropped.len()), (3, 0));
}

#[test]
fn what_only_looks_alike_is_never_dropped() {
    let one = second(0, 10);
    let with = |change: &dyn Fn(&mut Fragment)| {
        let mut other = numbered(&one, 200);
        change(&mut other);
        [one.clone(), other]
    };
    // Same times, same sizes: other bytes in the first frame, in the last one, in all.
    for place in [0, 1, 7, 19] {
        let sent = with(&|other| other.blocks[place].payload[20] ^= 1);
        let reading = read(&sent);
        assert_eq!(reading.payloads().len(), 40, "frame {place} differs");
        assert_eq!(reading.starts, [100, 200]);
        assert!(reading.dropped.is_empty() && reading.repeated.is_empty());
    }
    let reading = read(&with(&|other| other.blocks.iter_mut().for_each(|block| block.payload[20] ^= 1)));
    assert_eq!(reading.payloads().len(), 40);
    // Same bytes, another time or track.
    assert_eq!(read(&with(&|other| other.blocks[3].time += 1)).payloads().len(), 40);
    assert_eq!(read(&with(&|other| other.blocks[3].track = 1)).payloads().len(), 40);
    assert_eq!(read(&with(&|other| other.producer_ms += 1)).payloads().len(), 40);
    // A frame left out in the middle.
    let reading = read(&with(&|other| drop(other.blocks.remove(5))));
    assert_eq!(reading.payloads().len(), 39);
}

#[test]
fn two_producers_at_one_time_are_told_apart_also_where_one_sends_again() {
    let (one, mut other) = (second(0, 10), numbered(&second(0, 10), 101));
    other.blocks.iter_mut().for_each(|block| block.payload[20] ^= 1);
    let sent = [
        cut(&one, 6),
        cut(&other, 9),
        numbered(&one, 200),
        numbered(&other, 201),
        numbered(&one, 202),
        numbered(&other, 203),
    ];
    let reading = read(&sent);
    let mut payloads = reading.payloads();
    assert_eq!(payloads.len(), 40);
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len(), 40);
    assert_eq!(reading.repeated, [202, 203]);
}

#[test]
fn a_large_fragment_is_a_copy_before_it_is_whole() {
    let mut one = second(0, 10);
    one.blocks.iter_mut().for_each(|block| block.payload.resize(60_000, 7));
    let again = numbered(&one, 200).bytes();
    let mut reader = FrameReader::new(Range::default());
    reader.push(one.bytes().into());
    let mut reading = Reading::default();
    reading.take(&mut reader);
    // It is cut, and its rest never comes.
    reader.push(again[..again.len() / 2].to_vec().into());
    reading.take(&mut reader);
    assert_eq!(reading.frames.len(), 20);
    // Long after it was remembered frame by frame, a copy is still held to the same.
    let others: Vec<_> = (1..20).map(|index| second(index, 2)).collect();
    let reading = read(&[vec![one.clone()], others, vec![numbered(&one, 300)]].concat());
    assert_eq!(reading.frames.len(), 20 + 19 * 4);
    assert_eq!(reading.repeated, [300]);
}

#[test]
fn a_reader_that_is_cut_in_a_copy_goes_on_in_it() {
    let seconds: Vec<_> = (0..3).map(|index| second(index, 8)).collect();
    let sent = [seconds[0].clone(), cut(&seconds[1], 7), numbered(&seconds[1], 200), numbered(&seconds[2], 201)];
    let whole = body(&sent);
    let wanted = undisturbed(&seconds);
    for end in (0..whole.len()).step_by(3) {
        let mut reader = FrameReader::new(Range::default());
        let mut reading = Reading::default();
        reader.push(whole[..end].to_vec().into());
        reading.take(&mut reader);
        let behind = reader.resume_point().whole.map_or(0, |number| number.as_str().parse().unwrap());
        reader.resume(false);
        let rest: Vec<_> = sent.iter().filter(|fragment| fragment.number > behind).cloned().collect();
        reader.push(body(&rest).into());
        reading.take(&mut reader);
        assert_eq!(reading.frames, wanted, "cut at byte {end}");
        assert_eq!(reading.after_loss, 0);
    }
}

#[test]
fn a_cut_fragment_that_is_gone_is_no_loss_where_it_comes_again() {
    let seconds: Vec<_> = (0..3).map(|index| second(index, 8)).collect();
    let begun = seconds[1].bytes();
    let mut reader = FrameReader::new(Range::default());
    let mut reading = Reading::default();
    reader.push(seconds[0].bytes().into());
    reader.push(begun[..begun.len() - 700].to_vec().into());
    reading.take(&mut reader);
    assert!((17..30).contains(&reading.frames.len()), "{}", reading.frames.len());
    // Both connections were cut: what the producer had begun was never stored.
    reader.resume(false);
    reader.push(body(&[numbered(&seconds[1], 200), numbered(&seconds[2], 201)]).into());
    reading.take(&mut reader);
    assert_eq!(reading.frames, undisturbed(&seconds));
    assert_eq!(reading.after_loss, 0);
}

#[test]
fn a_loss_before_a_copy_is_told_before_what_follows_it() {
    let seconds: Vec<_> = (0..5).map(|index| second(index, 2)).collect();
    let mut reader = FrameReader::new(Range::default());
    let mut reading = Reading::default();
    reader.push(body(&seconds[..3]).into());
    reading.take(&mut reader);
    reader.resume(true);
    reader.push(body(&[numbered(&seconds[0], 200), numbered(&seconds[4], 201)]).into());
    reading.take(&mut reader);
    assert_eq!(reading.after_loss, 1);
    assert_eq!(reading.frames.iter().position(|frame| frame.discont), Some(12));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A producer whose connection breaks anywhere, and that begins again some fragments before that, each time.
    #[test]
    fn every_frame_comes_once_and_at_its_time(breaks in prop::collection::vec((0_usize..120, 0_usize..4), 0..8)) {
        let seconds: Vec<_> = (0..12).map(|index| second(index, 5)).collect();
        let (mut sent, mut at) = (Vec::new(), 0_usize);
        let all = seconds.len() * 10;
        let mut send = |from: usize, to: usize| {
            for (index, fragment) in seconds.iter().enumerate().skip(from / 10) {
                let blocks = to.saturating_sub(index * 10).min(10);
                if blocks > 0 {
                    sent.push(numbered(&cut(fragment, blocks), 100 + sent.len() as u64));
                }
            }
        };
        for (length, back) in breaks {
            let from = (at / 10).saturating_sub(back) * 10;
            let to = (from + length).min(all);
            send(from, to);
            at = at.max(to);
        }
        send((at / 10) * 10, all);
        prop_assert_eq!(read(&sent).frames, undisturbed(&seconds));
    }
}
