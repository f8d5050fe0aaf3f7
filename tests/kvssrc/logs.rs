//! The debug log at each level, and GStreamer's tracers.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use kvs_emulator::{Emulator, Fault, Repeat};

use super::body::{Fragment, body};
use super::support::{END, STREAM, command, emulator, emulator_with_capture, printed};

const FRAGMENTS: usize = 5;
const FRAMES: usize = 12;

fn stored() -> Emulator {
    let emulator = emulator();
    let fragments: Vec<_> = (0..FRAGMENTS as u64).map(|index| Fragment::audio(index, FRAMES as i16)).collect();
    emulator.import_bytes(STREAM, body(&fragments)).unwrap();
    emulator
}

fn launch(emulator: &Emulator, elements: &str) -> Command {
    // Where GStreamer finds that the plugin is another one than before, a process of its own looks at it, and begins the
    // log file anew.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        printed(command("gst-inspect-1.0", emulator).arg("kvssrc"));
    });
    let mut command = command("gst-launch-1.0", emulator);
    command.args(["-q", "kvssrc"]).arg(format!("stream={STREAM}")).args(["start-selector=earliest", END]);
    command.args(elements.split_whitespace()).env("GST_DEBUG_NO_COLOR", "1");
    command
}

/// The lines of a category, each from its level on.
fn lines(log: &str, category: &str) -> Vec<String> {
    let fields = |line: &str| {
        let mut fields = line.split_whitespace().skip(3);
        let level = fields.next()?;
        let found = fields.next()?;
        let rest: Vec<&str> = fields.skip(1).collect();
        (found == category).then(|| format!("{level} {}", rest.join(" ")))
    };
    log.lines().filter_map(fields).collect()
}

fn log(emulator: &Emulator, debug: &str, elements: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    printed(launch(emulator, elements).env("GST_DEBUG", debug).env("GST_DEBUG_FILE", &file));
    std::fs::read_to_string(&file).unwrap()
}

fn count(lines: &[String], level: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(level)).count()
}

const SINK: &str = "! audio/x-alaw ! fakesink sync=false";

#[test]
fn level_4_tells_the_story_of_a_connection() {
    let emulator = stored();
    let log = log(&emulator, "kvssrc:4,kvsmkv:4", SINK);
    let (source, matroska) = (lines(&log, "kvssrc"), lines(&log, "kvsmkv"));
    assert_eq!(log.lines().count(), source.len() + matroska.len(), "{log}");
    // It ends when a second connection brings nothing.
    let second = source.iter().position(|line| line.contains("Reconnecting")).unwrap();
    assert!(second + matroska.len() < 10, "{log}");
    for word in
        ["Reading demo", "Connecting", "Connected", "Pushing audio/x-alaw", "First frame after", "The end: 5 fragments"]
    {
        assert_eq!(source.iter().filter(|line| line.contains(word)).count().min(1), 1, "{word}: {log}");
    }
    assert!(matroska[0].contains("track 1 A_MS/ACM (audio, 8000 Hz, 1 channels)"), "{log}");
}

#[test]
fn a_connection_that_is_cut_has_its_reason_at_level_4() {
    let emulator = stored();
    emulator.set_fault(STREAM, Fault::CutAfter(1500), Repeat::Once);
    let log = log(&emulator, "kvssrc:4", SINK);
    assert!(
        lines(&log, "kvssrc").iter().any(|line| line.contains("Reconnecting in") && line.contains("broke")),
        "{log}"
    );
}

#[test]
fn level_6_has_a_line_a_fragment() {
    let emulator = stored();
    let log = log(&emulator, "kvssrc:6,kvsmkv:6", SINK);
    for category in ["kvssrc", "kvsmkv"] {
        let lines = lines(&log, category);
        assert_eq!(count(&lines, "LOG"), FRAGMENTS, "{log}");
        assert_eq!(count(&lines, "TRACE"), 0, "{log}");
    }
    let first = lines(&log, "kvssrc").into_iter().find(|line| line.starts_with("LOG")).unwrap();
    assert!(first.contains("Fragment ") && first.contains("captured at 2026-01-05T10:00:00Z"), "{first}");
    let first = lines(&log, "kvsmkv").into_iter().find(|line| line.starts_with("LOG")).unwrap();
    assert!(first.contains("12 frames of track 1"), "{first}");
}

#[test]
fn level_7_has_a_line_a_frame() {
    for elements in [SINK, "! fakesink sync=false"] {
        let emulator = stored();
        let log = log(&emulator, "kvssrc:7,kvsmkv:7", elements);
        for category in ["kvssrc", "kvsmkv"] {
            let lines = lines(&log, category);
            assert_eq!(count(&lines, "TRACE"), FRAGMENTS * FRAMES, "{category}");
            assert_eq!(count(&lines, "LOG"), FRAGMENTS, "{category}");
        }
    }
}

/// What a tracer logged of a launch line, of which the process printed nothing else.
fn traced(emulator: &Emulator, tracer: &str, elements: &str, folder: &Path) -> String {
    let file = folder.join("trace");
    let mut launch = launch(emulator, elements);
    launch.env("GST_TRACERS", tracer).env("GST_DEBUG", "*:2,GST_TRACER:7").env("GST_DEBUG_FILE", &file);
    let (stdout, stderr) = printed(&mut launch);
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""));
    std::fs::read_to_string(&file).unwrap()
}

/// The kinds of objects that were alive at the end; the first line of the kind says how the others are to be read.
fn alive(trace: &str) -> Vec<&str> {
    let found = trace.lines().filter_map(|line| line.split_once(" object-alive, type-name=(string)"));
    found.map(|(_, rest)| rest.split(',').next().unwrap_or(rest)).filter(|kind| *kind != "%s").collect()
}

#[test]
fn nothing_is_leaked() {
    let Some(emulator) = emulator_with_capture("output_get_media.mkv") else { return };
    for elements in [
        "! fakesink sync=false",
        "! h264parse ! avdec_h264 ! fakesink sync=false",
        "! matroskademux ! h264parse ! fakesink sync=false",
    ] {
        // What goes on behind a cut is looked at too.
        emulator.set_fault(STREAM, Fault::CutAfter(300_000), Repeat::Once);
        let folder = tempfile::tempdir().unwrap();
        let trace = traced(&emulator, "leaks", elements, folder.path());
        assert!(trace.contains("object-alive"), "no leaks tracer: {trace}");
        assert_eq!(alive(&trace), [""; 0], "{elements}");
    }
}

#[test]
fn a_leak_is_seen() {
    const LEAKS: &str = "KVS_TEST_LEAKS";
    if std::env::var_os(LEAKS).is_some() {
        gst::init().unwrap();
        std::mem::forget(gst::Buffer::new());
        // SAFETY: nothing of GStreamer is used after it.
        unsafe { gst::deinit() };
        return;
    }
    let emulator = stored();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let mut this = command(std::env::current_exe().unwrap().to_str().unwrap(), &emulator);
    this.args(["logs::a_leak_is_seen", "--exact"]).env(LEAKS, "1").env("GST_TRACERS", "leaks");
    printed(this.env("GST_DEBUG", "GST_TRACER:7").env("GST_DEBUG_FILE", &file).env("GST_DEBUG_NO_COLOR", "1"));
    assert_eq!(alive(&std::fs::read_to_string(&file).unwrap()), ["GstBuffer"]);
}

#[test]
fn latency_is_traced_from_source_to_sink() {
    let emulator = stored();
    let folder = tempfile::tempdir().unwrap();
    let elements = "! audio/x-alaw ! alawdec ! fakesink sync=false";
    let trace = traced(&emulator, "latency(flags=pipeline+element)", elements, folder.path());
    let traced = |kind: &str, element: &str| {
        let lines = trace.lines().filter(|line| line.contains(kind));
        lines.filter(|line| line.contains(&format!("element=(string){element}0,"))).count()
    };
    assert_eq!(traced(" latency,", "kvssrc"), FRAGMENTS * FRAMES, "{trace}");
    assert_eq!(traced(" element-latency,", "alawdec"), FRAGMENTS * FRAMES, "{trace}");
    assert!(!trace.contains("WARN"), "{trace}");
}
