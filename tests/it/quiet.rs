//! Connections that have been silent for a while are taken up again where they were.

use std::time::Duration;

use super::harness::{End, Plan, Raw, run};

/// Longer than a connection may be silent before it is quiet.
const A_WHILE: Duration = Duration::from_secs(2);

const ROUNDS: usize = 10;

fn get(token: &str) -> String {
    format!("GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// The next answer is whole, and an allowed one.
async fn answered(raw: &mut Raw) {
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let lower = head.to_ascii_lowercase();
    let (_, length) = lower.split_once("content-length: ").unwrap();
    let (length, _) = length.split_once('\r').unwrap();
    raw.bytes(length.parse().unwrap()).await;
}

#[test]
fn a_quiet_connection_goes_on() {
    run(async {
        for secure in [false, true] {
            let plan = Plan::new().manual_clock();
            let plan = if secure { plan.tls() } else { plan };
            let gate = plan.start().await;
            let work = gate.agent("bot").works("work").await;
            let mut raw = Raw::connect(&gate).await;
            let get = get(&work.token);
            for round in 0..ROUNDS {
                // Whole, in two pieces, and with the next one behind it.
                match round % 3 {
                    0 => raw.say(&get).await,
                    1 => {
                        let (first, second) = get.split_at(9);
                        raw.say(first).await;
                        gate.advance(A_WHILE);
                        raw.say(second).await;
                    }
                    _ => {
                        raw.say(format!("{get}{get}")).await;
                        answered(&mut raw).await;
                    }
                }
                answered(&mut raw).await;
                gate.advance(A_WHILE);
                // Another connection's turn lets this one's pass.
                let mut other = Raw::connect(&gate).await;
                other.say(&get).await;
                answered(&mut other).await;
            }
        }
    });
}

#[test]
fn a_quiet_connection_ends_in_order() {
    run(async {
        for secure in [false, true] {
            let plan = Plan::new().manual_clock();
            let plan = plan.settings("[limits]\nidle_timeout = \"20s\"");
            let plan = plan.drain(Duration::from_secs(20));
            let plan = if secure { plan.tls() } else { plan };
            let mut gate = plan.start().await;
            let work = gate.agent("bot").works("work").await;
            let get = get(&work.token);
            let mut idle = Raw::connect(&gate).await;
            idle.say(&get).await;
            answered(&mut idle).await;
            gate.advance(A_WHILE);
            let mut other = Raw::connect(&gate).await;
            other.say(&get).await;
            answered(&mut other).await;
            // Its silence may have begun a while later.
            gate.advance(Duration::from_secs(20));
            assert_eq!(idle.rest().await, (Vec::new(), End::Closed));
            let mut last = Raw::connect(&gate).await;
            last.say(&get).await;
            answered(&mut last).await;
            gate.advance(A_WHILE);
            let mut other = Raw::connect(&gate).await;
            other.say(&get).await;
            answered(&mut other).await;
            gate.stop().await;
            assert_eq!(last.rest().await, (Vec::new(), End::Closed));
        }
    });
}
