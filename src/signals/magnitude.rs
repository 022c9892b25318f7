//! How large the numbers are that an agent sends: which steps of a scale, two to each doubling, they fall
//! on. An exact number would never come again; its magnitude does.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::model::OperationId;

/// One magnitude of one numeric input of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Magnitude {
    /// Of which operation.
    pub operation: OperationId,
    /// The declared name of the input.
    pub input: Arc<str>,
    /// The step of the scale; those of negative numbers are negative.
    pub step: Step,
}

/// A step of the scale: 0 is zero, 1 is one, and two steps are one doubling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(i16);

impl Step {
    pub(super) const LOWEST: Self = Self(-128);
    pub(super) const HIGHEST: Self = Self(128);

    /// The one that a number falls on.
    #[must_use]
    pub fn of(number: i64) -> Self {
        let size = u128::from(number.unsigned_abs());
        // Twice the logarithm is the logarithm of the square, in whole numbers alone.
        let step = match (size * size).checked_ilog2() {
            None => 0,
            Some(log) => i16::try_from(log + 1).unwrap_or(Self::HIGHEST.0),
        };
        Self(if number < 0 { -step } else { step })
    }

    /// The one that was written as a number.
    pub(super) fn from_number(number: i16) -> Option<Self> {
        let bounds = Self::LOWEST.0..=Self::HIGHEST.0;
        bounds.contains(&number).then_some(Self(number))
    }

    pub(super) const fn number(self) -> i16 {
        self.0
    }

    /// The smallest and the largest number that fall on it.
    #[must_use]
    pub fn bounds(self) -> (i64, i64) {
        let start = |step: u16| match step.checked_sub(1) {
            None => 0,
            Some(log) => {
                let square = 1_u128.checked_shl(u32::from(log)).unwrap_or(u128::MAX);
                let root = square.isqrt();
                i128::try_from(root + u128::from(root * root < square)).unwrap_or(i128::MAX)
            }
        };
        let size = self.0.unsigned_abs();
        let (low, high) = match size {
            0 => (0, 0),
            size => (start(size), start(size + 1) - 1),
        };
        let whole = |number: i128| {
            i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
        };
        if self.0 < 0 {
            (whole(-high), whole(-low))
        } else {
            (whole(low), whole(high))
        }
    }
}
