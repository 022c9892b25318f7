//! Calls beside each other on one connection to the service, whoever makes them: none holds up or ends another.

use super::*;

/// A connection to the service is one worker's.
const ONE_WORKER: &str = "workers = 1";

/// Calls of which nobody reads the answers, with all that keeps them open.
type Stalled = Vec<(Watching, SendStream<Bytes>, RecvStream)>;

impl Scene {
    /// So many calls whose client does not read on, on a connection of its own.
    async fn stalls(&mut self, calls: usize) -> (Stalled, SendRequest<Bytes>) {
        let work = self.works().await;
        let mut stalled = Vec::new();
        for _ in 0..calls {
            stalled.push(self.streams(&work).await);
        }
        let others = http2_client(&self.gate).await;
        let client = std::mem::replace(&mut self.client, others);
        (stalled, client)
    }
}

/// More than a connection takes in that has no room of its own for each stream.
#[test]
fn readers_that_stall_hold_up_nobody_else() {
    run(async {
        let mut scene = Scene::with(false, ONE_WORKER).await;
        let (mut stalled, _client) = scene.stalls(8).await;
        for (_, sending, _) in &mut stalled {
            sending.send_data(vec![0; 4 << 20].into(), false).unwrap();
        }
        let work = scene.works().await;
        let (mut call, mut sending, _asked) = scene.streams(&work).await;
        let piece = Bytes::from(vec![1; 64 << 10]);
        for _ in 0..256 {
            sending.send_data(piece.clone(), false).unwrap();
            let mut left = piece.len();
            while left > 0 {
                left -= data(&mut call.received).await.len();
            }
        }
    });
}

/// A feed of small messages costs more than its bytes.
#[test]
fn a_reader_that_stalls_before_many_small_messages_ends_nobody_else() {
    run(async {
        let mut scene = Scene::with(false, ONE_WORKER).await;
        let (mut stalled, _client) = scene.stalls(1).await;
        let work = scene.works().await;
        let (mut call, mut sending, _asked) = scene.streams(&work).await;
        let (_, feed, _) = &mut stalled[0];
        for _ in 0..40_000 {
            feed.send_data(message("tick!"), false).unwrap();
        }
        for _ in 0..1_000 {
            sending.send_data(message("tock!"), false).unwrap();
            assert_eq!(data(&mut call.received).await, message("tock!"));
        }
    });
}

/// More than anybody passes on before the next ones come.
#[test]
fn an_answer_of_many_small_messages_passes() {
    run(async {
        let mut scene = Scene::with(false, ONE_WORKER).await;
        let work = scene.works().await;
        let (mut call, mut sending, _asked) = scene.streams(&work).await;
        for _ in 0..50_000 {
            sending.send_data(message("tick!"), false).unwrap();
        }
        let mut left = 50_000 * message("tick!").len();
        while left > 0 {
            left -= data(&mut call.received).await.len();
        }
    });
}

/// Nor does a service that does not read hold up its client's other calls.
#[test]
fn a_service_that_does_not_read_holds_up_no_other_call() {
    run(async {
        let mut scene = Scene::with(false, ONE_WORKER).await;
        let work = scene.works().await;
        let mut unread = scene.calls(&work, "Send").await;
        unread
            .send
            .send_data(vec![0; 2 << 20].into(), false)
            .unwrap();
        let _unread = (scene.service.is_asked().await, unread);
        let mut call = scene.calls(&work, "Send").await;
        let (request, _respond) = scene.service.is_asked().await;
        let mut asked = request.into_body();
        let piece = Bytes::from(vec![1; 64 << 10]);
        for _ in 0..64 {
            call.send.send_data(piece.clone(), false).unwrap();
            let mut left = piece.len();
            while left > 0 {
                left -= data(&mut asked).await.len();
            }
        }
    });
}

/// As many as come while a connection to the service is opened.
#[test]
fn many_small_messages_of_a_client_pass() {
    run(async {
        let mut scene = Scene::with(false, ONE_WORKER).await;
        let work = scene.works().await;
        let mut call = scene.calls(&work, "Send").await;
        for _ in 0..6_000 {
            call.send.send_data(message("tick!"), false).unwrap();
        }
        let (request, _respond) = scene.service.is_asked().await;
        let mut asked = request.into_body();
        let mut left = 6_000 * message("tick!").len();
        while left > 0 {
            left -= data(&mut asked).await.len();
        }
    });
}
