//! Writing one batch.

use rusqlite::{Connection, params};

use super::bodies::{ClockBody, GrantBody, GrantMarkBody, TaskBody, TaskMarkBody};
use super::failure::Failure;
use super::forgetting;
use super::row::{Table, seal, write};
use crate::model::{Grant, Receipt, Task};
use crate::store::{Change, ClockMark, DocumentKind};

/// Applies the changes one after the other.
pub(super) fn apply(db: &Connection, batch: &[Change]) -> Result<(), Failure> {
    for change in batch {
        match change {
            Change::AddGrant(grant) => add_grant(db, grant)?,
            Change::MarkClock(mark) => mark_clock(db, mark)?,
            Change::MarkGrant(id, mark) => {
                let body = write(&GrantMarkBody::from(mark))?;
                let sealed = seal(Table::GrantMark, id.as_str(), &body);
                db.prepare_cached("UPDATE grants SET mark = ?2, mark_seal = ?3 WHERE id = ?1")?
                    .execute(params![id.as_str(), body, sealed])?;
            }
            Change::MarkTask(id, mark) => {
                let body = write(&TaskMarkBody::from(mark))?;
                let sealed = seal(Table::TaskMark, id.as_str(), &body);
                db.prepare_cached("UPDATE tasks SET mark = ?2, mark_seal = ?3 WHERE id = ?1")?
                    .execute(params![id.as_str(), body, sealed])?;
            }
            Change::OpenTask(task) => open_task(db, task)?,
            Change::PutDocument { kind, id, text } => {
                put_document(db, *kind, id, text.as_deref())?;
            }
            Change::PutGrant(grant) => put_grant(db, grant)?,
            Change::PutTask(task, receipt) => put_task(db, task, receipt.as_ref())?,
        }
    }
    Ok(())
}

/// The word of a kind, in its rows.
pub(super) const fn kind_code(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::AccessKey => "access_key",
        DocumentKind::FailedCodes => "failed_codes",
        DocumentKind::Habits => "habits",
        DocumentKind::IdempotentAnswer => "idempotent_answer",
        DocumentKind::PendingReset => "pending_reset",
        DocumentKind::PushedScore => "pushed_score",
        DocumentKind::RedeemedRequest => "redeemed_request",
        DocumentKind::RevokedAgent => "revoked_agent",
        DocumentKind::RevokedToken => "revoked_token",
        DocumentKind::SecondFactor => "second_factor",
        DocumentKind::StoreMark => "store_mark",
        DocumentKind::UsedAssertion => "used_assertion",
        DocumentKind::LatestScore => "latest_score",
        DocumentKind::UsedEvent => "used_event",
    }
}

/// The key that a document is sealed with.
pub(super) fn document_key(kind: DocumentKind, id: &str) -> String {
    format!("{} {id}", kind_code(kind))
}

fn mark_clock(db: &Connection, mark: &ClockMark) -> Result<(), Failure> {
    let body = write(&ClockBody::from(mark))?;
    let sealed = seal(Table::Clock, "", &body);
    db.prepare_cached("INSERT OR REPLACE INTO clock (one, body, seal) VALUES (1, ?1, ?2)")?
        .execute(params![body, sealed])?;
    Ok(())
}

fn open_task(db: &Connection, task: &Task) -> Result<(), Failure> {
    if forgetting::was_forgotten(db, &task.id)? {
        return Err(Failure::TaskIdUsed(task.id.clone()));
    }
    let (body, sealed) = task_body(task, None)?;
    let opened = db
        .prepare_cached(
            "INSERT INTO tasks (id, open, body, seal) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![task.id.as_str(), task.is_open(), body, sealed])?;
    if opened == 0 {
        return Err(Failure::TaskIdUsed(task.id.clone()));
    }
    Ok(())
}

/// A mark ends with its task: nothing reads it any more.
fn put_task(db: &Connection, task: &Task, receipt: Option<&Receipt>) -> Result<(), Failure> {
    let (body, sealed) = task_body(task, receipt)?;
    let ended = task.ended_at().map(|at| at.as_millisecond());
    db.prepare_cached(
        "UPDATE tasks SET open = ?2, body = ?3, seal = ?4, ended = ?5,
             mark = iif(?2, mark, NULL), mark_seal = iif(?2, mark_seal, NULL)
         WHERE id = ?1",
    )?
    .execute(params![
        task.id.as_str(),
        task.is_open(),
        body,
        sealed,
        ended
    ])?;
    Ok(())
}

fn task_body(task: &Task, receipt: Option<&Receipt>) -> Result<(String, i64), Failure> {
    let body = write(&TaskBody::new(task, receipt))?;
    let sealed = seal(Table::Task, task.id.as_str(), &body);
    Ok((body, sealed))
}

/// One that is there already stays as it is: whoever adds a grant has just made its id.
fn add_grant(db: &Connection, grant: &Grant) -> Result<(), Failure> {
    let request = &grant.request;
    let (body, sealed) = grant_body(grant)?;
    db.prepare_cached(
        "INSERT INTO grants (id, request, agent, task, activated, live, body, seal, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        request.grant.as_str(),
        request.id.as_str(),
        request.agent.as_str(),
        request.task.as_str(),
        grant.term().is_some(),
        !grant.is_ended(),
        body,
        sealed,
        grant.ended_at().map(|at| at.as_millisecond()),
    ])?;
    Ok(())
}

/// Two steps of one grant may be written in either order, and nothing undoes an end. What was marked
/// while it waited says nothing of it in force.
fn put_grant(db: &Connection, grant: &Grant) -> Result<(), Failure> {
    let (body, sealed) = grant_body(grant)?;
    db.prepare_cached(
        "UPDATE grants SET activated = ?2, live = ?3, body = ?4, seal = ?5, ended = ?6,
             mark = iif(?3 AND ?2 = activated, mark, NULL),
             mark_seal = iif(?3 AND ?2 = activated, mark_seal, NULL)
         WHERE id = ?1 AND live = 1",
    )?
    .execute(params![
        grant.request.grant.as_str(),
        grant.term().is_some(),
        !grant.is_ended(),
        body,
        sealed,
        grant.ended_at().map(|at| at.as_millisecond()),
    ])?;
    Ok(())
}

fn grant_body(grant: &Grant) -> Result<(String, i64), Failure> {
    let body = write(&GrantBody::from(grant))?;
    let sealed = seal(Table::Grant, grant.request.grant.as_str(), &body);
    Ok((body, sealed))
}

fn put_document(
    db: &Connection,
    kind: DocumentKind,
    id: &str,
    text: Option<&str>,
) -> Result<(), Failure> {
    let code = kind_code(kind);
    let Some(text) = text else {
        db.prepare_cached("DELETE FROM documents WHERE kind = ?1 AND id = ?2")?
            .execute(params![code, id])?;
        return Ok(());
    };
    let sealed = seal(Table::Document, &document_key(kind, id), text);
    db.prepare_cached(
        "INSERT OR REPLACE INTO documents (kind, id, body, seal) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![code, id, text, sealed])?;
    Ok(())
}
