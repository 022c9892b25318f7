use super::*;
use crate::grants::Closed;
use crate::grants::fixture::World;
use crate::model::EndReason;

fn carving(from: &Arc<LiveGrant>, task: &Arc<LiveTask>) -> Carving {
    Carving {
        from: Arc::clone(from),
        task: Arc::clone(task),
        operations: None,
        duration: None,
        calls: None,
        bytes: None,
        asked: Circumstances::UNKNOWN,
        reason: None,
    }
}

fn world(calls: Option<u64>) -> World {
    let mut world = World::new();
    world.entitlement.max_calls = calls;
    world
}

#[tokio::test]
async fn what_is_handed_down_is_taken_from_the_rest() {
    let world = world(Some(10));
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let span = world.open(&grants, "span", Some("t")).await;
    let grant = world.activate(&grants, &task).await;
    let open = grants.delegate(carving(&grant, &span)).await.unwrap_err();
    assert_eq!(open, Wider::Open("calls").into());
    let part = Carving {
        calls: Some(4),
        duration: Some(Duration::from_mins(5)),
        ..carving(&grant, &span)
    };
    let part = grants.delegate(part).await.unwrap();
    assert_eq!((grant.calls_left(), part.calls_left()), (Some(6), Some(4)));
    assert_eq!(
        part.request().parent.as_deref(),
        Some(&grant.request().grant)
    );
    assert_eq!(part.deadline(), world.clock.now() + Duration::from_mins(5));
    assert_eq!(span.grants().len(), 1);
    let more = Carving {
        calls: Some(7),
        ..carving(&grant, &span)
    };
    let more = grants.delegate(more).await.unwrap_err();
    assert!(
        matches!(more, GrantsError::Wider(Wider::Budget(_))),
        "{more}"
    );
    assert_eq!(grant.calls_left(), Some(6), "nothing is taken for nothing");

    // Nor does a crash give anything back.
    let (grants, _) = world.start().await;
    let left = |id| grants.grant(id).unwrap().calls_left().unwrap();
    let (whole, part) = (left(&grant.request().grant), left(&part.request().grant));
    assert!(whole + part <= 10, "{whole} and {part}");
}

#[tokio::test]
async fn a_part_is_never_wider_than_the_whole() {
    let world = world(None);
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let check = async |change: fn(&mut Carving), expected: Wider| {
        let mut carving = carving(&grant, &task);
        change(&mut carving);
        let refused = grants.delegate(carving).await.unwrap_err();
        assert_eq!(refused, expected.into());
    };
    let other: OperationId = "orders.hold".parse().unwrap();
    check(
        |one| one.operations = Some(["orders.hold".parse().unwrap()].into()),
        Wider::Operation(other),
    )
    .await;
    check(
        |one| one.operations = Some(BTreeSet::new()),
        Wider::Nothing("operations"),
    )
    .await;
    check(|one| one.calls = Some(0), Wider::Nothing("calls")).await;
    let longer = Carving {
        duration: Some(Duration::from_hours(5)),
        ..carving(&grant, &task)
    };
    let part = grants.delegate(longer).await.unwrap();
    assert_eq!(part.deadline(), grant.deadline());
    let mut last = part;
    let refused = loop {
        match grants.delegate(carving(&last, &task)).await {
            Ok(part) => last = part,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Wider::TooDeep(8).into());
}

#[tokio::test]
async fn the_end_of_the_whole_is_the_end_of_every_part() {
    let world = world(None);
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let span = world.open(&grants, "span", Some("t")).await;
    let grant = world.activate(&grants, &task).await;
    let part = grants.delegate(carving(&grant, &span)).await.unwrap();
    let below = grants.delegate(carving(&part, &span)).await.unwrap();
    let exchange = below.enter(world.clock.now()).unwrap();
    let id = grant.request().grant.clone();
    let ending = {
        let grants = grants.clone();
        tokio::spawn(async move { grants.end_grant(&id, EndReason::Revoked).await })
    };
    assert_eq!(exchange.end_signal().await, EndReason::ParentEnded);
    assert!(!ending.is_finished(), "an exchange under a part still runs");
    drop(exchange);
    ending.await.unwrap().unwrap();
    assert_eq!(part.ended(world.clock.now()), Some(EndReason::ParentEnded));
    assert!(span.grants().is_empty());
    assert!(span.ended(world.clock.now()).is_none(), "its task goes on");
    let late = grants.delegate(carving(&grant, &span)).await;
    assert!(matches!(late, Err(GrantsError::GrantUnknown(_))));
}

#[tokio::test]
async fn whole_and_part_run_no_more_at_once_than_one_may() {
    let mut world = world(None);
    world.entitlement.max_concurrent = Some(2);
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let part = grants.delegate(carving(&grant, &task)).await.unwrap();
    let now = world.clock.now();
    let (one, two) = (grant.enter(now).unwrap(), part.enter(now).unwrap());
    assert_eq!(grant.enter(now).unwrap_err(), Closed::Busy);
    assert_eq!(part.enter(now).unwrap_err(), Closed::Busy);
    drop(one);
    let three = part.enter(now).unwrap();
    assert_eq!(grant.enter(now).unwrap_err(), Closed::Busy);
    drop((two, three));

    let (grants, _) = world.start().await;
    let again = |id| grants.grant(id).unwrap();
    let (grant, part) = (again(&grant.request().grant), again(&part.request().grant));
    let _held = (grant.enter(now).unwrap(), part.enter(now).unwrap());
    assert_eq!(
        part.enter(now).unwrap_err(),
        Closed::Busy,
        "after a restart"
    );
}
