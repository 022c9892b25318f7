//! `[notify]`: who is told when a request waits for people.

use super::read::read;
use super::url;
use crate::config::credentials::parse_source;
use crate::config::fields::Fields;
use crate::model::CredentialSource;

/// Where notifications go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The URL: https, unless it is on this machine.
    pub url: String,
    /// Where the secret is that signs them.
    pub secret: CredentialSource,
    /// In which form they are.
    pub template: Template,
}

/// The form of a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Template {
    /// Everything, for programs.
    #[default]
    Json,
    /// A line of text, as Slack and its likes take it.
    Slack,
}

/// Reads `[notify]`.
pub(super) fn webhook(mut notify: Fields<'_, '_>) -> Option<Webhook> {
    let mut fields = notify.section("webhook");
    let given = ["url", "secret_from", "template"].map(|key| fields.has(key));
    let url = read(&mut fields, "url", url::jwks);
    let place = fields.place().clone();
    let secret = fields.string("secret_from").and_then(|text| {
        let source = parse_source(&text.value);
        source
            .map_err(|error| {
                fields.problems().error(&text.place, error.to_string());
            })
            .ok()
    });
    let template = fields.string("template").and_then(|text| {
        let template = match text.value.as_str() {
            "json" => Some(Template::Json),
            "slack" => Some(Template::Slack),
            _ => None,
        };
        if template.is_none() {
            let message = format!("`{}` is not a template: `json` or `slack`", text.value);
            fields.problems().error(&text.place, message);
        }
        template
    });
    if given.contains(&true) {
        for (key, given) in ["url", "secret_from"].iter().zip(given) {
            if !given {
                let message = format!("a webhook needs `{key}`");
                fields.problems().error(&place, message);
            }
        }
    }
    fields.finish();
    notify.finish();
    Some(Webhook {
        url: url?,
        secret: secret?,
        template: template.unwrap_or_default(),
    })
}
