//! A stream and what is asked of it as one URI: `kvs://STREAM?key=value&…`, or `kvs:ARN?key=value&…`.

use std::borrow::Cow;

use gst::glib;
use gst::prelude::*;

use super::Settings;
use crate::aws::{InvalidStream, Stream};
use crate::fragment::UnixTime;

/// The URIs' scheme.
pub const PROTOCOL: &str = "kvs";

/// Keys that have a shorter name than the property.
const SHORT: [(&str, &str); 3] = [("region", "aws-region"), ("start", "start-timestamp"), ("end", "end-timestamp")];

/// Properties that have no key: the URI itself, and what stands before its `?`.
const NO_KEY: [&str; 3] = ["uri", "stream", "stream-name"];

/// A URI that says nothing to kvssrc. None of these shows a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvalidUri {
    #[error("a URI of a Kinesis Video stream reads kvs://STREAM?key=value or kvs:ARN?key=value")]
    Form,
    #[error(transparent)]
    Stream(#[from] InvalidStream),
    #[error("a URI is no place for a secret: set it by the property {0}, or let the AWS SDK find credentials")]
    Secret(&'static str),
    #[error("a URI is no place for a secret: nothing may stand before the stream's name")]
    UserInfo,
    #[error(
        "`{0}` is no key of a kvs URI: those are what can be set of kvssrc's properties, and region, start and end"
    )]
    Key(String),
    #[error("`{value}` is no value of {key}")]
    Value { key: &'static str, value: String },
}

/// The specification of the property `uri`.
pub(super) fn property() -> glib::ParamSpec {
    glib::ParamSpecString::builder("uri")
        .nick("URI")
        .blurb(
            "The stream and what is asked of it: kvs://STREAM?key=value or kvs:ARN?key=value, with a key for each \
             property that can be set and is no secret, and region, start and end for short",
        )
        .mutable_ready()
        .build()
}

impl Settings {
    /// The stream and every property that has another value than its default and is no secret.
    pub fn uri(&self) -> Option<String> {
        let stream = self.stream.as_deref()?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for property in keyed() {
            let name = property.name();
            if let Some(value) = self.text_of(property) {
                let short = SHORT.iter().find(|(_, long)| *long == name);
                query.append_pair(short.map_or(name, |(short, _)| short), &value);
            }
        }
        let query = query.finish();
        let slashes = if stream.starts_with("arn:") { "" } else { "//" };
        let mark = if query.is_empty() { "" } else { "?" };
        Some(format!("{PROTOCOL}:{slashes}{stream}{mark}{query}"))
    }

    /// Sets what the URI says, and takes back what the URI before it said; other properties stay.
    ///
    /// # Errors
    ///
    /// It cannot be read, or holds a secret. Then nothing has changed.
    pub fn set_uri(&mut self, uri: &str) -> Result<(), InvalidUri> {
        let (scheme, rest) = uri.split_once(':').ok_or(InvalidUri::Form)?;
        if !scheme.eq_ignore_ascii_case(PROTOCOL) {
            return Err(InvalidUri::Form);
        }
        let (stream, query) = rest.split_once('?').unwrap_or((rest, ""));
        let stream = stream.strip_prefix("//").unwrap_or(stream);
        if stream.contains('@') {
            return Err(InvalidUri::UserInfo);
        }
        Stream::parse(stream)?;

        let mut settings = self.clone();
        for name in std::mem::take(&mut settings.from_uri) {
            settings.reset(name);
        }
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let long = SHORT.iter().find(|(short, _)| *short == key).map_or(&*key, |(_, long)| long);
            let property = Self::properties().iter().find(|property| property.name() == long);
            let property = property
                .filter(|property| property.flags().contains(glib::ParamFlags::WRITABLE))
                .filter(|property| !NO_KEY.contains(&property.name()))
                .ok_or_else(|| InvalidUri::Key(key.to_string()))?;
            let name = property.name();
            if !property.flags().contains(glib::ParamFlags::READABLE) {
                return Err(InvalidUri::Secret(name));
            }
            let value = if name.ends_with("-timestamp") { with_zone(value) } else { value };
            let invalid = || InvalidUri::Value { key: name, value: value.to_string() };
            let value = value_of(property, &value).ok_or_else(invalid)?;
            if !settings.set(name, &value) {
                return Err(invalid());
            }
            settings.from_uri.push(name);
        }
        settings.stream = Some(stream.to_owned());
        settings.invalid_uri = None;
        settings.credentials.forget();
        *self = settings;
        Ok(())
    }

    /// Sets what a URI says; `None` is none. What is wrong with it is also told by [`plan`](Self::plan), until another one
    /// is set.
    ///
    /// # Errors
    ///
    /// As [`set_uri`](Self::set_uri).
    pub fn set_uri_property(&mut self, uri: Option<&str>) -> Result<(), InvalidUri> {
        let set = uri.map_or(Ok(()), |uri| self.set_uri(uri));
        self.invalid_uri = set.as_ref().err().cloned();
        set
    }

    /// The value of a property as a URI spells it; `None` where it is the default.
    fn text_of(&self, property: &glib::ParamSpec) -> Option<String> {
        if property.name() == "is-live" {
            return self.timing.is_live.map(|live| live.to_string());
        }
        let value = self.get(property.name())?;
        if let Ok(text) = value.get::<Option<String>>() {
            return text;
        }
        // None is the default, and cannot be written.
        if let Ok(structure) = value.get::<Option<gst::Structure>>() {
            return structure.and_then(|_| value.serialize().ok()).map(String::from);
        }
        if value.serialize().ok() == property.default_value().serialize().ok() {
            return None;
        }
        value.serialize().ok().map(String::from)
    }

    fn reset(&mut self, name: &str) {
        if name == "is-live" {
            self.timing.is_live = None;
        } else if let Some(property) = Self::properties().iter().find(|property| property.name() == name) {
            self.set(name, property.default_value());
        }
    }
}

/// The value that the text is for the property; `None` where it is none, or out of its range.
fn value_of(property: &glib::ParamSpec, text: &str) -> Option<glib::Value> {
    if property.value_type() == glib::Type::STRING {
        return Some(text.to_value());
    }
    // GStreamer reads a number that does not fit as another one.
    if let Some(range) = property.downcast_ref::<glib::ParamSpecUInt>() {
        let value: u32 = text.parse().ok()?;
        return (range.minimum()..=range.maximum()).contains(&value).then(|| value.to_value());
    }
    if let Some(range) = property.downcast_ref::<glib::ParamSpecUInt64>() {
        let value: u64 = text.parse().ok()?;
        return (range.minimum()..=range.maximum()).contains(&value).then(|| value.to_value());
    }
    if let Some(range) = property.downcast_ref::<glib::ParamSpecInt64>() {
        let value: i64 = text.parse().ok()?;
        return (range.minimum()..=range.maximum()).contains(&value).then(|| value.to_value());
    }
    glib::Value::deserialize_with_pspec(text, property).ok()
}

/// A time as it was written: in a query, the + before an offset from UTC reads as a space.
fn with_zone(time: Cow<'_, str>) -> Cow<'_, str> {
    let meant = time.rsplit_once(' ').map(|(before, offset)| format!("{before}+{offset}"));
    meant.filter(|meant| meant.parse::<UnixTime>().is_ok()).map_or(time, Cow::Owned)
}

/// The properties that have a key and a value to show.
fn keyed() -> impl Iterator<Item = &'static glib::ParamSpec> {
    let shown = |property: &&glib::ParamSpec| {
        property.flags().contains(glib::ParamFlags::READWRITE) && !NO_KEY.contains(&property.name())
    };
    Settings::properties().iter().filter(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(uri: &str) -> Result<Settings, InvalidUri> {
        gst::init().unwrap();
        let mut settings = Settings::default();
        settings.set_uri(uri)?;
        Ok(settings)
    }

    #[test]
    fn both_forms_name_the_stream() {
        let arn = "arn:aws:kinesisvideo:us-west-2:123456789012:stream/demo/1500000000000";
        for (uri, stream, again) in [
            ("kvs://demo".to_owned(), "demo", "kvs://demo".to_owned()),
            ("KVS://Demo.1".to_owned(), "Demo.1", "kvs://Demo.1".to_owned()),
            (format!("kvs:{arn}"), arn, format!("kvs:{arn}")),
            (format!("kvs://{arn}"), arn, format!("kvs:{arn}")),
        ] {
            let settings = set(&uri).unwrap();
            assert_eq!(settings.stream(), Some(stream.to_owned()), "{uri}");
            assert_eq!(settings.uri(), Some(again), "{uri}");
        }
    }

    #[test]
    fn keys_are_properties() {
        let settings = set(
            "kvs://demo?region=eu-west-1&start=2026-01-05T10:00:00%2B01:00&end=1767607200.5&track=front+door&latency=7\
             &is-live=true&start-selector=server-timestamp&profile=caf%C3%A9&retry-timeout=-1&timestamp-mode=contiguous",
        );
        let settings = settings.unwrap();
        let as_written = set("kvs://demo?start=2026-01-05T10:00:00+01:00").unwrap();
        assert_eq!(as_written.start_timestamp, settings.start_timestamp);
        let text = |name: &str| settings.get(name).unwrap().get::<Option<String>>().unwrap().unwrap_or_default();
        assert_eq!(text("aws-region"), "eu-west-1");
        assert_eq!(text("start-timestamp"), "2026-01-05T10:00:00+01:00");
        assert_eq!(text("end-timestamp"), "1767607200.5");
        assert_eq!(text("track"), "front door");
        assert_eq!(text("profile"), "café");
        assert_eq!(settings.get("latency").unwrap().get::<u32>().unwrap(), 7);
        let uri = settings.uri().unwrap();
        assert!(uri.contains("start-selector=server-timestamp") && uri.contains("is-live=true"), "{uri}");
        assert!(!uri.contains("retry-timeout"), "{uri}");
        assert_eq!(set(&uri).unwrap().uri(), Some(uri));
    }

    #[test]
    fn the_next_uri_takes_back_what_the_last_one_said() {
        let mut settings = set("kvs://demo?latency=7&is-live=true&track=2").unwrap();
        assert!(settings.set("profile", &"mine".to_value()));
        settings.set_uri("kvs://other?track=3").unwrap();
        let uri = settings.uri().unwrap();
        assert!(uri.contains("track=3") && uri.contains("profile=mine") && !uri.contains("latency"), "{uri}");
        assert!(!uri.contains("is-live"), "{uri}");
    }

    #[test]
    fn what_cannot_be_read_is_named_and_changes_nothing() {
        for (uri, names) in [
            ("http://demo", "kvs://STREAM"),
            ("demo", "kvs://STREAM"),
            ("kvs://", "stream"),
            ("kvs://a b", "a b"),
            ("kvs://demo?colour=red", "colour"),
            ("kvs://demo?stream=other", "stream"),
            ("kvs://demo?latency=soon", "soon"),
            ("kvs://demo?latency=-5", "-5"),
            ("kvs://demo?read-timeout=0", "read-timeout"),
            ("kvs://demo?retry-timeout=-2", "-2"),
            ("kvs://demo?start-selector=then", "then"),
            ("kvs:arn:aws:s3:::bucket", "arn:aws:s3"),
        ] {
            let mut settings = set("kvs://before?latency=7").unwrap();
            let error = settings.set_uri(uri).expect_err(uri).to_string();
            assert!(error.contains(names), "{uri}: {error}");
            assert_eq!(settings.uri().as_deref(), Some("kvs://before?latency=7"));
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for uri in [
            "kvs://demo?secret-key=hush",
            "kvs://demo?access-key=hush",
            "kvs://demo?session-token=hush",
            "kvs://demo?cognito-login=hush",
            "kvs://hush:hush@demo",
        ] {
            let error = set(uri).err().unwrap().to_string();
            assert!(error.contains("secret") && !error.contains("hush"), "{uri}: {error}");
        }
        let mut settings = Settings::default();
        assert!(settings.set("stream", &"demo".to_value()));
        assert!(settings.set("secret-key", &"hush".to_value()));
        assert_eq!(settings.uri().as_deref(), Some("kvs://demo"));
    }

    proptest! {
        /// Whatever the properties are, the URI sets them again.
        #[test]
        fn a_uri_round_trips(
            stream in "[A-Za-z0-9_.-]{1,40}",
            texts in proptest::collection::vec(proptest::option::of("[^\\x00]{1,12}"), 8),
            numbers in proptest::array::uniform3(proptest::option::of(1..u32::MAX)),
            live in proptest::option::of(any::<bool>()),
            mode in 0..3_usize,
        ) {
            gst::init().unwrap();
            let names = [
                "aws-region", "endpoint-url", "start-timestamp", "end-timestamp", "track", "checkpoint-location", "profile",
                "continuation-token",
            ];
            let mut settings = Settings::default();
            prop_assert!(settings.set("stream", &stream.to_value()));
            for (name, text) in names.iter().zip(&texts) {
                prop_assert!(settings.set(name, &text.to_value()));
            }
            for (name, number) in ["latency", "max-buffered-bytes"].iter().zip(numbers) {
                if let Some(number) = number {
                    prop_assert!(settings.set(name, &number.to_value()));
                }
            }
            if let Some(number) = numbers[2] {
                prop_assert!(settings.set("idle-timeout", &u64::from(number).to_value()));
            }
            if let Some(live) = live {
                prop_assert!(settings.set("is-live", &live.to_value()));
            }
            let modes = ["producer", "server", "contiguous"];
            let property = Settings::properties().iter().find(|property| property.name() == "timestamp-mode").unwrap();
            let value = glib::Value::deserialize_with_pspec(modes[mode], property).unwrap();
            prop_assert!(settings.set("timestamp-mode", &value));

            let uri = settings.uri().unwrap();
            let mut again = Settings::default();
            again.set_uri(&uri).unwrap();
            prop_assert_eq!(again.uri().unwrap(), uri);
            for property in keyed() {
                prop_assert_eq!(settings.text_of(property), again.text_of(property), "{}", property.name());
            }
        }
    }
}
