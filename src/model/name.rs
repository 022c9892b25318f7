//! Names and ids: one newtype each, one alphabet for all.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::base::{is_random_id, random_id};

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// A text that can't be a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a name can't be empty")]
    Empty,
    /// Longer than a header or a path segment should carry.
    #[error("a name has at most {LONGEST} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the alphabet that is safe in headers, paths, logs and Cedar.
    #[error("`{0}` can't stand in a name: use letters, digits and . _ - @ + :")]
    Character(char),
    /// `.` and `-` at the start read as a hidden file, a relative path or an option.
    #[error("a name starts with a letter or a digit")]
    Start,
}

fn parse(text: &str) -> Result<Arc<str>, NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.len() > LONGEST {
        return Err(NameError::TooLong(text.chars().count()));
    }
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || "._-@+:".contains(*c));
    if let Some(character) = text.chars().find(odd) {
        return Err(NameError::Character(character));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start);
    }
    Ok(Arc::from(text))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                parse(text).map(Self)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )+};
}

names! {
    /// An agent: the principal of every question.
    AgentId,
    /// An entitlement: a right to ask.
    EntitlementId,
    /// A grant in use.
    GrantId,
    /// A group of agents, people or operations.
    GroupName,
    /// An operation, such as `orders.refund`.
    OperationId,
    /// A person who owns agents, approves or operates.
    PersonId,
    /// A request for a grant.
    RequestId,
    /// A protected service.
    ServiceName,
    /// A task or reasoning span; never used twice.
    TaskId,
}

impl GrantId {
    /// An id that nobody has had or can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(random_id("grt").into())
    }
}

impl RequestId {
    /// An id that nobody has had or can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(random_id("req").into())
    }
}

impl TaskId {
    /// An id that nobody has had or can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(random_id("tsk").into())
    }

    /// Whether it has the form of those that [`TaskId::random`] makes: such a name is nobody else's to give.
    #[must_use]
    pub fn is_of_random_form(&self) -> bool {
        is_random_id("tsk", &self.0)
    }
}

/// The content hash of a policy set: names what was live when something was decided.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Generation(Arc<str>);

impl Generation {
    /// Names the set whose content hashes to `digest` by its first sixteen digits.
    #[must_use]
    pub fn new(digest: crate::base::Digest) -> Self {
        Self(
            digest
                .to_string()
                .chars()
                .take(16)
                .collect::<String>()
                .into(),
        )
    }

    /// Reads a name back: sixteen lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 16 && text.bytes().all(digit)).then(|| Self(text.into()))
    }

    /// The hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({})", self.0)
    }
}
