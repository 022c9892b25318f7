//! Who is at the other end, by its verified certificate.

use rustls::pki_types::CertificateDer;

use super::TlsError;
use super::x509::{Certificate, distinguished_name};
use crate::base::Digest;

/// A client that has shown a certificate and holds its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The SHA-256 of the certificate in DER: the `x5t#S256` of RFC 8705 §3.1.
    pub thumbprint: Digest,
    /// Whether an authority of ours has issued it. Of any other certificate nothing is to be believed but
    /// that the client holds its key.
    pub issued: bool,
    /// The SHA-256 of its public key in DER, with its algorithm.
    pub public_key: Digest,
    /// The subject, as RFC 4514 writes it.
    pub subject: String,
    /// The DNS names that it speaks for.
    pub dns_names: Vec<String>,
    /// The URIs that it speaks for; a SPIFFE id is one.
    pub uris: Vec<String>,
}

impl Peer {
    /// Reads a certificate that the handshake has verified.
    pub(super) fn read(der: &CertificateDer<'_>, issued: bool) -> Result<Self, TlsError> {
        let certificate = Certificate::parse(der).ok_or(TlsError::PeerCertificate)?;
        let subject = distinguished_name(&certificate.subject);
        Ok(Self {
            thumbprint: Digest::of(der),
            issued,
            public_key: Digest::of(&certificate.public_key),
            subject: subject.ok_or(TlsError::PeerCertificate)?,
            dns_names: certificate.dns_names,
            uris: certificate.uris,
        })
    }
}
