//! A role of AWS STS, assumed with the credentials of another source.

use std::fmt;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;

use super::CredentialError;
use super::error::find;
use super::service::refusal;

/// The name of sessions, where the user gives none; CloudTrail shows it.
const SESSION_NAME: &str = "kvssrc";

/// A role to assume: `role-arn=arn:aws:iam::123456789012:role/viewer role-external-id=customer-7`. See `AssumeRole` in the
/// [API reference](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub session_name: Option<String>,
    pub external_id: Option<String>,
}

pub(super) struct RoleProvider {
    arn: String,
    sts: AssumeRoleProvider,
}

impl RoleProvider {
    /// Assumes the role in the region of `config` with the credentials that `base` gives.
    pub async fn new(role: &Role, config: &SdkConfig, base: SharedCredentialsProvider) -> Self {
        let mut builder = AssumeRoleProvider::builder(&role.arn)
            .configure(config)
            .session_name(role.session_name.as_deref().unwrap_or(SESSION_NAME));
        if let Some(external_id) = &role.external_id {
            builder = builder.external_id(external_id);
        }
        Self { arn: role.arn.clone(), sts: builder.build_from_provider(base).await }
    }

    async fn credentials(&self) -> provider::Result {
        self.sts.provide_credentials().await.map_err(|error| {
            // The source of the base credentials may have its own to say.
            if find::<CredentialError>(&error).is_some() {
                return error;
            }
            match find::<SdkError<AssumeRoleError>>(&error) {
                Some(SdkError::ServiceError(context)) => {
                    let by = format!("AWS STS, asked for the role {},", self.arn);
                    refusal(by, context.err(), context.raw()).into()
                }
                _ => error,
            }
        })
    }
}

impl ProvideCredentials for RoleProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for RoleProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RoleProvider").field("arn", &self.arn).finish_non_exhaustive()
    }
}
