//! GetMedia: where a reader begins.

use serde_json::Value;

use crate::body::{Body, Position};
use crate::control;
use crate::error::ServiceError;
use crate::fault::Fault;
use crate::server::Context;
use crate::stream::{MissingStart, Origin};

/// The error id of a start behind a fragment that is not there.
const FRAGMENT_NOT_FOUND: u32 = 4000;

/// Answers a request with the body that it asks for.
pub(crate) fn get_media(context: &Context, request: &Value, fault: Option<Fault>) -> Result<Body, ServiceError> {
    let stream = control::find_active_stream(context, request)?;
    let position = position(request)?;
    if let Some(verbatim) = stream.verbatim() {
        return Ok(Body::bytes(verbatim, fault));
    }
    let missing = match &position {
        Position::After(number) if !stream.holds(number) => {
            Some((number.clone(), stream.missing_start().unwrap_or(context.missing_start)))
        }
        _ => None,
    };
    let mut body = Body::follow(stream, position, context.end_at_head, fault);
    match missing {
        Some((_, MissingStart::ErrorTag)) => body.end_with_error("FRAGMENT_NOT_FOUND", FRAGMENT_NOT_FOUND),
        Some((number, MissingStart::InvalidArgument)) => {
            return Err(ServiceError::invalid_argument(format!("Fragment {number} is not found.")));
        }
        Some((_, MissingStart::GoOn)) | None => {}
    }
    Ok(body)
}

fn position(request: &Value) -> Result<Position, ServiceError> {
    let invalid = |message: String| ServiceError::invalid_argument(message);
    let selector = request
        .get("StartSelector")
        .filter(|selector| selector.is_object())
        .ok_or_else(|| invalid("StartSelector is required.".to_owned()))?;
    let kind = selector
        .get("StartSelectorType")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid("StartSelectorType is required.".to_owned()))?;
    let number = |member: &str| {
        let text = selector.get(member).and_then(Value::as_str).unwrap_or_default();
        text.parse().map_err(|_| invalid(format!("{kind} needs {member}, a fragment number.")))
    };
    let moment = || {
        let moment = selector.get("StartTimestamp").and_then(control::milliseconds);
        moment.ok_or_else(|| invalid(format!("{kind} needs StartTimestamp, seconds since 1970.")))
    };
    Ok(match kind {
        "NOW" => Position::Now,
        "EARLIEST" => Position::Earliest,
        "PRODUCER_TIMESTAMP" => Position::At(moment()?, Origin::Producer),
        "SERVER_TIMESTAMP" => Position::At(moment()?, Origin::Server),
        "FRAGMENT_NUMBER" => Position::After(number("AfterFragmentNumber")?),
        "CONTINUATION_TOKEN" => Position::After(number("ContinuationToken")?),
        _ => return Err(invalid(format!("{kind} is no StartSelectorType."))),
    })
}
