//! The credentials provider of AWS IoT: `GET /role-aliases/ALIAS/credentials` over mutual TLS.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::json as value;

use super::server::{Answer, header, json};
use super::{Context, Party};

pub(super) fn answer(context: &Context, head: &Parts) -> Answer {
    let alias = head.uri.path().strip_prefix("/role-aliases/").and_then(|rest| rest.strip_suffix("/credentials"));
    let Some(alias) = alias.filter(|_| head.method == Method::GET) else {
        return json(StatusCode::NOT_FOUND, &value!({ "message": "Not Found" }));
    };
    let thing = header(head, "x-amzn-iot-thingname");
    match context.give(Party::Iot, value!({ "roleAlias": alias, "thingName": thing })) {
        Err(refusal) => json(refusal.status, &value!({ "message": refusal.message })),
        Ok(keys) => json(
            StatusCode::OK,
            &value!({ "credentials": {
                "accessKeyId": keys.access_key,
                "secretAccessKey": keys.secret_key,
                "sessionToken": keys.session_token,
                "expiration": keys.expiration_text(),
            }}),
        ),
    }
}
