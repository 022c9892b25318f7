//! Decision tables: `tests/**/*.toml` below a policy directory, as they stand in the files.
//!
//! A gateway never reads them. They may add agents that only tests know.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use toml::de::DeTable;

use super::diagnostics::Diagnostics;
use super::fields::{Fields, Origin, Overrides};
use super::raw::{RawAgent, agent};
use super::text::{At, Place, Text};
use super::units;
use crate::model::{DenyReason, Proof};

/// The most files with tables, and the largest, in bytes.
const MOST_FILES: usize = 1000;
const LARGEST_FILE: u64 = 4 << 20;

/// The moment of a case that names none: a Monday noon.
const MOMENT: &str = "2026-01-05T12:00:00Z";

/// The address of a case that names none.
const SOURCE: &str = "127.0.0.1";

/// The decision tables of a directory.
#[derive(Debug, Default)]
pub struct Tables {
    /// The cases, in the order of files and tables.
    pub cases: Vec<Case>,
    /// The agents that only these know.
    pub(super) agents: Vec<RawAgent>,
}

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

    fn named(word: &str) -> Option<Self> {
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

fn span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    units::duration(&text).map_err(serde::de::Error::custom)
}

/// Reads the decision tables in `tests` below each directory, and every mistake in them.
#[must_use]
pub fn read_tables(directories: &[PathBuf]) -> (Tables, Diagnostics) {
    let mut tables = Tables::default();
    let mut problems = Diagnostics::default();
    for directory in directories {
        for file in files(&directory.join("tests"), &mut problems) {
            let name = file.to_string_lossy();
            match text(&file) {
                Ok(text) => tables.add(&Text::new(name, text), &mut problems),
                Err(why) => {
                    problems.about_file(&name, why);
                }
            }
        }
    }
    (tables, problems.in_order())
}

fn text(file: &Path) -> Result<String, String> {
    let unreadable = |error| format!("this can't be read: {error}");
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > LARGEST_FILE {
        return Err(format!("it is larger than {} MiB", LARGEST_FILE >> 20));
    }
    fs::read_to_string(file).map_err(unreadable)
}

fn files(directory: &Path, problems: &mut Diagnostics) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                found.push(path);
            }
            if found.len() + left.len() > MOST_FILES {
                let name = directory.to_string_lossy().into_owned();
                problems.about_file(&name, format!("there are more than {MOST_FILES} tables"));
                return found;
            }
        }
    }
    found.sort();
    found
}

impl Tables {
    fn add(&mut self, text: &Arc<Text>, problems: &mut Diagnostics) {
        let (table, errors) = DeTable::parse_recoverable(text.text());
        if !errors.is_empty() {
            for error in &errors {
                let place = Place::new(text, error.span().unwrap_or(0..0));
                problems.error(&place, error.message());
            }
            return;
        }
        let overrides = Overrides::new();
        let mut file = Fields::of_file(
            table,
            Origin {
                text,
                overrides: &overrides,
                problems,
            },
        );
        file.each("agent", |fields| self.agents.extend(agent(fields)));
        file.each("case", |fields| self.cases.extend(case(fields)));
        file.finish();
    }
}

fn case(mut fields: Fields<'_, '_>) -> Option<Case> {
    let place = fields.place().clone();
    let name = fields.required("name");
    let agent = fields.required("agent");
    let expect = fields.required("expect");
    let expect = expect.and_then(|word| {
        parse(&mut fields, &word, Expected::named, || {
            "write `allow`, `pending` or the code of a refusal, such as `condition_denied`"
                .to_owned()
        })
    });
    let rule = fields.string("rule");
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    let at = fields.json("at");
    let at = at.map(|at| at.with(at.value.as_str().unwrap_or_default().to_owned()));
    let at = at.map_or_else(
        || moment(MOMENT),
        |at| {
            parse(&mut fields, &at, moment, || {
                "write it like 2026-11-27T22:30:00Z".to_owned()
            })
        },
    );
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let source = fields.string("source");
    let source = source.map_or_else(
        || address(SOURCE),
        |text| {
            parse(&mut fields, &text, address, || {
                "write an IP address".to_owned()
            })
        },
    );
    let known = part(&mut fields, "known");
    let country = fields.string("country").map(|country| country.value);
    let risk = part::<RiskWord>(&mut fields, "risk").map(RiskWord::into_risk);
    let usual = values(fields.strings("usual"));
    let proof = fields.string("proof").and_then(|proof| {
        parse(&mut fields, &proof, proof_named, || {
            "write bearer, dpop or mtls".to_owned()
        })
    });
    let methods = values(fields.strings("methods"));
    let factors = part(&mut fields, "factors");
    let task = match part::<TaskWord>(&mut fields, "task") {
        None => Some(CaseTask::default()),
        Some(TaskWord::Truth(there)) => there.then(CaseTask::default),
        Some(TaskWord::Task(task)) => Some(task),
    };
    let mut grants: Vec<CaseGrant> = part(&mut fields, "grants").unwrap_or_default();
    grants.extend(part::<GrantWord>(&mut fields, "grant").map(GrantWord::into_grant));
    let history = part(&mut fields, "history").unwrap_or_default();
    let ask = ask(&mut fields);
    fields.finish();
    Some(Case {
        name: name?.value,
        place,
        agent: agent?.value,
        ask: ask?,
        expect: expect?,
        rule: rule.map(|rule| rule.value),
        at: at?,
        source: source?,
        known,
        country,
        risk,
        usual,
        proof: proof.unwrap_or_default(),
        methods: if methods.is_empty() {
            vec!["private_key_jwt".to_owned()]
        } else {
            methods
        },
        factors,
        task,
        grants,
        history,
    })
}

fn ask(fields: &mut Fields<'_, '_>) -> Option<CaseAsk> {
    let call = fields.string("call");
    let request = fields.string("request");
    let headers = fields.dictionary("headers");
    let body = fields.json("body");
    let approved_by = fields.has("approved_by");
    let approved_by = approved_by.then(|| values(fields.strings("approved_by")));
    let approved_mfa = fields.boolean("approved_mfa");
    let place = fields.place().clone();
    match (call, request) {
        (Some(call), None) => {
            let Some((method, url)) = call.value.split_once(' ') else {
                let message = format!("`{}` is not a call", call.value);
                let problem = fields.problems().error(&call.place, message);
                problem.hint("write it like POST /orders/1/refunds");
                return None;
            };
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.value, value.value));
            let body = body.map(|body| match body.value {
                Json::String(text) => (text, false),
                json => (json.to_string(), true),
            });
            Some(CaseAsk::Call {
                method: method.to_owned(),
                url: url.trim().to_owned(),
                headers: headers.collect(),
                body,
            })
        }
        (None, Some(request)) => Some(CaseAsk::Request {
            entitlement: request.value,
            approved_by,
            approved_mfa,
        }),
        (Some(_), Some(_)) | (None, None) => {
            let message = "a [[case]] has either a `call` or a `request`";
            fields.problems().error(&place, message);
            None
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TaskWord {
    Truth(bool),
    Task(CaseTask),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GrantWord {
    Name(String),
    Grant(CaseGrant),
}

impl GrantWord {
    fn into_grant(self) -> CaseGrant {
        match self {
            Self::Grant(grant) => grant,
            Self::Name(entitlement) => CaseGrant {
                entitlement,
                age: Duration::ZERO,
                calls_left: None,
                bytes_left: None,
                approved_by: None,
                approved_mfa: None,
                input: Map::new(),
                suspended: false,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RiskWord {
    Score(i64),
    #[serde(rename_all = "snake_case")]
    Aged {
        score: i64,
        #[serde(deserialize_with = "span")]
        age: Duration,
    },
    Word(Unknown),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    Unknown,
}

impl RiskWord {
    const fn into_risk(self) -> CaseRisk {
        match self {
            Self::Aged { score, age } => CaseRisk::Known { score, age },
            Self::Score(score) => CaseRisk::Known {
                score,
                age: Duration::ZERO,
            },
            Self::Word(Unknown::Unknown) => CaseRisk::Unknown,
        }
    }
}

fn proof_named(word: &str) -> Option<Proof> {
    [Proof::Bearer, Proof::Dpop, Proof::Mtls]
        .into_iter()
        .find(|proof| proof.as_str() == word)
}

fn values(list: Vec<At<String>>) -> Vec<String> {
    list.into_iter().map(|one| one.value).collect()
}

/// A value of any shape, read by serde.
fn part<T: DeserializeOwned>(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<T> {
    let value = fields.json(key)?;
    match serde_json::from_value(value.value) {
        Ok(part) => Some(part),
        Err(error) => {
            let message = format!("`{key}`: {error}");
            fields.problems().error(&value.place, message);
            None
        }
    }
}

fn parse<T>(
    fields: &mut Fields<'_, '_>,
    text: &At<String>,
    read: impl FnOnce(&str) -> Option<T>,
    hint: impl FnOnce() -> String,
) -> Option<T> {
    let value = read(&text.value);
    if value.is_none() {
        let message = format!("`{}` can't stand here", text.value);
        fields.problems().error(&text.place, message).hint(hint());
    }
    value
}
