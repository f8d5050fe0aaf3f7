//! Why a source gave no credentials, told apart by what a person or a retry can do about it.

use aws_credential_types::provider::error::CredentialsError;

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
    /// No answer, or one that may pass.
    #[error("{by} gave no credentials: {reason}")]
    Unavailable { by: String, reason: String },
}

impl From<CredentialError> for CredentialsError {
    fn from(error: CredentialError) -> Self {
        Self::provider_error(error)
    }
}

/// The first error of this kind among an error and its causes.
pub(in crate::aws) fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}
