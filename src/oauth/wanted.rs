//! What a request asks for: entitlements, by scope or by `authorization_details` (RFC 9396), and the
//! task that they are for.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::OAuthError;
use super::form::Form;
use crate::access::{Ask, DETAILS_TYPE, Granted};
use crate::model::GrantRequest;
use crate::wire::parse_json;

/// Entitlements in one request.
pub(super) const MOST_ASKS: usize = 16;

/// One entry of `authorization_details`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    #[expect(dead_code, reason = "it has to be there, and was looked at before")]
    r#type: String,
    task: Option<String>,
    entitlement: String,
    reason: Option<String>,
    duration_seconds: Option<i64>,
    input: Option<Map<String, Value>>,
}

/// Entitlements, and the task that they are for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) asks: Vec<Ask>,
    pub(super) task: Option<String>,
    /// The scope as it was sent.
    pub(super) scope: Option<String>,
    /// Whether it came as authorization details, which are echoed.
    pub(super) detailed: bool,
}

impl Wanted {
    /// Reads the parameters.
    pub(super) fn read(form: &Form) -> Result<Self, OAuthError> {
        let mut wanted = Self {
            task: form.get("task").map(str::to_owned),
            scope: form.get("scope").map(str::to_owned),
            ..Self::default()
        };
        let scope = form.get("scope").unwrap_or_default();
        for name in scope.split(' ').filter(|name| !name.is_empty()) {
            // A scope is a set (RFC 6749 §3.3): what is in it twice is asked for once.
            if wanted.asks.iter().all(|ask| ask.entitlement != name) {
                wanted.asks.push(Ask {
                    entitlement: name.to_owned(),
                    ..Ask::default()
                });
            }
            if wanted.asks.len() > MOST_ASKS {
                break;
            }
        }
        if let Some(text) = form.get("authorization_details") {
            wanted.detailed = true;
            for details in details(text)? {
                wanted.add(details)?;
            }
        }
        if wanted.asks.len() > MOST_ASKS {
            let description = format!("at most {MOST_ASKS} entitlements can be asked for at once");
            return Err(OAuthError::invalid_request(description));
        }
        Ok(wanted)
    }

    fn add(&mut self, details: Details) -> Result<(), OAuthError> {
        if let (Some(named), Some(task)) = (details.task.as_deref(), self.task.as_deref())
            && named != task
        {
            let description = "`task` and `authorization_details` name two tasks";
            return Err(OAuthError::invalid_request(description));
        }
        self.task = self.task.take().or(details.task);
        self.asks.push(Ask {
            entitlement: details.entitlement,
            reason: details.reason,
            duration_seconds: details.duration_seconds,
            input: details.input,
        });
        Ok(())
    }
}

fn details(text: &str) -> Result<Vec<Details>, OAuthError> {
    let invalid = |why: String| OAuthError::new("invalid_authorization_details", why);
    let value = parse_json(text.as_bytes(), 8);
    let value = value.map_err(|fault| invalid(format!("it is {fault}")))?;
    // First: what members an entry has depends on its type (RFC 9396 §2).
    let mut types = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("type")?.as_str());
    if let Some(other) = types.find(|one| *one != DETAILS_TYPE) {
        let why = format!("the type `{other}` is not known here, only `{DETAILS_TYPE}`");
        return Err(invalid(why));
    }
    serde_json::from_value(value).map_err(|error| invalid(error.to_string()))
}

/// The granted details, as RFC 9396 §7 wants them echoed.
pub(super) fn echo(granted: &[Granted]) -> Value {
    let details = granted
        .iter()
        .map(|one| granted_details(one.grant.request()));
    details.collect()
}

/// One granted detail.
pub(super) fn granted_details(request: &GrantRequest) -> Value {
    json!({
        "type": DETAILS_TYPE,
        "task": request.task.as_str(),
        "entitlement": request.right.entitlement.as_str(),
        "grant": request.grant.as_str(),
        "reason": request.reason,
        "duration_seconds": request.duration.as_secs(),
    })
}
