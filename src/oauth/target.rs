//! Whom a token is for (RFC 8707): the gateway, unless `resource` narrows it to services.

use super::error::OAuthError;
use super::form::Form;
use super::state::OAuth;
use crate::access::resources;
use crate::config::Snapshot;

impl OAuth {
    /// The audience of the token that is asked for. Each `resource`, and in an exchange each `audience`
    /// (RFC 8693 §2.1), has to be one that there is, spelt as its metadata spells it.
    pub(super) fn audience(
        &self,
        snapshot: &Snapshot,
        form: &Form,
    ) -> Result<Vec<String>, OAuthError> {
        let known = resources(snapshot, &self.facts.public_url);
        let mut audience = Vec::new();
        for named in form.all("resource").iter().chain(form.all("audience")) {
            // A URL without a path can be written with a slash (RFC 3986 §6.2.3).
            let spelt = match named.strip_suffix('/') {
                Some(origin) if origin == self.facts.public_url => origin,
                _ => named.as_str(),
            };
            if !known.iter().any(|one| one == spelt) {
                let description = format!("`{named}` is not a resource of this gateway");
                return Err(OAuthError::new("invalid_target", description));
            }
            if !audience.iter().any(|one| one == spelt) {
                audience.push(spelt.to_owned());
            }
        }
        if audience.is_empty() {
            audience.push(self.facts.public_url.clone());
        }
        Ok(audience)
    }
}
