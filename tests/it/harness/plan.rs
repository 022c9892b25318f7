//! What a test's gateway is like before it starts: its policies, settings, clock and listeners.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis::app::{Running, Sockets, StartOptions, start};
use portcullis::base::Clock;
use portcullis::cli::{Enrolment, enroll};
use portcullis::config::Settings;
use portcullis::tls::mint::{DevelopmentIdentity, development_identity};

use super::{Gateway, Upstream};

/// The agents that there are unless a test adds some: two that may ask, and one that may not.
const AGENTS: [(&str, &[&str]); 3] = [("bot", &["bots"]), ("outsider", &[]), ("rival", &["bots"])];

/// A gateway to be.
pub(crate) struct Plan {
    tls: bool,
    manual_clock: bool,
    client_auth: &'static str,
    gateway: String,
    listener: String,
    drain: Duration,
    policies: String,
    store: String,
    more: String,
    files: BTreeMap<String, String>,
    data: BTreeMap<String, String>,
}

impl Plan {
    /// Plain HTTP, the machine's clock, and the policies below.
    pub(crate) fn new() -> Self {
        let files = [
            ("services.toml", SERVICES),
            ("operations.toml", OPERATIONS),
            ("entitlements.toml", ENTITLEMENTS),
            ("people.toml", PEOPLE),
            ("rules.cedar", RULES),
        ];
        let owned = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        Self {
            tls: false,
            manual_clock: false,
            client_auth: "optional",
            gateway: String::new(),
            listener: String::new(),
            drain: Duration::ZERO,
            policies: String::new(),
            store: String::new(),
            more: String::new(),
            files: files.into_iter().map(owned).collect(),
            data: BTreeMap::new(),
        }
    }

    /// TLS on both listeners, with certificates minted for this test.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// How listeners with TLS treat clients' certificates; `optional` unless told otherwise.
    pub(crate) fn client_auth(mut self, word: &'static str) -> Self {
        self.client_auth = word;
        self
    }

    /// A clock that moves only when the test moves it.
    pub(crate) fn manual_clock(mut self) -> Self {
        self.manual_clock = true;
        self
    }

    /// A line of `[gateway]`.
    pub(crate) fn gateway(mut self, line: &str) -> Self {
        self.gateway.push_str(line);
        self.gateway.push('\n');
        self
    }

    /// A line of the gateway's `[[gateway.listen]]`.
    pub(crate) fn listener(mut self, line: &str) -> Self {
        self.listener.push_str(line);
        self.listener.push('\n');
        self
    }

    /// How long what runs may go on when the gateway stops; not at all unless told otherwise.
    pub(crate) const fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// A line of `[policies]`.
    pub(crate) fn policies(mut self, line: &str) -> Self {
        self.policies.push_str(line);
        self.policies.push('\n');
        self
    }

    /// A line of `[store]`.
    pub(crate) fn store(mut self, line: &str) -> Self {
        self.store.push_str(line);
        self.store.push('\n');
        self
    }

    /// More tables of the settings.
    pub(crate) fn settings(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self.more.push('\n');
        self
    }

    /// A policy file, in the place of the one of that name. `{upstream}` stands for its address.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.to_owned());
        self
    }

    /// A file beside the policies, which settings may name.
    pub(crate) fn data(mut self, name: &str, text: &str) -> Self {
        self.data.insert(name.to_owned(), text.to_owned());
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let upstream = Upstream::start().await;
        let policies = root.join("policies");
        fs::create_dir(&policies).unwrap();
        for (name, text) in &self.files {
            let file = policies.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let text = text.replace("{upstream}", &upstream.address().to_string());
            fs::write(file, text).unwrap();
        }
        for (name, text) in &self.data {
            fs::write(root.join(name), text).unwrap();
        }
        enroll_agents(root);

        let (clock, time) = if self.manual_clock {
            let (clock, time) = Clock::manual(Clock::system().wall());
            (clock, Some(time))
        } else {
            (Clock::system(), None)
        };
        let identity = self
            .tls
            .then(|| development_identity(&root.join("certs"), &clock).unwrap());
        let identity = identity.as_ref();
        // With port 0 the URLs are known only when the sockets are bound.
        let sockets = Sockets::bind(&self.parse(root, identity, 0, 0)).unwrap();
        let (address, control) = (sockets.gateway_addresses()[0], sockets.control_address());
        let settings = self.parse(root, identity, address.port(), control.port());
        let urls = [&settings.gateway.public_url, &settings.control.public_url];
        let urls = urls.map(ToString::to_string);
        let options = self.options(root, &clock, &settings);
        let running = start(settings, sockets, options).await.unwrap();
        let started = (self, running);
        Gateway::new(directory, upstream, started, (clock, time), urls, identity)
    }

    /// Starts again what was started in `root`, at the same ports; without TLS.
    pub(super) async fn start_again(
        &self,
        root: &Path,
        clock: &Clock,
        [port, control_port]: [u16; 2],
    ) -> anyhow::Result<Running> {
        assert!(!self.tls, "certificates are minted at the first start");
        let settings = self.parse(root, None, port, control_port);
        let sockets = Sockets::bind(&settings)?;
        let options = self.options(root, clock, &settings);
        start(settings, sockets, options).await
    }

    fn options(&self, root: &Path, clock: &Clock, settings: &Settings) -> StartOptions {
        StartOptions {
            store_patience: None,
            clock: clock.clone(),
            sources: settings.sources(),
            operator_key: root.join("data/operator.key"),
            drain: self.drain,
        }
    }

    fn parse(
        &self,
        root: &Path,
        identity: Option<&DevelopmentIdentity>,
        port: u16,
        control_port: u16,
    ) -> Settings {
        let tls = identity.map(|identity| {
            format!(
                "tls = {{ certificate = {:?}, key = {:?}, client_ca = {:?}, client_auth = {:?} }}",
                identity.gateway.certificate,
                identity.gateway.key,
                identity.ca.certificate,
                self.client_auth,
            )
        });
        let scheme = if self.tls { "https" } else { "http" };
        let tls = tls.unwrap_or_default();
        let text = format!(
            "[gateway]\npublic_url = \"{scheme}://localhost:{port}\"\n{gateway}\
             [[gateway.listen]]\naddress = \"127.0.0.1:{port}\"\n{tls}\n{listener}\
             [control]\nlisten = \"127.0.0.1:{control_port}\"\n\
             public_url = \"{scheme}://localhost:{control_port}\"\n{tls}\n\
             [policies]\ndirectory = \"policies\"\n{policies}\
             [store]\npath = \"data/portcullis.db\"\n{store}\
             [audit]\ndirectory = \"data/audit\"\n\
             [tokens]\nsigning_key_directory = \"data/keys\"\n{more}",
            gateway = self.gateway,
            listener = self.listener,
            policies = self.policies,
            store = self.store,
            more = self.more,
        );
        match Settings::parse("the settings of a test", &text, root, []) {
            Ok((settings, warnings)) => {
                assert!(warnings.is_empty(), "{warnings}");
                settings
            }
            Err(problems) => panic!("{problems}"),
        }
    }
}

fn enroll_agents(root: &Path) {
    fs::create_dir(root.join("agents")).unwrap();
    for (name, groups) in AGENTS {
        let enrolment = Enrolment {
            name: name.parse().unwrap(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
            owner: None,
            directory: root.join("policies"),
            key_file: root.join(format!("agents/{name}.jwk")),
        };
        enroll(&enrolment).unwrap();
    }
}

const SERVICES: &str = r#"
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://{upstream}"]
"#;

const OPERATIONS: &str = r#"
[[operation]]
id = "shop.status"
service = "shop"
route = "GET /shop/status"
groups = ["open"]
baseline = true

[[operation]]
id = "shop.list"
service = "shop"
route = "GET /shop/items"
groups = ["open"]

[[operation]]
id = "shop.read"
service = "shop"
route = "GET /shop/items/{id}"
groups = ["open"]
input = { id = "path:String" }

[[operation]]
id = "shop.find"
service = "shop"
route = "GET /shop/find"
groups = ["open"]
input = { most = "query:most:Long" }

[[operation]]
id = "shop.data"
service = "shop"
route = "ANY /shop/data/{*rest}"
groups = ["open"]

[[operation]]
id = "shop.stream"
service = "shop"
route = "GET /shop/stream"
groups = ["open"]
protocol = "sse"

[[operation]]
id = "shop.pay"
service = "shop"
route = "POST /shop/pay"
groups = ["open"]
input = { amount = "body:/amount:Long" }

[[operation]]
id = "shop.sealed"
service = "shop"
route = "GET /shop/sealed"

[[operation]]
id = "shop.second"
service = "shop"
route = "GET /shop/second"

[[operation]]
id = "shop.silent"
service = "shop"
route = "GET /shop/silent"

[[operation]]
id = "shop.dpop"
service = "shop"
route = "GET /shop/dpop"
groups = ["open"]

[[operation]]
id = "shop.mtls"
service = "shop"
route = "GET /shop/mtls"
groups = ["open"]

[[operation]]
id = "shop.reviewed"
service = "shop"
route = "GET /shop/reviewed"
groups = ["open"]
"#;

const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "items"
operations = ["shop.list", "shop.read"]
max_ttl = "30m"

[[entitlement]]
id = "work"
operations = [
    "shop.data", "shop.find", "shop.list", "shop.pay", "shop.read", "shop.sealed", "shop.second",
    "shop.silent", "shop.stream",
]
max_ttl = "1h"

[[entitlement]]
id = "dpop"
operations = ["shop.dpop"]
max_ttl = "30m"
proof = "dpop"

[[entitlement]]
id = "mtls"
operations = ["shop.mtls"]
max_ttl = "30m"
proof = "mtls"

[[entitlement]]
id = "reviewed"
operations = ["shop.reviewed"]
max_ttl = "30m"
approval = { group = "leads", quorum = 1, expires = "30m" }
"#;

const PEOPLE: &str = r#"
[[person]]
id = "ana@example.com"
groups = ["leads", "operators"]
"#;

const RULES: &str = r#"
@id("open")
permit (principal, action in Action::"open", resource);

@id("bots-may-ask")
permit (principal in AgentGroup::"bots", action == Action::"request", resource);

@id("small-payments")
@message("a payment has at most 100")
forbid (principal, action == Action::"shop.pay", resource)
when { context.input.amount > 100 };

@id("sealed-by-leads")
@require("approval:leads")
permit (principal, action == Action::"shop.sealed", resource);

@id("second-factor")
@require("mfa")
permit (principal, action == Action::"shop.second", resource);
"#;
