//! Downloads what a stream has stored, as MP4 or Matroska, into a file or into S3.
//!
//! ```text
//! cargo run --release --example download -- \
//!     --stream X --start 2026-01-05T10:00:00Z --end 2026-01-05T11:00:00Z --checkpoint X.checkpoint -o hour.mp4
//! ```
//!
//! A range that has a start and an end, and no checkpoint, is read from the archive over several connections, with an exact
//! percentage. Frames are copied as they are, from the keyframe on that the start lies behind, or encoded anew with
//! `--transcode`, from the start on. Ctrl-C leaves a file that plays, and says how to go on. Credentials, region and
//! endpoint come from where the AWS tools read them, or by `--set NAME=VALUE`.

mod arguments;
mod figures;
mod output;
mod pipeline;
mod progress;
mod time;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use gst::prelude::*;

use arguments::{Arguments, go_on, is_bounded};
use figures::{SharedFigures, lock, summary};
use output::remove_empty;
use pipeline::{pipeline, source};
use progress::Progress;
use time::{nanoseconds, rfc3339, since_1970};

/// How long a file may take to be finished once its end is known.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the figures.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(200);

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    gst::init()?;
    gstkvs::plugin_register_static()?;
    // Fixed, so that whoever goes on later gets the rest of the same.
    let end = arguments.end.get_or_insert_with(|| rfc3339(since_1970())).clone();

    let figures = SharedFigures::default();
    let source = source(&arguments, &end)?;
    let pipeline = pipeline(&arguments, &end, &source, &figures)?;
    let bus = pipeline.bus().context("a pipeline without bus")?;
    let interrupted = bus.clone();
    ctrlc::set_handler(move || {
        let message = gst::message::Application::new(gst::Structure::new_empty("interrupted"));
        // Fails only where the bus is being shut down already.
        let _ = interrupted.post(message);
    })?;

    let begin = Instant::now();
    // A source that cannot start tells why on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    let mut progress = Progress::new(is_bounded(&arguments, &end).then_some(source), nanoseconds(&end), begin);
    let ended = follow(&pipeline, &bus, &figures, &mut progress);
    drop(progress);
    pipeline.set_state(gst::State::Null)?;

    let figures = lock(&figures).clone();
    if figures.frames == 0 {
        remove_empty(&arguments.output);
        ended?;
        bail!("stopped before the first frame");
    }
    println!("{}: {}", arguments.output, summary(&figures, begin));
    let stopped = match ended {
        Ok(Ended::All) => return Ok(()),
        Ok(Ended::Interrupted) => None,
        Err(error) => Some(error),
    };
    eprintln!(
        "To go on behind it, beginning with the fragment that is cut at its end:\n  {}",
        go_on(&arguments, &figures)
    );
    stopped.map_or(Ok(()), Err)
}

/// How a download ended.
enum Ended {
    All,
    Interrupted,
}

/// Shows how far it is until it ends, and ends it when a user wants it to.
fn follow(
    pipeline: &gst::Pipeline,
    bus: &gst::Bus,
    figures: &SharedFigures,
    progress: &mut Progress,
) -> anyhow::Result<Ended> {
    // What ends it before its time, and until when its end is waited for.
    let mut stopping: Option<(Instant, anyhow::Result<Ended>)> = None;
    loop {
        let message = bus.timed_pop(TICK);
        let now = lock(figures).clone();
        progress.show(&now);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => {
                return stopping.map_or_else(
                    || {
                        progress.complete(&now);
                        Ok(Ended::All)
                    },
                    |(_, ended)| ended,
                );
            }
            Some(gst::MessageView::Error(error)) => {
                let source = error.src().map(|source| source.name().to_string()).unwrap_or_default();
                let error = anyhow::anyhow!("{}", error.error()).context(format!("{source} failed"));
                if now.frames == 0 || stopping.is_some() {
                    return Err(error);
                }
                // What came before is kept: whoever fails says that it ends, and the muxer finishes the file.
                pipeline.send_event(gst::event::Eos::new());
                stopping = Some((Instant::now() + PATIENCE, Err(error)));
            }
            Some(gst::MessageView::Warning(warning)) => progress.say(&format!("warning: {}", warning.error())),
            Some(gst::MessageView::Application(_)) if stopping.is_some() => {
                bail!("stopped at once: the file has no end")
            }
            Some(gst::MessageView::Application(_)) => {
                if now.frames == 0 {
                    return Ok(Ended::Interrupted);
                }
                progress.say("stopping; once more to stop at once");
                pipeline.send_event(gst::event::Eos::new());
                stopping = Some((Instant::now() + PATIENCE, Ok(Ended::Interrupted)));
            }
            _ => {}
        }
        if stopping.as_ref().is_some_and(|(until, _)| *until < Instant::now()) {
            bail!("the file could not be finished within {} s", PATIENCE.as_secs());
        }
    }
}
