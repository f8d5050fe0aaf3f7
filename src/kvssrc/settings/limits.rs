//! The properties that say how long is waited and how much is held.

use std::time::Duration;

use gst::glib;
use gst::prelude::*;

/// How long calls may fail in a row where a range has an end.
const RETRY_OF_RANGES: Duration = Duration::from_secs(300);

/// The properties as they were set.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    connect_timeout: u64,
    read_timeout: u64,
    idle_timeout: u64,
    retry_timeout: i64,
    /// 0: the playback mode decides.
    max_buffered_bytes: u32,
}

/// How much is read ahead of one connection, and of a range of the archive, in bytes.
const BUFFERED_LIVE: u32 = 4 << 20;
const BUFFERED_ON_DEMAND: u32 = 24 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self { connect_timeout: 5000, read_timeout: 30_000, idle_timeout: 0, retry_timeout: -1, max_buffered_bytes: 0 }
    }
}

/// How long a stream that brings nothing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While the service has nothing new; `None`: as long as the range says.
    pub idle: Option<Duration>,
    /// While calls fail; `None`: as long as the range says.
    pub retry: Option<Duration>,
}

impl Patience {
    /// How long calls may fail in a row; `None`: for ever, where the stream is followed for ever.
    pub fn for_failures(self, has_end: bool) -> Option<Duration> {
        self.retry.or_else(|| has_end.then_some(RETRY_OF_RANGES))
    }

    /// How long a fragment that is listed is asked for again, where the service does not find it. Never for ever: what is
    /// behind it waits.
    pub fn for_absence(self) -> Duration {
        self.retry.unwrap_or(RETRY_OF_RANGES)
    }
}

impl Limits {
    /// Their specifications.
    pub fn properties() -> Vec<glib::ParamSpec> {
        let milliseconds = |name: &'static str, nick: &'static str, blurb: &'static str, minimum, default| {
            glib::ParamSpecUInt64::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(minimum)
                .default_value(default)
                .mutable_ready()
                .build()
        };
        let default = Self::default();
        vec![
            milliseconds(
                "connect-timeout",
                "Connect timeout",
                "How long a connection may take to come about, in ms",
                1,
                default.connect_timeout,
            ),
            milliseconds(
                "read-timeout",
                "Read timeout",
                "How long the service may send nothing before the connection is made anew, in ms",
                1,
                default.read_timeout,
            ),
            milliseconds(
                "idle-timeout",
                "Idle timeout",
                "How long the stream may have no new fragment before that is its end, in ms (0 = for ever, or 10 s once \
                 end-timestamp has passed)",
                0,
                default.idle_timeout,
            ),
            glib::ParamSpecInt64::builder("retry-timeout")
                .nick("Retry timeout")
                .blurb(
                    "How long failing calls are tried again before the last error ends the stream, in ms (0 = not at \
                     all, -1 = for ever without end-timestamp, 5 minutes with it and on demand)",
                )
                .minimum(-1)
                .default_value(default.retry_timeout)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("max-buffered-bytes")
                .nick("Maximum buffered bytes")
                .blurb(
                    "How much is read ahead of a pipeline that is paused or slow, in bytes, over all connections (0 = \
                     4 MiB, and 24 MiB on demand)",
                )
                .default_value(default.max_buffered_bytes)
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets a property; `None` where it is none of these, `false` where the type is another.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<bool> {
        Some(match name {
            "connect-timeout" => value.get().map(|value| self.connect_timeout = value).is_ok(),
            "read-timeout" => value.get().map(|value| self.read_timeout = value).is_ok(),
            "idle-timeout" => value.get().map(|value| self.idle_timeout = value).is_ok(),
            "retry-timeout" => value.get().map(|value| self.retry_timeout = value).is_ok(),
            "max-buffered-bytes" => value.get().map(|value| self.max_buffered_bytes = value).is_ok(),
            _ => return None,
        })
    }

    /// The value of a property; `None` where it is none of these.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "connect-timeout" => self.connect_timeout.to_value(),
            "read-timeout" => self.read_timeout.to_value(),
            "idle-timeout" => self.idle_timeout.to_value(),
            "retry-timeout" => self.retry_timeout.to_value(),
            "max-buffered-bytes" => self.max_buffered_bytes.to_value(),
            _ => return None,
        })
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout)
    }

    pub fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout)
    }

    pub fn max_buffered_bytes(&self, on_demand: bool) -> usize {
        let bytes = match self.max_buffered_bytes {
            0 if on_demand => BUFFERED_ON_DEMAND,
            0 => BUFFERED_LIVE,
            bytes => bytes,
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub fn patience(&self) -> Patience {
        Patience {
            idle: (self.idle_timeout > 0).then_some(Duration::from_millis(self.idle_timeout)),
            retry: u64::try_from(self.retry_timeout).ok().map(Duration::from_millis),
        }
    }
}
