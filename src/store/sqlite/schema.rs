//! The tables, and how a store of an earlier version becomes one of this.

use rusqlite::Connection;

/// Marks the file as a store of this program: `PtCl`.
pub(super) const APPLICATION: i64 = 0x5074_436c;

/// What each version adds to the one before; the schema's number is how many are applied. Never change
/// one that was released: add another.
const STEPS: &[&str] = &[FIRST, ENDED];

const FIRST: &str = "
    CREATE TABLE tasks (
        id TEXT PRIMARY KEY NOT NULL,
        open INTEGER NOT NULL,
        body TEXT NOT NULL,
        seal INTEGER NOT NULL,
        mark TEXT,
        mark_seal INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX open_tasks ON tasks (id) WHERE open = 1;

    CREATE TABLE grants (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        request TEXT NOT NULL,
        agent TEXT NOT NULL,
        task TEXT NOT NULL,
        activated INTEGER NOT NULL,
        live INTEGER NOT NULL,
        body TEXT NOT NULL,
        seal INTEGER NOT NULL,
        mark TEXT,
        mark_seal INTEGER
    ) STRICT;
    CREATE INDEX live_grants ON grants (place) WHERE live = 1;
    CREATE INDEX grants_by_request ON grants (request);
    CREATE INDEX grants_by_agent ON grants (agent, place);
    CREATE INDEX grants_by_task ON grants (task, place);

    CREATE TABLE documents (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        seal INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE clock (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        body TEXT NOT NULL,
        seal INTEGER NOT NULL
    ) STRICT;
";

/// When things ended, in milliseconds of the wall clock, so that they can be forgotten in this order; for
/// what had ended before, the time of this step. Of a forgotten task sixteen bytes of a digest of its id stay,
/// unless the id was made here.
const ENDED: &str = "
    ALTER TABLE tasks ADD COLUMN ended INTEGER;
    UPDATE tasks SET ended = unixepoch() * 1000 WHERE open = 0;
    CREATE INDEX ended_tasks ON tasks (ended) WHERE open = 0;

    ALTER TABLE grants ADD COLUMN ended INTEGER;
    UPDATE grants SET ended = unixepoch() * 1000 WHERE live = 0;
    CREATE INDEX ended_grants ON grants (ended) WHERE live = 0;

    CREATE TABLE used_tasks (
        digest BLOB PRIMARY KEY NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The schema of this version.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Brings a store from schema `from` to the newest, in one transaction.
pub(super) fn migrate(db: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let steps = STEPS.get(from..).unwrap_or_default();
    if steps.is_empty() {
        return Ok(());
    }
    let whole = db.transaction()?;
    for step in steps {
        whole.execute_batch(step)?;
    }
    whole.pragma_update(None, "application_id", APPLICATION)?;
    whole.pragma_update(None, "user_version", newest())?;
    whole.commit()
}
