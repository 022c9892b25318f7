//! Removing what has ended: found by whoever reads, removed by the one who writes, some rows at a time, so
//! that a commit behind it hardly waits.
//!
//! Pages that become free serve again for what comes. Where many more are free than that takes, the file is
//! made shorter, also some pages at a time; a file of an earlier version only ceases to grow.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::failure::Failure;
use crate::base::Digest;
use crate::model::TaskId;
use crate::store::Horizon;

/// Rows of each table that are removed in one transaction.
const BATCH: u64 = 256;

/// Free pages that stay for what comes, at least, and as a part of all pages.
const SPARE: i64 = 256;
const SPARE_PART: i64 = 8;

/// Pages by which the file is made shorter at once.
const PAGES: i64 = 512;

/// What is to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) tasks: Queue,
    pub(super) grants: Queue,
}

/// What is to go of one table, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// All that has ended.
    pub(super) ended: u64,
    pub(super) due: u64,
    /// In milliseconds: what ended from then on stays.
    before: i64,
}

/// Rows that were removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removed {
    pub(super) tasks: u64,
    pub(super) grants: u64,
}

pub(super) fn due(db: &Connection, horizon: &Horizon) -> Result<Due, Failure> {
    let of = |sql| queue(db, sql, horizon);
    Ok(Due {
        tasks: of("SELECT count(*), count(*) FILTER (WHERE ended < ?1),
                       count(*) FILTER (WHERE ended < ?2)
                   FROM tasks INDEXED BY ended_tasks WHERE open = 0")?,
        grants: of("SELECT count(*), count(*) FILTER (WHERE ended < ?1),
                        count(*) FILTER (WHERE ended < ?2)
                    FROM grants INDEXED BY ended_grants WHERE live = 0")?,
    })
}

fn queue(db: &Connection, sql: &str, horizon: &Horizon) -> Result<Queue, Failure> {
    let before = horizon.before.as_millisecond();
    let crowded_before = horizon.crowded_before.as_millisecond();
    let [ended, old, crowded] =
        db.prepare_cached(sql)?
            .query_row(params![before, crowded_before], |row| {
                let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
                Ok([count(0)?, count(1)?, count(2)?])
            })?;
    Ok(Queue {
        ended,
        due: old.max(ended.saturating_sub(horizon.most).min(crowded)),
        before: before.max(crowded_before),
    })
}

impl Queue {
    /// The same once `removed` are gone.
    pub(super) const fn without(mut self, removed: u64) -> Self {
        self.ended = self.ended.saturating_sub(removed);
        self.due = self.due.saturating_sub(removed);
        self
    }

    fn batch(&self) -> i64 {
        i64::try_from(self.due.min(BATCH)).unwrap_or(0)
    }
}

/// Removes the first of what is due, and makes the file shorter where that is worth it.
pub(super) fn step(db: &mut Connection, due: &Due) -> Result<Removed, Failure> {
    let whole = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let removed = Removed {
        tasks: remove_tasks(&whole, &due.tasks)?,
        grants: remove_grants(&whole, &due.grants)?,
    };
    whole.commit()?;
    shorten(db)?;
    Ok(removed)
}

/// A task under which something lives stays, whatever its own row says.
fn remove_tasks(db: &Connection, queue: &Queue) -> Result<u64, Failure> {
    let mut oldest = db.prepare_cached(
        "SELECT id FROM tasks WHERE open = 0 AND ended < ?1
             AND NOT EXISTS (SELECT 1 FROM grants WHERE task = tasks.id AND live = 1)
         ORDER BY ended, id LIMIT ?2",
    )?;
    let ids = oldest.query_map(params![queue.before, queue.batch()], |row| row.get(0))?;
    let ids = ids.collect::<Result<Vec<String>, _>>()?;
    for id in &ids {
        let by_somebody = id.parse().is_ok_and(|id: TaskId| !id.is_of_random_form());
        if by_somebody {
            db.prepare_cached(
                "INSERT INTO used_tasks (digest) VALUES (?1) ON CONFLICT DO NOTHING",
            )?
            .execute([digest(id)])?;
        }
        db.prepare_cached("DELETE FROM tasks WHERE id = ?1 AND open = 0")?
            .execute([id])?;
    }
    Ok(ids.len() as u64)
}

fn remove_grants(db: &Connection, queue: &Queue) -> Result<u64, Failure> {
    let removed = db
        .prepare_cached(
            "DELETE FROM grants WHERE live = 0 AND place IN (
                 SELECT place FROM grants WHERE live = 0 AND ended < ?1
                 ORDER BY ended, place LIMIT ?2)",
        )?
        .execute(params![queue.before, queue.batch()])?;
    Ok(removed as u64)
}

/// Gives some of the free pages back to the file system, where there are more than will serve again.
fn shorten(db: &Connection) -> Result<(), Failure> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (free, all) = (number("freelist_count")?, number("page_count")?);
    let surplus = free - SPARE.max((all - free) / SPARE_PART);
    if surplus > 0 {
        let sql = format!("PRAGMA incremental_vacuum({})", surplus.min(PAGES));
        let mut pages = db.prepare(&sql)?;
        let mut rows = pages.query([])?;
        // Each row is a page that is gone.
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// Whether a task of this id was opened and removed, as far as that is remembered.
pub(super) fn was_forgotten(db: &Connection, id: &TaskId) -> Result<bool, Failure> {
    if id.is_of_random_form() {
        return Ok(false);
    }
    let mut query = db.prepare_cached("SELECT 1 FROM used_tasks WHERE digest = ?1")?;
    let found = query
        .query_row([digest(id.as_str())], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// What stays of an id: too long for two ids ever to share it, short enough to keep for ever.
fn digest(id: &str) -> Vec<u8> {
    let digest = Digest::of_parts(&[b"task id\n", id.as_bytes()]);
    digest.as_bytes().iter().copied().take(16).collect()
}
