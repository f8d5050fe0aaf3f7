//! A certificate authority of the emulator's own, made at every start.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::Error;

/// What a TLS server needs, and what its clients must trust.
pub(crate) struct Identity {
    pub config: Arc<ServerConfig>,
    /// The same with HTTP/1.1 alone, where the other offers HTTP/2.
    pub http1: Option<Arc<ServerConfig>>,
    /// The authority's certificate in PEM.
    pub ca_pem: String,
}

/// Makes an authority and a certificate for this machine's own names and these; HTTP/2, if it is offered, comes before
/// HTTP/1.1.
pub(crate) fn identity(http2: bool, names: &[String]) -> Result<Identity, Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "kvs-emulator test authority");
    let ca_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names: Vec<String> = own.into_iter().chain(names.iter().cloned()).collect();
    let mut certificate = CertificateParams::new(names)?;
    // RFC 5280 section 4.2.1.1 has it in all that an authority signs, and OpenSSL's strict check asks for it.
    certificate.use_authority_key_identifier_extension = true;
    let certificate = certificate.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = http2.then(|| Arc::new(config.clone()));
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(Identity { config: Arc::new(config), http1, ca_pem })
}
