//! The portal of IAM Identity Center: `GetRoleCredentials` for who has signed in.

use std::time::SystemTime;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Value, json as value};

use super::server::{Answer, header, json};
use super::{Context, Party};

pub(super) const PATH: &str = "/federation/credentials";

/// What signing in gave.
pub const ACCESS_TOKEN: &str = "identity-center-access-token";

pub(super) fn answer(context: &Context, head: &Parts) -> Answer {
    if header(head, "x-amz-sso_bearer_token") != ACCESS_TOKEN {
        return refused(StatusCode::UNAUTHORIZED, "UnauthorizedException", "Session token not found or invalid");
    }
    let query = head.uri.query().unwrap_or_default();
    let asked: serde_json::Map<String, Value> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, text)| (name.into_owned(), Value::String(text.into_owned())))
        .collect();
    match context.give(Party::Sso, Value::Object(asked)) {
        Err(refusal) => refused(refusal.status, &refusal.code, &refusal.message),
        Ok(keys) => {
            let expiration = keys.expiration.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            json(
                StatusCode::OK,
                &value!({ "roleCredentials": {
                    "accessKeyId": keys.access_key,
                    "secretAccessKey": keys.secret_key,
                    "sessionToken": keys.session_token,
                    "expiration": u64::try_from(expiration.as_millis()).unwrap_or(u64::MAX),
                }}),
            )
        }
    }
}

fn refused(status: StatusCode, code: &str, message: &str) -> Answer {
    let mut answer = json(status, &value!({ "message": message }));
    if let Ok(code) = code.parse() {
        answer.headers_mut().insert("x-amzn-errortype", code);
    }
    answer
}
