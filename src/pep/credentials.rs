//! The credentials that a worker adds for services, read again every few seconds so that a rotated file
//! is picked up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::base::{BootInstant, Clock, Secret};
use crate::model::{CredentialSource, Service};
use crate::upstream::{Credential, UpstreamError};

/// How old a credential may be.
const FRESH: Duration = Duration::from_secs(5);

/// The credentials of one worker. There are no more than services.
#[derive(Debug)]
pub(super) struct Credentials {
    clock: Clock,
    read: RefCell<HashMap<CredentialSource, (BootInstant, Secret<HeaderValue>)>>,
}

impl Credentials {
    pub(super) fn new(clock: Clock) -> Self {
        let read = RefCell::default();
        Self { clock, read }
    }

    /// The header and value that a service wants, if it wants one.
    pub(super) fn of(
        &self,
        service: &Service,
    ) -> Result<Option<(HeaderName, Secret<HeaderValue>)>, UpstreamError> {
        let Some(injection) = &service.inject else {
            return Ok(None);
        };
        let source = &injection.value_from;
        let now = self.clock.now();
        let mut read = self.read.borrow_mut();
        if let Some((at, value)) = read.get(source)
            && now.saturating_since(*at) < FRESH
        {
            return Ok(Some((injection.header.clone(), value.clone())));
        }
        let value = Credential::read(source)?;
        read.insert(source.clone(), (now, value.clone()));
        Ok(Some((injection.header.clone(), value)))
    }
}
