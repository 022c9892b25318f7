//! Services: which requests are theirs and how they are reached.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use http::uri::PathAndQuery;
use jiff::tz::TimeZone;

use super::address::{self, AddressError};
use super::names::{Names, name, suggestion};
use super::values::{duration, word};
use crate::config::credentials::{Allowed, parse_source};
use crate::config::diagnostics::Diagnostics;
use crate::config::pattern;
use crate::config::raw::{RawHealth, RawInjection, RawMatch, RawService, RawTls};
use crate::config::text::{At, Place};
use crate::model::{
    HealthCheck, Injection, Service, ServiceMatch, ServiceName, Timeouts, UpstreamProtocol,
    UpstreamTls,
};
use crate::wire::is_hop_by_hop;

/// The gateway's own path, which no service can have (RFC 9728).
pub(super) const RESERVED: [&str; 2] = [".well-known", "oauth-protected-resource"];

/// The words for how upstreams are spoken to.
const PROTOCOLS: [(&str, UpstreamProtocol); 3] = [
    ("auto", UpstreamProtocol::Auto),
    ("http1", UpstreamProtocol::Http1),
    ("http2", UpstreamProtocol::Http2),
];

/// From one health check to the next, where the service does not say.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long a health check may take, where the service does not say.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks don't come faster than this.
const SHORTEST_CHECK: Duration = Duration::from_secs(1);

/// A service as far as its entry could be understood.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) service: Service,
    pub(super) place: Place,
    pub(super) tls: Option<Place>,
    /// Where its credential is named.
    pub(super) inject: Option<Place>,
    /// Whether enough of it holds to prepare connections.
    pub(super) complete: bool,
}

/// Compiles the `[[service]]` entries.
pub(super) fn compile(
    raw: &[RawService],
    credentials: &Allowed,
    problems: &mut Diagnostics,
) -> Vec<Draft> {
    let mut known = Names::new("service");
    let mut matches = HashMap::new();
    let mut drafts = Vec::with_capacity(raw.len());
    for entry in raw {
        let claimed = known.claim(&entry.name, problems);
        let id = service_name(&entry.name, problems);
        let before = problems.len();
        let found = entry.matches.as_ref().and_then(|m| matched(m, problems));
        if let (Some(found), Some(raw)) = (&found, &entry.matches) {
            claim_match(found, raw, &mut matches, problems);
        }
        let upstreams = upstreams(entry, problems);
        let tls = entry
            .tls
            .as_ref()
            .map(|tls| self::tls(tls, &entry.directory, problems));
        if let Some(tls) = &entry.tls
            && !upstreams.is_empty()
            && upstreams.iter().all(|upstream| !upstream.tls)
        {
            problems.warning(
                &tls.place,
                "none of the upstreams is https, so `tls` has no effect",
            );
        }
        let protocol = word(
            entry.protocol.as_ref(),
            "a protocol of upstreams",
            &PROTOCOLS,
            problems,
        );
        let health = entry
            .health
            .as_ref()
            .and_then(|health| self::health(health, problems));
        let timeouts = Timeouts {
            connect: duration(entry.connect.as_ref(), problems),
            response: duration(entry.response.as_ref(), problems),
            idle: duration(entry.idle.as_ref(), problems),
        };
        let inject = entry
            .inject
            .as_ref()
            .and_then(|inject| injection(inject, credentials, problems));
        let time_zone = time_zone(entry.time_zone.as_ref(), problems);
        let complete = problems.len() == before && found.is_some() && !upstreams.is_empty();
        // What is missing is reported; the draft then serves to check what refers to it.
        let nothing = ServiceMatch::Host("".into());
        if let (Some(name), true) = (id, claimed) {
            drafts.push(Draft {
                service: Service {
                    name,
                    matches: found.unwrap_or(nothing),
                    upstreams,
                    tls: tls.unwrap_or_default(),
                    protocol: protocol.unwrap_or_default(),
                    health,
                    timeouts,
                    inject,
                    time_zone,
                },
                place: entry.name.place.clone(),
                tls: entry.tls.as_ref().map(|tls| tls.place.clone()),
                inject: named_at(entry.inject.as_ref()),
                complete,
            });
        }
    }
    drafts
}

fn named_at(inject: Option<&RawInjection>) -> Option<Place> {
    let source = inject?.value_from.as_ref()?;
    Some(source.place.clone())
}

fn service_name(text: &At<String>, problems: &mut Diagnostics) -> Option<ServiceName> {
    if text.value.contains(':') {
        let message = format!("the service name `{}` has a colon", text.value);
        problems
            .error(&text.place, message)
            .hint("`service:group` names a group of a service's operations");
        return None;
    }
    name(text, problems)
}

fn matched(raw: &RawMatch, problems: &mut Diagnostics) -> Option<ServiceMatch> {
    match (&raw.host, &raw.path) {
        (Some(host), None) => {
            if raw.strip {
                problems.error(
                    &raw.place,
                    "`strip` removes a path prefix: it goes with `path`",
                );
            }
            match address::host(&host.value) {
                Ok(name) => return Some(ServiceMatch::Host(name.into())),
                Err(error) => {
                    problems
                        .error(&host.place, error.to_string())
                        .hint("a host is matched without scheme, port and path");
                }
            }
        }
        (None, Some(path)) => match pattern::prefix(&path.value) {
            Ok(literals) if literals.iter().map(AsRef::as_ref).take(2).eq(RESERVED) => {
                let message = format!("the gateway itself answers below `{}`", path.value);
                problems.error(&path.place, message);
            }
            Ok(literals) => {
                let prefix = format!("/{}", literals.join("/")).into();
                return Some(ServiceMatch::Path {
                    prefix,
                    strip: raw.strip,
                });
            }
            Err(error) => {
                problems
                    .error(&path.place, error.to_string())
                    .hint("write a prefix like /orders, without a slash at its end");
            }
        },
        (Some(_), Some(_)) => {
            problems.error(
                &raw.place,
                "a service is matched by `host` or by `path`, not by both",
            );
        }
        (None, None) => {
            problems.error(&raw.place, "`match` needs `host` or `path`");
        }
    }
    None
}

fn claim_match<'r>(
    found: &ServiceMatch,
    raw: &'r RawMatch,
    matches: &mut HashMap<String, &'r Place>,
    problems: &mut Diagnostics,
) {
    let what = match found {
        ServiceMatch::Host(host) => format!("the host `{host}`"),
        ServiceMatch::Path { prefix, .. } => format!("the path `{prefix}`"),
    };
    if let Some(first) = matches.get(&what) {
        let message = format!("{what} leads to another service already");
        problems
            .error(&raw.place, message)
            .hint(format!("that is at {first}"));
    } else {
        matches.insert(what, &raw.place);
    }
}

fn upstreams(entry: &RawService, problems: &mut Diagnostics) -> Vec<crate::model::UpstreamAddress> {
    let mut upstreams = Vec::with_capacity(entry.upstreams.len());
    for text in &entry.upstreams {
        match address::upstream(&text.value) {
            Ok(upstream) if upstreams.contains(&upstream) => {
                let message = format!("the upstream `{}` stands here twice", text.value);
                problems.error(&text.place, message);
            }
            Ok(upstream) => upstreams.push(upstream),
            Err(error @ AddressError::Userinfo) => {
                problems.error(&text.place, error.to_string()).withhold();
            }
            Err(error) => {
                problems.error(&text.place, error.to_string());
            }
        }
    }
    upstreams
}

fn tls(raw: &RawTls, directory: &Path, problems: &mut Diagnostics) -> UpstreamTls {
    let file = |text: &At<String>| -> PathBuf { directory.join(&text.value) };
    let client = match (&raw.client_certificate, &raw.client_key) {
        (Some(certificate), Some(key)) => Some((file(certificate), file(key))),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            let message = "`client_certificate` and `client_key` go together";
            problems.error(&alone.place, message);
            None
        }
    };
    let server_name = raw.server_name.as_ref().and_then(|text| {
        let name = address::host(&text.value).map_err(|error| error.to_string());
        name.map_err(|message| problems.error(&text.place, message).maybe_hint(None))
            .ok()
    });
    UpstreamTls {
        ca: raw.ca.as_ref().map(file),
        client,
        server_name: server_name.map(Into::into),
    }
}

fn health(raw: &RawHealth, problems: &mut Diagnostics) -> Option<HealthCheck> {
    let text = raw.path.as_ref()?;
    let path = text.value.parse().ok();
    let path: Option<PathAndQuery> = path.filter(|_| text.value.starts_with('/'));
    if path.is_none() {
        let message = format!("`{}` is not a path that can be asked for", text.value);
        problems
            .error(&text.place, message)
            .hint("write it like /healthz");
    }
    let interval = duration(raw.interval.as_ref(), problems).unwrap_or(CHECK_INTERVAL);
    if let Some(text) = raw.interval.as_ref().filter(|_| interval < SHORTEST_CHECK) {
        problems.error(&text.place, "health checks come a second apart or more");
    }
    let timeout = duration(raw.timeout.as_ref(), problems);
    if let (Some(text), Some(timeout)) = (&raw.timeout, timeout)
        && timeout > interval
    {
        problems.error(
            &text.place,
            "`timeout` is longer than `interval`: checks would overtake each other",
        );
    }
    Some(HealthCheck {
        path: path?,
        interval,
        timeout: timeout.unwrap_or_else(|| CHECK_TIMEOUT.min(interval)),
    })
}

fn injection(
    raw: &RawInjection,
    credentials: &Allowed,
    problems: &mut Diagnostics,
) -> Option<Injection> {
    let header = raw.header.as_ref().and_then(|text| {
        let name: Option<HeaderName> = text.value.parse().ok();
        let name = name.filter(|name| {
            !is_hop_by_hop(name)
                && !matches!(name.as_str(), "host" | "content-length" | "expect")
                && !name.as_str().starts_with("portcullis-")
        });
        if name.is_none() {
            let message = format!(
                "`{}` is not a header that can carry a credential",
                text.value
            );
            problems.error(&text.place, message);
        }
        name
    });
    let value_from = raw.value_from.as_ref().and_then(|text| {
        let source = match parse_source(&text.value) {
            Ok(source) => source,
            Err(error) => {
                // What stands here may be the credential itself.
                problems
                    .error(&text.place, hide(&text.value, &error.to_string()))
                    .withhold();
                return None;
            }
        };
        if !credentials.permits(&source) {
            let message = format!(
                "the credential `{}` is not one that services may use",
                text.value
            );
            problems
                .error(&text.place, message)
                .hint("`allow` of [credentials] in portcullis.toml lists those");
            return None;
        }
        Some(source)
    });
    Some(Injection {
        header: header?,
        value_from: value_from?,
    })
}

fn hide(secret: &str, message: &str) -> String {
    if secret.starts_with("env:") || secret.starts_with("file:") {
        return message.to_owned();
    }
    "this is not a credential source: write `env:NAME` or `file:/path`, never the value".into()
}

fn time_zone(text: Option<&At<String>>, problems: &mut Diagnostics) -> TimeZone {
    let Some(text) = text else {
        return TimeZone::UTC;
    };
    TimeZone::get(&text.value).unwrap_or_else(|_| {
        let names: Vec<String> = jiff::tz::db()
            .available()
            .map(|name| name.to_string())
            .collect();
        let hint = suggestion(problems, &text.value, names.iter().map(String::as_str))
            .unwrap_or_else(|| "write it like Europe/Berlin".into());
        let message = format!("there is no time zone `{}`", text.value);
        problems.error(&text.place, message).hint(hint);
        TimeZone::UTC
    })
}
