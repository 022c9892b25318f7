//! The audit log, for operators: the newest records first.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::caller::Operator;
use super::error::ApiError;
use super::extract::Query;
use super::state::Admin;
use super::views::Page;
use crate::audit::{Backwards, Mark};
use crate::base::ErrorChain;

/// How many records a page has unless asked otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// How many lines one call looks at, whatever it looks for: a page may have fewer records than asked
/// for, and go on behind its `next` all the same.
const MOST_LINES: usize = 50_000;

/// Which records.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only those of this kind, such as `call`.
    kind: Option<String>,
    /// Only those of this agent.
    agent: Option<String>,
    /// Only those of this task.
    task: Option<String>,
    /// Only those of this grant.
    grant: Option<String>,
    /// Only those of this person.
    person: Option<String>,
    /// Only the one with this id.
    request_id: Option<String>,
    /// Only `allow`, or only `deny`.
    verdict: Option<String>,
    /// Where the page starts: `next` of the one before.
    cursor: Option<String>,
    /// How many, at most 1000.
    #[param(value_type = Option<usize>, minimum = 1)]
    limit: Option<NonZeroUsize>,
}

/// Lists records as they stand in the log, newest first.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_records",
    params(Wanted), responses((status = 200, description = "A page of records")))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    _operator: Operator,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<Page<Value>>, ApiError> {
    let mark = wanted.cursor.as_deref().map(mark).transpose()?;
    // What was decided before this call was asked is in its answer. Where that can't be written there
    // is still the rest to be seen.
    let _ = admin.audit.flush().await;
    let directory = Arc::clone(&admin.audit_directory);
    let page = spawn_blocking(move || page(&directory, mark, &wanted)).await;
    let unreadable = |why: String| ApiError::unavailable("audit_unavailable", why);
    let page = page.map_err(|_| unreadable("reading the audit log broke off".to_owned()))?;
    page.map(Answer).map_err(unreadable)
}

fn page(directory: &Path, mark: Option<Mark>, wanted: &Wanted) -> Result<Page<Value>, String> {
    let limit = wanted
        .limit
        .map_or(PAGE, NonZeroUsize::get)
        .min(LARGEST_PAGE);
    let lines = Backwards::open(directory, mark);
    let lines = lines.map_err(|error| ErrorChain(&error).to_string())?;
    let mut items = Vec::new();
    for (number, line) in lines.enumerate() {
        let line = line.map_err(|error| ErrorChain(&error).to_string())?;
        // A line that is no JSON is for `audit verify` to name.
        let value = serde_json::from_slice(&line.bytes).unwrap_or(Value::Null);
        if wanted.lets_through(&value) {
            items.push(value);
        }
        if items.len() == limit || number + 1 == MOST_LINES {
            let Mark { segment, offset } = line.mark;
            let next = Some(format!("{segment}.{offset}"));
            return Ok(Page { items, next });
        }
    }
    Ok(Page { items, next: None })
}

fn mark(cursor: &str) -> Result<Mark, ApiError> {
    let parsed = cursor.split_once('.').and_then(|(segment, offset)| {
        Some(Mark {
            segment: segment.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| ApiError::malformed("`cursor` is not the `next` of a page"))
}

impl Wanted {
    fn lets_through(&self, line: &Value) -> bool {
        let members = [
            ("kind", &self.kind),
            ("agent", &self.agent),
            ("task", &self.task),
            ("grant", &self.grant),
            ("person", &self.person),
            ("request_id", &self.request_id),
            ("verdict", &self.verdict),
        ];
        line.is_object()
            && members.into_iter().all(|(name, wanted)| {
                let found = line.get(name).and_then(Value::as_str);
                wanted.is_none() || wanted.as_deref() == found
            })
    }
}
