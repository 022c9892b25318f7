//! What can go wrong with certificates and handshakes.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use thiserror::Error;

/// The cause below an error, of whatever library.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// What is wrong with a certificate, a key, or a handshake.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A CA file is needed to verify client certificates.
    #[error("client certificates can't be verified without `client_ca`")]
    ClientCaMissing,
    /// A certificate of a file is not one that can be read.
    #[error("certificate {position} in `{}` can't be read", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        position: usize,
        /// What is wrong, where that is known.
        source: Option<Cause>,
    },
    /// A chain in the wrong order.
    #[error(
        "certificate {position} in `{}` did not issue the one before it: the server's own comes first, then each issuer",
        path.display()
    )]
    ChainOrder {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        position: usize,
    },
    /// A certificate that clients refuse by now.
    #[error("certificate {position} in `{}` expired at {at}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        position: usize,
        /// When.
        at: Timestamp,
    },
    /// A file can't be read or written.
    #[error("`{}` can't be used", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// A certificate that was issued by another authority than the one beside it.
    #[error("`{}` was not issued by `{}`: delete it and its key, or restore its authority", certificate.display(), ca.display())]
    Foreign {
        /// The certificate.
        certificate: PathBuf,
        /// The authority.
        ca: PathBuf,
    },
    /// One half of a pair is missing.
    #[error("`{}` is there but `{}` is not: restore it, or delete both", present.display(), absent.display())]
    HalfPair {
        /// The half that is there.
        present: PathBuf,
        /// The half that isn't.
        absent: PathBuf,
    },
    /// The other side did not get through the handshake.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// The key is of a kind that can't be used.
    #[error("the key in `{}` can't be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Cause,
    },
    /// The key belongs to another certificate.
    #[error("the key in `{}` is not that of the certificate in `{}`", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// A certificate can't be made.
    #[error("the certificate can't be made")]
    Mint(#[source] Cause),
    /// A file without a certificate.
    #[error("`{}` has no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// A file without a key.
    #[error("`{}` has no private key in PEM form", .0.display())]
    NoKey(PathBuf),
    /// The machine has no list of authorities that it trusts.
    #[error(
        "no trusted authorities found: install `ca-certificates`, set `SSL_CERT_FILE`, or name a CA file"
    )]
    NoSystemRoots,
    /// A certificate that does not issue certificates.
    #[error("`{}` is not the certificate of an authority that can issue here", .0.display())]
    NotAnAuthority(PathBuf),
    /// A certificate of the future.
    #[error("certificate {position} in `{}` is not valid before {at}", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        position: usize,
        /// When it will be.
        at: Timestamp,
    },
    /// A verified client certificate whose names can't be read.
    #[error("the client's certificate has names that can't be read")]
    PeerCertificate,
    /// A text that is neither a host name nor an address.
    #[error("`{0}` is not the name of a server")]
    ServerName(String),
    /// The parts don't work together.
    #[error("TLS can't be set up")]
    Setup(#[source] Cause),
    /// A PEM file with a broken section.
    #[error("`{}` is not well-formed PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Cause,
    },
}
