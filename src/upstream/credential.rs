//! The credential that the gateway shows to a service, read from where the configuration points.

#[cfg(test)]
mod tests;

use std::env;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tracing::{info, warn};

use super::UpstreamError;
use crate::base::{ErrorChain, Live, Secret, open_file};
use crate::model::{CredentialSource, Injection};

/// No credential is longer; a longer file is something else.
const LONGEST: u64 = 8 * 1024;

/// Reads credentials. There is no value of this type: what was read is a [`Secret`].
#[derive(Clone, Copy, Debug)]
pub enum Credential {}

impl Credential {
    /// The credential at `source`, as a header value that HTTP/2 will not index and no `Debug`
    /// shows. Blanks and line ends after it are not part of it.
    ///
    /// # Errors
    ///
    /// Where the source is absent, can't be read, is longer than 8 KiB, or holds nothing that a
    /// header can carry.
    pub fn read(source: &CredentialSource) -> Result<Secret<HeaderValue>, UpstreamError> {
        let (place, bytes) = match source {
            CredentialSource::Env(name) => {
                let place = format!("env:{name}");
                match env::var_os(name) {
                    Some(value) => (place, value.into_vec()),
                    None => return Err(UpstreamError::CredentialMissing(place)),
                }
            }
            CredentialSource::File(path) => {
                let place = format!("file:{}", path.display());
                match read_file(path) {
                    Ok(bytes) => (place, bytes),
                    Err(error) => return Err(UpstreamError::CredentialUnreadable(place, error)),
                }
            }
        };
        parse(place, &bytes)
    }
}

/// The credential of one service, as it was when it was last looked at. Reading it here touches no
/// file, so that no request waits for one.
#[derive(Debug)]
pub struct Injected {
    header: HeaderName,
    source: CredentialSource,
    value: Live<Result<Secret<HeaderValue>, UpstreamError>>,
}

impl Injected {
    /// Reads the credential. Where that fails, the failure is what [`current`](Self::current) gives,
    /// until a later look finds better.
    #[must_use]
    pub fn open(injection: &Injection) -> Self {
        Self {
            header: injection.header.clone(),
            source: injection.value_from.clone(),
            value: Live::new(Credential::read(&injection.value_from)),
        }
    }

    /// The header that carries it.
    #[must_use]
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The value that was last read, or why there is none. A credential that was taken away is not
    /// used any further.
    #[must_use]
    pub fn current(&self) -> Arc<Result<Secret<HeaderValue>, UpstreamError>> {
        self.value.current()
    }

    /// Reads the credential again. It may wait for a disk.
    pub fn refresh(&self) {
        let now = Credential::read(&self.source);
        let same = match (&**self.value.peek(), &now) {
            (Ok(before), Ok(now)) => before.expose() == now.expose(),
            (Err(before), Err(now)) => before.to_string() == now.to_string(),
            _ => false,
        };
        if same {
            return;
        }
        match &now {
            Ok(_) => info!(header = %self.header, "a service's credential has changed"),
            Err(error) => {
                let error = ErrorChain(error);
                warn!(header = %self.header, %error, "a service's credential can't be read: its calls are refused");
            }
        }
        self.value.publish(Arc::new(now));
    }
}

fn parse(place: String, bytes: &[u8]) -> Result<Secret<HeaderValue>, UpstreamError> {
    if bytes.len() as u64 > LONGEST {
        return Err(UpstreamError::CredentialTooLong(place));
    }
    match HeaderValue::from_bytes(bytes.trim_ascii_end()) {
        Ok(mut value) if !value.is_empty() => {
            value.set_sensitive(true);
            Ok(Secret::new(value))
        }
        _ => Err(UpstreamError::CredentialInvalid(place)),
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than fits, so that a longer file is seen to be one.
    open_file(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
