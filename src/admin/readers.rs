//! Places for those who follow the events: bounded for all, and for each of them, so that one alone leaves room for
//! the others.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::caller::Caller;
use super::error::ApiError;

/// How many streams there are at once.
const MOST: usize = 256;

/// How many of them one agent has, or one person: enough for several processes and what they have left behind.
const MOST_OF_ONE: usize = 16;

/// Who follows the events.
#[derive(Debug, Default)]
pub(super) struct Readers(Arc<Mutex<Streams>>);

#[derive(Debug, Default)]
struct Streams {
    all: usize,
    /// Of each that has any.
    of_one: HashMap<String, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// All of them are taken.
    Everybody,
    /// This one has as many as one may.
    One,
}

/// A place; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    streams: Arc<Mutex<Streams>>,
    reader: String,
}

impl Readers {
    /// A place for one more stream.
    pub(super) fn enter(&self, caller: &Caller) -> Result<Place, ApiError> {
        self.take(caller.name()).map_err(|full| match full {
            Full::Everybody => {
                let detail = "as many follow the events as may: come again";
                ApiError::unavailable("overloaded", detail).retry_after(1)
            }
            Full::One => ApiError::rate_limited(format!(
                "you follow the events {MOST_OF_ONE} times already: end one of these first"
            ))
            .retry_after(1),
        })
    }

    fn take(&self, reader: String) -> Result<Place, Full> {
        let mut streams = streams(&self.0);
        let own = streams.of_one.get(&reader).copied().unwrap_or_default();
        // One that has too many is told so, also where nobody has room.
        if own >= MOST_OF_ONE {
            return Err(Full::One);
        }
        if streams.all >= MOST {
            return Err(Full::Everybody);
        }
        streams.all += 1;
        streams.of_one.insert(reader.clone(), own + 1);
        Ok(Place {
            streams: Arc::clone(&self.0),
            reader,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = streams(&self.streams);
        streams.all = streams.all.saturating_sub(1);
        if let Some(own) = streams.of_one.get_mut(&self.reader) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                streams.of_one.remove(&self.reader);
            }
        }
    }
}

fn streams(streams: &Mutex<Streams>) -> MutexGuard<'_, Streams> {
    // Nothing under the lock can panic half-way; a poisoned one still counts right.
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}
