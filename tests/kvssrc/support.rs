//! What the tests share: an emulator with a capture in it, pipelines run to their end, and what came out of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use gst::prelude::*;
use kvs_emulator::Emulator;

/// A pipeline that says nothing for so long hangs.
pub const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

pub const STREAM: &str = "demo";

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstkvs::plugin_register_static().unwrap();
    });
}

/// An emulator whose bodies end at the head of the stream.
pub fn emulator() -> Emulator {
    init();
    Emulator::builder().end_at_head(true).start().unwrap()
}

/// An emulator that has one of the captures as its stream; `None` where the captures are not at hand.
pub fn emulator_with_capture(name: &str) -> Option<Emulator> {
    let capture = capture(name)?;
    let emulator = emulator();
    emulator.import_file(STREAM, &capture).unwrap();
    Some(emulator)
}

/// An emulator that answers GetMedia with just these bytes.
pub fn emulator_with_body(body: impl Into<bytes::Bytes>) -> Emulator {
    let emulator = emulator();
    emulator.serve_verbatim(STREAM, body).unwrap();
    emulator
}

/// A capture by its name; says so where it is missing.
pub fn capture(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KVS_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        eprintln!("SKIPPED: this test needs the capture {name}; set KVS_CAPTURES to the folder that holds it");
        return None;
    }
    Some(path)
}

/// A moment after all that the tests' streams hold, and before now.
pub const END: &str = "end-timestamp=2026-01-06T00:00:00Z";

/// kvssrc with all it needs to read the emulator's stream from its beginning to its end.
pub fn source(emulator: &Emulator) -> String {
    format!("{} start-selector=earliest {END}", source_for_ever(emulator))
}

/// The same, giving up at the first failure.
pub fn source_without_patience(emulator: &Emulator) -> String {
    format!("{} retry-timeout=0", source(emulator))
}

/// kvssrc with all it needs to follow the emulator's stream.
pub fn source_for_ever(emulator: &Emulator) -> String {
    format!(
        "kvssrc name=source stream={STREAM} aws-region={} endpoint-url={} access-key={} secret-key={}",
        emulator.region(),
        emulator.url(),
        emulator.access_key(),
        emulator.secret_key()
    )
}

/// One buffer as an application sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub pts: Option<u64>,
    pub dts: Option<u64>,
    pub duration: Option<u64>,
    pub flags: gst::BufferFlags,
    pub captured: Option<u64>,
    pub bytes: Vec<u8>,
    pub caps: gst::Caps,
}

/// What a pipeline said and pushed until its end.
#[derive(Debug, Default)]
pub struct Outcome {
    pub frames: Vec<Frame>,
    pub caps: Vec<gst::Caps>,
    pub error: Option<(gst::glib::Error, String)>,
    pub warnings: Vec<(gst::glib::Error, String)>,
}

impl Outcome {
    /// The outcome of a pipeline that must have ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        self
    }

    /// The error that must have come, with its debug string.
    #[track_caller]
    pub fn failed<T: gst::glib::error::ErrorDomain + PartialEq + std::fmt::Debug>(&self, kind: T) -> String {
        let (error, debug) = self.error.as_ref().expect("an error message");
        assert_eq!(error.kind::<T>(), Some(kind), "{error}: {debug}");
        format!("{error}\n{debug}")
    }

    pub fn pts_ms(&self) -> Vec<u64> {
        self.frames.iter().filter_map(|frame| frame.pts).map(|pts| pts / 1_000_000).collect()
    }

    pub fn payloads(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|frame| frame.bytes.as_slice()).collect()
    }
}

/// A pipeline that is stopped also where a test fails: one that is dropped while it plays takes the others with it.
pub struct Pipeline(pub gst::Pipeline);

impl Pipeline {
    pub fn new(description: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(description).unwrap_or_else(|error| panic!("{description}: {error}"));
        Self(pipeline.downcast().unwrap())
    }

    /// Begins to play. A source that fails at once fails the state change; the bus tells why.
    pub fn play(&self) {
        let _ = self.0.set_state(gst::State::Playing);
    }

    /// The appsink `sink`, that takes only these caps.
    pub fn sink(&self, caps: &str) -> gst_app::AppSink {
        let sink = self.0.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        sink.set_caps(Some(&caps.parse().unwrap()));
        sink
    }
}

impl std::ops::Deref for Pipeline {
    type Target = gst::Pipeline;

    fn deref(&self) -> &gst::Pipeline {
        &self.0
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// Runs `DESCRIPTION ! appsink`, whose sink takes only `caps`, until the end of the stream or an error.
#[must_use = "it may have failed"]
pub fn run(description: &str, caps: &str) -> Outcome {
    let pipeline = Pipeline::new(&format!("{description} ! appsink name=sink sync=false"));
    let sink = pipeline.sink(caps);
    sink.set_property("max-buffers", 0_u32);

    let seen = Arc::new(Mutex::new(Outcome::default()));
    let pad = sink.static_pad("sink").unwrap();
    let outcome = Arc::clone(&seen);
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Caps(caps) = event.view()
        {
            outcome.lock().unwrap().caps.push(caps.caps_owned());
        }
        gst::PadProbeReturn::Ok
    });
    let outcome = Arc::clone(&seen);
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                outcome.lock().unwrap().frames.push(frame(&sample));
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );

    pipeline.play();
    wait_for_end(&pipeline, &seen);
    drop(pipeline);
    std::mem::take(&mut seen.lock().unwrap())
}

fn wait_for_end(pipeline: &gst::Pipeline, outcome: &Mutex<Outcome>) {
    let bus = pipeline.bus().unwrap();
    loop {
        let types = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Warning];
        let message = bus.timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
        let debug = |text: Option<gst::glib::GString>| text.map(String::from).unwrap_or_default();
        match message.view() {
            gst::MessageView::Error(error) => {
                outcome.lock().unwrap().error = Some((error.error(), debug(error.debug())));
                return;
            }
            gst::MessageView::Warning(warning) => {
                outcome.lock().unwrap().warnings.push((warning.error(), debug(warning.debug())));
            }
            _ => return,
        }
    }
}

fn frame(sample: &gst::Sample) -> Frame {
    let buffer = sample.buffer().unwrap();
    Frame {
        pts: buffer.pts().map(gst::ClockTime::nseconds),
        dts: buffer.dts().map(gst::ClockTime::nseconds),
        duration: buffer.duration().map(gst::ClockTime::nseconds),
        flags: buffer.flags(),
        captured: buffer.meta::<gst::ReferenceTimestampMeta>().map(|meta| {
            assert_eq!(meta.reference().structure(0).unwrap().name(), "timestamp/x-unix");
            meta.timestamp().nseconds()
        }),
        bytes: buffer.map_readable().unwrap().to_vec(),
        caps: sample.caps().unwrap().to_owned(),
    }
}

/// Runs a description to its end, with no one looking at its buffers.
#[must_use = "it may have failed"]
pub fn run_to_end(description: &str) -> Outcome {
    let pipeline = Pipeline::new(description);
    let outcome = Mutex::new(Outcome::default());
    pipeline.play();
    wait_for_end(&pipeline, &outcome);
    outcome.into_inner().unwrap()
}

/// A command with the environment in which a user's gst-launch finds plugin, emulator and credentials.
pub fn command(program: &str, emulator: &Emulator) -> Command {
    let mut command = Command::new(program);
    command
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("GST_REGISTRY", Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry.bin"))
        .env("AWS_ENDPOINT_URL", emulator.url())
        .env("AWS_REGION", emulator.region())
        .env("AWS_ACCESS_KEY_ID", emulator.access_key())
        .env("AWS_SECRET_ACCESS_KEY", emulator.secret_key())
        .env_remove("AWS_SESSION_TOKEN");
    command
}

/// Runs a command, which must succeed, and gives what it printed to standard output and error.
#[track_caller]
pub fn printed(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    (stdout, stderr)
}

/// A folder with nothing in it but the plugin that was built with this test.
fn plugin_folder() -> PathBuf {
    static ONCE: Once = Once::new();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
    ONCE.call_once(|| {
        let built = std::env::current_exe().unwrap().with_file_name("libgstkvs.so");
        assert!(built.exists(), "{} is missing", built.display());
        std::fs::create_dir_all(&folder).unwrap();
        // Linked beside and renamed, so that no other process sees the folder without it.
        let link = folder.join("libgstkvs.so");
        let fresh = folder.join(format!("fresh-{}", std::process::id()));
        std::os::unix::fs::symlink(&built, &fresh).unwrap();
        std::fs::rename(&fresh, &link).unwrap();
    });
    folder
}

/// Waits until the condition holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from(PATIENCE);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
