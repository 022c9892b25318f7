//! Where tasks and grants are kept: the [`GrantStore`] trait and its backends.
//!
//! A store keeps what it is given. It does not judge: whether a step of a grant's life is allowed was
//! decided by `model`, and only `grants` writes here.
//!
//! [`SqliteStore`] keeps them on disk; [`MemoryStore`] is for tests and benches.
//!
//! Invariant: `commit` is all or nothing and returns when the batch is as durable as the backend can
//! make it; a task id that was once opened is never accepted again, also after the task was forgotten.

mod grant_store;
mod memory;
mod sqlite;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod flaky;

pub use grant_store::{
    Change, ClockMark, Contents, CountedCalls, DocumentKind, Forgotten, GrantFilter, GrantMark,
    GrantStore, Horizon, Page, Pending, StoreError, StoredTask, TaskMark,
};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

#[cfg(test)]
pub(crate) use flaky::Flaky;
