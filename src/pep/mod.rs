//! The enforcement point: the data plane, one request from start to finish.
//!
//! Entry points are [`Gate`], what all workers share, and [`Workers`], which serve it. The life of a
//! request is `pipeline`: canonical → authenticate → route → right → describe → enforce → rewrite →
//! forward → guard → record, each step's result being the next one's ticket.
//!
//! Invariant: no request reaches an upstream without a `Permitted`, which only `enforce` makes, from a
//! `Right`, which only a live grant or a baseline operation gives. One attempt sees one snapshot. The
//! response body belongs to its guard, and a WebSocket to its tunnel: each is cut when the grant or the
//! task ends, and what was cut never looks complete. Nothing here writes a grant, reads a store, or takes a lock across an await.

mod admission;
mod canonical;
mod connection;
mod cut;
mod describe;
mod enforce;
mod forward;
mod gate;
mod guard;
mod http2;
mod judging;
mod metadata;
mod nearby;
mod pipeline;
mod probe;
mod recheck;
mod refusal;
mod rehearse;
mod request_id;
mod rewrite;
mod right;
mod running;
mod session;
mod source;
mod spread;
mod strangers;
mod strict;
mod trace;
mod websocket;
mod worker;

pub use admission::{Admission, Admitted, Full};
pub use gate::{Facts, Gate, GateParts, InboundLimits};
pub use nearby::{Nearby, OfToken};
pub use probe::{Cuts, WouldCut};
pub use session::Remembered;
pub use worker::{Listener, Workers};
