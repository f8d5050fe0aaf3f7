//! Certificates for mutual TLS: the endpoint's, a device's, and those of a stranger.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::error::Error;

/// What a device holds, as PEM files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pem {
    /// The authority of the endpoint and of the device.
    Authority,
    /// The device's certificate.
    Certificate,
    /// Its private key.
    Key,
    /// An authority that nobody here knows.
    StrangeAuthority,
    /// A certificate of that one.
    StrangeCertificate,
    /// Its private key.
    StrangeKey,
}

impl Pem {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority.pem",
            Self::Certificate => "certificate.pem",
            Self::Key => "key.pem",
            Self::StrangeAuthority => "strange-authority.pem",
            Self::StrangeCertificate => "strange-certificate.pem",
            Self::StrangeKey => "strange-key.pem",
        }
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, name);
        let certificate = parameters.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok(Self { issuer: Issuer::new(parameters, key), pem, der })
    }

    fn certify(&self, names: &[&str]) -> Result<(rcgen::Certificate, KeyPair), Error> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut certificate = CertificateParams::new(names)?;
        // RFC 5280 section 4.2.1.1 has it in all that an authority signs, and OpenSSL's strict check asks for it.
        certificate.use_authority_key_identifier_extension = true;
        Ok((certificate.signed_by(&key, &self.issuer)?, key))
    }
}

/// Writes all [`Pem`] files, and gives a server's side that only takes the device's certificate.
pub(super) fn mutual(folder: &Path) -> Result<Arc<ServerConfig>, Error> {
    let write = |file: Pem, text: &str| {
        std::fs::write(folder.join(file.name()), text).map_err(Error::io("writing a certificate"))
    };
    let (authority, stranger) = (Authority::new("kvs-emulator authority")?, Authority::new("strange authority")?);
    let (device, device_key) = authority.certify(&["device"])?;
    let (strange, strange_key) = stranger.certify(&["device"])?;
    write(Pem::Authority, &authority.pem)?;
    write(Pem::Certificate, &device.pem())?;
    write(Pem::Key, &device_key.serialize_pem())?;
    write(Pem::StrangeAuthority, &stranger.pem)?;
    write(Pem::StrangeCertificate, &strange.pem())?;
    write(Pem::StrangeKey, &strange_key.serialize_pem())?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone())?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let clients = clients.map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))?;
    let (endpoint, key) = authority.certify(&["localhost", "127.0.0.1"])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![endpoint.der().clone()], key)?;
    Ok(Arc::new(config))
}
