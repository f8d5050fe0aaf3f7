//! Why a source gave no credentials, told apart by what a person or a retry can do about it.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError as WebIdentityError;

use super::service::{refusal, unanswered};
use crate::aws::Error;
use crate::aws::error::{chain, refused_endpoint};

/// Why a source that was set gave no credentials. No text of it holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("the credential file {path} cannot be used: {reason}")]
    File { path: String, reason: String },
    #[error("the credentials in {path} expired at {at}: write fresh ones there")]
    Expired { path: String, at: String },
    #[error("iot-certificate: the {field} {path} cannot be used: {reason}")]
    Certificate { field: &'static str, path: String, reason: String },
    /// An answer that asking again does not change.
    #[error("{by} refused: {reason}")]
    Refused { by: String, reason: String },
    /// The SDK's endpoint rules refuse the settings.
    #[error("{by} has no endpoint: {reason}")]
    Endpoint { by: String, reason: String },
    /// Somebody has to begin a session, or another one.
    #[error("nobody is signed in to AWS here, or the session is over: run `{command}` ({reason})")]
    SignedOut { command: &'static str, reason: String },
    /// No answer, or one that may pass.
    #[error("{by} gave no credentials: {reason}")]
    Unavailable { by: String, reason: String },
}

/// Who gives credentials where none of kvssrc's own sources is set.
const FOUND: &str = "the source that the AWS SDK found";

impl From<CredentialError> for CredentialsError {
    fn from(error: CredentialError) -> Self {
        Self::provider_error(error)
    }
}

/// What a call tells that failed for want of credentials; `None` where it failed for another reason.
pub(in crate::aws) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    if let Some(error) = find::<CredentialError>(error) {
        return Some(error.clone().into());
    }
    let error = innermost(error)?;
    let sts = || "AWS STS".to_owned();
    if let Some(SdkError::ServiceError(context)) = find::<SdkError<AssumeRoleError>>(error) {
        return Some(refusal(sts(), context.err(), context.raw()).into());
    }
    if let Some(SdkError::ServiceError(context)) = find::<SdkError<WebIdentityError>>(error) {
        return Some(refusal(sts(), context.err(), context.raw()).into());
    }
    if refused_endpoint(error).is_some() {
        return Some(unanswered(FOUND.to_owned(), error).into());
    }
    let reason = without_output(&chain(error));
    Some(match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            Error::NoCredentials { reason }
        }
        _ => CredentialError::Unavailable { by: FOUND.to_owned(), reason }.into(),
    })
}

/// What a source tells that has given credentials before. The SDK takes instance metadata that cannot be reached for a
/// machine without any, but here it was there, and may be again; and whose session is over may begin another one.
pub(super) fn away(error: CredentialsError) -> CredentialsError {
    if let Some(signed_out @ CredentialError::SignedOut { .. }) = find::<CredentialError>(&error) {
        return CredentialError::Unavailable { by: FOUND.to_owned(), reason: signed_out.to_string() }.into();
    }
    if find::<CredentialError>(&error).is_none()
        && let Some(CredentialsError::CredentialsNotLoaded(_)) = innermost(&error)
    {
        let reason = without_output(&chain(&error));
        return CredentialError::Unavailable { by: FOUND.to_owned(), reason }.into();
    }
    error
}

/// That of a role's source says more than the role does.
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CredentialsError> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.filter_map(|error| error.downcast_ref()).last()
}

/// The SDK quotes what a `credential_process` that failed wrote to its standard error, which may be anything.
fn without_output(reason: &str) -> String {
    reason.split_once(" Stderr: ").map_or(reason, |(reason, _)| reason).to_owned()
}

/// The first error of this kind among an error and its causes.
pub(super) fn find<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}
