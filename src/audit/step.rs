//! What more is kept of a question than the rules were asked: the step that it was about, where that is
//! neither a call nor a plain request. People's agreements, renewals and parts that are handed down are
//! decided by more than rules, and all of it has to be there to decide them again.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::line::{self, RecordError, first_key, key, odd};
use crate::base::Digest;
use crate::model::{ApprovalRule, DenyReason, PersonId};

/// A step that was decided, as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedStep {
    /// A person's decision about a request that waits.
    Agreement(AskedAgreement),
    /// A part of a grant, handed down to this agent.
    Part(AskedPart),
    /// A grant's end, moved.
    Renewal(AskedRenewal),
}

/// A person's decision about a request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedAgreement {
    /// Whether the person said no.
    pub declines: bool,
    /// The digest of what was asked for, without its reason and its inputs: a definition that gives another
    /// is not what people were shown.
    pub definition: Digest,
    /// The life that was asked for.
    pub duration: Duration,
    /// How many calls at once it may have, where they are limited; no part of the digest.
    pub max_concurrent: Option<u32>,
    /// Who had to agree.
    pub rule: ApprovalRule,
    /// Who else has had the person's key in hand.
    pub hands: Vec<PersonId>,
    /// Who had opened the task, and those above it.
    pub openers: Vec<Arc<str>>,
    /// Whether the person had agreed before.
    pub again: bool,
    /// Whether what the person was shown was this request.
    pub shown: bool,
    /// The life that the person agreed to, where one was named.
    pub at_most: Option<Duration>,
    /// The one-time code.
    pub code: AskedCode,
    /// Whether this was the last agreement needed.
    pub last: bool,
    /// Whether it was to be taken down: whatever came after that was no question of policy, but for
    /// the last look of the rules.
    pub taken: bool,
}

/// A one-time code, as it was sent with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedCode {
    /// It was good.
    Good,
    /// There was none.
    None,
    /// It was not good, and this is what that came to.
    Refused(DenyReason),
    /// There was one, which nobody has looked at: the decision was refused before.
    Unseen,
}

/// A part of a grant that is handed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedPart {
    /// Whether it stays with the agent that people were asked about.
    pub own: bool,
    /// Whether whoever hands it down holds the key that the grant is for.
    pub held: bool,
}

/// A grant's end that is to be moved. Times are in nanoseconds in the record: less would turn a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedRenewal {
    /// Whether the agent holds the key that the grant is for.
    pub held: bool,
    /// The life that was asked for, from then on.
    pub duration: Duration,
    /// The longest life that people had agreed to, where they were asked.
    pub agreed: Option<Duration>,
    /// Where the grant's life stood; nothing where it was over.
    pub extent: Option<AskedExtent>,
    /// Whether it was refused because the end can't be moved any further.
    pub no_longer: bool,
}

/// Where the life of a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedExtent {
    /// For how long it has been in force.
    pub age: Duration,
    /// What is left of it.
    pub left: Duration,
    /// How long its task and the grant that it was carved from could let it go on.
    pub at_most: Duration,
}

/// Appends the step as one more member of the question.
pub(super) fn write(out: &mut Vec<u8>, step: &AskedStep) {
    match step {
        AskedStep::Agreement(agreement) => line::object(out, key!("agreement"), |out| {
            write_agreement(out, agreement);
        }),
        AskedStep::Part(AskedPart { own, held }) => line::object(out, key!("part"), |out| {
            line::truth(out, first_key!("own"), *own);
            line::truth(out, key!("held"), *held);
        }),
        AskedStep::Renewal(renewal) => line::object(out, key!("renewal"), |out| {
            write_renewal(out, renewal);
        }),
    }
}

fn write_agreement(out: &mut Vec<u8>, agreement: &AskedAgreement) {
    let AskedAgreement {
        declines,
        definition,
        duration,
        max_concurrent,
        rule,
        hands,
        openers,
        again,
        shown,
        at_most,
        code,
        last,
        taken,
    } = agreement;
    line::truth(out, first_key!("declines"), *declines);
    line::text(out, key!("definition"), Some(&definition.to_string()));
    line::signed(out, key!("duration_nanos"), Some(nanos(*duration)));
    line::signed(out, key!("max_concurrent"), max_concurrent.map(i64::from));
    line::text(out, key!("group"), Some(rule.group.as_str()));
    line::signed(out, key!("quorum"), Some(i64::from(rule.quorum)));
    line::truth(out, key!("mfa"), rule.mfa);
    line::signed(out, key!("expires_nanos"), Some(nanos(rule.expires)));
    line::list(out, key!("hands"), hands.iter().map(PersonId::as_str));
    line::list(out, key!("openers"), openers.iter().map(AsRef::as_ref));
    line::truth(out, key!("again"), *again);
    line::truth(out, key!("shown"), *shown);
    line::signed(out, key!("at_most_nanos"), at_most.map(nanos));
    line::text(out, key!("code"), Some(code.as_str()));
    line::truth(out, key!("last"), *last);
    line::truth(out, key!("taken"), *taken);
}

fn write_renewal(out: &mut Vec<u8>, renewal: &AskedRenewal) {
    let AskedRenewal {
        held,
        duration,
        agreed,
        extent,
        no_longer,
    } = renewal;
    line::truth(out, first_key!("held"), *held);
    line::signed(out, key!("duration_nanos"), Some(nanos(*duration)));
    line::signed(out, key!("agreed_nanos"), agreed.map(nanos));
    if let Some(AskedExtent { age, left, at_most }) = extent {
        line::object(out, key!("extent"), |out| {
            line::signed(out, first_key!("age_nanos"), Some(nanos(*age)));
            line::signed(out, key!("left_nanos"), Some(nanos(*left)));
            line::signed(out, key!("at_most_nanos"), Some(nanos(*at_most)));
        });
    }
    line::truth(out, key!("no_longer"), *no_longer);
}

/// Nearly three hundred years at most.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl AskedCode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::None => "none",
            Self::Refused(reason) => reason.as_str(),
            Self::Unseen => "unseen",
        }
    }

    fn read(text: &str) -> Result<Self, RecordError> {
        match text {
            "good" => Ok(Self::Good),
            "none" => Ok(Self::None),
            "unseen" => Ok(Self::Unseen),
            code => DenyReason::from_code(code)
                .map(Self::Refused)
                .ok_or_else(|| odd("code", code)),
        }
    }
}

/// What an agreement looks like to serde.
#[derive(Deserialize)]
pub(super) struct AgreementLine {
    declines: bool,
    definition: String,
    duration_nanos: u64,
    max_concurrent: Option<u32>,
    group: String,
    quorum: u32,
    mfa: bool,
    expires_nanos: u64,
    #[serde(default)]
    hands: Vec<String>,
    #[serde(default)]
    openers: Vec<Arc<str>>,
    again: bool,
    shown: bool,
    at_most_nanos: Option<u64>,
    code: String,
    last: bool,
    taken: bool,
}

/// What a part looks like to serde.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct PartLine {
    own: bool,
    held: bool,
}

/// What a renewal looks like to serde.
#[derive(Deserialize)]
pub(super) struct RenewalLine {
    held: bool,
    duration_nanos: u64,
    agreed_nanos: Option<u64>,
    extent: Option<ExtentLine>,
    no_longer: bool,
}

#[derive(Deserialize)]
struct ExtentLine {
    age_nanos: u64,
    left_nanos: u64,
    at_most_nanos: u64,
}

/// Reads the step back, of which a question has one at most.
pub(super) fn read(
    agreement: Option<AgreementLine>,
    part: Option<PartLine>,
    renewal: Option<RenewalLine>,
) -> Result<Option<Box<AskedStep>>, RecordError> {
    let step = if let Some(agreement) = agreement {
        Some(AskedStep::Agreement(read_agreement(agreement)?))
    } else if let Some(PartLine { own, held }) = part {
        Some(AskedStep::Part(AskedPart { own, held }))
    } else {
        renewal.map(|renewal| {
            AskedStep::Renewal(AskedRenewal {
                held: renewal.held,
                duration: Duration::from_nanos(renewal.duration_nanos),
                agreed: renewal.agreed_nanos.map(Duration::from_nanos),
                extent: renewal.extent.map(|extent| AskedExtent {
                    age: Duration::from_nanos(extent.age_nanos),
                    left: Duration::from_nanos(extent.left_nanos),
                    at_most: Duration::from_nanos(extent.at_most_nanos),
                }),
                no_longer: renewal.no_longer,
            })
        })
    };
    Ok(step.map(Box::new))
}

fn read_agreement(agreement: AgreementLine) -> Result<AskedAgreement, RecordError> {
    let person = |name: String| name.parse().map_err(|_| odd("hands", &name));
    Ok(AskedAgreement {
        declines: agreement.declines,
        definition: Digest::from_hex(&agreement.definition)
            .ok_or_else(|| odd("definition", &agreement.definition))?,
        duration: Duration::from_nanos(agreement.duration_nanos),
        max_concurrent: agreement.max_concurrent,
        rule: ApprovalRule {
            group: agreement
                .group
                .parse()
                .map_err(|_| odd("group", &agreement.group))?,
            quorum: agreement.quorum,
            mfa: agreement.mfa,
            expires: Duration::from_nanos(agreement.expires_nanos),
        },
        hands: agreement
            .hands
            .into_iter()
            .map(person)
            .collect::<Result<_, _>>()?,
        openers: agreement.openers,
        again: agreement.again,
        shown: agreement.shown,
        at_most: agreement.at_most_nanos.map(Duration::from_nanos),
        code: AskedCode::read(&agreement.code)?,
        last: agreement.last,
        taken: agreement.taken,
    })
}
