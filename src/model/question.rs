//! What the decision point is asked: everything a condition can see, gathered before it is asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{AgentId, EntitlementId, GrantId, GroupName, Inputs, OperationId, Proof, TaskId};

/// One question. It holds all facts by value or by reference, so that the same question always gets
/// the same answer from the same policies.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub agent: &'a AgentId,
    /// What for.
    pub ask: Ask<'a>,
    /// The moment that is decided on.
    pub now: Timestamp,
    /// The zone of the local time; UTC for a request of an entitlement.
    pub time_zone: &'a TimeZone,
    /// Where the agent is.
    pub source: SourceFacts,
    /// How risky the agent looks.
    pub risk: RiskFacts,
    /// What it works on.
    pub task: Option<TaskFacts<'a>>,
    /// How it proved who it is.
    pub auth: AuthFacts<'a>,
    /// What is usual for it.
    pub usual: UsualFacts,
}

/// The two things that can be asked for.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    /// May this call pass?
    Call {
        /// What is called.
        operation: &'a OperationId,
        /// The grant it would pass under; none for a baseline operation.
        grant: Option<GrantFacts<'a>>,
        /// The request's canonical form.
        http: HttpFacts<'a>,
        /// The declared inputs.
        input: &'a Inputs,
        /// What the task has called before.
        history: &'a History,
    },
    /// May this entitlement become a grant now?
    Request {
        /// Which one.
        entitlement: &'a EntitlementId,
        /// How people have agreed.
        approved_by: Agreed<'a>,
    },
}

/// How people have agreed to a request, or to the grant that it became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed<'a> {
    /// The groups in whose name they have.
    pub groups: &'a [GroupName],
    /// Whether each of them has shown a second factor.
    pub mfa: bool,
}

/// Where the agent is.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// Its address, as the connection or a trusted proxy tells it.
    pub ip: IpAddr,
    /// Whether its network is usual for the agent.
    pub known: bool,
    /// The country of the address, where a database is configured.
    pub country: Option<Arc<str>>,
}

/// How risky the agent looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiskFacts {
    /// 0 to 100.
    pub score: i64,
    /// How old the score is.
    pub age_seconds: i64,
    /// Whether there is a score at all; where not, it shows 100.
    pub known: bool,
}

impl RiskFacts {
    /// No score: conditions see the highest, and that it is not known.
    pub const UNKNOWN: Self = Self {
        score: 100,
        age_seconds: 0,
        known: false,
    };
}

/// What the agent works on.
#[derive(Clone, Copy, Debug)]
pub struct TaskFacts<'a> {
    /// The task.
    pub id: &'a TaskId,
    /// What kind of work it is, in the opener's word; empty where none was given.
    pub kind: &'a str,
    /// How long it has been open.
    pub age_seconds: i64,
    /// How many tasks lie above it.
    pub depth: i64,
    /// Who opened it.
    pub opened_by: &'a str,
}

/// How the agent proved who it is.
#[derive(Clone, Debug)]
pub struct AuthFacts<'a> {
    /// The methods, such as `private_key_jwt`.
    pub methods: &'a [&'a str],
    /// How many independent factors.
    pub factors: i64,
    /// How the token is bound to its holder.
    pub proof: Proof,
}

/// What is usual for the agent. Nothing is until something has been learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsualFacts {
    /// The network.
    pub network: bool,
    /// The hour of the week.
    pub hour: bool,
    /// The operation.
    pub operation: bool,
}

/// The grant that a call would pass under.
#[derive(Clone, Copy, Debug)]
pub struct GrantFacts<'a> {
    /// The grant.
    pub id: &'a GrantId,
    /// The entitlement that it is a use of.
    pub entitlement: &'a EntitlementId,
    /// The time since its first activation.
    pub age_seconds: i64,
    /// Calls left before this one, where they are limited.
    pub calls_left: Option<i64>,
    /// Bytes left, where they are limited.
    pub bytes_left: Option<i64>,
    /// How people have agreed to it.
    pub approved_by: Agreed<'a>,
}

/// The request in its canonical form.
#[derive(Clone, Copy, Debug)]
pub struct HttpFacts<'a> {
    /// The method.
    pub method: &'a str,
    /// The host that was asked, without a port.
    pub host: &'a str,
    /// The normalised path.
    pub path: &'a str,
    /// The declared length of the request's body.
    pub content_length: Option<i64>,
}

/// What a task has called, by operation.
pub type History = BTreeMap<OperationId, OperationHistory>;

/// What a task has called of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationHistory {
    /// Calls that were let through.
    pub calls: i64,
    /// Those that the upstream answered with success.
    pub succeeded: i64,
    /// The time since the last.
    pub last_age_seconds: Option<i64>,
    /// The sums of numeric inputs over the successful ones.
    pub sum: BTreeMap<Arc<str>, i64>,
}
