use http::Method;
use http_body_util::BodyExt;
use jiff::Timestamp;

use super::stub::*;
use crate::base::Clock;
use crate::upstream::testing::request_arrives;
use crate::upstream::{PoolLimits, Target};
use crate::wire::Body;

/// Whether a connection serves again after `answer` to a `method` request.
fn check(method: Method, answer: &'static str, body: &'static str, again: bool) {
    worker(async move {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.call(request(method, Body::empty()));
        let mut peer = stub.accept().await;
        peer.serve(answer).await;
        if answer.contains("x-until: close") {
            drop(peer);
            assert_eq!(text(call).await, body, "{answer:?}");
            assert_eq!(bench.idle_connections(), 0, "{answer:?}");
            return;
        }
        assert_eq!(text(call).await, body, "{answer:?}");
        let call = bench.get();
        if again {
            peer.serve(HELLO).await;
        } else {
            assert!(peer.closed().await.is_empty(), "{answer:?}");
            stub.accept().await.serve(HELLO).await;
        }
        assert_eq!(text(call).await, "hello", "{answer:?}");
    });
}

#[test]
fn a_clean_exchange_leaves_a_connection_for_the_next() {
    let get = Method::GET;
    check(get.clone(), HELLO, "hello", true);
    check(
        get.clone(),
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "",
        true,
    );
    check(
        get.clone(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        "hello",
        true,
    );
    check(get.clone(), "HTTP/1.1 204 No Content\r\n\r\n", "", true);
    check(
        get.clone(),
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        "",
        true,
    );
    check(
        get,
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "ok",
        true,
    );
    check(
        Method::HEAD,
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "",
        true,
    );
}

#[test]
fn a_connection_that_may_hold_more_is_not_used_again() {
    let get = Method::GET;
    check(
        get.clone(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        "hello",
        false,
    );
    check(
        get.clone(),
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello",
        "hello",
        false,
    );
    check(
        get.clone(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
        "hello",
        false,
    );
    check(
        get.clone(),
        "HTTP/1.1 204 No Content\r\n\r\n0\r\n\r\n",
        "",
        false,
    );
    check(
        get.clone(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0\r\n\r\n",
        "ok",
        false,
    );
    check(
        Method::HEAD,
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "",
        false,
    );
    check(
        get,
        "HTTP/1.1 200 OK\r\nx-until: close\r\n\r\nhello",
        "hello",
        false,
    );
}

#[test]
fn bytes_that_come_while_a_connection_is_idle_end_it() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let mut old = bench.warm(&stub).await;
        old.say("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
            .await;
        request_arrives().await;
        let call = bench.get();
        let mut new = stub.accept().await;
        new.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
        assert!(old.closed().await.is_empty());
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_costs_the_connection() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let (client, body) = pipe();
        let call = bench.call(request(Method::POST, body));
        client.send(piece("abc")).await.unwrap();
        let mut peer = stub.accept().await;
        peer.head().await;
        peer.until("abc\r\n").await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
            .await;
        let answer = call.await.unwrap().unwrap();
        // That the request ends after all does not make the answer less early.
        drop(client);
        peer.until("0\r\n\r\n").await;
        peer.say("lo").await;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello");
        peer.closed().await;
        assert_eq!(bench.idle_connections(), 0);
    });
}

#[test]
fn an_early_answer_without_a_body_costs_the_connection() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let (_client, body) = pipe();
        let call = bench.call(request(Method::POST, body));
        let mut peer = stub.accept().await;
        peer.serve("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
            .await;
        assert_eq!(call.await.unwrap().unwrap().status(), 413);
        assert!(peer.closed().await.is_empty());
    });
}

#[test]
fn a_body_dropped_early_closes_the_connection() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
            .await;
        let mut answer = call.await.unwrap().unwrap();
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "hel");
        drop(answer);
        peer.closed().await;
    });
}

#[test]
fn a_body_dropped_with_its_end_in_sight_is_not_drained() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.serve(HELLO).await;
        drop(call.await.unwrap().unwrap());
        peer.closed().await;
        assert_eq!(bench.idle_connections(), 0);
    });
}

#[test]
fn a_call_given_up_closes_its_connection_and_frees_its_place() {
    worker(async {
        let stub = Stub::bind().await;
        let limits = PoolLimits {
            connections_per_upstream: 1,
            ..PoolLimits::default()
        };
        let bench = Bench::with(&[stub.address()], Clock::system(), limits);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.head().await;
        call.abort();
        assert!(peer.closed().await.is_empty());
        bench.warm(&stub).await;
    });
}

#[test]
fn unused_connections_are_closed_after_their_time() {
    worker(async {
        let stub = Stub::bind().await;
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let limits = PoolLimits::default();
        let bench = Bench::with(&[stub.address()], clock, limits);
        // By the sweep.
        let mut peer = bench.warm(&stub).await;
        bench.pool.sweep();
        assert_eq!(bench.idle_connections(), 1);
        hand.advance(limits.idle_timeout);
        bench.pool.sweep();
        assert!(peer.closed().await.is_empty());
        // By the next request.
        let mut peer = bench.warm(&stub).await;
        hand.advance(limits.idle_timeout);
        bench.warm(&stub).await;
        assert!(peer.closed().await.is_empty());
    });
}

#[test]
fn only_so_many_unused_connections_are_kept() {
    worker(async {
        let stub = Stub::bind().await;
        let limits = PoolLimits {
            idle_per_upstream: 1,
            ..PoolLimits::default()
        };
        let bench = Bench::with(&[stub.address()], Clock::system(), limits);
        let calls = [bench.get(), bench.get()];
        let mut peers = [stub.accept().await, stub.accept().await];
        for peer in &mut peers {
            peer.serve(HELLO).await;
        }
        for call in calls {
            assert_eq!(text(call).await, "hello");
        }
        assert_eq!(bench.idle_connections(), 1);
    });
}

#[test]
fn connections_outlive_a_reload_that_changes_nothing_of_theirs() {
    worker(async {
        let stub = Stub::bind().await;
        let mut bench = Bench::new(&[stub.address()]);
        let mut peer = bench.warm(&stub).await;
        let mut changed = service(&[stub.address()]);
        changed.timeouts.response = Some(std::time::Duration::from_secs(9));
        bench.target = Target::open(&changed).unwrap().into();
        let key = *bench.target.key();
        bench.pool.retain(|target| *target.key() == key);
        let call = bench.get();
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
    });
}

#[test]
fn connections_of_a_vanished_target_end_with_their_exchange() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let calls = [bench.get(), bench.get(), bench.get()];
        let [mut unused, mut short, mut long] = [
            stub.accept().await,
            stub.accept().await,
            stub.accept().await,
        ];
        let [first, second, third] = calls;
        unused.serve(HELLO).await;
        assert_eq!(text(first).await, "hello");
        short.head().await;
        long.head().await;
        bench.pool.retain(|_| false);
        assert!(unused.closed().await.is_empty());
        short.say(HELLO).await;
        assert_eq!(text(second).await, "hello");
        // Now, not when the other one ends.
        assert!(short.closed().await.is_empty());
        long.say(HELLO).await;
        assert_eq!(text(third).await, "hello");
        assert!(long.closed().await.is_empty());
    });
}
