//! A private key that signs tokens, and the file that it lives in.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value, json};

use super::jwk::{Numbers, check_use, coordinate};
use super::jws::encode;
use super::strict_json::parse_object;
use super::{Algorithm, KeyError, VerifyingKey};
use crate::base::{Readers, Secret, write_whole};

/// The largest key file, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;

/// A key that signs. Cheap to clone; shows only its public part.
#[derive(Clone)]
pub struct SigningKey(Arc<Parts>);

struct Parts {
    public: VerifyingKey,
    private: Secret<[u8; 32]>,
    engine: EncodingKey,
    /// The second in which it was made, if it says so.
    made_at: Option<i64>,
}

impl SigningKey {
    /// A new key, named by its thumbprint.
    ///
    /// # Errors
    ///
    /// When `algorithm` is neither ES256 nor EdDSA.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        Self::generate_at(algorithm, None)
    }

    pub(super) fn generate_at(
        algorithm: Algorithm,
        made_at: Option<i64>,
    ) -> Result<Self, KeyError> {
        let broken = |_| KeyError::Broken;
        let (numbers, private) = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(broken)?;
                let seed = pair
                    .seed()
                    .and_then(|seed| seed.as_be_bytes())
                    .map_err(broken)?;
                let x = array(pair.public_key().as_ref())?;
                (Numbers::Ed25519 { x }, array(seed.as_ref())?)
            }
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(broken)?;
                let scalar = pair.private_key().as_be_bytes().map_err(broken)?;
                let point = pair.public_key().as_ref();
                let (x, y) = point
                    .split_first()
                    .and_then(|(_, point)| point.split_at_checked(32))
                    .ok_or(KeyError::Broken)?;
                let (x, y) = (array(x)?, array(y)?);
                (Numbers::P256 { x, y }, array(scalar.as_ref())?)
            }
            Algorithm::Ps256 | Algorithm::Rs256 => {
                return Err(KeyError::SigningAlgorithm(algorithm));
            }
        };
        let mut jwk = Map::new();
        for (name, value) in numbers.members() {
            jwk.insert(name.to_owned(), value.into());
        }
        jwk.insert(
            "kid".to_owned(),
            encode(numbers.thumbprint().as_bytes()).into(),
        );
        Self::build(&jwk, private, made_at)
    }

    /// Reads a private JWK, ES256 or EdDSA.
    ///
    /// # Errors
    ///
    /// When the key is malformed, has no private part, or its halves don't belong together.
    pub fn from_jwk(jwk: &str) -> Result<Self, KeyError> {
        let jwk = parse_object(jwk.as_bytes())?;
        // Told before the private part is looked for: no RSA key would be good enough.
        let public = VerifyingKey::from_public_members(&jwk)?;
        if matches!(public.algorithm(), Algorithm::Ps256 | Algorithm::Rs256) {
            return Err(KeyError::SigningAlgorithm(public.algorithm()));
        }
        check_use(&jwk, "sign")?;
        if !jwk.contains_key("d") {
            return Err(KeyError::Public);
        }
        let made_at = match jwk.get("iat") {
            None => None,
            Some(second) => Some(second.as_i64().ok_or(KeyError::Member("iat"))?),
        };
        Self::build(&jwk, coordinate(&jwk, "d")?, made_at)
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// When the file can't be read, others could change it or everybody could read it, or it holds no
    /// such key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        // A group that may read is how containers are handed their secrets.
        if mode & 0o026 != 0 {
            return Err(KeyError::Permissions(mode));
        }
        let mut text = String::new();
        file.take(LARGEST_FILE).read_to_string(&mut text)?;
        Self::from_jwk(&text)
    }

    /// Writes the key to a file that only its owner can read.
    ///
    /// # Errors
    ///
    /// When the file can't be written; what was there before is then untouched.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let mut text = self.to_jwk().expose().clone();
        text.push('\n');
        Ok(write_whole(path, text.as_bytes(), Readers::OwnerOnly)?)
    }

    /// The private JWK, with `alg`, `use` and `kid`.
    #[must_use]
    pub fn to_jwk(&self) -> Secret<String> {
        let mut jwk = self.0.public.members();
        jwk.insert("d".to_owned(), encode(self.0.private.expose()).into());
        if let Some(second) = self.0.made_at {
            jwk.insert("iat".to_owned(), second.into());
        }
        Secret::new(Value::Object(jwk).to_string())
    }

    /// The public JWK, with `alg`, `use` and `kid`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.0.public.to_jwk()
    }

    /// The half that verifies.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0.public
    }

    /// The name that goes into the header of what it signs.
    #[must_use]
    pub fn kid(&self) -> String {
        self.0.public.name()
    }

    pub(super) fn made_at(&self) -> Option<i64> {
        self.0.made_at
    }

    /// A signed token in compact form.
    pub(super) fn sign(
        &self,
        typ: &str,
        claims: &Map<String, Value>,
    ) -> Result<Secret<String>, KeyError> {
        let algorithm = self.0.public.algorithm().name();
        let header = json!({ "alg": algorithm, "kid": self.kid(), "typ": typ });
        let claims = serde_json::to_string(claims).map_err(|_| KeyError::Broken)?;
        self.sign_texts(&header.to_string(), &claims)
    }

    /// Signs whatever the two texts say.
    pub(super) fn sign_texts(
        &self,
        header: &str,
        claims: &str,
    ) -> Result<Secret<String>, KeyError> {
        let mut token = encode(header.as_bytes());
        token.push('.');
        token.push_str(&encode(claims.as_bytes()));
        let algorithm = self.0.public.algorithm().engine();
        let signature = jsonwebtoken::crypto::sign(token.as_bytes(), &self.0.engine, algorithm)
            .map_err(|_| KeyError::Broken)?;
        token.push('.');
        token.push_str(&signature);
        Ok(Secret::new(token))
    }

    /// What an attacker with a key could send.
    #[cfg(test)]
    pub(super) fn forge(&self, header: &str, claims: &str) -> String {
        self.sign_texts(header, claims).unwrap().expose().clone()
    }

    fn build(
        jwk: &Map<String, Value>,
        private: [u8; 32],
        made_at: Option<i64>,
    ) -> Result<Self, KeyError> {
        let public = VerifyingKey::from_public_members(jwk)?;
        Ok(Self(Arc::new(Parts {
            engine: engine(public.numbers(), &private)?,
            private: Secret::new(private),
            public,
            made_at,
        })))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SigningKey({} {})",
            self.0.public.algorithm(),
            self.kid()
        )
    }
}

/// The form that the signature code takes; fails when the halves don't belong together.
fn engine(numbers: &Numbers, private: &[u8; 32]) -> Result<EncodingKey, KeyError> {
    match numbers {
        Numbers::Ed25519 { x } => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(private, x)
                .map_err(|_| KeyError::Broken)?;
            let document = pair.to_pkcs8v1().map_err(|_| KeyError::Broken)?;
            Ok(EncodingKey::from_ed_der(document.as_ref()))
        }
        Numbers::P256 { x, y } => {
            let pair = EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                private,
                &Numbers::point(x, y),
            )
            .map_err(|_| KeyError::Broken)?;
            let document = pair.to_pkcs8v1().map_err(|_| KeyError::Broken)?;
            Ok(EncodingKey::from_ec_der(document.as_ref()))
        }
        Numbers::Rsa { .. } => Err(KeyError::SigningAlgorithm(Algorithm::Rs256)),
    }
}

fn array(bytes: &[u8]) -> Result<[u8; 32], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Broken)
}
