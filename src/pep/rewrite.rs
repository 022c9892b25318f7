//! The request for the upstream, built anew from what was judged: the client's credential and everything
//! that only the gateway may say are gone first, and the gateway's own words come last, so that no
//! `Connection` header can take them away (CVE-2024-45410).

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use smallvec::SmallVec;

use super::canonical::Canonical;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::running::Parties;
use super::trace::TRACEPARENT;
use crate::model::{DenyReason, Protocol};
use crate::wire::{Body, Fields, Outbound, connection_listed, is_hop_by_hop, stays_at_gateway};

const AGENT: HeaderName = HeaderName::from_static("portcullis-agent");
const GRANT: HeaderName = HeaderName::from_static("portcullis-grant");
const REQUEST: HeaderName = HeaderName::from_static("portcullis-request-id");
const TASK: HeaderName = HeaderName::from_static("portcullis-task");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the gateway says to the upstream about a call.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) who: Parties<'a>,
    pub(super) request_id: &'a RequestId,
    /// The value of `traceparent`.
    pub(super) trace: &'a [u8],
    /// The address that the connection came from.
    pub(super) peer: &'a HeaderValue,
    /// Whether that is a trusted proxy, whose word about the client before it is passed on.
    pub(super) trusted_proxy: bool,
    pub(super) secure: bool,
    /// The service's credential and the header that carries it.
    pub(super) credential: Option<(&'a HeaderName, &'a HeaderValue)>,
}

/// Builds the outgoing request. `path` is the canonical path as the service sees it.
pub(super) fn rewrite(
    canonical: &Canonical,
    path: &str,
    protocol: Protocol,
    statement: &Statement<'_>,
    body: Body,
) -> Result<Outbound<Body>, Refusal> {
    let mut fields = pass_on(canonical, protocol);
    say(&mut fields, canonical, statement)?;
    Ok(Outbound {
        method: canonical.method().clone(),
        target: target(canonical, path)?,
        fields,
        body,
    })
}

/// Where the request goes: as the client wrote it, where the service sees the same path.
fn target(canonical: &Canonical, path: &str) -> Result<PathAndQuery, Refusal> {
    if let Some(target) = canonical.target().filter(|target| target.path() == path) {
        return Ok(target.clone());
    }
    let target = match canonical.query() {
        None => PathAndQuery::try_from(path),
        Some(query) => PathAndQuery::from_maybe_shared(Bytes::from([path, query].join("?"))),
    };
    target.map_err(|_| {
        let detail = "the request's target can't be written for the service";
        Refusal::new(DenyReason::RequestMalformed, detail)
    })
}

/// What of the client's headers is for the upstream.
fn pass_on(canonical: &Canonical, protocol: Protocol) -> Fields {
    let from = canonical.headers();
    let listed: SmallVec<[String; 2]> = match canonical.present().connection {
        true => connection_listed(from).collect(),
        false => SmallVec::new(),
    };
    let mut fields = Fields::with_capacity(from.len() + SAID, USUAL);
    let mut cookies = 0;
    for (name, value) in from {
        if !stays_at_gateway(name) && !listed.iter().any(|listed| listed == name.as_str()) {
            cookies += usize::from(*name == header::COOKIE);
            fields.push(name, value);
        }
    }
    if cookies > 1
        && let Some(whole) = whole_cookie(from)
    {
        fields.set(&header::COOKIE, &whole);
    }
    if protocol == Protocol::Grpc {
        if wants_trailers(from) {
            fields.push(&header::TE, &HeaderValue::from_static("trailers"));
        }
        if let Some(announced) = announced_trailers(from) {
            fields.push(&header::TRAILER, &announced);
        }
    }
    fields
}

/// The one line of what HTTP/2 lets a client say in several (RFC 9113 §8.2.3). Elsewhere each server would make of
/// those what it likes.
fn whole_cookie(from: &HeaderMap) -> Option<HeaderValue> {
    let lines = from.get_all(header::COOKIE).iter();
    let lines: Vec<_> = lines.map(HeaderValue::as_bytes).collect();
    HeaderValue::from_maybe_shared(Bytes::from(lines.join(&b"; "[..]))).ok()
}

/// Whether a trailer may reach the upstream: one that would not as a header does not either, nor one
/// that frames, routes or describes what has passed already (RFC 9110 §6.5.1).
fn may_trail(name: &HeaderName, credential: Option<&HeaderName>) -> bool {
    !stays_at_gateway(name)
        && credential != Some(name)
        && !matches!(
            *name,
            header::AGE
                | header::CACHE_CONTROL
                | header::CONTENT_ENCODING
                | header::CONTENT_RANGE
                | header::CONTENT_TYPE
                | header::COOKIE
                | header::MAX_FORWARDS
                | header::RANGE
        )
        && !name.as_str().starts_with("if-")
}

/// What of a request's trailers is for the upstream: nothing under the name of the service's
/// `credential`, and nowhere the client's own `token`.
pub(super) fn pass_on_trailers(
    from: &HeaderMap,
    credential: Option<&HeaderName>,
    token: &[u8],
) -> HeaderMap {
    let holds_token = |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), token).is_some();
    let mut trailers = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        if may_trail(name, credential) && !holds_token(value) {
            trailers.append(name.clone(), value.clone());
        }
    }
    trailers
}

/// The trailers that the client has announced, without those that would not pass: HTTP/1.1 sends no
/// others.
fn announced_trailers(from: &HeaderMap) -> Option<HeaderValue> {
    let values = from.get_all(header::TRAILER).iter();
    let names = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .filter(|name| may_trail(name, None));
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    HeaderValue::from_str(&names.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
}

/// The most fields that the gateway says.
const SAID: usize = 11;

/// So many bytes all fields have together, as a rule.
const USUAL: usize = 768;

/// Adds what the gateway alone says: nothing of these names has been passed on.
fn say(
    fields: &mut Fields,
    canonical: &Canonical,
    statement: &Statement<'_>,
) -> Result<(), Refusal> {
    let mut add = |name: &HeaderName, value: &[u8]| {
        debug_assert!(!fields.contains(name), "{name} was passed on");
        fields.say(name, value).map_err(|_| unspeakable(name))
    };
    let Parties { agent, task, grant } = statement.who;
    add(&AGENT, agent)?;
    if let Some(task) = task {
        add(&TASK, task)?;
    }
    if let Some(grant) = grant {
        add(&GRANT, grant)?;
    }
    add(&REQUEST, statement.request_id.as_bytes())?;
    let host = canonical.authority().as_bytes();
    let before = statement.trusted_proxy.then(|| canonical.headers());
    let told = |name: &HeaderName| {
        let value = before.and_then(|headers| headers.get(name));
        value.and_then(|value| value.to_str().ok().map(str::as_bytes))
    };
    let peer = statement.peer.as_bytes();
    match told(&FORWARDED_FOR) {
        None => add(&FORWARDED_FOR, peer)?,
        Some(chain) => add(&FORWARDED_FOR, &[chain, peer].join(&b", "[..]))?,
    }
    let own: &[u8] = if statement.secure { b"https" } else { b"http" };
    add(&FORWARDED_HOST, told(&FORWARDED_HOST).unwrap_or(host))?;
    add(&FORWARDED_PROTO, told(&FORWARDED_PROTO).unwrap_or(own))?;
    add(&header::HOST, host)?;
    add(&TRACEPARENT, statement.trace)?;
    add(&header::VIA, via(canonical.version()))?;
    if let Some((name, value)) = statement.credential {
        fields.set(name, value);
    }
    Ok(())
}

/// In which version of HTTP the request came here (RFC 9110 §7.6.3).
const fn via(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"1.0 portcullis",
        Version::HTTP_2 => b"2 portcullis",
        _ => b"1.1 portcullis",
    }
}

/// Whether the client reads trailers: `TE` belongs to one connection, so it is said anew.
fn wants_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TE).iter();
    values.any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

fn unspeakable(name: &HeaderName) -> Refusal {
    let detail = format!("`{name}` can't be written for the service");
    Refusal::new(DenyReason::RequestMalformed, detail)
}

/// Takes from an upstream's answer what belongs to its connection, and what only the gateway may say.
pub(super) fn clean_answer(headers: &mut HeaderMap) {
    let stays = |name: &HeaderName| {
        // Over HTTP/1.1 only those trailers reach the client that are announced.
        (is_hop_by_hop(name) && *name != header::TRAILER)
            || name.as_str().starts_with("portcullis-")
            // The upstream knows nothing of where else the gateway can be reached.
            || *name == header::ALT_SVC
    };
    // What `Connection` lists stays too, and so does that itself.
    if !headers.keys().any(stays) {
        return;
    }
    let listed: SmallVec<[String; 2]> = connection_listed(headers).collect();
    let names: SmallVec<[HeaderName; 2]> = headers
        .keys()
        .filter(|name| stays(name) || listed.iter().any(|listed| listed == name.as_str()))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}
