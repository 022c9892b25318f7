use http::Method;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::spawn_local;

use super::exchange::{connection, frames, get, worker};
use super::{answers, mutated};
use crate::upstream::http1::fuzzing::{self, Understood};

/// Plays the upstream: reads a request, says `answer`, and closes.
async fn answer_once(mut peer: UnixStream, answer: Vec<u8>) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(peer.read_u8().await.unwrap());
    }
    // Whoever has heard enough may be gone.
    let _written = peer.write_all(&answer).await;
    let _shut = peer.shutdown().await;
}

fn ours(answer: &[u8], method: &Method) -> Option<Understood> {
    let (answer, method) = (answer.to_vec(), method.clone());
    worker(async move {
        let (mut connection, peer) = connection();
        spawn_local(answer_once(peer, answer));
        let address = "h".parse().unwrap();
        let sent = connection.send(get(method), &address, None);
        let head = sent.await.ok()?;
        let (content, trailers) = frames(&mut connection).await.ok()?;
        Some(Understood {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            content,
            trailers,
        })
    })
}

fn hypers(answer: &[u8], method: &Method) -> Option<Understood> {
    fuzzing::hypers(answer, method, true).map(|(understood, _)| understood)
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD), 1 => Just(Method::DELETE)]
}

proptest! {
    #[test]
    fn what_servers_say_is_understood_as_hyper_understands_it(
        answer in answers(),
        method in method(),
    ) {
        let ours = ours(&answer, &method);
        prop_assert!(ours.is_some());
        prop_assert_eq!(ours, hypers(&answer, &method));
    }

    /// Whatever hyper refuses is refused here, and what is taken is taken in the same sense.
    #[test]
    fn nothing_is_understood_that_hyper_does_not_understand(
        answer in mutated(),
        method in method(),
    ) {
        if let Some(ours) = ours(&answer, &method) {
            prop_assert_eq!(Some(ours), hypers(&answer, &method));
        }
    }

    /// What the fuzz target holds of bytes that are nothing like an answer, for those that nearly are.
    #[test]
    fn all_holds_that_has_to_hold_of_an_answer(
        answer in prop_oneof![answers(), mutated()],
        sizes in prop::collection::vec(prop_oneof![3 => 0..40_u8, 1 => any::<u8>()], 0..40),
        method in method(),
    ) {
        fuzzing::hold(&answer, &sizes, &method);
    }
}
