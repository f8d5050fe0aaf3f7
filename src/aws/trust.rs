//! Whom to trust under TLS: the system's certificate authorities, and those that a file adds to them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Certificate authorities beside the system's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

/// A file is no use as one of certificate authorities.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthorities {
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: io::Error },
    #[error("{} holds no certificate in PEM form", path.display())]
    Empty { path: PathBuf },
    #[error("{} holds a certificate that cannot be used: {reason}", path.display())]
    Broken { path: PathBuf, reason: String },
}

impl Authorities {
    /// Reads a file of certificates in PEM form (RFC 7468).
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no certificate, or one that is broken.
    pub fn read(path: &Path) -> Result<Self, InvalidAuthorities> {
        let path = || path.to_owned();
        let pem = std::fs::read(path()).map_err(|reason| InvalidAuthorities::Unreadable { path: path(), reason })?;
        let broken = |reason: String| InvalidAuthorities::Broken { path: path(), reason };
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| broken(error.to_string()))?;
        if certificates.is_empty() {
            return Err(InvalidAuthorities::Empty { path: path() });
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| broken(error.to_string()))?;
        }
        Ok(Self(certificates.into()))
    }
}

/// TLS as a client that trusts the system's authorities and these, and speaks the protocols in this order (ALPN).
///
/// # Errors
///
/// The cryptography cannot do any version of TLS.
pub(super) fn client_config(
    authorities: Option<&Authorities>,
    protocols: &[&[u8]],
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = system().clone();
    // They could all be added when they were read.
    roots.add_parsable_certificates(authorities.iter().flat_map(|authorities| authorities.0.iter().cloned()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The system's authorities, read once; without any, every certificate is refused and the error says so.
fn system() -> &'static RootCertStore {
    static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    &SYSTEM
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_no_use_is_named() {
        let missing = Authorities::read(Path::new("/nowhere/authorities.pem")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/authorities.pem"), "{missing}");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, part) in
            [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\n", "cannot be used"), (garbage, "cannot be used")]
        {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let error = Authorities::read(file.path()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(&file.path().display().to_string()), "{error}");
        }
    }
}
