//! A value that cannot be printed, compared or serialised by accident.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Holds a credential. There is no `Display`, and `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Puts `value` under cover.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that has to use it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: AsRef<[u8]>> Secret<T> {
    /// Whether it is `other`, in a time that tells nothing of where they differ.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.as_bytes()).is_ok()
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
