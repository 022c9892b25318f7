//! Reading a JSON Web Key (RFC 7517), the parts that public and private keys share.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::jws::{decode, encode};
use super::{Algorithm, KeyError};
use crate::base::Digest;

/// Members that only a private key has (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The largest RSA modulus that the signature code takes, in bytes.
const LARGEST_MODULUS: usize = 1024;

/// The smallest RSA modulus, in bytes.
const SMALLEST_MODULUS: usize = 256;

/// The public numbers of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Ed25519.
    Ed25519 { x: [u8; 32] },
    /// A point on P-256.
    P256 { x: [u8; 32], y: [u8; 32] },
    /// RSA.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Numbers {
    /// The numbers of `jwk`; whether they are on the curve is not known yet.
    pub(super) fn parse(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        match text(jwk, "kty")?.unwrap_or_default() {
            "EC" => match text(jwk, "crv")?.ok_or(KeyError::Member("crv"))? {
                "P-256" => Ok(Self::P256 {
                    x: coordinate(jwk, "x")?,
                    y: coordinate(jwk, "y")?,
                }),
                curve => Err(KeyError::Curve(curve.to_owned())),
            },
            "OKP" => match text(jwk, "crv")?.ok_or(KeyError::Member("crv"))? {
                "Ed25519" => Ok(Self::Ed25519 {
                    x: coordinate(jwk, "x")?,
                }),
                curve => Err(KeyError::Curve(curve.to_owned())),
            },
            "RSA" => Self::rsa(bytes(jwk, "n")?, bytes(jwk, "e")?),
            "oct" => Err(KeyError::Symmetric),
            other => Err(KeyError::KeyType(other.to_owned())),
        }
    }

    fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, KeyError> {
        // A leading zero byte would give one key two thumbprints (RFC 7518 §2, Base64urlUInt).
        let first = *n.first().ok_or(KeyError::Member("n"))?;
        if first == 0 {
            return Err(KeyError::Member("n"));
        }
        if e.first().is_none_or(|first| *first == 0) {
            return Err(KeyError::Member("e"));
        }
        let long_enough =
            n.len() > SMALLEST_MODULUS || (n.len() == SMALLEST_MODULUS && first >= 128);
        let exponent = match e.len() {
            1..=4 => e
                .iter()
                .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)),
            _ => 0,
        };
        if !long_enough || n.len() > LARGEST_MODULUS || exponent < 65537 || exponent % 2 == 0 {
            return Err(KeyError::WeakRsa);
        }
        Ok(Self::Rsa { n, e })
    }

    /// The one algorithm that the key is for. A key type that leaves a choice has to say it itself:
    /// were it left to the token, the token would choose how it is verified.
    pub(super) fn algorithm(&self, jwk: &Map<String, Value>) -> Result<Algorithm, KeyError> {
        let named = text(jwk, "alg")?;
        let (fixed, expected) = match self {
            Self::Ed25519 { .. } => (Some(Algorithm::EdDsa), "EdDSA"),
            Self::P256 { .. } => (Some(Algorithm::Es256), "ES256"),
            Self::Rsa { .. } => (None, "RS256 or PS256"),
        };
        let wrong = || KeyError::Algorithm {
            found: named.map_or_else(|| "missing".to_owned(), |name| format!("`{name}`")),
            expected,
        };
        let named_algorithm = match named {
            Some(name) => Some(Algorithm::from_name(name).ok_or_else(wrong)?),
            None => None,
        };
        match (fixed, named_algorithm) {
            (Some(fixed), None) => Ok(fixed),
            (Some(fixed), Some(named)) if fixed == named => Ok(fixed),
            (None, Some(named @ (Algorithm::Ps256 | Algorithm::Rs256))) => Ok(named),
            _ => Err(wrong()),
        }
    }

    /// The required members in the order of their names, which is also what a thumbprint is made of.
    pub(super) fn members(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Ed25519 { x } => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", encode(x)),
            ],
            Self::P256 { x, y } => vec![
                ("crv", "P-256".to_owned()),
                ("kty", "EC".to_owned()),
                ("x", encode(x)),
                ("y", encode(y)),
            ],
            Self::Rsa { n, e } => vec![
                ("e", encode(e)),
                ("kty", "RSA".to_owned()),
                ("n", encode(n)),
            ],
        }
    }

    /// The RFC 7638 thumbprint.
    pub(super) fn thumbprint(&self) -> Digest {
        let mut canonical = String::from("{");
        for (name, value) in self.members() {
            let comma = if canonical.len() > 1 { "," } else { "" };
            // Base64url and registered names need no escapes.
            let _ = write!(canonical, "{comma}\"{name}\":\"{value}\"");
        }
        canonical.push('}');
        Digest::of(canonical.as_bytes())
    }

    /// The uncompressed point that the signature code takes for P-256.
    pub(super) fn point(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
        [&[4], x.as_slice(), y.as_slice()].concat()
    }
}

/// Refuses a key that has a private part.
pub(super) fn refuse_private(jwk: &Map<String, Value>) -> Result<(), KeyError> {
    // A shared secret is told apart: it is not half of anything.
    if jwk.get("kty").and_then(Value::as_str) == Some("oct") {
        return Err(KeyError::Symmetric);
    }
    match PRIVATE.into_iter().find(|name| jwk.contains_key(*name)) {
        Some(name) => Err(KeyError::Private(name)),
        None => Ok(()),
    }
}

/// Checks `use` and `key_ops`, each of which may be absent (RFC 7517 §4.2, §4.3).
pub(super) fn check_use(jwk: &Map<String, Value>, operation: &str) -> Result<(), KeyError> {
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyError::Use("use"));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) => {
            if operations.iter().any(|named| named == operation) {
                Ok(())
            } else {
                Err(KeyError::Use("key_ops"))
            }
        }
        Some(_) => Err(KeyError::Member("key_ops")),
    }
}

pub(super) fn text<'a>(
    jwk: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, KeyError> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(KeyError::Member(name)),
    }
}

pub(super) fn coordinate(
    jwk: &Map<String, Value>,
    name: &'static str,
) -> Result<[u8; 32], KeyError> {
    bytes(jwk, name)?
        .try_into()
        .map_err(|_| KeyError::Member(name))
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    text(jwk, name)?
        .and_then(decode)
        .ok_or(KeyError::Member(name))
}
