use super::*;
use crate::base::ManualClock;
use crate::signals::HabitRules;
use crate::store::MemoryStore;

struct World {
    store: Arc<dyn GrantStore>,
    clock: Clock,
    hand: ManualClock,
}

impl World {
    fn new() -> Self {
        let (clock, hand) = Clock::manual("2026-11-24T08:00:00Z".parse().unwrap());
        Self {
            store: Arc::new(MemoryStore::default()),
            clock,
            hand,
        }
    }

    async fn start(&self) -> (KeptScores, Signals) {
        let signals = Signals::new(self.clock.clone(), HabitRules::default());
        let kept = KeptScores::open(Arc::clone(&self.store), &signals, &self.clock);
        (kept.await.unwrap(), signals)
    }

    async fn push(&self, (kept, signals): &(KeptScores, Signals), pushed: Pushed) {
        let pushed = kept.push(signals, pushed, self.clock.wall());
        pushed.await.unwrap();
    }

    async fn stored(&self) -> usize {
        self.store.documents(KIND).await.unwrap().len()
    }
}

fn says(source: &str, task: Option<&str>, score: i64, seconds: u64) -> Pushed {
    Pushed {
        agent: "bot".parse().unwrap(),
        task: task.map(|task| task.parse().unwrap()),
        score: Score::try_from(score).unwrap(),
        source: source.into(),
        reason: Some("odd".into()),
        life: Duration::from_secs(seconds),
    }
}

fn risk(signals: &Signals, task: Option<&str>) -> (i64, i64, bool) {
    let task = task.map(|task| task.parse().unwrap());
    let facts = signals.risk(&"bot".parse().unwrap(), task.as_ref());
    (facts.score, facts.age_seconds, facts.known)
}

#[tokio::test]
async fn a_restart_finds_scores_as_old_as_they_are() {
    let world = World::new();
    let first = world.start().await;
    world.push(&first, says("siem", None, 90, 3600)).await;
    world.push(&first, says("siem", None, 40, 100)).await;
    world.push(&first, says("siem", Some("t"), 70, 50)).await;
    world.hand.advance(Duration::from_secs(30));
    let (_, signals) = world.start().await;
    assert_eq!(risk(&signals, None), (40, 30, true));
    assert_eq!(risk(&signals, Some("t")), (70, 30, true));
    world.hand.advance(Duration::from_secs(20));
    assert_eq!(risk(&signals, Some("t")), (40, 50, true));
    let (_, signals) = world.start().await;
    assert_eq!(world.stored().await, 1, "what has ended is gone");
    world.hand.advance(Duration::from_secs(50));
    assert!(!risk(&signals, None).2);
}

#[tokio::test]
async fn what_has_ended_goes_as_others_come() {
    let world = World::new();
    let running = world.start().await;
    for task in 0..40 {
        let task = format!("t{task}");
        world
            .push(&running, says("siem", Some(&task), 70, 50))
            .await;
    }
    assert_eq!(world.stored().await, 40);
    world.hand.advance(Duration::from_secs(50));
    for left in [25, 9, 1, 1] {
        world.push(&running, says("siem", None, 70, 500)).await;
        assert_eq!(world.stored().await, left);
    }
    // One that has ended and is said again stays.
    world.hand.advance(Duration::from_secs(500));
    world.push(&running, says("siem", None, 60, 50)).await;
    assert_eq!(world.stored().await, 1);
    let (_, signals) = world.start().await;
    assert_eq!(risk(&signals, None), (60, 0, true));
}

#[tokio::test]
async fn what_is_no_score_stops_the_start() {
    let world = World::new();
    let key = Digest::of_parts(&[b"x"]);
    let broken = put(key, Some("{}".to_owned()));
    world.store.commit(vec![broken]).await.unwrap();
    let signals = Signals::new(world.clock.clone(), HabitRules::default());
    let opened = KeptScores::open(Arc::clone(&world.store), &signals, &world.clock).await;
    assert!(matches!(opened, Err(KeptError::Broken(id)) if id == key.to_string()));
}
