//! Keys, second factors, wrong codes and resets that wait, as the store keeps them.
//!
//! What ends after a while is stored by the wall clock, because the boot clock ends with the machine. A
//! wall clock that has been set back meanwhile makes a time no longer than it was to begin with.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::factors::{Attempts, FAILURES_WITHIN, Factor};
use super::keys::AccessKey;
use super::resets::{OPEN_FOR, Reset, ResetOf};
use super::{PeopleError, State};
use crate::approvals::TotpSecret;
use crate::base::{BootInstant, Clock, Digest};
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

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FailuresRecord {
    /// In milliseconds of the wall clock.
    at: Vec<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ResetRecord {
    of: String,
    asked_by: Vec<String>,
    /// In milliseconds of the wall clock.
    until: i64,
}

/// Reads everything. What can't be understood stops the start: a key that is skipped could be one that
/// says that its person has had a key.
pub(super) async fn load(store: &dyn GrantStore, clock: &Clock) -> Result<State, PeopleError> {
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
    let (now, wall) = (clock.now(), clock.wall().as_millisecond());
    for (id, text) in store.documents(DocumentKind::FailedCodes).await? {
        let person: PersonId = id.parse()?;
        let record: FailuresRecord =
            serde_json::from_str(&text).map_err(|error| PeopleError::Broken(id, error))?;
        let mut at: Vec<_> = record.at.iter().map(|at| before(now, wall, *at)).collect();
        at.retain(|at| now < *at + FAILURES_WITHIN);
        at.sort_unstable();
        state.attempts.insert(person, Attempts(at.into()));
    }
    for (id, text) in store.documents(DocumentKind::PendingReset).await? {
        let person: PersonId = id.parse()?;
        let record: ResetRecord =
            serde_json::from_str(&text).map_err(|error| PeopleError::Broken(id.clone(), error))?;
        let asked_by = record.asked_by.iter().map(|one| one.parse());
        let left = milliseconds(record.until.saturating_sub(wall)).min(OPEN_FOR);
        let reset = Reset {
            of: ResetOf::from_code(&record.of).ok_or(PeopleError::Reset(id))?,
            asked_by: asked_by.collect::<Result<_, _>>()?,
            until: now + left,
        };
        state.resets.insert(person, reset);
    }
    Ok(state)
}

/// The instant that the wall clock calls `at`, or now where it says that this is yet to come.
fn before(now: BootInstant, wall: i64, at: i64) -> BootInstant {
    let ago = milliseconds(wall.saturating_sub(at)).as_nanos();
    let ago = u64::try_from(ago).unwrap_or(u64::MAX);
    // An instant before the start of the machine has no name: its start is as early as can be said.
    BootInstant::from_nanos(now.as_nanos().saturating_sub(ago))
}

fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}

/// What the wall clock, which shows `wall`, calls the instant that is `by` away from now.
fn moved(wall: Timestamp, by: Duration, back: bool) -> i64 {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let wall = wall.as_millisecond();
    if back {
        wall.saturating_sub(by)
    } else {
        wall.saturating_add(by)
    }
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

/// The change that writes when a person's wrong codes came.
pub(super) fn put_failures(
    person: &PersonId,
    attempts: &Attempts,
    now: BootInstant,
    wall: Timestamp,
) -> Change {
    let at = attempts.0.iter().map(|at| moved(wall, now - *at, true));
    let record = FailuresRecord { at: at.collect() };
    put(DocumentKind::FailedCodes, person.to_string(), &record)
}

/// The change that writes a reset that waits.
pub(super) fn put_reset(
    person: &PersonId,
    reset: &Reset,
    now: BootInstant,
    wall: Timestamp,
) -> Change {
    let record = ResetRecord {
        of: reset.of.as_str().to_owned(),
        asked_by: reset.asked_by.iter().map(ToString::to_string).collect(),
        until: moved(wall, reset.until - now, false),
    };
    put(DocumentKind::PendingReset, person.to_string(), &record)
}

/// The change that removes a reset.
pub(super) fn drop_reset(person: &PersonId) -> Change {
    Change::PutDocument {
        kind: DocumentKind::PendingReset,
        id: person.to_string(),
        text: None,
    }
}

fn put(kind: DocumentKind, id: String, record: &impl Serialize) -> Change {
    // Plain structures of texts, numbers and flags always serialise.
    let text = serde_json::to_string(record).ok();
    Change::PutDocument { kind, id, text }
}
