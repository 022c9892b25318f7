//! Work of every kind, until nobody answers any more.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use portcullis::base::{Clock, random_bytes, random_id};

use super::book::{Book, Fate, Grant, SHORT};
use super::process::Process;
use super::wire::{self, Answer};

/// Requests that wait at once: fewer than one agent may have, all workers together.
const MOST_WAITING: usize = 200;

/// Works until the gateway is gone.
pub(super) fn work(process: &Process, book: &Book, worker: u32) {
    // Calls go on under the same grant across restarts, as an agent's would.
    let mut spender = None;
    loop {
        let done = match worker {
            0 => spend(process, book, &mut spender),
            _ => one_of_each(process, book),
        };
        if done.is_err() {
            return;
        }
    }
}

/// Opens a task, has grants, and ends some of it.
pub(super) fn one_of_each(process: &Process, book: &Book) -> io::Result<()> {
    let task = open(process, book)?;
    let [dice, short, ..] = random_bytes::<4>();
    let kept = ask(process, book, &task, "orders-read", None)?;
    let revoked = ask(process, book, &task, "refunds", Some(600))?;
    if short % 4 == 0 {
        ask(process, book, &task, "orders-read", Some(SHORT.as_secs()))?;
    }
    let waiting = book.open().waiting.len();
    if short % 4 == 1 && waiting < MOST_WAITING {
        wait_for_people(process, book, &task)?;
    }
    if dice % 2 == 0 {
        revoke(process, book, &revoked)?;
    }
    match dice % 8 {
        0..4 => end(
            process,
            book,
            &task,
            ["complete", "fail"][usize::from(dice % 2)],
        ),
        4 => revoke(process, book, &kept),
        _ => Ok(()),
    }
}

/// Opens a task with a grant, and leaves it.
pub(super) fn one_that_lives(process: &Process, book: &Book) -> io::Result<()> {
    let task = open(process, book)?;
    ask(process, book, &task, "orders-read", None).map(drop)
}

fn open(process: &Process, book: &Book) -> io::Result<String> {
    let id = random_id("t");
    let body = json!({ "id": id, "agent": "demo-bot", "kind": "refund", "lease_seconds": 3600 });
    book.open().tasks.insert(id.clone(), Fate::Unknown);
    expect(
        wire::post(process, "/v1/tasks", &process.operator, &body)?,
        201,
    )?;
    book.open().tasks.insert(id.clone(), Fate::Lives);
    Ok(id)
}

fn ask(
    process: &Process,
    book: &Book,
    task: &str,
    entitlement: &str,
    seconds: Option<u64>,
) -> io::Result<String> {
    let body = json!({
        "task": task,
        "entitlement": entitlement,
        "reason": "a test",
        "duration_seconds": seconds,
    });
    let answer = wire::post(process, "/v1/requests", &process.token, &body)?;
    let answer = expect(answer, 201)?;
    let over = Clock::system().now() + Duration::from_secs(seconds.unwrap_or(1800));
    let id = answer.text("grant");
    let grant = Grant {
        task: task.to_owned(),
        fate: Fate::Lives,
        expires_at: answer.text("expires_at"),
        over,
    };
    book.open().grants.insert(id.clone(), grant);
    Ok(id)
}

fn wait_for_people(process: &Process, book: &Book, task: &str) -> io::Result<()> {
    let body = json!({ "task": task, "entitlement": "orders-asked" });
    let answer = wire::post(process, "/v1/requests", &process.token, &body)?;
    let answer = expect(answer, 202)?;
    let (id, task) = (answer.text("id"), task.to_owned());
    book.open().waiting.insert(id, task);
    Ok(())
}

fn revoke(process: &Process, book: &Book, grant: &str) -> io::Result<()> {
    let settle = |fate| {
        if let Some(grant) = book.open().grants.get_mut(grant) {
            grant.fate = fate;
        }
    };
    settle(Fate::Unknown);
    let path = format!("/v1/grants/{grant}/revoke");
    expect(
        wire::post(process, &path, &process.operator, &Value::Null)?,
        200,
    )?;
    settle(Fate::Ended);
    Ok(())
}

fn end(process: &Process, book: &Book, task: &str, how: &str) -> io::Result<()> {
    book.open().task_may_end(task);
    let path = format!("/v1/tasks/{task}/{how}");
    expect(
        wire::post(process, &path, &process.operator, &Value::Null)?,
        200,
    )?;
    book.open().task_has_ended(task);
    Ok(())
}

/// Makes calls under one grant of twenty until it is used up, then under another.
fn spend(process: &Process, book: &Book, spender: &mut Option<Spender>) -> io::Result<()> {
    let using = match spender {
        Some(using) => using,
        None => spender.insert(Spender::find(process, book)?),
    };
    let answer = wire::call(process, "/orders/1001", &using.token)?;
    match (answer.status, answer.body["code"].as_str()) {
        (200, _) => {
            *book.open().calls.entry(using.grant.clone()).or_default() += 1;
            Ok(())
        }
        (403, Some("budget_exhausted" | "grant_required")) => {
            let task = using.task.clone();
            *spender = None;
            end(process, book, &task, "complete")
        }
        _ => panic!("neither an answer nor the end of a budget: {answer:?}"),
    }
}

/// Who makes calls, under one grant.
struct Spender {
    task: String,
    grant: String,
    token: String,
}

impl Spender {
    /// Goes on under a grant of before the last restart, or asks for one.
    fn find(process: &Process, book: &Book) -> io::Result<Self> {
        let (task, grant) = match unspent(book) {
            Some(found) => found,
            None => {
                let task = open(process, book)?;
                let grant = ask(process, book, &task, "refunds", None)?;
                book.open().calls.insert(grant.clone(), 0);
                (task, grant)
            }
        };
        let token = wire::token(process, Some(&task))?;
        Ok(Self { task, grant, token })
    }
}

fn unspent(book: &Book) -> Option<(String, String)> {
    let pages = book.open();
    let mut used = pages
        .calls
        .keys()
        .filter_map(|id| Some((pages.grants.get(id)?, id)));
    let (grant, id) = used.find(|(grant, _)| grant.fate == Fate::Lives)?;
    Some((grant.task.clone(), id.clone()))
}

fn expect(answer: Answer, status: u16) -> io::Result<Answer> {
    assert_eq!(answer.status, status, "{answer:?}");
    Ok(answer)
}
