//! Requests whose bodies never come keep nobody waiting for ever: not others, and not the gateway.

use bytes::Bytes;
use http::Request;

use crate::harness::{Gateway, Plan, Raw, http2_client_of_control, join_all, run, within};

/// Begins a request whose body never comes, and waits until the gateway waits for it.
async fn unfinished(gate: &Gateway, path: &str, more: &str) -> Raw {
    let mut raw = Raw::connect_to_control(gate).await;
    raw.say(format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 50\r\n{more}\r\n"
    ))
    .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 100 "));
    raw.say("{").await;
    raw
}

/// Somebody who sends security events.
const TRANSMITTER: &str = "[[ssf_transmitter]]\nissuer = \"https://idp.example\"\n\
     jwks_file = \"idp.json\"\naudience = \"https://gate.example\"";

#[test]
fn a_body_that_does_not_come_ends_in_a_timeout() {
    run(async {
        let plan = Plan::new().settings(TRANSMITTER);
        let gate = plan.data("idp.json", "{\"keys\": []}").start().await;
        let token = gate.agent("bot").token().await;
        let json = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let again = format!("{json}Idempotency-Key: one\r\n");
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let event = "Content-Type: application/secevent+jwt\r\n";
        let waiting = [
            unfinished(&gate, "/v1/tasks", &json).await,
            unfinished(&gate, "/v1/tasks", &again).await,
            unfinished(&gate, "/oauth/token", form).await,
            unfinished(&gate, "/ssf/events", event).await,
        ];
        let heads = waiting.map(async |mut raw| raw.head().await);
        for head in join_all(heads).await {
            assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        }
    });
}

#[test]
fn an_unfinished_request_does_not_keep_the_gateway_from_its_end() {
    run(async {
        let mut gate = Plan::new().start().await;
        let token = gate.agent("bot").token().await;
        let json = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let _raw = unfinished(&gate, "/v1/tasks", &json).await;
        let records = gate.stop().await;
        assert_eq!(records.last().unwrap()["kind"], "stop");
    });
}

#[test]
fn nor_does_a_stream_over_http2() {
    run(async {
        let mut gate = Plan::new().tls().start().await;
        let token = gate.agent("bot").token().await;
        let mut client = http2_client_of_control(&gate).await;
        let url = |path: &str| format!("https://localhost:{}{path}", gate.control_address().port());
        let mut streams = Vec::new();
        for again in [None, Some("one")] {
            let mut request = Request::post(url("/v1/tasks"))
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/json");
            if let Some(key) = again {
                request = request.header("idempotency-key", key);
            }
            client = client.ready().await.unwrap();
            let sent = client.send_request(request.body(()).unwrap(), false);
            let (answer, mut body) = sent.unwrap();
            body.send_data(Bytes::from_static(b"{"), false).unwrap();
            streams.push((answer, body));
        }
        // Streams are taken up in their order: with this answer those before it are there, too.
        client = client.ready().await.unwrap();
        let alive = Request::get(url("/livez")).body(()).unwrap();
        let (alive, _) = client.send_request(alive, true).unwrap();
        let alive = within("an answer beside the others", alive).await.unwrap();
        assert_eq!(alive.status(), 200);

        let records = gate.stop().await;
        assert_eq!(records.last().unwrap()["kind"], "stop");
        for (answer, _body) in streams {
            let answer = within("the end of a stream", answer).await;
            assert!(answer.is_err(), "{answer:?}");
        }
    });
}
