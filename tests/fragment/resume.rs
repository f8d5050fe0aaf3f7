//! Connections that end anywhere, and what comes of going on behind them.

use gstkvs::fragment::{Follower, FrameReader, Output, Partial, Range, ResumePoint};
use proptest::prelude::*;

use super::body::{Fragment, body};

/// A frame with all that downstream would see of it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    payload: Vec<u8>,
    pts: u64,
    capture_time: i64,
    discont: bool,
}

#[derive(Debug, Default, PartialEq)]
struct Reading {
    frames: Vec<Seen>,
    starts: Vec<String>,
    after_loss: usize,
}

fn fragments() -> Vec<Fragment> {
    (0..5).map(|index| Fragment::audio(index, 6)).collect()
}

fn read(reader: &mut FrameReader, bytes: &[u8], reading: &mut Reading) {
    reader.push(bytes.to_vec().into());
    while let Some(output) = reader.next().unwrap() {
        match output {
            Output::Start(fragment) => {
                reading.starts.push(fragment.number.as_ref().unwrap().to_string());
                reading.after_loss += usize::from(fragment.after_loss);
            }
            Output::Block(block) => reading.frames.push(Seen {
                payload: block.frames().next().unwrap().0.to_bytes().to_vec(),
                pts: block.pts,
                capture_time: block.capture_time,
                discont: block.discont,
            }),
            Output::End(_) | Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => {}
        }
    }
}

/// The body that the service answers one who goes on at this point.
fn body_behind(fragments: &[Fragment], point: &ResumePoint) -> Vec<u8> {
    let whole = point.whole.as_ref().map_or(0, |number| number.as_str().parse().unwrap());
    let rest: Vec<_> = fragments.iter().filter(|fragment| fragment.number > whole).cloned().collect();
    body(&rest)
}

fn undisturbed(fragments: &[Fragment]) -> Reading {
    let mut reading = Reading::default();
    read(&mut FrameReader::new(Range::default()), &body(fragments), &mut reading);
    reading
}

#[test]
fn a_cut_at_any_byte_loses_and_repeats_nothing() {
    let fragments = fragments();
    let whole = body(&fragments);
    let wanted = undisturbed(&fragments);
    assert_eq!(wanted.frames.len(), 30);
    for end in 0..whole.len() {
        let mut reader = FrameReader::new(Range::default());
        let mut reading = Reading::default();
        read(&mut reader, &whole[..end], &mut reading);
        let point = reader.resume_point();
        reader.resume(false);
        read(&mut reader, &body_behind(&fragments, &point), &mut reading);
        assert_eq!(reading, wanted, "cut at byte {end}");
    }
}

#[test]
fn who_only_follows_a_body_knows_where_the_next_one_goes_on() {
    let fragments = fragments();
    let whole = body(&fragments);
    for end in 0..whole.len() {
        let mut reader = FrameReader::new(Range::default());
        let mut follower = Follower::new(reader.resume_point());
        let mut reading = Reading::default();
        let mut bytes = whole[..end].to_vec();
        // The second time over from where the first one ended, half as long.
        for _ in 0..2 {
            let before = reading.frames.len();
            read(&mut reader, &bytes, &mut reading);
            follower.push(bytes.clone().into()).unwrap();
            let point = reader.resume_point();
            assert_eq!(follower.resume_point(), point, "cut at byte {end}");
            assert_eq!(follower.ends_whole(), reader.finish().is_ok(), "cut at byte {end}");
            assert!(follower.has_progressed() || reading.frames.len() == before, "cut at byte {end}");
            reader.resume(false);
            follower = Follower::new(point.clone());
            bytes = body_behind(&fragments, &point);
            bytes.truncate(bytes.len() / 2);
        }
    }
}

#[test]
fn a_service_that_begins_with_the_last_fragment_again_is_borne() {
    let fragments = fragments();
    let whole = body(&fragments);
    let wanted = undisturbed(&fragments);
    for end in (0..whole.len()).step_by(7) {
        let mut reader = FrameReader::new(Range::default());
        let mut reading = Reading::default();
        read(&mut reader, &whole[..end], &mut reading);
        reader.resume(false);
        // All from the beginning: as a continuation token that names the fragment before would have it, and more.
        read(&mut reader, &whole, &mut reading);
        assert_eq!(reading, wanted, "cut at byte {end}");
    }
}

#[test]
fn the_resume_point_says_what_came() {
    let fragments = fragments();
    let first = fragments[0].bytes();
    let mut reader = FrameReader::new(Range::default());
    let mut reading = Reading::default();
    read(&mut reader, &first, &mut reading);
    let second = fragments[1].bytes();
    read(&mut reader, &second[..second.len() - 260], &mut reading);
    let ResumePoint { whole, partial } = reader.resume_point();
    assert_eq!(whole.unwrap().as_str(), "100");
    let Some(Partial { number, blocks, server_timestamp }) = partial else { panic!("no partial fragment") };
    assert_eq!((number.as_str(), blocks), ("101", reading.frames.len() as u64 - 6));
    assert_eq!(server_timestamp.unwrap().nanoseconds(), (fragments[1].producer_ms as i64 + 1000) * 1_000_000);
}

#[test]
fn fragments_that_are_gone_are_a_loss() {
    let fragments = fragments();
    let mut reader = FrameReader::new(Range::default());
    let mut reading = Reading::default();
    read(&mut reader, &body(&fragments[..2]), &mut reading);
    // Retention has passed the third; the earliest there is is the fourth.
    reader.resume(true);
    read(&mut reader, &body(&fragments[3..]), &mut reading);
    assert_eq!(reading.after_loss, 1);
    let discont: Vec<_> = reading.frames.iter().map(|frame| frame.discont).collect();
    assert_eq!(discont.iter().position(|discont| *discont), Some(12));
    assert_eq!(discont.iter().filter(|discont| **discont).count(), 1);
    // The gap stays a gap.
    assert_eq!(reading.frames[12].pts, 3_000_000_000);
}

#[test]
fn a_cut_fragment_whose_rest_is_gone_is_a_loss() {
    let fragments = fragments();
    let mut reader = FrameReader::new(Range::default());
    let mut reading = Reading::default();
    let begun = fragments[0].bytes();
    read(&mut reader, &begun[..begun.len() - 260], &mut reading);
    reader.resume(false);
    read(&mut reader, &body(&fragments[1..]), &mut reading);
    assert_eq!(reading.after_loss, 1);
}

#[test]
fn the_earliest_that_is_still_the_last_one_is_no_loss() {
    let fragments = fragments();
    let mut reader = FrameReader::new(Range::default());
    let mut reading = Reading::default();
    read(&mut reader, &body(&fragments[..2]), &mut reading);
    reader.resume(true);
    read(&mut reader, &body(&fragments[1..]), &mut reading);
    assert_eq!(reading, undisturbed(&fragments));
    assert_eq!(reader.duplicates(), 1);
}

proptest! {
    /// Any number of cuts, each anywhere in the body that the one before led to.
    #[test]
    fn any_number_of_cuts(cuts in prop::collection::vec(0_usize..4000, 0..12)) {
        let fragments = fragments();
        let mut reader = FrameReader::new(Range::default());
        let mut reading = Reading::default();
        for cut in cuts {
            let body = body_behind(&fragments, &reader.resume_point());
            read(&mut reader, &body[..cut.min(body.len())], &mut reading);
            reader.resume(false);
        }
        let rest = body_behind(&fragments, &reader.resume_point());
        read(&mut reader, &rest, &mut reading);
        prop_assert_eq!(reading, undisturbed(&fragments));
    }
}
