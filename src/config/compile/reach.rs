//! Whether any request can ever reach a route.

use std::collections::HashMap;

use super::services::{Draft, RESERVED};
use crate::config::diagnostics::Diagnostics;
use crate::config::pattern::{RoutePattern, Segment};
use crate::config::text::At;
use crate::model::{Service, ServiceMatch};

/// The services by name and by path prefix.
pub(super) struct Reach<'s> {
    services: HashMap<&'s str, &'s Service>,
    prefixes: HashMap<&'s str, &'s Service>,
}

impl<'s> Reach<'s> {
    pub(super) fn new(drafts: &'s [Draft]) -> Self {
        let services = drafts.iter().map(|draft| &draft.service);
        let prefix = |service: &'s Service| match &service.matches {
            ServiceMatch::Host(_) => None,
            ServiceMatch::Path { prefix, .. } => Some((prefix.as_ref(), service)),
        };
        Self {
            prefixes: services.clone().filter_map(prefix).collect(),
            services: services
                .map(|service| (service.name.as_str(), service))
                .collect(),
        }
    }

    /// The service of that name, as far as it could be understood.
    pub(super) fn service(&self, name: &str) -> Option<&'s Service> {
        self.services.get(name).copied()
    }

    /// Complains about a route that no request of its service can have.
    pub(super) fn check(
        &self,
        route: &At<&RoutePattern>,
        service: &str,
        problems: &mut Diagnostics,
    ) {
        let Some(service) = self.service(service) else {
            return;
        };
        let own = literals(route.value);
        let (public, length) = match &service.matches {
            ServiceMatch::Host(_) => (own, usize::MAX),
            ServiceMatch::Path { prefix, strip } => {
                let prefix: Vec<&str> = prefix.split('/').filter(|s| !s.is_empty()).collect();
                let length = prefix.len();
                if *strip {
                    warn_of_doubled_prefix(route, &own, &prefix, problems);
                    (prefix.into_iter().chain(own).collect(), length)
                } else if agrees(route.value.segments(), &prefix) {
                    (own, length)
                } else {
                    let name = &service.name;
                    let message = format!(
                        "no request can match: those of `{name}` start with `/{}`",
                        prefix.join("/")
                    );
                    problems
                        .error(&route.place, message)
                        .hint("write the whole path, or set `strip = true` at the service");
                    return;
                }
            }
        };
        if public.starts_with(&RESERVED) {
            let message = format!("the gateway itself answers `/{}`", RESERVED.join("/"));
            problems.error(&route.place, message);
        }
        self.warn_of_longer_prefix(route, service, &public, length, problems);
    }

    fn warn_of_longer_prefix(
        &self,
        route: &At<&RoutePattern>,
        service: &Service,
        public: &[&str],
        length: usize,
        problems: &mut Diagnostics,
    ) {
        let mut path = String::new();
        for (index, segment) in public.iter().enumerate() {
            path.push('/');
            path.push_str(segment);
            if let Some(other) = self.prefixes.get(path.as_str())
                && index + 1 > length
                && other.name != service.name
            {
                let message = format!(
                    "no request can match: `{path}` is the service `{}`",
                    other.name
                );
                problems.warning(&route.place, message);
                return;
            }
        }
    }
}

/// The literal segments that a route starts with.
fn literals(route: &RoutePattern) -> Vec<&str> {
    let segments = route.segments().iter();
    segments
        .map_while(|segment| match segment {
            Segment::Literal(text) => Some(text.as_ref()),
            Segment::Parameter(_) | Segment::Rest(_) => None,
        })
        .collect()
}

/// Whether a route that is written in full can match paths below a prefix.
fn agrees(segments: &[Segment], prefix: &[&str]) -> bool {
    let mut segments = segments.iter();
    for part in prefix {
        match segments.next() {
            Some(Segment::Literal(text)) if text.as_ref() == *part => {}
            Some(Segment::Parameter(_)) => {}
            Some(Segment::Rest(_)) => return true,
            Some(Segment::Literal(_)) | None => return false,
        }
    }
    true
}

fn warn_of_doubled_prefix(
    route: &At<&RoutePattern>,
    own: &[&str],
    prefix: &[&str],
    problems: &mut Diagnostics,
) {
    if !prefix.is_empty() && own.starts_with(prefix) {
        let message = format!(
            "the prefix `/{}` is removed before routing",
            prefix.join("/")
        );
        problems
            .warning(&route.place, message)
            .hint("write the route without it, or drop `strip`");
    }
}
