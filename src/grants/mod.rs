//! Tasks and grants while they live: the only writer of grant state.
//!
//! [`Grants`] opens and ends tasks, brings grants into force and ends them. What the request path reads
//! are the handles [`LiveTask`] and [`LiveGrant`]: an end is one atomic store that the next instruction
//! of every thread sees, without any cache to be told. An exchange holds an [`Exchange`] for as long as
//! it runs; whoever ends a grant waits until the last of them is gone.
//!
//! What has ended leaves memory at once and the store after a while (`forgetting`): the audit log remembers.
//! What survives a restart is in `restore`, what the store knows of use, and when, in `securing`.
//!
//! Invariant: an end takes effect in memory first and is durable before it is acknowledged; nothing that
//! ended comes back; the request path takes no lock that an end or a commit holds across an await.

mod activation;
mod agents;
mod ahead;
mod calls;
mod clockwork;
mod delegation;
mod end;
mod ending;
mod error;
mod events;
mod family;
#[cfg(test)]
mod fixture;
mod forgetting;
mod habits;
mod health;
mod history;
mod index;
mod known;
mod left;
mod live_grant;
mod live_task;
mod opening;
mod parts;
mod pending_grant;
mod presence;
mod reading;
mod renewal;
mod restore;
mod securing;
mod service;
mod suspension;
#[cfg(test)]
mod tests;
mod unstored;
mod waiting;

pub use activation::Asking;
pub use agents::{AgentRevoked, RevokedError};
pub use delegation::{Carving, Wider};
pub use end::{EndCell, EndSignal};
pub use ending::Ending;
pub use error::GrantsError;
pub use events::{Event, Happened, Heard, Listener};
pub use forgetting::{Held, Retention};
pub use habits::HabitsError;
pub use health::Unkept;
pub use history::{Ledger, Reserved};
pub use live_grant::{Closed, Exchange, LiveGrant};
pub use live_task::LiveTask;
pub use opening::OpenTask;
pub use pending_grant::PendingGrant;
pub use presence::Presence;
pub use renewal::{Extent, Renewed, agreed_life};
pub use restore::Restored;
pub use securing::Claim;
pub use service::{Grants, Limits};
pub use suspension::{Move, Switch};
pub use waiting::{Approved, Verdict};
