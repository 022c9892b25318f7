//! The compact form of a signed token (RFC 7515 §3.1), taken apart without believing any of it.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::strict_json::parse_object;
use super::{Algorithm, Invalid, TokenError};

/// The largest token, in bytes.
pub const LARGEST_TOKEN: usize = 8 * 1024;

/// The longest part of a foreign name that goes into a log.
const LONGEST_QUOTE: usize = 32;

/// Whose token it is said to be; decides how much is demanded of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An outside issuer's, or a client's assertion: `x5t` and `x5t#S256` may stand in the header and
    /// are ignored.
    Outside,
    /// Our own authority's: nothing but `alg`, `kid` and `typ`, all of them present.
    Own,
}

/// A token that has the right shape. Nothing in it is verified.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    /// The bytes that the signature covers.
    pub(super) signed: &'a [u8],
    /// Still in base64url, as the signature code takes it.
    pub(super) signature: &'a str,
    payload: Vec<u8>,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str, origin: Origin) -> Result<Self, Invalid> {
        let (header, parts) = Parts::split(token)?;
        Ok(parts.with(Header::parse(header, origin)?))
    }

    /// A token that brings its key along, and the key (RFC 9449 §4.2).
    pub(super) fn parse_proof(token: &'a str) -> Result<(Self, Map<String, Value>), Invalid> {
        let (mut header, parts) = Parts::split(token)?;
        let Some(Value::Object(jwk)) = header.remove("jwk") else {
            return Err(Invalid::KeyMissing);
        };
        Ok((parts.with(Header::parse(header, Origin::Own)?), jwk))
    }

    /// The claims, unverified like everything here.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Invalid> {
        parse_object(&self.payload).map_err(|source| Invalid::Json {
            part: "claims",
            source,
        })
    }

    /// Checks that `typ` is one of `allowed`, where `None` stands for an absent one.
    pub(super) fn check_type(&self, allowed: &[Option<&str>]) -> Result<(), Invalid> {
        let typ = self.typ.as_deref().map(bare_type);
        let fits = |wanted: &Option<&str>| match (wanted, typ) {
            (Some(wanted), Some(typ)) => wanted.eq_ignore_ascii_case(typ),
            (None, None) => true,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if allowed.iter().any(fits) {
            Ok(())
        } else {
            Err(Invalid::Type)
        }
    }
}

/// The three parts of a token, its header apart.
struct Parts<'a> {
    signed: &'a [u8],
    signature: &'a str,
    payload: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<(Map<String, Value>, Self), Invalid> {
        if token.len() > LARGEST_TOKEN {
            return Err(Invalid::Size);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Invalid::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(Invalid::Parts)?;
        let empty = header.is_empty() || payload.is_empty() || signature.is_empty();
        if empty || payload.contains('.') {
            return Err(Invalid::Parts);
        }
        let header = decode(header).ok_or(Invalid::Base64("header"))?;
        let payload = decode(payload).ok_or(Invalid::Base64("claims"))?;
        decode(signature).ok_or(Invalid::Base64("signature"))?;
        let header = parse_object(&header).map_err(|source| Invalid::Json {
            part: "header",
            source,
        })?;
        let parts = Self {
            signed: signed.as_bytes(),
            signature,
            payload,
        };
        Ok((header, parts))
    }

    fn with(self, header: Header) -> Jws<'a> {
        Jws {
            algorithm: header.algorithm,
            kid: header.kid,
            typ: header.typ,
            signed: self.signed,
            signature: self.signature,
            payload: self.payload,
        }
    }
}

/// The issuer that a token claims to have, to find the keys that it has to be verified with.
///
/// Says nothing about who made the token.
#[must_use]
pub fn unverified_issuer(token: &str) -> Option<String> {
    let claims = Jws::parse(token, Origin::Outside).ok()?.claims().ok()?;
    Some(claims.get("iss")?.as_str()?.to_owned())
}

/// The token's signature checked with a key, over the bytes that were sent.
pub(super) fn check_signature(jws: &Jws<'_>, key: &super::VerifyingKey) -> Result<(), TokenError> {
    // The algorithm is the key's; the token only has to agree (RFC 8725 §3.1).
    if jws.algorithm != key.algorithm() {
        return Err(Invalid::Algorithm.into());
    }
    match jsonwebtoken::crypto::verify(
        jws.signature,
        jws.signed,
        key.engine(),
        key.algorithm().engine(),
    ) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Invalid::Signature.into()),
    }
}

/// Canonical base64url without padding: no other text stands for the same bytes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
}

impl Header {
    fn parse(members: Map<String, Value>, origin: Origin) -> Result<Self, Invalid> {
        let (mut algorithm, mut kid, mut typ) = (None, None, None);
        for (name, value) in members {
            match (name.as_str(), origin) {
                ("alg", _) => algorithm = Some(text("alg", value)?),
                ("kid", _) => kid = Some(text("kid", value)?),
                ("typ", _) => typ = Some(text("typ", value)?),
                ("x5t", Origin::Outside) => drop(text("x5t", value)?),
                ("x5t#S256", Origin::Outside) => drop(text("x5t#S256", value)?),
                _ => return Err(Invalid::HeaderMember(quote(&name))),
            }
        }
        let algorithm = algorithm.ok_or(Invalid::Algorithm)?;
        Ok(Self {
            algorithm: Algorithm::from_name(&algorithm).ok_or(Invalid::Algorithm)?,
            kid,
            typ,
        })
    }
}

fn text(name: &'static str, value: Value) -> Result<String, Invalid> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(Invalid::HeaderType(name)),
    }
}

/// A foreign name, short and without anything that could write into a log on its own.
fn quote(name: &str) -> String {
    name.escape_default().take(LONGEST_QUOTE).collect()
}

/// A media type without the `application/` that may be left out (RFC 7515 §4.1.9).
fn bare_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, bare)) if prefix.eq_ignore_ascii_case(PREFIX) => bare,
        _ => typ,
    }
}
