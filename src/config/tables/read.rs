//! Cases as they are written: in several forms, and with most of it left out.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::case::{Case, CaseAsk, CaseGrant, CaseRisk, CaseTask, Expected, span};
use crate::config::fields::Fields;
use crate::config::text::At;
use crate::model::Proof;

/// The moment of a case that names none: a Monday noon.
const MOMENT: &str = "2026-01-05T12:00:00Z";

/// The address of a case that names none.
const SOURCE: &str = "127.0.0.1";

pub(super) fn case(mut fields: Fields<'_, '_>) -> Option<Case> {
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
