//! What TLS to a service is made of, read from files that may be replaced while we run.

#[cfg(test)]
mod tests;

use std::io::{self, Read as _};
use std::path::Path;

use super::UpstreamError;
use crate::base::{Clock, Digest, Live, open_file};
use crate::model::{Service, ServiceName, UpstreamProtocol, UpstreamTls};
use crate::tls::{ClientFiles, Connector};

/// How often files that change under our hands are read anew.
const READINGS: usize = 3;

/// The connector of a service, and the files that it comes from.
#[derive(Debug)]
pub(super) struct LiveTls {
    service: ServiceName,
    tls: UpstreamTls,
    offers_http2: bool,
    clock: Clock,
    current: Live<Opened>,
}

/// A connector, with the digest of the files that it was made from.
#[derive(Debug)]
struct Opened {
    connector: Connector,
    files: Digest,
}

impl LiveTls {
    pub(super) fn open(service: &Service, clock: &Clock) -> Result<Self, UpstreamError> {
        let offers_http2 = service.protocol != UpstreamProtocol::Http1;
        let opened = open(&service.name, &service.tls, offers_http2, clock)?;
        Ok(Self {
            service: service.name.clone(),
            tls: service.tls.clone(),
            offers_http2,
            clock: clock.clone(),
            current: Live::new(opened),
        })
    }

    pub(super) fn connector(&self) -> Connector {
        self.current.peek().connector.clone()
    }

    pub(super) fn files(&self) -> Digest {
        self.current.peek().files
    }

    /// Reads the files again; returns whether there is something new.
    pub(super) fn refresh(&self) -> Result<bool, UpstreamError> {
        if files_digest(&self.tls) == self.files() {
            return Ok(false);
        }
        let opened = open(&self.service, &self.tls, self.offers_http2, &self.clock)?;
        self.current.publish(opened.into());
        Ok(true)
    }
}

/// Opens the connector. Files replaced between reading them and digesting them would otherwise give new
/// connections the key of old ones.
fn open(
    service: &ServiceName,
    tls: &UpstreamTls,
    offers_http2: bool,
    clock: &Clock,
) -> Result<Opened, UpstreamError> {
    let files = ClientFiles {
        ca: tls.ca.clone(),
        client: tls.client.clone(),
    };
    for _ in 0..READINGS {
        let before = files_digest(tls);
        let connector = Connector::open(&files, offers_http2, clock.clone());
        let connector = connector.map_err(|source| UpstreamError::Tls {
            service: service.clone(),
            source,
        })?;
        if files_digest(tls) == before {
            let files = before;
            return Ok(Opened { connector, files });
        }
    }
    Err(UpstreamError::FilesMoving(service.clone()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn files_digest(tls: &UpstreamTls) -> Digest {
    let client = tls.client.iter().flat_map(|(chain, key)| [chain, key]);
    let contents: Vec<_> = tls
        .ca
        .iter()
        .chain(client)
        // A file that can't be read is the connector's to complain about.
        .map(|path: &_| Digest::of(&read(path).unwrap_or_default()))
        .collect();
    let parts: Vec<&[u8]> = contents
        .iter()
        .map(|part| part.as_bytes().as_slice())
        .collect();
    Digest::of_parts(&parts)
}
