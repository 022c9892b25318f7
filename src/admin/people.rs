//! People's keys and second factors. Everything that is done here, or refused, is recorded.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::caller::{Operator, PersonCaller};
use super::decisions::NoBody;
use super::error::ApiError;
use super::extract::Path;
use super::json::Json;
use super::state::Admin;
use crate::access::{Known, PersonalError, ResetOf};
use crate::approvals::otpauth_url;
use crate::audit::{Record, RecordKind, Verdict};
use crate::base::ErrorChain;
use crate::model::DenyReason;

/// A one-time code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeBody {
    /// Six digits.
    code: String,
}

/// What is to be forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetBody {
    /// `keys`, `totp` or `all`.
    of: String,
}

/// Shows a person: groups, keys (without the keys), whether there is a second factor.
#[utoipa::path(get, path = "/v1/people/{id}", operation_id = "show_person",
    responses((status = 200, description = "The person")))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    PersonCaller(known): PersonCaller,
    Path(id): Path<String>,
) -> Result<Answer<Value>, ApiError> {
    if known.id().as_str() != id && !known.is_operator() {
        return Err(ApiError::forbidden("people see themselves, operators all"));
    }
    let snapshot = admin.snapshot.current();
    let person = snapshot.person(&id);
    let person = person.ok_or_else(|| ApiError::not_found(format!("there is no person `{id}`")))?;
    let groups: Vec<&str> = person.groups.iter().map(|group| group.as_str()).collect();
    let keys: Vec<Value> = admin
        .people
        .keys_of(&person.id)
        .into_iter()
        .map(|key| {
            json!({
                "id": key.id,
                "made_at": key.made_at.to_string(),
                "made_by": key.made_by.as_str(),
            })
        })
        .collect();
    Ok(Answer(json!({
        "id": person.id.as_str(),
        "groups": groups,
        "keys": keys,
        "totp": admin.people.has_factor(&person.id),
    })))
}

/// Makes an access key; it is shown this once. For oneself, or by an operator for a person who has had
/// none.
#[utoipa::path(post, path = "/v1/people/{id}/keys", operation_id = "make_access_key", responses(
    (status = 201, description = "The key, which is shown once"),
    (status = 403, description = "The person has had a key")))]
pub(super) async fn make_key(
    State(admin): State<Arc<Admin>>,
    PersonCaller(known): PersonCaller,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<(StatusCode, Answer<Value>), ApiError> {
    let step = format!("make a key for `{id}`");
    let made = recorded(&admin, &known, &step, async {
        let snapshot = admin.snapshot.current();
        let made = admin.people.make_key(&known, &id, &snapshot).await?;
        let note = made.id.clone();
        Ok((made, note))
    });
    let made = made.await?;
    let body = json!({ "id": made.id, "key": made.key.expose() });
    Ok((StatusCode::CREATED, Answer(body)))
}

/// Removes an access key; it is good for nothing when this answers.
#[utoipa::path(delete, path = "/v1/people/{id}/keys/{key_id}", operation_id = "remove_access_key",
    responses((status = 204, description = "The key is good for nothing any more")))]
pub(super) async fn remove_key(
    State(admin): State<Arc<Admin>>,
    PersonCaller(known): PersonCaller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let step = format!("remove the key `{key}` of `{id}`");
    let removed = recorded(&admin, &known, &step, async {
        admin.people.remove_key(&known, &id, &key).await?;
        Ok(((), String::new()))
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins to enrol a second factor (TOTP), for oneself alone. It counts once a code of it was confirmed.
#[utoipa::path(post, path = "/v1/people/{id}/totp", operation_id = "begin_totp", responses(
    (status = 201, description = "The secret, which is shown once"),
    (status = 409, description = "There is one already")))]
pub(super) async fn enrol(
    State(admin): State<Arc<Admin>>,
    PersonCaller(known): PersonCaller,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<(StatusCode, Answer<Value>), ApiError> {
    let step = format!("enrol a second factor of `{id}`");
    let secret = recorded(&admin, &known, &step, async {
        let secret = admin.people.enrol_factor(&known, &id).await?;
        Ok((secret, String::new()))
    });
    let secret = secret.await?;
    let url = otpauth_url(&secret, "Portcullis", &id);
    let body = json!({
        "secret": secret.to_base32().expose(),
        "otpauth_url": url.expose(),
    });
    Ok((StatusCode::CREATED, Answer(body)))
}

/// Makes the second factor count.
#[utoipa::path(post, path = "/v1/people/{id}/totp/confirm", operation_id = "confirm_totp",
    request_body = CodeBody, responses(
    (status = 200, description = "The second factor counts"), (status = 403, description = "The code is wrong"),
    (status = 429, description = "Too many wrong codes")))]
pub(super) async fn confirm(
    State(admin): State<Arc<Admin>>,
    PersonCaller(known): PersonCaller,
    Path(id): Path<String>,
    Json(body): Json<CodeBody>,
) -> Result<Answer<Value>, ApiError> {
    let step = format!("confirm the second factor of `{id}`");
    let confirmed = recorded(&admin, &known, &step, async {
        admin.people.confirm_factor(&known, &id, &body.code).await?;
        Ok(((), String::new()))
    });
    confirmed.await?;
    Ok(Answer(json!({ "totp": true })))
}

/// Asks to forget a person's keys, second factor or both; another operator has to confirm it.
#[utoipa::path(post, path = "/v1/people/{id}/reset", operation_id = "ask_for_reset",
    request_body = ResetBody, responses(
    (status = 202, description = "Another operator has to confirm it")))]
pub(super) async fn reset(
    State(admin): State<Arc<Admin>>,
    Operator(known): Operator,
    Path(id): Path<String>,
    Json(body): Json<ResetBody>,
) -> Result<(StatusCode, Answer<Value>), ApiError> {
    let of = ResetOf::from_code(&body.of);
    let of = of.ok_or_else(|| ApiError::malformed("`of` is `keys`, `totp` or `all`"))?;
    let step = format!("ask to reset `{id}` ({of})");
    let asked = recorded(&admin, &known, &step, async {
        let snapshot = admin.snapshot.current();
        let asked = admin.people.ask_reset(&known, &id, of, &snapshot).await?;
        Ok((asked, String::new()))
    });
    let asked = asked.await?;
    let body = json!({
        "of": asked.of.as_str(),
        "confirm_within_seconds": asked.within.as_secs(),
    });
    Ok((StatusCode::ACCEPTED, Answer(body)))
}

/// Confirms a reset that another operator has asked for; it has happened when this answers.
#[utoipa::path(post, path = "/v1/people/{id}/reset/confirm", operation_id = "confirm_reset", responses(
    (status = 200, description = "It is forgotten"),
    (status = 403, description = "The same operator asked for it")))]
pub(super) async fn confirm_reset(
    State(admin): State<Arc<Admin>>,
    Operator(known): Operator,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<Value>, ApiError> {
    let step = format!("confirm the reset of `{id}`");
    let of = recorded(&admin, &known, &step, async {
        let of = admin.people.confirm_reset(&known, &id).await?;
        Ok((of, of.to_string()))
    });
    Ok(Answer(json!({ "of": of.await?.as_str() })))
}

/// Does something under a place in the audit log, and records what became of it.
async fn recorded<T>(
    admin: &Admin,
    known: &Known,
    step: &str,
    work: impl Future<Output = Result<(T, String), PersonalError>>,
) -> Result<T, ApiError> {
    let place = admin.place()?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.person = Some(known.id().clone());
    let done = work.await;
    record.detail = Some(match &done {
        Ok((_, note)) if note.is_empty() => format!("{step} (with {})", known.key),
        Ok((_, note)) => format!("{step}: {note} (with {})", known.key),
        Err(error) => format!("refused: {step}: {}", ErrorChain(error)),
    });
    if let Err(error) = &done {
        record.verdict = match error {
            PersonalError::CodeUsed | PersonalError::CodeWrong => {
                Verdict::Deny(DenyReason::MfaRequired)
            }
            PersonalError::Locked(_) => Verdict::Deny(DenyReason::RateLimited),
            _ => Verdict::Neither,
        };
    }
    place.write(record);
    Ok(done?.0)
}

impl From<PersonalError> for ApiError {
    fn from(error: PersonalError) -> Self {
        let detail = ErrorChain(&error).to_string();
        let forbidden = |code| Self::refused(StatusCode::FORBIDDEN, code, detail.as_str());
        let conflict = |code| Self::refused(StatusCode::CONFLICT, code, detail.as_str());
        match error {
            PersonalError::CodeUsed => forbidden("totp_reused"),
            PersonalError::CodeWrong => forbidden("totp_invalid"),
            PersonalError::FactorExists => conflict("second_factor_exists"),
            PersonalError::FactorMissing => forbidden("mfa_not_enrolled"),
            PersonalError::HasKey(_) => forbidden("key_exists"),
            PersonalError::Locked(seconds) => {
                let code = "totp_rate_limited";
                Self::refused(StatusCode::TOO_MANY_REQUESTS, code, detail).retry_after(seconds)
            }
            PersonalError::NotYours(_) => forbidden("forbidden"),
            PersonalError::SameOperator => forbidden("second_operator_needed"),
            PersonalError::KeyUnknown(..)
            | PersonalError::ResetUnknown(_)
            | PersonalError::Unknown(_) => Self::not_found(detail),
            PersonalError::Store(_) => Self::unavailable("store_unavailable", detail),
            PersonalError::TooManyKeys(_) => conflict("too_many_keys"),
        }
    }
}
