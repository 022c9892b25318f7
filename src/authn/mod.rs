//! Who is asking: a bearer token, of our own authority or of a trusted outside issuer, to
//! [`Authenticated`].
//!
//! Invariant: only a verified signature makes an [`Authenticated`], and its key was chosen from our own
//! tables, never from what a token says. Nothing here looks at grants, and no token is remembered here:
//! the doors remember what they have bound to a task.

mod authenticated;
mod authenticator;
mod factors;
mod fetch;
mod issuer_keys;
mod method;

pub use authenticated::{Authenticated, Subject};
pub use authenticator::Authenticator;
pub use factors::factors;
pub use fetch::FetchError;
pub use issuer_keys::{IssuerKeys, KeySource, TrustedIssuer};
pub use method::Method;
