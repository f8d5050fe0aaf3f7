//! The properties that say when frames are shown.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;

use crate::fragment::TimestampMode;

/// The part of the latency, in quarters, after which clocks are brought together again: the rest is for frames that are
/// late for other reasons.
const DRIFT_QUARTERS: u64 = 3;

/// Clocks may always part so far, in ns: frames of a fragment do not come evenly.
const LEAST_DRIFT: u64 = 100_000_000;

/// Whose clock frames are timed by, as the property spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKvsSrcTimestampMode")]
pub enum TimestampModeType {
    #[default]
    #[enum_value(name = "When the producer captured them", nick = "producer")]
    Producer,
    #[enum_value(name = "When the service received their fragment", nick = "server")]
    Server,
    #[enum_value(name = "When the producer captured them, with the gaps between fragments closed", nick = "contiguous")]
    Contiguous,
}

impl From<TimestampModeType> for TimestampMode {
    fn from(mode: TimestampModeType) -> Self {
        match mode {
            TimestampModeType::Producer => Self::Producer,
            TimestampModeType::Server => Self::Server,
            TimestampModeType::Contiguous => Self::Contiguous,
        }
    }
}

/// A reading of what is being made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// How much later than they come frames are shown.
    pub latency: Duration,
}

impl Live {
    /// How far the clocks of producer and pipeline may part, in ns.
    pub fn drift_limit(self) -> i64 {
        let latency = u64::try_from(self.latency.as_nanos()).unwrap_or(u64::MAX);
        i64::try_from((latency / 4).saturating_mul(DRIFT_QUARTERS).max(LEAST_DRIFT)).unwrap_or(i64::MAX)
    }
}

/// The properties as they were set.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// Unless it was set, other properties decide.
    pub is_live: Option<bool>,
    latency: u32,
    timestamp_mode: TimestampModeType,
}

impl Default for Timing {
    fn default() -> Self {
        Self { is_live: None, latency: 2000, timestamp_mode: TimestampModeType::default() }
    }
}

impl Timing {
    /// Their specifications.
    pub fn properties() -> Vec<glib::ParamSpec> {
        let default = Self::default();
        vec![
            glib::ParamSpecBoolean::builder("is-live")
                .nick("Is live")
                .blurb(
                    "Whether frames are timed by when they come, in a pipeline that does not wait for them (default: \
                     true with start-selector=now and neither end-timestamp nor checkpoint-location)",
                )
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("latency")
                .nick("Latency")
                .blurb("How much later than they come the frames of a live stream are shown, in ms")
                .default_value(default.latency)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("timestamp-mode", default.timestamp_mode)
                .nick("Timestamp mode")
                .blurb("Whose clock the distances between frames are taken from")
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets a property; `None` where it is none of these, `false` where the type is another.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<bool> {
        Some(match name {
            "is-live" => value.get().map(|value| self.is_live = Some(value)).is_ok(),
            "latency" => value.get().map(|value| self.latency = value).is_ok(),
            "timestamp-mode" => value.get().map(|value| self.timestamp_mode = value).is_ok(),
            _ => return None,
        })
    }

    /// The value of a property, other than `is-live`; `None` where it is none of these.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "latency" => self.latency.to_value(),
            "timestamp-mode" => self.timestamp_mode.to_value(),
            _ => return None,
        })
    }

    pub fn live(&self) -> Live {
        Live { latency: Duration::from_millis(self.latency.into()) }
    }

    pub fn mode(&self) -> TimestampMode {
        self.timestamp_mode.into()
    }
}
