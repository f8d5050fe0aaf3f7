//! AWS Sign-In: what `aws login` leaves on a machine, and the token endpoint that renews it for who proves to hold the
//! session's key (DPoP, RFC 9449). See
//! [console sessions](https://docs.aws.amazon.com/sdkref/latest/guide/access-login.html).

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hyper::StatusCode;
use hyper::http::request::Parts;
use pem::{EncodeConfig, LineEnding};
use serde_json::{Value, json as value};

use super::server::{Answer, header, json};
use super::{Context, Party, Refusal};
use crate::error::Error;
use crate::keys::Keys;
use crate::sync::lock;

pub(super) const PATH: &str = "/v1/token";

/// What a profile's `login_session` says.
pub const LOGIN_SESSION: &str = "arn:aws:iam::123456789012:user/viewer";

/// The program that signed in.
const CLIENT: &str = "arn:aws:signin:::devtools/same-device";

/// How far a proof's time may be off.
const CLOCK_SKEW: u64 = 300;

/// What is known of the session that stands.
pub(super) struct Session {
    /// The point of its key, uncompressed (SEC 1 section 2.3.3).
    point: Vec<u8>,
    /// Each is good once.
    refresh_token: String,
}

/// Begins a session, and writes into this folder what `aws login` does. What it gives at first is valid for so long.
pub(super) fn sign_in(context: &Context, folder: &Path, lifetime: Duration) -> Result<(), Error> {
    let unusable = |_: Unspecified| Error::Tls(rustls::Error::General("no key for a session".to_owned()));
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(unusable)?;
    let private: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().map_err(unusable)?;
    let private = pem::Pem::new("EC PRIVATE KEY", private.as_ref());
    let keys = Keys::fresh(lifetime);
    context.keys.add(keys.clone());
    let session = Session { point: key.public_key().as_ref().to_vec(), refresh_token: fresh_token() };
    let token = value!({
        "accessToken": {
            "accessKeyId": keys.access_key,
            "secretAccessKey": keys.secret_key,
            "sessionToken": keys.session_token,
            "accountId": "123456789012",
            "expiresAt": keys.expiration_text(),
        },
        "tokenType": "aws_sigv4",
        "refreshToken": session.refresh_token,
        "clientId": CLIENT,
        "dpopKey": pem::encode_config(&private, EncodeConfig::new().set_line_ending(LineEnding::LF)),
    });
    let name: String =
        digest(&SHA256, LOGIN_SESSION.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::create_dir_all(folder).map_err(Error::io("making the folder of sessions"))?;
    std::fs::write(folder.join(name).with_extension("json"), token.to_string())
        .map_err(Error::io("writing a session"))?;
    lock(&context.state).session = Some(session);
    Ok(())
}

pub(super) fn answer(context: &Context, head: &Parts, body: &[u8]) -> Answer {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    match renewed(context, head, &asked) {
        Err(refusal) => {
            let mut answer = json(refusal.status, &value!({ "error": refusal.message, "message": refusal.message }));
            if let Ok(code) = refusal.code.parse() {
                answer.headers_mut().insert("x-amzn-errortype", code);
            }
            answer
        }
        Ok((keys, refresh_token)) => {
            let left = keys.expiration.duration_since(SystemTime::now()).unwrap_or_default();
            let access_token = value!({
                "accessKeyId": keys.access_key,
                "secretAccessKey": keys.secret_key,
                "sessionToken": keys.session_token,
            });
            json(
                StatusCode::OK,
                &value!({
                    "accessToken": access_token,
                    "tokenType": "aws_sigv4",
                    "expiresIn": left.as_secs(),
                    "refreshToken": refresh_token,
                }),
            )
        }
    }
}

fn renewed(context: &Context, head: &Parts, asked: &Value) -> Result<(Keys, String), Refusal> {
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    let invalid = || Refusal::new(400, "ValidationException", "INVALID_REQUEST");
    let expired = || Refusal::new(401, "AccessDeniedException", "TOKEN_EXPIRED");
    if text("grantType") != "refresh_token" || text("clientId") != CLIENT {
        return Err(invalid());
    }
    let point = {
        let state = lock(&context.state);
        let session = state.session.as_ref().filter(|session| session.refresh_token == text("refreshToken"));
        session.ok_or_else(expired)?.point.clone()
    };
    proven(header(head, "dpop"), &point, &format!("http://{}{PATH}", header(head, "host"))).ok_or_else(invalid)?;
    let keys = context.give(Party::SignIn, value!({ "grantType": text("grantType") }))?;
    let refresh_token = fresh_token();
    if let Some(session) = &mut lock(&context.state).session {
        session.refresh_token.clone_from(&refresh_token);
    }
    Ok((keys, refresh_token))
}

/// Whether a proof is one of the key with this point, for a POST to this URL, now (RFC 9449 section 4.3).
fn proven(proof: &str, point: &[u8], url: &str) -> Option<()> {
    let (message, signature) = proof.rsplit_once('.')?;
    let (head, claims) = message.split_once('.')?;
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let head: Value = serde_json::from_slice(&decode(head)?).ok()?;
    let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
    let key = &head["jwk"];
    let coordinate = |name: &str| key.get(name).and_then(Value::as_str).and_then(decode);
    let named = [vec![4], coordinate("x")?, coordinate("y")?].concat();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let holds = head["typ"] == "dpop+jwt"
        && head["alg"] == "ES256"
        && key["kty"] == "EC"
        && key["crv"] == "P-256"
        && named == point
        && claims["htm"] == "POST"
        && claims["htu"] == url
        && claims["jti"].as_str().is_some_and(|id| !id.is_empty())
        && claims["iat"].as_u64()?.abs_diff(now) <= CLOCK_SKEW;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    (holds && key.verify(message.as_bytes(), &decode(signature)?).is_ok()).then_some(())
}

fn fresh_token() -> String {
    format!("refresh{}", uuid::Uuid::new_v4().simple())
}
