//! Whether a person has agreed, and to what: the digest that an agreement is bound to, who may agree
//! and whose agreement counts, and the second factor.
//!
//! [`digest`] is what people see and sign, [`check_consent`] judges one person's agreement to one
//! request, [`TotpSecret`] is the second factor (RFC 6238).
//!
//! Invariant: pure. Nothing here stores anything, reads a clock or changes a grant.

mod digest;
mod quorum;
mod totp;

pub use digest::{definition, digest};
pub use quorum::{Consent, ConsentFacts, Unfit, check_consent, redefined};
pub use totp::{TotpSecret, otpauth_url};
