//! TLS 1.3 with HTTP/2 in front, and plain HTTP/1.1 behind.

use std::net::SocketAddr;
use std::path::Path;

use crate::load::Protocol;
use crate::ours::{Certificate, Ours, free};
use crate::report::{Goal, print_goals, print_lines};
use crate::{AT_ONCE, CALL, HTTP2_CONNECTIONS, OURS, Options, Way, peers, rounds, site};

/// Ours, enforcing, against haproxy that only proxies: TLS 1.3 with HTTP/2 in front of both.
pub(crate) async fn tls(
    place: &Path,
    upstream: SocketAddr,
    (ours, certificate): (&Ours, &Certificate),
    options: &Options,
) -> Result<(), String> {
    let site = site(place, upstream);
    let secure = free();
    let peer = peers::haproxy_tls(site, secure, &certificate.both)?;
    let protocol = Protocol::Http2 {
        connections: HTTP2_CONNECTIONS,
        streams: AT_ONCE / HTTP2_CONNECTIONS,
        certificate: certificate.der.clone(),
    };
    let name = format!("haproxy {}", peer.version);
    let checks = "token, live grant, budget, 20 rules, record";
    let ways = vec![
        Way::new(&name, "nothing", &peer.process, secure, CALL),
        Way::new(OURS, checks, &ours.process, ours.secure, CALL),
    ];
    let lines = rounds(ways, &protocol, &ours.token, options).await;
    println!(
        "\nTLS 1.3 and HTTP/2, {HTTP2_CONNECTIONS} connections with {} requests at once each",
        AT_ONCE / HTTP2_CONNECTIONS
    );
    print_lines(&lines, "haproxy");
    let goal = Goal {
        name: "haproxy, checking nothing",
        goal: 0.95,
    };
    print_goals(&lines[1], &[(goal, &lines[0])]);
    Ok(())
}
