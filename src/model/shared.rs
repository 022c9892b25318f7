//! A value that many things have alike, and that is in memory once.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use super::{Approval, InputValue, Inputs};

/// A value that a clone shares. It is read as the value itself; whoever changes it changes a copy of its own.
#[derive(PartialEq, Eq, Hash)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for Shared<BTreeSet<T>> {
    fn from(values: [T; N]) -> Self {
        BTreeSet::from(values).into()
    }
}

impl<const N: usize> From<[(Arc<str>, InputValue); N]> for Shared<Inputs> {
    fn from(inputs: [(Arc<str>, InputValue); N]) -> Self {
        Inputs::from(inputs).into()
    }
}

impl<T: FromIterator<I>, I> FromIterator<I> for Shared<T> {
    fn from_iter<A: IntoIterator<Item = I>>(values: A) -> Self {
        T::from_iter(values).into()
    }
}

impl<'a, T> IntoIterator for &'a Shared<T>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = <&'a T as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        (&*self.0).into_iter()
    }
}

/// No inputs at all, which is what most have, is one and the same.
impl Default for Shared<Inputs> {
    fn default() -> Self {
        static NONE: LazyLock<Shared<Inputs>> = LazyLock::new(|| Inputs::new().into());
        NONE.clone()
    }
}

/// So is nobody's agreement.
impl Default for Shared<Vec<Approval>> {
    fn default() -> Self {
        static NONE: LazyLock<Shared<Vec<Approval>>> = LazyLock::new(|| Vec::new().into());
        NONE.clone()
    }
}

impl Shared<Inputs> {
    /// These inputs.
    #[must_use]
    pub fn of(inputs: Inputs) -> Self {
        if inputs.is_empty() {
            Self::default()
        } else {
            inputs.into()
        }
    }
}

impl Shared<Vec<Approval>> {
    /// These approvals.
    #[must_use]
    pub fn approvals(approvals: Vec<Approval>) -> Self {
        if approvals.is_empty() {
            Self::default()
        } else {
            approvals.into()
        }
    }
}

impl<T> Shared<T> {
    /// Whether the two are one in memory.
    #[cfg(test)]
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
