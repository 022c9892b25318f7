//! What can be wrong with a token or with a key.

use std::io;

use thiserror::Error;

use super::{Algorithm, JsonFault};

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It never was, or is not for us.
    #[error("the token is not valid")]
    Invalid(#[from] Invalid),
}

impl TokenError {
    /// Whether nobody here knows the key that the token names: the issuer may have a newer key set.
    #[must_use]
    pub const fn is_unknown_key(&self) -> bool {
        matches!(self, Self::Invalid(Invalid::KeyUnknown))
    }
}

/// What exactly is wrong with a token. For logs: whoever sent it learns only that it is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// `alg` is not that of the key which the token selects, or not one that exists for us.
    #[error("`alg` is not the algorithm of the key")]
    Algorithm,
    /// `aud` names nobody that we are.
    #[error("`aud` names somebody else")]
    Audience,
    /// A part is not canonical base64url without padding.
    #[error("the {0} is not canonical base64url")]
    Base64(&'static str),
    /// A claim is there that such a token must not have.
    #[error("the claim `{0}` has no place in such a token")]
    ClaimForbidden(&'static str),
    /// A claim that has to be there is not.
    #[error("the claim `{0}` is missing")]
    ClaimMissing(&'static str),
    /// A claim has another type than its definition says, or is empty.
    #[error("the claim `{0}` has the wrong type")]
    ClaimType(String),
    /// `iss`, `sub` and the client are not one and the same (RFC 7523 §3).
    #[error("the assertion is not about the client that presents it")]
    Client,
    /// `cnf` binds the token to something that we can't check, or to two things.
    #[error("`cnf` is not one confirmation that can be checked")]
    Confirmation,
    /// The header has a member that it may not have.
    #[error("the header has the member `{0}`")]
    HeaderMember(String),
    /// A header member is not a string, or is empty.
    #[error("the header's `{0}` is not a text")]
    HeaderType(&'static str),
    /// `iat` lies in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// `iss` is somebody else.
    #[error("`iss` is somebody else")]
    Issuer,
    /// A part is not a JSON object with one reading.
    #[error("the {part} is not usable JSON")]
    Json {
        /// Header or claims.
        part: &'static str,
        /// What is wrong with it.
        source: JsonFault,
    },
    /// There is no `kid`, and several keys could be meant.
    #[error("the token names no key, and several have its algorithm")]
    KeyAmbiguous,
    /// There is no `kid` where one has to be.
    #[error("the token names no key")]
    KeyMissing,
    /// No key that we hold is meant.
    #[error("the token's key is unknown")]
    KeyUnknown,
    /// `exp` is not after `iat`, or further away than is allowed.
    #[error("the token's life is not of a permitted length")]
    Lifetime,
    /// `nbf` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Not three non-empty parts.
    #[error("the token has not three parts")]
    Parts,
    /// It was taken back before its end.
    #[error("the token has been revoked")]
    Revoked,
    /// The signature was not made by the key over these bytes.
    #[error("the signature is wrong")]
    Signature,
    /// Larger than any token may be.
    #[error("the token is larger than {} bytes", super::LARGEST_TOKEN)]
    Size,
    /// `typ` says that it is something else.
    #[error("`typ` is not that of such a token")]
    Type,
}

/// A key that can't be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// `alg` is missing where the key type leaves a choice, or does not fit the key.
    #[error("`alg` is {found} and has to be {expected}")]
    Algorithm {
        /// What the key says.
        found: String,
        /// What it could say.
        expected: &'static str,
    },
    /// The signature code can't work with these numbers.
    #[error("the numbers are not those of a key")]
    Broken,
    /// A curve that is not P-256 or Ed25519.
    #[error("the curve `{0}` is not supported: use P-256 or Ed25519")]
    Curve(String),
    /// Two keys of a set have one name.
    #[error("two keys have the `kid` `{0}`")]
    DuplicateKid(String),
    /// The file can't be read or written.
    #[error("the key file can't be used")]
    File(#[from] io::Error),
    /// Not a JSON object with one reading.
    #[error("the key is not usable JSON")]
    Json(#[from] JsonFault),
    /// `kty` is missing or unknown.
    #[error("the key type `{0}` is not supported: use EC, OKP or RSA")]
    KeyType(String),
    /// A member is missing, or is not what its definition says.
    #[error("the member `{0}` is missing or malformed")]
    Member(&'static str),
    /// Others could read or change a private key.
    #[error(
        "the key file has mode {0:04o}: only its owner may write it, and not everybody may read it (chmod 600)"
    )]
    Permissions(u32),
    /// A private key where a public one belongs.
    #[error("the key has the private member `{0}`: only the public part belongs here")]
    Private(&'static str),
    /// Not a set of keys, or one that is too large.
    #[error(
        "not a key set of at most {} bytes and {} keys",
        super::key_set::LARGEST_SET,
        super::key_set::MOST_KEYS
    )]
    Set,
    /// A private key is needed and this is only the public part.
    #[error("the key has no private part")]
    Public,
    /// A shared secret is no proof of who signed.
    #[error("a symmetric key can't be used: anybody who verifies with it could sign")]
    Symmetric,
    /// Signing is done with ES256 or EdDSA.
    #[error("keys that sign here are ES256 or EdDSA, not {0}")]
    SigningAlgorithm(Algorithm),
    /// `use` or `key_ops` forbid it.
    #[error("`{0}` does not allow signatures with this key")]
    Use(&'static str),
    /// An RSA key that is too short, too long, or has a bad exponent.
    #[error(
        "the RSA key is weak: it needs 2048 to 8192 bits and an odd exponent of at least 65537"
    )]
    WeakRsa,
}
