//! What kvssrc answers when it is asked.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::body::{Fragment, START_MS, body};
use super::support::{
    END, PATIENCE, Pipeline, STREAM, command, emulator, emulator_with_body, printed, source_for_ever, wait_until,
};
use kvs_emulator::Emulator;

fn stored() -> Emulator {
    let emulator = emulator();
    let fragments: Vec<_> = (0..5).map(|index| Fragment::audio(index, 50)).collect();
    emulator.import_bytes(STREAM, body(&fragments)).unwrap();
    emulator
}

/// A range that ends half a second before the stream does.
fn range() -> String {
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
    format!("start-timestamp={} end-timestamp={}", seconds(START_MS), seconds(START_MS + 4500))
}

fn seconds(value: Option<gst::ClockTime>) -> Option<f64> {
    value.map(|time| time.nseconds() as f64 / 1e9)
}

/// Position and duration that the pad answers at each buffer, in seconds.
fn asked_at_each_buffer(description: &str) -> Vec<(Option<f64>, Option<f64>)> {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false max-buffers=1"));
    let sink = pipeline.sink("audio/x-alaw");
    pipeline.play();
    let mut answers = Vec::new();
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        assert!(sample.buffer().is_some());
        let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
        let mut position = gst::query::Position::new(gst::Format::Time);
        assert!(pad.query(&mut position));
        let position = match position.result() {
            gst::GenericFormattedValue::Time(time) => time,
            other => panic!("{other:?}"),
        };
        answers.push((seconds(position), seconds(pad.query_duration::<gst::ClockTime>())));
    }
    answers
}

#[test]
fn position_and_duration_of_a_range() {
    let emulator = stored();
    let answers = asked_at_each_buffer(&format!("{} {}", source_for_ever(&emulator), range()));
    assert_eq!(answers.len(), 225);
    assert!(answers.iter().all(|(_, duration)| *duration == Some(4.5)), "{answers:?}");
    let positions: Vec<f64> = answers.iter().map(|(position, _)| position.unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    // The source is a few buffers ahead of the sink at the most.
    for (index, position) in positions.iter().enumerate() {
        let pts = (index / 50) as f64 + (index % 50) as f64 * 0.02;
        assert!((pts - 0.02..pts + 0.2).contains(position), "{position} at {pts}");
    }
}

#[test]
fn a_duration_is_known_from_the_first_frame_on() {
    let emulator = stored();
    let earliest = asked_at_each_buffer(&format!("{} start-selector=earliest {END}", source_for_ever(&emulator)));
    let left = 14.0 * 3600.0;
    assert_eq!(earliest.len(), 250);
    assert!(earliest.iter().all(|(_, duration)| *duration == Some(left)), "{earliest:?}");
    let emulator = emulator_with_body(Fragment::audio(0, 5).bytes());
    let on_servers_clock = format!("{} start-selector=server-timestamp", source_for_ever(&emulator));
    let answers = asked_at_each_buffer(&format!("{on_servers_clock} {}", range()));
    assert_eq!(answers.len(), 5);
    // Received a second after it was captured.
    assert!(answers.iter().all(|(_, duration)| *duration == Some(3.5)), "{answers:?}");
}

#[test]
fn without_an_end_there_is_no_duration() {
    let emulator = stored();
    let source = format!("{} start-selector=earliest idle-timeout=300", source_for_ever(&emulator));
    let answers = asked_at_each_buffer(&source);
    assert_eq!(answers.len(), 250);
    assert!(answers.iter().all(|(position, duration)| position.is_some() && duration.is_none()), "{answers:?}");
}

#[test]
fn the_application_is_told_when_the_duration_is_known() {
    let emulator = stored();
    let source = source_for_ever(&emulator);
    let pipeline = Pipeline::new(&format!("{source} start-selector=earliest {END} ! fakesink sync=false"));
    pipeline.play();
    let types = [gst::MessageType::Eos, gst::MessageType::DurationChanged];
    let bus = pipeline.bus().unwrap();
    let told: Vec<_> = std::iter::from_fn(|| Some(bus.timed_pop_filtered(PATIENCE, &types).expect("the end").type_()))
        .take_while(|message| *message != gst::MessageType::Eos)
        .collect();
    assert_eq!(told, [gst::MessageType::DurationChanged]);
}

#[test]
fn it_is_read_in_order_and_can_be_sought_in() {
    let emulator = stored();
    let pipeline = Pipeline::new(&format!("{} {} ! appsink name=sink sync=false", source_for_ever(&emulator), range()));
    let sink = pipeline.sink("audio/x-alaw");
    pipeline.play();
    assert!(sink.try_pull_sample(PATIENCE).is_some());
    let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
    // How far the stream reaches is known from the first whole fragment on.
    wait_until("the end is known", || {
        let mut seeking = gst::query::Seeking::new(gst::Format::Time);
        assert!(pad.query(&mut seeking));
        let (seekable, start, end) = seeking.result();
        seekable && (start.value(), end.value()) == (0, 4_500_000_000)
    });
    let mut scheduling = gst::query::Scheduling::new();
    assert!(pad.query(&mut scheduling));
    let (flags, ..) = scheduling.result();
    assert!(flags.contains(gst::SchedulingFlags::SEQUENTIAL), "{flags:?}");
    assert!(!flags.contains(gst::SchedulingFlags::SEEKABLE), "{flags:?}");
    assert_eq!(scheduling.scheduling_modes().collect::<Vec<_>>(), [gst::PadMode::Push]);
}

#[test]
fn progressreport_shows_a_percentage() {
    let emulator = stored();
    let line = format!("kvssrc stream={STREAM} {} ! audio/x-alaw ! progressreport ! fakesink sync=false", range());
    let (stdout, _) = printed(command("gst-launch-1.0", &emulator).args(line.split_whitespace()));
    let last = stdout.lines().rfind(|line| line.starts_with("progressreport0")).unwrap_or_else(|| panic!("{stdout}"));
    assert!(last.contains("/ 4 seconds") && last.contains("%)"), "{last}");
}

#[test]
fn progressreport_posts_a_percentage_that_grows() {
    let emulator = stored();
    let pipeline = Pipeline::new(&format!(
        "{} {} ! progressreport name=report silent=true ! appsink name=sink sync=false max-buffers=1",
        source_for_ever(&emulator),
        range()
    ));
    let sink = pipeline.sink("audio/x-alaw");
    let report = pipeline.by_name("report").unwrap();
    let percentages = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&percentages);
    // What it asks itself, at each buffer.
    report.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        let percent = || {
            let position = match pad.peer_query_position_generic(gst::Format::Time)? {
                gst::GenericFormattedValue::Time(time) => time?,
                _ => return None,
            };
            let duration = pad.peer_query_duration::<gst::ClockTime>()?;
            Some(position.nseconds() as f64 / duration.nseconds() as f64 * 100.0)
        };
        noted.lock().unwrap().push(percent());
        gst::PadProbeReturn::Ok
    });
    pipeline.play();
    while sink.try_pull_sample(PATIENCE).is_some() {}
    let percentages: Vec<f64> = percentages.lock().unwrap().iter().map(|percent| percent.expect("answers")).collect();
    assert_eq!(percentages.len(), 225);
    assert!(percentages.is_sorted() && percentages[0] == 0.0 && percentages[224] > 98.0, "{percentages:?}");
}
