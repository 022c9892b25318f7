//! What was acknowledged, and whether the gateway remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use portcullis::base::{BootInstant, Clock, random_bytes};

use super::process::Process;
use super::wire;

/// How long the shortest grants live: they end while one looks at them.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// Of the tasks whose end was seen after a restart, one of so many is looked at again.
const SAMPLE: u8 = 16;

/// What is known of something. What was asked for and never answered may have happened or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Ended,
    Lives,
    Unknown,
}

#[derive(Debug)]
pub(super) struct Grant {
    pub(super) task: String,
    pub(super) fate: Fate,
    pub(super) expires_at: String,
    /// It is over by now for certain.
    pub(super) over: BootInstant,
}

#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) tasks: BTreeMap<String, Fate>,
    pub(super) grants: BTreeMap<String, Grant>,
    /// Requests that wait for people, with their tasks.
    pub(super) waiting: BTreeMap<String, String>,
    /// Calls that were answered, by the grant that they were made under.
    pub(super) calls: BTreeMap<String, u32>,
    unanswered: usize,
    /// Tasks that were seen as ended after a restart.
    seen: BTreeSet<String>,
}

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
            let (shown, expires_at) = (&state["state"], &state["expires_at"]);
            assert_eq!(*expires_at, grant.expires_at, "{id}");
            if grant.fate == Fate::Ended || grant.over <= start {
                assert_eq!(shown, "ended", "{id} came back: {grant:?}");
                grant.fate = Fate::Ended;
            } else if grant.fate == Fate::Lives && shown != "active" {
                assert_eq!(state["end_reason"], "expired", "{id} ended: {grant:?}");
                grant.fate = Fate::Ended;
            }
        }
        compare_tasks(process, &pages);
        for (id, task) in &pages.waiting {
            let shown = wire::get(process, &format!("/v1/requests/{id}"), operator(process));
            let shown = shown.unwrap();
            let lives = pages.tasks[task] == Fate::Lives;
            let ended = pages.tasks[task] == Fate::Ended;
            let waits = shown.body["state"] == "pending";
            assert!(waits || !lives, "{id}: {shown:?}");
            assert!(!waits || !ended, "{id}: {shown:?}");
        }
        for (grant, calls) in &pages.calls {
            assert!(*calls <= 20, "{calls} calls under {grant}, which has 20");
        }
        // What is settled needs few more looks.
        let ended: BTreeSet<_> = pages.ended_tasks().map(str::to_owned).collect();
        pages.waiting.retain(|_, task| !ended.contains(task));
        pages.seen = ended;
    }

    /// The kills came while there was something to lose.
    pub(super) fn was_busy(&self, kills: usize) {
        let pages = self.open();
        let ended = pages.ended_tasks().count();
        let shares = [
            pages.tasks.len(),
            pages.grants.len(),
            ended,
            pages.calls.values().map(|calls| *calls as usize).sum(),
            pages.unanswered,
        ];
        println!("{shares:?} tasks, grants, ends, calls and unanswered requests, {kills} kills");
        for share in shares {
            assert!(share >= kills / 4, "{shares:?}");
        }
    }
}

impl Pages {
    /// An end of a task was asked for, and not yet answered.
    pub(super) fn task_may_end(&mut self, task: &str) {
        self.unanswered += 1;
        self.settle(task, Fate::Unknown);
    }

    pub(super) fn task_has_ended(&mut self, task: &str) {
        self.unanswered -= 1;
        self.settle(task, Fate::Ended);
    }

    fn settle(&mut self, task: &str, fate: Fate) {
        self.tasks.insert(task.to_owned(), fate);
        let of_task = self.grants.values_mut().filter(|grant| grant.task == task);
        for grant in of_task.filter(|grant| grant.fate != Fate::Ended) {
            grant.fate = fate;
        }
    }

    fn ended_tasks(&self) -> impl Iterator<Item = &str> {
        let ended = self.tasks.iter().filter(|(_, fate)| **fate == Fate::Ended);
        ended.map(|(id, _)| id.as_str())
    }
}

/// Tasks are as they were; under an open one exactly the grants live that did; an id is never used twice.
fn compare_tasks(process: &Process, pages: &Pages) {
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
                for (grant, known) in pages.grants.iter().filter(|(_, one)| one.task == *id) {
                    let lives = live.iter().any(|one| one == grant.as_str());
                    match known.fate {
                        Fate::Ended => assert!(!lives, "{grant} lives again"),
                        Fate::Lives => {
                            let told = format!("/v1/grants/{grant}");
                            let told = wire::get(process, &told, operator(process)).unwrap();
                            let over = told.body["end_reason"] == "expired"
                                || Clock::system().now() + SHORT >= known.over;
                            assert!(lives || over, "{grant} lives no more: {told:?}");
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
