//! The country of an address, from a database that the test writes itself.

mod mmdb;

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis::base::Clock;
use portcullis::signals::{HabitRules, Signals};

use self::mmdb::Mmdb;
use http::Response;
use tempfile::TempDir;

use crate::harness::{Answer, Gateway, Plan, Work, pipe, run};

const RULES: &str = r#"
@id("from-here")
forbid (principal, action == Action::"shop.read", resource)
unless { context.source has country && context.source.country == "CH" };
"#;

const ZURICH: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.7";
const NOWHERE: &str = "203.0.113.7";

fn world() -> Mmdb {
    let mut countries = Mmdb::new();
    countries.put("192.0.2.0/24", "CH");
    countries.put("198.51.100.0/24", "FR");
    countries.put("2001:db8::/32", "CH");
    countries
}

/// A database that is replaced while it is read.
struct Database(TempDir);

impl Database {
    fn new(countries: &Mmdb) -> Self {
        let database = Self(tempfile::tempdir().unwrap());
        database.replace(countries.bytes());
        database
    }

    fn setting(&self) -> String {
        let file = self.0.path().join("countries.mmdb");
        format!("[signals]\ncountry_database = {file:?}")
    }

    fn replace(&self, bytes: impl AsRef<[u8]>) {
        let draft = self.0.path().join("draft");
        fs::write(&draft, bytes).unwrap();
        fs::rename(draft, self.0.path().join("countries.mmdb")).unwrap();
    }
}

async fn read(gate: &Gateway, work: &Work, from: &str) -> Answer {
    let call = gate.call("GET", "/shop/items/1").bearer(&work.token);
    call.header("x-forwarded-for", from).send().await
}

fn plan() -> Plan {
    let plan = Plan::new().file("country.cedar", RULES).manual_clock();
    plan.gateway("trusted_proxies = [\"127.0.0.1\"]")
}

#[test]
fn rules_see_the_country_of_an_address_where_it_is_known() {
    run(async {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), world().bytes()).unwrap();
        let setting = format!("[signals]\ncountry_database = {:?}", file.path());
        let mut gate = plan().settings(&setting).start().await;
        let work = gate.agent("bot").works("items").await;
        read(&gate, &work, ZURICH).await.expect(200);
        read(&gate, &work, "2001:db8::1").await.expect(200);
        for other in [ELSEWHERE, NOWHERE, "2001:db9::1"] {
            let refused = read(&gate, &work, other).await;
            refused.refusal(403, "condition_denied");
        }
        let records = gate.stop().await;
        let mut reads = records.iter().filter(|one| one["operation"] == "shop.read");
        assert_eq!(reads.next().unwrap()["asked"]["country"], "CH");
        let mut of = |source: &str| reads.find(|one| one["source"] == source).unwrap().clone();
        assert_eq!(of(ELSEWHERE)["asked"]["country"], "FR");
        assert!(of(NOWHERE)["asked"].get("country").is_none());
    });
}

#[test]
fn a_new_database_is_noticed_and_a_broken_one_is_not_used() {
    run(async {
        let database = Database::new(&world());
        let gate = plan().settings(&database.setting()).start().await;
        let work = gate.agent("bot").works("items").await;
        read(&gate, &work, ZURICH).await.expect(200);
        let replace = |bytes: &[u8]| database.replace(bytes);
        // The gateway looks every other second.
        let becomes = async |from: &str, status: u16| {
            for _ in 0..100 {
                if read(&gate, &work, from).await.status == status {
                    return;
                }
                gate.advance(Duration::from_secs(2));
            }
            panic!("{from} never becomes {status}");
        };
        let mut other = Mmdb::new();
        other.put("203.0.113.0/24", "CH");
        replace(&other.bytes());
        becomes(NOWHERE, 200).await;
        becomes(ZURICH, 403).await;
        let bytes = world().bytes();
        replace(&bytes[..bytes.len() / 2]);
        for _ in 0..5 {
            gate.advance(Duration::from_secs(2));
            read(&gate, &work, NOWHERE).await.expect(200);
        }
        replace(&bytes);
        becomes(ZURICH, 200).await;
    });
}

const TURNING: &str = r#"
@id("from-here")
@on_change("suspend")
forbid (principal, action in Action::"shop", resource)
unless { context.source has country && context.source.country == "CH" };
"#;

/// What runs is cut and what rests is suspended, but for what comes from elsewhere.
#[test]
fn a_new_database_asks_again_about_what_was_allowed_by_the_last() {
    run(async {
        let mut countries = world();
        countries.put("127.0.0.0/8", "CH");
        let database = Database::new(&countries);
        let gate = plan()
            .settings(&database.setting())
            .file("country.cedar", TURNING);
        let gate = gate.start().await;
        let work = gate.agent("bot").works("items").await;
        let (feed, body) = pipe();
        gate.upstream.answer_next(Response::new(body));
        let call = gate.call("GET", "/shop/items/1").bearer(&work.token);
        let mut opened = call.header("x-forwarded-for", ZURICH).open().await;
        feed.send("1").await;
        assert_eq!(opened.text().await, "1");
        let state = async || {
            let path = format!("/v1/grants/{}", work.grant);
            let call = gate.control("GET", &path).bearer(&gate.operator());
            call.send().await.expect(200).json()["state"].clone()
        };
        assert_eq!(state().await, "active", "it was asked for from here");
        let becomes = async |bytes: Vec<u8>, wanted: &str| {
            database.replace(bytes);
            for _ in 0..600 {
                if state().await == wanted {
                    return;
                }
                // The gateway looks every other second.
                gate.advance(Duration::from_secs(2));
            }
            panic!("it never becomes {wanted}");
        };
        becomes(world().bytes(), "suspended").await;
        opened.cut().await;
        feed.closed().await;
        becomes(countries.bytes(), "active").await;
    });
}

/// Nobody else is asked: the stream alone is reason enough.
#[test]
fn a_new_database_cuts_what_runs_from_where_no_rule_permits_it_now() {
    run(async {
        let database = Database::new(&world());
        let gate = plan().settings(&database.setting()).start().await;
        let work = gate.agent("bot").works("items").await;
        let mut running = Vec::new();
        for from in [ZURICH, "2001:db8::1"] {
            let (feed, body) = pipe();
            gate.upstream.answer_next(Response::new(body));
            let call = gate.call("GET", "/shop/items/1").bearer(&work.token);
            let mut opened = call.header("x-forwarded-for", from).open().await;
            feed.send("1").await;
            assert_eq!(opened.text().await, "1");
            running.push((feed, opened));
        }
        let mut other = Mmdb::new();
        other.put("192.0.2.0/24", "FR");
        other.put("2001:db8::/32", "CH");
        database.replace(other.bytes());
        let (kept_feed, mut kept) = running.pop().unwrap();
        let (feed, mut cut) = running.pop().unwrap();
        let goes_on = async {
            loop {
                gate.advance(Duration::from_secs(2));
                kept_feed.send("2").await;
                assert_eq!(kept.text().await, "2");
            }
        };
        tokio::select! {
            _ = cut.cut() => {}
            () = goes_on => {}
        }
        feed.closed().await;
        // The last piece may have been on its way.
        kept_feed.send("3").await;
        while kept.text().await != "3" {}
    });
}

/// It is looked for every other second: nobody wants to read of that each time.
#[test]
fn that_a_database_is_gone_is_told_once() {
    let database = Database::new(&world());
    let file = database.0.path().join("countries.mmdb");
    let signals = Signals::new(Clock::system(), HabitRules::default());
    signals.open_countries(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let told = signals.refresh_countries().unwrap_err().to_string();
    assert!(told.ends_with("can't be read"), "{told}");
    assert!(matches!(signals.refresh_countries(), Ok(false)));
    let zurich = ZURICH.parse().unwrap();
    assert_eq!(signals.country(zurich).as_deref(), Some("CH"));
    let mut other = Mmdb::new();
    other.put("192.0.2.0/24", "LI");
    database.replace(other.bytes());
    let looks = [(); 3].map(|()| signals.refresh_countries().unwrap());
    assert_eq!(looks, [false, true, false]);
    assert_eq!(signals.country(zurich).as_deref(), Some("LI"));
}

#[test]
fn without_a_database_no_country_is_known() {
    run(async {
        let gate = plan().start().await;
        let work = gate.agent("bot").works("items").await;
        let refused = read(&gate, &work, ZURICH).await;
        refused.refusal(403, "condition_denied");
    });
}

#[test]
fn what_is_no_database_is_told_by_name() {
    let signals = Signals::new(Clock::system(), HabitRules::default());
    let missing = signals
        .open_countries(Path::new("nowhere.mmdb"))
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the country database `nowhere.mmdb` can't be read"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes = world().bytes();
    for broken in [
        &b"no database"[..],
        &bytes[..bytes.len() - 40],
        &bytes[60..],
    ] {
        fs::write(file.path(), broken).unwrap();
        let refused = signals.open_countries(file.path()).unwrap_err().to_string();
        assert!(
            refused.ends_with("is no sound MaxMind database"),
            "{refused}"
        );
    }
    assert_eq!(signals.country(ZURICH.parse().unwrap()), None);
}

#[test]
fn other_forms_of_databases_are_read_too() {
    let signals = Signals::new(Clock::system(), HabitRules::default());
    let file = tempfile::NamedTempFile::new().unwrap();
    for key in ["country", "country_code"] {
        let mut flat = Mmdb::flat(key);
        flat.put("192.0.2.0/24", "CH");
        fs::write(file.path(), flat.bytes()).unwrap();
        signals.open_countries(file.path()).unwrap();
        let country = signals.country(ZURICH.parse().unwrap());
        assert_eq!(country.as_deref(), Some("CH"), "{key}");
        // Asked again it is the same.
        let country = signals.country(ZURICH.parse().unwrap());
        assert_eq!(country.as_deref(), Some("CH"), "{key}");
    }
}
