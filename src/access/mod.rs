//! What an agent stands on: its verified identity bound to the live configuration and to a live task,
//! and what it may ask for. The doors share it: the enforcement point, the token endpoint and the API
//! put the same questions in the same way.
//!
//! Invariant: a verified token alone is nobody: only an agent of the live configuration is an
//! [`Identity`]. A grant is brought into force here and nowhere else, after the rules have been asked.

mod again;
mod approvals;
mod asker;
mod binding;
mod certificate;
mod lifecycle;
mod next_step;
mod people;
mod possession;
mod requests;
mod resource;
mod revocations;
mod roster;
mod supposed;
mod used_once;
mod vigil;

pub use again::Again;
pub use approvals::{Agreement, Approvals, NotDecided};
pub use asker::{Asker, holder, risk_of, whole};
pub use binding::{Binding, Identity, Unbound, agent_of, bind, bind_named, check_named};
pub use certificate::{agent_by_certificate, method_by_certificate};
pub use lifecycle::Part;
pub use next_step::{DETAILS_TYPE, NextStep, StepUp, request_step};
pub use people::{
    KeyMade, KeyView, Known, People, PeopleError, PersonalError, ResetAsked, ResetOf,
};
pub use possession::{NotHeld, Shown, check_possession, one_proof};
pub use requests::{Ask, Granted, Outcome, Refused, Requests};
pub use resource::{is_for, resources};
pub use revocations::{RevocationError, Revocations};
pub use supposed::{
    Compares, Explains, Explanation, ShadowWish, Shadows, SupposedCall, SupposedSignals, Suspension,
};
pub use used_once::{NotOnce, UsedOnce};
pub use vigil::{Vigil, suspension_reads};
