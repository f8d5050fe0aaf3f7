//! What application and downstream are told of a reading while it goes on.

use std::fmt;
use std::time::Duration;

use super::KvsSrc;
use super::progress::Report;
use super::statistics::Counts;
use crate::fragment::{Dropped, FragmentNumber, UnixTime};
use crate::output::LeftOut;

/// How far the times of frames and fragments, in ns, may be from the true ones: each is rounded to ms.
const ROUNDING: i64 = 2_000_000;

/// Something to know beside the media.
#[derive(Debug)]
pub enum Notice {
    /// A call begins: the so-manieth since anything new came.
    Connecting { attempt: u32 },
    /// The service has agreed to the call.
    Connected,
    /// The connection is over, and another one begins after the delay.
    Reconnecting { reason: String, delay: Duration },
    /// Credentials could not be renewed; those that are held are good until they expire.
    Unrenewed { reason: String, expiration: Option<UnixTime> },
    /// Frames are missing between two moments of the producer's clock, in ns since 1970.
    Missing { from: Option<i64>, to: i64 },
    /// A fragment of the archive cannot be had: its frames, between two moments in ms since 1970, are missing.
    Gone { number: FragmentNumber, from: i64, to: i64, reason: String },
    /// The header of a fragment does not describe what downstream takes.
    LeftOut { number: Option<FragmentNumber>, reason: String },
    /// Nothing is stored in the range that was asked for.
    Nothing,
    /// All of a range has been read: what has become of its fragments.
    Archive(Counts),
    /// Frames that came before under another fragment number were dropped.
    Dropped(Dropped),
    /// Presentation times have changed by so many ns against the producer's clock: negative where it was fast.
    Corrected { correction: i64 },
    /// The Matroska that goes out has no place for a track.
    TrackLeftOut(LeftOut),
    /// A stream without fragment numbers was cut: nothing can go on with it.
    Cut { reason: String },
    /// A step that may take a while has begun, goes on, or is over.
    Progress(Report),
    /// A fragment is whole: the structure of `kvs-fragment`.
    Fragment(gst::Structure),
    /// What is true of the stream from here on.
    Tags(gst::TagList),
    /// How long the stream lasts is known, or has changed.
    Duration,
    /// The first frame of all is there, so long after the start; captured at so many ns since 1970.
    FirstFrame { time: Duration, captured: i64 },
}

impl Notice {
    /// Frames are missing between two moments of the producer's clock, in ns since 1970, if there is any time between them.
    pub fn missing(from: Option<i64>, to: i64) -> Option<Self> {
        from.is_none_or(|from| to.saturating_sub(from) > ROUNDING).then_some(Self::Missing { from, to })
    }

    /// For the application's bus, unless it is a warning or nothing for an application. The element messages:
    ///
    /// - `kvs-connection`: `state` (connecting, connected or reconnecting), `attempt` (1 for the first call since anything
    ///   new came), `reason`, and `delay` until the next call, in ns.
    /// - `kvs-credentials`: they could not be renewed for `reason`, which is tried again; those that are held are good
    ///   until `expiration`, in ns since 1970, where that is known.
    /// - `kvs-drift`: `correction`, in ns, of presentation times against the producer's clock.
    /// - `kvs-archive`: how many fragments of a range were `listed`, `delivered`, `missing`, and `duplicates` of others.
    /// - `kvs-track`: a `track` (its number) with this `name` and `codec-id` is left out, since the Matroska document that
    ///   goes out has no place for it.
    /// - `kvs-fragment`: see [`KvsSrc`].
    pub fn message(&self, source: &KvsSrc) -> Option<gst::Message> {
        let connection = gst::Structure::builder("kvs-connection");
        let structure = match self {
            Self::Connecting { attempt } => connection.field("state", "connecting").field("attempt", attempt).build(),
            Self::Connected => connection.field("state", "connected").build(),
            Self::Reconnecting { reason, delay } => connection
                .field("state", "reconnecting")
                .field("reason", reason)
                .field("delay", u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
                .build(),
            Self::Unrenewed { reason, expiration } => gst::Structure::builder("kvs-credentials")
                .field("reason", reason)
                .field_if_some("expiration", expiration.map(UnixTime::nanoseconds))
                .build(),
            Self::Corrected { correction } => {
                gst::Structure::builder("kvs-drift").field("correction", correction).build()
            }
            Self::Archive(Counts { listed, delivered, missing, duplicates }) => gst::Structure::builder("kvs-archive")
                .field("listed", listed)
                .field("delivered", delivered)
                .field("missing", missing)
                .field("duplicates", duplicates)
                .build(),
            Self::TrackLeftOut(LeftOut { number, name, codec_id }) => gst::Structure::builder("kvs-track")
                .field("track", number)
                .field_if_some("name", name.as_ref())
                .field("codec-id", codec_id)
                .build(),
            Self::Fragment(structure) => structure.clone(),
            Self::Progress(Report { type_, code, text }) => {
                return Some(gst::message::Progress::builder(*type_, code, text).src(source).build());
            }
            Self::Duration => return Some(gst::message::DurationChanged::builder().src(source).build()),
            Self::Missing { .. }
            | Self::Gone { .. }
            | Self::LeftOut { .. }
            | Self::Nothing
            | Self::Cut { .. }
            | Self::Dropped(_)
            | Self::Tags(_)
            | Self::FirstFrame { .. } => return None,
        };
        Some(gst::message::Element::builder(structure).src(source).build())
    }

    /// For downstream, in order with the buffers.
    pub fn event(&self) -> Option<gst::Event> {
        match self {
            Self::Fragment(structure) => Some(gst::event::CustomDownstream::new(structure.clone())),
            Self::Tags(tags) => Some(gst::event::Tag::new(tags.clone())),
            _ => None,
        }
    }

    /// For the application as a warning: what is wrong, and why.
    pub fn warning(&self) -> Option<(String, &str)> {
        match self {
            Self::Missing { .. } => Some((format!("{self}."), "")),
            Self::Nothing => Some((
                format!("{self}."),
                "A stream keeps what it gets for as long as its data retention says: not at all where that is 0 hours. \
                 Else, is the offset from UTC right, and the clock that fragment-selector names?",
            )),
            Self::Cut { reason } | Self::Gone { reason, .. } | Self::LeftOut { reason, .. } => {
                Some((format!("{self}."), reason))
            }
            _ => None,
        }
    }

    /// At which level it stands in the log. The connections' story is told at INFO; fragments have their own lines.
    pub fn level(&self) -> Option<gst::DebugLevel> {
        match self {
            Self::Fragment(_) => None,
            Self::Progress(_) | Self::Tags(_) | Self::Duration => Some(gst::DebugLevel::Debug),
            Self::Unrenewed { .. } | Self::TrackLeftOut(_) => Some(gst::DebugLevel::Warning),
            _ => Some(gst::DebugLevel::Info),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { attempt } => write!(formatter, "Connecting, attempt {attempt}"),
            Self::Connected => write!(formatter, "Connected"),
            Self::Reconnecting { reason, delay } => write!(formatter, "Reconnecting in {delay:?}: {reason}"),
            Self::Unrenewed { reason, expiration: Some(expiration) } => {
                write!(formatter, "Credentials that expire at {expiration} could not be renewed: {reason}")
            }
            Self::Unrenewed { reason, expiration: None } => {
                write!(formatter, "Credentials could not be renewed: {reason}")
            }
            Self::Corrected { correction } => {
                let (way, by) = if *correction < 0 { ("fast", "earlier") } else { ("slow", "later") };
                let amount = Duration::from_nanos(correction.unsigned_abs());
                write!(formatter, "The producer's clock is {way}: frames are presented {amount:?} {by} from here on")
            }
            Self::Missing { from: Some(from), to } => {
                write!(formatter, "Frames are missing from {} to {}", Moment(*from), Moment(*to))
            }
            Self::Missing { from: None, to } => write!(formatter, "Frames are missing before {}", Moment(*to)),
            Self::Gone { number, from, to, .. } => {
                let moment = |ms: i64| Moment(ms.saturating_mul(1_000_000));
                write!(formatter, "Fragment {number} is missing, from {} to {}", moment(*from), moment(*to))
            }
            Self::LeftOut { number: Some(number), .. } => {
                write!(formatter, "Fragment {number} is left out: its header does not describe what downstream takes")
            }
            Self::LeftOut { number: None, .. } => {
                write!(formatter, "A fragment is left out: its header does not describe what downstream takes")
            }
            Self::Nothing => write!(formatter, "The stream has nothing stored in this range"),
            Self::Archive(Counts { listed, delivered, missing, duplicates }) => {
                write!(
                    formatter,
                    "Of {listed} fragments listed, {delivered} came, {missing} are missing and {duplicates} are copies"
                )
            }
            Self::Dropped(dropped) => write!(formatter, "{dropped}"),
            Self::TrackLeftOut(LeftOut { number, name, codec_id }) => {
                let name = name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
                write!(
                    formatter,
                    "Track {number}{name} ({codec_id}) is left out: the Matroska document has no place for it"
                )
            }
            Self::Cut { .. } => write!(formatter, "The connection ended in the middle of the stream's data"),
            Self::Progress(Report { text, .. }) => formatter.write_str(text),
            Self::Fragment(structure) => write!(formatter, "{structure}"),
            Self::Tags(tags) => write!(formatter, "From here on: {tags}"),
            Self::Duration => write!(formatter, "The duration has changed"),
            Self::FirstFrame { time, captured } => {
                write!(formatter, "First frame after {time:?}, captured at {}", Moment(*captured))
            }
        }
    }
}

/// A capture time as a person reads it.
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UnixTime::from_nanoseconds(self.0) {
            Some(time) => write!(formatter, "{time}"),
            None => write!(formatter, "{} ns", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_where_time_is_missing() {
        const SECOND: i64 = 1_000_000_000;
        let told = |from, to| Notice::missing(from, to).map(|notice| notice.to_string());
        let text = told(Some(SECOND), 3 * SECOND).unwrap();
        assert_eq!(text, "Frames are missing from 1970-01-01T00:00:01Z to 1970-01-01T00:00:03Z");
        assert_eq!(told(None, SECOND).unwrap(), "Frames are missing before 1970-01-01T00:00:01Z");
        for to in [SECOND, SECOND + 1_000_000, 0, i64::MIN] {
            assert_eq!(told(Some(SECOND), to), None, "{to}");
        }
    }
}
