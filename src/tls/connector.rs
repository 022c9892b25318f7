//! The client side: to upstreams and to issuers of keys.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::credentials::{Contents, Credentials, WallClock, provider, system_roots};
use super::stream::{HTTP2, PROTOCOLS};
use super::{ClientStream, TlsError};
use crate::base::Clock;

/// What a client is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities to trust, in PEM form; the system's where there is none.
    pub ca: Option<PathBuf>,
    /// The client's own chain and key, in PEM form.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Makes TLS out of connections to servers. Cheap to clone; clones share their session tickets.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// Reads and checks the files. With `offer_http2` the server may choose HTTP/2.
    ///
    /// # Errors
    ///
    /// When a file can't be read, the client's identity is broken or not valid now, or `ca` is absent
    /// and the system trusts nobody.
    pub fn open(files: &ClientFiles, offer_http2: bool, clock: Clock) -> Result<Self, TlsError> {
        let roots = match &files.ca {
            Some(path) => Contents::read(path)?.roots()?,
            None => system_roots()?,
        };
        let now = clock.wall();
        let builder = ClientConfig::builder_with_details(provider(), Arc::new(WallClock(clock)))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsError::Setup(error.into()))?
            .with_root_certificates(roots);
        let mut config = match &files.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let (chain, key) = (Contents::read(chain)?, Contents::read(key)?);
                let certified = Credentials::check(&chain, &key, now)?.certified;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        let offered = PROTOCOLS.iter().skip(usize::from(!offer_http2));
        config.alpn_protocols = offered.map(|protocol| protocol.to_vec()).collect();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The same, offering HTTP/1.1 alone: for a connection that is to become something else.
    #[must_use]
    pub fn http1_only(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config
            .alpn_protocols
            .retain(|protocol| protocol.as_slice() != HTTP2);
        Self {
            config: Arc::new(config),
        }
    }

    /// Shakes hands with the server that has to be `server_name`: a host name or an address. Waits as
    /// long as the server makes it wait: set a deadline. Dropped on the way, it closes the connection.
    ///
    /// # Errors
    ///
    /// When the name is none, or the server can't prove that it has it.
    pub async fn connect<S>(
        &self,
        server_name: &str,
        stream: S,
    ) -> Result<ClientStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = parse_name(server_name)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(name, stream).await;
        Ok(ClientStream::new(connected.map_err(TlsError::Handshake)?))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// A host name, or an address, which may have the brackets that it has in a URL.
fn parse_name(text: &str) -> Result<ServerName<'static>, TlsError> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let name = ServerName::try_from(inner.unwrap_or(text).to_owned());
    match name {
        Ok(ServerName::IpAddress(address)) => Ok(ServerName::IpAddress(address)),
        Ok(name) if inner.is_none() => Ok(name),
        _ => Err(TlsError::ServerName(text.to_owned())),
    }
}
