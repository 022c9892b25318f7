//! Whether a token's bearer holds what the token is bound to.

use http::{HeaderMap, HeaderValue, Method};
use tracing::debug;

use crate::authn::{Authenticated, Subject};
use crate::base::{Digest, ErrorChain};
use crate::tokens::{Confirmation, Dpop, ProofError, ProofRules, Replay};

/// The header that carries a proof.
const DPOP: &str = "dpop";

/// What the bearer of a token did not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHeld {
    /// The proof may be good, but can't be remembered at this moment.
    Busy,
    /// The client certificate that the token is bound to (RFC 8705 §3).
    Certificate,
    /// Any proof by the key that the token is bound to, under the scheme that goes with it (RFC 9449
    /// §7.1): a stolen token comes without.
    DpopKey,
    /// A nonce of ours in a proof that is otherwise in order (RFC 9449 §9).
    Nonce,
    /// A proof that is in order and made with the token's key.
    Proof,
    /// The token came under the `DPoP` scheme and is bound to no key (RFC 9449 §7.1).
    Unbound,
}

/// A request with a token, as far as possession goes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The token.
    pub token: &'a str,
    /// Whether it came under the `DPoP` scheme.
    pub dpop: bool,
    /// The client certificate of the connection.
    pub certificate: Option<Digest>,
    /// The request's method.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

/// Checks that the bearer holds what the token is bound to. `urls` are those by which the request's
/// target goes.
///
/// # Errors
///
/// See [`NotHeld`].
pub fn check_possession(
    dpop: &Dpop,
    authenticated: &Authenticated,
    shown: &Shown<'_>,
    urls: impl FnOnce() -> Vec<String>,
) -> Result<(), NotHeld> {
    match authenticated.confirmation() {
        Some(Confirmation::Jkt(key)) if shown.dpop => {
            let sender = match authenticated.subject() {
                Subject::Outside(name) => name.as_str(),
                Subject::Own(id) => id.as_str(),
            };
            check_proof(dpop, key, shown, &urls(), sender)
        }
        Some(Confirmation::Jkt(_)) => Err(NotHeld::DpopKey),
        None | Some(Confirmation::X5tS256(_)) if shown.dpop => Err(NotHeld::Unbound),
        Some(Confirmation::X5tS256(bound)) if shown.certificate != Some(bound) => {
            Err(NotHeld::Certificate)
        }
        None | Some(Confirmation::X5tS256(_)) => Ok(()),
    }
}

/// The one proof of a request; none where there is no such header.
///
/// # Errors
///
/// When there is more than one (RFC 9449 §4.3), or one that is no text.
pub fn one_proof(headers: &HeaderMap) -> Result<Option<&str>, NotHeld> {
    let mut values = headers.get_all(DPOP).iter();
    let proof = values.next().map(HeaderValue::to_str).transpose();
    match (proof, values.next()) {
        (Ok(proof), None) => Ok(proof),
        _ => Err(NotHeld::Proof),
    }
}

fn check_proof(
    dpop: &Dpop,
    key: Digest,
    shown: &Shown<'_>,
    urls: &[String],
    sender: &str,
) -> Result<(), NotHeld> {
    let proof = one_proof(shown.headers)?.ok_or(NotHeld::DpopKey)?;
    let rules = ProofRules {
        method: shown.method.as_str(),
        urls,
        token: Some(shown.token),
    };
    let proof = dpop.verify(proof, &rules).map_err(|error| {
        debug!(error = %ErrorChain(&error), "a proof of possession is refused");
        match error {
            ProofError::Nonce => NotHeld::Nonce,
            _ => NotHeld::Proof,
        }
    })?;
    if proof.key() != key {
        debug!("a proof of possession is made with another key than the token's");
        return Err(NotHeld::Proof);
    }
    dpop.accept(&proof, sender).map_err(|why| match why {
        Replay::Full => NotHeld::Busy,
        Replay::Seen | Replay::Stale => {
            debug!(error = %why, "a proof of possession is refused");
            NotHeld::Proof
        }
    })
}
