//! The control plane: CreateStream, DescribeStream, ListStreams, GetDataEndpoint.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::error::{Error, ServiceError};
use crate::server::Context;
use crate::store::StreamSettings;
use crate::stream::Stream;
use crate::stream_tags;

const API_NAMES: [&str; 8] = [
    "PUT_MEDIA",
    "GET_MEDIA",
    "LIST_FRAGMENTS",
    "GET_MEDIA_FOR_FRAGMENT_LIST",
    "GET_HLS_STREAMING_SESSION_URL",
    "GET_DASH_STREAMING_SESSION_URL",
    "GET_CLIP",
    "GET_IMAGES",
];

const MOST_RESULTS: u64 = 10_000;

/// Ten years.
const LONGEST_RETENTION_HOURS: u64 = 87_600;

pub(crate) fn create_stream(context: &Context, body: &Value) -> Result<Value, ServiceError> {
    let name = text(body, "StreamName")?.ok_or_else(|| ServiceError::invalid_argument("StreamName is required."))?;
    let retention = match body.get("DataRetentionInHours") {
        None | Some(Value::Null) => Some(0),
        Some(value) => value.as_u64().filter(|hours| *hours <= LONGEST_RETENTION_HOURS),
    };
    let media_type = text(body, "MediaType")?;
    if media_type.is_some_and(|media_type| !is_media_type(media_type)) {
        return Err(ServiceError::invalid_argument("MediaType must be media types with commas between them."));
    }
    let tags = stream_tags::tags(body)?.unwrap_or_default();
    let settings = StreamSettings {
        device_name: text(body, "DeviceName")?.map(str::to_owned),
        media_type: media_type.map(str::to_owned),
        kms_key_id: text(body, "KmsKeyId")?.map(str::to_owned),
        retention_hours: retention.ok_or_else(|| {
            ServiceError::invalid_argument("DataRetentionInHours must be an integer between 0 and 87600.")
        })?,
        ..StreamSettings::default()
    };
    let stream = context.store.create(&context.region, name, settings).map_err(|error| match error {
        Error::StreamExists(_) => {
            let message = format!("The stream {name} already exists.");
            ServiceError::operation(StatusCode::BAD_REQUEST, "ResourceInUseException", message)
        }
        error => ServiceError::invalid_argument(error.to_string()),
    })?;
    let hours = stream.settings.retention_hours;
    // With 0 hours the service still keeps fragments in a buffer, for GetMedia alone; here it has no end.
    stream.set_retention((hours > 0).then(|| Duration::from_secs(hours * 3600)));
    stream_tags::add(&stream, tags)?;
    Ok(json!({ "StreamARN": stream.arn }))
}

pub(crate) fn describe_stream(context: &Context, body: &Value) -> Result<Value, ServiceError> {
    let stream = find_stream(context, body)?;
    Ok(json!({ "StreamInfo": stream_info(context, &stream) }))
}

pub(crate) fn list_streams(context: &Context, body: &Value) -> Result<Value, ServiceError> {
    let most = match body.get("MaxResults") {
        None | Some(Value::Null) => MOST_RESULTS,
        Some(value) => value
            .as_u64()
            .filter(|most| (1..=MOST_RESULTS).contains(most))
            .ok_or_else(|| ServiceError::invalid_argument("MaxResults must be between 1 and 10000."))?,
    };
    let prefix = match body.get("StreamNameCondition") {
        None | Some(Value::Null) => "",
        Some(condition) => {
            if text(condition, "ComparisonOperator")?.is_some_and(|operator| operator != "BEGINS_WITH") {
                return Err(ServiceError::invalid_argument("ComparisonOperator must be BEGINS_WITH."));
            }
            text(condition, "ComparisonValue")?.unwrap_or_default()
        }
    };
    let invalid_token = || ServiceError::invalid_argument("NextToken is not one that ListStreams gave.");
    let after = text(body, "NextToken")?.map(|token| read_token(token).ok_or_else(invalid_token)).transpose()?;
    let mut found: Vec<_> =
        context.store.list(after.as_deref()).into_iter().filter(|stream| stream.name.starts_with(prefix)).collect();
    let more = found.len() as u64 > most;
    found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let next = found.last().filter(|_| more).map(|stream| write_token(&stream.name));
    let list: Vec<Value> = found.iter().map(|stream| stream_info(context, stream)).collect();
    Ok(json!({ "StreamInfoList": list, "NextToken": next }))
}

pub(crate) fn get_data_endpoint(context: &Context, body: &Value, authority: &str) -> Result<Value, ServiceError> {
    let name = text(body, "APIName")?.ok_or_else(|| ServiceError::invalid_argument("APIName is required."))?;
    if !API_NAMES.contains(&name) {
        return Err(ServiceError::invalid_argument(format!("{name} is no APIName.")));
    }
    find_active_stream(context, body)?;
    let endpoints = &context.endpoints;
    let url = if name == "PUT_MEDIA" { endpoints.put_media_url(authority) } else { endpoints.url(authority) };
    Ok(json!({ "DataEndpoint": url }))
}

/// The stream that a request names by `StreamName` or `StreamARN`, but not by both.
pub(crate) fn find_stream(context: &Context, body: &Value) -> Result<Arc<Stream>, ServiceError> {
    let found = match (text(body, "StreamName")?, text(body, "StreamARN")?) {
        (Some(name), None) => context.store.get(name),
        (None, Some(arn)) => {
            let name =
                name_in_arn(arn).ok_or_else(|| ServiceError::invalid_argument("StreamARN is no stream's ARN."))?;
            context.store.get(name).filter(|stream| stream.arn == arn)
        }
        (Some(_), Some(_)) => {
            return Err(ServiceError::invalid_argument("Specify either StreamName or StreamARN, but not both."));
        }
        (None, None) => return Err(ServiceError::invalid_argument("Either StreamName or StreamARN is required.")),
    };
    found.ok_or_else(ServiceError::stream_not_found)
}

/// The same where media can be read and put.
pub(crate) fn find_active_stream(context: &Context, body: &Value) -> Result<Arc<Stream>, ServiceError> {
    let stream = find_stream(context, body)?;
    if stream.status().is_usable() { Ok(stream) } else { Err(ServiceError::stream_not_found()) }
}

/// The stream's name in `arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATED`.
pub(crate) fn name_in_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let kinesis_video = parts.next() == Some("arn") && parts.nth(1) == Some("kinesisvideo");
    let resource = parts.nth(2).filter(|_| kinesis_video)?;
    let mut parts = resource.strip_prefix("stream/")?.split('/');
    parts.next().filter(|_| parts.next().is_some())
}

fn stream_info(context: &Context, stream: &Stream) -> Value {
    let settings = &stream.settings;
    let default_key = || format!("arn:aws:kms:{}:{}:alias/aws/kinesisvideo", context.region, crate::store::ACCOUNT);
    json!({
        "DeviceName": settings.device_name,
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "MediaType": settings.media_type,
        "KmsKeyId": settings.kms_key_id.clone().unwrap_or_else(default_key),
        "Version": stream.version,
        "Status": stream.status().name(),
        "CreationTime": stream.created as f64 / 1000.0,
        "DataRetentionInHours": settings.retention_hours,
    })
}

/// Whether a text is media types with commas between them, as the model's pattern has them.
fn is_media_type(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte))
    };
    let pair = |one: &str| one.split_once('/').is_some_and(|(left, right)| word(left) && word(right));
    text.len() <= 128 && text.split(',').all(pair)
}

/// A member that must be a text where it is given.
pub(crate) fn text<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, ServiceError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => {
            let message = format!("{name} must be a string.");
            Err(ServiceError::operation(StatusCode::BAD_REQUEST, "SerializationException", message))
        }
    }
}

/// Milliseconds since 1970 of a timestamp in seconds.
pub(crate) fn milliseconds(timestamp: &Value) -> Option<u64> {
    let seconds = timestamp.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some((seconds * 1000.0).round() as u64)
}

/// A token says where the next page begins (ListStreams: behind which stream), in hexadecimal digits.
pub(crate) fn write_token(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// What a token says; `None` where it is none.
pub(crate) fn read_token(token: &str) -> Option<String> {
    let pairs = token.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = pairs.map(byte).collect::<Option<Vec<u8>>>().filter(|_| token.len().is_multiple_of(2));
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_stream() {
        assert_eq!(name_in_arn("arn:aws:kinesisvideo:eu-west-1:123456789012:stream/demo/1700000000000"), Some("demo"));
        for other in ["demo", "arn:aws:s3:eu-west-1:1:stream/demo/1", "arn:aws:kinesisvideo:eu-west-1:1:channel/demo/1"]
        {
            assert_eq!(name_in_arn(other), None);
        }
    }

    #[test]
    fn a_media_type_has_two_parts() {
        for text in ["video/h264", "video/h264,audio/aac", "video/x-h.265+x"] {
            assert!(is_media_type(text), "{text}");
        }
        for text in ["", "video", "video/", "/h264", "video/h264,", "video/h 264", &"video/h264,".repeat(20)] {
            assert!(!is_media_type(text), "{text}");
        }
    }

    #[test]
    fn a_token_is_read_back() {
        assert_eq!(read_token(&write_token("camera_7.front")).as_deref(), Some("camera_7.front"));
        assert_eq!(read_token("abc"), None);
        assert_eq!(read_token("zz"), None);
    }
}
