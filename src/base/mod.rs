//! Ground truth for every other room: clock, identifiers, secrets, digests, error chains,
//! [`Live`], a value that is swapped whole, and [`write_whole`], the same for a file.
//!
//! Invariant: nothing here knows HTTP, serde, policies or what is in a file.

mod aside;
mod clock;
mod cpu;
mod digest;
mod error_chain;
mod file;
mod id;
mod idle_timer;
mod live;
mod plain;
mod seconds;
mod secret;
mod split;
mod trickle;

pub use aside::{aside, step_back};
pub use clock::{BootId, BootInstant, Clock, ManualClock};
pub use cpu::{process_time, thread_time};
pub use digest::Digest;
pub use error_chain::ErrorChain;
pub use file::{Readers, open_file, write_whole};
pub use id::{
    extend_hex, fill_hex, hex, is_random_id, push_hex, random_bytes, random_id, random_label,
};
pub use idle_timer::IdleTimer;
pub use live::Live;
pub use plain::{is_plain, is_plain_byte};
pub use seconds::Seconds;
pub use secret::Secret;
pub use split::{split, split_once};
pub use trickle::Trickle;
