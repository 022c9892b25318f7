//! How many connections there are, in all and from each address.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts open connections and refuses those over the limit.
#[derive(Debug)]
pub struct Admission {
    most: usize,
    most_per_source: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// Which limit a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That of all.
    All,
    /// That of its address.
    Source,
}

impl Full {
    /// The limit's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::Source => "connections_per_source",
        }
    }
}

/// An admitted connection; dropping it is its end.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    source: IpAddr,
}

impl Admission {
    /// So many in all, and so many from each address.
    #[must_use]
    pub fn new(most: usize, most_per_source: usize) -> Self {
        Self {
            most,
            most_per_source,
            open: Mutex::default(),
        }
    }

    /// Admits a connection from `source`.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn admit(self: &Arc<Self>, source: IpAddr) -> Result<Admitted, Full> {
        let mut open = self.open();
        if open.all >= self.most {
            return Err(Full::All);
        }
        let of_source = open.by_source.entry(source).or_default();
        if *of_source >= self.most_per_source {
            return Err(Full::Source);
        }
        *of_source += 1;
        open.all += 1;
        Ok(Admitted {
            admission: Arc::clone(self),
            source,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Additions and subtractions only: a poisoned count is at most one off.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.by_source.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}
