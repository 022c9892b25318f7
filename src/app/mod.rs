//! The only room where everything meets: sockets are bound, the parts are put together, and at the end
//! everything is let go in order.
//!
//! Entry points: [`Sockets::bind`], then [`start`], then [`Running::until_signal`] or [`Running::stop`].
//! The data plane runs on threads of its own, one runtime each; what is here runs on the runtime that
//! called.
//!
//! Invariant: nothing is decided here.

mod bearer;
mod build;
mod comparing;
mod control;
mod descriptors;
mod files;
mod holding;
mod listen;
mod mark;
mod running;
mod shadow;
mod translate;
mod upkeep;
mod workers;

pub use build::{StartOptions, start};
pub use files::check_files;
pub use listen::{BindError, HandedOver, Sockets};
pub use mark::forget_mark;
pub use running::{Running, Signals};
