//! The element's properties, and what they mean together.

mod archive;
mod credentials;
mod limits;
mod timing;
mod tracks;
mod uri;

use std::path::Path;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use self::archive::ArchiveProperties;
use self::credentials::{CredentialProperties, CredentialSettingsError};
use self::limits::Limits;
use self::timing::Timing;
use self::tracks::TrackProperties;
use super::checkpoint::Checkpoint;
use super::statistics::Statistics;
use crate::aws::{Authorities, InvalidAuthorities, InvalidStream, Request, StartSelector, Stream};
use crate::fragment::{Clock, FragmentNumber, InvalidTime, Range, TimestampMode, UnixTime};
use crate::output::{OnNewTrack, TrackCaps, TrackSelector};

#[cfg(feature = "doc")]
pub use self::archive::{FragmentSelectorType, OnMissing, PlaybackMode};
pub use self::archive::{GoingBack, OnDemand};
pub use self::limits::Patience;
pub use self::timing::Live;
#[cfg(feature = "doc")]
pub use self::timing::TimestampModeType;
#[cfg(feature = "doc")]
pub use self::tracks::OnNewTrackType;
pub use self::uri::{InvalidUri, PROTOCOL};

/// Where to begin, as the property spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKvsSrcStartSelector")]
pub enum StartSelectorType {
    #[default]
    #[enum_value(name = "The newest fragment", nick = "now")]
    Now,
    #[enum_value(name = "The oldest fragment that is still stored", nick = "earliest")]
    Earliest,
    #[enum_value(name = "The fragment that holds start-timestamp on the producer's clock", nick = "producer-timestamp")]
    ProducerTimestamp,
    #[enum_value(name = "The fragment that holds start-timestamp on the service's clock", nick = "server-timestamp")]
    ServerTimestamp,
    #[enum_value(name = "The fragment after after-fragment-number", nick = "fragment-number")]
    FragmentNumber,
    #[enum_value(name = "Where continuation-token says", nick = "continuation-token")]
    ContinuationToken,
}

/// The properties as they were set; no `Debug`, since some are secret.
#[derive(Clone, Default)]
pub struct Settings {
    stream: Option<String>,
    aws_region: Option<String>,
    endpoint_url: Option<String>,
    credentials: CredentialProperties,
    start_selector: StartSelectorType,
    start_timestamp: Option<String>,
    after_fragment_number: Option<String>,
    continuation_token: Option<String>,
    end_timestamp: Option<String>,
    track: Option<String>,
    tracks: TrackProperties,
    checkpoint_location: Option<String>,
    timing: Timing,
    archive: ArchiveProperties,
    /// The properties that the last URI set.
    from_uri: Vec<&'static str>,
    /// What is wrong with the URI that was to be set last.
    invalid_uri: Option<InvalidUri>,
    ca_file: Option<String>,
    keep_duplicates: bool,
    limits: Limits,
}

/// What the properties ask for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub request: Request,
    pub range: Range,
    pub track: Option<TrackSelector>,
    pub track_caps: TrackCaps,
    pub on_new_track: OnNewTrack,
    pub patience: Patience,
    pub timestamp_mode: TimestampMode,
    pub drops_duplicates: bool,
    /// Set where frames are watched as they come.
    pub live: Option<Live>,
    pub checkpoint: Option<Checkpoint>,
    /// Set where a range of the archive is read.
    pub on_demand: Option<OnDemand>,
    pub going_back: GoingBack,
}

impl Plan {
    /// How long the stream lasts, in ns, as far as the properties tell.
    pub fn duration(&self) -> Option<u64> {
        // Each is on the clock of the range.
        let (StartSelector::ProducerTimestamp(start) | StartSelector::ServerTimestamp(start)) = &self.request.start
        else {
            return None;
        };
        u64::try_from(self.range.end?.nanoseconds().saturating_sub(start.nanoseconds())).ok()
    }
}

/// Properties that make no sense, alone or together.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Stream(#[from] InvalidStream),
    #[error("{reason}, in {property}")]
    Time { property: &'static str, reason: InvalidTime },
    #[error("`{0}` is no fragment number (1 to 128 decimal digits), in after-fragment-number")]
    FragmentNumber(String),
    #[error("property {property} is not set, and start-selector={selector} needs it")]
    Missing { selector: &'static str, property: &'static str },
    #[error("property {property} does not go with {other}")]
    Conflict { property: &'static str, other: String },
    #[error("{0}, in uri")]
    Uri(InvalidUri),
    #[error(transparent)]
    Credentials(#[from] CredentialSettingsError),
    #[error("{0}, in ca-file")]
    CaFile(#[from] InvalidAuthorities),
    #[error("playback-mode=on-demand needs start-timestamp, or start-selector=earliest")]
    NoRange,
    #[error("the end-timestamp {end} is not after the start-timestamp {start}")]
    Backwards { start: UnixTime, end: UnixTime },
}

impl Settings {
    /// The properties of the element.
    pub fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let string = |name: &'static str, nick: &'static str, blurb: &'static str| {
                glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).mutable_ready()
            };
            let mut properties = vec![
                string("stream", "Stream", "Name or ARN of the Kinesis Video stream to read").build(),
                string("stream-name", "Stream name", "The same as stream, as kvssink spells it").build(),
                string(
                    "aws-region",
                    "AWS region",
                    "AWS region of the stream, such as eu-west-1 (default: that of a stream ARN, else the AWS SDK's: \
                     AWS_REGION, profile, instance metadata)",
                )
                .build(),
                string(
                    "endpoint-url",
                    "Endpoint URL",
                    "URL of the control-plane endpoint (default: the AWS SDK's: AWS_ENDPOINT_URL, profile, else that \
                     of the region)",
                )
                .build(),
                glib::ParamSpecEnum::builder_with_default("start-selector", StartSelectorType::default())
                    .nick("Start selector")
                    .blurb(
                        "Where to begin reading; a set start-timestamp, after-fragment-number or continuation-token \
                         implies producer-timestamp, fragment-number or continuation-token",
                    )
                    .mutable_ready()
                    .build(),
                string(
                    "start-timestamp",
                    "Start timestamp",
                    "Begin with the fragment that holds this moment, as RFC 3339 (2026-01-05T10:00:00Z) or seconds \
                     since 1970 (1767607200.5); producer's clock unless start-selector=server-timestamp",
                )
                .build(),
                string(
                    "after-fragment-number",
                    "After fragment number",
                    "Begin with the fragment after the one of this number (1 to 128 decimal digits)",
                )
                .build(),
                string(
                    "continuation-token",
                    "Continuation token",
                    "Begin where a continuation token of the service says; read while the stream goes on or after it, the \
                     token that goes on behind the last whole fragment",
                )
                .build(),
                string(
                    "end-timestamp",
                    "End timestamp",
                    "End before the first frame at or after this moment, as RFC 3339 or seconds since 1970, on the \
                     clock of start-selector (default: no end)",
                )
                .build(),
                string(
                    "track",
                    "Track",
                    "Number or name of the track to push where downstream takes an elementary format (default: the \
                     first video track that fits, else the first that fits)",
                )
                .build(),
                string(
                    "checkpoint-location",
                    "Checkpoint location",
                    "File that names the last fragment that downstream accepted; where it exists, reading goes on \
                     behind that fragment, whatever start-selector says",
                )
                .build(),
                string(
                    "ca-file",
                    "CA file",
                    "File of certificate authorities (PEM) to trust beside the system's, as for a proxy that reads TLS",
                )
                .build(),
            ];
            properties.extend(CredentialProperties::properties());
            properties.extend(Limits::properties());
            properties.extend(Timing::properties());
            properties.extend(TrackProperties::properties());
            properties.push(
                glib::ParamSpecBoolean::builder("drop-duplicates")
                    .nick("Drop duplicates")
                    .blurb(
                        "Whether frames are dropped that came before in another fragment: a producer sends a fragment \
                         again after a lost connection, or a whole upload twice",
                    )
                    .default_value(true)
                    .mutable_ready()
                    .build(),
            );
            properties.extend(ArchiveProperties::properties());
            properties.push(uri::property());
            properties.extend(Statistics::properties());
            properties
        });
        PROPERTIES.as_ref()
    }

    /// Sets a property; `false` where there is none of that name and type.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        // Credentials depend on more than their own properties: on the region, and on the stream's name.
        self.credentials.forget();
        let set = self.credentials.set(name, value).or_else(|| self.limits.set(name, value));
        let set = set.or_else(|| self.timing.set(name, value)).or_else(|| self.tracks.set(name, value));
        if let Some(set) = set.or_else(|| self.archive.set(name, value)) {
            return set;
        }
        if name == "start-selector" {
            let Ok(selector) = value.get() else { return false };
            self.start_selector = selector;
            return true;
        }
        if name == "drop-duplicates" {
            let Ok(drops) = value.get::<bool>() else { return false };
            self.keep_duplicates = !drops;
            return true;
        }
        match (self.text_mut(name), value.get::<Option<String>>()) {
            (Some(text), Ok(value)) => {
                *text = value.filter(|value| !value.is_empty());
                true
            }
            _ => false,
        }
    }

    /// The value of a readable property; `None` where there is none of that name.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "stream" | "stream-name" => self.stream.to_value(),
            "aws-region" => self.aws_region.to_value(),
            "endpoint-url" => self.endpoint_url.to_value(),
            "start-selector" => self.start_selector.to_value(),
            "start-timestamp" => self.start_timestamp.to_value(),
            "after-fragment-number" => self.after_fragment_number.to_value(),
            "continuation-token" => self.continuation_token.to_value(),
            "end-timestamp" => self.end_timestamp.to_value(),
            "track" => self.track.to_value(),
            "checkpoint-location" => self.checkpoint_location.to_value(),
            "ca-file" => self.ca_file.to_value(),
            "is-live" => self.is_live().to_value(),
            "drop-duplicates" => (!self.keep_duplicates).to_value(),
            "uri" => self.uri().to_value(),
            _ => {
                let value = self.credentials.get(name).or_else(|| self.limits.get(name));
                let value = value.or_else(|| self.timing.get(name)).or_else(|| self.tracks.get(name));
                return value.or_else(|| self.archive.get(name));
            }
        })
    }

    /// What the properties ask for together.
    ///
    /// # Errors
    ///
    /// A value that cannot be read, or values that do not go together.
    pub fn plan(&self) -> Result<Plan, SettingsError> {
        if let Some(error) = &self.invalid_uri {
            return Err(SettingsError::Uri(error.clone()));
        }
        let stream = Stream::parse(self.stream.as_deref().unwrap_or_default())?;
        let start = self.start()?;
        let end = time("end-timestamp", self.end_timestamp.as_deref())?;
        if let (StartSelector::ProducerTimestamp(start) | StartSelector::ServerTimestamp(start), Some(end)) =
            (&start, end)
            && *start >= end
        {
            return Err(SettingsError::Backwards { start: *start, end });
        }
        let clock = match start {
            StartSelector::ServerTimestamp(_) => Clock::Server,
            _ => Clock::Producer,
        };
        let location = self.checkpoint_location.as_deref();
        let checkpoint = location.map(|location| Checkpoint::new(location, &stream.to_string()));
        let credentials = self.credentials.credentials(&stream)?;
        let on_demand = self.archive.on_demand(&start, end)?;
        if on_demand.is_some() {
            let given = [
                ("checkpoint-location", self.checkpoint_location.is_some()),
                ("is-live", self.timing.is_live == Some(true)),
            ];
            if let Some((property, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(SettingsError::Conflict { property, other: "playback-mode=on-demand".to_owned() });
            }
        }
        Ok(Plan {
            checkpoint,
            request: Request {
                stream,
                start,
                region: self.aws_region.clone(),
                endpoint_url: self.endpoint_url.clone(),
                credentials,
                connect_timeout: self.limits.connect_timeout(),
                read_timeout: self.limits.read_timeout(),
                max_buffered_bytes: self.limits.max_buffered_bytes(on_demand.is_some()),
                authorities: self.ca_file.as_deref().map(|file| Authorities::read(Path::new(file))).transpose()?,
            },
            range: Range { clock, end },
            track: self.track.as_deref().and_then(TrackSelector::new),
            track_caps: self.tracks.caps(),
            on_new_track: self.tracks.on_new_track(),
            patience: self.limits.patience(),
            timestamp_mode: self.timing.mode(),
            drops_duplicates: !self.keep_duplicates,
            live: self.is_live().then(|| self.timing.live()),
            on_demand,
            going_back: self.archive.going_back(),
        })
    }

    /// Whether frames are timed by when they come: as it was set, else where nothing but what comes is asked for.
    pub fn is_live(&self) -> bool {
        self.timing.is_live.unwrap_or_else(|| {
            let now = matches!(self.start(), Ok(StartSelector::Now));
            now && !self.archive.is_on_demand() && self.end_timestamp.is_none() && self.checkpoint_location.is_none()
        })
    }

    /// How much later than they come the frames of a live stream are shown.
    pub fn latency(&self) -> std::time::Duration {
        self.timing.live().latency
    }

    /// The stream as it was set.
    pub fn stream(&self) -> Option<String> {
        self.stream.clone()
    }

    fn text_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "stream" | "stream-name" => &mut self.stream,
            "aws-region" => &mut self.aws_region,
            "endpoint-url" => &mut self.endpoint_url,
            "start-timestamp" => &mut self.start_timestamp,
            "after-fragment-number" => &mut self.after_fragment_number,
            "continuation-token" => &mut self.continuation_token,
            "end-timestamp" => &mut self.end_timestamp,
            "track" => &mut self.track,
            "checkpoint-location" => &mut self.checkpoint_location,
            "ca-file" => &mut self.ca_file,
            _ => return None,
        })
    }

    fn start(&self) -> Result<StartSelector, SettingsError> {
        use StartSelectorType as Type;
        let timestamp = time("start-timestamp", self.start_timestamp.as_deref())?;
        let number = self.after_fragment_number.as_deref();
        let token = self.continuation_token.as_deref();

        // Each value goes with its own selectors, and with the default, which it then replaces.
        let given = [
            ("start-timestamp", timestamp.is_some(), &[Type::ProducerTimestamp, Type::ServerTimestamp][..]),
            ("after-fragment-number", number.is_some(), &[Type::FragmentNumber]),
            ("continuation-token", token.is_some(), &[Type::ContinuationToken]),
        ];
        let mut selector = self.start_selector;
        let mut chosen_by = None;
        for (property, _, selectors) in given.iter().filter(|(_, given, _)| *given) {
            if let Some(other) = chosen_by {
                return Err(SettingsError::Conflict { property, other: String::from(other) });
            }
            chosen_by = Some(*property);
            match selectors.first() {
                Some(implied) if selector == Type::Now => selector = *implied,
                _ if selectors.contains(&selector) => {}
                _ => {
                    let other = format!("start-selector={}", nick(self.start_selector));
                    return Err(SettingsError::Conflict { property, other });
                }
            }
        }

        let missing = |property| SettingsError::Missing { selector: nick(selector), property };
        Ok(match selector {
            Type::Now => StartSelector::Now,
            Type::Earliest => StartSelector::Earliest,
            Type::ProducerTimestamp => {
                StartSelector::ProducerTimestamp(timestamp.ok_or_else(|| missing("start-timestamp"))?)
            }
            Type::ServerTimestamp => {
                StartSelector::ServerTimestamp(timestamp.ok_or_else(|| missing("start-timestamp"))?)
            }
            Type::FragmentNumber => {
                let number = number.ok_or_else(|| missing("after-fragment-number"))?;
                let number =
                    FragmentNumber::new(number).ok_or_else(|| SettingsError::FragmentNumber(number.to_owned()))?;
                StartSelector::AfterFragment(number)
            }
            Type::ContinuationToken => {
                StartSelector::ContinuationToken(token.ok_or_else(|| missing("continuation-token"))?.to_owned())
            }
        })
    }
}

fn nick(selector: StartSelectorType) -> &'static str {
    match selector {
        StartSelectorType::Now => "now",
        StartSelectorType::Earliest => "earliest",
        StartSelectorType::ProducerTimestamp => "producer-timestamp",
        StartSelectorType::ServerTimestamp => "server-timestamp",
        StartSelectorType::FragmentNumber => "fragment-number",
        StartSelectorType::ContinuationToken => "continuation-token",
    }
}

fn time(property: &'static str, text: Option<&str>) -> Result<Option<UnixTime>, SettingsError> {
    text.map(str::parse).transpose().map_err(|reason| SettingsError::Time { property, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(properties: &[(&str, &str)], selector: StartSelectorType) -> Result<Plan, SettingsError> {
        let mut settings = Settings { start_selector: selector, ..Settings::default() };
        assert!(settings.set("stream", &"demo".to_value()));
        for (name, value) in properties {
            assert!(settings.set(name, &value.to_value()), "{name}");
        }
        settings.plan()
    }

    #[test]
    fn a_start_value_alone_implies_its_selector() {
        use StartSelectorType::Now;
        let start = |properties: &[(&str, &str)]| plan(properties, Now).unwrap().request.start;
        assert_eq!(start(&[]), StartSelector::Now);
        assert!(matches!(start(&[("start-timestamp", "5")]), StartSelector::ProducerTimestamp(_)));
        assert!(matches!(start(&[("after-fragment-number", "5")]), StartSelector::AfterFragment(_)));
        assert!(matches!(start(&[("continuation-token", "5")]), StartSelector::ContinuationToken(_)));
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        use StartSelectorType as Type;
        for (properties, selector, names) in [
            (&[("start-timestamp", "noon")][..], Type::Now, ["start-timestamp", "noon"]),
            (&[("start-timestamp", "5")], Type::Earliest, ["start-timestamp", "earliest"]),
            (
                &[("start-timestamp", "5"), ("continuation-token", "x")],
                Type::Now,
                ["start-timestamp", "continuation-token"],
            ),
            (&[], Type::ServerTimestamp, ["server-timestamp", "start-timestamp"]),
            (&[], Type::FragmentNumber, ["fragment-number", "after-fragment-number"]),
            (&[], Type::ContinuationToken, ["start-selector=continuation-token", "continuation-token"]),
            (&[("after-fragment-number", "12a")], Type::Now, ["after-fragment-number", "12a"]),
            (&[("start-timestamp", "5"), ("end-timestamp", "5")], Type::Now, ["end-timestamp", "start-timestamp"]),
            (&[("stream", "a/b")], Type::Now, ["a/b", "name"]),
            (&[("stream", "")], Type::Now, ["stream", "ARN"]),
        ] {
            let text = plan(properties, selector).unwrap_err().to_string();
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
        }
    }

    #[test]
    fn the_end_is_on_the_clock_of_the_start() {
        let properties = [("start-timestamp", "5"), ("end-timestamp", "6")];
        let range = |selector| plan(&properties, selector).unwrap().range;
        assert_eq!(range(StartSelectorType::Now).clock, Clock::Producer);
        assert_eq!(range(StartSelectorType::ServerTimestamp).clock, Clock::Server);
    }
}
