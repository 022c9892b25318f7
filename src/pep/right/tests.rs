use std::fs;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::config::{Allowed, Snapshot, Sources, compile};
use crate::model::{
    Budget, Circumstances, Grant, GrantId, GrantRequest, Proof, RequestId, Transition,
};
use crate::pdp::Memory;

const TABLES: &str = r#"
[[service]]
name = "things"
match = { path = "/things" }
upstreams = ["http://127.0.0.1:1"]
[[operation]]
id = "things.read"
service = "things"
route = "GET /things/{id}"
[[operation]]
id = "things.list"
service = "things"
route = "GET /things"
[[entitlement]]
id = "one"
operations = ["things.read"]
max_ttl = "1h"
[[entitlement]]
id = "all"
operations = ["things.list"]
max_ttl = "1h"
"#;

const NOW: BootInstant = BootInstant::from_nanos(1_000_000_000);

fn snapshot() -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("things.toml"), TABLES).unwrap();
    let sources = Sources {
        directories: vec![directory.path().to_owned()],
        credentials: Allowed::default(),
        stand_in: None,
    };
    compile(&sources, &mut Memory::default()).unwrap().0
}

/// A grant in force for so long from [`NOW`].
fn grant(snapshot: &Snapshot, entitlement: &str, left: Duration) -> Arc<LiveGrant> {
    let entitlement = snapshot.entitlement(entitlement).unwrap();
    let request = GrantRequest {
        id: RequestId::random(),
        grant: GrantId::random(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: crate::model::Right {
            entitlement: entitlement.id.clone(),
            operations: entitlement.operations.clone(),
            budget: Budget::default(),
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: Default::default(),
        reason: None,
        duration: left,
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    let mut grant = Grant::requested(Arc::new(request));
    let expires_at = Timestamp::UNIX_EPOCH + left;
    let activate = Transition::Activate { expires_at };
    grant.apply(activate, Timestamp::UNIX_EPOCH).unwrap();
    Arc::new(LiveGrant::new(grant, NOW, NOW + left))
}

#[test]
fn grants_that_cover_a_call_come_in_their_order() {
    let snapshot = snapshot();
    let endpoint = snapshot.operation("things.read").unwrap();
    let minute = Duration::from_mins(1);
    let grants = vec![
        grant(&snapshot, "one", Duration::ZERO),
        grant(&snapshot, "all", minute),
        grant(&snapshot, "one", minute),
        grant(&snapshot, "all", minute * 2),
        grant(&snapshot, "one", minute * 3),
    ];
    let expected = [&grants[2], &grants[4]].map(|grant| grant.request().grant.clone());
    let covering = Covering::of(grants.into(), endpoint, NOW).unwrap();
    let found = covering.iter(endpoint, NOW);
    assert!(found.map(|grant| &grant.request().grant).eq(&expected));
    // What is over by now is left out, behind the first.
    assert_eq!(covering.iter(endpoint, NOW + minute * 3).count(), 1);
}

#[test]
fn grants_that_do_not_cover_a_call_are_none() {
    let snapshot = snapshot();
    let endpoint = snapshot.operation("things.list").unwrap();
    let grants = vec![grant(&snapshot, "one", Duration::from_mins(1))];
    assert!(Covering::of(grants.into(), endpoint, NOW).is_none());
    assert!(Covering::of(Arc::default(), endpoint, NOW).is_none());
}

#[test]
fn a_call_under_the_first_of_many_grants_does_not_look_at_the_others() {
    let snapshot = snapshot();
    let endpoint = snapshot.operation("things.read").unwrap();
    let grants = (0..64).map(|_| grant(&snapshot, "one", Duration::from_mins(1)));
    let grants = Arc::new(grants.collect::<Vec<_>>());
    let counted = allocation_counter::measure(|| {
        let covering = Covering::of(Arc::clone(&grants), endpoint, NOW).unwrap();
        assert!(covering.iter(endpoint, NOW).next().is_some());
        let held = grants.iter().map(Arc::strong_count);
        assert_eq!(
            held.sum::<usize>(),
            grants.len(),
            "each is held by its task alone"
        );
    });
    assert_eq!(counted.count_total, 0);
}
