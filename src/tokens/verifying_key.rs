//! A public key with the one algorithm that it is for.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::jwk::{Numbers, check_use, refuse_private, text};
use super::jws::encode;
use super::{Algorithm, KeyError};
use crate::base::Digest;

/// A key that verifies signatures. Cheap to clone.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Parts>);

struct Parts {
    kid: Option<String>,
    algorithm: Algorithm,
    numbers: Numbers,
    thumbprint: Digest,
    engine: DecodingKey,
}

impl VerifyingKey {
    /// Reads a public JWK: P-256, Ed25519, or RSA that names its algorithm. Members that we don't know
    /// are ignored (RFC 7517 §4).
    ///
    /// # Errors
    ///
    /// When the key is malformed, weak, symmetric, private, or for another use.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let Value::Object(jwk) = jwk else {
            return Err(KeyError::Json(super::JsonFault::NotAnObject));
        };
        refuse_private(jwk)?;
        check_use(jwk, "verify")?;
        Self::from_public_members(jwk)
    }

    /// Reads the public part and lets private members stand.
    pub(super) fn from_public_members(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let numbers = Numbers::parse(jwk)?;
        let algorithm = numbers.algorithm(jwk)?;
        let kid = text(jwk, "kid")?.map(str::to_owned);
        Ok(Self(Arc::new(Parts {
            kid,
            algorithm,
            thumbprint: numbers.thumbprint(),
            engine: engine(&numbers)?,
            numbers,
        })))
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.0.kid.as_deref()
    }

    /// The one algorithm that it verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Its RFC 7638 thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> Digest {
        self.0.thumbprint
    }

    /// The key as a public JWK, with `alg` and `use`, and with its name or else its thumbprint as `kid`.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        Value::Object(self.members())
    }

    /// Whether a token that names `kid` means this key: by its name, or by the thumbprint of a key
    /// that has none.
    pub(super) fn is_named(&self, kid: &str) -> bool {
        match &self.0.kid {
            Some(own) => own == kid,
            None => encode(self.0.thumbprint.as_bytes()) == kid,
        }
    }

    /// The name, or the thumbprint where there is none.
    pub(super) fn name(&self) -> String {
        match &self.0.kid {
            Some(kid) => kid.clone(),
            None => encode(self.0.thumbprint.as_bytes()),
        }
    }

    pub(super) fn numbers(&self) -> &Numbers {
        &self.0.numbers
    }

    pub(super) fn members(&self) -> Map<String, Value> {
        let mut jwk = Map::new();
        for (name, value) in self.0.numbers.members() {
            jwk.insert(name.to_owned(), value.into());
        }
        jwk.insert("alg".to_owned(), self.0.algorithm.name().into());
        jwk.insert("kid".to_owned(), self.name().into());
        jwk.insert("use".to_owned(), "sig".into());
        jwk
    }

    pub(super) fn engine(&self) -> &DecodingKey {
        &self.0.engine
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.0.algorithm, self.name())
    }
}

/// Checks the numbers once, so that a key which can never verify is found where it is read.
fn engine(numbers: &Numbers) -> Result<DecodingKey, KeyError> {
    match numbers {
        Numbers::Ed25519 { x } => {
            ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyError::Broken)?;
            Ok(DecodingKey::from_ed_der(x))
        }
        Numbers::P256 { x, y } => {
            let point = Numbers::point(x, y);
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| KeyError::Broken)?;
            Ok(DecodingKey::from_ec_der(&point))
        }
        Numbers::Rsa { n, e } => {
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .map_err(|_| KeyError::Broken)?;
            Ok(DecodingKey::from_rsa_raw_components(n, e))
        }
    }
}
