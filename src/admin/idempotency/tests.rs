use std::time::Duration;

use super::answers::{MOST, MOST_BYTES, MOST_BYTES_PER_CALLER, MOST_PER_CALLER};
use super::*;
use crate::base::ManualClock;
use crate::store::MemoryStore;

fn key(caller: &str, key: &str) -> Key {
    Key {
        caller: caller.to_owned(),
        key: key.to_owned(),
    }
}

fn kept(body: &'static str) -> Kept {
    Kept {
        status: StatusCode::CREATED,
        location: Some(HeaderValue::from_static("/v1/tasks/x")),
        body: Bytes::from_static(body.as_bytes()),
    }
}

struct World {
    store: Arc<dyn GrantStore>,
    clock: Clock,
    hand: ManualClock,
    answers: Idempotency,
}

impl World {
    async fn new() -> Self {
        let (clock, hand) = Clock::manual("2026-11-24T08:00:00Z".parse().unwrap());
        let store: Arc<dyn GrantStore> = Arc::new(MemoryStore::new());
        let answers = Idempotency::open(Arc::clone(&store), clock.clone()).await;
        Self {
            store,
            clock,
            hand,
            answers: answers.unwrap(),
        }
    }

    async fn restart(&mut self) {
        let answers = Idempotency::open(Arc::clone(&self.store), self.clock.clone()).await;
        self.answers = answers.unwrap();
    }

    /// A request with a key: what is done with it, and stored before it is done.
    async fn asks(&self, caller: &str, name: &str, request: Digest) -> &'static str {
        match self.answers.turn(&key(caller, name), request) {
            Turn::Contradiction => "contradiction",
            Turn::Done(kept) => {
                assert_eq!(kept.status, StatusCode::CREATED);
                assert_eq!(kept.location.unwrap(), "/v1/tasks/x");
                assert_eq!(kept.body, "x");
                "done"
            }
            Turn::Lost => "lost",
            Turn::Running => "running",
            Turn::Yours(begun) => {
                self.store.commit(begun).await.unwrap();
                "yours"
            }
        }
    }

    async fn is_done(&self, caller: &str, name: &str) {
        let done = self.answers.keep(&key(caller, name), kept("x"));
        self.store.commit(done).await.unwrap();
    }

    async fn stored(&self) -> usize {
        let kind = DocumentKind::IdempotentAnswer;
        self.store.documents(kind).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_key_is_one_callers_and_one_requests() {
    let world = World::new().await;
    let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
    assert_eq!(world.asks("a", "k", one).await, "yours");
    assert_eq!(world.asks("a", "k", one).await, "running");
    assert_eq!(world.asks("a", "k", other).await, "contradiction");
    assert_eq!(world.asks("b", "k", other).await, "yours");
    world.is_done("a", "k").await;
    assert_eq!(world.asks("a", "k", one).await, "done");
    assert_eq!(world.asks("a", "k", other).await, "contradiction");
    let freed = world.answers.free(&key("b", "k"));
    world.store.commit(freed).await.unwrap();
    assert_eq!(world.stored().await, 1);
    assert_eq!(world.asks("b", "k", one).await, "yours");
}

#[tokio::test]
async fn what_was_begun_is_not_begun_again_after_a_restart() {
    let mut world = World::new().await;
    let request = Digest::of(b"1");
    for name in ["answered", "begun"] {
        assert_eq!(world.asks("a", name, request).await, "yours");
    }
    world.is_done("a", "answered").await;
    world.restart().await;
    assert_eq!(world.asks("a", "answered", request).await, "done");
    assert_eq!(world.asks("a", "begun", request).await, "lost");
    let other = Digest::of(b"2");
    assert_eq!(world.asks("a", "begun", other).await, "contradiction");
    assert_eq!(world.asks("b", "begun", request).await, "yours");
    world.hand.advance(REMEMBERED);
    world.restart().await;
    assert_eq!(world.stored().await, 0);
    assert_eq!(world.asks("a", "answered", request).await, "yours");
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_day() {
    let mut world = World::new().await;
    let request = Digest::of(b"1");
    assert_eq!(world.asks("a", "k", request).await, "yours");
    world.is_done("a", "k").await;
    world.hand.advance(REMEMBERED / 2);
    world.restart().await;
    world.hand.advance(REMEMBERED / 2 - Duration::from_secs(1));
    assert_eq!(world.asks("a", "k", request).await, "done");
    world.hand.advance(Duration::from_secs(1));
    assert_eq!(world.asks("a", "k", request).await, "yours");
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn the_oldest_are_forgotten_first() {
    let world = World::new().await;
    let request = Digest::of(b"1");
    let ask = async |caller: &str, number: usize| {
        let name = number.to_string();
        let turn = world.asks(caller, &name, request).await;
        if turn == "yours" {
            world.is_done(caller, &name).await;
        }
        turn
    };
    for number in 0..=MOST_PER_CALLER {
        assert_eq!(ask("a", number).await, "yours");
    }
    assert_eq!(world.stored().await, MOST_PER_CALLER);
    assert_eq!(ask("a", 1).await, "done");
    assert_eq!(ask("a", 0).await, "yours");
    // What came to nothing takes no place from others.
    for number in 0..2 * MOST {
        let key = key("b", &number.to_string());
        assert!(matches!(world.answers.turn(&key, request), Turn::Yours(_)));
        world.answers.free(&key);
    }
    assert_eq!(ask("a", 0).await, "done");
    for caller in 0..MOST {
        ask(&format!("c{caller}"), 0).await;
    }
    assert!(world.answers.answers().by_key.len() <= MOST);
    assert_eq!(world.stored().await, MOST);
    assert_eq!(ask("a", MOST_PER_CALLER).await, "yours");
}

#[tokio::test]
async fn long_answers_are_bounded_together() {
    let mut world = World::new().await;
    let request = Digest::of(b"1");
    let long = Kept {
        body: Bytes::from(vec![b'x'; LARGEST]),
        ..kept("")
    };
    let length = Outcome::Kept(long.clone()).bytes();
    let answers = async |world: &World, caller: &str, number: usize| {
        let key = key(caller, &number.to_string());
        let turn = world.answers.turn(&key, request);
        let Turn::Yours(begun) = turn else {
            panic!("{turn:?}")
        };
        world.store.commit(begun).await.unwrap();
        let done = world.answers.keep(&key, long.clone());
        world.store.commit(done).await.unwrap();
    };
    // One that is not answered yet makes no room for others.
    assert_eq!(world.asks("a", "running", request).await, "yours");
    let fit = MOST_BYTES_PER_CALLER / length;
    for number in 0..=fit {
        answers(&world, "a", number).await;
    }
    assert_eq!(world.stored().await, 1 + fit);
    assert_eq!(world.asks("a", "running", request).await, "running");
    let turn =
        |world: &World, number: usize| world.answers.turn(&key("a", &number.to_string()), request);
    assert!(matches!(turn(&world, 1), Turn::Done(_)));
    assert!(matches!(turn(&world, 0), Turn::Yours(_)));

    // All together, also after a restart.
    for number in 0..=MOST_BYTES / length {
        answers(&world, &format!("c{number}"), 0).await;
    }
    let bytes = world.answers.answers().bytes;
    assert!(
        (MOST_BYTES - length..=MOST_BYTES).contains(&bytes),
        "{bytes}"
    );
    world.restart().await;
    assert_eq!(world.answers.answers().bytes, bytes);
    assert_eq!(world.stored().await, 1 + MOST_BYTES / length);
    // What is forgotten is not counted any more.
    world.hand.advance(REMEMBERED);
    assert_eq!(world.asks("b", "k", request).await, "yours");
    assert_eq!(world.answers.answers().bytes, 0);
}
