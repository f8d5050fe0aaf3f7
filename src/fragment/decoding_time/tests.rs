use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// Where the streams of these tests begin, so that what is decoded before need not lie before 0.
const START: u64 = 10_000;

/// The decoding times, in ms from the start, of frames that are shown at these; the first one is a keyframe.
fn times(depth: usize, spacing: Option<u64>, shown: &[i64]) -> Vec<Option<i64>> {
    let mut times = DecodingTimes::default();
    times.set_reordering(Reordering { depth, spacing: spacing.map(|spacing| spacing * MS) });
    shown.iter().enumerate().map(|(index, pts)| next(&mut times, *pts, index == 0)).collect()
}

fn next(times: &mut DecodingTimes, pts: i64, keyframe: bool) -> Option<i64> {
    let dts = times.next(START.saturating_add_signed(pts) * MS, keyframe, false);
    dts.map(|dts| i64::try_from(dts / MS).unwrap() - i64::try_from(START).unwrap())
}

fn all(times: &[i64]) -> Vec<Option<i64>> {
    times.iter().copied().map(Some).collect()
}

#[test]
fn frames_in_order_are_decoded_when_they_are_shown() {
    let shown = [0, 33, 66, 100, 5000, 5033];
    assert_eq!(times(0, None, &shown), all(&shown));
}

#[test]
fn pictures_out_of_order_are_decoded_in_steps_of_a_frame() {
    let pyramid = [0, 160, 80, 40, 120, 320, 240, 200, 280];
    assert_eq!(times(2, Some(40), &pyramid), all(&[-80, -40, 0, 40, 80, 120, 160, 200, 240]));
    // Frames that are not said to last 40 ms do so, too.
    assert_eq!(times(2, None, &pyramid), all(&[-80, -40, 0, 40, 80, 120, 160, 200, 240]));
    assert_eq!(times(1, Some(20), &[0, 60, 20, 40, 120, 80, 100]), all(&[-20, 0, 20, 40, 60, 80, 100]));
}

#[test]
fn what_is_further_out_of_order_than_it_should_be_is_learned() {
    // A stream that claims to be in order: where there is no decoding time, there can be none.
    let shown = [0, 80, 40, 160, 120, 240, 200];
    let expected = [Some(0), Some(80), None, Some(80), Some(80 + 40), Some(160), Some(200)];
    let mut times = DecodingTimes::default();
    let found: Vec<_> = shown.iter().enumerate().map(|(index, pts)| next(&mut times, *pts, index == 0)).collect();
    assert_eq!(found, expected);
    assert_eq!(times.reordering().depth, 1);
}

#[test]
fn pictures_before_a_keyframe_that_lack_those_around_them_teach_nothing() {
    let mut times = DecodingTimes::default();
    times.set_reordering(Reordering { depth: 2, spacing: Some(40 * MS) });
    let open =
        [(160, true), (80, false), (40, false), (120, false), (320, false), (240, false), (200, false), (280, false)];
    let found: Vec<_> = open.iter().map(|(pts, keyframe)| next(&mut times, *pts, *keyframe)).collect();
    // What is shown before the keyframe takes no time from what is shown behind it.
    assert_eq!(found, [Some(80), Some(80), None, Some(80), Some(120), Some(160), Some(200), Some(240)]);
    assert_eq!(times.reordering().depth, 2);

    // A producer that starts again where the stream ended, with pictures of what nobody has.
    let again = [(300, true), (80, false), (120, false), (160, false), (200, false), (380, false)];
    let found: Vec<_> = again.iter().map(|(pts, keyframe)| next(&mut times, *pts, *keyframe)).collect();
    assert_eq!(found, [Some(280), None, None, None, None, Some(300)]);
    assert_eq!(times.reordering().depth, 2);
}

#[test]
fn decoding_begins_anew_behind_a_gap() {
    for spacing in [Some(40), None] {
        let mut times = DecodingTimes::default();
        times.set_reordering(Reordering { depth: 2, spacing: spacing.map(|spacing| spacing * MS) });
        for pts in [0, 160, 80, 40, 120] {
            next(&mut times, pts, pts == 0);
        }
        let found: Vec<_> = [5000, 5160, 5080, 5040].iter().map(|pts| next(&mut times, *pts, *pts == 5000)).collect();
        assert_eq!(found, all(&[4920, 4960, 5000, 5040]));
        // A second and less may be what is shown before a keyframe.
        assert_eq!(next(&mut times, 6160, true), Some(5080));
    }
}

#[test]
fn a_clock_that_jumps_back_begins_anew_only_with_a_break() {
    let mut times = DecodingTimes::default();
    assert_eq!(times.next(1000 * MS, true, false), Some(1000 * MS));
    assert_eq!(times.next(500 * MS, true, false), None);
    assert_eq!(times.next(500 * MS, true, true), Some(500 * MS));
    assert_eq!(times.next(540 * MS, false, true), Some(540 * MS));
    times.restart();
    assert_eq!(times.next(0, true, false), Some(0));
}

#[test]
fn the_depth_is_bounded() {
    let mut times = DecodingTimes::default();
    times.set_reordering(Reordering { depth: usize::MAX, spacing: Some(u64::MAX) });
    assert_eq!(times.reordering().depth, MAX_DEPTH);
    assert_eq!(times.reordering().delay(), u64::MAX);
    for pts in (0..100).rev() {
        times.next(pts, false, false);
    }
    assert_eq!(times.reordering().depth, MAX_DEPTH);
    assert!(times.latest.len() <= MAX_DEPTH + 1);
}

/// Frames in decoding order, shown at these times in ms, none behind more than `depth` others that are shown after it.
fn reordered(depth: usize) -> impl Strategy<Value = Vec<u64>> {
    let steps = proptest::collection::vec((1_u64..500, any::<bool>(), 0_usize..9), 1..200);
    steps.prop_map(move |steps| {
        let mut shown: Vec<u64> = Vec::new();
        for (step, ..) in &steps {
            shown.push(shown.last().map_or(START, |last| last + step));
        }
        let mut decoded = vec![shown.remove(0)];
        for (_, jumps, far) in &steps[1..] {
            let ahead = decoded.iter().filter(|pts| **pts > shown[0]).count();
            let index = if *jumps && ahead < depth { (*far).min(shown.len() - 1) } else { 0 };
            decoded.push(shown.remove(index));
        }
        decoded
    })
}

fn depth_and_frames() -> impl Strategy<Value = (usize, Vec<u64>)> {
    (0..=MAX_DEPTH).prop_flat_map(|depth| reordered(depth).prop_map(move |frames| (depth, frames)))
}

proptest! {
    #[test]
    fn decoding_times_are_presentation_times_in_order((depth, frames) in depth_and_frames(), told in any::<bool>()) {
        let mut times = DecodingTimes::default();
        times.set_reordering(Reordering { depth, spacing: told.then_some(40 * MS) });
        let mut decoded = Vec::new();
        for (index, pts) in frames.iter().enumerate() {
            let dts = times.next(pts * MS, index == 0, false);
            prop_assert!(dts.is_some_and(|dts| dts <= pts * MS), "frame {} at {}: {:?}", index, pts, dts);
            decoded.extend(dts);
        }
        prop_assert!(decoded.is_sorted());
        prop_assert_eq!(times.reordering().depth, depth);
        let mut in_order = frames.clone();
        in_order.sort_unstable();
        for (pts, dts) in in_order.iter().zip(decoded.iter().skip(depth)) {
            prop_assert_eq!(pts * MS, *dts);
        }
    }

    #[test]
    fn whatever_comes_decoding_times_do_not_go_back_and_are_not_late(
        depth in any::<usize>(),
        spacing in proptest::option::of(any::<u64>()),
        frames in proptest::collection::vec((prop_oneof![any::<u64>(), 0..100_u64], any::<bool>()), 0..100),
    ) {
        let mut times = DecodingTimes::default();
        times.set_reordering(Reordering { depth, spacing });
        let mut last = 0;
        for (pts, keyframe) in frames {
            if let Some(dts) = times.next(pts, keyframe, false) {
                prop_assert!((last..=pts).contains(&dts));
                last = dts;
            }
        }
    }
}
