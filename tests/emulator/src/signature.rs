//! Checks a request's Signature Version 4 by computing it again, and refuses as the service does.

use std::time::SystemTime;

use aws_credential_types::Credentials as Signer;
use aws_sigv4::http_request::{SessionTokenMode, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::credentials::Credentials;
use crate::error::ServiceError;
use crate::keys::{Found, KeyRing};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const ALLOWED_SKEW_MINUTES: i64 = 5;

/// What is signed beside the head.
pub(crate) enum Payload<'a> {
    /// A body that is all there: the signature covers its hash.
    Whole(&'a [u8]),
    /// A body that is still coming: what the request names, else `UNSIGNED-PAYLOAD` or, as producer-c has it, the hash of
    /// an empty body.
    Streaming,
}

impl<'a> Payload<'a> {
    /// What the signature may cover.
    fn forms(self, headers: &HeaderMap) -> Vec<SignableBody<'a>> {
        match self {
            Self::Whole(body) => vec![SignableBody::Bytes(body)],
            Self::Streaming => match text(headers, "x-amz-content-sha256") {
                None => vec![SignableBody::UnsignedPayload, SignableBody::Bytes(b"")],
                Some("UNSIGNED-PAYLOAD") => vec![SignableBody::UnsignedPayload],
                Some(hash) => vec![SignableBody::Precomputed(hash.to_owned())],
            },
        }
    }
}

/// The access key id that a request says it was signed with.
pub(crate) fn access_key(headers: &HeaderMap) -> Option<String> {
    Authorization::parse(headers).ok().map(|authorization| authorization.access_key.to_owned())
}

/// Checks a request to a service of this name, which comes `now`, against the credentials it may be signed with.
pub(crate) fn verify(
    keys: &KeyRing,
    service: &str,
    region: &str,
    head: &Parts,
    payload: Payload<'_>,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let authorization = Authorization::parse(&head.headers)?;
    let credentials = match keys.find(authorization.access_key, text(&head.headers, "x-amz-security-token")) {
        Found::Valid(credentials) => credentials,
        Found::Expired => return Err(expired()),
        Found::Unknown => return Err(unrecognised()),
    };
    let date = text(&head.headers, "x-amz-date").ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let signed_at = DateTime::strptime(TIME_FORMAT, date)
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map_err(|_| incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{date}'.")))?
        .timestamp();
    authorization.check_scope(service, region, date)?;
    check_clock(signed_at, now)?;
    for body in payload.forms(&head.headers) {
        let expected = recompute(&credentials, service, region, head, &authorization, signed_at, body)?;
        if same(&expected, authorization.signature) {
            return Ok(());
        }
    }
    Err(invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details.",
    ))
}

struct Authorization<'a> {
    access_key: &'a str,
    scope: Vec<&'a str>,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(headers: &'a HeaderMap) -> Result<Self, ServiceError> {
        let header = text(headers, "authorization").ok_or_else(|| {
            let message = "Missing Authentication Token";
            ServiceError::front(StatusCode::FORBIDDEN, "MissingAuthenticationTokenException", message)
        })?;
        let fields = header
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete(format!("'{ALGORITHM}' is the only supported algorithm.")))?;
        let field = |name: &str| {
            let value = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            value.ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
        };
        let mut credential = field("Credential")?.splitn(2, '/');
        let access_key = credential.next().unwrap_or_default();
        let scope: Vec<&str> = credential.next().unwrap_or_default().split('/').collect();
        if scope.len() != 4 {
            return Err(incomplete("Credential must have 5 elements: KeyId/Date/Region/Service/aws4_request."));
        }
        let signed_headers = field("SignedHeaders")?.split(';').collect();
        Ok(Self { access_key, scope, signed_headers, signature: field("Signature")? })
    }

    fn check_scope(&self, service: &str, region: &str, date: &str) -> Result<(), ServiceError> {
        let [scope_date, scope_region, scope_service, terminator] = self.scope[..] else {
            return Err(incomplete("Credential must have 5 elements."));
        };
        let day = date.get(..8).unwrap_or(date);
        if scope_date != day {
            let message = format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{scope_date}' != '{day}', from '{date}'."
            );
            return Err(invalid(message));
        }
        if scope_region != region {
            let message = format!("Credential should be scoped to a valid region, not '{scope_region}'. ");
            return Err(invalid(message));
        }
        if scope_service != service {
            return Err(invalid(format!("Credential should be scoped to correct service: '{service}'. ")));
        }
        if terminator != "aws4_request" {
            let message =
                format!("Credential should be scoped with a valid terminator: 'aws4_request', not '{terminator}'. ");
            return Err(invalid(message));
        }
        Ok(())
    }
}

fn check_clock(signed_at: Timestamp, now: Timestamp) -> Result<(), ServiceError> {
    let allowed = SignedDuration::from_mins(ALLOWED_SKEW_MINUTES);
    let minutes = ALLOWED_SKEW_MINUTES.minutes();
    let write = |time: Timestamp| time.strftime(TIME_FORMAT).to_string();
    let (signed, now_text) = (write(signed_at), write(now));
    let skew = now.duration_since(signed_at);
    if skew > allowed {
        let earliest = write(now - minutes);
        return Err(invalid(format!(
            "Signature expired: {signed} is now earlier than {earliest} ({now_text} - {ALLOWED_SKEW_MINUTES} min.)"
        )));
    }
    if skew < -allowed {
        let latest = write(now + minutes);
        return Err(invalid(format!(
            "Signature not yet current: {signed} is still later than {latest} ({now_text} + {ALLOWED_SKEW_MINUTES} min.)"
        )));
    }
    Ok(())
}

fn recompute(
    credentials: &Credentials,
    service: &str,
    region: &str,
    head: &Parts,
    authorization: &Authorization<'_>,
    signed_at: Timestamp,
    body: SignableBody<'_>,
) -> Result<String, ServiceError> {
    let unusable = |_| incomplete("The request cannot be brought into its canonical form.");
    let token = credentials.session_token.clone();
    let identity = Signer::new(&credentials.access_key, &credentials.secret_key, token, None, "kvs-emulator").into();
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None;
    // The token has been compared already, so that it need not be signed: producer-c leaves it out.
    if !authorization.signed_headers.contains(&"x-amz-security-token") {
        settings.session_token_mode = SessionTokenMode::Exclude;
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::from(signed_at))
        .settings(settings)
        .build()
        .map_err(|_| incomplete("The request cannot be signed."))?
        .into();
    let authority = authority(head);
    let headers = authorization.signed_headers.iter().flat_map(|name| {
        let values = head.headers.get_all(*name).into_iter().filter_map(|value| value.to_str().ok());
        values.map(|value| (*name, value)).collect::<Vec<_>>()
    });
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("http://{authority}{path}");
    let request = SignableRequest::new(head.method.as_str(), uri, headers, body).map_err(unusable)?;
    let (_, signature) = sign(request, &parameters).map_err(unusable)?.into_parts();
    Ok(signature)
}

/// The host that the request names: HTTP/1.1 in a header, HTTP/2 in its target.
pub(crate) fn authority(head: &Parts) -> String {
    let target = || head.uri.authority().map(|authority| authority.as_str());
    text(&head.headers, "host").or_else(target).unwrap_or_default().to_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Compares without telling by its time where the first difference is.
fn same(own: &str, other: &str) -> bool {
    own.len() == other.len() && own.bytes().zip(other.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

fn unrecognised() -> ServiceError {
    let message = "The security token included in the request is invalid.";
    ServiceError::front(StatusCode::FORBIDDEN, "UnrecognizedClientException", message)
}

fn expired() -> ServiceError {
    let message = "The security token included in the request is expired";
    ServiceError::front(StatusCode::FORBIDDEN, "ExpiredTokenException", message)
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::front(StatusCode::FORBIDDEN, "InvalidSignatureException", message)
}

fn incomplete(message: impl Into<String>) -> ServiceError {
    ServiceError::front(StatusCode::BAD_REQUEST, "IncompleteSignatureException", message)
}
