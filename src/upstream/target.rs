//! What a service's configuration comes to: addresses, TLS, and a key that says whether two
//! configurations mean the same connections.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::path::Path;
use std::sync::Arc;

use http::uri::Authority;

use super::endpoint::Endpoint;
use super::live_tls::LiveTls;
use super::resolve::is_forbidden;
use super::{Place, UpstreamError};
use crate::base::{Clock, Digest};
use crate::model::{
    HealthCheck, Service, ServiceName, Timeouts, UpstreamAddress, UpstreamProtocol,
};
use crate::tls::Connector;

/// A service as a pool reaches it. Built once when a configuration is compiled, shared by all
/// workers.
#[derive(Debug)]
pub struct Target {
    pub(super) service: ServiceName,
    pub(super) addresses: Vec<Arc<Address>>,
    tls: Option<LiveTls>,
    pub(super) timeouts: Timeouts,
    pub(super) protocol: UpstreamProtocol,
    pub(super) health: Option<HealthCheck>,
    home: Place,
    key: Digest,
}

/// One address of a target.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// What stands in `Host` where a request names none.
    pub(super) authority: Authority,
    /// As it is configured, for people.
    pub(super) name: Arc<str>,
    /// Where it leads, if no look-up is needed to know that.
    pub(super) fixed: Option<Endpoint>,
    /// The authority's host, an IPv6 address without its brackets.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// The name that the certificate must have.
    pub(super) server_name: Arc<str>,
}

impl Target {
    /// Reads what `service` points at, with certificates judged by the machine's clock.
    ///
    /// # Errors
    ///
    /// Where there is no address, one has no port or may never be connected to, or the TLS files
    /// can't be used.
    pub fn open(service: &Service) -> Result<Self, UpstreamError> {
        Self::open_with(service, &Clock::system())
    }

    /// Reads what `service` points at, with certificates judged by `clock`.
    ///
    /// # Errors
    ///
    /// As [`Target::open`].
    pub fn open_with(service: &Service, clock: &Clock) -> Result<Self, UpstreamError> {
        let addresses: Vec<_> = service
            .upstreams
            .iter()
            .map(|upstream| Address::new(service, upstream).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let Some(first) = addresses.first() else {
            return Err(UpstreamError::NoAddress(service.name.clone()));
        };
        let home = Place {
            service: service.name.clone(),
            address: Arc::clone(&first.name),
        };
        let speaks_tls = addresses.iter().any(|address| address.tls);
        let tls = speaks_tls
            .then(|| LiveTls::open(service, clock))
            .transpose()?;
        let files = tls.as_ref().map_or(Digest::ZERO, LiveTls::files);
        Ok(Self {
            service: service.name.clone(),
            home,
            key: key(service, files),
            addresses,
            tls,
            timeouts: service.timeouts,
            protocol: service.protocol,
            health: service.health.clone(),
        })
    }

    /// The same for two targets whose connections may stand in for each other: same service,
    /// addresses, protocols and contents of TLS files. Timeouts don't count.
    #[must_use]
    pub const fn key(&self) -> &Digest {
        &self.key
    }

    /// Reads the TLS files again. Where they have changed, new connections are made with what they say
    /// now, and those that are open are used no more once what runs on them is over. It may wait for a
    /// disk. Returns whether there is something new.
    ///
    /// # Errors
    ///
    /// Where the files can't be used: then the last good ones stay.
    pub fn refresh(&self) -> Result<bool, UpstreamError> {
        self.tls.as_ref().map_or(Ok(false), LiveTls::refresh)
    }

    /// What makes TLS, where the service speaks it.
    pub(super) fn connector(&self) -> Option<Connector> {
        self.tls.as_ref().map(LiveTls::connector)
    }

    /// Stands for the contents of the TLS files.
    pub(super) fn files(&self) -> Digest {
        self.tls.as_ref().map_or(Digest::ZERO, LiveTls::files)
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
        match self.protocol {
            UpstreamProtocol::Auto => address.tls,
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
        }
    }

    /// Whether its addresses are checked while nobody calls them.
    #[must_use]
    pub const fn has_checks(&self) -> bool {
        self.health.is_some()
    }

    pub(super) fn place(&self, address: &Address) -> Place {
        Place {
            service: self.service.clone(),
            address: Arc::clone(&address.name),
        }
    }
}

impl Address {
    fn new(service: &Service, upstream: &UpstreamAddress) -> Result<Self, UpstreamError> {
        if let Some(socket) = &upstream.socket {
            return Self::unix(service, upstream, socket);
        }
        let name: Arc<str> = upstream.authority.as_str().into();
        let place = || Place {
            service: service.name.clone(),
            address: Arc::clone(&name),
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
        let literal = host.parse::<IpAddr>().ok();
        if literal.is_some_and(is_forbidden) {
            return Err(UpstreamError::Forbidden(place()));
        }
        Ok(Self {
            name,
            fixed: literal.map(|ip| Endpoint::Tcp(SocketAddr::new(ip, port))),
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

    fn unix(
        service: &Service,
        upstream: &UpstreamAddress,
        socket: &Path,
    ) -> Result<Self, UpstreamError> {
        let name: Arc<str> = format!("unix:{}", socket.display()).into();
        if !socket.is_absolute() || UnixSocketAddr::from_pathname(socket).is_err() {
            return Err(UpstreamError::NoSocket(Place {
                service: service.name.clone(),
                address: name,
            }));
        }
        Ok(Self {
            // Whoever can write to the socket's directory can be the service: TLS would not change it.
            tls: false,
            authority: upstream.authority.clone(),
            name,
            fixed: Some(Endpoint::Unix(socket.into())),
            host: upstream.authority.host().into(),
            port: 0,
            server_name: upstream.authority.host().into(),
        })
    }
}

fn key(service: &Service, files: Digest) -> Digest {
    let what = format!(
        "{:?}",
        (
            service.name.as_str(),
            &service.upstreams,
            &service.tls,
            service.protocol,
            &service.health,
        )
    );
    Digest::of_parts(&[files.as_bytes(), what.as_bytes()])
}
