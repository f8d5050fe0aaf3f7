//! The timeline of a stream that is watched while it is made: two clocks that part, and all that is no drift.

use gstkvs::fragment::{Arrival, Timeline};
use proptest::prelude::*;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;
const LATENCY: i64 = 2 * SECOND;
const LIMIT: i64 = LATENCY / 4 * 3;

/// Running time at which the stream begins.
const BEGIN: i64 = 5 * SECOND;

/// What a camera's clock shows at first.
const CLOCK: i64 = 1_767_607_200 * SECOND;

/// Pictures of a fragment, and the time between them.
const PICTURES: i64 = 46;
const STEP: i64 = 2 * SECOND / PICTURES;

#[derive(Clone, Copy, Debug)]
struct Placed {
    track: usize,
    fragment: usize,
    capture: i64,
    pts: i64,
    arrival: i64,
    discont: bool,
}

impl Placed {
    fn lateness(&self) -> i64 {
        self.arrival - self.pts
    }
}

/// A camera that makes fragments of 2 s: pictures, each third one shown before the two that come before it, and sound
/// that reaches into the next fragment.
struct Camera {
    timeline: Timeline,
    placed: Vec<Placed>,
    corrections: Vec<i64>,
    fragments: usize,
    /// What its clock shows at true time 0, and how fast it runs, in millionths too much.
    clock: i64,
    millionths: i64,
    /// How long after its beginning a fragment is received, where that is its time.
    received: Option<fn(usize) -> i64>,
}

impl Camera {
    fn new(millionths: i64) -> Self {
        Self {
            timeline: Timeline::live(LIMIT),
            placed: Vec::new(),
            corrections: Vec::new(),
            fragments: 0,
            clock: CLOCK,
            millionths,
            received: None,
        }
    }

    /// One whose fragments have the time at which the service received them: 100 ms early and late in turn.
    fn received(millionths: i64) -> Self {
        let delay = |fragment| if fragment % 2 == 0 { 300 * MS } else { 100 * MS };
        Self { timeline: Timeline::live(LIMIT).unsteady(), received: Some(delay), ..Self::new(millionths) }
    }

    fn shown(&self, time: i64) -> i64 {
        self.clock + time + time / 1_000_000 * self.millionths
    }

    /// A fragment that begins at true time `begin`; `arrival` tells when a frame comes that was made at a true time.
    fn fragment(&mut self, begin: i64, arrival: impl Fn(i64) -> Arrival) {
        let frames = (0..PICTURES).flat_map(|picture| {
            let shown = match (picture, picture % 3) {
                (0, _) => 0,
                (_, 1) => picture + 2,
                _ => picture - 1,
            };
            [(0, picture * STEP, shown * STEP), (1, picture * STEP, picture * STEP + 30 * MS)]
        });
        let start = self.received.map_or(self.shown(begin), |delay| CLOCK + begin + delay(self.fragments));
        for (index, (track, made, captured)) in frames.enumerate() {
            let arrival = arrival(begin + made);
            self.timeline.arrived(arrival);
            if index == 0 {
                let correction = self.timeline.begin_fragment(start);
                self.corrections.extend(correction);
                self.fragments += 1;
            }
            let capture = self.shown(begin + captured);
            let placement = self.timeline.place(track, start + capture - self.shown(begin), Some(STEP as u64));
            self.placed.push(Placed {
                track,
                fragment: self.fragments,
                capture,
                pts: placement.pts as i64,
                arrival: arrival.running_time,
                discont: placement.discont,
            });
        }
    }

    /// Two seconds after two seconds, each frame just when it is made.
    fn run(&mut self, times: std::ops::Range<i64>) {
        for index in times {
            self.fragment(index * 2 * SECOND, punctual);
        }
    }

    /// Nobody is shown a frame before one that came before it in the same track and was captured earlier.
    #[track_caller]
    fn assert_in_order(&self) {
        for track in 0..2 {
            let frames: Vec<_> = self.placed.iter().filter(|frame| frame.track == track).collect();
            for pair in frames.windows(4) {
                for later in &pair[1..] {
                    assert_eq!(pair[0].capture < later.capture, pair[0].pts < later.pts, "{:?} {later:?}", pair[0]);
                }
            }
        }
    }

    /// The first frame of a fragment that was corrected says so, and no other does.
    #[track_caller]
    fn assert_disconts(&self, expected: usize) {
        let disconts: Vec<_> = self.placed.iter().filter(|frame| frame.discont).collect();
        assert_eq!(disconts.len(), expected, "{disconts:?}");
        for discont in disconts {
            let first = self.placed.iter().find(|frame| frame.fragment == discont.fragment).unwrap();
            assert_eq!(first.pts, discont.pts);
        }
    }
}

fn punctual(time: i64) -> Arrival {
    Arrival { running_time: BEGIN + time, waited: false }
}

#[test]
fn the_first_frame_is_shown_when_it_came() {
    let mut camera = Camera::new(0);
    camera.run(0..20);
    assert_eq!(camera.placed[0].pts, BEGIN);
    assert!(camera.placed.iter().all(|frame| frame.pts - BEGIN == frame.capture - CLOCK));
    camera.assert_disconts(0);
}

/// An hour at 0.1 % is 3.6 s.
fn an_hour(millionths: i64) {
    let mut camera = Camera::new(millionths);
    camera.run(0..1800);
    camera.assert_in_order();
    assert_eq!(camera.corrections.len(), 2, "{:?}", camera.corrections);
    camera.assert_disconts(2);
    let worst = camera.placed.iter().map(|frame| frame.lateness().abs()).max().unwrap();
    assert!(worst < LATENCY, "{worst}");
    // Half of an hour's drift is left where nothing corrects it.
    let end = camera.placed.last().unwrap();
    assert!(end.lateness().abs() < SECOND, "{end:?}");
}

#[test]
fn a_clock_that_is_fast_for_an_hour_stays_within_the_latency() {
    an_hour(1000);
}

#[test]
fn a_clock_that_is_slow_for_an_hour_stays_within_the_latency() {
    an_hour(-1000);
}

#[test]
fn fragments_received_early_and_late_are_no_drift() {
    let mut camera = Camera::received(0);
    camera.run(0..1800);
    camera.assert_in_order();
    camera.assert_disconts(0);
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
    // But for what is left of 2 s that 46 pictures do not fill.
    assert!(camera.placed.iter().all(|frame| (frame.pts - BEGIN - (frame.capture - CLOCK)).abs() < MS));
}

#[test]
fn clocks_that_part_are_told_by_when_fragments_were_received_too() {
    for millionths in [1000, -1000] {
        let mut camera = Camera::received(millionths);
        camera.run(0..1800);
        camera.assert_in_order();
        camera.assert_disconts(camera.corrections.len());
        let worst = camera.placed.iter().map(|frame| frame.lateness().abs()).max().unwrap();
        assert!(worst < LATENCY, "{worst} ns at {millionths}: {:?}", camera.corrections);
    }
}

#[test]
fn a_producer_that_stops_for_two_minutes_is_on_time_when_it_comes_back() {
    let mut camera = Camera::new(0);
    camera.run(0..10);
    camera.run(70..80);
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
    assert!(camera.placed.iter().all(|frame| frame.pts - BEGIN == frame.capture - CLOCK));
}

#[test]
fn a_producer_that_comes_back_with_its_clock_set_back_is_shown_when_it_comes() {
    let mut camera = Camera::new(0);
    camera.run(0..10);
    camera.clock -= 3600 * SECOND;
    camera.run(70..80);
    camera.assert_disconts(1);
    let back = camera.placed.iter().find(|frame| frame.discont).unwrap();
    assert!(back.lateness().abs() < 100 * MS, "{back:?}");
}

#[test]
fn a_producer_whose_clock_is_set_right_does_not_stop_the_pipeline_for_years() {
    let mut camera = Camera::new(0);
    camera.clock = 0;
    camera.run(0..10);
    camera.clock = CLOCK;
    camera.run(10..20);
    camera.assert_in_order();
    assert_eq!(camera.corrections.len(), 1);
    camera.assert_disconts(1);
    assert!(camera.placed.iter().all(|frame| frame.lateness().abs() < 200 * MS));
}

#[test]
fn a_connection_that_was_down_for_a_minute_is_no_drift() {
    let mut camera = Camera::new(0);
    camera.run(0..10);
    // All of the minute comes at its end, within half a second.
    for index in 10..40 {
        camera.fragment(index * 2 * SECOND, |time| punctual(time.max(80 * SECOND + (time - 20 * SECOND) / 120)));
    }
    camera.run(40..60);
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
}

#[test]
fn a_pipeline_that_was_paused_goes_on_where_it_was() {
    let mut camera = Camera::new(0);
    camera.run(0..10);
    // Running time stands still for 30 s, and what is made meanwhile comes before it goes on.
    camera.timeline.paused(30 * SECOND);
    for index in 10..100 {
        camera.fragment(index * 2 * SECOND, |time| punctual(time - 30 * SECOND));
    }
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
}

#[test]
fn a_stream_that_began_late_and_then_is_on_time_is_shown_as_near_as_it_comes() {
    for late in [4 * SECOND, 8 * SECOND] {
        let mut camera = Camera::new(0);
        for index in 0..60 {
            camera.fragment(index * 2 * SECOND, |time| punctual(time.max(late)));
        }
        camera.assert_in_order();
        assert_eq!(camera.corrections, [-late]);
        // Found within half a minute, and caught up with at twice the speed.
        let caught_up = BEGIN + 30 * SECOND + 2 * late;
        let near = |frame: &&Placed| frame.arrival > caught_up;
        assert!(camera.placed.iter().filter(near).all(|frame| frame.lateness().abs() < SECOND));
    }
}

#[test]
fn a_burst_that_is_late_for_longer_leaves_nothing_behind() {
    let mut camera = Camera::new(0);
    camera.run(0..10);
    // Half a minute that comes as late as 20 s, and what follows it on time.
    for index in 10..25 {
        camera.fragment(index * 2 * SECOND, |time| punctual(time + 20 * SECOND));
    }
    for index in 25..35 {
        camera.fragment(index * 2 * SECOND, |_| punctual(70 * SECOND));
    }
    camera.run(35..120);
    camera.assert_in_order();
    let end = &camera.placed[camera.placed.len() - 1000..];
    assert!(end.iter().all(|frame| frame.lateness().abs() < LIMIT), "{:?}", camera.corrections);
}

#[test]
fn a_backlog_that_was_asked_for_is_shown_from_its_beginning() {
    let mut camera = Camera::new(0);
    camera.timeline = Timeline::live(LIMIT).catching_up();
    // Ten minutes are read in half a minute.
    for index in 0..300 {
        camera.fragment(index * 2 * SECOND, |time| punctual(600 * SECOND + time / 20));
    }
    for index in 300..600 {
        camera.fragment(index * 2 * SECOND, |time| punctual(time + 32 * SECOND));
    }
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
}

#[test]
fn a_pipeline_that_reads_more_slowly_than_it_could_tells_nothing_of_the_producer() {
    let mut camera = Camera::new(0);
    camera.run(0..10);
    for index in 10..200 {
        camera.fragment(index * 2 * SECOND, |time| Arrival { waited: true, ..punctual(time + time / 10) });
    }
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
}

#[test]
fn fragments_that_are_uploaded_whole_are_no_drift() {
    let mut camera = Camera::new(0);
    for index in 0..300 {
        camera.fragment(index * 2 * SECOND, |_| punctual((index + 1) * 2 * SECOND));
    }
    assert!(camera.corrections.is_empty(), "{:?}", camera.corrections);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever clock and network do, frames stay in order, and the clocks do not part.
    #[test]
    fn frames_stay_in_order(
        millionths in -20_000_i64..20_000,
        uneven in 0_i64..400,
        seed in any::<u64>(),
    ) {
        let mut camera = Camera::new(millionths);
        let mut state = seed | 1;
        let mut latest = 0;
        for index in 0..400 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let late = (state >> 33) as i64 % (uneven + 1) * MS;
            latest = latest.max(index * 2 * SECOND + late);
            camera.fragment(index * 2 * SECOND, |time| punctual(time.max(latest)));
        }
        camera.assert_in_order();
        // At 2 % a window lasts long enough for a little more than the limit.
        let worst = camera.placed.iter().map(|frame| frame.lateness().abs()).max().unwrap();
        prop_assert!(worst < LATENCY + SECOND, "{}", worst);
    }

    /// However late what comes first is, and what comes after interruptions: what then comes on time for some minutes is
    /// shown as it comes, and nothing is ever overtaken.
    #[test]
    fn what_comes_on_time_is_shown_as_near_as_it_comes(
        first in 0_i64..20,
        interruptions in prop::collection::vec((0_usize..100, 0_i64..20), 0..20),
    ) {
        let mut camera = Camera::new(0);
        let mut latest = first * SECOND;
        for index in 0..250 {
            let late = interruptions.iter().filter(|(at, _)| *at == index).map(|(_, late)| *late).max().unwrap_or(0);
            let begin = index as i64 * 2 * SECOND;
            latest = latest.max(begin + late * SECOND);
            camera.fragment(begin, |time| punctual(time.max(latest)));
        }
        camera.assert_in_order();
        let end = &camera.placed[camera.placed.len() - 2000..];
        let worst = end.iter().map(|frame| frame.lateness().abs()).max().unwrap();
        prop_assert!(worst <= LIMIT + SECOND / 10, "{worst}: {:?}", camera.corrections);
    }
}
