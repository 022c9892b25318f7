//! What was acknowledged, and whether the gateway remembers.

mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use portcullis::base::{BootInstant, Clock, random_bytes};

use super::process::Process;
use super::wire;

pub(super) use pages::{Asked, Fate, Grant, Pages};

/// How long the shortest grants live: they end while one looks at them.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// Of the tasks whose end was seen after a restart, one of so many is looked at again.
const SAMPLE: u8 = 16;

/// Shared by all who work.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Pages>);

impl Book {
    pub(super) fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }

    /// Holds what a gateway that has just started says against what was acknowledged before `start`.
    pub(super) fn compare(&self, process: &Process, start: BootInstant) {
        let listed = listed(process);
        let mut pages = self.open();
        for (id, grant) in &mut pages.grants {
            let state = listed.get(id).unwrap_or_else(|| {
                panic!("the acknowledged grant {id} is gone: {grant:?}");
            });
            grant.compare(id, state, start);
        }
        compare_tasks(process, &pages);
        compare_requests(process, &mut pages);
        for (grant, calls) in &pages.calls {
            assert!(*calls <= 20, "{calls} calls under {grant}, which has 20");
        }
        pages.turn();
    }

    /// The kills came while there was something to lose.
    pub(super) fn was_busy(&self, kills: usize) {
        let pages = self.open();
        let ended = pages.ended_tasks().count();
        let shares = [
            ("tasks", pages.tasks.len()),
            ("grants", pages.grants.len()),
            ("ends", ended),
            (
                "calls",
                pages.calls.values().map(|calls| *calls as usize).sum(),
            ),
            ("unanswered ends", pages.unanswered),
            ("approvals and denials", pages.decisions),
            ("renewals", pages.renewals),
            ("delegations", pages.delegations),
        ];
        println!("{kills} kills: {shares:?}");
        for (what, share) in shares {
            assert!(share >= kills / 4, "{what} in {shares:?}");
        }
    }
}

/// Tasks are as they were; under an open one exactly the grants live that did; an id is never used twice.
fn compare_tasks(process: &Process, pages: &Pages) {
    let mut of_task: BTreeMap<&str, Vec<(&String, &Grant)>> = BTreeMap::new();
    for (id, grant) in &pages.grants {
        of_task.entry(&grant.task).or_default().push((id, grant));
    }
    for (id, fate) in &pages.tasks {
        let [dice] = random_bytes::<1>();
        if pages.seen.contains(id) && dice % SAMPLE > 0 {
            continue;
        }
        let path = format!("/v1/tasks/{id}");
        let shown = wire::get(process, &path, operator(process)).unwrap();
        if *fate != Fate::Unknown {
            assert_eq!(shown.status, 200, "the acknowledged task {id} is gone");
        }
        match fate {
            Fate::Ended => {
                assert_eq!(shown.body["state"], "ended", "{id} came back");
                assert_eq!(shown.body["grants"].as_array().unwrap().len(), 0);
            }
            Fate::Lives => {
                assert_eq!(shown.body["state"], "open", "{id}: {shown:?}");
                let live = shown.body["grants"].as_array().unwrap();
                let live: BTreeSet<_> = live.iter().filter_map(Value::as_str).collect();
                for (grant, known) in of_task.get(id.as_str()).into_iter().flatten() {
                    let lives = live.contains(grant.as_str());
                    match known.fate {
                        Fate::Ended => assert!(!lives, "{grant} lives again"),
                        Fate::Lives if lives => {}
                        Fate::Lives => {
                            let told = format!("/v1/grants/{grant}");
                            let told = wire::get(process, &told, operator(process)).unwrap();
                            let over = told.body["end_reason"] == "expired"
                                || Clock::system().now() + SHORT >= known.over;
                            assert!(over, "{grant} lives no more: {told:?}");
                        }
                        Fate::Unknown => {}
                    }
                }
            }
            Fate::Unknown => {}
        }
    }
    if let Some(used) = pages.ended_tasks().next() {
        let body = serde_json::json!({ "id": used, "agent": "demo-bot" });
        let again = wire::post(process, "/v1/tasks", &process.operator, &body).unwrap();
        assert_eq!(again.status, 409, "{again:?}");
    }
}

/// What waited for people waits, unless its task is over; what they have decided is decided.
fn compare_requests(process: &Process, pages: &mut Pages) {
    let Pages { tasks, asked, .. } = pages;
    asked.retain(|id, (task, asked)| {
        let path = format!("/v1/requests/{id}");
        let shown = wire::get(process, &path, operator(process)).unwrap();
        assert_eq!(shown.status, 200, "the acknowledged request {id} is gone");
        let state = shown.body["state"].as_str().unwrap();
        let agreed = shown.body["approvals"][0]["person"] == "lead@example.com";
        match asked {
            Asked::Approved => {
                assert!(agreed && ["active", "ended"].contains(&state), "{shown:?}");
            }
            Asked::Denied => assert_eq!(state, "declined", "{shown:?}"),
            // A decision that was not acknowledged was taken, or was not.
            Asked::Unknown if state == "pending" => *asked = Asked::Waits,
            Asked::Unknown => {}
            Asked::Waits => {
                let waits = state == "pending";
                assert!(waits || tasks[task] != Fate::Lives, "{id}: {shown:?}");
                assert!(!waits || tasks[task] != Fate::Ended, "{id}: {shown:?}");
            }
        }
        // What is settled needs no more looks.
        *asked == Asked::Waits && tasks[task] != Fate::Ended
    });
}

fn operator(process: &Process) -> Option<&str> {
    Some(&process.operator)
}

/// Every grant that the gateway knows of.
pub(super) fn listed(process: &Process) -> BTreeMap<String, Value> {
    let mut listed = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/grants?limit=500{cursor}");
        let page = wire::get(process, &path, operator(process)).unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        for grant in page.body["items"].as_array().unwrap() {
            let id = grant["id"].as_str().unwrap().to_owned();
            listed.insert(id, grant.clone());
        }
        match page.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return listed,
        }
    }
}
