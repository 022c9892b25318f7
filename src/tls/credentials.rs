//! Certificates, keys and trusted authorities, read from files and checked.

#[cfg(test)]
mod tests;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

use super::TlsError;
use super::x509::Certificate;
use crate::base::{Clock, open_file};

/// The largest file, in bytes; the bundles of whole systems have a quarter of it.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Where systems keep the authorities that they trust.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The one provider of cryptography.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Our clock, as the TLS library asks for the time.
#[derive(Debug)]
pub(super) struct WallClock(pub(super) Clock);

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.wall()))
    }
}

pub(super) fn unix_time(at: Timestamp) -> UnixTime {
    // Before 1970 nothing is valid, as at its first second.
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

/// A file's bytes with its name, for what is said about them.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Contents {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let read = || {
            let mut bytes = Vec::new();
            let mut file = open_file(path)?.take(LARGEST_FILE + 1);
            if file.read_to_end(&mut bytes)? as u64 > LARGEST_FILE {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Self {
                path: path.to_owned(),
                bytes,
            }),
            Err(source) => Err(TlsError::File {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// All certificates of the file, of which there is at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let certificates = certificates.map_err(|error| self.broken(error))?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate(self.path.clone()));
        }
        Ok(certificates)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(self.path.clone()),
            other => self.broken(other),
        })
    }

    /// The authorities of the file, every one of which has to be readable.
    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self.certificates()?.into_iter().enumerate() {
            roots
                .add(certificate)
                .map_err(|error| TlsError::Certificate {
                    path: self.path.clone(),
                    position: index + 1,
                    source: Some(error.into()),
                })?;
        }
        Ok(roots)
    }

    fn broken(&self, error: pem::Error) -> TlsError {
        TlsError::Pem {
            path: self.path.clone(),
            source: error.into(),
        }
    }
}

/// A chain with its key, checked.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) certified: Arc<CertifiedKey>,
    /// The server's or client's own certificate.
    pub(super) leaf: Certificate,
    /// When the first certificate of the chain ends.
    pub(super) expires_at: Timestamp,
}

impl Credentials {
    /// Checks that every certificate is good at `now` and issued by the next, and that the key is the
    /// first one's.
    pub(super) fn check(
        chain: &Contents,
        key: &Contents,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let certificates = chain.certificates()?;
        let read = read_chain(&chain.path, &certificates)?;
        let expires_at = check_validity(&chain.path, &read, now)?;
        let certified = CertifiedKey::from_der(certificates, key.key()?, &provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch {
                certificate: chain.path.clone(),
                key: key.path.clone(),
            },
            other => TlsError::Key {
                path: key.path.clone(),
                source: other.into(),
            },
        })?;
        let leaf = read.into_iter().next();
        Ok(Self {
            certified: Arc::new(certified),
            leaf: leaf.ok_or_else(|| TlsError::NoCertificate(chain.path.clone()))?,
            expires_at,
        })
    }
}

fn read_chain(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Vec<Certificate>, TlsError> {
    let mut read: Vec<Certificate> = Vec::new();
    for (index, der) in chain.iter().enumerate() {
        let certificate = Certificate::parse(der).ok_or_else(|| TlsError::Certificate {
            path: path.to_owned(),
            position: index + 1,
            source: None,
        })?;
        if read
            .last()
            .is_some_and(|below| below.issuer != certificate.subject)
        {
            return Err(TlsError::ChainOrder {
                path: path.to_owned(),
                position: index + 1,
            });
        }
        read.push(certificate);
    }
    Ok(read)
}

fn check_validity(
    path: &Path,
    chain: &[Certificate],
    now: Timestamp,
) -> Result<Timestamp, TlsError> {
    let mut expires_at = Timestamp::MAX;
    for (index, certificate) in chain.iter().enumerate() {
        let (path, position) = (path.to_owned(), index + 1);
        if certificate.not_after < now {
            let at = certificate.not_after;
            return Err(TlsError::Expired { path, position, at });
        }
        if certificate.not_before > now {
            let at = certificate.not_before;
            return Err(TlsError::NotYetValid { path, position, at });
        }
        expires_at = expires_at.min(certificate.not_after);
    }
    Ok(expires_at)
}

/// The authorities that the system trusts.
pub(super) fn system_roots() -> Result<RootCertStore, TlsError> {
    match std::env::var_os("SSL_CERT_FILE") {
        // Named by a person: if it can't be used, another file is not what they meant.
        Some(named) if !named.is_empty() => bundle(Path::new(&named)),
        _ => first_bundle(&SYSTEM_ROOTS.map(Path::new)),
    }
}

fn first_bundle(places: &[&Path]) -> Result<RootCertStore, TlsError> {
    match places.iter().find(|path| path.exists()) {
        Some(path) => bundle(path),
        None => Err(TlsError::NoSystemRoots),
    }
}

/// A bundle of the system. What in it can't be read is left out: trusting less is safe, and not ours
/// to repair.
fn bundle(path: &Path) -> Result<RootCertStore, TlsError> {
    let certificates = Contents::read(path)?.certificates()?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(roots)
}
