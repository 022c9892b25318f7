//! A token's claims, typed once. A claim of the wrong type is an error, never an absent claim.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::Invalid;
use super::jws::{decode, encode};
use crate::base::Digest;

/// What a token says. Made only where its signature has been checked.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is about.
    pub sub: String,
    /// Whom it is for.
    pub aud: Vec<String>,
    /// The second at which it stops being good.
    pub exp: i64,
    /// The second from which on it is good.
    pub nbf: Option<i64>,
    /// The second in which it was made.
    pub iat: i64,
    /// Its own name.
    pub jti: Option<String>,
    /// The client that it was issued to.
    pub client_id: Option<String>,
    /// Entitlement ids, separated by blanks; informative.
    pub scope: Option<String>,
    /// The task that it serves.
    pub task: Option<String>,
    /// What its bearer has to prove besides.
    pub cnf: Option<Confirmation>,
    /// What was granted, an array (RFC 9396).
    pub authorization_details: Option<Value>,
    /// The class of the authentication (RFC 9068 §2.2.1).
    pub acr: Option<String>,
    /// The methods of the authentication (RFC 8176).
    pub amr: Vec<String>,
    /// The second in which its subject authenticated.
    pub auth_time: Option<i64>,
    raw: Map<String, Value>,
}

/// The key that a token is bound to (RFC 7800).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The RFC 7638 thumbprint of a DPoP key (RFC 9449 §6.1).
    Jkt(Digest),
    /// The SHA-256 of a client certificate (RFC 8705 §3.1).
    X5tS256(Digest),
}

impl Claims {
    pub(super) fn parse(raw: Map<String, Value>) -> Result<Self, Invalid> {
        let claims = Members(&raw);
        Ok(Self {
            iss: claims.text("iss")?.ok_or(Invalid::ClaimMissing("iss"))?,
            sub: claims.text("sub")?.ok_or(Invalid::ClaimMissing("sub"))?,
            aud: claims.audience()?,
            exp: claims.integer("exp")?.ok_or(Invalid::ClaimMissing("exp"))?,
            nbf: claims.integer("nbf")?,
            iat: claims.integer("iat")?.ok_or(Invalid::ClaimMissing("iat"))?,
            jti: claims.text("jti")?,
            client_id: claims.text("client_id")?,
            scope: claims.text("scope")?,
            task: claims.text("task")?,
            cnf: claims.confirmation()?,
            authorization_details: claims.array("authorization_details")?,
            acr: claims.text("acr")?,
            amr: claims.texts("amr")?,
            auth_time: claims.integer("auth_time")?,
            raw,
        })
    }

    /// The claim `name`, which a configuration chose, as a non-empty text; `None` if it is absent.
    ///
    /// # Errors
    ///
    /// When it is there and something else than a text.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Invalid> {
        match self.raw.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(Invalid::ClaimType(name.to_owned())),
        }
    }
}

impl Confirmation {
    /// The value of the claim `cnf`.
    #[must_use]
    pub fn to_json(self) -> Value {
        match self {
            Self::Jkt(digest) => json!({ "jkt": encode(digest.as_bytes()) }),
            Self::X5tS256(digest) => json!({ "x5t#S256": encode(digest.as_bytes()) }),
        }
    }

    /// A confirmation that we can't check would be a token that anybody may bear, so it is refused.
    fn parse(members: &Map<String, Value>) -> Option<Self> {
        let mut members = members.iter();
        let (name, value) = members.next()?;
        let digest = Digest::from_bytes(decode(value.as_str()?)?.try_into().ok()?);
        let confirmation = match name.as_str() {
            "jkt" => Self::Jkt(digest),
            "x5t#S256" => Self::X5tS256(digest),
            _ => return None,
        };
        members.next().is_none().then_some(confirmation)
    }
}

/// Typed looks at an object.
pub(super) struct Members<'a>(pub(super) &'a Map<String, Value>);

impl Members<'_> {
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Invalid> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(Invalid::ClaimType(name.to_owned())),
        }
    }

    /// A whole number of seconds. RFC 7519 would allow a fraction; one reading is worth more.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Invalid> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(Invalid::ClaimType(name.to_owned())),
            },
        }
    }

    /// `aud`: one text or an array of at least one (RFC 7519 §4.1.3).
    pub(super) fn audience(&self) -> Result<Vec<String>, Invalid> {
        let audience = match self.0.get("aud") {
            None => return Err(Invalid::ClaimMissing("aud")),
            Some(Value::String(text)) if !text.is_empty() => vec![text.clone()],
            Some(_) => self.texts("aud")?,
        };
        if audience.is_empty() {
            return Err(Invalid::ClaimType("aud".to_owned()));
        }
        Ok(audience)
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Invalid> {
        let wrong = || Invalid::ClaimType(name.to_owned());
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) if !text.is_empty() => Ok(text.clone()),
                    _ => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    fn array(&self, name: &str) -> Result<Option<Value>, Invalid> {
        match self.0.get(name) {
            None => Ok(None),
            Some(array @ Value::Array(_)) => Ok(Some(array.clone())),
            Some(_) => Err(Invalid::ClaimType(name.to_owned())),
        }
    }

    fn confirmation(&self) -> Result<Option<Confirmation>, Invalid> {
        match self.0.get("cnf") {
            None => Ok(None),
            Some(Value::Object(members)) => match Confirmation::parse(members) {
                Some(confirmation) => Ok(Some(confirmation)),
                None => Err(Invalid::Confirmation),
            },
            Some(_) => Err(Invalid::ClaimType("cnf".to_owned())),
        }
    }
}
