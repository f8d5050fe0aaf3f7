//! ListFragments: which fragments of the archive begin in a range, in pages and in no order.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::control::{self, milliseconds, text};
use crate::error::ServiceError;
use crate::server::Context;
use crate::store;
use crate::stream::{Origin, Stream};

/// How many fragments a page may have.
const MOST_RESULTS: u64 = 1000;
/// How many it has where nothing is said: the reference names no number.
const USUAL_RESULTS: u64 = 100;

/// What a call asks for, and where its page begins.
#[derive(Debug, PartialEq, Eq)]
struct Selection {
    origin: Origin,
    /// Milliseconds since 1970; both belong to the range.
    start: u64,
    end: u64,
    /// The place in the shuffled order that the page before ended with.
    after: Option<u64>,
}

/// Answers a request with a page.
pub(crate) fn list_fragments(context: &Context, request: &Value) -> Result<Value, ServiceError> {
    let stream = control::find_active_stream(context, request)?;
    let most = match request.get("MaxResults") {
        None | Some(Value::Null) => USUAL_RESULTS,
        Some(value) => value
            .as_u64()
            .filter(|most| (1..=MOST_RESULTS).contains(most))
            .ok_or_else(|| ServiceError::invalid_argument("MaxResults must be between 1 and 1000."))?,
    };
    let selection = match text(request, "NextToken")? {
        Some(token) => Selection::from_token(&stream.name, token)?,
        None => Selection::from_selector(request)?,
    };
    check_retention(&stream, &selection)?;

    let mut found = stream.list_archive(selection.origin, selection.start..=selection.end, context.shuffle);
    found.retain(|(place, _)| selection.after.is_none_or(|after| *place > after));
    found.sort_unstable_by_key(|(place, _)| *place);
    let more = found.len() as u64 > most;
    found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let next = found.last().filter(|_| more).map(|(place, _)| selection.token(&stream.name, *place));
    let fragments: Vec<Value> = found
        .iter()
        .map(|(_, held)| {
            let info = held.info();
            json!({
                "FragmentNumber": info.number.as_str(),
                "FragmentSizeInBytes": info.size,
                "ProducerTimestamp": seconds(info.producer_timestamp),
                "ServerTimestamp": seconds(info.server_timestamp),
                "FragmentLengthInMilliseconds": info.duration,
            })
        })
        .collect();
    Ok(json!({ "Fragments": fragments, "NextToken": next }))
}

/// The service refuses a range of server timestamps that ends before what it keeps, and finds nothing in such a range of
/// producer timestamps ([aws-sdk-js 4102](https://github.com/aws/aws-sdk-js/issues/4102)).
fn check_retention(stream: &Stream, selection: &Selection) -> Result<(), ServiceError> {
    let kept_since = match stream.retention() {
        _ if stream.settings.retention_hours == 0 => store::now(),
        Some(retention) => store::now().saturating_sub(retention),
        None => return Ok(()),
    };
    if selection.origin == Origin::Producer || selection.end >= kept_since {
        return Ok(());
    }
    let message = format!("End timestamp {} is outside of the stream retention period.", selection.end);
    Err(ServiceError::invalid_argument(message))
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

impl Selection {
    fn from_selector(request: &Value) -> Result<Self, ServiceError> {
        let invalid = |message: &str| ServiceError::invalid_argument(message);
        let selector = member(request, "FragmentSelector")?
            .ok_or_else(|| invalid("FragmentSelector is required where there is no NextToken."))?;
        let origin = match text(selector, "FragmentSelectorType")? {
            Some("PRODUCER_TIMESTAMP") => Origin::Producer,
            Some("SERVER_TIMESTAMP") => Origin::Server,
            _ => return Err(invalid("FragmentSelectorType must be PRODUCER_TIMESTAMP or SERVER_TIMESTAMP.")),
        };
        let range = member(selector, "TimestampRange")?.ok_or_else(|| invalid("TimestampRange is required."))?;
        let moment = |name| {
            let found = range.get(name).and_then(milliseconds);
            found.ok_or_else(|| invalid(&format!("{name} is required, seconds since 1970.")))
        };
        let (start, end) = (moment("StartTimestamp")?, moment("EndTimestamp")?);
        if start > end {
            return Err(invalid("StartTimestamp must not be after EndTimestamp."));
        }
        Ok(Self { origin, start, end, after: None })
    }

    /// The token of the page behind a place: a call that brings it needs no selector.
    fn token(&self, stream: &str, place: u64) -> String {
        let origin = if self.origin == Origin::Producer { 'p' } else { 's' };
        control::write_token(&format!("{origin} {} {} {place} {stream}", self.start, self.end))
    }

    fn from_token(stream: &str, token: &str) -> Result<Self, ServiceError> {
        let read = || {
            let text = control::read_token(token)?;
            let mut words = text.splitn(5, ' ');
            let origin = match words.next()? {
                "p" => Origin::Producer,
                "s" => Origin::Server,
                _ => return None,
            };
            let mut number = || words.next()?.parse().ok();
            let selection = Self { origin, start: number()?, end: number()?, after: Some(number()?) };
            (words.next()? == stream).then_some(selection)
        };
        read().ok_or_else(|| ServiceError::invalid_argument("NextToken is not one that ListFragments gave."))
    }
}

/// A member that must be an object where it is given.
fn member<'a>(body: &'a Value, name: &str) -> Result<Option<&'a Value>, ServiceError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::Object(_)) => Ok(Some(value)),
        Some(_) => {
            let message = format!("{name} must be an object.");
            Err(ServiceError::operation(StatusCode::BAD_REQUEST, "SerializationException", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_all_that_the_next_page_needs() {
        let selection = Selection { origin: Origin::Server, start: 1000, end: u64::MAX, after: Some(77) };
        let token = selection.token("camera 7", 77);
        assert_eq!(Selection::from_token("camera 7", &token).unwrap(), selection);
        assert!(Selection::from_token("other", &token).is_err());
        assert!(Selection::from_token("camera 7", "abc").is_err());
        assert!(Selection::from_token("camera 7", &control::write_token("s 1 2 x camera 7")).is_err());
    }
}
