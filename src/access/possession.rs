//! Whether a token's bearer holds what the token is bound to.

use crate::authn::Authenticated;
use crate::base::Digest;
use crate::tokens::Confirmation;

/// What the bearer of a token did not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHeld {
    /// The client certificate that the token is bound to (RFC 8705 §3).
    Certificate,
    /// An accepted proof by the DPoP key that the token is bound to (RFC 9449 §7). None is accepted: no
    /// token of ours is bound to a key, so one that says it is was made by an outside issuer.
    DpopKey,
    /// The token came under the `DPoP` scheme and is bound to no key (RFC 9449 §7.1).
    Unbound,
}

/// Checks that the bearer holds what the token is bound to. `certificate` is the digest of the one that
/// the connection showed, `dpop` whether the token came under the `DPoP` scheme.
///
/// # Errors
///
/// See [`NotHeld`].
pub fn check_possession(
    authenticated: &Authenticated,
    certificate: Option<Digest>,
    dpop: bool,
) -> Result<(), NotHeld> {
    match authenticated.confirmation() {
        Some(Confirmation::Jkt(_)) => Err(NotHeld::DpopKey),
        None | Some(Confirmation::X5tS256(_)) if dpop => Err(NotHeld::Unbound),
        Some(Confirmation::X5tS256(bound)) if certificate != Some(bound) => {
            Err(NotHeld::Certificate)
        }
        None | Some(Confirmation::X5tS256(_)) => Ok(()),
    }
}
