//! How the connections are shared between two workers.
//!
//! The load has one of the two cores as well. A connection that would send as fast as it is answered would send
//! less to the worker on that core, however the connections were shared; so each sends at the same pace, which
//! leaves both workers idle for most of the time.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Protocol, send};
use crate::ours::{Certificate, Ours};
use crate::report::{median, spread};
use crate::{AT_ONCE, CALL, HTTP2_CONNECTIONS, Options};

/// How often each connection sends.
const PACE: Duration = Duration::from_millis(4);

/// How evenly two workers share what comes; each round has connections of its own.
pub(crate) async fn balance(upstream: SocketAddr, certificate: &Certificate, options: &Options) {
    let ours = Ours::start("0,1", 2, upstream, certificate).await;
    let protocols = [
        (
            "HTTP/1.1",
            AT_ONCE,
            1.10,
            Protocol::Http1 {
                connections: AT_ONCE,
            },
        ),
        (
            "TLS with HTTP/2",
            HTTP2_CONNECTIONS,
            1.25,
            Protocol::Http2 {
                connections: HTTP2_CONNECTIONS,
                streams: 1,
                certificate: certificate.der.clone(),
            },
        ),
    ];
    println!("\n| two workers | connections | goal | most / mean of requests |");
    println!("|---|---|---|---|");
    for (name, connections, goal, protocol) in protocols {
        let address = match &protocol {
            Protocol::Http1 { .. } => ours.listen,
            Protocol::Http2 { .. } => ours.secure,
        };
        let mut uneven = Vec::new();
        for _ in 0..options.rounds {
            let before = ours.requests_by_worker().await;
            send(
                address,
                &protocol,
                (CALL, &ours.token),
                (options.time, PACE),
            )
            .await;
            let after = ours.requests_by_worker().await;
            let served: Vec<_> = after
                .iter()
                .zip(&before)
                .map(|(one, two)| one - two)
                .collect();
            let mean = served.iter().sum::<f64>() / served.len() as f64;
            uneven.push(served.iter().copied().fold(0.0, f64::max) / mean);
        }
        let verdict = if median(&uneven) <= goal {
            "met"
        } else {
            "not met"
        };
        println!(
            "| {name} | {connections} | ≤ {goal:.2} | {}, {verdict} |",
            spread(&uneven, 2)
        );
    }
}
