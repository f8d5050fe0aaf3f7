//! GetMediaForFragmentList: which fragments of the archive a call asks for.

use std::collections::VecDeque;

use serde_json::Value;

use crate::body::{Body, List};
use crate::control;
use crate::error::ServiceError;
use crate::fault::Fault;
use crate::number::FragmentNumber;
use crate::server::Context;
use crate::stream::Stream;

/// How many numbers a call may name.
const MOST_FRAGMENTS: usize = 1000;

/// Answers a request with the body that it asks for.
pub(crate) fn get_media_for_fragment_list(
    context: &Context,
    request: &Value,
    fault: Option<Fault>,
) -> Result<Body, ServiceError> {
    let stream = control::find_active_stream(context, request)?;
    let mut numbers = numbers(request)?;
    if let Some(number) = numbers.iter().find(|number| is_of_another_stream(context, &stream, number)) {
        // What the service says of numbers that were listed for another stream (parser-library issue 50).
        return Err(ServiceError::invalid_argument(format!("Fragment numbers are invalid : {number}")));
    }
    let (tags, end_at_missing) = (context.archive_tags, context.end_at_missing);
    let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    let mut lost = Vec::new();
    match fault {
        Some(Fault::MissingFragment(missing)) => lost.extend(numbers.get(place(missing)).cloned()),
        Some(Fault::LostFragments(ref numbers)) => lost.clone_from(numbers),
        Some(Fault::LeftOutFragment(left_out)) => {
            numbers.remove(place(left_out));
        }
        _ => {}
    }
    Ok(Body::list(List { stream, numbers, tags, end_at_missing, lost }, fault))
}

fn numbers(request: &Value) -> Result<VecDeque<FragmentNumber>, ServiceError> {
    let fragments = request.get("Fragments").and_then(Value::as_array);
    let fragments = fragments.ok_or_else(|| ServiceError::invalid_argument("Fragments is required, a list."))?;
    if !(1..=MOST_FRAGMENTS).contains(&fragments.len()) {
        return Err(ServiceError::invalid_argument("Fragments must have between 1 and 1000 numbers."));
    }
    let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    let invalid = || ServiceError::invalid_argument("Fragments must be numbers of 1 to 128 decimal digits.");
    fragments.iter().map(|value| number(value).ok_or_else(invalid)).collect()
}

fn is_of_another_stream(context: &Context, stream: &Stream, number: &FragmentNumber) -> bool {
    !stream.holds(number) && context.store.list(None).iter().any(|other| other.holds(number))
}
