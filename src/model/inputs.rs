//! Typed values by name: few, sorted, and without an allocation of their own where they are very few.

#[cfg(test)]
mod tests;

use std::fmt;
use std::slice;
use std::sync::Arc;

use smallvec::SmallVec;

/// The value of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputValue {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// Text.
    String(Arc<str>),
}

impl fmt::Display for InputValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            Self::String(value) => value.fmt(f),
        }
    }
}

/// The inputs of one call or one request, by declared name, in the order of the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Inputs(SmallVec<[(Arc<str>, InputValue); 2]>);

impl Inputs {
    /// None at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&InputValue> {
        self.at(self.find(name).ok()?)
    }

    /// The value at a place in the order of the names, counted from 0.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&InputValue> {
        self.0.get(place).map(|(_, value)| value)
    }

    /// Sets one; returns what it was.
    pub fn insert(&mut self, name: Arc<str>, value: InputValue) -> Option<InputValue> {
        match self.find(&name) {
            Ok(place) => {
                let (_, held) = self.0.get_mut(place)?;
                Some(std::mem::replace(held, value))
            }
            Err(place) => {
                self.0.insert(place, (name, value));
                None
            }
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) -> Option<InputValue> {
        let place = self.find(name).ok()?;
        Some(self.0.remove(place).1)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps those that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Arc<str>, &mut InputValue) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// All, in the order of the names.
    pub fn iter(&self) -> InputIter<'_> {
        InputIter(self.0.iter())
    }

    /// The values, in the order of the names.
    pub fn values(&self) -> impl Iterator<Item = &InputValue> {
        self.0.iter().map(|(_, value)| value)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| (**held).cmp(name))
    }
}

/// The inputs by reference, in the order of the names.
#[derive(Clone, Debug)]
pub struct InputIter<'a>(slice::Iter<'a, (Arc<str>, InputValue)>);

impl<'a> Iterator for InputIter<'a> {
    type Item = (&'a Arc<str>, &'a InputValue);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name, value))
    }
}

impl<'a> IntoIterator for &'a Inputs {
    type Item = (&'a Arc<str>, &'a InputValue);
    type IntoIter = InputIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Inputs {
    type Item = (Arc<str>, InputValue);
    type IntoIter = smallvec::IntoIter<[(Arc<str>, InputValue); 2]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(Arc<str>, InputValue)> for Inputs {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, InputValue)>>(inputs: T) -> Self {
        let mut all = Self::new();
        for (name, value) in inputs {
            all.insert(name, value);
        }
        all
    }
}

impl<const N: usize> From<[(Arc<str>, InputValue); N]> for Inputs {
    fn from(inputs: [(Arc<str>, InputValue); N]) -> Self {
        inputs.into_iter().collect()
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
