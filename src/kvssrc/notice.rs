//! What the application is told of a reading while it goes on.

use std::fmt;
use std::time::Duration;

/// Something that an application may want to know.
#[derive(Debug)]
pub enum Notice {
    /// A call begins: the so-manieth since anything new came.
    Connecting { attempt: u32 },
    /// The service has agreed to the call.
    Connected,
    /// The connection is over, and another one begins after the delay.
    Reconnecting { reason: String, delay: Duration },
    /// Frames are missing between two moments of the producer's clock, in ns since 1970.
    Missing { from: Option<i64>, to: i64 },
    /// Presentation times have changed by so many ns against the producer's clock: negative where it was fast.
    Corrected { correction: i64 },
    /// A stream without fragment numbers was cut: nothing can go on with it.
    Cut { reason: String },
}

impl Notice {
    /// As an element message, where it is no warning. `kvs-connection`: `state` (connecting, connected or
    /// reconnecting), `attempt` (1 for the first call since anything new came), `reason`, and `delay` until the next
    /// call, in ns. `kvs-drift`: `correction`, in ns, of presentation times against the producer's clock.
    pub fn message(&self) -> Option<gst::Structure> {
        let message = gst::Structure::builder("kvs-connection");
        Some(match self {
            Self::Connecting { attempt } => message.field("state", "connecting").field("attempt", attempt).build(),
            Self::Connected => message.field("state", "connected").build(),
            Self::Reconnecting { reason, delay } => message
                .field("state", "reconnecting")
                .field("reason", reason)
                .field("delay", u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
                .build(),
            Self::Corrected { correction } => {
                gst::Structure::builder("kvs-drift").field("correction", correction).build()
            }
            Self::Missing { .. } | Self::Cut { .. } => return None,
        })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { attempt } => write!(formatter, "Connecting, attempt {attempt}"),
            Self::Connected => write!(formatter, "Connected"),
            Self::Reconnecting { reason, delay } => write!(formatter, "Reconnecting in {delay:?}: {reason}"),
            Self::Corrected { correction } => {
                let (way, by) = if *correction < 0 { ("fast", "earlier") } else { ("slow", "later") };
                let amount = Duration::from_nanos(correction.unsigned_abs());
                write!(formatter, "The producer's clock is {way}: frames are presented {amount:?} {by} from here on")
            }
            Self::Missing { from: Some(from), to } => {
                write!(formatter, "Frames are missing from {} to {}", Moment(*from), Moment(*to))
            }
            Self::Missing { from: None, to } => write!(formatter, "Frames are missing before {}", Moment(*to)),
            Self::Cut { .. } => write!(formatter, "The connection ended in the middle of the stream's data"),
        }
    }
}

/// A capture time as a person reads it.
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match crate::fragment::UnixTime::from_nanoseconds(self.0) {
            Some(time) => write!(formatter, "{time}"),
            None => write!(formatter, "{} ns", self.0),
        }
    }
}
