//! An Amazon Cognito identity pool: GetId and GetCredentialsForIdentity, JSON 1.1.

use std::time::SystemTime;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Value, json as value};

use super::server::{Answer, header, json};
use super::{Context, Party, Refusal};

/// The login provider that the pool knows.
pub const LOGIN_PROVIDER: &str = "cognito-idp.us-west-2.amazonaws.com/us-west-2_Demo";
/// The token that it gave.
pub const LOGIN_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkZW1vIn0.c2lnbmF0dXJl";

pub(super) fn answer(context: &Context, head: &Parts, body: &[u8]) -> Answer {
    let target = header(head, "x-amz-target").strip_prefix("AWSCognitoIdentityService.").unwrap_or_default();
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let given = match target {
        "GetId" => get_id(context, &asked),
        "GetCredentialsForIdentity" => get_credentials(context, &asked),
        _ => Err(Refusal::new(400, "UnknownOperationException", "")),
    };
    match given {
        Ok(given) => json(StatusCode::OK, &given),
        Err(refusal) => json(refusal.status, &value!({ "__type": refusal.code, "message": refusal.message })),
    }
}

fn get_id(context: &Context, asked: &Value) -> Result<Value, Refusal> {
    check_login(asked)?;
    let pool = asked["IdentityPoolId"].as_str().unwrap_or_default();
    let region = format!("{}:", context.region);
    if !pool.starts_with(&region) {
        return Err(Refusal::new(400, "ResourceNotFoundException", &format!("IdentityPool '{pool}' not found.")));
    }
    Ok(value!({ "IdentityId": format!("{region}{}", uuid::Uuid::new_v4()) }))
}

fn get_credentials(context: &Context, asked: &Value) -> Result<Value, Refusal> {
    check_login(asked)?;
    let keys = context.give(Party::Cognito, asked.clone())?;
    let expiration = keys.expiration.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(value!({
        "IdentityId": asked["IdentityId"],
        "Credentials": {
            "AccessKeyId": keys.access_key,
            "SecretKey": keys.secret_key,
            "SessionToken": keys.session_token,
            "Expiration": expiration.as_secs_f64(),
        },
    }))
}

fn check_login(asked: &Value) -> Result<(), Refusal> {
    let known = |logins: &serde_json::Map<String, Value>| {
        logins.iter().all(|(provider, token)| provider == LOGIN_PROVIDER && token == LOGIN_TOKEN)
    };
    if asked["Logins"].as_object().is_none_or(known) {
        return Ok(());
    }
    Err(Refusal::new(400, "NotAuthorizedException", "Invalid login token."))
}
