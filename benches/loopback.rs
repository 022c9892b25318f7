//! Calls on loopback: straight to a small server, through a forwarder of bare bytes, and through the
//! gate under a grant. The three ways take turns within one run, so that a noisy machine is as noisy
//! to each; what counts are the ratios. Not a statistical harness, because processor time per request
//! is counted by thread, which no harness does.
//!
//! `cargo bench --bench loopback`, about 30 s.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops where its own fixture is wrong"
)]

mod support;

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use portcullis::base::Clock;
use support::{ANSWER, Client, Gateway, request, serve};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1200);

/// A way to the server, and the threads whose processor time it costs.
struct Way {
    name: &'static str,
    address: SocketAddr,
    threads: &'static [&'static str],
    token: Option<String>,
    rates: Vec<f64>,
    costs: Vec<f64>,
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let control = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .unwrap();
    let server = on_a_thread("server", &here, serve);
    let forwarder = on_a_thread("forwarder", &here, move |listener| {
        forward(listener, server)
    });
    let (gateway, token) = control.block_on(async {
        let gateway = Gateway::start(server, &[]).await;
        let (task, token) = gateway.task().await;
        let mut client = Client::connect(gateway.control).await;
        Gateway::grant(&mut client, &task, &token).await;
        (gateway, token)
    });
    let way = |name, address, threads, token| Way {
        name,
        address,
        threads,
        token,
        rates: Vec::new(),
        costs: Vec::new(),
    };
    let mut ways = [
        way("direct", server, &[][..], None),
        way("forwarder", forwarder, &["forwarder"], None),
        way("gate", gateway.address, &["worker-0", "audit"], Some(token)),
    ];
    for round in 0..=ROUNDS {
        for way in &mut ways {
            let (rate, cost) = here.block_on(measure(way));
            // The first round warms up.
            if round > 0 {
                way.rates.push(rate);
                way.costs.push(cost);
            }
        }
    }
    report(&ways);
    control.block_on(gateway.stop());
}

fn report(ways: &[Way]) {
    let rate = |way: &Way| median(&way.rates);
    let cost = |way: &Way| median(&way.costs);
    println!(
        "\n{CONNECTIONS} connections, answers of {} bytes, medians of {ROUNDS} rounds",
        ANSWER.len()
    );
    println!("way        requests/s  of direct  µs of processor/request  of forwarder");
    for way in ways {
        println!(
            "{:<9}  {:>10.0}  {:>9.2}  {:>23.1}  {:>12.2}",
            way.name,
            rate(way),
            rate(way) / rate(&ways[0]),
            cost(way),
            cost(way) / cost(&ways[1]),
        );
    }
}

/// Requests per second, and microseconds of processor time per request.
async fn measure(way: &Way) -> (f64, f64) {
    let clock = Clock::system();
    let deadline = clock.now() + ROUND;
    let mut senders = Vec::new();
    let (began, busy) = (clock.now(), processor_time(way.threads));
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(way.address).await;
        let (token, clock) = (way.token.clone(), clock.clone());
        senders.push(tokio::spawn(async move {
            let mut count = 0_u32;
            while clock.now() < deadline {
                let request = request(Method::GET, "/things/17", token.as_deref(), "");
                let (status, body) = client.send(request).await;
                assert!(status.is_success() && body == ANSWER, "{status} {body:?}");
                count += 1;
            }
            count
        }));
    }
    let mut count = 0;
    for sender in senders {
        count += sender.await.unwrap();
    }
    let count = f64::from(count);
    let busy = processor_time(way.threads).saturating_sub(busy);
    let took = clock.now() - began;
    (count / took.as_secs_f64(), busy.as_secs_f64() * 1e6 / count)
}

/// How long the threads of these names have run.
fn processor_time(names: &[&str]) -> Duration {
    let mut total = 0;
    for thread in fs::read_dir("/proc/self/task").unwrap() {
        let thread = thread.unwrap().path();
        let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
        if names.contains(&name.trim()) {
            let schedule = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
            let ran = schedule.split(' ').next().unwrap_or_default();
            total += ran.parse::<u64>().unwrap_or_default();
        }
    }
    Duration::from_nanos(total)
}

/// Runs a server on a thread of its own.
fn on_a_thread<F: Future<Output = ()>>(
    name: &str,
    here: &Runtime,
    server: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let listener = here.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let listener = listener.into_std().unwrap();
    let address = listener.local_addr().unwrap();
    let run = move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { server(TcpListener::from_std(listener).unwrap()).await });
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .unwrap();
    address
}

async fn forward(listener: TcpListener, to: SocketAddr) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut to = TcpStream::connect(to).await.unwrap();
            to.set_nodelay(true).unwrap();
            from.set_nodelay(true).unwrap();
            let _ = copy_bidirectional(&mut from, &mut to).await;
        });
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
