//! Names and ids: one newtype each, one alphabet for all.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
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

fn check(text: &str) -> Result<(), NameError> {
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
    Ok(())
}

/// The text of a name that mostly [`random_id`] makes, each for one thing alone. What it makes is of one length,
/// and is kept in place: text of its own on the heap would take twice as much for each of a million grants.
#[derive(Clone, PartialEq, Eq)]
enum Made {
    /// Of that length, whoever has made it.
    Here([u8; RANDOM]),
    /// Of any other.
    Elsewhere(Arc<str>),
}

/// How long an id of [`random_id`] with a prefix of three letters is.
const RANDOM: usize = 30;

impl Made {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Elsewhere(text) => text.as_bytes(),
        }
    }
}

impl Deref for Made {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            // INVARIANT: they were text when this was made of them.
            Self::Here(bytes) => str::from_utf8(bytes).unwrap_or_default(),
            Self::Elsewhere(text) => text,
        }
    }
}

impl From<&str> for Made {
    fn from(text: &str) -> Self {
        match text.as_bytes().try_into() {
            Ok(bytes) => Self::Here(bytes),
            Err(_) => Self::Elsewhere(text.into()),
        }
    }
}

impl From<String> for Made {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

macro_rules! names {
    ($text:ty; $($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name($text);

        /// As the text, which it is looked for by.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        /// As the text, which it is looked for by.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name's bytes: letters, digits and some marks, all ASCII.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.into()))
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
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }
    )+};
}

names! {
    Arc<str>;
    /// An agent: the principal of every question.
    AgentId,
    /// An entitlement: a right to ask.
    EntitlementId,
    /// A group of agents, people or operations.
    GroupName,
    /// An operation, such as `orders.refund`.
    OperationId,
    /// A person who owns agents, approves or operates.
    PersonId,
    /// A protected service.
    ServiceName,
    /// A task or reasoning span; never used twice.
    TaskId,
}

names! {
    Made;
    /// A grant in use.
    GrantId,
    /// A request for a grant.
    RequestId,
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
