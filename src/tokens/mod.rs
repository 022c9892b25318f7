//! The token authority and the strict reading of everybody's tokens.
//!
//! [`Authority`] issues and verifies our own access tokens (RFC 9068); a [`KeySet`] verifies those of
//! one outside issuer; [`Assertion`] verifies how a client authenticates (RFC 7523), and a
//! [`ReplayCache`] lets it do so once. [`Dpop`] verifies that a sender holds a key (RFC 9449),
//! [`SecurityEvent`] what a transmitter of shared signals says (RFC 8417).
//!
//! A token is read by this room's own parser: size, alphabet, member names, JSON with one reading.
//! Only then is its signature checked, with the key that *we* hold and the one algorithm that belongs
//! to that key (RFC 8725 §3.1). A name in the token selects a key; it never describes one.
//!
//! Invariant: a claim of the wrong type is an error, never an absent claim. No symmetric algorithm,
//! `none`, key address, critical extension or encryption can be expressed here, and no embedded key but
//! that of a proof, which proves nothing else.
//! Deliberately absent: any fetch, and any look at agents, tasks or grants.

mod algorithm;
mod assertion;
mod authority;
mod claims;
mod dpop;
mod error;
mod jwk;
mod jws;
mod key_ring;
mod key_set;
mod nonces;
mod replay_cache;
mod revoked;
mod security_event;
mod signing_key;
mod spki;
mod strict_json;
mod verifying_key;

pub use algorithm::Algorithm;
pub use assertion::{
    Assertion, AssertionClaims, LONGEST_ASSERTION, sign_assertion, unverified_client,
};
pub use authority::{Authority, AuthorityError, Issue, Issued, LONGEST_TTL};
pub use claims::{Claims, Confirmation};
pub use dpop::{Dpop, Proof, ProofError, ProofRules, sign_proof};
pub use error::{Invalid, KeyError, TokenError};
pub use jws::{LARGEST_TOKEN, Origin, unverified_issuer};
pub use key_ring::{OVERLAP, Rotation};
pub use key_set::{KeySet, LEEWAY, Rules, Verified};
pub use replay_cache::{Replay, ReplayCache};
pub use revoked::{REVOKED_MARGIN, Revoked, SESSIONS_ENDED, Sessions};
pub use security_event::{Events, OLDEST_EVENT, SecurityEvent};
pub use signing_key::SigningKey;
pub use strict_json::JsonFault;
pub use verifying_key::VerifyingKey;
