//! Work of every kind, until nobody answers any more.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use portcullis::base::{Clock, random_bytes, random_id};

use super::book::{Asked, Book, Fate, Grant, SHORT};
use super::process::Process;
use super::wire::{self, Answer};

/// Requests that wait at once: fewer than one agent may have, all workers together.
const MOST_WAITING: usize = 200;

/// The longest life of a grant here, in seconds.
const LONGEST: u64 = 1800;

/// Works until the gateway is gone.
pub(super) fn work(process: &Process, book: &Book, lead: &str, worker: u32) {
    // Calls go on under the same grant across restarts, as an agent's would.
    let mut spender = None;
    loop {
        let done = match worker {
            0 => spend(process, book, &mut spender),
            _ => one_of_each(process, book, lead),
        };
        if done.is_err() {
            return;
        }
    }
}

/// Opens a task, has grants, renews one and hands a part of it down, and ends some of it.
pub(super) fn one_of_each(process: &Process, book: &Book, lead: &str) -> io::Result<()> {
    // Not by the operator, who has had the lead's key in hand: then the lead could not agree.
    let task = open(process, book, &process.token, None)?;
    let [dice, short, more, decision] = random_bytes::<4>();
    let kept = ask(process, book, &task, "orders-read", Some(900))?;
    let revoked = ask(process, book, &task, "refunds", Some(600))?;
    if short % 4 == 0 {
        ask(process, book, &task, "orders-read", Some(SHORT.as_secs()))?;
    }
    if more % 2 == 0 {
        renew(process, book, &kept)?;
    }
    if more % 4 < 2 {
        hand_down(process, book, &task, &kept)?;
    }
    let waiting = book.open().asked.len();
    if short % 2 == 1 && waiting < MOST_WAITING {
        let (id, digest) = wait_for_people(process, book, &task)?;
        match decision % 4 {
            0 | 1 => approve(process, book, lead, (&id, &digest))?,
            2 => deny(process, book, lead, &id)?,
            _ => {}
        }
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
    }?;
    // As many are left as begin, so that there is no more of them after many restarts.
    let left = book.open().take_left();
    left.map_or(Ok(()), |task| end(process, book, &task, "cancel"))
}

/// Opens a task with a grant, and leaves it.
pub(super) fn one_that_lives(process: &Process, book: &Book) -> io::Result<()> {
    let task = open(process, book, &process.operator, None)?;
    ask(process, book, &task, "orders-read", None).map(drop)
}

fn open(process: &Process, book: &Book, by: &str, parent: Option<&str>) -> io::Result<String> {
    let id = random_id("t");
    let mut body =
        json!({ "id": id, "agent": "demo-bot", "kind": "refund", "lease_seconds": 3600 });
    if let Some(parent) = parent {
        body["parent"] = parent.into();
    }
    book.open().tasks.insert(id.clone(), Fate::Unknown);
    expect(wire::post(process, "/v1/tasks", by, &body)?, 201)?;
    let mut pages = book.open();
    pages.tasks.insert(id.clone(), Fate::Lives);
    if let Some(parent) = parent {
        let spans = pages.spans.entry(parent.to_owned()).or_default();
        spans.push(id.clone());
    }
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
    let id = answer.text("grant");
    let grant = granted(task, &answer, seconds.unwrap_or(LONGEST));
    book.open().grants.insert(id.clone(), grant);
    Ok(id)
}

/// What an answer says of a grant that lives no longer than `seconds` from now.
fn granted(task: &str, answer: &Answer, seconds: u64) -> Grant {
    Grant {
        task: task.to_owned(),
        fate: Fate::Lives,
        expires_at: answer.text("expires_at"),
        renewing: false,
        over: Clock::system().now() + Duration::from_secs(seconds),
        parent: answer.body["parent"].as_str().map(str::to_owned),
    }
}

fn renew(process: &Process, book: &Book, grant: &str) -> io::Result<()> {
    let over = Clock::system().now() + Duration::from_secs(LONGEST);
    if let Some(grant) = book.open().grants.get_mut(grant) {
        grant.renewing = true;
        grant.over = over;
    }
    let path = format!("/v1/grants/{grant}/renew");
    let body = json!({ "duration_seconds": 1200 });
    let answer = expect(wire::post(process, &path, &process.token, &body)?, 200)?;
    let mut pages = book.open();
    pages.renewals += 1;
    if let Some(grant) = pages.grants.get_mut(grant) {
        grant.renewing = false;
        grant.expires_at = answer.text("expires_at");
    }
    Ok(())
}

/// Hands a part of a grant down to a span.
fn hand_down(process: &Process, book: &Book, task: &str, grant: &str) -> io::Result<()> {
    let span = open(process, book, &process.token, Some(task))?;
    let path = format!("/v1/grants/{grant}/delegate");
    let body = json!({ "task": span, "operations": ["orders.list"], "duration_seconds": 600 });
    let answer = expect(wire::post(process, &path, &process.token, &body)?, 201)?;
    let mut pages = book.open();
    pages.delegations += 1;
    let part = granted(&span, &answer, LONGEST);
    assert_eq!(part.parent.as_deref(), Some(grant));
    pages.grants.insert(answer.text("id"), part);
    Ok(())
}

/// The request's id and digest.
fn wait_for_people(process: &Process, book: &Book, task: &str) -> io::Result<(String, String)> {
    let body = json!({ "task": task, "entitlement": "orders-asked" });
    let answer = wire::post(process, "/v1/requests", &process.token, &body)?;
    let answer = expect(answer, 202)?;
    let id = answer.text("id");
    let asked = (task.to_owned(), Asked::Waits);
    book.open().asked.insert(id.clone(), asked);
    Ok((id, answer.text("digest")))
}

fn approve(
    process: &Process,
    book: &Book,
    lead: &str,
    (id, digest): (&str, &str),
) -> io::Result<()> {
    let task = decide(book, id, Asked::Unknown);
    let path = format!("/v1/requests/{id}/approve");
    let body = json!({ "digest": digest });
    let answer = expect(wire::post(process, &path, lead, &body)?, 200)?;
    decide(book, id, Asked::Approved);
    let grant = granted(&task, &answer, LONGEST);
    book.open().grants.insert(answer.text("grant"), grant);
    Ok(())
}

fn deny(process: &Process, book: &Book, lead: &str, id: &str) -> io::Result<()> {
    decide(book, id, Asked::Unknown);
    let path = format!("/v1/requests/{id}/deny");
    let body = json!({ "reason": "a test" });
    expect(wire::post(process, &path, lead, &body)?, 200)?;
    decide(book, id, Asked::Denied);
    Ok(())
}

/// Writes down what is known of a request, and returns its task.
fn decide(book: &Book, id: &str, what: Asked) -> String {
    let mut pages = book.open();
    if what != Asked::Unknown {
        pages.decisions += 1;
    }
    let (task, asked) = pages.asked.get_mut(id).unwrap();
    *asked = what;
    task.clone()
}

fn revoke(process: &Process, book: &Book, grant: &str) -> io::Result<()> {
    let settle = |fate| book.open().settle_grant(grant, fate);
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
                let task = open(process, book, &process.operator, None)?;
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
