//! TLS from files: the server side with reload and client certificates, the client side, and the
//! minting of development certificates.
//!
//! [`Acceptor`] serves an identity that it has checked: the chain parses and is in order, nothing in
//! it has expired, the key is the certificate's. A reload that fails leaves the last good identity in
//! place. [`Connector`] is the other direction. [`mint`] makes certificates where there is no
//! authority.
//!
//! Invariant: one cryptography provider, named explicitly; TLS 1.2 and 1.3 only; time comes from
//! `base::Clock`; a client's certificate is verified at each handshake, never remembered, and one that
//! no authority of ours has issued ([`ClientAuth::Any`]) is marked as such.
//! Deliberately absent: deadlines (whoever accepts has them) and any way to skip the verification of a
//! server.

mod acceptor;
mod any_client;
mod connector;
mod credentials;
mod der;
mod error;
pub mod mint;
mod peer;
mod stream;
mod x509;

pub use acceptor::{Acceptor, ClientAuth, ServerFiles};
pub use connector::{ClientFiles, Connector};
pub use error::TlsError;
pub use peer::Peer;
pub use stream::{ClientStream, ServerStream};
