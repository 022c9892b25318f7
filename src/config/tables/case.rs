//! What a case of a decision table says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::config::text::Place;
use crate::config::units;
use crate::model::{DenyReason, Proof};

/// One line of a decision table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Who asks.
    pub agent: String,
    /// What for.
    pub ask: CaseAsk,
    /// What has to come of it.
    pub expect: Expected,
    /// A rule that has to be among those that decide.
    pub rule: Option<String>,
    /// The moment.
    pub at: Timestamp,
    /// The address.
    pub source: IpAddr,
    /// Whether the agent is known there.
    pub known: Option<bool>,
    /// The country of the address.
    pub country: Option<String>,
    /// The risk, where the case says something of it.
    pub risk: Option<CaseRisk>,
    /// What is usual: `network`, `hour`, `operation`.
    pub usual: Vec<String>,
    /// How the token is bound.
    pub proof: Proof,
    /// How the agent proved who it is.
    pub methods: Vec<String>,
    /// With how many factors, where the methods don't tell.
    pub factors: Option<i64>,
    /// The task; none where the token names none.
    pub task: Option<CaseTask>,
    /// The grants that are in force.
    pub grants: Vec<CaseGrant>,
    /// What the task has called before, by operation.
    pub history: BTreeMap<String, CaseHistory>,
}

/// What a case says of the risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseRisk {
    /// Nothing is known of it.
    Unknown,
    /// A score of such an age.
    Known {
        /// From 0 to 100.
        score: i64,
        /// How long ago it was said.
        age: Duration,
    },
}

/// What a case asks for.
#[derive(Clone, Debug)]
pub enum CaseAsk {
    /// A call, as a client sends it.
    Call {
        /// Its method.
        method: String,
        /// Its URL, or its path.
        url: String,
        /// Its headers.
        headers: Vec<(String, String)>,
        /// Its body, and whether that is JSON.
        body: Option<(String, bool)>,
    },
    /// An entitlement.
    Request {
        /// Which.
        entitlement: String,
        /// The groups in whose name people have agreed; none where nobody was asked.
        approved_by: Option<Vec<String>>,
        /// Whether each of them has shown a second factor.
        approved_mfa: bool,
    },
}

/// What has to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It passes, or comes into force at once.
    Allow,
    /// It is refused with this code.
    Deny(DenyReason),
    /// People are asked first.
    Pending,
}

impl Expected {
    /// The word in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(reason) => reason.as_str(),
            Self::Pending => "pending",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "allow" => Some(Self::Allow),
            "pending" => Some(Self::Pending),
            code => DenyReason::from_code(code).map(Self::Deny),
        }
    }
}

/// The task of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseTask {
    /// Its id.
    pub id: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// For how long it has been open.
    #[serde(deserialize_with = "span")]
    pub age: Duration,
    /// How many tasks lie above it.
    pub depth: u32,
    /// Who opened it; the agent itself if absent.
    pub opened_by: Option<String>,
}

/// A grant of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseGrant {
    /// What it is a use of.
    pub entitlement: String,
    /// For how long it has been in force.
    #[serde(default, deserialize_with = "span")]
    pub age: Duration,
    /// Calls that are left; all that the entitlement gives if absent.
    pub calls_left: Option<u64>,
    /// Bytes that are left; all that the entitlement gives if absent.
    pub bytes_left: Option<u64>,
    /// The group in whose name people have agreed; the entitlement's own if absent.
    pub approved_by: Option<String>,
    /// Whether they have shown a second factor; as the entitlement wants it if absent.
    pub approved_mfa: Option<bool>,
    /// What calls have to agree with.
    #[serde(default)]
    pub input: Map<String, Json>,
    /// Whether it rests.
    #[serde(default)]
    pub suspended: bool,
}

/// What the task of a case has called of one operation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseHistory {
    /// Calls that were let through.
    pub calls: i64,
    /// Those that succeeded; all of them if absent.
    pub succeeded: Option<i64>,
    /// For how long the last one is over.
    #[serde(deserialize_with = "span")]
    pub last: Duration,
    /// The sums of numeric inputs.
    pub sum: BTreeMap<String, i64>,
}

pub(super) fn span<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    units::duration(&text).map_err(serde::de::Error::custom)
}
