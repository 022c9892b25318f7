//! Which country an address is in, as a file in the MaxMind format says. The file is read whole, and again
//! when it is another; an address is looked up once in each.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::fast::RandomState;
use maxminddb::{MaxMindDbError, PathElement, Reader};
use thiserror::Error;

use super::{Changed, Signals};
use crate::base::{Live, open_file};

/// The largest database, in bytes: those of cities have some 70 MiB.
const LARGEST: u64 = 512 << 20;

/// How many addresses are remembered with what the database says of them. Full, all are forgotten.
const REMEMBERED: usize = 8192;

/// Where databases keep the code of the country: MaxMind's own, and those of others.
const PATHS: [&[PathElement<'static>]; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// A database that can't be used.
#[derive(Debug, Error)]
pub enum CountriesError {
    /// It is broken, or no database.
    #[error("`{0}` is no sound MaxMind database")]
    Broken(PathBuf, #[source] Box<MaxMindDbError>),
    /// It is larger than any.
    #[error("`{0}` is larger than {size} MiB", size = LARGEST >> 20)]
    Large(PathBuf),
    /// It can't be read.
    #[error("the country database `{0}` can't be read")]
    Unreadable(PathBuf, #[source] io::Error),
}

/// The database of this moment, if one is configured.
#[derive(Debug)]
pub(super) struct Countries {
    live: Live<Option<Database>>,
    looked: Mutex<Option<Looked>>,
}

/// The file, how it looked when it was last looked at, if it could be, and whether it has been read so.
type Looked = (PathBuf, Option<Look>, bool);

struct Database {
    reader: Reader<Vec<u8>>,
    seen: RwLock<HashMap<IpAddr, Option<Arc<str>>, RandomState>>,
}

/// How a file looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Whether `file` is a database that can be used. It blocks.
///
/// # Errors
///
/// When it can't be read, or is no sound database.
pub fn check_countries(file: &Path) -> Result<(), CountriesError> {
    Database::open(file).map(drop)
}

impl Signals {
    /// From now on `file` says which country an address is in. It blocks.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is no sound database.
    pub fn open_countries(&self, file: &Path) -> Result<(), CountriesError> {
        let (database, look) = Database::open(file)?;
        self.countries.live.publish(Arc::new(Some(database)));
        *self.countries.looked() = Some((file.to_owned(), Some(look), true));
        Ok(())
    }

    /// Looks whether the file is another, and reads it then; true where it has. What still changes from one
    /// look to the next is left for the look after it, so that half a file is never read. It blocks.
    ///
    /// # Errors
    ///
    /// When the new one can't be used: the last good one stays, and this one is not tried again. That there is none
    /// is told once.
    pub fn refresh_countries(&self) -> Result<bool, CountriesError> {
        let mut looked = self.countries.looked();
        let Some((file, last, read)) = looked.as_mut() else {
            return Ok(false);
        };
        let look = match fs::metadata(&file) {
            Ok(metadata) => Look::of(&metadata),
            Err(_) if last.is_none() => return Ok(false),
            Err(error) => {
                *last = None;
                return Err(CountriesError::Unreadable(file.clone(), error));
            }
        };
        if *last != Some(look) {
            (*last, *read) = (Some(look), false);
            return Ok(false);
        }
        if *read {
            return Ok(false);
        }
        *read = true;
        let (database, look) = Database::open(file)?;
        *last = Some(look);
        self.countries.live.publish(Arc::new(Some(database)));
        self.tell(Changed::Countries);
        Ok(true)
    }

    /// The code of the country that an address is in, where that is known.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<Arc<str>> {
        let live = self.countries.live.peek();
        live.as_ref().as_ref()?.country(address)
    }
}

impl Countries {
    /// No database: no country is known.
    pub(super) fn none() -> Self {
        Self {
            live: Live::new(None),
            looked: Mutex::default(),
        }
    }

    fn looked(&self) -> MutexGuard<'_, Option<Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database {
    fn open(path: &Path) -> Result<(Self, Look), CountriesError> {
        let unreadable = |error| CountriesError::Unreadable(path.to_owned(), error);
        let file = open_file(path).map_err(unreadable)?;
        let look = Look::of(&file.metadata().map_err(unreadable)?);
        let mut bytes = Vec::new();
        let mut limited = file.take(LARGEST + 1);
        limited.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST {
            return Err(CountriesError::Large(path.to_owned()));
        }
        let broken = |error| CountriesError::Broken(path.to_owned(), Box::new(error));
        let reader = Reader::from_source(bytes).map_err(broken)?;
        reader.verify().map_err(broken)?;
        let database = Self {
            reader,
            seen: RwLock::default(),
        };
        Ok((database, look))
    }

    fn country(&self, address: IpAddr) -> Option<Arc<str>> {
        {
            let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(country) = seen.get(&address) {
                return country.clone();
            }
        }
        let country = self.look_up(address);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(address, country.clone());
        country
    }

    fn look_up(&self, address: IpAddr) -> Option<Arc<str>> {
        let found = self.reader.lookup(address).ok()?;
        let codes = PATHS.iter().filter_map(|path| {
            // What is there in another form is not there.
            let code: Option<&str> = found.decode_path(path).ok()?;
            code.filter(|code| !code.is_empty())
        });
        codes.map(Arc::from).next()
    }
}

impl Look {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("type", &self.reader.metadata().database_type)
            .finish_non_exhaustive()
    }
}
