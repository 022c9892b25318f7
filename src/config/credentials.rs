//! Which credentials the policy files may name: their authors choose among what the operator of the
//! gateway allows, so that write access to policies is not read access to every secret.

#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::model::CredentialSource;

/// A credential source that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// Neither a variable nor a file.
    #[error("`{0}` is not a credential source: write `env:NAME` or `file:/path`")]
    Form(String),
    /// A path that depends on where it is read from, or that climbs.
    #[error("`{0}` is not an absolute path without `.` and `..`")]
    Path(String),
    /// Not the name of an environment variable.
    #[error("`{0}` is not the name of an environment variable")]
    Variable(String),
}

/// The names that `[credentials] allow` permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Pattern>);

/// One entry of `[credentials] allow`: `*` stands for any characters except a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads `env:ORDERS_*` or `file:/etc/portcullis/secrets/*`.
    ///
    /// # Errors
    ///
    /// When nothing that is a credential source could match.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let sample = text.replace('*', "x");
        parse_source(&sample).map_err(|error| match error {
            CredentialError::Form(_) => CredentialError::Form(text.to_owned()),
            CredentialError::Path(_) => CredentialError::Path(text.to_owned()),
            CredentialError::Variable(_) => CredentialError::Variable(text.to_owned()),
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl Allowed {
    /// Whether a service may use `source`.
    #[must_use]
    pub fn permits(&self, source: &CredentialSource) -> bool {
        let name = match source {
            CredentialSource::Env(name) => format!("env:{name}"),
            CredentialSource::File(path) => match path.to_str() {
                Some(path) => format!("file:{path}"),
                None => return false,
            },
        };
        self.0
            .iter()
            .any(|Pattern(pattern)| matches(pattern, &name))
    }
}

impl FromIterator<Pattern> for Allowed {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

/// Reads `env:NAME` or `file:/path`.
pub(super) fn parse_source(text: &str) -> Result<CredentialSource, CredentialError> {
    if let Some(name) = text.strip_prefix("env:") {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(CredentialError::Variable(name.to_owned()));
        }
        return Ok(CredentialSource::Env(name.to_owned()));
    }
    let Some(path) = text.strip_prefix("file:") else {
        return Err(CredentialError::Form(text.to_owned()));
    };
    // `..` would walk out of an allowed directory, and `//` or `.` would make two names of one file.
    let spelt: PathBuf = Path::new(path).components().collect();
    let climbs = Path::new(path)
        .components()
        .any(|part| matches!(part, Component::ParentDir | Component::CurDir));
    if !Path::new(path).is_absolute() || climbs || spelt.as_os_str() != path {
        return Err(CredentialError::Path(path.to_owned()));
    }
    Ok(CredentialSource::File(spelt))
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(before) else {
        return false;
    };
    let reach = rest.find('/').unwrap_or(rest.len());
    (0..=reach)
        .filter_map(|skip| rest.get(skip..))
        .any(|rest| matches(after, rest))
}
