//! The server side: an identity from files, checked before it is served, replaced while it is.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::any_client::AnyClient;
use super::credentials::{Contents, Credentials, WallClock, provider, unix_time};
use super::stream::PROTOCOLS;
use super::{ServerStream, TlsError};
use crate::base::{Clock, Digest, Live};

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They may, and anybody may have issued it: what it proves is that they hold its key.
    Any,
    /// They are not asked.
    None,
    /// They may; one that no authority of ours has issued ends the handshake.
    Optional,
    /// They have to.
    Required,
}

/// What a server is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The chain in PEM form, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM form.
    pub key: PathBuf,
    /// The authorities that issue the clients' certificates; not read if clients are not asked, not needed
    /// if anybody may issue them.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked.
    pub client_auth: ClientAuth,
}

/// Makes TLS out of accepted connections. Cheap to clone; clones share one identity.
#[derive(Clone)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

struct Shared {
    files: ServerFiles,
    clock: Clock,
    identity: Live<Identity>,
    /// Held by whoever reloads, so that an older reading never replaces a newer one.
    reloading: Mutex<()>,
}

struct Identity {
    config: Arc<ServerConfig>,
    /// Tells the certificates that our authorities have issued from others, where others are accepted.
    issued: Option<Arc<dyn ClientCertVerifier>>,
    strict: bool,
    expires_at: Timestamp,
    /// Of all files together.
    digest: Digest,
}

impl Acceptor {
    /// Reads and checks the files.
    ///
    /// # Errors
    ///
    /// When a file can't be read, the chain is broken, out of order or not valid now, or the key is
    /// another certificate's.
    pub fn open(files: ServerFiles, clock: Clock) -> Result<Self, TlsError> {
        let read = ReadFiles::read(&files)?;
        let identity = read.check(files.client_auth, &clock)?;
        Ok(Self {
            shared: Arc::new(Shared {
                files,
                clock,
                identity: Live::new(identity),
                reloading: Mutex::new(()),
            }),
        })
    }

    /// Reads the files again and tells whether anything has changed. Handshakes from now on see the
    /// new identity; sessions under way keep theirs. Reads files: not for a thread that serves.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`]; the last good identity goes on serving.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let shared = &*self.shared;
        let _alone = shared
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let read = ReadFiles::read(&shared.files)?;
        if read.digest() == shared.identity.peek().digest {
            return Ok(false);
        }
        let identity = read.check(shared.files.client_auth, &shared.clock)?;
        shared.identity.publish(Arc::new(identity));
        Ok(true)
    }

    /// Where the identity comes from.
    #[must_use]
    pub fn files(&self) -> &ServerFiles {
        &self.shared.files
    }

    /// When the first certificate of the chain in use ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.shared.identity.peek().expires_at
    }

    /// Shakes hands on `stream`. Waits as long as the client makes it wait: set a deadline. Dropped
    /// on the way, it closes the connection.
    ///
    /// # Errors
    ///
    /// When the client gives up, speaks something else, or shows no certificate that it needs.
    pub async fn accept<S>(&self, stream: S) -> Result<ServerStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let identity = self.shared.identity.current();
        let config = Arc::clone(&identity.config);
        let accepted = TlsAcceptor::from(config).accept(stream).await;
        let accepted = accepted.map_err(TlsError::Handshake)?;
        ServerStream::new(accepted, |chain| {
            identity.has_issued(chain, self.shared.clock.wall())
        })
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("files", &self.shared.files)
            .finish_non_exhaustive()
    }
}

/// The bytes of one moment, so that what is checked is what is served.
struct ReadFiles {
    certificate: Contents,
    key: Contents,
    client_ca: Option<Contents>,
}

impl ReadFiles {
    fn read(files: &ServerFiles) -> Result<Self, TlsError> {
        let client_ca = match (files.client_auth, &files.client_ca) {
            (ClientAuth::None, _) | (ClientAuth::Any, None) => None,
            (ClientAuth::Any | ClientAuth::Optional | ClientAuth::Required, Some(path)) => {
                Some(Contents::read(path)?)
            }
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                return Err(TlsError::ClientCaMissing);
            }
        };
        Ok(Self {
            certificate: Contents::read(&files.certificate)?,
            key: Contents::read(&files.key)?,
            client_ca,
        })
    }

    fn digest(&self) -> Digest {
        let client_ca = self.client_ca.as_ref().map(|file| Digest::of(&file.bytes));
        Digest::of_parts(&[
            Digest::of(&self.certificate.bytes).as_bytes(),
            Digest::of(&self.key.bytes).as_bytes(),
            client_ca.unwrap_or(Digest::ZERO).as_bytes(),
        ])
    }

    fn check(&self, client_auth: ClientAuth, clock: &Clock) -> Result<Identity, TlsError> {
        let credentials = Credentials::check(&self.certificate, &self.key, clock.wall())?;
        let builder =
            ServerConfig::builder_with_details(provider(), Arc::new(WallClock(clock.clone())))
                .with_protocol_versions(&[&TLS13, &TLS12])
                .map_err(|error| TlsError::Setup(error.into()))?;
        let client_ca = self.client_ca.as_ref();
        let verifier = client_ca.map(|client_ca| client_verifier(client_ca, client_auth));
        let verifier = verifier.transpose()?;
        let any = client_auth == ClientAuth::Any;
        let builder = match &verifier {
            _ if any => builder.with_client_cert_verifier(Arc::new(AnyClient::new(provider()))),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Only(credentials.certified)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if any || verifier.is_some() {
            // A resumed session would carry an identity that nobody has looked at again: its
            // certificate may have ended since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Identity {
            config: Arc::new(config),
            issued: verifier,
            strict: !any,
            expires_at: credentials.expires_at,
            digest: self.digest(),
        })
    }
}

impl Identity {
    /// Whether an authority of ours has issued a chain that the handshake has let pass.
    fn has_issued(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((leaf, above)) = chain.split_first() else {
            return false;
        };
        let verified = |verifier: &Arc<dyn ClientCertVerifier>| {
            let verified = verifier.verify_client_cert(leaf, above, unix_time(now));
            verified.is_ok()
        };
        self.strict || self.issued.as_ref().is_some_and(verified)
    }
}

fn client_verifier(
    client_ca: &Contents,
    client_auth: ClientAuth,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(client_ca.roots()?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = match client_auth {
        ClientAuth::Required => builder,
        ClientAuth::Any | ClientAuth::None | ClientAuth::Optional => {
            builder.allow_unauthenticated()
        }
    };
    builder
        .build()
        .map_err(|error| TlsError::Setup(error.into()))
}

/// One identity, whatever name the client asks for: which names we answer to is a matter of routes.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
