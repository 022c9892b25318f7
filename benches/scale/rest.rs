//! A million grants at rest beside ten: what a grant costs in memory, and what a call costs more.
//!
//! The grants are brought into force by one process, which shows what they cost there, and live on in a gateway
//! that finds them in the store, which shows what they cost there. The calls of a round come over connections enough
//! to keep the gateway from sleeping (to wake a core is dear, and no two rounds agree on it), with as many tokens each
//! way, in an order that no cache likes: among ten grants they are of the one task that there is, among a million
//! first of one task too, which shows what the others cost that rest, and then of many tasks, which shows besides
//! what it costs that each call is of another task; calls of as many tasks among a hundred thousand tell those apart.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use portcullis::base::Clock;
use portcullis::config::compile;
use portcullis::grants::{Asking, Grants, Limits, LiveTask, OpenTask};
use portcullis::model::{Circumstances, Entitlement, GrantRequest, Inputs, TaskId};
use portcullis::pdp::Memory;
use portcullis::store::SqliteStore;
use portcullis::telemetry::Metrics;
use portcullis::tokens::sign_assertion;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::child::{Apart, resident_of};
use crate::control::{AGENT, Client, Control, request};
use crate::gateway::{prepare, settings};
use crate::server::{ANSWER, serve};
use crate::{GRANTS_PER_TASK, futures, micros, runtime};

const FEW: usize = 10;
const SOME: usize = 100_000;
const MANY: usize = 1_000_000;

/// Written in one go.
const AT_ONCE: usize = 512;

/// Tokens of each way to call: twice as many assertions of one agent are taken in a minute.
const TOKENS: usize = 2_000;

/// Tasks that calls are of, where not of one.
const CALLED: usize = 1_500;

const ROUNDS: usize = 9;
const CONNECTIONS: usize = 64;
/// Over each connection in a round.
const CALLS: usize = 500;

/// No factor of the number of tokens, and far from neighbours.
const STRIDE: usize = 7_919;

/// The tasks that were filled, one a line.
const TASKS: &str = "tasks";

const LONG: Duration = Duration::from_hours(1);

pub(crate) fn rest() {
    println!(
        "\n a grant at rest: {} B of its own and {} B of what was asked for, and what those point to",
        size_of::<portcullis::grants::LiveGrant>(),
        size_of::<GrantRequest>(),
    );
    println!("   grants  made in s  B each where made  restored in s  MiB there  B each there");
    let clock = Clock::system();
    let mut before = None;
    let mut filled = Vec::new();
    let runtime = runtime();
    for grants in [FEW, SOME, MANY] {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let upstream = listener.local_addr().unwrap();
        runtime.spawn(serve(listener));
        let directory = TempDir::new().unwrap();
        let _key = prepare(directory.path(), upstream, &[]);
        let began = clock.now();
        let made = Command::new(std::env::current_exe().unwrap())
            .arg("fill")
            .arg(directory.path())
            .arg(grants.to_string())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let (took, began) = (clock.now() - began, clock.now());
        let apart = Apart::start(directory.path(), "");
        let restored = clock.now() - began;
        let resident = apart.settled();
        let each = before.replace((grants, resident)).map(|(fewer, less)| {
            resident.saturating_sub(less) as f64 * 1024.0 / (grants - fewer) as f64
        });
        println!(
            "{grants:>9}  {:>9.1}  {:>17}  {:>13.1}  {:>9.0}  {:>12}",
            took.as_secs_f64(),
            String::from_utf8(made.stdout).unwrap().trim(),
            restored.as_secs_f64(),
            resident as f64 / 1024.0,
            each.map(|each| format!("{each:.0}")).unwrap_or_default(),
        );
        filled.push((apart, directory));
    }
    runtime.block_on(compare(&filled));
}

/// Calls of a gateway with some of its tokens.
struct Way<'a> {
    name: &'static str,
    apart: &'a Apart,
    tokens: Vec<String>,
    clients: Vec<Client>,
    rounds: Vec<Duration>,
}

impl<'a> Way<'a> {
    async fn new(
        name: &'static str,
        (apart, directory): &'a (Apart, TempDir),
        tasks: usize,
    ) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(apart.gate).await);
        }
        Self {
            name,
            apart,
            tokens: tokens(&apart.control, directory.path(), tasks).await,
            clients,
            rounds: Vec::new(),
        }
    }

    /// Makes the calls of a round, and says how long the gateway's processors have worked on each.
    async fn call(&mut self, from: usize) -> Duration {
        let (tokens, before) = (&self.tokens, self.apart.ran());
        let calls = self.clients.iter_mut().enumerate().map(|(number, client)| {
            let places = (from + number..).step_by(STRIDE).take(CALLS);
            async move {
                for place in places {
                    let token = &tokens[place % tokens.len()];
                    let request = request(Method::GET, "/things/17", Some(token), "");
                    let (status, body) = client.send(request).await;
                    assert!(status.is_success() && body == ANSWER, "{status} {body:?}");
                }
            }
        });
        futures(calls).await;
        let made = u32::try_from(CONNECTIONS * CALLS).unwrap();
        (self.apart.ran() - before) / made
    }

    fn median(&mut self) -> f64 {
        self.rounds.sort();
        micros(self.rounds[self.rounds.len() / 2])
    }
}

/// The time of calls in turns.
async fn compare(filled: &[(Apart, TempDir)]) {
    let [few, some, many] = filled else {
        panic!("three gateways")
    };
    let mut ways = [
        Way::new("10 grants, calls of one task", few, 1).await,
        Way::new("1,000,000, calls of one task", many, 1).await,
        Way::new("100,000, calls of 1,500 tasks", some, CALLED).await,
        Way::new("1,000,000, calls of 1,500 tasks", many, CALLED).await,
    ];
    for round in 0..=ROUNDS {
        for way in &mut ways {
            let took = way.call(round * STRIDE * CALLS).await;
            // The first round only warms.
            if round > 0 {
                way.rounds.push(took);
            }
        }
    }
    println!("\n processor time of a call, median of {ROUNDS} rounds in turns");
    let base = ways[0].median();
    for way in &mut ways {
        let time = way.median();
        println!("{:>32}  {time:>6.1} µs  {:.2}", way.name, time / base);
    }
}

/// As many tokens as there are to be, of so many tasks.
async fn tokens(control: &Control, directory: &Path, most: usize) -> Vec<String> {
    let tasks = fs::read_to_string(directory.join(TASKS)).unwrap();
    let metadata = control.metadata().await;
    let issuer = metadata["issuer"].as_str().unwrap();
    let mut client = control.connect().await;
    let mut tokens = Vec::with_capacity(TOKENS);
    let clock = Clock::system();
    for task in tasks.lines().take(most).cycle().take(TOKENS) {
        let life = Duration::from_secs(60);
        let assertion = sign_assertion(&control.key, AGENT, issuer, clock.wall(), life).unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = format!(
            "grant_type=client_credentials&client_assertion_type={kind}&client_assertion={}&task={task}",
            assertion.expose()
        );
        let answer = client.json("/oauth/token", None, form).await;
        tokens.push(answer["access_token"].as_str().unwrap().to_owned());
    }
    tokens
}

/// Brings so many grants into force in the store of `directory`, and says what each has cost.
pub(crate) fn fill(directory: &Path, grants: usize) {
    let runtime = runtime();
    let settings = settings(directory, "");
    let sources = settings.sources();
    let (snapshot, _) = compile(&sources, &mut Memory::default()).unwrap();
    let entitlement = snapshot.entitlement("everything").unwrap();
    let path = directory.join(&settings.store);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let limits = Limits {
        lease: LONG,
        tasks_per_agent: usize::MAX,
        ..Limits::default()
    };
    let metrics = Arc::new(Metrics::new(std::iter::empty(), std::iter::empty()));
    let handle = runtime.handle().clone();
    let all = Grants::new(Clock::system(), store, limits, metrics, handle);
    let before = grants / 10;
    let (mut less, mut made) = (0, 0);
    let mut names = String::new();
    while made < grants {
        if made <= before {
            less = resident_of("self");
        }
        let mut tasks = Vec::new();
        while tasks.len() < AT_ONCE && made < grants {
            let task = runtime.block_on(all.open_task(open())).unwrap();
            names.push_str(task.task().id.as_str());
            names.push('\n');
            let of_it = GRANTS_PER_TASK.min(grants - made);
            made += of_it;
            tasks.extend(std::iter::repeat_n(task, of_it));
        }
        runtime.block_on(futures(
            tasks.iter().map(|task| activate(&all, entitlement, task)),
        ));
    }
    let each = resident_of("self").saturating_sub(less) * 1024 / (grants - before);
    runtime.block_on(all.checkpoint()).unwrap();
    fs::write(directory.join(TASKS), names).unwrap();
    println!("{each}");
}

async fn activate(grants: &Grants, entitlement: &Entitlement, task: &Arc<LiveTask>) {
    let asking = Asking {
        entitlement,
        task,
        reason: None,
        duration: None,
        input: Inputs::new(),
        asked: Circumstances {
            source: std::net::Ipv4Addr::LOCALHOST.into(),
            methods: vec!["private_key_jwt".into()],
            holder: None,
        },
    };
    grants.activate(asking).await.unwrap();
}

fn open() -> OpenTask {
    OpenTask {
        id: None::<TaskId>,
        agent: AGENT.parse().unwrap(),
        kind: None,
        description: None,
        parent: None,
        opened_by: AGENT.to_owned(),
        lease: Some(LONG),
    }
}
