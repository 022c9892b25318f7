//! Notifications out of band: a webhook is told when a request waits for people, and what became of it,
//! so that nobody has to watch.
//!
//! [`Notifier`] follows the events of the grants and delivers each signed, again and again for a while
//! where the receiver is away.
//!
//! Invariant: nothing waits for a notification. What can't be delivered is dropped and said so in the
//! log; a request is as good without it. No answer of the receiver is believed or followed.

mod deliver;
mod payload;
mod signature;

pub use deliver::{Form, Notifier, NotifyError, Receiver};
