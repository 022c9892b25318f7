//! A grant ends under many streams at once: all of its own stop, and of the others not a byte is lost.
//!
//! `PORTCULLIS_TEST_STREAMS` says how many there are. How long the cut took is printed.

mod live;

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Response;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::harness::{Call, Client, Feed, Gateway, extended_client, pipe, run_for, within};

/// How many streams share an HTTP/2 connection.
const SHARED: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Of gRPC: over HTTP/2 only.
    Call,
    Download,
    Events,
    Socket,
    Upload,
}

const KINDS: [Kind; 5] = [
    Kind::Download,
    Kind::Events,
    Kind::Upload,
    Kind::Socket,
    Kind::Call,
];

/// One of the many.
#[derive(Clone, Copy, Debug)]
struct Stream {
    number: usize,
    kind: Kind,
    http2: bool,
    /// Whether its grant ends.
    ends: bool,
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Broken,
    /// In words: a refusal, or the close of a WebSocket.
    Refused,
    Whole,
}

/// A stream that is over.
#[derive(Debug)]
struct Ended {
    stream: Stream,
    how: How,
    /// What arrived of a download, and what was taken of an upload.
    bytes: Vec<u8>,
    last: Instant,
    end: Instant,
}

/// What all streams share.
struct Stage {
    gate: Gateway,
    /// Pieces that have moved, of streams whose grant ends and of the others.
    moved: [AtomicUsize; 2],
    /// WebSockets and calls that have begun: their services do not count them.
    there: AtomicUsize,
    pace: Duration,
    finish: watch::Sender<bool>,
}

/// A connection that so many streams share.
struct Shared<C>(Option<(C, usize)>);

impl<C> Default for Shared<C> {
    fn default() -> Self {
        Self(None)
    }
}

impl<C> Shared<C> {
    /// The connection once more, if there is room on it.
    fn another(&mut self, another: impl Fn(&C) -> C) -> Option<C> {
        let (client, used) = self.0.as_mut().filter(|(_, used)| *used < SHARED)?;
        *used += 1;
        Some(another(client))
    }

    /// A fresh one, for this stream and the next.
    fn first(&mut self, client: C, another: impl Fn(&C) -> C) -> C {
        let first = another(&client);
        self.0 = Some((client, 1));
        first
    }
}

impl Stream {
    /// The streams take turns in everything, so that each kind is there in each form.
    fn new(number: usize) -> Self {
        let kind = KINDS[number / 2 % KINDS.len()];
        let half = number / (2 * KINDS.len()) % 2 == 1;
        Self {
            number,
            kind,
            http2: half || kind == Kind::Call,
            ends: number.is_multiple_of(2),
        }
    }

    fn call<'g>(&self, gate: &'g Gateway, token: &str) -> Call<'g> {
        let number = self.number;
        let call = match self.kind {
            Kind::Download => gate.call("GET", &format!("/shop/data/{number}")),
            Kind::Events => gate.call("GET", &format!("/shop/stream?{number}")),
            Kind::Upload => gate.call("PUT", &format!("/shop/data/{number}")),
            Kind::Call | Kind::Socket => panic!("{self:?} is no request with a body or an answer"),
        };
        call.bearer(token)
    }
}

/// A piece of any stream's body: each differs from the one before.
fn piece(number: usize) -> Bytes {
    let filler = char::from(b'a' + (number % 26) as u8)
        .to_string()
        .repeat(200);
    Bytes::from(format!("data: {number:08} {filler}\n\n"))
}

/// The body of so many pieces.
fn pieces(count: usize) -> Vec<u8> {
    (0..count).flat_map(piece).collect()
}

/// Feeds a body piece by piece until it is to finish or nobody reads any more; returns how many it fed.
async fn feeds(
    feed: Feed,
    pace: Duration,
    mut finish: watch::Receiver<bool>,
    each: impl Fn(),
) -> usize {
    let mut count = 0;
    while feed.offer(piece(count)).await {
        count += 1;
        each();
        let over = tokio::select! {
            () = sleep(pace) => false,
            over = finish.wait_for(|over| *over) => over.is_ok(),
        };
        if over {
            break;
        }
    }
    count
}

impl Stage {
    async fn start(streams: usize) -> Arc<Self> {
        // As many pieces a second as a busy machine can carry, however many share them.
        let pace = Duration::from_micros(200) * streams as u32;
        let gate = live::plan(pace).await.start().await;
        let stage = Arc::new(Self {
            gate,
            moved: Default::default(),
            there: AtomicUsize::new(0),
            pace,
            finish: watch::Sender::new(false),
        });
        let (pace, finish) = (stage.pace, stage.finish.subscribe());
        stage.gate.upstream.answer(move |request| {
            let (feed, body) = pipe();
            let mut response = Response::builder();
            if request.target.starts_with("/shop/stream") {
                response = response.header("content-type", "text/event-stream");
            }
            if request.method == "GET" {
                let finish = finish.clone();
                tokio::spawn(async move { feeds(feed, pace, finish, || ()).await });
            }
            response.body(body).unwrap()
        });
        stage
    }

    fn moves(&self, stream: Stream) {
        self.moved[usize::from(stream.ends)].fetch_add(1, Ordering::SeqCst);
    }

    fn is_there(&self) {
        self.there.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until so many more pieces have moved of streams whose grant ends, or of the others.
    async fn moves_on(&self, ends: bool, pieces: usize) {
        let moved = &self.moved[usize::from(ends)];
        let wanted = moved.load(Ordering::SeqCst) + pieces;
        within("the streams move on", async {
            while moved.load(Ordering::SeqCst) < wanted {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Runs a stream to its end.
    async fn plays(&self, stream: Stream, mut client: Client, token: String) -> Ended {
        if stream.kind == Kind::Upload {
            return self.uploads(stream, client, &token).await;
        }
        let mut opened = stream.call(&self.gate, &token).open_on(&mut client).await;
        assert_eq!(opened.status(), 200, "{stream:?}");
        let (mut bytes, mut last) = (Vec::new(), Instant::now());
        let how = loop {
            match opened.piece().await {
                Some(Ok(piece)) => {
                    bytes.extend_from_slice(&piece);
                    last = Instant::now();
                    self.moves(stream);
                }
                Some(Err(_)) => break How::Broken,
                None => break How::Whole,
            }
        };
        let end = Instant::now();
        Ended {
            stream,
            how,
            bytes,
            last,
            end,
        }
    }

    async fn uploads(&self, stream: Stream, mut client: Client, token: &str) -> Ended {
        let (feed, body) = pipe();
        let call = stream.call(&self.gate, token).body(body);
        let feeding = feeds(feed, self.pace, self.finish.subscribe(), || {
            self.moves(stream)
        });
        let (fed, (how, end)) = tokio::join!(feeding, async {
            let how = match call.try_open_on(&mut client).await {
                Ok(opened) if opened.status() == 200 => How::Whole,
                Ok(opened) => {
                    assert_eq!(opened.status(), 403, "{stream:?}");
                    How::Refused
                }
                Err(_) => How::Broken,
            };
            (how, Instant::now())
        });
        let bytes = pieces(fed);
        Ended {
            stream,
            how,
            bytes,
            last: end,
            end,
        }
    }
}

#[test]
fn a_grant_ends_under_many_streams_and_only_its_own_stop() {
    let asked = env::var("PORTCULLIS_TEST_STREAMS").ok();
    let count = asked.map_or(60, |text| text.parse().expect("a number"));
    run_for(Duration::from_secs(120), async {
        let stage = Stage::start(count).await;
        let gate = &stage.gate;
        let (work, other) = (
            gate.agent("bot").works("work").await,
            gate.agent("rival").works("work").await,
        );
        let [mut ending, mut going_on] = [JoinSet::new(), JoinSet::new()];
        let (mut shared, mut raw) = (Shared::default(), Shared::default());
        for stream in (0..count).map(Stream::new) {
            let (set, work) = if stream.ends {
                (&mut ending, &work)
            } else {
                (&mut going_on, &other)
            };
            let (stage, token) = (stage.clone(), work.token.clone());
            match (stream.kind, stream.http2) {
                (Kind::Socket, false) => {
                    set.spawn(async move { stage.talks(stream, token).await });
                }
                (Kind::Call | Kind::Socket, _) => {
                    let client = match raw.another(SendRequest::clone) {
                        Some(client) => client,
                        None => raw.first(extended_client(gate).await, SendRequest::clone),
                    };
                    set.spawn(async move {
                        match stream.kind {
                            Kind::Call => stage.calls(stream, client, token).await,
                            _ => stage.talks_over_http2(stream, client, token).await,
                        }
                    });
                }
                (_, false) => {
                    let client = Client::http1(gate).await;
                    set.spawn(async move { stage.plays(stream, client, token).await });
                }
                (_, true) => {
                    let client = match shared.another(Client::another) {
                        Some(client) => client,
                        None => shared.first(Client::http2(gate).await, Client::another),
                    };
                    set.spawn(async move { stage.plays(stream, client, token).await });
                }
            }
        }
        within("all streams are there", async {
            while gate.upstream.count() + stage.there.load(Ordering::SeqCst) < count {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        tokio::join!(stage.moves_on(true, count), stage.moves_on(false, count));

        let path = format!("/v1/grants/{}/revoke", work.grant);
        let revoke = gate.control("POST", &path).bearer(&gate.operator());
        let begun = Instant::now();
        let closed = revoke.send().await.expect(200).json();
        let answered = begun.elapsed();
        let mut cut = Vec::new();
        while let Some(ended) = within("all of the grant's streams stop", ending.join_next()).await
        {
            cut.push(ended.unwrap());
        }
        assert_eq!(closed["streams_cut"], cut.len(), "{closed}");
        stage.moves_on(false, count).await;
        assert!(going_on.try_join_next().is_none(), "the others go on");
        stage.finish.send_replace(true);
        let mut whole = Vec::new();
        while let Some(ended) =
            within("the others come to their own end", going_on.join_next()).await
        {
            whole.push(ended.unwrap());
        }
        assert_eq!((cut.len(), whole.len()), (count.div_ceil(2), count / 2));

        let arrived = gate.upstream.recorded();
        let uploads = arrived.iter().filter(|one| one.method == "PUT");
        let uploads: BTreeMap<_, _> = uploads.map(|one| (one.target.clone(), &one.body)).collect();
        let arrived = |ended: &Ended| uploads.get(&format!("/shop/data/{}", ended.stream.number));
        for ended in &cut {
            assert_ne!(ended.how, How::Whole, "{:?}", ended.stream);
            match ended.stream.kind {
                Kind::Upload => assert!(arrived(ended).is_none(), "{:?} looks whole", ended.stream),
                Kind::Call | Kind::Download | Kind::Events => is_beginning(ended),
                Kind::Socket => {
                    assert_eq!(ended.how, How::Refused, "{:?} is told", ended.stream);
                    is_beginning(ended);
                }
            }
        }
        for ended in &whole {
            assert_eq!(ended.how, How::Whole, "{:?}", ended.stream);
            is_beginning(ended);
            assert_eq!(ended.bytes.len() % piece(0).len(), 0, "{:?}", ended.stream);
            if ended.stream.kind == Kind::Upload {
                assert!(
                    arrived(ended).is_some_and(|body| **body == ended.bytes),
                    "{:?}",
                    ended.stream
                );
            }
        }
        println!(
            "{count} streams, {} cut; by the gateway's own account the last was gone after {} µs; the \
             revocation was answered after {answered:.2?}",
            cut.len(),
            closed["micros"]
        );
        let after = |of: fn(&Ended) -> Instant, kinds: &[Kind]| {
            let those = cut
                .iter()
                .filter(|ended| kinds.contains(&ended.stream.kind));
            let mut times: Vec<_> = those
                .map(|ended| of(ended).saturating_duration_since(begun))
                .collect();
            times.sort_unstable();
            times
        };
        for kind in KINDS {
            let of = |all: &[Ended]| all.iter().filter(|one| one.stream.kind == kind).count();
            println!("{kind:?}: {} cut, {} whole", of(&cut), of(&whole));
        }
        let down = [Kind::Call, Kind::Download, Kind::Events, Kind::Socket];
        print("to the last byte", &after(|ended| ended.last, &down));
        print(
            "to the end of any of these",
            &after(|ended| ended.end, &down),
        );
        for kind in down {
            let what = format!("to the end of one of kind {kind:?}");
            print(&what, &after(|ended| ended.end, &[kind]));
        }
        print(
            "to the answer to an upload",
            &after(|ended| ended.end, &[Kind::Upload]),
        );
    });
}

/// Asserts that what arrived is what was sent, as far as it came.
#[track_caller]
fn is_beginning(ended: &Ended) {
    let sent = pieces(ended.bytes.len().div_ceil(piece(0).len()));
    assert!(sent.starts_with(&ended.bytes), "{:?}", ended.stream);
    assert!(!ended.bytes.is_empty(), "{:?}", ended.stream);
}

fn print(what: &str, times: &[Duration]) {
    let last = times.len().saturating_sub(1);
    let at = |share: f64| times[(last as f64 * share).round() as usize];
    println!(
        "from the revocation {what}: p50 {:.2?}, p99 {:.2?}, max {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
