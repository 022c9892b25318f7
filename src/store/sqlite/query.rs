//! Reading.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::alike::Alike;
use super::bodies::{ClockBody, GrantBody, GrantMarkBody, TaskBody, TaskMarkBody};
use super::changes::{document_key, kind_code};
use super::failure::Failure;
use super::row::{Table, read, unseal};
use crate::model::{Grant, GrantId, RequestId, TaskId};
use crate::store::{
    ClockMark, Contents, DocumentKind, GrantFilter, GrantMark, Page, StoredTask, TaskMark,
};

pub(super) fn load(db: &Connection) -> Result<Contents, Failure> {
    let mut contents = Contents {
        clock: clock(db)?,
        ..Contents::default()
    };
    let mut alike = Alike::default();
    let mut tasks =
        db.prepare("SELECT id, open, body, seal, mark, mark_seal FROM tasks WHERE open = 1")?;
    let mut rows = tasks.query([])?;
    while let Some(row) = rows.next()? {
        let id = text(row, 0)?;
        let task = alike.task(task_in(row)?.task);
        contents.tasks.push((task, task_mark(row, id)?));
    }
    let mut grants = db.prepare(
        "SELECT id, live, activated, body, seal, place, mark, mark_seal FROM grants
         WHERE live = 1 ORDER BY place",
    )?;
    let mut rows = grants.query([])?;
    while let Some(row) = rows.next()? {
        let id = text(row, 0)?;
        let grant = alike.grant(grant_in(row)?);
        contents.grants.push((grant, grant_mark(row, id)?));
    }
    Ok(contents)
}

pub(super) fn task(db: &Connection, id: &TaskId) -> Result<Option<StoredTask>, Failure> {
    let mut query = db.prepare_cached("SELECT id, open, body, seal FROM tasks WHERE id = ?1")?;
    let mut rows = query.query([id.as_str()])?;
    rows.next()?.map(task_in).transpose()
}

pub(super) fn grant(db: &Connection, id: &GrantId) -> Result<Option<Grant>, Failure> {
    let mut query =
        db.prepare_cached("SELECT id, live, activated, body, seal FROM grants WHERE id = ?1")?;
    let mut rows = query.query([id.as_str()])?;
    rows.next()?.map(grant_in).transpose()
}

pub(super) fn request(db: &Connection, id: &RequestId) -> Result<Option<Grant>, Failure> {
    let mut query = db.prepare_cached(
        "SELECT id, live, activated, body, seal FROM grants WHERE request = ?1
         ORDER BY place DESC LIMIT 1",
    )?;
    let mut rows = query.query([id.as_str()])?;
    rows.next()?.map(grant_in).transpose()
}

pub(super) fn page(db: &Connection, filter: &GrantFilter) -> Result<Page, Failure> {
    let number = |one: u64| i64::try_from(one).unwrap_or(i64::MAX);
    let before = filter.after.map_or(i64::MAX, number);
    // One more than wanted shows whether there is a next page.
    let most = number(filter.limit as u64).saturating_add(1);
    let mut sql =
        "SELECT id, live, activated, body, seal, place FROM grants WHERE place < ?1".to_owned();
    let mut values: Vec<&dyn ToSql> = vec![&before, &most];
    let agent = filter.agent.as_ref().map(|agent| agent.as_str());
    if let Some(agent) = &agent {
        values.push(agent);
        sql.push_str(&format!(" AND agent = ?{}", values.len()));
    }
    let task = filter.task.as_ref().map(|task| task.as_str());
    if let Some(task) = &task {
        values.push(task);
        sql.push_str(&format!(" AND task = ?{}", values.len()));
    }
    if filter.activated {
        sql.push_str(" AND activated = 1");
    }
    sql.push_str(" ORDER BY place DESC LIMIT ?2");
    let mut query = db.prepare_cached(&sql)?;
    let mut rows = query.query(values.as_slice())?;
    let mut page = Page::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.grants.len() == filter.limit {
            page.next = last;
            break;
        }
        page.grants.push(grant_in(row)?);
        last = u64::try_from(row.get::<_, i64>(5)?).ok();
    }
    Ok(page)
}

pub(super) fn documents(
    db: &Connection,
    kind: DocumentKind,
) -> Result<Vec<(String, String)>, Failure> {
    let mut query =
        db.prepare_cached("SELECT id, body, seal FROM documents WHERE kind = ?1 ORDER BY id")?;
    let mut rows = query.query([kind_code(kind)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, body) = (text(row, 0)?, text(row, 1)?);
        unseal(Table::Document, &document_key(kind, id), body, row.get(2)?)?;
        found.push((id.to_owned(), body.to_owned()));
    }
    Ok(found)
}

fn clock(db: &Connection) -> Result<Option<ClockMark>, Failure> {
    let columns = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let row = db.query_row("SELECT body, seal FROM clock WHERE one = 1", [], columns);
    let Some((body, sealed)) = row.optional()? else {
        return Ok(None);
    };
    let body: ClockBody = read(Table::Clock, "", &body, sealed)?;
    body.into_model().map(Some)
}

/// The task of a row `id, open, body, seal, …`.
fn task_in(row: &Row<'_>) -> Result<StoredTask, Failure> {
    let id = text(row, 0)?;
    let body: TaskBody = read(Table::Task, id, text(row, 2)?, row.get(3)?)?;
    let stored = body.into_model()?;
    agree(stored.task.id.as_str() == id, Table::Task, id)?;
    agree(
        stored.task.is_open() == row.get::<_, bool>(1)?,
        Table::Task,
        id,
    )?;
    Ok(stored)
}

/// The grant of a row `id, live, activated, body, seal, …`.
fn grant_in(row: &Row<'_>) -> Result<Grant, Failure> {
    let id = text(row, 0)?;
    let body: GrantBody = read(Table::Grant, id, text(row, 3)?, row.get(4)?)?;
    let grant = body.into_model()?;
    agree(grant.request.grant.as_str() == id, Table::Grant, id)?;
    agree(grant.is_ended() != row.get::<_, bool>(1)?, Table::Grant, id)?;
    agree(
        grant.term().is_some() == row.get::<_, bool>(2)?,
        Table::Grant,
        id,
    )?;
    Ok(grant)
}

/// The mark in a task's row, columns 4 and 5.
fn task_mark(row: &Row<'_>, id: &str) -> Result<Option<TaskMark>, Failure> {
    let Some(body) = optional(row, 4)? else {
        return Ok(None);
    };
    let body: TaskMarkBody = read(Table::TaskMark, id, body, row.get(5)?)?;
    body.into_model().map(Some)
}

/// The mark in a grant's row, columns 6 and 7.
fn grant_mark(row: &Row<'_>, id: &str) -> Result<Option<GrantMark>, Failure> {
    let Some(body) = optional(row, 6)? else {
        return Ok(None);
    };
    let body: GrantMarkBody = read(Table::GrantMark, id, body, row.get(7)?)?;
    Ok(Some(body.into_model()))
}

/// What is searched by says the same as what is found.
fn agree(same: bool, table: Table, id: &str) -> Result<(), Failure> {
    if same {
        return Ok(());
    }
    Err(Failure::Broken(format!(
        "the columns of the row `{id}` contradict its body ({table:?})"
    )))
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, Failure> {
    let value = row.get_ref(column)?;
    let text = value.as_str();
    text.map_err(|error| Failure::Broken(format!("a row has no text where it should: {error}")))
}

fn optional<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, Failure> {
    let value = row.get_ref(column)?;
    let text = value.as_str_or_null();
    text.map_err(|error| Failure::Broken(format!("a row has no text where it should: {error}")))
}
