//! The shapes of `policies/**/*.toml`, as they stand in the files: texts with their places, before
//! anything is made of them.
//!
//! They are read by [`Fields`] rather than derived, so that one entry tells all of its mistakes.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::de::DeTable;

use super::diagnostics::Diagnostics;
use super::fields::{Fields, Origin, Overrides};
use super::files::PolicyFile;
use super::text::{At, Place, Text};

/// Everything that the TOML files say, in the order of files and tables.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) agents: Vec<RawAgent>,
    pub(super) services: Vec<RawService>,
    pub(super) operations: Vec<RawOperation>,
    pub(super) entitlements: Vec<RawEntitlement>,
    pub(super) people: Vec<RawPerson>,
    pub(super) risk: Vec<RawRisk>,
}

#[derive(Clone, Debug)]
pub(super) struct RawAgent {
    pub(super) id: At<String>,
    pub(super) groups: Vec<At<String>>,
    pub(super) owner: Option<At<String>>,
    pub(super) may_open_for: Vec<At<String>>,
    pub(super) keys: Vec<At<Json>>,
    pub(super) spiffe_id: Option<At<String>>,
    pub(super) subject: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawService {
    pub(super) name: At<String>,
    pub(super) matches: Option<RawMatch>,
    pub(super) upstreams: Vec<At<String>>,
    pub(super) tls: Option<RawTls>,
    pub(super) protocol: Option<At<String>>,
    pub(super) health: Option<RawHealth>,
    pub(super) connect: Option<At<String>>,
    pub(super) response: Option<At<String>>,
    pub(super) idle: Option<At<String>>,
    pub(super) inject: Option<RawInjection>,
    pub(super) time_zone: Option<At<String>>,
    /// What relative paths in it start from.
    pub(super) directory: Arc<PathBuf>,
}

#[derive(Debug)]
pub(super) struct RawMatch {
    pub(super) place: Place,
    pub(super) host: Option<At<String>>,
    pub(super) path: Option<At<String>>,
    pub(super) strip: bool,
}

#[derive(Debug)]
pub(super) struct RawTls {
    pub(super) place: Place,
    pub(super) ca: Option<At<String>>,
    pub(super) client_certificate: Option<At<String>>,
    pub(super) client_key: Option<At<String>>,
    pub(super) server_name: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawHealth {
    pub(super) path: Option<At<String>>,
    pub(super) interval: Option<At<String>>,
    pub(super) timeout: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawInjection {
    pub(super) header: Option<At<String>>,
    pub(super) value_from: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawOperation {
    pub(super) id: At<String>,
    pub(super) service: Option<At<String>>,
    pub(super) route: Option<At<String>>,
    pub(super) groups: Vec<At<String>>,
    pub(super) risk: Option<At<String>>,
    pub(super) baseline: bool,
    pub(super) protocol: Option<At<String>>,
    pub(super) input: Vec<(At<String>, At<String>)>,
}

#[derive(Debug)]
pub(super) struct RawEntitlement {
    pub(super) id: At<String>,
    pub(super) operations: Vec<At<String>>,
    pub(super) groups: Vec<At<String>>,
    pub(super) max_ttl: Option<At<String>>,
    pub(super) max_calls: Option<At<u64>>,
    pub(super) max_bytes: Option<At<String>>,
    pub(super) max_concurrent: Option<At<u64>>,
    pub(super) approval: Option<RawApproval>,
    pub(super) proof: Option<At<String>>,
    pub(super) reason_required: bool,
}

#[derive(Debug)]
pub(super) struct RawApproval {
    pub(super) group: Option<At<String>>,
    pub(super) quorum: Option<At<u64>>,
    pub(super) mfa: bool,
    pub(super) expires: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawPerson {
    pub(super) id: At<String>,
    pub(super) groups: Vec<At<String>>,
}

/// A `[risk]` table: its numbers by key, and the rest.
#[derive(Debug)]
pub(super) struct RawRisk {
    pub(super) place: Place,
    pub(super) combine: Option<At<String>>,
    pub(super) fades: Option<At<String>>,
    pub(super) numbers: Vec<(&'static str, At<String>)>,
}

/// The keys of `[risk]` that are numbers.
pub(super) const RISK_NUMBERS: [&str; 11] = [
    "network",
    "hour",
    "operation",
    "input",
    "refusals",
    "refusals_from",
    "refusals_full",
    "velocity",
    "velocity_least",
    "velocity_from",
    "velocity_full",
];

impl Raw {
    /// Adds what `file` says. False where its syntax is broken: then what could be made out is added
    /// all the same, so that its names are known, but no other complaint about it is of use.
    pub(super) fn add(&mut self, file: &PolicyFile, problems: &mut Diagnostics) -> bool {
        let text: &Arc<Text> = &file.text;
        let (table, errors) = DeTable::parse_recoverable(text.text());
        for error in &errors {
            let place = Place::new(text, error.span().unwrap_or(0..0));
            problems.error(&place, lower_first(error.message()));
        }
        let mut ignored = Diagnostics::default();
        let sound = errors.is_empty();
        let origin = Origin {
            text,
            overrides: &Overrides::new(),
            problems: if sound { problems } else { &mut ignored },
        };
        self.read(Fields::of_file(table, origin), &file.directory);
        sound
    }

    fn read(&mut self, mut file: Fields<'_, '_>, directory: &Arc<PathBuf>) {
        file.each("agent", |f| self.agents.extend(agent(f)));
        file.each("service", |f| {
            self.services.extend(service(f, Arc::clone(directory)));
        });
        file.each("operation", |f| self.operations.extend(operation(f)));
        file.each("entitlement", |f| self.entitlements.extend(entitlement(f)));
        file.each("person", |f| self.people.extend(person(f)));
        self.risk.extend(file.table("risk").map(risk));
        file.finish();
    }
}

pub(super) fn agent(mut fields: Fields<'_, '_>) -> Option<RawAgent> {
    let id = fields.required("id");
    let groups = fields.strings("groups");
    let owner = fields.string("owner");
    let may_open_for = fields.strings("may_open_for");
    let keys = fields.objects("keys");
    let spiffe_id = fields.string("spiffe_id");
    let subject = fields.string("subject");
    fields.finish();
    Some(RawAgent {
        id: id?,
        groups,
        owner,
        may_open_for,
        keys,
        spiffe_id,
        subject,
    })
}

fn service(mut fields: Fields<'_, '_>, directory: Arc<PathBuf>) -> Option<RawService> {
    let name = fields.required("name");
    fields.require("match");
    let matches = fields.table("match").map(|mut f| {
        let matches = RawMatch {
            place: f.place().clone(),
            host: f.string("host"),
            path: f.string("path"),
            strip: f.boolean("strip"),
        };
        f.finish();
        matches
    });
    let upstreams = fields.some_strings("upstreams");
    let tls = fields.table("tls").map(|mut f| {
        let tls = RawTls {
            place: f.place().clone(),
            ca: f.string("ca"),
            client_certificate: f.string("client_certificate"),
            client_key: f.string("client_key"),
            server_name: f.string("server_name"),
        };
        f.finish();
        tls
    });
    let protocol = fields.string("protocol");
    let health = fields.table("health").map(|mut f| {
        let health = RawHealth {
            path: f.required("path"),
            interval: f.scalar("interval"),
            timeout: f.scalar("timeout"),
        };
        f.finish();
        health
    });
    let (mut connect, mut response, mut idle) = (None, None, None);
    if let Some(mut f) = fields.table("timeouts") {
        connect = f.scalar("connect");
        response = f.scalar("response");
        idle = f.scalar("idle");
        f.finish();
    }
    let inject = fields.table("inject").map(|mut f| {
        let inject = RawInjection {
            header: f.required("header"),
            value_from: f.required("value_from"),
        };
        f.finish();
        inject
    });
    let time_zone = fields.string("time_zone");
    fields.finish();
    Some(RawService {
        name: name?,
        matches,
        upstreams,
        tls,
        protocol,
        health,
        connect,
        response,
        idle,
        inject,
        time_zone,
        directory,
    })
}

fn operation(mut fields: Fields<'_, '_>) -> Option<RawOperation> {
    let id = fields.required("id");
    let service = fields.required("service");
    let route = fields.required("route");
    let groups = fields.strings("groups");
    let risk = fields.string("risk");
    let baseline = fields.boolean("baseline");
    let protocol = fields.string("protocol");
    let input = fields.dictionary("input");
    fields.finish();
    Some(RawOperation {
        id: id?,
        service,
        route,
        groups,
        risk,
        baseline,
        protocol,
        input,
    })
}

fn entitlement(mut fields: Fields<'_, '_>) -> Option<RawEntitlement> {
    let id = fields.required("id");
    let operations = fields.strings("operations");
    let groups = fields.strings("groups");
    fields.require("max_ttl");
    let max_ttl = fields.scalar("max_ttl");
    let max_calls = fields.count("max_calls");
    let max_bytes = fields.scalar("max_bytes");
    let max_concurrent = fields.count("max_concurrent");
    let approval = fields.table("approval").map(|mut f| {
        let approval = RawApproval {
            group: f.required("group"),
            quorum: f.count("quorum"),
            mfa: f.boolean("mfa"),
            expires: f.scalar("expires"),
        };
        f.finish();
        approval
    });
    let proof = fields.string("proof");
    let reason_required = fields.boolean("reason_required");
    fields.finish();
    Some(RawEntitlement {
        id: id?,
        operations,
        groups,
        max_ttl,
        max_calls,
        max_bytes,
        max_concurrent,
        approval,
        proof,
        reason_required,
    })
}

fn person(mut fields: Fields<'_, '_>) -> Option<RawPerson> {
    let id = fields.required("id");
    let groups = fields.strings("groups");
    fields.finish();
    Some(RawPerson { id: id?, groups })
}

fn risk(mut fields: Fields<'_, '_>) -> RawRisk {
    let place = fields.place().clone();
    let combine = fields.string("combine");
    let fades = fields.scalar("fades");
    let mut numbers = Vec::new();
    for key in RISK_NUMBERS {
        numbers.extend(fields.scalar(key).map(|number| (key, number)));
    }
    fields.finish();
    RawRisk {
        place,
        combine,
        fades,
        numbers,
    }
}

fn lower_first(message: &str) -> String {
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
