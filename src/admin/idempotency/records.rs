//! The answers as the store keeps them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answered, Kept, Key, Outcome};
use crate::base::{BootInstant, Digest};
use crate::store::{Change, DocumentKind};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AnswerRecord {
    caller: String,
    key: String,
    /// Of method, target and body, in hexadecimal.
    request: String,
    /// In milliseconds of the wall clock.
    at: i64,
    /// Absent where it has begun and is not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<KeptRecord>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptRecord {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    body: String,
}

/// Reads a record; nothing where there is none in it. `now` and `wall` are the same moment.
pub(super) fn read(text: &str, now: BootInstant, wall: Timestamp) -> Option<(Key, Answered)> {
    let record: AnswerRecord = serde_json::from_str(text).ok()?;
    let ago = wall.as_millisecond().saturating_sub(record.at);
    let ago = Duration::from_millis(u64::try_from(ago).unwrap_or(0));
    let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    let outcome = match record.answer {
        None => Outcome::Lost,
        Some(kept) => Outcome::Kept(Kept {
            status: StatusCode::from_u16(kept.status).ok()?,
            location: kept.location.map(HeaderValue::try_from).transpose().ok()?,
            body: Bytes::from(kept.body),
        }),
    };
    let answered = Answered {
        request: Digest::from_hex(&record.request)?,
        // Before the start of the machine there is no instant: that is as early as can be said.
        at: BootInstant::from_nanos(now.as_nanos().saturating_sub(ago)),
        outcome,
        number: 0,
    };
    let (caller, key) = (record.caller, record.key);
    Some((Key { caller, key }, answered))
}

/// The change that writes how far a creation has come at `wall`.
pub(super) fn put(key: &Key, answered: &Answered, wall: Timestamp) -> Change {
    let answer = match &answered.outcome {
        Outcome::Lost | Outcome::Running => None,
        Outcome::Kept(kept) => Some(KeptRecord {
            status: kept.status.as_u16(),
            location: kept
                .location
                .as_ref()
                .and_then(|location| location.to_str().ok())
                .map(str::to_owned),
            // Every answer of the API is JSON, which is text.
            body: String::from_utf8_lossy(&kept.body).into_owned(),
        }),
    };
    let record = AnswerRecord {
        caller: key.caller.clone(),
        key: key.key.clone(),
        request: answered.request.to_string(),
        at: wall.as_millisecond(),
        answer,
    };
    Change::PutDocument {
        kind: DocumentKind::IdempotentAnswer,
        id: id(key),
        // Plain structures of texts and numbers always serialise.
        text: serde_json::to_string(&record).ok(),
    }
}

/// The change that forgets a creation.
pub(super) fn forget(key: &Key) -> Change {
    Change::PutDocument {
        kind: DocumentKind::IdempotentAnswer,
        id: id(key),
        text: None,
    }
}

/// What callers send is of any length and form; what it is stored as is neither.
fn id(key: &Key) -> String {
    Digest::of_parts(&[key.caller.as_bytes(), b"\n", key.key.as_bytes()]).to_string()
}
