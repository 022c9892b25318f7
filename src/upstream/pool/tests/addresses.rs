//! Several addresses: which one serves, names that move, sockets in the file system, health checks.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use tokio::net::UnixListener;

use super::stub::*;
use crate::base::{Clock, ManualClock};
use crate::model::{HealthCheck, Service, UpstreamAddress};
use crate::upstream::resolve::Resolver;
use crate::upstream::{Common, ConnectError, Pool, PoolLimits, SendError, Target};
use crate::wire::Body;

const FAILED: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// A name server that a test writes.
#[derive(Clone, Default)]
struct Names {
    known: Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn set(&self, name: &str, stubs: &[&Stub]) {
        let addresses = stubs.iter().map(|stub| stub.address().parse().unwrap());
        self.set_to(name, &addresses.collect::<Vec<_>>());
    }

    fn set_to(&self, name: &str, addresses: &[SocketAddr]) {
        let mut known = self.known.lock().unwrap();
        known.insert(name.to_owned(), addresses.to_vec());
    }

    fn forget(&self) {
        self.known.lock().unwrap().clear();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn common(&self) -> Arc<Common> {
        let (known, asked) = (Arc::clone(&self.known), Arc::clone(&self.asked));
        let mut common = Arc::into_inner(common()).unwrap();
        common.resolver = Resolver::fixed(move |host, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            let known = known.lock().unwrap();
            let missing = || io::Error::other("no such name");
            known.get(host).cloned().ok_or_else(missing)
        });
        Arc::new(common)
    }
}

fn manual(service: &Service, common: Arc<Common>) -> (Bench, ManualClock) {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    hand.advance(Duration::from_hours(1));
    let bench = Bench {
        pool: Rc::new(Pool::new(clock, PoolLimits::default(), common)),
        target: Arc::new(Target::open(service).unwrap()),
    };
    (bench, hand)
}

fn named() -> Service {
    service(&["orders.internal:9000".to_owned()])
}

#[test]
fn all_addresses_of_a_name_serve() {
    worker(async {
        let (one, two) = (Stub::bind().await, Stub::bind().await);
        let names = Names::default();
        names.set("orders.internal", &[&one, &two]);
        let (bench, _hand) = manual(&named(), names.common());
        // Each is busy with one, so the next has to go to the other.
        let calls = [bench.get(), bench.get()];
        one.accept().await.serve(HELLO).await;
        two.accept().await.serve(HELLO).await;
        for call in calls {
            assert_eq!(text(call).await, "hello");
        }
        assert_eq!(names.asked(), 1);
    });
}

#[test]
fn no_request_waits_for_a_name_that_was_known_once() {
    worker(async {
        let stub = Stub::bind().await;
        let names = Names::default();
        names.set("orders.internal", &[&stub]);
        let (bench, hand) = manual(&named(), names.common());
        let mut peer = bench.warm(&stub).await;
        let refresh = PoolLimits::default().resolve_interval;
        names.forget();
        for round in 1..4 {
            hand.advance(refresh);
            let call = bench.get();
            peer.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
            assert_eq!(names.asked(), round);
            // The sweep asks, fails, and what was known stays.
            bench.pool.sweep();
            settle().await;
            assert_eq!(names.asked(), round + 1);
            // Connections that grow too old are not what this is about.
            if bench.idle_connections() == 0 {
                peer = bench.warm(&stub).await;
            }
        }
    });
}

#[test]
fn an_address_that_a_name_no_longer_has_is_let_go() {
    worker(async {
        let (old, new) = (Stub::bind().await, Stub::bind().await);
        let names = Names::default();
        names.set("orders.internal", &[&old]);
        let (bench, hand) = manual(&named(), names.common());
        let mut idle = bench.warm(&old).await;
        let running = {
            let first = bench.get();
            idle.head().await;
            first
        };
        names.set("orders.internal", &[&new]);
        hand.advance(PoolLimits::default().resolve_interval);
        bench.pool.sweep();
        settle().await;
        // What runs there goes on to its end; its connection is not kept.
        idle.say(HELLO).await;
        assert_eq!(text(running).await, "hello");
        assert!(idle.closed().await.is_empty());
        bench.warm(&new).await;
        assert!(!old.has_caller().await);
    });
}

#[test]
fn a_name_that_moves_to_a_forbidden_address_keeps_the_old_one() {
    worker(async {
        let stub = Stub::bind().await;
        let names = Names::default();
        names.set("orders.internal", &[&stub]);
        let (bench, hand) = manual(&named(), names.common());
        let mut peer = bench.warm(&stub).await;
        names.set_to("orders.internal", &["169.254.169.254:80".parse().unwrap()]);
        hand.advance(PoolLimits::default().resolve_interval);
        bench.pool.sweep();
        settle().await;
        let call = bench.get();
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
    });
}

#[test]
fn a_name_that_never_led_anywhere_is_said_to_and_not_asked_for_each_request() {
    worker(async {
        let names = Names::default();
        let (bench, hand) = manual(&named(), names.common());
        for _ in 0..5 {
            let error = refused(bench.get()).await;
            let unknown = matches!(
                &error,
                SendError::Connect {
                    source: ConnectError::Resolve(_),
                    ..
                }
            );
            assert!(unknown && error.is_unsent(), "{error:?}");
        }
        assert_eq!(names.asked(), 1);
        let stub = Stub::bind().await;
        names.set("orders.internal", &[&stub]);
        hand.advance(Duration::from_secs(2));
        bench.warm(&stub).await;
    });
}

#[test]
fn an_address_that_answers_with_errors_is_left_out_and_tried_again() {
    worker(async {
        let (bad, good) = (Stub::bind().await, Stub::bind().await);
        let addresses = [bad.address(), good.address()];
        let (bench, hand) = manual(&service(&addresses), common());
        // An exchange that goes on at the good one sends all others to the bad one.
        let held = async || {
            let calls = [bench.get(), bench.get()];
            let (mut one, mut other) = (bad.accept().await, good.accept().await);
            one.serve(FAILED).await;
            other.head().await;
            while bench.lanes()[0].in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            (calls, one, other)
        };
        let ([first, second], mut failing, mut holding) = held().await;
        for _ in 0..4 {
            let call = bench.get();
            failing.serve(FAILED).await;
            assert_eq!(call.await.unwrap().unwrap().status(), 503);
        }
        let lanes = bench.lanes();
        let open = || {
            lanes
                .iter()
                .filter(|lane| lane.is_open(hand_now(&bench)))
                .count()
        };
        assert_eq!(open(), 1);
        // Now the good one is chosen, although it is the busier one.
        for _ in 0..4 {
            let call = bench.get();
            let mut peer = good.accept().await;
            peer.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
            // Another connection next time.
            drop(peer);
            settle().await;
        }
        hand.advance(Duration::from_secs(5));
        // One exchange shows whether it is back; the next comes only after that.
        let probe = bench.get();
        failing.head().await;
        assert_eq!(open(), 1);
        failing.say(HELLO).await;
        assert_eq!(text(probe).await, "hello");
        assert_eq!(open(), 2);
        holding.say(HELLO).await;
        for call in [first, second] {
            assert!(call.await.unwrap().is_ok());
        }
    });
}

fn hand_now(bench: &Bench) -> crate::base::BootInstant {
    bench.pool.clock.now()
}

#[test]
fn where_all_addresses_are_out_they_are_used_all_the_same() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, _hand) = manual(&service(&[stub.address()]), common());
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.serve(FAILED).await;
        assert_eq!(call.await.unwrap().unwrap().status(), 503);
        for _ in 0..12 {
            let call = bench.get();
            peer.serve(FAILED).await;
            assert_eq!(call.await.unwrap().unwrap().status(), 503);
        }
        assert!(
            bench
                .lanes()
                .iter()
                .all(|lane| !lane.is_open(hand_now(&bench)))
        );
        let call = bench.get();
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
    });
}

#[test]
fn a_socket_in_the_file_system_is_an_upstream_like_any_other() {
    worker(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut service = service(&[]);
        service.upstreams.push(UpstreamAddress {
            tls: false,
            authority: "localhost".parse().unwrap(),
            socket: Some(path.clone()),
        });
        let (bench, _hand) = manual(&service, common());
        let call = bench.call(request(Method::POST, Body::full("abc")));
        let mut peer = Peer::new(listener.accept().await.unwrap().0);
        let head = peer.head().await;
        assert!(head.contains("host: orders.example\r\n"), "{head}");
        assert_eq!(peer.until("abc").await, "abc");
        peer.say(HELLO).await;
        assert_eq!(text(call).await, "hello");
        // It is kept, and looked at before it serves again.
        let call = bench.get();
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
        drop((peer, listener));
        std::fs::remove_file(&path).unwrap();
        let error = refused(bench.get()).await;
        let expected = format!(
            "can't connect to service `orders` at `unix:{}`",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    });
}

fn checked(stubs: &[&Stub]) -> Service {
    let addresses: Vec<_> = stubs.iter().map(|stub| stub.address()).collect();
    let mut service = service(&addresses);
    service.health = Some(HealthCheck {
        path: "/healthz?deep=1".parse().unwrap(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
    });
    service
}

#[test]
fn checks_put_an_address_out_and_bring_it_back() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, hand) = manual(&checked(&[&stub]), common());
        bench.pool.attend(&bench.target);
        for (answer, open) in [
            (HELLO, true),
            (FAILED, true),
            (FAILED, false),
            (HELLO, true),
        ] {
            bench.pool.sweep();
            let mut peer = stub.accept().await;
            let head = peer.serve(answer).await;
            assert!(
                head.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"),
                "{head}"
            );
            // Its connection is for the check alone.
            peer.closed().await;
            settle().await;
            assert_eq!(bench.lanes()[0].is_open(hand_now(&bench)), open, "{answer}");
            // Not before it is due.
            bench.pool.sweep();
            assert!(!stub.has_caller().await);
            hand.advance(Duration::from_secs(10));
        }
    });
}

#[test]
fn a_check_that_gets_no_answer_has_failed() {
    worker(async {
        let stub = Stub::bind().await;
        let (bench, hand) = manual(&checked(&[&stub]), common());
        bench.pool.attend(&bench.target);
        for open in [true, false] {
            bench.pool.sweep();
            let mut peer = stub.accept().await;
            peer.head().await;
            hand.advance(Duration::from_secs(2));
            peer.closed().await;
            settle().await;
            assert_eq!(bench.lanes()[0].is_open(hand_now(&bench)), open);
            hand.advance(Duration::from_secs(8));
        }
    });
}

#[test]
fn workers_share_their_checks() {
    worker(async {
        let stub = Stub::bind().await;
        let common = common();
        let service = checked(&[&stub]);
        let workers = [(); 3].map(|()| manual(&service, Arc::clone(&common)).0);
        for bench in &workers {
            bench.pool.attend(&bench.target);
            bench.pool.sweep();
        }
        stub.accept().await.serve(HELLO).await;
        assert!(!stub.has_caller().await);
    });
}
