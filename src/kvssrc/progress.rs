//! The steps of a call that may take a while, as GStreamer's progress messages.

use std::fmt::Display;
use std::time::Duration;

use gst::ProgressType;

use crate::aws::Stage;

/// One progress message.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub type_: ProgressType,
    /// `credentials`, `endpoint` or `connect`.
    pub code: &'static str,
    pub text: String,
}

/// Which steps are under way. Each of them starts once, goes on while it is tried again, and is completed, fails or is
/// cancelled once.
#[derive(Debug, Default)]
pub struct Progress {
    under_way: Vec<Stage>,
}

impl Progress {
    /// The call has come to this step.
    pub fn begin(&mut self, stage: Stage) -> Vec<Report> {
        let mut reports = Vec::new();
        self.under_way.retain(|before| {
            let over = *before < stage;
            if over {
                reports.push(report(ProgressType::Complete, *before, done(*before)));
            }
            !over
        });
        if self.under_way.contains(&stage) {
            reports.push(report(ProgressType::Continue, stage, doing(stage)));
        } else {
            self.under_way.push(stage);
            reports.push(report(ProgressType::Start, stage, doing(stage)));
        }
        reports
    }

    /// The call has come through.
    pub fn complete(&mut self) -> Vec<Report> {
        self.end(ProgressType::Complete, |stage| done(stage).to_owned())
    }

    /// The call has failed, and another one follows.
    pub fn retry(&self, reason: impl Display, delay: Duration) -> Option<Report> {
        let stage = self.under_way.iter().max()?;
        Some(report(ProgressType::Continue, *stage, format!("Once more in {} ms: {reason}", delay.as_millis())))
    }

    /// The call has failed for good.
    pub fn fail(&mut self, reason: impl Display) -> Vec<Report> {
        self.end(ProgressType::Error, |_| reason.to_string())
    }

    /// Nobody waits for the call any more.
    pub fn cancel(&mut self) -> Vec<Report> {
        self.end(ProgressType::Canceled, |_| "Cancelled".to_owned())
    }

    fn end(&mut self, type_: ProgressType, text: impl Fn(Stage) -> String) -> Vec<Report> {
        self.under_way.drain(..).map(|stage| report(type_, stage, text(stage))).collect()
    }
}

fn report(type_: ProgressType, stage: Stage, text: impl Into<String>) -> Report {
    let code = match stage {
        Stage::Credentials => "credentials",
        Stage::Endpoint => "endpoint",
        Stage::Connection => "connect",
    };
    Report { type_, code, text: text.into() }
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Credentials => "Getting credentials",
        Stage::Endpoint => "Asking for the stream's data endpoint",
        Stage::Connection => "Connecting to the stream",
    }
}

fn done(stage: Stage) -> &'static str {
    match stage {
        Stage::Credentials => "Got credentials",
        Stage::Endpoint => "Got the stream's data endpoint",
        Stage::Connection => "Connected to the stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reports: impl IntoIterator<Item = Report>) -> Vec<(ProgressType, &'static str)> {
        reports.into_iter().map(|report| (report.type_, report.code)).collect()
    }

    #[test]
    fn each_step_starts_and_ends_once_whatever_fails_in_between() {
        use ProgressType::{Complete, Continue, Start};
        let mut progress = Progress::default();
        assert_eq!(told(progress.begin(Stage::Credentials)), [(Start, "credentials")]);
        assert_eq!(told(progress.begin(Stage::Endpoint)), [(Complete, "credentials"), (Start, "endpoint")]);
        assert_eq!(told(progress.retry("no route", Duration::ZERO)), [(Continue, "endpoint")]);
        assert_eq!(told(progress.begin(Stage::Endpoint)), [(Continue, "endpoint")]);
        assert_eq!(told(progress.begin(Stage::Connection)), [(Complete, "endpoint"), (Start, "connect")]);
        assert_eq!(told(progress.retry("throttled", Duration::ZERO)), [(Continue, "connect")]);
        // The endpoint may be another one now.
        assert_eq!(told(progress.begin(Stage::Endpoint)), [(Start, "endpoint")]);
        assert_eq!(told(progress.begin(Stage::Connection)), [(Complete, "endpoint"), (Continue, "connect")]);
        assert_eq!(told(progress.complete()), [(Complete, "connect")]);
        assert_eq!(progress.retry("cut", Duration::ZERO), None);
        assert!(progress.fail("cut").is_empty() && progress.cancel().is_empty());
    }

    #[test]
    fn what_is_under_way_fails_or_is_cancelled() {
        let mut progress = Progress::default();
        progress.begin(Stage::Connection);
        let [report] = progress.fail("no such stream").try_into().unwrap();
        assert_eq!((report.type_, report.text.as_str()), (ProgressType::Error, "no such stream"));
        progress.begin(Stage::Credentials);
        assert_eq!(told(progress.cancel()), [(ProgressType::Canceled, "credentials")]);
        assert!(progress.complete().is_empty());
    }
}
