//! Listeners: addresses, and the TLS identity of each.

use std::net::SocketAddr;
use std::path::Path;

use super::read::file;
use super::{ClientAuth, Listener, ListenerTls, Protocols};
use crate::config::diagnostics::Diagnostics;
use crate::config::fields::Fields;
use crate::config::suggest::did_you_mean;
use crate::config::text::{At, Place};

/// The listeners read so far. No two share an address: what agents reach must not be what people
/// reach.
pub(super) struct Listeners<'d> {
    directory: &'d Path,
    taken: Vec<(SocketAddr, Place)>,
}

impl<'d> Listeners<'d> {
    pub(super) fn new(directory: &'d Path) -> Self {
        Self {
            directory,
            taken: Vec::new(),
        }
    }

    /// Reads the listener whose address is under `key`.
    pub(super) fn one(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
    ) -> Option<Listener> {
        let address = fields.required(key);
        let tls = fields.table("tls").map(|fields| self.tls(fields));
        let address = address.and_then(|text| self.address(fields, &text));
        Some(Listener {
            address: address?,
            tls: match tls {
                Some(tls) => Some(tls?),
                None => None,
            },
            protocols: Protocols::default(),
        })
    }

    /// As [`one`](Self::one), for a listener of the gateway.
    pub(super) fn of_gateway(&mut self, fields: &mut Fields<'_, '_>) -> Option<Listener> {
        let words = fields.strings("protocols");
        let listener = self.one(fields, "address");
        let Some(first) = words.first() else {
            return listener;
        };
        if listener.as_ref().is_some_and(|one| one.tls.is_some()) {
            let message = "`protocols` is for listeners without `tls`";
            let problem = fields.problems().error(&first.place, message);
            problem.hint("over TLS the client chooses between HTTP/1.1 and HTTP/2 (ALPN)");
            return None;
        }
        let protocols = protocols(&words, fields.problems())?;
        Some(Listener {
            protocols,
            ..listener?
        })
    }

    fn address(&mut self, fields: &mut Fields<'_, '_>, text: &At<String>) -> Option<SocketAddr> {
        let problems = fields.problems();
        let Ok(address) = text.value.parse::<SocketAddr>() else {
            let message = format!("`{}` is not an address to listen on", text.value);
            problems
                .error(&text.place, message)
                .hint("write it like 0.0.0.0:8443 or [::]:8443");
            return None;
        };
        let mut taken = self.taken.iter();
        if let Some((_, first)) = taken.find(|(other, _)| overlap(*other, address)) {
            let message = format!("`{address}` is taken by another listener");
            let problem = problems.error(&text.place, message);
            problem.hint(format!("that is at {first}"));
        }
        self.taken.push((address, text.place.clone()));
        Some(address)
    }

    fn tls(&self, mut fields: Fields<'_, '_>) -> Option<ListenerTls> {
        fields.require("certificate");
        fields.require("key");
        let certificate = file(&mut fields, "certificate");
        let key = file(&mut fields, "key");
        let client_ca = file(&mut fields, "client_ca");
        let client_auth = fields.string("client_auth");
        let ca = client_ca.map(|ca| self.directory.join(ca.value));
        let client_auth = match (client_auth.as_ref().map(|text| text.value.as_str()), ca) {
            (Some("any"), ca) => Some(ClientAuth::Any(ca)),
            (None | Some("none"), None) => Some(ClientAuth::None),
            (None | Some("optional"), Some(ca)) => Some(ClientAuth::Optional(ca)),
            (Some("required"), Some(ca)) => Some(ClientAuth::Required(ca)),
            (Some("none"), Some(_)) => Some(ClientAuth::None),
            (Some("optional" | "required"), None) => {
                let place = client_auth.map_or_else(|| fields.place().clone(), |text| text.place);
                let problem = fields
                    .problems()
                    .error(&place, "client certificates need `client_ca`");
                problem.hint("the authorities that agents' certificates come from, as a PEM file");
                None
            }
            (Some(other), _) => {
                let place = client_auth.as_ref().map(|text| text.place.clone());
                let place = place.unwrap_or_else(|| fields.place().clone());
                let hint = did_you_mean(other, ["any", "none", "optional", "required"]);
                let message =
                    format!("`client_auth` is none, optional, required or any, not `{other}`");
                fields.problems().error(&place, message).maybe_hint(hint);
                None
            }
        };
        fields.finish();
        Some(ListenerTls {
            certificate: self.directory.join(certificate?.value),
            key: self.directory.join(key?.value),
            client_auth: client_auth?,
        })
    }
}

/// Whether the system lets one socket alone have both. It may have `[::]` beside addresses of IPv4, or not: that
/// is for the start to find out.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same = one.ip() == other.ip() || (everywhere && one.is_ipv4() == other.is_ipv4());
    one.port() != 0 && one.port() == other.port() && same
}

/// The words are those of ALPN (RFC 7301 §6).
const HTTP1: &str = "http/1.1";
const HTTP2: &str = "h2";

fn protocols(words: &[At<String>], problems: &mut Diagnostics) -> Option<Protocols> {
    let (mut http1, mut http2, mut known) = (false, false, true);
    for word in words {
        match word.value.as_str() {
            HTTP1 => http1 = true,
            HTTP2 => http2 = true,
            other => {
                known = false;
                let hint = did_you_mean(other, [HTTP1, HTTP2]);
                let message = format!("`protocols` are `{HTTP1}` and `{HTTP2}`, not `{other}`");
                problems.error(&word.place, message).maybe_hint(hint);
            }
        }
    }
    known.then_some(match (http1, http2) {
        (true, true) => Protocols::Both,
        (false, true) => Protocols::Http2,
        (_, false) => Protocols::Http1,
    })
}
