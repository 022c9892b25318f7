//! The gate, with everything on, beside other proxies that check less or nothing: processor time for each
//! request, rate, latency and memory, on loopback. What is measured has core 1 to itself; the load and the
//! server behind are on core 0. All take turns within one run, so that a noisy machine is as noisy to each.
//!
//! `benches/compare/run` installs the others where it can, and runs this; what is not there is left out,
//! and said. A peer that checks tokens has to refuse forged ones before it is measured.
//!
//! `cargo bench --bench compare [-- NAME… --rounds 7 --seconds 1.5]`

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark stops where its own fixture is wrong"
)]

mod balance;
#[path = "../support/control.rs"]
mod control;
mod forwarder;
mod load;
mod ours;
mod peers;
mod process;
mod report;
mod secure;
#[path = "../support/server.rs"]
mod server;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use balance::balance;
use control::{Client, request};
use forwarder::forward;
use http::{Method, StatusCode};
use load::{Protocol, Sample, measure};
use ours::{Certificate, Ours, free, program};
use peers::{Issuer, Peer, Site};
use process::{MEASURED, Process};
use report::{Goal, Line, print_goals, print_heading, print_lines};
use secure::tls;
use server::{ANSWER, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local, yield_now};

/// Requests at once, in every measurement.
const AT_ONCE: usize = 64;
/// The connections that they share over HTTP/2.
const HTTP2_CONNECTIONS: usize = 8;

/// The call that a grant is needed for and that twenty rules judge, and one that needs a token alone.
const CALL: &str = "/things/17?amount=40";
const BASELINE: &str = "/things/status";

const OURS: &str = "portcullis";

/// What was asked for.
struct Options {
    names: Vec<String>,
    rounds: usize,
    time: Duration,
}

/// Something between the load and the server.
struct Way<'a> {
    process: &'a Process,
    address: SocketAddr,
    path: &'static str,
    line: Line,
}

impl<'a> Way<'a> {
    fn new(
        name: &str,
        checks: &'static str,
        process: &'a Process,
        address: SocketAddr,
        path: &'static str,
    ) -> Self {
        Self {
            process,
            address,
            path,
            line: Line {
                name: name.to_owned(),
                checks,
                samples: Vec::new(),
                resident: 0,
            },
        }
    }
}

/// A peer that has shown that it does its work.
struct Shown {
    name: &'static str,
    checks: &'static str,
    address: SocketAddr,
    peer: Peer,
}

/// How a peer is started.
type Start = fn(Site<'_>, &Issuer) -> Result<Peer, String>;

/// The peers, in the order of the table: name, what it checks, and how it starts.
const PEERS: [(&str, &str, Start); 5] = [
    ("nginx", "nothing", peers::nginx),
    ("haproxy", "nothing", peers::haproxy),
    ("nginx-lua", "the token, remembered", peers::nginx_lua),
    (
        "envoy",
        "the token, remembered; one RBAC policy",
        peers::envoy,
    ),
    ("haproxy-jwt", "the token, each time", peers::haproxy_jwt),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // `cargo test --benches` only wants to know that it builds.
        ["--test"] => {}
        ["--forward", from, to] => run_forwarder(from, to),
        _ if env::var_os("COMPARE_PINNED").is_none() => {
            let program = env::current_exe().unwrap();
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(program).args(&arguments);
            let failed = command.env("COMPARE_PINNED", "1").exec();
            panic!("taskset (util-linux) is needed: {failed}");
        }
        _ => {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, compare(&Options::read(&arguments)));
        }
    }
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let mut options = Self {
            names: Vec::new(),
            rounds: 7,
            time: Duration::from_millis(1500),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // From Cargo.
                "--bench" => {}
                "--rounds" => options.rounds = arguments.next().unwrap().parse().unwrap(),
                "--seconds" => {
                    let seconds = arguments.next().unwrap().parse().unwrap();
                    options.time = Duration::from_secs_f64(seconds);
                }
                name => options.names.push(name.to_owned()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|one| one == name)
    }
}

fn run_forwarder(from: &str, to: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(from).await.unwrap();
        forward(listener, to.parse().unwrap()).await;
    });
}

async fn compare(options: &Options) {
    let load_before = report::load_average();
    // The load never sleeps. To wake another core is dear, in a virtual machine most of all, and who wakes it
    // pays: the slower a way, the more often the load would sleep, and the more would that way be charged.
    let awake = spawn_local(async {
        loop {
            yield_now().await;
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    let directory = TempDir::new().unwrap();
    let certificate = Certificate::new(directory.path());
    let ours = Ours::start(MEASURED, 1, upstream, &certificate).await;
    let issuer = ours.issuer().await;
    if let Err(reason) = shown_to_refuse(ours.listen, &ours.token).await {
        panic!("{OURS}: {reason}");
    }

    let (running, mut left_out) =
        peers_running(directory.path(), upstream, (&issuer, &ours.token), options).await;
    let (forwarder, address) = forwarder(directory.path(), upstream);
    let mut ways = vec![Way::new(
        "byte forwarder",
        "nothing, parses nothing",
        &forwarder,
        address,
        CALL,
    )];
    for shown in &running {
        let name = format!("{} {}", shown.name, shown.peer.version);
        ways.push(Way::new(
            &name,
            shown.checks,
            &shown.peer.process,
            shown.address,
            CALL,
        ));
    }
    if options.wants("baseline") {
        let (name, checks) = ("portcullis, baseline operation", "token, 6 rules, record");
        ways.push(Way::new(name, checks, &ours.process, ours.listen, BASELINE));
    }
    if options.wants(OURS) {
        let checks = "token, live grant, budget, 20 rules, record";
        ways.push(Way::new(OURS, checks, &ours.process, ours.listen, CALL));
    }
    let http1 = Protocol::Http1 {
        connections: AT_ONCE,
    };
    let lines = rounds(ways, &http1, &ours.token, options).await;
    print_heading(options.rounds, options.time.as_secs_f64(), &load_before);
    println!("`{OURS}` is {}, {}.", env!("CARGO_PKG_VERSION"), build());
    println!(
        "\nHTTP/1.1, {AT_ONCE} connections, answers of {} bytes",
        ANSWER.len()
    );
    print_lines(&lines, "the forwarder");
    if options.wants(OURS) {
        goals(&lines);
    }
    drop((forwarder, running));

    if options.wants("tls") {
        let place = directory.path().join("haproxy-tls");
        match tls(&place, upstream, (&ours, &certificate), options).await {
            Ok(()) => {}
            Err(reason) => left_out.push(format!("TLS: {reason}")),
        }
    }
    drop(ours);
    // One of the two workers shares its core with the load.
    awake.abort();
    if options.wants("balance") {
        balance(upstream, &certificate, options).await;
    }
    for reason in left_out {
        println!("\nLeft out: {reason}");
    }
}

/// The peers that were asked for, and why others can't be measured.
async fn peers_running(
    directory: &Path,
    upstream: SocketAddr,
    (issuer, token): (&Issuer, &str),
    options: &Options,
) -> (Vec<Shown>, Vec<String>) {
    let (mut running, mut left_out) = (Vec::new(), Vec::new());
    for (name, checks, start) in PEERS {
        if options.wants(name) {
            let place = directory.join(name);
            let site = site(&place, upstream);
            let address = site.listen;
            let shown = match start(site, issuer) {
                Ok(peer) => tried(address, token, checks != "nothing")
                    .await
                    .map(|()| peer),
                Err(reason) => Err(reason),
            };
            match shown {
                Ok(peer) => running.push(Shown {
                    name,
                    checks,
                    address,
                    peer,
                }),
                Err(reason) => left_out.push(format!("{name}: {reason}")),
            }
        }
    }
    (running, left_out)
}

fn site(directory: &Path, upstream: SocketAddr) -> Site<'_> {
    fs::create_dir_all(directory).unwrap();
    Site {
        directory,
        listen: free(),
        upstream,
    }
}

fn forwarder(directory: &Path, upstream: SocketAddr) -> (Process, SocketAddr) {
    let address = free();
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("--forward");
    command.args([address.to_string(), upstream.to_string()]);
    let mut process = Process::start(MEASURED, &command, &directory.join("forwarder.log"));
    process.ready(address).unwrap();
    (process, address)
}

/// All ways in turn, as often as there are rounds; each round begins with another.
async fn rounds(
    mut ways: Vec<Way<'_>>,
    protocol: &Protocol,
    token: &str,
    options: &Options,
) -> Vec<Line> {
    let count = ways.len();
    for round in 0..options.rounds {
        for number in 0..count {
            let way = &mut ways[(round + number) % count];
            let request = (way.path, token);
            let sample = measure(way.process, way.address, protocol, request, options.time);
            let sample: Sample = sample.await;
            way.line.samples.push(sample);
            way.line.resident = way.process.resident();
        }
        eprintln!("round {} of {} is done", round + 1, options.rounds);
    }
    ways.into_iter().map(|way| way.line).collect()
}

/// Whether a peer answers, and, where it checks tokens, refuses.
async fn tried(address: SocketAddr, token: &str, checks: bool) -> Result<(), String> {
    if checks {
        return shown_to_refuse(address, token).await;
    }
    match status(address, Some(token)).await {
        StatusCode::OK => Ok(()),
        status => Err(format!("it answers {status}")),
    }
}

/// A good token passes, before and after; none, and tokens that were tampered with, don't.
async fn shown_to_refuse(address: SocketAddr, token: &str) -> Result<(), String> {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let (head, claims) = rest.split_once('.').unwrap();
    let other = |text: &str| {
        // Another letter of the alphabet, in the middle.
        let (first, last) = text.split_at(text.len() / 2);
        let letter = if last.starts_with('A') { 'B' } else { 'A' };
        format!("{first}{letter}{}", last.get(1..).unwrap_or_default())
    };
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"; // {"alg":"none","typ":"at+jwt"}
    let cases = [
        ("the token", Some(token.to_owned()), true),
        ("no token", None, false),
        (
            "another signature",
            Some(format!("{rest}.{}", other(signature))),
            false,
        ),
        (
            "other claims",
            Some(format!("{head}.{}.{signature}", other(claims))),
            false,
        ),
        ("no algorithm", Some(format!("{unsigned}.{claims}.")), false),
        ("the token again", Some(token.to_owned()), true),
    ];
    for (name, token, good) in cases {
        let status = status(address, token.as_deref()).await;
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if (good && status != StatusCode::OK) || (!good && !refused) {
            return Err(format!("it answers {status} to {name}"));
        }
    }
    Ok(())
}

async fn status(address: SocketAddr, token: Option<&str>) -> StatusCode {
    let mut client = Client::connect(address).await;
    client.send(request(Method::GET, CALL, token, "")).await.0
}

fn goals(lines: &[Line]) {
    let ours = lines.last().unwrap();
    let goals = [
        ("byte forwarder", "byte forwarder", 1.30),
        ("nginx ", "nginx, checking nothing", 1.03),
        ("nginx-lua", "nginx + Lua, tokens remembered", 1.0),
        ("envoy", "Envoy, jwt_authn with cache + RBAC", 0.40),
        ("haproxy-jwt", "haproxy jwt_verify", 0.20),
    ];
    let found = goals.into_iter().filter_map(|(start, name, goal)| {
        let line = lines.iter().find(|line| line.name.starts_with(start))?;
        Some((Goal { name, goal }, line))
    });
    print_goals(ours, &found.collect::<Vec<_>>());
}

/// How the program that is measured was built, by the directory that it is in.
fn build() -> String {
    let program = program();
    match program.parent().and_then(Path::file_name) {
        Some(name) if name == "guided" => "built by `deploy/build`".to_owned(),
        Some(name) => format!("of the profile `{}`", name.to_string_lossy()),
        None => "of PATH".to_owned(),
    }
}
