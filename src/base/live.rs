//! A value that is replaced whole while others read it.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// One shared value; readers see the old or the new one, never a mixture.
pub struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    /// Holds `value` until something else is published.
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// The value of this moment. Read it once per request and pass it down.
    pub fn current(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// The value of this moment, for a short look that does not outlive the statement.
    pub fn peek(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// Replaces the value for all who read from now on.
    pub fn publish(&self, value: Arc<T>) {
        self.0.store(value);
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.0.load()).finish()
    }
}
