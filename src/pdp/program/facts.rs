//! The facts of a question, each in its place: read where they stand, never gathered.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::EntityUid;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::catalogue::{KnownAgent, Target};
use super::super::fact::Fact;
use super::past::Past;
use super::value::{Network, Set, Stumbled, Value};
use super::{Kind, Party};
use crate::model::{Ask, GrantFacts, History, HttpFacts, InputValue, Inputs, Question, TaskFacts};

/// One attribute of `context`, or one attribute of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    AuthFactors,
    AuthMethods,
    AuthProof,
    GrantAge,
    GrantBytesLeft,
    GrantCallsLeft,
    GrantEntitlement,
    GrantId,
    HistoryCalls(Past),
    HistoryLastAge(Past),
    HistorySucceeded(Past),
    HistorySum(Past, Arc<str>),
    HttpContentLength,
    HttpHost,
    HttpMethod,
    HttpPath,
    Input(Arc<str>),
    /// The input at a place in the order of their names, which is known where the operation is.
    InputAt(usize),
    LocalDate,
    LocalHour,
    LocalMinute,
    LocalWeekday,
    Now,
    RiskAge,
    RiskKnown,
    RiskScore,
    SourceCountry,
    SourceIp,
    SourceKnown,
    TaskAge,
    TaskDepth,
    TaskId,
    TaskKind,
    TaskOpenedBy,
    UsualHour,
    UsualNetwork,
    UsualOperation,
}

impl Slot {
    /// The slot of `context.fact.part`; none if there is no such attribute, or none that compiled rules
    /// read.
    pub(super) fn of(fact: Fact, part: &str) -> Option<Self> {
        Some(match (fact, part) {
            (Fact::Auth, "factors") => Self::AuthFactors,
            (Fact::Auth, "methods") => Self::AuthMethods,
            (Fact::Auth, "proof") => Self::AuthProof,
            (Fact::Grant, "age_seconds") => Self::GrantAge,
            (Fact::Grant, "bytes_left") => Self::GrantBytesLeft,
            (Fact::Grant, "calls_left") => Self::GrantCallsLeft,
            (Fact::Grant, "entitlement") => Self::GrantEntitlement,
            (Fact::Grant, "id") => Self::GrantId,
            (Fact::Http, "content_length") => Self::HttpContentLength,
            (Fact::Http, "host") => Self::HttpHost,
            (Fact::Http, "method") => Self::HttpMethod,
            (Fact::Http, "path") => Self::HttpPath,
            (Fact::Input, name) => Self::Input(name.into()),
            (Fact::Local, "date") => Self::LocalDate,
            (Fact::Local, "hour") => Self::LocalHour,
            (Fact::Local, "minute") => Self::LocalMinute,
            (Fact::Local, "weekday") => Self::LocalWeekday,
            (Fact::Risk, "age_seconds") => Self::RiskAge,
            (Fact::Risk, "known") => Self::RiskKnown,
            (Fact::Risk, "score") => Self::RiskScore,
            (Fact::Source, "country") => Self::SourceCountry,
            (Fact::Source, "ip") => Self::SourceIp,
            (Fact::Source, "known") => Self::SourceKnown,
            (Fact::Task, "age_seconds") => Self::TaskAge,
            (Fact::Task, "depth") => Self::TaskDepth,
            (Fact::Task, "id") => Self::TaskId,
            (Fact::Task, "kind") => Self::TaskKind,
            (Fact::Task, "opened_by") => Self::TaskOpenedBy,
            (Fact::Usual, "hour") => Self::UsualHour,
            (Fact::Usual, "network") => Self::UsualNetwork,
            (Fact::Usual, "operation") => Self::UsualOperation,
            _ => return None,
        })
    }

    /// The slot of `context.history["name"].part`, given what is meant by the name.
    pub(super) fn of_history(past: Past, part: &str) -> Option<Self> {
        Some(match part {
            "calls" => Self::HistoryCalls(past),
            "last_age_seconds" => Self::HistoryLastAge(past),
            "succeeded" => Self::HistorySucceeded(past),
            _ => return None,
        })
    }

    /// The attribute of `context` that it is a part of.
    pub(super) const fn fact(&self) -> Fact {
        match self {
            Self::AuthFactors | Self::AuthMethods | Self::AuthProof => Fact::Auth,
            Self::GrantAge
            | Self::GrantBytesLeft
            | Self::GrantCallsLeft
            | Self::GrantEntitlement
            | Self::GrantId => Fact::Grant,
            Self::HistoryCalls(_)
            | Self::HistoryLastAge(_)
            | Self::HistorySucceeded(_)
            | Self::HistorySum(..) => Fact::History,
            Self::HttpContentLength | Self::HttpHost | Self::HttpMethod | Self::HttpPath => {
                Fact::Http
            }
            Self::Input(_) | Self::InputAt(_) => Fact::Input,
            Self::LocalDate | Self::LocalHour | Self::LocalMinute | Self::LocalWeekday => {
                Fact::Local
            }
            Self::Now => Fact::Now,
            Self::RiskAge | Self::RiskKnown | Self::RiskScore => Fact::Risk,
            Self::SourceCountry | Self::SourceIp | Self::SourceKnown => Fact::Source,
            Self::TaskAge
            | Self::TaskDepth
            | Self::TaskId
            | Self::TaskKind
            | Self::TaskOpenedBy => Fact::Task,
            Self::UsualHour | Self::UsualNetwork | Self::UsualOperation => Fact::Usual,
        }
    }
}

/// A question, as compiled rules read it.
#[derive(Debug)]
pub(in crate::pdp) struct Asked<'a> {
    question: &'a Question<'a>,
    agent: &'a KnownAgent,
    target: &'a Target,
    /// The source's, as rules compare it.
    address: IpAddr,
    /// The local time, once a rule has read it.
    local: OnceCell<Local>,
    /// The local date's text, once a rule has read it.
    date: OnceCell<Box<str>>,
}

impl<'a> Asked<'a> {
    pub(in crate::pdp) const fn new(
        question: &'a Question<'a>,
        agent: &'a KnownAgent,
        target: &'a Target,
    ) -> Self {
        Self {
            question,
            agent,
            target,
            address: plain(question.source.ip),
            local: OnceCell::new(),
            date: OnceCell::new(),
        }
    }

    pub(super) const fn party(&self, party: Party) -> &EntityUid {
        match party {
            Party::Action => &self.target.action,
            Party::Principal => &self.agent.uid,
            Party::Resource => &self.target.resource,
        }
    }

    /// Cedar's `in`: whether it is this one, or a member of it. Resources are members of nothing.
    pub(super) fn is_in(&self, party: Party, uid: &EntityUid) -> bool {
        match party {
            Party::Action => self.target.anchors.contains(uid),
            Party::Principal => self.agent.lineage.contains(uid),
            Party::Resource => self.target.resource == *uid,
        }
    }

    pub(super) const fn is(&self, party: Party, kind: Kind) -> bool {
        let actual = match (party, &self.question.ask) {
            (Party::Action, _) => Kind::Action,
            (Party::Principal, _) => Kind::Agent,
            (Party::Resource, Ask::Call { .. }) => Kind::Service,
            (Party::Resource, Ask::Request { .. }) => Kind::Entitlement,
        };
        // Enums without data: compared by number, so that this can be `const`.
        actual as u8 == kind as u8
    }

    /// Whether an attribute of `context` is there.
    pub(super) const fn has(&self, fact: Fact) -> bool {
        let call = match &self.question.ask {
            Ask::Call { grant, .. } => Some(grant.is_some()),
            Ask::Request { .. } => None,
        };
        match fact {
            Fact::Grant => matches!(call, Some(true)),
            Fact::History | Fact::Http | Fact::Input => call.is_some(),
            Fact::Task => self.question.task.is_some(),
            Fact::Auth | Fact::Local | Fact::Now | Fact::Risk | Fact::Source | Fact::Usual => true,
        }
    }

    /// A fact that is a number.
    pub(super) fn long(&self, slot: &Slot) -> Result<i64, Stumbled> {
        Ok(match slot {
            Slot::InputAt(place) => match self.input().and_then(|input| input.at(*place)) {
                Some(InputValue::Long(number)) => *number,
                _ => return Err(Stumbled),
            },
            Slot::GrantAge => self.grant().ok_or(Stumbled)?.age_seconds,
            Slot::LocalHour => self.local().hour,
            Slot::LocalMinute => self.local().minute,
            Slot::LocalWeekday => self.local().weekday,
            Slot::RiskAge => self.question.risk.age_seconds,
            Slot::RiskScore => self.question.risk.score,
            Slot::TaskAge => self.task().ok_or(Stumbled)?.age_seconds,
            slot => return self.read(slot).ok_or(Stumbled)?.long(),
        })
    }

    /// A fact that is text.
    pub(super) fn text(&self, slot: &Slot) -> Result<&str, Stumbled> {
        match slot {
            Slot::InputAt(place) => match self.input().and_then(|input| input.at(*place)) {
                Some(InputValue::String(text)) => Ok(text),
                _ => Err(Stumbled),
            },
            slot => self.read(slot).ok_or(Stumbled)?.text(),
        }
    }

    /// A fact that is true or false.
    pub(super) fn truth(&self, slot: &Slot) -> Result<bool, Stumbled> {
        match slot {
            Slot::RiskKnown => Ok(self.question.risk.known),
            Slot::SourceKnown => Ok(self.question.source.known),
            slot => self.read(slot).ok_or(Stumbled)?.truth(),
        }
    }

    /// The service's time zone, and the moment.
    pub(super) const fn zone_and_now(&self) -> (&TimeZone, Timestamp) {
        (self.question.time_zone, self.question.now)
    }

    /// The moment, in milliseconds.
    pub(super) fn now(&self) -> i64 {
        self.question.now.as_millisecond()
    }

    /// The source's address.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// A fact; none where it is absent.
    pub(super) fn read(&self, slot: &Slot) -> Option<Value<'_>> {
        let question = self.question;
        Some(match slot {
            Slot::AuthFactors => Value::Long(question.auth.factors),
            Slot::AuthMethods => Value::Set(Set::Texts(question.auth.methods)),
            Slot::AuthProof => Value::Text(question.auth.proof.as_str()),
            Slot::GrantAge => Value::Long(self.grant()?.age_seconds),
            Slot::GrantBytesLeft => Value::Long(self.grant()?.bytes_left?),
            Slot::GrantCallsLeft => Value::Long(self.grant()?.calls_left?),
            Slot::GrantEntitlement => Value::Text(self.grant()?.entitlement.as_str()),
            Slot::GrantId => Value::Text(self.grant()?.id.as_str()),
            Slot::HistoryCalls(past) => Value::Long(past.calls(self.history()?)),
            Slot::HistoryLastAge(past) => Value::Long(past.last_age_seconds(self.history()?)?),
            Slot::HistorySucceeded(past) => Value::Long(past.succeeded(self.history()?)),
            Slot::HistorySum(past, input) => Value::Long(past.sum(self.history()?, input)),
            Slot::HttpContentLength => Value::Long(self.http()?.content_length?),
            Slot::HttpHost => Value::Text(self.http()?.host),
            Slot::HttpMethod => Value::Text(self.http()?.method),
            Slot::HttpPath => Value::Text(self.http()?.path),
            Slot::Input(name) => of_input(self.input()?.get(name)?),
            Slot::InputAt(place) => of_input(self.input()?.at(*place)?),
            Slot::LocalDate => Value::Text(self.date()),
            Slot::LocalHour => Value::Long(self.local().hour),
            Slot::LocalMinute => Value::Long(self.local().minute),
            Slot::LocalWeekday => Value::Long(self.local().weekday),
            Slot::Now => Value::Datetime(self.now()),
            Slot::RiskAge => Value::Long(question.risk.age_seconds),
            Slot::RiskKnown => Value::Bool(question.risk.known),
            Slot::RiskScore => Value::Long(question.risk.score),
            Slot::SourceCountry => Value::Text(question.source.country.as_deref()?),
            Slot::SourceIp => Value::Ip(Network::single(self.address())),
            Slot::SourceKnown => Value::Bool(question.source.known),
            Slot::TaskAge => Value::Long(self.task()?.age_seconds),
            Slot::TaskDepth => Value::Long(self.task()?.depth),
            Slot::TaskId => Value::Text(self.task()?.id.as_str()),
            Slot::TaskKind => Value::Text(self.task()?.kind),
            Slot::TaskOpenedBy => Value::Text(self.task()?.opened_by),
            Slot::UsualHour => Value::Bool(question.usual.hour),
            Slot::UsualNetwork => Value::Bool(question.usual.network),
            Slot::UsualOperation => Value::Bool(question.usual.operation),
        })
    }

    const fn task(&self) -> Option<&TaskFacts<'a>> {
        self.question.task.as_ref()
    }

    const fn grant(&self) -> Option<&GrantFacts<'a>> {
        match &self.question.ask {
            Ask::Call { grant, .. } => grant.as_ref(),
            Ask::Request { .. } => None,
        }
    }

    const fn http(&self) -> Option<&HttpFacts<'a>> {
        match &self.question.ask {
            Ask::Call { http, .. } => Some(http),
            Ask::Request { .. } => None,
        }
    }

    const fn input(&self) -> Option<&'a Inputs> {
        match &self.question.ask {
            Ask::Call { input, .. } => Some(input),
            Ask::Request { .. } => None,
        }
    }

    /// What the task has called; none for a request.
    const fn history(&self) -> Option<&'a History> {
        match &self.question.ask {
            Ask::Call { history, .. } => Some(history),
            Ask::Request { .. } => None,
        }
    }

    fn local(&self) -> &Local {
        let question = self.question;
        self.local
            .get_or_init(|| Local::of(question.time_zone, question.now))
    }

    fn date(&self) -> &str {
        let question = self.question;
        self.date.get_or_init(|| {
            let local = question.time_zone.to_datetime(question.now);
            local.date().to_string().into_boxed_str()
        })
    }
}

/// What rules read of the local time.
#[derive(Debug)]
struct Local {
    hour: i64,
    minute: i64,
    /// 1 is Monday.
    weekday: i64,
}

impl Local {
    fn of(zone: &TimeZone, now: Timestamp) -> Self {
        const DAY: i64 = 24 * 60 * 60;
        // Before 1970 the parts of a second are counted backwards.
        let whole = now.as_second() - i64::from(now.subsec_nanosecond() < 0);
        let local = whole + i64::from(zone.to_offset(now).seconds());
        let (day, of_day) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        Self {
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            // The first of January 1970 was a Thursday.
            weekday: (day + 3).rem_euclid(7) + 1,
        }
    }
}

fn of_input(value: &InputValue) -> Value<'_> {
    match value {
        InputValue::Bool(value) => Value::Bool(*value),
        InputValue::Long(value) => Value::Long(*value),
        InputValue::String(value) => Value::Text(value),
    }
}

/// A listener for both families shows IPv4 as `::ffff:10.0.0.1`, which no rule on `10.0.0.0/8` matches.
const fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
