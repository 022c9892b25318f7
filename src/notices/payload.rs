//! What a notification says.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::approvals::digest;
use crate::grants::Event;
use crate::model::{Grant, GrantState};

/// The longest text of an agent in a line for people, in characters.
const LONGEST_WORDS: usize = 300;

/// The event for programs; nothing where nobody is notified of it.
pub(super) fn json(event: &Event, at: Timestamp, control_url: &str) -> Option<Value> {
    let grant = subject(event)?;
    let request = &grant.request;
    let operations: Vec<&str> = request
        .right
        .operations
        .iter()
        .map(|id| id.as_str())
        .collect();
    let rule = request.right.approval.as_ref();
    Some(json!({
        "type": event.name(),
        "at": at.to_string(),
        "request": {
            "id": request.id.as_str(),
            "state": state(grant),
            "agent": request.agent.as_str(),
            "task": request.task.as_str(),
            "entitlement": request.right.entitlement.as_str(),
            "operations": operations,
            "reason": request.reason,
            "duration_seconds": request.duration.as_secs(),
            "digest": digest(request).to_string(),
            "approval": rule.map(|rule| json!({
                "group": rule.group.as_str(),
                "quorum": rule.quorum,
                "mfa": rule.mfa,
            })),
            "expires_at": until(grant).map(|until| until.to_string()),
            "url": format!("{control_url}/v1/requests/{}", request.id),
        },
    }))
}

/// The event as a line for people, in the form that Slack takes; nothing where nobody is notified of it.
pub(super) fn slack(event: &Event) -> Option<Value> {
    let grant = subject(event)?;
    let request = &grant.request;
    let (agent, entitlement, id) = (&request.agent, &request.right.entitlement, &request.id);
    let text = match event {
        Event::RequestPending(_) => {
            let reason = request.reason.as_deref().unwrap_or("no reason given");
            let group = request
                .right
                .approval
                .as_ref()
                .map(|rule| rule.group.as_str());
            format!(
                "`{agent}` asks for `{entitlement}` for {} s: {}\nThe people of `{}` can approve: \
                 `portcullis requests approve {id}`",
                request.duration.as_secs(),
                harmless(reason),
                group.unwrap_or("-"),
            )
        }
        _ => format!(
            "The request of `{agent}` for `{entitlement}` ({id}) is {}",
            state(grant)
        ),
    };
    Some(json!({ "text": text }))
}

fn subject(event: &Event) -> Option<&Grant> {
    match event {
        Event::RequestDecided(grant) | Event::RequestPending(grant) => Some(grant),
        Event::GrantActive(_)
        | Event::GrantEnded(_)
        | Event::GrantExpiring(_)
        | Event::GrantResumed(_)
        | Event::GrantSuspended(_)
        | Event::TaskEnded(_) => None,
    }
}

fn state(grant: &Grant) -> &'static str {
    match &grant.state {
        GrantState::Ended { reason, .. } => reason.as_str(),
        state @ (GrantState::Active(_)
        | GrantState::Pending { .. }
        | GrantState::Requested
        | GrantState::Suspended(_)) => state.as_str(),
    }
}

fn until(grant: &Grant) -> Option<Timestamp> {
    match &grant.state {
        GrantState::Pending { until, .. } => Some(*until),
        GrantState::Active(_)
        | GrantState::Ended { .. }
        | GrantState::Requested
        | GrantState::Suspended(_) => grant.term().map(|term| term.expires_at),
    }
}

/// An agent's words, so that they are words: no mentions, links or mark-up, no line of their own, nothing
/// that turns the direction of what follows.
fn harmless(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(LONGEST_WORDS) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '*' | '_' | '~' | '`' | '@' | '|' => out.push('\u{b7}'),
            c if c.is_control() || c.is_whitespace() => out.push(' '),
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {}
            c => out.push(c),
        }
    }
    out
}
