//! Ground truth for every other room: clock, identifiers, secrets, digests, error chains and
//! [`Live`], a value that is swapped whole.
//!
//! Invariant: nothing here knows HTTP, serde, policies or files.

mod clock;
mod digest;
mod error_chain;
mod id;
mod idle_timer;
mod live;
mod secret;

pub use clock::{BootInstant, Clock, ManualClock};
pub use digest::Digest;
pub use error_chain::ErrorChain;
pub use id::{random_bytes, random_id};
pub use idle_timer::IdleTimer;
pub use live::Live;
pub use secret::Secret;
