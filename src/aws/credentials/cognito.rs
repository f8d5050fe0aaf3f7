//! An Amazon Cognito identity pool: GetId once, then GetCredentialsForIdentity.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::config::http::HttpResponse;
use aws_sdk_cognitoidentity::error::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::CredentialError;
use super::service::{refusal, unanswered};

/// Who asks an identity pool for credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct CognitoIdentity {
    /// `REGION:GUID`
    pub pool: String,
    /// A login provider's name and its token; without it the identity is unauthenticated.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for CognitoIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CognitoIdentity").field("pool", &self.pool).finish_non_exhaustive()
    }
}

pub(super) struct CognitoProvider {
    client: Client,
    identity: CognitoIdentity,
    /// Kept, since each GetId without login makes a new identity.
    id: Mutex<Option<String>>,
}

impl CognitoProvider {
    /// Both calls are made in the pool's own region, and are not signed.
    pub fn new(identity: &CognitoIdentity, config: &SdkConfig) -> Self {
        let region = identity.pool.split_once(':').map(|(region, _)| Region::new(region.to_owned()));
        let config = aws_sdk_cognitoidentity::config::Builder::from(config).region(region).build();
        Self { client: Client::from_conf(config), identity: identity.clone(), id: Mutex::default() }
    }

    fn logins(&self) -> Option<HashMap<String, String>> {
        self.identity.login.clone().map(|login| HashMap::from([login]))
    }

    fn remember(&self, id: Option<String>) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    async fn credentials(&self) -> provider::Result {
        let known = self.id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.get_id().await?;
                self.remember(Some(id.clone()));
                id
            }
        };
        let answer = self.client.get_credentials_for_identity().identity_id(&id).set_logins(self.logins()).send().await;
        let given = match answer {
            Ok(answer) => answer.credentials,
            Err(error) => {
                if matches!(error.code(), Some("ResourceNotFoundException" | "NotAuthorizedException")) {
                    // The identity may be gone: the next call asks for another.
                    self.remember(None);
                }
                return Err(self.failed(&error).into());
            }
        };
        let missing =
            || CredentialError::Unavailable { by: self.name(), reason: "its answer holds no keys".to_owned() };
        let given = given.ok_or_else(missing)?;
        let (Some(access_key), Some(secret_key)) = (given.access_key_id, given.secret_key) else {
            return Err(missing().into());
        };
        let expiration = given.expiration.map(SystemTime::try_from).transpose().map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(access_key, secret_key, given.session_token, expiration, "cognito-identity-pool-id"))
    }

    async fn get_id(&self) -> Result<String, CredentialError> {
        let call = self.client.get_id().identity_pool_id(&self.identity.pool).set_logins(self.logins());
        let answer = call.send().await.map_err(|error| self.failed(&error))?;
        let missing =
            || CredentialError::Unavailable { by: self.name(), reason: "its answer names no identity".to_owned() };
        answer.identity_id.ok_or_else(missing)
    }

    fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> CredentialError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(context) => refusal(self.name(), context.err(), context.raw()),
            _ => unanswered(self.name(), error),
        }
    }

    fn name(&self) -> String {
        format!("the Cognito identity pool {}", self.identity.pool)
    }
}

impl ProvideCredentials for CognitoProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for CognitoProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CognitoProvider").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;
    use aws_config::retry::RetryConfig;
    use kvs_emulator::Emulator;
    use kvs_emulator::identity::{CredentialServer, Refusal};

    use super::*;

    #[tokio::test]
    async fn an_identity_is_kept_until_it_is_gone() {
        let emulator = Emulator::builder().start().unwrap();
        let server = CredentialServer::start(&emulator).unwrap();
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(crate::aws::http::client(None).unwrap())
            .endpoint_url(server.url())
            .retry_config(RetryConfig::disabled())
            .build();
        let provider = CognitoProvider::new(&CognitoIdentity { pool: "us-west-2:0".into(), login: None }, &config);
        for refusal in [
            Some(Refusal::new(500, "InternalErrorException", "")),
            Some(Refusal::new(400, "TooManyRequestsException", "")),
            None,
            Some(Refusal::new(400, "ResourceNotFoundException", "Identity not found.")),
            None,
        ] {
            let refused = refusal.is_some();
            server.set_refusal(refusal);
            assert_eq!(provider.credentials().await.is_err(), refused);
        }
        let requests = server.requests();
        let ids: Vec<_> = requests.iter().map(|request| request.asked["IdentityId"].as_str().unwrap()).collect();
        assert_eq!(ids[..4], [ids[0]; 4]);
        assert_ne!(ids[4], ids[0]);
    }
}
