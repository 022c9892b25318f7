//! What a service's configuration comes to: addresses, TLS, and a key that says whether two
//! configurations mean the same connections.

#[cfg(test)]
mod tests;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::uri::Authority;

use super::resolve::is_forbidden;
use super::{Place, UpstreamError};
use crate::base::{Clock, Digest};
use crate::model::{Service, ServiceName, Timeouts, UpstreamAddress, UpstreamTls};
use crate::tls::{ClientFiles, Connector};

/// How often files that change under our hands are read anew.
const READINGS: usize = 3;

/// How a target is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetOptions {
    /// Offer HTTP/2 over TLS.
    pub http2: bool,
    /// Speak HTTP/2 without TLS, unasked (RFC 9113 §3.3).
    pub h2c: bool,
}

/// A service as a pool reaches it. Built once when a configuration is compiled, shared by all
/// workers.
#[derive(Debug)]
pub struct Target {
    pub(super) service: ServiceName,
    pub(super) addresses: Vec<Address>,
    pub(super) connector: Option<Connector>,
    pub(super) timeouts: Timeouts,
    pub(super) options: TargetOptions,
    home: Place,
    key: Digest,
}

/// One address of a target.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) tls: bool,
    pub(super) authority: Authority,
    /// The authority's host, an IPv6 address without its brackets.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// The name that the certificate must have.
    pub(super) server_name: Arc<str>,
}

impl Target {
    /// Reads what `service` points at, to be spoken to in HTTP/1.1, with certificates judged by the
    /// machine's clock.
    ///
    /// # Errors
    ///
    /// Where there is no address, one has no port or may never be connected to, or the TLS files
    /// can't be used.
    pub fn open(service: &Service) -> Result<Self, UpstreamError> {
        Self::open_with(service, TargetOptions::default(), &Clock::system())
    }

    /// Reads what `service` points at, to be spoken to as `options` say, with certificates judged by
    /// `clock`.
    ///
    /// # Errors
    ///
    /// As [`Target::open`].
    pub fn open_with(
        service: &Service,
        options: TargetOptions,
        clock: &Clock,
    ) -> Result<Self, UpstreamError> {
        let addresses: Vec<_> = service
            .upstreams
            .iter()
            .map(|upstream| Address::new(service, upstream))
            .collect::<Result<_, _>>()?;
        let Some(first) = addresses.first() else {
            return Err(UpstreamError::NoAddress(service.name.clone()));
        };
        let home = Place {
            service: service.name.clone(),
            address: first.authority.clone(),
        };
        let (connector, files) = if addresses.iter().any(|address| address.tls) {
            let (connector, files) = open_connector(service, options, clock)?;
            (Some(connector), files)
        } else {
            (None, Digest::ZERO)
        };
        Ok(Self {
            service: service.name.clone(),
            home,
            key: key(service, options, files),
            addresses,
            connector,
            timeouts: service.timeouts,
            options,
        })
    }

    /// The same for two targets whose connections may stand in for each other: same service,
    /// addresses, protocols and contents of TLS files. Timeouts don't count.
    #[must_use]
    pub const fn key(&self) -> &Digest {
        &self.key
    }

    /// The service's name.
    #[must_use]
    pub const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The place to name where no single address is to blame.
    pub(super) const fn home(&self) -> &Place {
        &self.home
    }

    /// Whether a connection to `address` may turn out to be HTTP/2.
    pub(super) const fn may_be_http2(&self, address: &Address) -> bool {
        if address.tls {
            self.options.http2
        } else {
            self.options.h2c
        }
    }

    pub(super) fn place(&self, address: &Address) -> Place {
        Place {
            service: self.service.clone(),
            address: address.authority.clone(),
        }
    }
}

impl Address {
    fn new(service: &Service, upstream: &UpstreamAddress) -> Result<Self, UpstreamError> {
        let place = || Place {
            service: service.name.clone(),
            address: upstream.authority.clone(),
        };
        let port = upstream
            .authority
            .port_u16()
            .ok_or_else(|| UpstreamError::NoPort(place()))?;
        let host = upstream.authority.host();
        let host: Arc<str> = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
            .into();
        if host.parse::<IpAddr>().is_ok_and(is_forbidden) {
            return Err(UpstreamError::Forbidden(place()));
        }
        Ok(Self {
            tls: upstream.tls,
            authority: upstream.authority.clone(),
            server_name: service
                .tls
                .server_name
                .clone()
                .unwrap_or_else(|| Arc::clone(&host)),
            host,
            port,
        })
    }
}

/// The connector, with the digest of the files that it was made from: files replaced between the
/// two readings would otherwise give new connections the key of old ones.
fn open_connector(
    service: &Service,
    options: TargetOptions,
    clock: &Clock,
) -> Result<(Connector, Digest), UpstreamError> {
    let files = ClientFiles {
        ca: service.tls.ca.clone(),
        client: service.tls.client.clone(),
    };
    for _ in 0..READINGS {
        let before = files_digest(&service.tls);
        let connector = Connector::open(&files, options.http2, clock.clone());
        let connector = connector.map_err(|source| UpstreamError::Tls {
            service: service.name.clone(),
            source,
        })?;
        if files_digest(&service.tls) == before {
            return Ok((connector, before));
        }
    }
    Err(UpstreamError::FilesMoving(service.name.clone()))
}

fn files_digest(tls: &UpstreamTls) -> Digest {
    let client = tls.client.iter().flat_map(|(chain, key)| [chain, key]);
    let contents: Vec<_> = tls
        .ca
        .iter()
        .chain(client)
        // A file that can't be read is the connector's to complain about.
        .map(|path: &_| Digest::of(&fs::read::<&Path>(path).unwrap_or_default()))
        .collect();
    let parts: Vec<&[u8]> = contents
        .iter()
        .map(|part| part.as_bytes().as_slice())
        .collect();
    Digest::of_parts(&parts)
}

fn key(service: &Service, options: TargetOptions, files: Digest) -> Digest {
    let what = format!(
        "{:?}",
        (
            service.name.as_str(),
            &service.upstreams,
            &service.tls,
            options
        )
    );
    Digest::of_parts(&[files.as_bytes(), what.as_bytes()])
}
