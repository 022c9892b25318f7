use http::Method;
use http_body_util::BodyExt;
use jiff::Timestamp;
use tempfile::TempDir;

use super::http2::echo;
use super::stub::*;
use crate::base::Clock;
use crate::model::{Service, UpstreamAddress, UpstreamProtocol};
use crate::tls::mint::{self, DevelopmentIdentity, Pair};
use crate::tls::{Acceptor, ClientAuth, ServerFiles};
use crate::upstream::{Fault, Phase, PoolLimits, SendError, Target};
use crate::wire::{Body, BodyError};

/// An authority, and a server that it has certified for `localhost` and `127.0.0.1`.
struct Site {
    directory: TempDir,
    identity: DevelopmentIdentity,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = mint::development_identity(directory.path(), &Clock::system()).unwrap();
        Self {
            directory,
            identity,
        }
    }

    fn acceptor(&self, client_auth: ClientAuth) -> Acceptor {
        let files = ServerFiles {
            certificate: self.identity.gateway.certificate.clone(),
            key: self.identity.gateway.key.clone(),
            client_ca: Some(self.identity.ca.certificate.clone()),
            client_auth,
        };
        Acceptor::open(files, Clock::system()).unwrap()
    }

    /// A certificate for the gateway to show.
    fn client(&self) -> Pair {
        let pair = Pair::named(self.directory.path(), "client");
        let clock = Clock::system();
        mint::issue_client_certificate(&self.identity.ca, &pair, "gateway", &[], &clock).unwrap();
        pair
    }

    fn service(&self, stub: &Stub) -> Service {
        let mut service = service(&[]);
        service.tls.ca = Some(self.identity.ca.certificate.clone());
        service.upstreams.push(UpstreamAddress {
            tls: true,
            authority: stub.address().parse().unwrap(),
            socket: None,
        });
        service
    }
}

fn bench(service: &Service, clock: Clock) -> Bench {
    let mut bench = Bench::with(&[nobody_at_all()], clock, PoolLimits::default());
    let target = Target::open(service);
    bench.target = target.unwrap().into();
    bench
}

fn plain_bench(service: &Service) -> Bench {
    bench(service, Clock::system())
}

fn nobody_at_all() -> String {
    "127.0.0.1:1".to_owned()
}

#[test]
fn a_connection_over_tls_serves_again() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let bench = plain_bench(&site.service(&stub));
        let call = bench.get();
        let acceptor = site.acceptor(ClientAuth::None);
        let mut peer = stub.accept_tls(&acceptor).await.unwrap();
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
        for _ in 0..3 {
            let call = bench.get();
            peer.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
        }
    });
}

/// What TLS has deciphered and nobody has read is not the next request's answer either: the kernel knows
/// nothing of it.
#[test]
fn a_second_answer_in_the_same_record_is_nobodys() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let acceptor = site.acceptor(ClientAuth::None);
        let head = |length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let poison = format!("{}poison", head(6));
        let mut kept = false;
        // As much as is read at once, so that the rest of the record stays with TLS.
        for size in [8 * 1024 - 1, 8 * 1024, 8 * 1024 + 1] {
            let bench = plain_bench(&site.service(&stub));
            let content = "x".repeat(size - head(size).len());
            let call = bench.get();
            let mut peer = stub.accept_tls(&acceptor).await.unwrap();
            let head = head(content.len());
            peer.serve(&format!("{head}{content}{poison}")).await;
            assert_eq!(text(call).await, content);
            kept |= bench.idle_connections() == 1;
            let call = bench.get();
            let mut fresh = stub.accept_tls(&acceptor).await.unwrap();
            fresh.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
            peer.closed().await;
        }
        assert!(kept, "no piece ended where an answer did");
    });
}

/// Sends to a server that `change` makes unacceptable.
fn check_refused(change: impl FnOnce(&mut Service) + 'static) {
    worker(async move {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let mut service = site.service(&stub);
        change(&mut service);
        let bench = plain_bench(&service);
        let call = bench.get();
        let acceptor = site.acceptor(ClientAuth::None);
        drop(stub.accept_tls(&acceptor).await);
        let error = refused(call).await;
        assert!(matches!(error, SendError::Tls { .. }), "{error:?}");
        assert!(error.is_unsent());
        let expected = format!(
            "can't speak TLS with service `orders` at `{}`",
            stub.address()
        );
        assert_eq!(error.to_string(), expected);
    });
}

#[test]
fn a_server_with_another_name_is_refused() {
    check_refused(|service| service.tls.server_name = Some("orders.internal".into()));
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let other = Site::new();
    let ca = other.identity.ca.certificate.clone();
    check_refused(move |service| service.tls.ca = Some(ca));
}

#[test]
fn the_expected_name_may_be_another_than_the_address() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let mut service = site.service(&stub);
        service.tls.server_name = Some("localhost".into());
        let bench = plain_bench(&service);
        let call = bench.get();
        let acceptor = site.acceptor(ClientAuth::None);
        let mut peer = stub.accept_tls(&acceptor).await.unwrap();
        peer.serve(HELLO).await;
        assert_eq!(text(call).await, "hello");
    });
}

#[test]
fn a_server_without_tls_hears_nothing_of_the_request() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let bench = plain_bench(&site.service(&stub));
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.say(HELLO).await;
        let heard = peer.closed().await;
        assert!(!heard.windows(6).any(|window| window == b"orders"));
        let error = refused(call).await;
        assert!(matches!(error, SendError::Tls { .. }), "{error:?}");
    });
}

#[test]
fn a_server_that_does_not_shake_hands_is_given_up() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let bench = bench(&site.service(&stub), clock);
        let call = bench.get();
        let mut peer = stub.accept().await;
        settle().await;
        hand.advance(PoolLimits::default().connect_timeout);
        let error = refused(call).await;
        let late = matches!(
            error,
            SendError::Timeout {
                phase: Phase::Connect,
                ..
            }
        );
        assert!(late, "{error:?}");
        peer.closed().await;
    });
}

#[test]
fn the_gateway_shows_its_certificate_where_it_has_one() {
    for shown in [true, false] {
        worker(async move {
            let (site, stub) = (Site::new(), Stub::bind().await);
            let mut service = site.service(&stub);
            let pair = site.client();
            service.tls.client = shown.then_some((pair.certificate, pair.key));
            let bench = plain_bench(&service);
            let call = bench.get();
            let acceptor = site.acceptor(ClientAuth::Required);
            match stub.accept_tls(&acceptor).await {
                Ok(mut peer) => {
                    assert!(shown);
                    peer.serve(HELLO).await;
                    assert_eq!(text(call).await, "hello");
                }
                Err(_) => {
                    assert!(!shown);
                    refused(call).await;
                }
            }
        });
    }
}

#[test]
fn http2_is_spoken_where_both_want_it() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let mut service = site.service(&stub);
        service.protocol = UpstreamProtocol::Auto;
        let bench = plain_bench(&service);
        let calls = [(); 4].map(|()| bench.call(request(Method::POST, Body::full("abc"))));
        let acceptor = site.acceptor(ClientAuth::None);
        let _server = echo(stub.accept_tls(&acceptor).await.unwrap());
        for call in calls {
            assert_eq!(text(call).await, "abc");
        }
        assert!(!stub.has_caller().await);
    });
}

#[test]
fn a_certificate_that_is_replaced_is_shown_on_new_connections() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let mut service = site.service(&stub);
        let pair = site.client();
        service.tls.client = Some((pair.certificate.clone(), pair.key.clone()));
        let bench = plain_bench(&service);
        let acceptor = site.acceptor(ClientAuth::Required);
        let shown = async || {
            let call = bench.get();
            let mut peer = stub.accept_tls(&acceptor).await.unwrap();
            peer.serve(HELLO).await;
            assert_eq!(text(call).await, "hello");
            let stream = peer.stream();
            (stream.peer().unwrap().thumbprint, peer)
        };
        let (before, _kept) = shown().await;
        assert!(!bench.target.refresh().unwrap());
        // Nothing has changed, so the connection serves on.
        bench.pool.sweep();
        assert_eq!(bench.idle_connections(), 1);
        site.client();
        assert!(bench.target.refresh().unwrap());
        bench.pool.sweep();
        assert_eq!(bench.idle_connections(), 0);
        let (after, _kept) = shown().await;
        assert_ne!(before, after);
        // A file that is broken leaves the last good one in place.
        std::fs::write(&pair.key, "broken").unwrap();
        assert!(bench.target.refresh().is_err());
        bench.pool.sweep();
        assert_eq!(bench.idle_connections(), 1);
    });
}

#[test]
fn a_body_cut_off_under_tls_does_not_look_complete() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let bench = plain_bench(&site.service(&stub));
        let call = bench.get();
        let acceptor = site.acceptor(ClientAuth::None);
        let mut peer = stub.accept_tls(&acceptor).await.unwrap();
        // Until the close, which an attacker on the path can fake, but not the TLS alert before it.
        peer.serve("HTTP/1.1 200 OK\r\n\r\nhel").await;
        drop(peer);
        let body = call.await.unwrap().unwrap().into_body();
        let error = body.collect().await.unwrap_err();
        assert!(matches!(error, BodyError::Transport(_)), "{error:?}");
    });
}

/// HTTP/2 would be agreed on for anything else; a WebSocket needs a connection that it can have to itself.
#[test]
fn a_websocket_is_asked_for_in_http1_where_http2_could_be_had() {
    worker(async {
        let (site, stub) = (Site::new(), Stub::bind().await);
        let service = Service {
            protocol: UpstreamProtocol::Auto,
            ..site.service(&stub)
        };
        let bench = bench(&service, Clock::system());
        let asked = async {
            let request = request(Method::GET, Body::empty());
            bench
                .pool
                .websocket(&bench.target, bench.pool.prepare(request))
                .await
        };
        let acceptor = site.acceptor(ClientAuth::None);
        let serving = async {
            let mut peer = stub.accept_tls(&acceptor).await.unwrap();
            let head = peer.head().await.to_ascii_lowercase();
            let key = head
                .lines()
                .find_map(|l| l.strip_prefix("sec-websocket-key: "));
            assert!(
                key.is_some() && head.contains("\r\nupgrade: websocket\r\n"),
                "{head}"
            );
            peer.say("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n")
                .await;
        };
        let (asked, ()) = tokio::join!(asked, serving);
        let error = asked.expect_err("an accept that is missing");
        let fault = matches!(
            error,
            SendError::Protocol {
                fault: Fault::Handshake,
                ..
            }
        );
        assert!(fault, "{error:?}");
    });
}
