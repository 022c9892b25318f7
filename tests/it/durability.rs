//! The real program, killed at random moments under load: what it acknowledged is there when it starts
//! again, and nothing that ended comes back.
//!
//! `PORTCULLIS_TEST_KILLS` says how often it is killed.

mod book;
mod counted;
mod crowd;
mod load;
mod once;
mod process;
mod pushed;
mod wire;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use portcullis::base::{Clock, random_bytes};
use portcullis::store::SqliteStore;
use tempfile::TempDir;

use book::Book;
use process::Process;

/// Enough to hit every kind of step many times.
const KILLS: usize = 25;

/// On a busy machine there are fewer kills, unless their number is asked for.
const LONGEST: Duration = Duration::from_secs(40);

/// Who works at the same time.
const WORKERS: u32 = 4;

/// The shipped policies, and an entitlement that a person has to approve.
const ASKED_FOR: &str = r#"
[[entitlement]]
id = "orders-asked"
operations = ["orders.list"]
max_ttl = "30m"
approval = { group = "support-leads", expires = "30m" }

[[person]]
id = "lead@example.com"
groups = ["support-leads"]
"#;
const MAY_ASK: &str = r#"
@id("support-may-ask-people")
permit (
  principal in AgentGroup::"support",
  action == Action::"request",
  resource == Entitlement::"orders-asked"
);
"#;

/// A directory with policies, where a gateway can be.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policies = place.path().join("policies");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&shipped, &policies])
        .status();
    assert!(copied.unwrap().success());
    fs::write(policies.join("asked.toml"), ASKED_FOR).unwrap();
    fs::write(policies.join("asked.cedar"), MAY_ASK).unwrap();
    place
}

/// Some moment up to `most`.
fn a_while(most: Duration) -> Duration {
    let random = u32::from_be_bytes(random_bytes());
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let asked = std::env::var("PORTCULLIS_TEST_KILLS").ok();
    let most = asked.as_ref().map_or(KILLS, |kills| kills.parse().unwrap());
    let place = place();
    let book = Arc::new(Book::default());
    let begin = Clock::system().now();
    let mut kills = 0;
    let mut lead = None;
    loop {
        let before = Clock::system().now();
        let process = Arc::new(Process::start(place.path()));
        // Made once: it has to be good after every start.
        let lead = lead.get_or_insert_with(|| process.key_for("lead@example.com"));
        book.compare(&process, before);
        if kills == most || (asked.is_none() && before - begin > LONGEST) {
            break;
        }
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (process, book) = (Arc::clone(&process), Arc::clone(&book));
                let lead = lead.clone();
                thread::spawn(move || load::work(&process, &book, &lead, worker))
            })
            .collect();
        thread::sleep(Duration::from_millis(30) + a_while(Duration::from_millis(600)));
        process.kill();
        kills += 1;
        for worker in workers {
            worker.join().unwrap();
        }
    }
    book.was_busy(kills);
}

#[test]
fn a_clean_stop_keeps_everything_and_a_reset_forgets_it() {
    let place = place();
    let book = Book::default();
    let process = Process::start(place.path());
    let lead = process.key_for("lead@example.com");
    for _ in 0..5 {
        load::one_of_each(&process, &book, &lead).unwrap();
    }
    let before = Clock::system().now();
    assert!(process.stop().success());
    let process = Process::start(place.path());
    book.compare(&process, before);
    let grants = book::listed(&process);
    assert!(!grants.is_empty());
    assert!(process.stop().success());
    let process = Process::start_with(place.path(), &["--reset"]);
    assert!(book::listed(&process).is_empty());
}

#[test]
fn what_was_created_with_a_key_is_not_created_again_after_a_kill() {
    let place = place();
    let process = Process::start(place.path());
    let body = serde_json::json!({ "kind": "refund" });
    let create = |process: &Process, key: &str| {
        let by = &process.token;
        let created = wire::post_once(process, "/v1/tasks", by, key, &body).unwrap();
        assert_eq!(created.status, 201, "{created:?}");
        created.text("id")
    };
    let first = create(&process, "one");
    process.kill();
    let process = Process::start(place.path());
    assert_eq!(create(&process, "one"), first);
    assert_ne!(create(&process, "two"), first);
    let other = serde_json::json!({ "kind": "other" });
    let other = wire::post_once(&process, "/v1/tasks", &process.token, "one", &other).unwrap();
    assert_eq!(other.status, 422, "{other:?}");
}

#[test]
fn a_second_gateway_on_one_store_is_told_who_has_it() {
    let place = place();
    let first = Process::start(place.path());
    for more in [&[][..], &["--reset"]] {
        let told = process::refused(place.path(), more);
        let holder = format!("process {}", first.id());
        assert!(told.contains(&holder), "{told}");
        assert!(told.contains("portcullis.db"), "{told}");
    }
    assert_eq!(wire::get(&first, "/livez", None).unwrap().status, 200);
}

#[test]
fn a_store_that_cant_be_used_is_named_and_nothing_is_served() {
    let place = place();
    assert!(Process::start(place.path()).stop().success());
    let store = place.path().join("data/portcullis.db");
    let whole = fs::read(&store).unwrap();

    fs::write(&store, &whole[..whole.len() / 2]).unwrap();
    let told = process::refused(place.path(), &[]);
    assert!(
        told.contains("is damaged") && told.contains("portcullis.db"),
        "{told}"
    );

    fs::write(&store, "hello").unwrap();
    let told = process::refused(place.path(), &[]);
    assert!(told.contains("is damaged"), "{told}");

    fs::write(&store, &whole).unwrap();
    let mut mode = fs::metadata(&store).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&store, mode).unwrap();
    let told = process::refused(place.path(), &[]);
    assert!(told.contains("is read-only"), "{told}");
}

#[test]
fn an_older_copy_of_the_store_is_told_from_the_newest() {
    let place = place();
    let (store, mark) = ("data/portcullis.db", "data/audit.store-mark");
    let [store, mark] = [store, mark].map(|file| place.path().join(file));
    let process = Process::start(place.path());
    load::one_that_lives(&process, &Book::default()).unwrap();
    assert!(process.stop().success());
    let older = fs::read(&store).unwrap();
    let process = Process::start(place.path());
    load::one_that_lives(&process, &Book::default()).unwrap();
    assert!(process.stop().success());

    fs::write(&store, older).unwrap();
    let told = process::refused(place.path(), &[]);
    assert!(told.contains("is older than the audit log"), "{told}");
    assert!(told.contains("audit.store-mark"), "{told}");
    fs::remove_file(&store).unwrap();
    let told = process::refused(place.path(), &[]);
    assert!(told.contains("is not the one that was used"), "{told}");
    // On purpose.
    fs::remove_file(&mark).unwrap();
    assert!(Process::start(place.path()).stop().success());
    assert!(mark.exists());
}

#[test]
fn a_flipped_bit_in_what_is_granted_stops_the_start() {
    let place = place();
    let process = Process::start(place.path());
    load::one_that_lives(&process, &Book::default()).unwrap();
    assert!(process.stop().success());
    let store = place.path().join("data/portcullis.db");
    let mut bytes = fs::read(&store).unwrap();
    // In the middle of a word that people read: the file's structure is as good as before.
    let word = b"\"opened_by\":\"operator\"";
    let places = bytes.windows(word.len()).enumerate();
    let places = places.filter(|(_, part)| part == word).map(|(at, _)| at);
    let places: Vec<_> = places.collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 15] ^= 1;
    }
    fs::write(&store, bytes).unwrap();
    let told = process::refused(place.path(), &[]);
    assert!(told.contains("is not as it was written"), "{told}");
}

#[test]
fn a_missing_directory_is_named() {
    let place = tempfile::tempdir().unwrap();
    let far = place.path().join("not/there/portcullis.db");
    let refused = SqliteStore::open(&far).unwrap_err().to_string();
    assert!(refused.contains("not/there/portcullis.db"), "{refused}");
}

/// Without optimisation; a release build is several times faster.
#[test]
fn a_hundred_thousand_live_grants_are_back_within_seconds() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("portcullis.db");
    let clock = Clock::system();
    super::harness::run(async {
        crowd::fill(&path, &clock, 100_000).await;
        let (grants, took) = crowd::start(&path, &clock).await;
        println!("{grants} live grants were back after {took:?}");
        assert_eq!(grants, 100_000);
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}
