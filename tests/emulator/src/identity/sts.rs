//! AWS STS: AssumeRole, which is signed, and AssumeRoleWithWebIdentity, which is not, in the query protocol.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::http::request::Parts;

use super::server::{Answer, answer as plain};
use super::{Context, Party, Refusal};
use crate::keys::Keys;
use crate::signature::{self, Payload};

/// The token that an identity provider gave.
pub const WEB_IDENTITY_TOKEN: &str = "web-identity-token";

/// The secret parameter of a request, which tests need not see.
const TOKEN_PARAMETER: &str = "WebIdentityToken";

pub(super) fn answer(context: &Context, head: &Parts, body: &[u8]) -> Answer {
    let mut asked: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let action = asked.get("Action").cloned().unwrap_or_default();
    let now = jiff::Timestamp::now();
    let given = match action.as_str() {
        "AssumeRole" => signature::verify(&context.keys, "sts", &context.region, head, Payload::Whole(body), now)
            .map_err(|error| Refusal { status: error.status, code: error.error_type, message: error.message }),
        "AssumeRoleWithWebIdentity" => match asked.remove(TOKEN_PARAMETER) {
            Some(token) if token == WEB_IDENTITY_TOKEN => Ok(()),
            _ => Err(Refusal::new(400, "InvalidIdentityToken", "No such token")),
        },
        _ => Err(Refusal::new(400, "InvalidAction", "Could not find operation")),
    };
    let role = asked.get("RoleArn").cloned().unwrap_or_default();
    let keys = given.and_then(|()| context.give(Party::Sts, serde_json::json!(asked)));
    let (status, body) = match keys {
        Ok(keys) => (StatusCode::OK, assumed(&action, &role, &keys)),
        Err(refusal) => (refusal.status, refused(&refusal)),
    };
    plain(status, "text/xml", body)
}

fn assumed(action: &str, role: &str, keys: &Keys) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser>\
         <AssumedRoleId>AROADEMO:session</AssumedRoleId><Arn>{role}/session</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{}</Expiration></Credentials></{action}Result><ResponseMetadata><RequestId>{}</RequestId>\
         </ResponseMetadata></{action}Response>",
        keys.access_key,
        keys.secret_key,
        keys.session_token,
        keys.expiration_text(),
        uuid::Uuid::new_v4(),
    )
}

fn refused(refusal: &Refusal) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        refusal.code,
        refusal.message,
        uuid::Uuid::new_v4(),
    )
}
