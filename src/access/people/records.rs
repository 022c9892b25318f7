//! Keys and second factors as the store keeps them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::factors::Factor;
use super::keys::AccessKey;
use super::{PeopleError, State};
use crate::approvals::TotpSecret;
use crate::base::Digest;
use crate::model::PersonId;
use crate::store::{Change, DocumentKind, GrantStore};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyRecord {
    person: String,
    /// Absent where the key is gone and only says that there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    made_at: String,
    made_by: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hands: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FactorRecord {
    secret: String,
    confirmed: bool,
    last_step: u64,
}

/// Reads everything. What can't be understood stops the start: a key that is skipped could be one that
/// says that its person has had a key.
pub(super) async fn load(store: &dyn GrantStore) -> Result<State, PeopleError> {
    let mut state = State::default();
    for (id, text) in store.documents(DocumentKind::AccessKey).await? {
        state.keys.insert(read_key(id, &text)?);
    }
    for (id, text) in store.documents(DocumentKind::SecondFactor).await? {
        let person: PersonId = id.parse()?;
        let record: FactorRecord =
            serde_json::from_str(&text).map_err(|error| PeopleError::Broken(id, error))?;
        let secret = TotpSecret::from_base32(&record.secret);
        let factor = Factor {
            secret: secret.ok_or_else(|| PeopleError::Secret(person.clone()))?,
            confirmed: record.confirmed,
            last_step: record.last_step,
        };
        state.factors.insert(person, factor);
    }
    Ok(state)
}

fn read_key(id: String, text: &str) -> Result<AccessKey, PeopleError> {
    let record = serde_json::from_str(text);
    let record: KeyRecord = record.map_err(|error| PeopleError::Broken(id.clone(), error))?;
    let hands = record.hands.iter().map(|hand| hand.parse());
    Ok(AccessKey {
        id,
        person: record.person.parse()?,
        digest: record.sha256.as_deref().and_then(Digest::from_hex),
        made_at: record.made_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        made_by: record.made_by.parse()?,
        hands: hands.collect::<Result<BTreeSet<_>, _>>()?,
    })
}

/// The change that writes a key.
pub(super) fn put_key(key: &AccessKey) -> Change {
    let record = KeyRecord {
        person: key.person.to_string(),
        sha256: key.digest.map(|digest| digest.to_string()),
        made_at: key.made_at.to_string(),
        made_by: key.made_by.to_string(),
        hands: key.hands.iter().map(ToString::to_string).collect(),
    };
    put(DocumentKind::AccessKey, key.id.clone(), &record)
}

/// The change that removes a key without a trace.
pub(super) fn drop_key(id: &str) -> Change {
    Change::PutDocument {
        kind: DocumentKind::AccessKey,
        id: id.to_owned(),
        text: None,
    }
}

/// The change that writes a second factor.
pub(super) fn put_factor(person: &PersonId, factor: &Factor) -> Change {
    let record = FactorRecord {
        secret: factor.secret.to_base32().expose().clone(),
        confirmed: factor.confirmed,
        last_step: factor.last_step,
    };
    put(DocumentKind::SecondFactor, person.to_string(), &record)
}

/// The change that removes a second factor.
pub(super) fn drop_factor(person: &PersonId) -> Change {
    Change::PutDocument {
        kind: DocumentKind::SecondFactor,
        id: person.to_string(),
        text: None,
    }
}

fn put(kind: DocumentKind, id: String, record: &impl Serialize) -> Change {
    // Plain structures of texts, numbers and flags always serialise.
    let text = serde_json::to_string(record).ok();
    Change::PutDocument { kind, id, text }
}
