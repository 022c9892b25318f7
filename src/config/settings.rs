//! `portcullis.toml`: what holds from start to stop. A change of it needs a restart.

mod environment;
mod issuers;
mod keys;
mod limits;
mod listeners;
mod notify;
mod read;
#[cfg(test)]
mod tests;
mod transmitters;
mod url;

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::compile::Sources;
use super::credentials::Allowed;
use super::diagnostics::Diagnostics;
use crate::tokens::Algorithm;

pub use environment::variables;
pub use keys::{Key, keys, reference};
pub use limits::Limits;
pub use notify::{Template, Webhook};
pub use transmitters::SsfTransmitter;
pub use url::{PublicUrl, UrlError};

/// The largest `portcullis.toml`, in bytes.
const LARGEST: u64 = 1 << 20;

/// Everything that `portcullis.toml` and its environment variables say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[gateway]`: where agents' requests arrive.
    pub gateway: Gateway,
    /// `[control]`: where tokens, tasks and requests are.
    pub control: Control,
    /// `[admin]`: where people's routes are, if not at the control address.
    pub admin: Option<Listener>,
    /// `[policies] directory`.
    pub policies: PathBuf,
    /// `[policies] hold`: what keeps new policies from going live by themselves.
    pub hold: Vec<Hold>,
    /// `[policies] hold_above`: how many grants, exchanges or decisions a change may cost without a wait.
    pub hold_above: u64,
    /// `[policies] replay_window`: from when on decisions are put to new policies.
    pub replay_window: Duration,
    /// `[policies] shadow = "cedar"`: whether decisions are checked, beside, by Cedar's own authorizer.
    pub shadow_by_cedar: bool,
    /// `[store] path`.
    pub store: PathBuf,
    /// `[store] keep_ended`: how long what has ended can be looked at.
    pub keep_ended: Duration,
    /// `[store] most_ended`: how many ended tasks, and how many ended grants and requests, are kept.
    pub most_ended: u64,
    /// `[audit] directory`.
    pub audit: PathBuf,
    /// `[tokens]`: the gateway's own tokens.
    pub tokens: Tokens,
    /// `[credentials] allow`.
    pub credentials: Allowed,
    /// `[[trusted_issuer]]`: whose tokens are believed beside the gateway's own.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// `[[ssf_transmitter]]`: who sends security events.
    pub ssf_transmitters: Vec<SsfTransmitter>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[signals] country_database`: which country an address is in.
    pub countries: Option<PathBuf>,
    /// `[notify] webhook`: who is told when a request waits for people.
    pub webhook: Option<Webhook>,
}

/// What keeps new policies from going live by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// That an agent would come to an operation more easily.
    Access,
    /// That running exchanges would be cut.
    Exchanges,
    /// That live grants would end.
    Grants,
    /// That decisions of late would have come otherwise.
    Replay,
    /// That a case of the decision tables comes otherwise.
    Tests,
}

impl Hold {
    /// The word in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Exchanges => "exchanges",
            Self::Grants => "grants",
            Self::Replay => "replay",
            Self::Tests => "tests",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        let all = [
            Self::Access,
            Self::Exchanges,
            Self::Grants,
            Self::Replay,
            Self::Tests,
        ];
        all.into_iter().find(|one| one.as_str() == word)
    }
}

/// Where agents' requests arrive.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// At least one listener.
    pub listeners: Vec<Listener>,
    /// How agents reach it.
    pub public_url: PublicUrl,
    /// Whose `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many threads serve requests; one per core where absent.
    pub workers: Option<NonZeroUsize>,
}

/// Where tokens, tasks and requests are.
#[derive(Clone, Debug)]
pub struct Control {
    /// The listener.
    pub listener: Listener,
    /// How it is reached.
    pub public_url: PublicUrl,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where; port 0 takes any free one.
    pub address: SocketAddr,
    /// Without it: plain HTTP.
    pub tls: Option<ListenerTls>,
    /// What is spoken without TLS; with it, both are offered.
    pub protocols: Protocols,
}

/// What a listener without TLS speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1 and HTTP/2, by what the client begins with.
    Both,
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, with prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// The TLS identity of a listener. The files are read by whoever opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Whether clients show certificates, and who vouches for them.
    pub client_auth: ClientAuth,
}

/// Whether clients show certificates; the path is that of the authorities which vouch for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They may, and anybody may have issued it, whoever else vouches for some.
    Any(Option<PathBuf>),
    /// They are not asked.
    None,
    /// They may.
    Optional(PathBuf),
    /// They must.
    Required(PathBuf),
}

/// The gateway's own tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Their `iss`.
    pub issuer: String,
    /// How long they live.
    pub ttl: Duration,
    /// What signs them.
    pub algorithm: Algorithm,
    /// The age at which a key that signs them is replaced.
    pub rotate_after: Duration,
    /// Where the keys are that sign them.
    pub signing_keys: PathBuf,
}

/// An issuer whose tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, letter by letter.
    pub issuer: String,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// The `aud` that its tokens must have.
    pub audience: String,
    /// The claim that names the agent.
    pub agent_claim: String,
    /// The claim that names the task.
    pub task_claim: Option<String>,
    /// The values of `acr` that tell of several factors.
    pub mfa_acr: Vec<String>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file.
    File(PathBuf),
    /// At a URL: https, unless it is on this machine.
    Url(String),
}

impl Settings {
    /// Reads `file`. Relative paths in it start from its directory.
    ///
    /// # Errors
    ///
    /// Every problem of the file and of the variables that override it, at once.
    pub fn load(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Diagnostics), Diagnostics> {
        let name = file.to_string_lossy();
        let unreadable = |message: String| {
            let mut problems = Diagnostics::default();
            problems.about_file(&name, message);
            problems
        };
        let size = fs::metadata(file)
            .map_err(|error| unreadable(format!("this can't be read: {error}")))?
            .len();
        if size > LARGEST {
            return Err(unreadable("this is too large to be a settings file".into()));
        }
        let text = fs::read_to_string(file)
            .map_err(|error| unreadable(format!("this can't be read: {error}")))?;
        let directory = file.parent().unwrap_or(Path::new(""));
        Self::parse(&name, &text, directory, environment)
    }

    /// Reads `text`, which people know as `name`. Relative paths in it start from `directory`.
    ///
    /// # Errors
    ///
    /// Every problem of the text and of the variables that override it, at once.
    pub fn parse(
        name: &str,
        text: &str,
        directory: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Diagnostics), Diagnostics> {
        let mut problems = Diagnostics::default();
        let overrides = environment::overrides(environment, &mut problems);
        match read::settings(name, text, directory, &overrides, &mut problems) {
            Some(settings) => problems.verdict(settings),
            None => Err(problems.in_order()),
        }
    }

    /// Where `file` says that the policies are, also where nothing else of it can be used; the default
    /// where it does not say.
    #[must_use]
    pub fn policies_of(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> PathBuf {
        let overrides = environment::overrides(environment, &mut Diagnostics::default());
        let named = overrides
            .get("policies.directory")
            .map(|at| at.value.clone());
        let named = named.or_else(|| {
            let text = fs::read_to_string(file).ok()?;
            read::policies_directory(&text)
        });
        let directory = file.parent().unwrap_or(Path::new(""));
        directory.join(named.unwrap_or_else(|| "policies".to_owned()))
    }

    /// What the policies are compiled from.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources {
            directories: vec![self.policies.clone()],
            credentials: self.credentials.clone(),
            stand_in: None,
        }
    }
}
