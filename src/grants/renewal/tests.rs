use super::*;
use crate::grants::fixture::World;
use crate::model::{EndReason, GrantState};

const fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

#[tokio::test]
async fn a_renewal_moves_the_end_and_never_past_the_longest_life() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let start = grant.starts();
    assert_eq!(grant.deadline(), start + minutes(15));

    world.hand.advance(minutes(10));
    let moment = minutes(15) + Duration::from_millis(1);
    let nothing = grants.renew(&grant, minutes(60), moment).await;
    assert!(
        matches!(nothing, Err(GrantsError::NoLonger(_))),
        "{nothing:?}"
    );
    let shorter = grants.renew(&grant, minutes(1), minutes(30)).await;
    assert!(shorter.is_ok());
    assert_eq!(grant.deadline(), start + minutes(15), "none is shortened");
    let renewed = grants
        .renew(&grant, minutes(15), minutes(30))
        .await
        .unwrap();
    assert_eq!(grant.deadline(), start + minutes(25));
    assert_eq!(world.stored_grant(&grant).await, renewed);
    grants
        .renew(&grant, minutes(60), minutes(30))
        .await
        .unwrap();
    assert_eq!(
        grant.deadline(),
        start + minutes(30),
        "from first activation"
    );
    let id = grant.request().grant.clone();
    let most = grants.renew(&grant, minutes(60), minutes(30)).await;
    assert_eq!(most.unwrap_err(), GrantsError::NoLonger(id.clone()));

    world.hand.advance(minutes(19));
    task.renew(world.clock.now());
    assert_eq!(grant.ended(world.clock.now()), None);
    world.hand.advance(minutes(1));
    assert_eq!(grant.ended(world.clock.now()), Some(EndReason::Expired));
    let late = grants.renew(&grant, minutes(5), minutes(60)).await;
    assert_eq!(late.unwrap_err(), GrantsError::GrantUnknown(id));
}

#[tokio::test]
async fn a_renewal_that_is_not_stored_is_none() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let end = grant.deadline();
    world.hand.advance(minutes(10));
    world.store.fail(true);
    assert!(
        grants
            .renew(&grant, minutes(15), minutes(30))
            .await
            .is_err()
    );
    assert_eq!(grant.deadline(), end);
    let GrantState::Active(term) = grant.record().state else {
        panic!("not active");
    };
    assert_eq!(term.expires_at, world.wall(300));
}

#[tokio::test]
async fn a_renewed_end_is_that_of_the_next_start_too() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    world.hand.advance(minutes(10));
    grants
        .renew(&grant, minutes(15), minutes(30))
        .await
        .unwrap();
    let (grants, _) = world.start().await;
    let again = grants.grant(&grant.request().grant).unwrap();
    assert_eq!(again.deadline(), grant.deadline());
}

#[test]
fn people_agree_to_a_life_as_long_as_was_asked_or_shorter() {
    let asked = minutes(10);
    let check = |at_most: &[Option<u64>], expected: Option<u64>| {
        let approvals: Vec<Approval> = at_most
            .iter()
            .map(|at_most| Approval {
                person: "ana".parse().unwrap(),
                at: jiff::Timestamp::UNIX_EPOCH,
                mfa: false,
                at_most: at_most.map(minutes),
            })
            .collect();
        let world = World::new();
        let request = world.request(asked);
        assert_eq!(agreed_life(&request, &approvals), expected.map(minutes));
    };
    check(&[], None);
    check(&[None], Some(10));
    check(&[None, Some(3)], Some(3));
    check(&[Some(7), Some(3)], Some(3));
    check(&[Some(70)], Some(10));
}
