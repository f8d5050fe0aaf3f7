//! Version 2 of the instance metadata service: a session token, the role's name, its credentials.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::{Value, json as value};

use super::server::{Answer, answer as plain, header, json};
use super::{Context, Party};

/// The role of the instance.
pub const ROLE_NAME: &str = "instance-role";

const TOKEN: &str = "instance-metadata-token";
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/";

pub(super) fn answer(context: &Context, head: &Parts) -> Answer {
    let path = head.uri.path();
    if path == "/latest/api/token" && head.method == Method::PUT {
        let lifetime = head.headers.get("x-aws-ec2-metadata-token-ttl-seconds").cloned();
        let Some(lifetime) = lifetime else { return plain(StatusCode::BAD_REQUEST, "text/plain", "") };
        let mut answer = plain(StatusCode::OK, "text/plain", TOKEN);
        answer.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", lifetime);
        return answer;
    }
    if header(head, "x-aws-ec2-metadata-token") != TOKEN {
        return plain(StatusCode::UNAUTHORIZED, "text/plain", "");
    }
    match path.strip_prefix(CREDENTIALS) {
        Some("") => plain(StatusCode::OK, "text/plain", ROLE_NAME),
        Some(ROLE_NAME) => match context.give(Party::Instance, Value::Null) {
            Err(refusal) => json(refusal.status, &value!({ "Code": refusal.code, "Message": refusal.message })),
            Ok(keys) => json(
                StatusCode::OK,
                &value!({
                    "Code": "Success",
                    "Type": "AWS-HMAC",
                    "LastUpdated": jiff::Timestamp::now().to_string(),
                    "AccessKeyId": keys.access_key,
                    "SecretAccessKey": keys.secret_key,
                    "Token": keys.session_token,
                    "Expiration": keys.expiration_text(),
                }),
            ),
        },
        _ => plain(StatusCode::NOT_FOUND, "text/plain", ""),
    }
}
