use std::cmp::Reverse;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::pattern::{RouteMethod, RoutePattern};
use crate::model::{
    Operation, Protocol, Risk, Service, Timeouts, UpstreamAddress, UpstreamProtocol, UpstreamTls,
};
use crate::upstream::Target;

/// A service at `place`, which is a host or a path; a `~` before the path strips it.
fn service(name: &str, place: &str) -> Arc<ProtectedService> {
    let (path, strip) = match place.strip_prefix('~') {
        Some(path) => (path, true),
        None => (place, false),
    };
    let matches = if path.starts_with('/') {
        let prefix = path.into();
        ServiceMatch::Path { prefix, strip }
    } else {
        ServiceMatch::Host(path.into())
    };
    let service = Service {
        name: name.parse().unwrap(),
        matches,
        upstreams: vec![UpstreamAddress {
            tls: false,
            authority: "127.0.0.1:9".parse().unwrap(),
            socket: None,
        }],
        tls: UpstreamTls::default(),
        protocol: UpstreamProtocol::default(),
        health: None,
        timeouts: Timeouts::default(),
        inject: None,
        time_zone: jiff::tz::TimeZone::UTC,
    };
    Arc::new(ProtectedService {
        target: Arc::new(Target::open(&service).unwrap()),
        credential: None,
        service,
    })
}

/// An operation of `service` that is named by its route.
fn endpoint(service: &Arc<ProtectedService>, id: &str, route: &str) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        operation: Operation {
            id: id.parse().unwrap(),
            service: service.service.name.clone(),
            groups: BTreeSet::new(),
            risk: Risk::Low,
            baseline: false,
            protocol: Protocol::Http,
            inputs: std::collections::BTreeMap::new(),
        },
        service: Arc::clone(service),
        route: RoutePattern::parse(route).unwrap(),
        covering: Vec::new(),
    })
}

/// Routes of services at the given places.
fn routes(services: &[(&str, &[&str])]) -> Routes {
    let mut all = Vec::new();
    let mut endpoints = Vec::new();
    for (number, (place, routes)) in services.iter().enumerate() {
        let service = service(&format!("s{number}"), place);
        for route in *routes {
            endpoints.push(endpoint(&service, &format!("o{}", endpoints.len()), route));
        }
        all.push(service);
    }
    Routes::new(&all, &endpoints)
}

/// What answers, as `route path name=value …`.
fn shown(routes: &Routes, host: &str, method: &str, path: &str) -> String {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let Some(matched) = routes.route(host, &method, path) else {
        return "nothing".into();
    };
    let mut shown = format!("{} at {}", matched.endpoint.route, matched.path);
    for (name, value) in &matched.parameters {
        shown.push_str(&format!(" {name}={value}"));
    }
    shown
}

fn check(listed: &[&str], method: &str, path: &str, expected: &str) {
    let routes = routes(&[("a", listed)]);
    let answer = shown(&routes, "a", method, path);
    assert_eq!(answer, expected, "{method} {path} among {listed:?}");
}

#[test]
fn the_most_specific_path_wins() {
    let listed = [
        "GET /orders/open",
        "GET /orders/{id}",
        "GET /orders/{id}/lines",
        "GET /orders/{*rest}",
        "GET /{*all}",
        "GET /",
    ];
    check(
        &listed,
        "GET",
        "/orders/open",
        "GET /orders/open at /orders/open",
    );
    check(
        &listed,
        "GET",
        "/orders/7",
        "GET /orders/{id} at /orders/7 id=7",
    );
    check(
        &listed,
        "GET",
        "/orders/open/lines",
        "GET /orders/{id}/lines at /orders/open/lines id=open",
    );
    check(
        &listed,
        "GET",
        "/orders/7/x",
        "GET /orders/{*rest} at /orders/7/x rest=7/x",
    );
    check(
        &listed,
        "GET",
        "/orders/7/",
        "GET /orders/{*rest} at /orders/7/ rest=7/",
    );
    check(
        &listed,
        "GET",
        "/orders/",
        "GET /{*all} at /orders/ all=orders/",
    );
    check(
        &listed,
        "GET",
        "/orders",
        "GET /{*all} at /orders all=orders",
    );
    check(&listed, "GET", "/", "GET / at /");
}

#[test]
fn a_remainder_is_not_nothing() {
    check(&["GET /a/{*rest}"], "GET", "/a/", "nothing");
    check(&["GET /a/{*rest}"], "GET", "/a", "nothing");
    check(&["GET /{*rest}"], "GET", "/", "nothing");
    check(&["GET /{id}"], "GET", "/", "nothing");
    check(&["GET /a/{id}/b"], "GET", "/a//b", "nothing");
}

#[test]
fn a_path_ends_as_it_is_written() {
    check(&["GET /a"], "GET", "/a/", "nothing");
    check(&["GET /a/"], "GET", "/a", "nothing");
    check(&["GET /a/"], "GET", "/a/", "GET /a/ at /a/");
    check(&["GET /a"], "GET", "/A", "nothing");
    check(&["GET /a"], "GET", "a", "nothing");
    check(&["GET /a"], "GET", "*", "nothing");
}

#[test]
fn the_path_decides_before_the_method_and_the_method_before_any() {
    let listed = [
        "ANY /x/fixed",
        "GET /x/{id}",
        "ANY /x/{id}",
        "DELETE /x/{*rest}",
    ];
    check(&listed, "GET", "/x/fixed", "ANY /x/fixed at /x/fixed");
    check(&listed, "GET", "/x/1", "GET /x/{id} at /x/1 id=1");
    check(&listed, "PUT", "/x/1", "ANY /x/{id} at /x/1 id=1");
    check(&listed, "DELETE", "/x/1", "ANY /x/{id} at /x/1 id=1");
    check(
        &listed,
        "DELETE",
        "/x/1/2",
        "DELETE /x/{*rest} at /x/1/2 rest=1/2",
    );
    check(&listed, "GET", "/x/1/2", "nothing");
    check(
        &["POST /x/fixed", "GET /x/{id}"],
        "GET",
        "/x/fixed",
        "GET /x/{id} at /x/fixed id=fixed",
    );
}

#[test]
fn get_answers_head_where_nothing_else_does() {
    check(&["GET /a"], "HEAD", "/a", "GET /a at /a");
    check(&["GET /a", "HEAD /a"], "HEAD", "/a", "HEAD /a at /a");
    check(&["GET /a", "ANY /a"], "HEAD", "/a", "GET /a at /a");
    check(&["GET /a", "HEAD /{x}"], "HEAD", "/a", "GET /a at /a");
    check(&["HEAD /a"], "GET", "/a", "nothing");
    check(&["ANY /a"], "HEAD", "/a", "ANY /a at /a");
}

#[test]
fn any_is_every_ordinary_method() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        check(&["ANY /a"], method, "/a", "ANY /a at /a");
    }
    for method in ["CONNECT", "TRACE", "PROPFIND", "BREW", "get"] {
        check(&["ANY /a"], method, "/a", "nothing");
    }
    check(&["PROPFIND /a"], "PROPFIND", "/a", "PROPFIND /a at /a");
}

#[test]
fn parameters_are_decoded() {
    check(
        &["GET /{a}/{*b}"],
        "GET",
        "/x%20y/z/%C3%A9",
        "GET /{a}/{*b} at /x%20y/z/%C3%A9 a=x y b=z/\u{e9}",
    );
    check(
        &["GET /caf\u{e9}"],
        "GET",
        "/caf%C3%A9",
        "GET /caf\u{e9} at /caf%C3%A9",
    );
    // A path like this is refused long before; if it came here, it would match nothing.
    check(&["GET /{a}"], "GET", "/%FF", "nothing");
}

#[test]
fn the_host_decides_and_then_the_longest_prefix() {
    let routes = routes(&[
        ("orders.internal", &["GET /api/x"]),
        ("/api", &["GET /api/{*rest}"]),
        ("/api/v2", &["GET /api/v2/x"]),
        ("~/strip", &["GET /", "GET /{id}"]),
    ]);
    let check = |host: &str, path: &str, expected: &str| {
        assert_eq!(shown(&routes, host, "GET", path), expected, "{host} {path}");
    };
    check("orders.internal", "/api/x", "GET /api/x at /api/x");
    // A host's requests are its own, whatever prefixes others have.
    check("orders.internal", "/api/v2/x", "nothing");
    check(
        "ORDERS.internal",
        "/api/x",
        "GET /api/{*rest} at /api/x rest=x",
    );
    check("gate", "/api/v2/x", "GET /api/v2/x at /api/v2/x");
    // The longest prefix decides even if one of its operations does not answer.
    check("gate", "/api/v2/y", "nothing");
    check("gate", "/api/v20", "GET /api/{*rest} at /api/v20 rest=v20");
    check("gate", "/apix", "nothing");
    check("gate", "/strip", "GET / at /");
    check("gate", "/strip/", "GET / at /");
    check("gate", "/strip/7", "GET /{id} at /7 id=7");
    check("gate", "/stripped", "nothing");
    check("gate", "/", "nothing");
    let name = |host, path| {
        routes
            .service(host, path)
            .map(|one| one.service.name.to_string())
    };
    assert_eq!(name("gate", "/api/v2/y").as_deref(), Some("s2"));
    assert_eq!(name("gate", "/stripped"), None);
}

#[test]
fn a_service_may_have_every_path() {
    let routes = routes(&[("/", &["GET /{*all}"]), ("~/b", &["GET /{x}"])]);
    assert_eq!(
        shown(&routes, "h", "GET", "/a/b"),
        "GET /{*all} at /a/b all=a/b"
    );
    assert_eq!(shown(&routes, "h", "GET", "/b/c"), "GET /{x} at /c x=c");
    assert_eq!(
        shown(&routes, "h", "GET", "/bc"),
        "GET /{*all} at /bc all=bc"
    );
}

/// Whether `pattern` matches, written down naively.
fn matches(pattern: &RoutePattern, method: &Method, path: &str) -> bool {
    let mut parts = path.strip_prefix('/').unwrap().split('/').peekable();
    let method_fits = match pattern.method() {
        RouteMethod::Any => {
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method.as_str())
        }
        RouteMethod::One(one) => one == method || (one == Method::GET && method == Method::HEAD),
    };
    for segment in pattern.segments() {
        let fits = match segment {
            Segment::Literal(text) => parts.next() == Some(text),
            Segment::Parameter(_) => parts.next().is_some_and(|part| !part.is_empty()),
            Segment::Rest(_) => {
                let rest: Vec<&str> = parts.by_ref().collect();
                !rest.join("/").is_empty()
            }
        };
        if !fits {
            return false;
        }
    }
    method_fits && parts.next().is_none()
}

/// The order of preference, written down naively: paths from left to right, then the method.
fn preference(pattern: &RoutePattern, method: &Method) -> (Vec<u8>, Reverse<u8>) {
    let path = pattern.segments().iter().map(|segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter(_) => 1,
        Segment::Rest(_) => 2,
    });
    let method = match pattern.method() {
        RouteMethod::One(one) if one == method => 2,
        RouteMethod::One(_) => 1,
        RouteMethod::Any => 0,
    };
    (path.collect(), Reverse(method))
}

fn route() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "ANY"]);
    let segment = prop::sample::select(vec!["a", "b", "{x}", "{x}"]);
    let path = prop::collection::vec(segment, 0..4);
    let end = prop::sample::select(vec!["", "", "/", "/{*rest}"]);
    (method, path, end).prop_map(|(method, path, end)| {
        let mut route = format!("{method} ");
        for (index, segment) in path.iter().enumerate() {
            route.push('/');
            route.push_str(&segment.replace('x', &format!("p{index}")));
        }
        route.push_str(if path.is_empty() && end.is_empty() {
            "/"
        } else {
            end
        });
        route
    })
}

proptest! {
    #[test]
    fn routing_agrees_with_the_naive_reference(
        listed in prop::collection::vec(route(), 1..12),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "PUT", "TRACE"]),
        path in "(/[abc]){0,4}/?",
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let method: Method = method.parse().unwrap();
        let mut shapes = BTreeSet::new();
        let distinct: Vec<&str> = listed
            .iter()
            .map(String::as_str)
            .filter(|route| shapes.insert(RoutePattern::parse(route).unwrap().shape()))
            .collect();
        let expected = distinct
            .iter()
            .map(|route| RoutePattern::parse(route).unwrap())
            .filter(|pattern| matches(pattern, &method, &path))
            .min_by_key(|pattern| preference(pattern, &method));
        let routes = routes(&[("h", &distinct)]);
        let found = routes.route("h", &method, &path).map(|found| found.endpoint.route.clone());
        prop_assert_eq!(found, expected);
    }
}
