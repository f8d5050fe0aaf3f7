//! What the service and the way to it can answer, told apart by what a person or a retry can do about it.

use std::time::SystemTime;

use aws_sdk_kinesisvideomedia::config::http::HttpResponse;
use aws_sdk_kinesisvideomedia::error::SdkError;
use aws_sdk_kinesisvideomedia::operation::RequestId;
use aws_smithy_http::endpoint::ResolveEndpointError;
use aws_smithy_runtime_api::client::endpoint::error::ResolveEndpointError as InvalidEndpoint;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rustls::CertificateError;

use super::CredentialError;
use super::credentials::explain;
use super::refusal::Refusal;

/// Why a call failed, or its body ended early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("no AWS region is known: set aws-region, AWS_REGION, or the region of a profile")]
    NoRegion,
    #[error("no AWS credentials: {reason}")]
    NoCredentials { reason: String },
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("{operation}: {message} ({code})")]
    Service {
        operation: &'static str,
        kind: ServiceErrorKind,
        /// The service's own name of the error.
        code: String,
        message: String,
        status: u16,
        request_id: Option<String>,
    },
    #[error("{operation} could not reach the service: {reason}")]
    Unreachable { operation: &'static str, reason: String },
    #[error("{operation} met a server whose certificate is not trusted: {reason}")]
    Untrusted { operation: &'static str, reason: String },
    #[error("TLS is not possible: {reason}")]
    Tls { reason: String },
    #[error("{operation} was answered with what is no answer of the service: {reason}")]
    Response { operation: &'static str, reason: String },
    #[error("{operation} cannot be asked: {reason}")]
    Request { operation: &'static str, reason: String },
    /// The SDK's endpoint rules refuse the settings.
    #[error("{operation} has no endpoint: {reason}")]
    Endpoint { operation: &'static str, reason: String },
    #[error("GetDataEndpoint named no endpoint")]
    NoDataEndpoint,
    #[error("the connection broke: {reason}")]
    Body { reason: String },
    #[error("{operation} was silent for {seconds} s")]
    Silent { operation: &'static str, seconds: f64 },
}

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing: it will come again.
    None,
    /// Try again after a while.
    Retry,
    /// Begin elsewhere: the point to begin with may be gone.
    StartElsewhere,
}

/// What an error of the service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceErrorKind {
    NotFound,
    /// The credentials are no good, or not any more.
    NotAuthorized,
    /// Not allowed, to whomever the credentials belong to, or by what stands between.
    Denied,
    /// Refused for its time: this machine's clock, or the service's, is wrong, and may be set right.
    Clock,
    /// Too many calls or connections: later.
    Throttled,
    /// The data endpoint is not this stream's any more.
    WrongEndpoint,
    InvalidArgument,
    /// The service's own fault: later.
    Unavailable,
    Other,
}

impl ServiceErrorKind {
    /// The error's type decides; only where it is none of the known ones the HTTP status does.
    ///
    /// From the errors that GetDataEndpoint and GetMedia list, and the
    /// [common errors](https://docs.aws.amazon.com/kinesisvideostreams/latest/dg/CommonErrors.html).
    pub(super) fn of(code: &str, status: u16) -> Self {
        match code.strip_suffix("Exception").unwrap_or(code) {
            "ResourceNotFound" => Self::NotFound,
            "InvalidClientTokenId"
            | "UnrecognizedClient"
            | "InvalidToken"
            | "MissingToken"
            | "MissingAuthenticationToken"
            | "IncompleteSignature"
            | "InvalidSignature"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidAccessKeyId" => Self::NotAuthorized,
            "NotAuthorized" | "AccessDenied" | "OptInRequired" => Self::Denied,
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Self::Clock,
            "ClientLimitExceeded"
            | "ConnectionLimitExceeded"
            | "Throttling"
            | "Throttled"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "SlowDown" => Self::Throttled,
            "InvalidEndpoint" => Self::WrongEndpoint,
            "InvalidArgument" | "Validation" | "ValidationError" => Self::InvalidArgument,
            "InternalFailure" | "InternalError" | "ServiceUnavailable" => Self::Unavailable,
            _ => match status {
                401 | 403 => Self::Denied,
                429 => Self::Throttled,
                500.. => Self::Unavailable,
                _ => Self::Other,
            },
        }
    }
}

impl Error {
    /// What can be done about it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::NoRegion
            | Self::NoCredentials { .. }
            | Self::Request { .. }
            | Self::Endpoint { .. }
            | Self::Untrusted { .. }
            | Self::Tls { .. } => Recovery::None,
            // Whoever writes the credential file may be late, and a provider may come back.
            Self::Credentials(CredentialError::Expired { .. } | CredentialError::Unavailable { .. }) => Recovery::Retry,
            Self::Credentials(_) => Recovery::None,
            Self::Service { kind, .. } => match kind {
                ServiceErrorKind::NotFound
                | ServiceErrorKind::NotAuthorized
                | ServiceErrorKind::Denied
                | ServiceErrorKind::Other => Recovery::None,
                ServiceErrorKind::InvalidArgument => Recovery::StartElsewhere,
                ServiceErrorKind::Clock
                | ServiceErrorKind::Throttled
                | ServiceErrorKind::WrongEndpoint
                | ServiceErrorKind::Unavailable => Recovery::Retry,
            },
            Self::Unreachable { .. }
            | Self::Response { .. }
            | Self::NoDataEndpoint
            | Self::Body { .. }
            | Self::Silent { .. } => Recovery::Retry,
        }
    }

    /// What the SDK says of a failed call.
    pub(super) fn from_sdk<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        SdkError<E, HttpResponse>: RequestId,
    {
        if let Some(error) = explain(&error) {
            return error;
        }
        if let Some(reason) = refused_endpoint(&error) {
            return Self::Endpoint { operation, reason };
        }
        let request_id = error.request_id().map(str::to_owned);
        match &error {
            SdkError::ServiceError(context) => {
                let raw = context.raw();
                let header = |name: &str| raw.headers().get(name).map(str::to_owned);
                let status = raw.status().as_u16();
                let refusal = Refusal::of(context.err().meta(), raw);
                let message = refusal.message.unwrap_or_else(|| "the service gives no reason".to_owned());
                if raw.status().is_success() {
                    return Self::Response { operation, reason: format!("{}: {message}", chain(context.err())) };
                }
                let code = refusal.code.unwrap_or_else(|| format!("HTTP {status}"));
                let ahead = header("date").and_then(|date| seconds_ahead(&date, SystemTime::now()));
                let kind = ServiceErrorKind::of(&code, status);
                let mut message = message;
                // The SDK has signed once more by the service's clock: a signature that is still refused has another fault.
                if kind == ServiceErrorKind::Clock || (ahead.is_some() && is_signature_error(&code)) {
                    message = format!("{}; {}", message.trim_end_matches('.'), about_clock(ahead));
                }
                Self::Service {
                    operation,
                    kind,
                    message,
                    code,
                    status,
                    request_id: request_id.or_else(|| header("x-amz-requestid")),
                }
            }
            SdkError::ResponseError(_) => Self::Response { operation, reason: chain(&error) },
            SdkError::ConstructionFailure(_) => Self::Request { operation, reason: chain(&error) },
            _ if is_refused_certificate(&error) => Self::Untrusted { operation, reason: chain(&error) },
            _ => Self::Unreachable { operation, reason: chain(&error) },
        }
    }

    /// Whether the service no longer takes these credentials, and could take fresh ones of the same source.
    pub(super) fn is_outdated_credentials(&self) -> bool {
        let Self::Service { code, .. } = self else { return false };
        let code = code.strip_suffix("Exception").unwrap_or(code);
        ["ExpiredToken", "NotAuthorized", "UnrecognizedClient", "InvalidClientTokenId"].contains(&code)
    }
}

/// An error and its causes. What an `io::Error` was made of is its cause, though `source` leaves that out.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<std::io::Error>() {
        Some(error) => error.get_ref().map(|cause| cause as _),
        None => error.source(),
    })
}

/// Why there is no endpoint to call, where it failed for that: the SDK's rules refuse the settings, or what they give is no
/// URL, which is told with the whole request.
pub(super) fn refused_endpoint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    causes(error).find_map(|cause| {
        if let Some(refused) = cause.downcast_ref::<ResolveEndpointError>() {
            return Some(chain(refused));
        }
        let invalid = cause.downcast_ref::<InvalidEndpoint>()?;
        let (text, reason) = (invalid.to_string(), causes(invalid).skip(1).last());
        let text = text.split(" to request ").next().unwrap_or_default();
        Some(reason.map_or_else(|| text.to_owned(), |reason| format!("{text}: {reason}")))
    })
}

/// Whether a server was refused for its certificate, and will be again: only a clock that is behind gets right by itself.
pub(super) fn is_refused_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| match cause.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(reason)) => !is_not_valid_yet(reason),
        _ => false,
    })
}

/// Whether it may be the clock that is wrong: machines without one that goes on while they are off begin in the past.
pub(super) fn is_not_valid_yet(reason: &CertificateError) -> bool {
    matches!(reason, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })
}

/// An error and all that it says of its causes.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// Whether the error may come of the time that a request was signed with.
fn is_signature_error(code: &str) -> bool {
    matches!(code, "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure")
}

/// By how many seconds an answer's date is ahead of `now`; `None` where that is too little for a signature to be refused
/// for it. The service takes 5 minutes, and the SDK knows what is behind a refusal from 4 minutes on.
fn seconds_ahead(date: &str, now: SystemTime) -> Option<i64> {
    let date = DateTime::from_str(date, Format::HttpDate).ok()?;
    let ahead = date.secs().checked_sub(DateTime::from(now).secs())?;
    (ahead.unsigned_abs() > 4 * 60).then_some(ahead)
}

fn about_clock(ahead: Option<i64>) -> String {
    match ahead {
        Some(ahead @ 0..) => format!("this machine's clock is {ahead} s behind the service's"),
        Some(behind) => format!("this machine's clock is {} s ahead of the service's", behind.unsigned_abs()),
        None => "is this machine's clock right?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesisvideomedia::operation::get_media::GetMediaError;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn the_type_decides_not_the_status() {
        use ServiceErrorKind as Kind;
        for (code, status, kind) in [
            ("ResourceNotFoundException", 404, Kind::NotFound),
            ("NotAuthorizedException", 401, Kind::Denied),
            ("AccessDeniedException", 400, Kind::Denied),
            ("ExpiredTokenException", 400, Kind::NotAuthorized),
            ("RequestExpired", 400, Kind::Clock),
            ("ClientLimitExceededException", 400, Kind::Throttled),
            ("ConnectionLimitExceededException", 400, Kind::Throttled),
            ("ThrottlingException", 400, Kind::Throttled),
            ("InvalidEndpointException", 400, Kind::WrongEndpoint),
            ("InvalidArgumentException", 400, Kind::InvalidArgument),
            ("InternalFailure", 500, Kind::Unavailable),
            ("ServiceUnavailable", 503, Kind::Unavailable),
            ("SomethingNew", 400, Kind::Other),
            ("SomethingNew", 404, Kind::Other),
            ("HTTP 403", 403, Kind::Denied),
            ("SomethingNew", 502, Kind::Unavailable),
        ] {
            assert_eq!(Kind::of(code, status), kind, "{code}");
        }
    }

    #[test]
    fn a_refused_certificate_is_found_where_tls_has_put_it() {
        use std::io::{Error, ErrorKind};
        for (reason, refused) in [
            (CertificateError::UnknownIssuer, true),
            (CertificateError::Expired, true),
            (CertificateError::NotValidYet, false),
        ] {
            let inner = Error::new(ErrorKind::InvalidData, rustls::Error::InvalidCertificate(reason));
            assert_eq!(is_refused_certificate(&Error::other(inner)), refused);
        }
        assert!(!is_refused_certificate(&Error::from(ErrorKind::ConnectionReset)));
    }

    #[test]
    fn a_refused_signature_is_told_from_a_wrong_clock_by_the_date() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_607_200);
        for (date, ahead) in [
            ("Mon, 05 Jan 2026 10:00:00 GMT", None),
            ("Mon, 05 Jan 2026 10:04:00 GMT", None),
            ("Mon, 05 Jan 2026 09:56:00 GMT", None),
            ("Mon, 05 Jan 2026 10:05:00 GMT", Some(300)),
            ("Mon, 05 Jan 2026 09:00:00 GMT", Some(-3600)),
            ("now", None),
        ] {
            assert_eq!(seconds_ahead(date, now), ahead, "{date}");
        }
        let error = |code: &str, date: SystemTime| {
            let mut raw = HttpResponse::new(403.try_into().unwrap(), SdkBody::empty());
            raw.headers_mut().insert("date", DateTime::from(date).fmt(Format::HttpDate).unwrap());
            let metadata = ErrorMetadata::builder().code(code).message("Not so.").build();
            Error::from_sdk("GetMedia", SdkError::service_error(GetMediaError::generic(metadata), raw))
        };
        let now = SystemTime::now();
        let hour = std::time::Duration::from_secs(3600);
        for (code, date, recovery, says) in [
            ("InvalidSignatureException", now, Recovery::None, "Not so."),
            ("InvalidSignatureException", now + hour, Recovery::None, "s behind the service's"),
            ("InvalidSignatureException", now - hour, Recovery::None, "s ahead of the service's"),
            ("RequestTimeTooSkewed", now - hour, Recovery::Retry, "s ahead of the service's"),
            ("AccessDeniedException", now + hour, Recovery::None, "Not so."),
            ("RequestExpired", now, Recovery::Retry, "clock right?"),
        ] {
            let error = error(code, date);
            assert_eq!(error.recovery(), recovery, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
