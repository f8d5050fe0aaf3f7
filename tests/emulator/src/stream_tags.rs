//! The tags of a stream: TagStream, UntagStream, ListTagsForStream. Those of fragments are in `metadata`.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::control;
use crate::error::ServiceError;
use crate::server::Context;
use crate::stream::Stream;

/// The service's quota, and the most that one call names.
const MOST: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// What the service's own keys begin with, in small letters or large ones.
const RESERVED: &str = "aws:";

pub(crate) type Tags = BTreeMap<String, String>;

pub(crate) fn tag_stream(context: &Context, body: &Value) -> Result<Value, ServiceError> {
    let tags = tags(body)?.ok_or_else(|| ServiceError::invalid_argument("Tags is required."))?;
    add(&*control::find_stream(context, body)?, tags)?;
    Ok(json!({}))
}

pub(crate) fn untag_stream(context: &Context, body: &Value) -> Result<Value, ServiceError> {
    let keys = body.get("TagKeyList").and_then(Value::as_array);
    let keys = keys.filter(|keys| (1..=MOST).contains(&keys.len()));
    let keys = keys.ok_or_else(|| ServiceError::invalid_argument("TagKeyList must have 1 to 50 keys."))?;
    let keys = keys.iter().map(|key| key.as_str().filter(|key| is_key(key))).collect::<Option<Vec<&str>>>();
    let keys = keys.ok_or_else(|| ServiceError::invalid_argument("TagKeyList has what is no key."))?;
    control::find_stream(context, body)?.change_tags(|tags| tags.retain(|key, _| !keys.contains(&key.as_str())));
    Ok(json!({}))
}

pub(crate) fn list_tags_for_stream(context: &Context, body: &Value) -> Result<Value, ServiceError> {
    if control::text(body, "NextToken")?.is_some() {
        // All tags fit the first answer.
        return Err(ServiceError::invalid_argument("NextToken is not one that ListTagsForStream gave."));
    }
    let tags = control::find_stream(context, body)?.change_tags(|tags| tags.clone());
    Ok(json!({ "NextToken": null, "Tags": tags }))
}

/// The member `Tags` of a request, where it is given.
pub(crate) fn tags(body: &Value) -> Result<Option<Tags>, ServiceError> {
    let tags = match body.get("Tags") {
        None | Some(Value::Null) => return Ok(None),
        Some(tags) => tags.as_object().filter(|tags| (1..=MOST).contains(&tags.len())),
    };
    let tags = tags.ok_or_else(|| ServiceError::invalid_argument("Tags must be a map of 1 to 50 tags."))?;
    let tag = |(key, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| is_key(key) && is_text(value, LONGEST_VALUE))?;
        Some((key.clone(), value.to_owned()))
    };
    let tags = tags.into_iter().map(tag).collect::<Option<Tags>>();
    tags.map(Some).ok_or_else(|| ServiceError::invalid_argument("Tags has what is no tag."))
}

/// Gives a stream tags in addition to those that it has, in place of those of the same keys.
pub(crate) fn add(stream: &Stream, tags: Tags) -> Result<(), ServiceError> {
    stream.change_tags(|held| {
        let fresh = tags.keys().filter(|key| !held.contains_key(*key)).count();
        if held.len() + fresh > MOST {
            let message = "A stream can have no more than 50 tags.";
            let error_type = "TagsPerResourceExceededLimitException";
            return Err(ServiceError::operation(StatusCode::BAD_REQUEST, error_type, message));
        }
        held.extend(tags);
        Ok(())
    })
}

fn is_key(text: &str) -> bool {
    let reserved = text.get(..RESERVED.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(RESERVED));
    !text.is_empty() && !reserved && is_text(text, LONGEST_KEY)
}

/// Whether a text is letters, separators, digits and a few signs, as the model's pattern has them.
fn is_text(text: &str, longest: usize) -> bool {
    let allowed = |letter: char| {
        letter.is_alphanumeric() || (letter.is_whitespace() && !letter.is_control()) || "_.:/=+-@".contains(letter)
    };
    text.chars().count() <= longest && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_letters_of_any_language_and_a_few_signs() {
        for key in ["place", "Straße 7", "a/b:c=d+e-f@g.h_i", "場所", &"x".repeat(128)] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "a,b", "a\nb", "tab\t", "aws:place", "AWS:place", &"x".repeat(129)] {
            assert!(!is_key(key), "{key}");
        }
        assert!(is_text("", LONGEST_VALUE) && !is_text(&"x".repeat(257), LONGEST_VALUE));
    }
}
