//! playbin3 in a day-long stream: every seek shows the frame that was asked for, by the number that is drawn into it.

use gst::prelude::*;
use kvs_emulator::{Emulator, Operation, RequestRecord};

use super::body::START_MS;
use super::pictures::{self, FIRST_NUMBER, FRAME, FRAMES, LENGTH};
use super::support::{PATIENCE, Pipeline, STREAM};

/// A day of them.
const FRAGMENTS: u64 = 86_400_000 / LENGTH;

/// playbin3 that shows the day in an appsink, paused at its beginning.
fn player(emulator: &Emulator) -> (Pipeline, gst_app::AppSink) {
    let sink = gst_app::AppSink::builder().caps(&pictures::caps()).sync(false).max_buffers(1).build();
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let uri = format!(
        "kvs://{STREAM}?playback-mode=on-demand&start={}&end={}",
        seconds(START_MS),
        seconds(START_MS + FRAGMENTS * LENGTH)
    );
    let playbin = gst::ElementFactory::make("playbin3").property("uri", uri).property("video-sink", &sink);
    let playbin = playbin.build().unwrap();
    let settings = [
        ("aws-region", emulator.region().to_owned()),
        ("endpoint-url", emulator.url()),
        ("access-key", emulator.access_key().to_owned()),
        ("secret-key", emulator.secret_key().to_owned()),
    ];
    playbin.connect("source-setup", false, move |values| {
        let source = values[1].get::<gst::Element>().unwrap();
        settings.iter().for_each(|(name, value)| source.set_property(name, value));
        None
    });
    let player = Pipeline(playbin.downcast().unwrap());
    let _ = player.set_state(gst::State::Paused);
    player.state(PATIENCE).0.expect("the first frame");
    (player, sink)
}

/// The number of the frame that is shown, and where in the stream it lies.
fn shown(sink: &gst_app::AppSink) -> (u64, gst::ClockTime) {
    let sample = sink.try_pull_preroll(PATIENCE).expect("a frame");
    let buffer = sample.buffer().unwrap();
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap().clone();
    (pictures::number(buffer), segment.to_stream_time(buffer.pts()).expect("a frame of the segment"))
}

/// The ms since 1970 that a call of ListFragments begins with.
fn listed_from(request: &RequestRecord) -> Option<u64> {
    let start = &request.body["FragmentSelector"]["TimestampRange"]["StartTimestamp"];
    (request.operation == Operation::ListFragments).then(|| (start.as_f64().unwrap() * 1000.0).round() as u64)
}

fn names(request: &RequestRecord, number: &str) -> bool {
    request.operation == Operation::GetMediaForFragmentList
        && request.body["Fragments"].as_array().unwrap().iter().any(|named| named == number)
}

#[test]
fn each_seek_in_a_day_shows_the_frame_that_was_asked_for() {
    let emulator = pictures::serve(FRAGMENTS, false);
    let (player, sink) = player(&emulator);
    assert_eq!(shown(&sink), (0, gst::ClockTime::ZERO));
    assert_eq!(player.query_duration::<gst::ClockTime>(), Some(gst::ClockTime::from_mseconds(FRAGMENTS * LENGTH)));
    let mut random = fastrand::Rng::with_seed(20);
    for seek in 0..20 {
        let frame = random.u64(0..FRAGMENTS * FRAMES);
        // Where a frame begins, and in the middle of one.
        let to = frame * FRAME + if seek % 2 == 0 { 0 } else { FRAME / 2 };
        let before = emulator.requests().len();
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        player.seek_simple(flags, gst::ClockTime::from_mseconds(to)).expect("a seek");
        player.state(PATIENCE).0.expect("a frame there");
        let (found, time) = shown(&sink);
        assert_eq!(found, frame, "seek {seek} to {to} ms shows frame {found} at {time}");
        assert_eq!(time, gst::ClockTime::from_mseconds(to), "seek {seek}");

        // One page lists the fragment, and the first call behind that fetches it. What was read before the seek lies
        // elsewhere, and may have asked for more at the last moment.
        let number = (FIRST_NUMBER + frame / FRAMES).to_string();
        let requests = emulator.requests().split_off(before);
        let start = (START_MS + to - 10_000)..=(START_MS + to);
        let page = requests.iter().position(|request| listed_from(request).is_some_and(|from| start.contains(&from)));
        let page = page.unwrap_or_else(|| panic!("seek {seek}: no page lists {to} ms"));
        let fetch = requests.iter().position(|request| names(request, &number));
        let fetch = fetch.unwrap_or_else(|| panic!("seek {seek}: nothing fetches {number}"));
        assert!(fetch > page, "seek {seek}");
        let near = |request: &&RequestRecord| match listed_from(request) {
            Some(from) => from.abs_diff(START_MS + to) < 10_000_000,
            None => {
                let around = (frame / FRAMES).saturating_sub(50)..frame / FRAMES + 50;
                around.into_iter().any(|fragment| names(request, &(FIRST_NUMBER + fragment).to_string()))
            }
        };
        let between: Vec<_> = requests[page + 1..fetch].iter().filter(near).map(|request| request.operation).collect();
        assert!(between.is_empty(), "seek {seek}: {between:?}");
    }
}
