//! The endpoint that gives containers their credentials.

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Value, json as value};

use super::server::{Answer, header, json};
use super::{Context, Party};

pub(super) const PATH: &str = "/container";

/// What a container must show.
pub const AUTHORIZATION_TOKEN: &str = "container-authorization-token";

pub(super) fn answer(context: &Context, head: &Parts) -> Answer {
    if header(head, "authorization") != AUTHORIZATION_TOKEN {
        return json(StatusCode::FORBIDDEN, &value!({ "code": "AccessDenied", "message": "Wrong token" }));
    }
    match context.give(Party::Container, Value::Null) {
        Err(refusal) => json(refusal.status, &value!({ "code": refusal.code, "message": refusal.message })),
        Ok(keys) => json(
            StatusCode::OK,
            &value!({
                "RoleArn": "arn:aws:iam::123456789012:role/task",
                "AccessKeyId": keys.access_key,
                "SecretAccessKey": keys.secret_key,
                "Token": keys.session_token,
                "Expiration": keys.expiration_text(),
            }),
        ),
    }
}
