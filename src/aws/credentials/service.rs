//! What an AWS service that gives credentials answers when it gives none.

use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::CredentialError;
use crate::aws::ServiceErrorKind;
use crate::aws::error::first_line;

/// The error answer of the service that `by` names.
pub(super) fn refusal(by: String, error: &impl ProvideErrorMetadata, status: u16) -> CredentialError {
    let code = error.code().unwrap_or("unnamed error");
    let message = first_line(error.message().unwrap_or("the service gives no reason"));
    let reason = format!("{} ({code})", message.trim_end_matches('.'));
    match ServiceErrorKind::of(code, status) {
        ServiceErrorKind::Clock | ServiceErrorKind::Throttled | ServiceErrorKind::Unavailable => {
            CredentialError::Unavailable { by, reason }
        }
        _ => CredentialError::Refused { by, reason },
    }
}
