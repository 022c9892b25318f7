//! From host, method and path to the operation that answers: the service by host name, else by the
//! longest path prefix, and then its most specific route.
//!
//! Per service there is one tree of segments rather than one `matchit` router per method: there a
//! `{name}` and a `{*rest}` at the same place of two routes are a conflict, here the first wins.
//! Nodes are as many as the files' routes have segments, and none is visited twice per request.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::Method;
use smallvec::SmallVec;

use super::pattern::Segment;
use super::snapshot::{Endpoint, ProtectedService};
use crate::base::{split, split_once};
use crate::model::ServiceMatch;
use crate::wire::decoded;

/// What a route captured, by name, decoded.
pub type Parameters<'s, 'p> = SmallVec<[(&'s str, Cow<'p, str>); 2]>;

/// The operation that answers a request, and what its route captured.
#[derive(Debug)]
pub struct Matched<'s, 'p> {
    /// The operation with its service.
    pub endpoint: &'s Arc<Endpoint>,
    /// The parameters of the route, decoded, from left to right.
    pub parameters: Parameters<'s, 'p>,
    /// The path for the upstream: the canonical path, without the prefix where the service strips it.
    pub path: &'p str,
}

/// Every service and route of a snapshot.
#[derive(Default)]
pub(super) struct Routes {
    hosts: HashMap<Arc<str>, ServiceRoutes, RandomState>,
    prefixes: PrefixNode,
}

/// The routes of one service.
struct ServiceRoutes {
    service: Arc<ProtectedService>,
    tree: Node,
}

/// A place in the tree of path prefixes.
#[derive(Default)]
struct PrefixNode {
    children: HashMap<Box<str>, Self, RandomState>,
    service: Option<ServiceRoutes>,
}

/// A place in the tree of a service's routes.
#[derive(Default)]
struct Node {
    literals: HashMap<Box<str>, Self, RandomState>,
    parameter: Option<Box<Self>>,
    /// Routes that end here.
    here: Vec<Arc<Endpoint>>,
    /// Routes that end here with a `{*rest}`.
    rest: Vec<Arc<Endpoint>>,
}

impl Routes {
    /// Arranges `endpoints`, whose routes are all different within a service.
    pub(super) fn new<'e>(
        services: impl IntoIterator<Item = &'e Arc<ProtectedService>>,
        endpoints: impl IntoIterator<Item = &'e Arc<Endpoint>>,
    ) -> Self {
        let mut trees: HashMap<&str, Node> = HashMap::new();
        for endpoint in endpoints {
            let tree = trees
                .entry(endpoint.operation.service.as_str())
                .or_default();
            tree.insert(endpoint.route.segments(), endpoint);
        }
        let mut routes = Self::default();
        for service in services {
            let tree = trees.remove(service.service.name.as_str());
            let entry = ServiceRoutes {
                service: Arc::clone(service),
                tree: tree.unwrap_or_default(),
            };
            match &service.service.matches {
                ServiceMatch::Host(host) => {
                    routes.hosts.insert(Arc::clone(host), entry);
                }
                ServiceMatch::Path { prefix, .. } => {
                    routes.prefixes.place(prefix).service = Some(entry);
                }
            }
        }
        routes
    }

    /// The service that a request is for.
    pub(super) fn service(&self, host: &str, path: &str) -> Option<&Arc<ProtectedService>> {
        Some(&self.find(host, path)?.service)
    }

    /// The operation that answers a request.
    pub(super) fn route<'s, 'p>(
        &'s self,
        host: &str,
        method: &Method,
        path: &'p str,
    ) -> Option<Matched<'s, 'p>> {
        let found = self.find(host, path)?;
        let path = found.service.forwarded(path)?;
        let endpoint = found.tree.find(Some(path.strip_prefix('/')?), method)?;
        Some(Matched {
            endpoint,
            parameters: parameters(endpoint.route.segments(), path)?,
            path,
        })
    }

    fn find(&self, host: &str, path: &str) -> Option<&ServiceRoutes> {
        if let Some(found) = self.hosts.get(host) {
            return Some(found);
        }
        let mut node = &self.prefixes;
        let mut found = node.service.as_ref();
        for segment in split(path.strip_prefix('/')?, b'/') {
            match node.children.get(segment) {
                Some(child) => node = child,
                None => break,
            }
            found = node.service.as_ref().or(found);
        }
        found
    }
}

impl ProtectedService {
    /// Where the service lies below the gateway's URL, as a resource of its own (RFC 8707, RFC 9728);
    /// empty where it is found by its host or takes every path: then the gateway is the resource.
    #[must_use]
    pub fn resource_path(&self) -> &str {
        match &self.service.matches {
            ServiceMatch::Path { prefix, .. } if prefix.len() > 1 => prefix,
            ServiceMatch::Host(_) | ServiceMatch::Path { .. } => "",
        }
    }

    /// The path for the upstream, where `path` is one of the service's.
    fn forwarded<'p>(&self, path: &'p str) -> Option<&'p str> {
        let ServiceMatch::Path {
            prefix,
            strip: true,
        } = &self.service.matches
        else {
            return Some(path);
        };
        if prefix.as_ref() == "/" {
            return Some(path);
        }
        match path.strip_prefix(prefix.as_ref())? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

impl PrefixNode {
    fn place(&mut self, prefix: &str) -> &mut Self {
        let mut node = self;
        for segment in prefix.split('/').filter(|segment| !segment.is_empty()) {
            node = node.children.entry(segment.into()).or_default();
        }
        node
    }
}

impl Node {
    fn insert(&mut self, segments: &[Segment], endpoint: &Arc<Endpoint>) {
        match segments.split_first() {
            None => self.here.push(Arc::clone(endpoint)),
            Some((Segment::Rest(_), _)) => self.rest.push(Arc::clone(endpoint)),
            Some((Segment::Literal(text), after)) => {
                let child = self.literals.entry(text.clone()).or_default();
                child.insert(after, endpoint);
            }
            Some((Segment::Parameter(_), after)) => {
                let child = self.parameter.get_or_insert_default();
                child.insert(after, endpoint);
            }
        }
    }

    /// The most specific route that answers: from left to right a literal segment beats a parameter
    /// and a parameter beats a remainder; where paths are equally specific, the method decides.
    fn find(&self, path: Option<&str>, method: &Method) -> Option<&Arc<Endpoint>> {
        let Some(path) = path else {
            return best(&self.here, method);
        };
        let (segment, after) = match split_once(path, b'/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        let literal = self.literals.get(segment);
        let parameter = self.parameter.as_deref().filter(|_| !segment.is_empty());
        literal
            .and_then(|child| child.find(after, method))
            .or_else(|| parameter?.find(after, method))
            .or_else(|| best(&self.rest, method).filter(|_| !path.is_empty()))
    }
}

fn best<'n>(endpoints: &'n [Arc<Endpoint>], method: &Method) -> Option<&'n Arc<Endpoint>> {
    endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint.route.method().rank(method)?, endpoint)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, endpoint)| endpoint)
}

/// Reads the parameters of a route from a path that it matches.
fn parameters<'s, 'p>(segments: &'s [Segment], path: &'p str) -> Option<Parameters<'s, 'p>> {
    let mut parameters = SmallVec::new();
    let mut rest = path.strip_prefix('/')?;
    for segment in segments {
        let (text, after) = split_once(rest, b'/').unwrap_or((rest, ""));
        match segment {
            Segment::Literal(_) => {}
            Segment::Parameter(name) => parameters.push((&**name, decoded(text)?)),
            Segment::Rest(name) => parameters.push((&**name, decoded(rest)?)),
        }
        rest = after;
    }
    Some(parameters)
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}
