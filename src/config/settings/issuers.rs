//! Issuers whose tokens are believed beside the gateway's own.

use std::collections::HashMap;
use std::path::Path;

use super::read::{file, read};
use super::url;
use super::{Gateway, JwksSource, Tokens, TrustedIssuer};
use crate::config::fields::Fields;
use crate::config::text::{At, Place};

/// The trusted issuers read so far.
pub(super) struct Issuers<'s> {
    directory: &'s Path,
    own: Option<&'s str>,
    audience: Option<&'s str>,
    taken: HashMap<String, Place>,
    found: Vec<TrustedIssuer>,
}

impl<'s> Issuers<'s> {
    pub(super) fn new(
        gateway: Option<&'s Gateway>,
        tokens: Option<&'s Tokens>,
        directory: &'s Path,
    ) -> Self {
        Self {
            directory,
            own: tokens.map(|tokens| tokens.issuer.as_str()),
            audience: gateway.map(|gateway| gateway.public_url.as_str()),
            taken: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// Reads one `[[trusted_issuer]]`.
    pub(super) fn add(&mut self, mut fields: Fields<'_, '_>) {
        let issuer = fields
            .required("issuer")
            .filter(|text| not_empty(&mut fields, text));
        let jwks = jwks(&mut fields, self.directory, "a trusted issuer");
        let audience = fields
            .string("audience")
            .filter(|text| not_empty(&mut fields, text));
        let agent = fields
            .string("agent_claim")
            .filter(|text| not_empty(&mut fields, text));
        let task = fields
            .string("task_claim")
            .filter(|text| not_empty(&mut fields, text));
        let mfa_acr = fields.strings("mfa_acr");
        let mfa_acr: Vec<_> = mfa_acr
            .into_iter()
            .filter(|value| is_class(&mut fields, value))
            .map(|value| value.value)
            .collect();
        if let Some(issuer) = &issuer {
            self.claim(issuer, &mut fields);
        }
        fields.finish();
        let audience = audience.map(|text| text.value);
        let (Some(issuer), Some(jwks), Some(audience)) =
            (issuer, jwks, audience.or(self.audience.map(str::to_owned)))
        else {
            return;
        };
        self.found.push(TrustedIssuer {
            issuer: issuer.value,
            jwks,
            audience,
            agent_claim: agent.map_or_else(|| "sub".into(), |text| text.value),
            task_claim: task.map(|text| text.value),
            mfa_acr,
        });
    }

    pub(super) fn found(self) -> Vec<TrustedIssuer> {
        self.found
    }

    fn claim(&mut self, issuer: &At<String>, fields: &mut Fields<'_, '_>) {
        if self.own == Some(issuer.value.as_str()) {
            let message = "this is the gateway's own issuer: outside keys could make its tokens";
            fields.problems().error(&issuer.place, message);
        }
        let place = issuer.place.clone();
        if let Some(first) = self.taken.insert(issuer.value.clone(), place) {
            let message = format!("the issuer `{}` is trusted twice", issuer.value);
            let problem = fields.problems().error(&issuer.place, message);
            problem.hint(format!("the first is at {first}"));
        }
    }
}

/// Where the keys of `whose` are: at one place.
pub(super) fn jwks(
    fields: &mut Fields<'_, '_>,
    directory: &Path,
    whose: &str,
) -> Option<JwksSource> {
    let by_file = file(fields, "jwks_file");
    let place = fields.place().clone();
    let given = fields.has("jwks_url");
    let by_url = read(fields, "jwks_url", url::jwks);
    match (by_file, by_url) {
        (Some(_), _) if given => {
            let message = "the keys are at `jwks_url` or in `jwks_file`, not in both";
            fields.problems().error(&place, message);
            None
        }
        (Some(file), _) => Some(JwksSource::File(directory.join(file.value))),
        (None, Some(url)) => Some(JwksSource::Url(url)),
        (None, None) => {
            if !given {
                let message = format!("{whose} needs `jwks_url` or `jwks_file`");
                fields.problems().error(&place, message);
            }
            None
        }
    }
}

/// `acr_values` is a list with blanks between its values, in quotes (RFC 9470 §3).
fn is_class(fields: &mut Fields<'_, '_>, value: &At<String>) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    let fits = !value.value.is_empty() && value.value.chars().all(plain);
    if !fits {
        let message = "an `acr` value is printable ASCII without blanks, quotes and backslashes";
        fields.problems().error(&value.place, message);
    }
    fits
}

pub(super) fn not_empty(fields: &mut Fields<'_, '_>, text: &At<String>) -> bool {
    if text.value.is_empty() {
        fields.problems().error(&text.place, "this can't be empty");
    }
    !text.value.is_empty()
}
