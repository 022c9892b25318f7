//! The nouns of the house and the pure rules between them: who may ask for what ([`Entitlement`]),
//! what is in use ([`Grant`]), under which unit of work ([`Task`]), and what the decision point is
//! asked ([`Question`]).
//!
//! Invariant: no I/O, no clock of its own, nothing awaits, and no type here derives serde: files,
//! tokens and answers have their own shapes at the edges.

mod action;
mod entitlement;
mod grant;
mod inputs;
mod name;
mod principal;
mod question;
mod reason;
mod receipt;
mod service;
mod shared;
mod task;
mod transition;

pub use action::{GraphqlPart, Input, InputKind, InputSource, Operation, Protocol, Risk};
pub use entitlement::{ApprovalRule, Entitlement, Holder, Proof};
pub use grant::{Approval, Budget, Circumstances, Grant, GrantRequest, GrantState, Right, Term};
pub use inputs::{InputIter, InputValue, Inputs};
pub use name::{
    AgentId, EntitlementId, Generation, GrantId, GroupName, NameError, OperationId, PersonId,
    RequestId, ServiceName, TaskId,
};
pub use principal::{Agent, Owner, Person};
pub use question::{
    Agreed, Ask, AuthFacts, GrantFacts, History, HttpFacts, OperationHistory, Question, RiskFacts,
    SourceFacts, TaskFacts, UsualFacts,
};
pub(crate) use reason::codes;
pub use reason::{DenyReason, EndReason};
pub use receipt::{ClosedGrant, Receipt};
pub use service::{
    CredentialSource, HealthCheck, Injection, Service, ServiceMatch, Timeouts, UpstreamAddress,
    UpstreamProtocol, UpstreamTls,
};
pub use shared::Shared;
pub use task::{Task, TaskState};
pub use transition::{Transition, TransitionError};
