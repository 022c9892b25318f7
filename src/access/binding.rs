//! From a verified token to an agent of the live configuration and to its live task.

use std::sync::Arc;

use crate::authn::{Authenticated, Subject};
use crate::base::BootInstant;
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::{Grants, LiveTask};
use crate::model::TaskId;

/// The task of a verified token.
#[derive(Clone, Debug)]
pub enum Binding {
    /// The token names none.
    None,
    /// The token names a task that is not open: it has ended, or never was. The two look alike.
    NotOpen(String),
    /// The token names an open task.
    Open(Arc<LiveTask>),
}

/// Who is asking, for which task.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The agent.
    pub agent: Arc<EnrolledAgent>,
    /// The task that the request is for.
    pub task: Option<Arc<LiveTask>>,
    /// What its token says.
    pub authenticated: Arc<Authenticated>,
}

/// Why a verified token is nobody's, or nobody's any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// The agent is revoked.
    AgentRevoked,
    /// The live configuration has no such agent.
    AgentUnknown,
    /// A header names another task than the token, or one where it may not.
    Contradiction(&'static str),
    /// There is no such open task of this agent.
    TaskEnded,
}

/// Looks up the task that a token names.
#[must_use]
pub fn bind(grants: &Grants, authenticated: &Authenticated) -> Binding {
    match authenticated.task() {
        None => Binding::None,
        Some(name) => {
            open_task(grants, name).map_or_else(|| Binding::NotOpen(name.to_owned()), Binding::Open)
        }
    }
}

/// The agent that a token is about.
///
/// # Errors
///
/// When the live configuration has none by this name.
pub fn agent_of<'s>(
    snapshot: &'s Snapshot,
    authenticated: &Authenticated,
) -> Result<&'s Arc<EnrolledAgent>, Unbound> {
    let agent = match authenticated.subject() {
        Subject::Outside(name) => snapshot.agent_by_subject(name),
        Subject::Own(id) => snapshot.agent(id.as_str()),
    };
    agent.ok_or(Unbound::AgentUnknown)
}

/// Whether a header may name this task beside the token: an outside issuer's may have its task named there where
/// it names none itself; any other word there has to be the token's own.
///
/// # Errors
///
/// Where it may not.
pub fn check_named(authenticated: &Authenticated, named: Option<&str>) -> Result<(), Unbound> {
    let why = match (named, authenticated.task(), authenticated.subject()) {
        (Some(named), Some(claimed), _) if named != claimed => {
            "Portcullis-Task names another task than the token"
        }
        (Some(_), None, Subject::Own(_)) => {
            "the token names no task, so Portcullis-Task can't: get a token for it"
        }
        _ => return Ok(()),
    };
    Err(Unbound::Contradiction(why))
}

/// Who is asking. `named` is what a header says of the task; see [`check_named`].
///
/// # Errors
///
/// See [`Unbound`]. Unknown, foreign and ended tasks answer alike.
pub fn bind_named(
    snapshot: &Snapshot,
    grants: &Grants,
    authenticated: &Arc<Authenticated>,
    binding: &Binding,
    named: Option<&str>,
    now: BootInstant,
) -> Result<Identity, Unbound> {
    let agent = Arc::clone(agent_of(snapshot, authenticated)?);
    if grants.is_revoked(&agent.agent.id) {
        return Err(Unbound::AgentRevoked);
    }
    check_named(authenticated, named)?;
    let task = match (binding, named) {
        (Binding::NotOpen(_), _) => return Err(Unbound::TaskEnded),
        (Binding::Open(task), _) => Some(Arc::clone(task)),
        (Binding::None, None) => None,
        (Binding::None, Some(named)) => Some(open_task(grants, named).ok_or(Unbound::TaskEnded)?),
    };
    if let Some(task) = &task {
        let foreign = task.task().agent != agent.agent.id;
        if foreign || task.ended(now).is_some() {
            return Err(Unbound::TaskEnded);
        }
    }
    Ok(Identity {
        agent,
        task,
        authenticated: Arc::clone(authenticated),
    })
}

fn open_task(grants: &Grants, name: &str) -> Option<Arc<LiveTask>> {
    let id: TaskId = name.parse().ok()?;
    grants.task(&id)
}
