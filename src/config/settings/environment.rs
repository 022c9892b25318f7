//! `PORTCULLIS_<SECTION>_<KEY>`: environment variables that override single values of
//! `portcullis.toml`.
//!
//! A name is the key's path in capitals, joined by `_`, or by `__` for who wants to see where the
//! parts end: `PORTCULLIS_GATEWAY_PUBLIC_URL`, `PORTCULLIS_CONTROL__TLS__CERTIFICATE`. Lists have no
//! variable, and an empty variable counts as absent.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;

use super::keys::keys;
use crate::config::diagnostics::Diagnostics;
use crate::config::fields::Overrides;
use crate::config::suggest::did_you_mean;
use crate::config::text::{At, Place, Text};

/// What every variable starts with.
const PREFIX: &str = "PORTCULLIS_";

/// Variables of the command line, which are not about the file.
const COMMAND_LINE: [&str; 9] = [
    "PORTCULLIS_AGENT",
    "PORTCULLIS_AGENT_KEY",
    "PORTCULLIS_CA",
    "PORTCULLIS_CONFIG",
    "PORTCULLIS_CONTROL",
    "PORTCULLIS_LOG",
    "PORTCULLIS_DPOP",
    "PORTCULLIS_OPERATOR_KEY",
    "PORTCULLIS_OUTPUT",
];

/// This process's variables as texts. What of one is no text, which the system allows, reads as U+FFFD.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os().map(|(name, value)| (text(name), text(value)))
}

fn text(raw: OsString) -> String {
    let text = raw.into_string();
    text.unwrap_or_else(|raw| raw.to_string_lossy().into_owned())
}

/// The values that variables set, and a warning for each variable that sets nothing.
pub(super) fn overrides(
    environment: impl IntoIterator<Item = (String, String)>,
    problems: &mut Diagnostics,
) -> Overrides {
    let mut paths = HashMap::new();
    for key in keys() {
        if let Some(variable) = key.variable() {
            let nested = key.path.replace('.', "__").to_uppercase();
            paths.insert(format!("{PREFIX}{nested}"), key.path);
            paths.insert(variable, key.path);
        }
    }
    let mut overrides = Overrides::new();
    for (name, value) in environment {
        if !name.starts_with(PREFIX) || value.is_empty() || COMMAND_LINE.contains(&name.as_str()) {
            continue;
        }
        match paths.get(&name) {
            // It would mean a file, or a name, that nobody has written.
            Some(_) if value.contains(char::REPLACEMENT_CHARACTER) => {
                problems.about_file(&name, "this environment variable is not UTF-8");
            }
            Some(path) => {
                let text = Text::new(name, value.as_str());
                let place = Place::new(&text, 0..value.len());
                overrides.insert((*path).to_owned(), At { value, place });
            }
            None => {
                let known = paths.keys().map(String::as_str).chain(COMMAND_LINE);
                let hint = did_you_mean(&name, known);
                problems
                    .warn_file(&name, "this environment variable sets nothing")
                    .maybe_hint(hint);
            }
        }
    }
    overrides
}
