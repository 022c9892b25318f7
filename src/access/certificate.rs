//! Agents that authenticate by the certificate of their connection (RFC 8705 §2).

use std::sync::Arc;

use crate::authn::Method;
use crate::config::{EnrolledAgent, Snapshot};
use crate::tls::Peer;

/// The agent whom a certificate is about, where no word besides tells.
#[must_use]
pub fn agent_by_certificate<'s>(
    snapshot: &'s Snapshot,
    certificate: &Peer,
) -> Option<(&'s Arc<EnrolledAgent>, Method)> {
    let by_name = match certificate.uris.as_slice() {
        [name] if certificate.issued => snapshot.agent_by_spiffe_id(name),
        _ => None,
    };
    let agent = by_name.or_else(|| snapshot.agent_by_certified_key(&certificate.public_key))?;
    Some((agent, method_by_certificate(agent, certificate)?))
}

/// How a certificate authenticates an agent, if it does. Names in it count only if an authority of ours
/// wrote them, and only one: with two it would be another client's too (RFC 8705 §2.1.2).
#[must_use]
pub fn method_by_certificate(agent: &EnrolledAgent, certificate: &Peer) -> Option<Method> {
    let named = match (certificate.uris.as_slice(), &agent.spiffe_id) {
        ([name], Some(id)) => certificate.issued && name.as_str() == &**id,
        (_, _) => false,
    };
    let mut keys = agent.keys.iter();
    if named {
        Some(Method::Tls)
    } else if keys.any(|key| key.certified_as() == certificate.public_key) {
        Some(Method::SelfSignedTls)
    } else {
        None
    }
}
