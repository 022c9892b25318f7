//! A WebSocket ends with what it runs under, and nothing else does.

use std::time::Duration;

use tokio::time::Instant;

use super::{RULES, echoes, is_told, opened, played};
use crate::harness::{End, Plan, Socket as _, masked, run, server};

/// Far above what is promised, because the machine of a test may be busy.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn the_client_is_told_and_others_go_on() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let (mut gate, stub) = played(plan).await;
            let bot = gate.agent("bot");
            let (work, other) = (bot.works("work").await, bot.works("work").await);
            let (mut client, mut peer) = opened(&gate, &stub, &work).await;
            let (mut sibling, mut sibling_peer) = opened(&gate, &stub, &other).await;
            echoes(&mut client, &mut peer, "before").await;

            let begun = Instant::now();
            let receipt = work.completes(&gate).await;
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            let closed = &receipt["grants"][0];
            assert_eq!(closed["id"], work.grant, "{closed}");
            assert_eq!(closed["streams_cut"], 1, "{closed}");
            is_told(&mut client, 1008, "completed").await;
            let (rest, end) = client.rest().await;
            assert!(rest.is_empty(), "{rest:?}");
            assert_eq!(end, End::Closed);
            assert!(peer.closed().await.is_empty());

            echoes(&mut sibling, &mut sibling_peer, "after").await;
            drop((sibling, sibling_peer));
            let lines = gate.stop().await;
            let line = lines
                .iter()
                .find(|line| line["kind"] == "call" && line["end"] == "completed");
            let line = line.expect("a record of the cut");
            assert_eq!(line["bytes_in"], 12, "{line}");
            assert_eq!(line["bytes_out"], 8, "{line}");
        }
    });
}

#[test]
fn within_a_frame_there_is_nothing_to_say() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let (gate, stub) = played(plan).await;
            let work = gate.agent("bot").works("work").await;
            let (mut client, mut peer) = opened(&gate, &stub, &work).await;
            peer.send(b"\x82\x7f\0\0\0\0\0\x01\0\0half").await;
            assert_eq!(client.bytes(14).await, b"\x82\x7f\0\0\0\0\0\x01\0\0half");
            let receipt = work.completes(&gate).await;
            assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
            let (rest, end) = client.rest().await;
            assert!(rest.is_empty(), "{rest:?}");
            assert_eq!(end, End::Broken);
            peer.closed().await;
        }
    });
}

#[test]
fn a_stalled_reader_is_cut_as_fast() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let (gate, stub) = played(plan).await;
            let work = gate.agent("bot").works("work").await;
            let (mut client, mut peer) = opened(&gate, &stub, &work).await;
            let piece = server(0x82, &vec![b'x'; 60_000]);
            peer.flood(&piece, Duration::from_millis(500)).await;
            let begun = Instant::now();
            let receipt = work.completes(&gate).await;
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
            peer.closed().await;
            let (_, end) = client.rest().await;
            assert_eq!(end, End::Broken);
        }
    });
}

/// An upstream that does not read: the client is slowed down, and cut all the same.
#[test]
fn a_stalled_upstream_slows_the_client_down() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        let piece = masked(2, &vec![b'x'; 60_000]);
        let flood = async {
            // What the kernels hold is some megabytes; beyond it nobody takes more.
            for _ in 0..10_000 {
                client.say(&piece).await;
            }
        };
        let stalled = tokio::time::timeout(Duration::from_millis(1500), flood).await;
        assert!(stalled.is_err(), "600 MB were swallowed");
        let receipt = work.completes(&gate).await;
        assert_eq!(receipt["grants"][0]["streams_cut"], 1, "{receipt}");
        peer.closed().await;
    });
}

#[test]
fn a_demand_that_it_does_not_meet() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        let demanding = RULES.replacen("permit", "@require(\"mfa\")\npermit", 1);
        gate.write_policy("rules.cedar", &demanding);
        gate.publish().await;
        is_told(&mut client, 1008, "mfa_required").await;
        peer.closed().await;
    });
}

#[test]
fn a_rule_that_turns_against_it() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        let forbid =
            "@id(\"no\")\nforbid (principal, action == Action::\"shop.socket\", resource);";
        gate.write_policy("rules.cedar", &format!("{RULES}\n{forbid}\n"));
        gate.publish().await;
        is_told(&mut client, 1008, "policy_changed").await;
        peer.closed().await;
    });
}

#[test]
fn a_service_that_breaks_off_does_not_look_complete() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        peer.send(b"\x82\x05he").await;
        peer.close().await;
        let (rest, end) = client.rest().await;
        assert!(rest.is_empty() || rest == b"\x82\x05he", "{rest:?}");
        assert_eq!(end, End::Broken);

        let (mut client, peer) = opened(&gate, &stub, &work).await;
        peer.reset();
        assert_eq!(client.rest().await, (Vec::new(), End::Broken));
    });
}

#[test]
fn many_at_once_and_only_those() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let bot = gate.agent("bot");
        let (work, other) = (bot.works("work").await, bot.works("work").await);
        let (mut ending, mut staying) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            ending.push(opened(&gate, &stub, &work).await);
            staying.push(opened(&gate, &stub, &other).await);
        }
        let receipt = work.completes(&gate).await;
        let closed = &receipt["grants"][0];
        assert_eq!(closed["streams_cut"], 100, "{closed}");
        let micros = closed["micros"].as_u64().expect("how long it took");
        assert!(Duration::from_micros(micros) < SOON, "{closed}");
        for (client, peer) in &mut ending {
            is_told(client, 1008, "completed").await;
            peer.closed().await;
        }
        for (client, peer) in &mut staying {
            echoes(client, peer, "still here").await;
        }
    });
}

/// What runs when the gateway stops may go on for the drain time; then clients are told that it goes.
#[test]
fn a_gateway_that_stops_says_goodbye_after_the_drain_time() {
    run(async {
        let drain = Duration::from_millis(1500);
        for plan in [Plan::new(), Plan::new().tls()] {
            let (mut gate, stub) = played(plan.drain(drain)).await;
            let work = gate.agent("bot").works("work").await;
            let (mut client, mut peer) = opened(&gate, &stub, &work).await;
            echoes(&mut client, &mut peer, "before").await;
            let begun = Instant::now();
            let (lines, ()) = tokio::join!(gate.stop(), async {
                echoes(&mut client, &mut peer, "meanwhile").await;
                is_told(&mut client, 1001, "the gateway stops").await;
                assert!(begun.elapsed() >= drain, "{:?}", begun.elapsed());
                let (rest, end) = client.rest().await;
                assert!(rest.is_empty(), "{rest:?}");
                assert_eq!(end, End::Closed);
                peer.closed().await;
            });
            let mut lines = lines.iter();
            let record = lines.find(|line| line["status"] == 101).unwrap();
            assert_eq!(record["detail"], "the gateway stopped", "{record}");
            assert_eq!(record["end"], serde_json::Value::Null, "{record}");
        }
    });
}
