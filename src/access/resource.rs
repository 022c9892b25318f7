//! What a token can be for (RFC 8707): the gateway as a whole, or some of its services.

use crate::authn::{Authenticated, Subject};
use crate::config::{ProtectedService, Snapshot};

/// Every resource there is, as its metadata names it: first the gateway, which is `public_url`, then the
/// services that have a path of their own.
#[must_use]
pub fn resources(snapshot: &Snapshot, public_url: &str) -> Vec<String> {
    let own = snapshot.services().map(|service| service.resource_path());
    let own = own.filter(|path| !path.is_empty());
    let own = own.map(|path| format!("{public_url}{path}"));
    std::iter::once(public_url.to_owned()).chain(own).collect()
}

/// Whether a verified token may be used at `service`: it is for the gateway as a whole or for this
/// service. An outside token is for what its issuer's configuration says, and that was compared when it
/// was verified.
#[must_use]
pub fn is_for(authenticated: &Authenticated, public_url: &str, service: &ProtectedService) -> bool {
    if matches!(authenticated.subject(), Subject::Outside(_)) {
        return true;
    }
    let named = |audience: &String| match audience.strip_prefix(public_url) {
        Some("") => true,
        Some(path) => path == service.resource_path(),
        None => false,
    };
    authenticated.audiences().iter().any(named)
}
