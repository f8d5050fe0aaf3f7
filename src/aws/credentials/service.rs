//! What an AWS service that gives credentials answers when it gives none.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::CredentialError;
use crate::aws::ServiceErrorKind;
use crate::aws::error::{chain, refused_endpoint};
use crate::aws::refusal::Refusal;

/// The error answer of the service that `by` names.
pub(super) fn refusal(by: String, error: &impl ProvideErrorMetadata, answer: &HttpResponse) -> CredentialError {
    let status = answer.status().as_u16();
    let Refusal { code, message } = Refusal::of(error.meta(), answer);
    let code = code.unwrap_or_else(|| format!("HTTP {status}"));
    let message = message.unwrap_or_else(|| "the service gives no reason".to_owned());
    let reason = format!("{} ({code})", message.trim_end_matches('.'));
    match ServiceErrorKind::of(&code, status) {
        ServiceErrorKind::Clock | ServiceErrorKind::Throttled | ServiceErrorKind::Unavailable => {
            CredentialError::Unavailable { by, reason }
        }
        _ => CredentialError::Refused { by, reason },
    }
}

/// A call that got no answer of the service that `by` names.
pub(super) fn unanswered(by: String, error: &(dyn std::error::Error + 'static)) -> CredentialError {
    match refused_endpoint(error) {
        Some(reason) => CredentialError::Endpoint { by, reason },
        None => CredentialError::Unavailable { by, reason: chain(error) },
    }
}
