use http::Method;

use super::stub::*;
use crate::base::Clock;
use crate::upstream::testing::request_arrives;
use crate::upstream::{ConnectError, PoolLimits, SendError};
use crate::wire::Body;

#[test]
fn a_connection_that_died_unused_is_passed_over() {
    for method in [Method::GET, Method::POST] {
        worker(async move {
            let stub = Stub::bind().await;
            let bench = Bench::new(&[stub.address()]);
            drop(bench.warm(&stub).await);
            request_arrives().await;
            let call = bench.call(request(method, Body::full("abc")));
            let mut peer = stub.accept().await;
            assert!(peer.head().await.contains("content-length: 3\r\n"));
            assert_eq!(peer.until("abc").await, "abc");
            peer.say(HELLO).await;
            assert_eq!(text(call).await, "hello");
        });
    }
}

#[test]
fn a_request_that_comes_back_unsent_goes_out_once_more() {
    for method in [Method::GET, Method::POST] {
        worker(async move {
            let stub = Stub::bind().await;
            let bench = Bench::new(&[stub.address()]);
            let mut dead = bench.warm(&stub).await;
            // No task runs between this and the sending.
            bench.poison();
            let request = request(method, Body::full("abc"));
            let serve = async {
                let mut peer = stub.accept().await;
                peer.head().await;
                assert_eq!(peer.until("abc").await, "abc");
                peer.say(HELLO).await;
                peer
            };
            let (answer, _peer) = tokio::join!(
                bench.pool.send(&bench.target, bench.pool.prepare(request)),
                serve
            );
            assert_eq!(answer.unwrap().status(), 200);
            assert!(dead.closed().await.is_empty());
        });
    }
}

#[test]
fn a_request_that_was_sent_is_never_sent_again() {
    for method in [Method::GET, Method::POST] {
        worker(async move {
            let stub = Stub::bind().await;
            let bench = Bench::new(&[stub.address()]);
            let mut peer = bench.warm(&stub).await;
            let call = bench.call(request(method, Body::empty()));
            peer.head().await;
            drop(peer);
            let error = refused(call).await;
            assert!(matches!(error, SendError::BrokeOff { .. }), "{error:?}");
            assert!(!error.is_unsent());
            assert!(!stub.has_caller().await);
        });
    }
}

#[test]
fn an_address_that_refuses_is_passed_over_for_the_next() {
    worker(async {
        let stub = Stub::bind().await;
        // Which address is tried first is chance.
        for _ in 0..8 {
            let bench = Bench::new(&[nobody().await, stub.address(), nobody().await]);
            let call = bench.call(request(Method::POST, Body::full("abc")));
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.until("abc").await;
            peer.say(HELLO).await;
            assert_eq!(text(call).await, "hello");
        }
    });
}

#[test]
fn where_all_refuse_the_error_says_who() {
    worker(async {
        let address = nobody().await;
        let error = refused(Bench::new(std::slice::from_ref(&address)).get()).await;
        assert_eq!(
            error.to_string(),
            format!("can't connect to service `orders` at `{address}`")
        );
        assert!(error.is_unsent() && !error.is_timeout());
        let refusal = matches!(
            &error,
            SendError::Connect { source: ConnectError::Socket(source), .. }
                if source.kind() == std::io::ErrorKind::ConnectionRefused
        );
        assert!(refusal, "{error:?}");
    });
}

#[test]
fn files_that_run_out_are_not_held_against_an_address() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let files = getrlimit(Resource::Nofile);
        let none = Rlimit {
            current: Some(0),
            ..files
        };
        setrlimit(Resource::Nofile, none).unwrap();
        let error = refused(bench.get()).await;
        setrlimit(Resource::Nofile, files).unwrap();
        let found = matches!(error, SendError::NoDescriptor { .. });
        assert!(found && error.is_unsent(), "{error:?}");
        assert!(bench.lanes().iter().all(|lane| !lane.is_failing()));
        bench.warm(&stub).await;
    });
}

#[test]
fn the_less_busy_address_is_chosen() {
    worker(async {
        let (one, two) = (Stub::bind().await, Stub::bind().await);
        let bench = Bench::new(&[one.address(), two.address()]);
        let first = bench.get();
        let (mut busy, other) = tokio::select! {
            peer = one.accept() => (peer, &two),
            peer = two.accept() => (peer, &one),
        };
        busy.head().await;
        let mut free = {
            let call = bench.get();
            let mut peer = other.accept().await;
            peer.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
            peer
        };
        for _ in 0..8 {
            let call = bench.get();
            free.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
        }
        busy.say(HELLO).await;
        assert_eq!(text(first).await, "hello");
    });
}

fn narrow(waiting: usize) -> PoolLimits {
    PoolLimits {
        connections_per_upstream: 1,
        waiting_per_upstream: waiting,
        ..PoolLimits::default()
    }
}

#[test]
fn more_than_may_wait_are_turned_away() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::with(&[stub.address()], Clock::system(), narrow(0));
        let _running = bench.get();
        let mut peer = stub.accept().await;
        peer.head().await;
        let error = refused(bench.get()).await;
        assert!(matches!(error, SendError::Overloaded { .. }), "{error:?}");
        assert!(error.is_unsent());
    });
}

#[test]
fn one_that_waits_goes_on_when_a_place_comes_free() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::with(&[stub.address()], Clock::system(), narrow(1));
        let (first, second) = (bench.get(), bench.get());
        let mut peer = stub.accept().await;
        peer.serve(HELLO).await;
        settle().await;
        // The place is free when the body has been read, not before.
        assert!(!second.is_finished());
        assert_eq!(text(first).await, "hello");
        peer.serve(HELLO).await;
        assert_eq!(text(second).await, "hello");
        assert!(!stub.has_caller().await);
    });
}

#[test]
fn a_full_address_is_passed_over_for_a_free_one() {
    worker(async {
        let (one, two) = (Stub::bind().await, Stub::bind().await);
        let bench = Bench::with(&[one.address(), two.address()], Clock::system(), narrow(0));
        let calls = [bench.get(), bench.get()];
        one.accept().await.serve(HELLO).await;
        two.accept().await.serve(HELLO).await;
        for call in calls {
            assert_eq!(text(call).await, "hello");
        }
    });
}
