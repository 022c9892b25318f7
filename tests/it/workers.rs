//! Connections are spread over the workers as they come.

use crate::harness::{Gateway, Plan, Raw, run};

/// How many requests each worker has had.
async fn by_worker(gate: &Gateway) -> Vec<u64> {
    let call = gate.control("GET", "/metrics").bearer(&gate.operator());
    let metrics = call.send().await.expect(200);
    let counts = metrics.text().lines().filter_map(|line| {
        let counted = line.strip_prefix("portcullis_worker_requests_total{")?;
        counted.split_once("} ")?.1.parse().ok()
    });
    counts.collect()
}

#[test]
fn few_connections_are_shared_out_evenly() {
    run(async {
        let gate = Plan::new().gateway("workers = 4").start().await;
        let work = gate.agent("bot").works("work").await;
        let before: u64 = by_worker(&gate).await.iter().sum();
        let mut connections = Vec::new();
        for _ in 0..12 {
            let mut raw = Raw::connect(&gate).await;
            let token = &work.token;
            raw.say(format!(
                "GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
            assert!(raw.head().await.starts_with("HTTP/1.1 200"));
            connections.push(raw);
        }
        assert_eq!(before, 0);
        assert_eq!(by_worker(&gate).await, [3, 3, 3, 3]);
    });
}
