//! From the text of `portcullis.toml` to [`Settings`].

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::issuers::Issuers;
use super::listeners::Listeners;
use super::notify;
use super::transmitters::Transmitters;
use super::url::{self, PublicUrl, UrlError};
use super::{Control, Gateway, Hold, Limits, Settings, Tokens};
use crate::config::credentials::{Allowed, Pattern};
use crate::config::diagnostics::Diagnostics;
use crate::config::fields::{Fields, Origin, Overrides};
use crate::config::suggest::did_you_mean;
use crate::config::text::{At, Place, Text};
use crate::config::units;
use crate::tokens::{Algorithm, LONGEST_TTL};

/// How long what has ended is kept, where nothing else is said.
const KEEP_ENDED: Duration = Duration::from_hours(24);
/// How long it may be.
const KEPT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(366 * 24);
/// How many of each kind are kept, where nothing else is said, and at most.
const MOST_ENDED: u64 = 100_000;
const MOST_KEPT: u64 = 10_000_000;

/// From when on decisions are put to new policies, where nothing else is said.
const REPLAY_WINDOW: Duration = Duration::from_mins(15);
/// The shortest and the longest such time.
const REPLAY_WINDOWS: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// The life of a token, where nothing else is said.
const TOKEN_TTL: Duration = Duration::from_mins(5);
/// How long tokens may live.
const TOKEN_LIFE: RangeInclusive<Duration> = Duration::from_secs(1)..=LONGEST_TTL;
/// When a signing key is replaced, where nothing else is said.
const ROTATE_AFTER: Duration = Duration::from_hours(30 * 24);
/// At what age it may be. Keys overlap for about an hour, and only so many can.
const KEY_AGE: RangeInclusive<Duration> = Duration::from_hours(2)..=Duration::from_hours(366 * 24);
/// The most worker threads.
const MOST_WORKERS: u64 = 1024;

/// Reads all of it; nothing where a part is missing, and then a problem says which.
pub(super) fn settings(
    name: &str,
    text: &str,
    directory: &Path,
    overrides: &Overrides,
    problems: &mut Diagnostics,
) -> Option<Settings> {
    let text = Text::new(name, text);
    let (table, errors) = DeTable::parse_recoverable(text.text());
    for error in &errors {
        let place = Place::new(&text, error.span().unwrap_or(0..0));
        problems.error(&place, error.message());
    }
    if !errors.is_empty() {
        return None;
    }
    let origin = Origin {
        text: &text,
        overrides,
        problems,
    };
    let mut file = Fields::of_file(table, origin);
    let mut listeners = Listeners::new(directory);
    let gateway = gateway(file.section("gateway"), &mut listeners);
    let control = control(file.section("control"), &mut listeners);
    let admin = file.table("admin").map(|mut fields| {
        let listener = listeners.one(&mut fields, "listen");
        fields.finish();
        listener
    });
    let (policies, holding, by_cedar) = policies(file.section("policies"));
    let (store, keeping) = store(file.section("store"));
    let audit = path(file.section("audit"), "directory");
    let tokens = tokens(file.section("tokens"), control.as_ref(), directory);
    let keep_ended = keeping.ended(tokens.as_ref(), file.problems());
    let credentials = credentials(file.section("credentials"));
    let mut issuers = Issuers::new(gateway.as_ref(), tokens.as_ref(), directory);
    file.each("trusted_issuer", |fields| issuers.add(fields));
    let trusted_issuers = issuers.found();
    let mut transmitters = Transmitters::new(control.as_ref(), directory);
    file.each("ssf_transmitter", |fields| transmitters.add(fields));
    let ssf_transmitters = transmitters.found();
    let limits = Limits::read(file.section("limits"));
    let countries = path(file.section("signals"), "country_database");
    let webhook = notify::webhook(file.section("notify"));
    file.finish();
    let or =
        |path: Option<PathBuf>, default| directory.join(path.unwrap_or(PathBuf::from(default)));
    Some(Settings {
        gateway: gateway?,
        control: control?,
        admin: match admin {
            Some(listener) => Some(listener?),
            None => None,
        },
        policies: or(policies, "policies"),
        hold: holding.hold,
        hold_above: holding.above,
        replay_window: holding.window,
        shadow_by_cedar: by_cedar,
        store: or(store, "data/portcullis.db"),
        keep_ended,
        most_ended: keeping.most,
        audit: or(audit, "data/audit"),
        tokens: tokens?,
        credentials,
        trusted_issuers,
        ssf_transmitters,
        limits,
        countries: countries.map(|file| directory.join(file)),
        webhook,
    })
}

fn gateway(mut fields: Fields<'_, '_>, listeners: &mut Listeners<'_>) -> Option<Gateway> {
    let mut found = Vec::new();
    fields.require("listen");
    fields.each("listen", |mut fields| {
        found.extend(listeners.of_gateway(&mut fields));
        fields.finish();
    });
    let first = found.first();
    let default = first.map(|first| PublicUrl::of_listener(first.address, first.tls.is_some()));
    let public_url = read(&mut fields, "public_url", PublicUrl::parse).or(default);
    let trusted_proxies = networks(&mut fields);
    let workers = fields.count("workers").and_then(|count| {
        let number = usize::try_from(count.value)
            .ok()
            .and_then(NonZeroUsize::new);
        if count.value > MOST_WORKERS {
            let message = format!("`workers` is at most {MOST_WORKERS}");
            fields.problems().error(&count.place, message);
        }
        number
    });
    fields.finish();
    Some(Gateway {
        public_url: public_url?,
        listeners: found,
        trusted_proxies,
        workers,
    })
}

fn control(mut fields: Fields<'_, '_>, listeners: &mut Listeners<'_>) -> Option<Control> {
    let listener = listeners.one(&mut fields, "listen");
    let default = listener
        .as_ref()
        .map(|listener| PublicUrl::of_listener(listener.address, listener.tls.is_some()));
    let public_url = read(&mut fields, "public_url", PublicUrl::parse).or(default);
    fields.finish();
    Some(Control {
        listener: listener?,
        public_url: public_url?,
    })
}

fn networks(fields: &mut Fields<'_, '_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in fields.strings("trusted_proxies") {
        let address = || text.value.parse::<IpAddr>().map(IpNet::from);
        match text.value.parse::<IpNet>().or_else(|_| address()) {
            Ok(network) => networks.push(network),
            Err(_) => {
                let message = format!("`{}` is not a network", text.value);
                let problem = fields.problems().error(&text.place, message);
                problem.hint("write it like 10.0.0.0/8");
            }
        }
    }
    networks
}

fn tokens(
    mut fields: Fields<'_, '_>,
    control: Option<&Control>,
    directory: &Path,
) -> Option<Tokens> {
    let default = control.map(|control| control.public_url.to_string());
    let issuer = read(&mut fields, "issuer", url::issuer).or(default);
    let ttl = span(
        &mut fields,
        "ttl",
        TOKEN_LIFE,
        "a token lives between a second and an hour",
    );
    let algorithm = algorithm(&mut fields);
    let rotate_after = span(
        &mut fields,
        "rotate_after",
        KEY_AGE,
        "a signing key is replaced after two hours at the soonest, and after a year at the latest",
    );
    let keys = file(&mut fields, "signing_key_directory");
    fields.finish();
    Some(Tokens {
        issuer: issuer?,
        ttl: ttl.unwrap_or(TOKEN_TTL),
        algorithm: algorithm.unwrap_or(Algorithm::Es256),
        rotate_after: rotate_after.unwrap_or(ROTATE_AFTER),
        signing_keys: directory.join(keys.map_or_else(|| "data/keys".into(), |keys| keys.value)),
    })
}

/// The algorithm that signs tokens: one of those that a key can be made for here.
fn algorithm(fields: &mut Fields<'_, '_>) -> Option<Algorithm> {
    let text = fields.string("algorithm")?;
    match Algorithm::from_name(&text.value) {
        Some(signs @ (Algorithm::EdDsa | Algorithm::Es256)) => Some(signs),
        Some(Algorithm::Ps256 | Algorithm::Rs256) | None => {
            let message = format!(
                "tokens are signed with ES256 or EdDSA, not `{}`",
                text.value
            );
            let hint = did_you_mean(&text.value, ["ES256", "EdDSA"]);
            let problem = fields.problems().error(&text.place, message);
            problem.maybe_hint(hint);
            None
        }
    }
}

/// A duration within `range`.
pub(super) fn span(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
    message: &str,
) -> Option<Duration> {
    span_at(fields, key, range, message).map(|span| span.value)
}

/// A duration within `range`, and where it stands.
fn span_at(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
    message: &str,
) -> Option<At<Duration>> {
    let text = fields.scalar(key)?;
    let problems = fields.problems();
    match units::duration(&text.value) {
        Ok(span) if range.contains(&span) => Some(text.with(span)),
        Ok(_) => {
            problems.error(&text.place, message);
            None
        }
        Err(error) => {
            problems.error(&text.place, error.to_string());
            None
        }
    }
}

fn credentials(mut fields: Fields<'_, '_>) -> Allowed {
    let mut patterns = Vec::new();
    for text in fields.strings("allow") {
        match Pattern::parse(&text.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                fields.problems().error(&text.place, error.to_string());
            }
        }
    }
    fields.finish();
    patterns.into_iter().collect()
}

/// What keeps new policies from going live by themselves.
struct Holding {
    hold: Vec<Hold>,
    above: u64,
    window: Duration,
}

fn policies(mut fields: Fields<'_, '_>) -> (Option<PathBuf>, Holding, bool) {
    let directory = file(&mut fields, "directory");
    let mut hold = Vec::new();
    for word in fields.strings("hold") {
        match Hold::named(&word.value) {
            Some(one) => hold.push(one),
            None => {
                let message = format!("`{}` is nothing to hold policies for", word.value);
                let problem = fields.problems().error(&word.place, message);
                problem.hint("the words are access, exchanges, grants, replay and tests");
            }
        }
    }
    let above = fields.count("hold_above").map_or(0, |count| count.value);
    let window = span(
        &mut fields,
        "replay_window",
        REPLAY_WINDOWS,
        "decisions of between a minute and a day are put to new policies",
    );
    let shadow = fields.string("shadow");
    if let Some(word) = shadow.as_ref().filter(|word| word.value != "cedar") {
        let message = format!("`{}` can't check what is decided", word.value);
        let problem = fields.problems().error(&word.place, message);
        problem.hint("the word is cedar; without `shadow` nothing is checked");
    }
    fields.finish();
    let holding = Holding {
        hold,
        above,
        window: window.unwrap_or(REPLAY_WINDOW),
    };
    (directory.map(|path| path.value), holding, shadow.is_some())
}

/// How long what has ended is kept.
struct Keeping {
    ended: Option<At<Duration>>,
    most: u64,
}

fn store(mut fields: Fields<'_, '_>) -> (Option<PathBuf>, Keeping) {
    let path = file(&mut fields, "path");
    let ended = span_at(
        &mut fields,
        "keep_ended",
        KEPT,
        "what has ended is kept for between a second and a year",
    );
    let most = fields.count("most_ended").map_or(MOST_ENDED, |count| {
        if !(1..=MOST_KEPT).contains(&count.value) {
            let message = format!("`most_ended` is between 1 and {MOST_KEPT}");
            fields.problems().error(&count.place, message);
        }
        count.value
    });
    fields.finish();
    let keeping = Keeping { ended, most };
    (path.map(|path| path.value), keeping)
}

impl Keeping {
    /// A task is kept for as long as a token for it may live, which may ask for its receipt.
    fn ended(&self, tokens: Option<&Tokens>, problems: &mut Diagnostics) -> Duration {
        let Some(ended) = &self.ended else {
            return KEEP_ENDED;
        };
        if let Some(tokens) = tokens.filter(|tokens| ended.value < tokens.ttl) {
            let ttl = tokens.ttl.as_secs();
            let message = format!(
                "`keep_ended` is shorter than the life of a token ({ttl} s): its task would be \
                 forgotten before it ends"
            );
            let problem = problems.error(&ended.place, message);
            problem.hint("make it longer, or `tokens.ttl` shorter");
        }
        ended.value
    }
}

fn path(mut fields: Fields<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let path = file(&mut fields, key);
    fields.finish();
    path.map(|path| path.value)
}

/// A path as it is written; an empty one would be the directory that it starts from.
pub(super) fn file(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<At<PathBuf>> {
    let text = fields.string(key)?;
    if text.value.is_empty() {
        let message = format!("`{key}` can't be empty");
        fields.problems().error(&text.place, message);
    }
    Some(text.with(PathBuf::from(&text.value)))
}

/// A URL.
pub(super) fn read<T>(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    parse: fn(&str) -> Result<T, UrlError>,
) -> Option<T> {
    let text = fields.string(key)?;
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(error) => {
            let problem = fields.problems().error(&text.place, error.to_string());
            if error == UrlError::Userinfo {
                problem.withhold();
            }
            None
        }
    }
}

/// `directory` of `[policies]`, as far as it can be made out.
pub(super) fn policies_directory(text: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let policies = table.get_ref().get("policies")?.get_ref().as_table()?;
    let directory = policies.get("directory")?.get_ref().as_str()?;
    Some(directory.to_owned())
}
