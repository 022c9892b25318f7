//! Configuration: [`Settings`] from `portcullis.toml`, read once, and the [`Snapshot`] that
//! [`compile`] makes of the policy directory, replaced whole by the [`Reloader`] while requests run.
//!
//! Invariant: nothing of a set of files is used unless all of it holds, every problem is reported at
//! once with its place, and nobody can change a snapshot. This room does not decide, does not know
//! grants and reads no secret: credentials are named here, not held.

mod candidate;
mod compile;
mod credentials;
mod diagnostics;
mod fields;
mod files;
mod kept;
mod pattern;
mod raw;
mod reload;
mod render;
mod routes;
mod settings;
mod snapshot;
mod suggest;
mod tables;
mod text;
mod units;
mod watch;
mod work;

pub use candidate::{Candidate, CandidateOrders, Candidates, Choice, beside};
pub use compile::{Sources, StandIn, compile, compile_for_tests};
pub use credentials::{Allowed, CredentialError, Pattern};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use kept::{Kept, kept_beside};
pub use pattern::{RouteError, RouteMethod, RoutePattern};
pub use reload::{Held, Outcome, Refused, Reloader, Status, Stopped, Watcher};
pub use routes::{Matched, Parameters};
pub use settings::{
    ClientAuth, Control, Gateway, Hold, JwksSource, Key, Limits, Listener, ListenerTls, Protocols,
    PublicUrl, Settings, SsfTransmitter, Template, Tokens, TrustedIssuer, UrlError, Webhook, keys,
    reference, variables,
};
pub use snapshot::{Endpoint, EnrolledAgent, ProtectedService, Snapshot};
pub use tables::{
    Case, CaseAsk, CaseGrant, CaseHistory, CaseRisk, CaseTask, Expected, Tables, read_tables,
};
pub use text::{Place, Text};
