//! The properties that say how the archive is read.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;

use super::SettingsError;
use crate::aws::StartSelector;
use crate::fragment::{Clock, UnixTime};

/// What the stream is to GStreamer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKvsSrcPlaybackMode")]
pub enum PlaybackMode {
    #[default]
    #[enum_value(name = "What comes, and goes on coming, of GetMedia", nick = "live")]
    Live,
    #[enum_value(name = "A range of the archive, of known length", nick = "on-demand")]
    OnDemand,
}

/// The clock that a range of the archive is meant on, as the property spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKvsSrcFragmentSelector")]
pub enum FragmentSelectorType {
    #[default]
    #[enum_value(name = "When the producer captured them", nick = "producer")]
    Producer,
    #[enum_value(name = "When the service received them", nick = "server")]
    Server,
}

/// What a fragment that cannot be had means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKvsSrcOnMissing")]
pub enum OnMissing {
    #[default]
    #[enum_value(name = "A warning, and a gap", nick = "warn")]
    Warn,
    #[enum_value(name = "An error", nick = "fail")]
    Fail,
}

/// A range of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDemand {
    pub clock: Clock,
    /// `None`: from the earliest fragment on.
    pub start: Option<UnixTime>,
    /// The first moment that is not wanted any more.
    pub end: UnixTime,
    pub connections: usize,
    /// Whether a fragment that cannot be had is an error.
    pub fails_on_missing: bool,
}

/// The archive behind a stream that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoingBack {
    /// How far behind the first frame one can go.
    pub window: Duration,
    pub connections: usize,
    /// Whether a fragment that cannot be had is an error.
    pub fails_on_missing: bool,
}

/// The properties as they were set.
#[derive(Clone, Debug)]
pub(super) struct ArchiveProperties {
    mode: PlaybackMode,
    selector: FragmentSelectorType,
    on_missing: OnMissing,
    connections: u32,
    dvr_window: u32,
}

impl Default for ArchiveProperties {
    fn default() -> Self {
        Self {
            mode: PlaybackMode::default(),
            selector: FragmentSelectorType::default(),
            on_missing: OnMissing::default(),
            connections: 3,
            dvr_window: 0,
        }
    }
}

impl ArchiveProperties {
    /// Their specifications.
    pub fn properties() -> Vec<glib::ParamSpec> {
        let default = Self::default();
        vec![
            glib::ParamSpecEnum::builder_with_default("playback-mode", default.mode)
                .nick("Playback mode")
                .blurb(
                    "Whether to follow the stream, or to read a range of its archive, which has a duration and can be \
                     sought in: from start-timestamp, or the earliest fragment, to end-timestamp, or the present",
                )
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("connections")
                .nick("Connections")
                .blurb("How many connections read the archive at once; the service allows a stream 5")
                .minimum(1)
                .maximum(5)
                .default_value(default.connections)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("fragment-selector", default.selector)
                .nick("Fragment selector")
                .blurb("The clock that a range of the archive is meant on")
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("on-missing", default.on_missing)
                .nick("On missing")
                .blurb("What a fragment of the archive means that was listed and cannot be had")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("dvr-window")
                .nick("DVR window")
                .blurb(
                    "How far one can go back behind the first frame of a stream that is followed, in ms: the stream time \
                     of that frame",
                )
                .default_value(default.dvr_window)
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets a property; `None` where it is none of these, `false` where the type is another.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<bool> {
        Some(match name {
            "playback-mode" => value.get().map(|value| self.mode = value).is_ok(),
            "connections" => value.get().map(|value| self.connections = value).is_ok(),
            "fragment-selector" => value.get().map(|value| self.selector = value).is_ok(),
            "on-missing" => value.get().map(|value| self.on_missing = value).is_ok(),
            "dvr-window" => value.get().map(|value| self.dvr_window = value).is_ok(),
            _ => return None,
        })
    }

    /// The value of a property; `None` where it is none of these.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "playback-mode" => self.mode.to_value(),
            "connections" => self.connections.to_value(),
            "fragment-selector" => self.selector.to_value(),
            "on-missing" => self.on_missing.to_value(),
            "dvr-window" => self.dvr_window.to_value(),
            _ => return None,
        })
    }

    pub fn is_on_demand(&self) -> bool {
        self.mode == PlaybackMode::OnDemand
    }

    /// The range that is asked for; `None` where the stream is followed.
    ///
    /// # Errors
    ///
    /// It has no beginning, or lies ahead.
    pub fn on_demand(&self, start: &StartSelector, end: Option<UnixTime>) -> Result<Option<OnDemand>, SettingsError> {
        if !self.is_on_demand() {
            return Ok(None);
        }
        let (start, clock) = match start {
            StartSelector::Earliest => (None, Clock::Producer),
            StartSelector::ProducerTimestamp(start) => (Some(*start), Clock::Producer),
            StartSelector::ServerTimestamp(start) => (Some(*start), Clock::Server),
            _ => return Err(SettingsError::NoRange),
        };
        let clock = if self.selector == FragmentSelectorType::Server { Clock::Server } else { clock };
        let end = end.or_else(UnixTime::now).ok_or(SettingsError::NoRange)?;
        if let Some(start) = start.filter(|start| *start >= end) {
            return Err(SettingsError::Backwards { start, end });
        }
        let GoingBack { connections, fails_on_missing, .. } = self.going_back();
        Ok(Some(OnDemand { clock, start, end, connections, fails_on_missing }))
    }

    /// How one can go back in a stream that is followed.
    pub fn going_back(&self) -> GoingBack {
        GoingBack {
            window: Duration::from_millis(self.dvr_window.into()),
            connections: usize::try_from(self.connections).unwrap_or(1),
            fails_on_missing: self.on_missing == OnMissing::Fail,
        }
    }
}
