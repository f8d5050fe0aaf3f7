//! The credentials provider of AWS IoT: a device's certificate for the credentials of a role alias.
//!
//! See [Authorizing direct calls to AWS services][guide] in the AWS IoT developer guide.
//!
//! [guide]: https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::CredentialError;
use crate::aws::error::{chain, is_not_valid_yet};
use crate::aws::refusal::{Refusal, first_line};
use crate::aws::route::{Connector, Proxies, Route};
use crate::aws::trust;

/// No answer with credentials is larger.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What a device shows to get credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IotCertificate {
    /// Host of the account's credentials provider, with a port where it is not 443.
    pub endpoint: String,
    /// The device's certificate, and what leads from it to its authority, in PEM.
    pub cert_path: PathBuf,
    /// The certificate's private key in PEM.
    pub key_path: PathBuf,
    /// The authorities that the endpoint's certificate may come from, in PEM.
    pub ca_path: PathBuf,
    pub role_alias: String,
    pub thing_name: String,
    /// How long a connection may take to stand.
    pub connection_timeout: Duration,
    /// How long it may take from there to the whole answer.
    pub completion_timeout: Duration,
}

#[derive(Debug)]
pub(super) struct IotProvider {
    certificate: IotCertificate,
}

type Answer = (StatusCode, Bytes);

impl IotProvider {
    pub fn new(certificate: IotCertificate) -> Self {
        Self { certificate }
    }

    async fn credentials(&self) -> provider::Result {
        let certificate = self.certificate.clone();
        // Read each time, so that a certificate that was renewed is used.
        let tls =
            tokio::task::spawn_blocking(move || tls(&certificate)).await.map_err(CredentialsError::unhandled)??;
        let timeout = self.certificate.connection_timeout.saturating_add(self.certificate.completion_timeout);
        let (status, body) = tokio::time::timeout(timeout, self.ask(tls))
            .await
            .map_err(|_| self.unavailable(format!("no answer in {} s", timeout.as_secs())))??;
        Ok(self.read(status, &body, SystemTime::now())?)
    }

    async fn ask(&self, tls: ClientConfig) -> Result<Answer, CredentialError> {
        let certificate = &self.certificate;
        let uri = Uri::builder()
            .scheme("https")
            .authority(certificate.endpoint.as_str())
            .path_and_query(format!("/role-aliases/{}/credentials", certificate.role_alias))
            .build()
            .map_err(|error| self.refused(error.to_string()))?;
        let thing = HeaderValue::from_str(&certificate.thing_name).map_err(|error| self.refused(error.to_string()))?;
        let request = Request::get(&uri).header("x-amzn-iot-thingname", thing).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| self.refused(error.to_string()))?;
        let to_proxy = trust::client_config(None, &[b"http/1.1"]).map_err(|error| self.refused(error.to_string()))?;
        let route = Route::new(Proxies::from_environment(), Arc::new(to_proxy));
        let connector = Connector::new(route, Arc::new(tls), Some(certificate.connection_timeout));
        // Used once an hour: nothing to keep open.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let response: Response<_> = client.request(request).await.map_err(|error| self.unreached(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| self.unreached(error.as_ref()))?;
        Ok((status, body.to_bytes()))
    }

    fn read(&self, status: StatusCode, body: &[u8], now: SystemTime) -> Result<Credentials, CredentialError> {
        let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        if !status.is_success() {
            let message = answer.get("message").and_then(serde_json::Value::as_str).map(first_line);
            let message = message.or_else(|| Refusal::of_body(body).message.filter(|_| answer.is_null()));
            let message = message.unwrap_or_else(|| "it gives no reason".to_owned());
            let reason = format!("{message} (HTTP {})", status.as_u16());
            let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(if passes { self.unavailable(reason) } else { self.refused(reason) });
        }
        let credentials = answer.get("credentials");
        let text = |name: &str| credentials?.get(name)?.as_str().map(str::to_owned);
        let given = (text("accessKeyId"), text("secretAccessKey"), text("sessionToken"), text("expiration"));
        let (Some(access_key), Some(secret_key), Some(token), Some(expiration)) = given else {
            return Err(self.unavailable("its answer holds no credentials".to_owned()));
        };
        let expiration: jiff::Timestamp =
            expiration.parse().map_err(|_| self.unavailable("its answer holds no expiration".to_owned()))?;
        let expiration = SystemTime::from(expiration);
        if expiration <= now {
            return Err(self.unavailable("what it gives has expired; is this machine's clock right?".to_owned()));
        }
        Ok(Credentials::new(access_key, secret_key, Some(token), Some(expiration), "iot-certificate"))
    }

    /// TLS tells by its own errors what asking again would not change.
    fn unreached(&self, error: &(dyn std::error::Error + 'static)) -> CredentialError {
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(reason)) if is_not_valid_yet(reason) => {
                self.unavailable(format!("its certificate is not valid yet; is this machine's clock right? ({reason})"))
            }
            Some(rustls::Error::InvalidCertificate(reason)) => CredentialError::Certificate {
                field: "ca-path",
                path: self.certificate.ca_path.display().to_string(),
                reason: format!("it does not vouch for {}: {reason}", self.certificate.endpoint),
            },
            Some(rustls::Error::AlertReceived(alert)) => {
                self.refused(format!("the certificate {} ({alert:?})", self.certificate.cert_path.display()))
            }
            _ => self.unavailable(chain(error)),
        }
    }

    fn refused(&self, reason: String) -> CredentialError {
        CredentialError::Refused { by: self.name(), reason }
    }

    fn unavailable(&self, reason: String) -> CredentialError {
        CredentialError::Unavailable { by: self.name(), reason }
    }

    fn name(&self) -> String {
        let IotCertificate { endpoint, role_alias, thing_name, .. } = &self.certificate;
        format!("the IoT credentials provider {endpoint} (role alias {role_alias}, thing {thing_name})")
    }
}

impl ProvideCredentials for IotProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// I/O errors hide what they carry from [`std::error::Error::source`].
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        error.downcast_ref().or_else(|| tls_error(inner?))
    })
}

/// Mutual TLS: the device's certificate for the endpoint, and the authorities for the endpoint's.
fn tls(certificate: &IotCertificate) -> Result<ClientConfig, CredentialError> {
    let unusable = |field: &'static str, path: &PathBuf, reason: String| CredentialError::Certificate {
        field,
        path: path.display().to_string(),
        reason,
    };
    let certificates = |field, path: &PathBuf| {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match read {
            Ok(certificates) if certificates.is_empty() => {
                Err(unusable(field, path, "it holds no certificate in PEM".to_owned()))
            }
            read => read.map_err(|error| unusable(field, path, pem_reason(&error))),
        }
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates("ca-path", &certificate.ca_path)? {
        roots.add(authority).map_err(|error| unusable("ca-path", &certificate.ca_path, error.to_string()))?;
    }
    let chain = certificates("cert-path", &certificate.cert_path)?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key_path)
        .map_err(|error| unusable("key-path", &certificate.key_path, pem_reason(&error)))?;
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
        .map_err(|error| unusable("key-path", &certificate.key_path, error.to_string()))
}

/// In words that hold nothing of the file: a key may stand where a certificate should.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds nothing of its kind in PEM".to_owned(),
        _ => "it is no PEM file".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_a_matter_of_the_clock() {
        let provider = IotProvider::new(IotCertificate {
            endpoint: "iot.example".to_owned(),
            cert_path: PathBuf::new(),
            key_path: PathBuf::new(),
            ca_path: PathBuf::new(),
            role_alias: String::new(),
            thing_name: String::new(),
            connection_timeout: Duration::ZERO,
            completion_timeout: Duration::ZERO,
        });
        let unreached = |reason| provider.unreached(&std::io::Error::other(rustls::Error::InvalidCertificate(reason)));
        let early = unreached(CertificateError::NotValidYet);
        assert!(matches!(early, CredentialError::Unavailable { .. }) && early.to_string().contains("clock"), "{early}");
        for reason in [CertificateError::Expired, CertificateError::UnknownIssuer] {
            assert!(matches!(unreached(reason), CredentialError::Certificate { .. }));
        }
    }
}
