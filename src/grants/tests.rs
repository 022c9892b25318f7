//! Whatever happens in whatever order: no live grant whose task has ended, none past its end or its
//! parent's, no budget overspent; and the store never knows of more than that.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::fixture::World;
use super::{Carving, Exchange, Grants, GrantsError, LiveGrant, LiveTask, Retention};
use crate::model::{Approval, ApprovalRule, Circumstances, EndReason, TaskId};

const CALLS: u64 = 6;

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Open(Option<usize>),
    Activate(usize),
    Ask(usize),
    Approve(usize, u8),
    Deny(usize),
    Renew(usize, u64),
    Delegate(usize, usize, u64),
    Call(usize),
    Finish(usize),
    Sign(usize),
    Pass(u64),
    EndTask(usize),
    EndGrant(usize),
    Forget,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = 0_usize..1000;
    let step = prop_oneof![
        3 => proptest::option::of(some.clone()).prop_map(Step::Open),
        4 => some.clone().prop_map(Step::Activate),
        3 => some.clone().prop_map(Step::Ask),
        4 => (some.clone(), 0_u8..3).prop_map(|(which, who)| Step::Approve(which, who)),
        1 => some.clone().prop_map(Step::Deny),
        3 => (some.clone(), 1_u64..3000).prop_map(|(which, long)| Step::Renew(which, long)),
        4 => (some.clone(), some.clone(), 0_u64..5)
            .prop_map(|(which, task, calls)| Step::Delegate(which, task, calls)),
        8 => some.clone().prop_map(Step::Call),
        4 => some.clone().prop_map(Step::Finish),
        4 => some.clone().prop_map(Step::Sign),
        4 => (1_u64..600).prop_map(Step::Pass),
        1 => some.clone().prop_map(Step::EndTask),
        1 => some.prop_map(Step::EndGrant),
        2 => Just(Step::Forget),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A gateway and everything that was ever made in it.
struct Run {
    world: World,
    grants: Grants,
    clockwork: JoinHandle<()>,
    tasks: Vec<Arc<LiveTask>>,
    live: Vec<Arc<LiveGrant>>,
    exchanges: Vec<Exchange>,
    /// Calls that were let through, by the grant at the top.
    passed: std::collections::HashMap<String, u64>,
    opened: usize,
}

fn pick<T>(from: &[T], which: usize) -> Option<&T> {
    from.get(which.checked_rem(from.len())?)
}

impl Run {
    async fn new() -> Self {
        let mut world = World::new();
        world.entitlement.max_calls = Some(CALLS);
        world.limits.retention = Retention {
            keep: Duration::from_mins(5),
            most: 3,
            tokens: Duration::from_mins(1),
        };
        let (grants, _) = world.start().await;
        let clockwork = tokio::spawn(grants.clone().run_clockwork());
        Self {
            world,
            clockwork,
            grants,
            tasks: Vec::new(),
            live: Vec::new(),
            exchanges: Vec::new(),
            passed: std::collections::HashMap::new(),
            opened: 0,
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each step there is, read in one piece"
    )]
    async fn take(&mut self, step: Step) {
        let now = self.world.clock.now();
        match step {
            Step::Open(parent) => {
                let above = parent.and_then(|which| pick(&self.tasks, which));
                let above = above.map(|task| task.task().id.to_string());
                self.opened += 1;
                let id = format!("t{}", self.opened);
                let opening = self.world.opening(&id, above.as_deref());
                self.tasks.extend(self.grants.open_task(opening).await.ok());
            }
            Step::Activate(which) => {
                if let Some(task) = pick(&self.tasks, which) {
                    let asking = self.world.asking(task);
                    self.live.extend(self.grants.activate(asking).await.ok());
                }
            }
            Step::Ask(which) => {
                if let Some(task) = pick(&self.tasks, which) {
                    let asking = self.world.asking(task);
                    let rule = ApprovalRule {
                        group: "leads".parse().unwrap(),
                        quorum: 2,
                        mfa: false,
                        expires: Duration::from_mins(20),
                    };
                    // Refused for an ended task, as it should be.
                    let _ = self.grants.ask_people(asking, rule.into()).await;
                }
            }
            Step::Approve(which, who) => {
                let mut waiting = self.grants.all_pending(|_| true);
                waiting.sort_by_key(|one| one.request().id.clone());
                if let Some(pending) = pick(&waiting, which) {
                    let approval = Approval {
                        person: format!("p{who}").parse().unwrap(),
                        at: self.world.clock.wall(),
                        mfa: false,
                        at_most: None,
                    };
                    let approved = self.grants.approve(pending, approval, || Ok(())).await;
                    if let Ok(super::Approved::Active(live)) = approved {
                        self.live.push(live);
                    }
                }
            }
            Step::Deny(which) => {
                let waiting = self.grants.all_pending(|_| true);
                if let Some(pending) = pick(&waiting, which) {
                    let _ = self.grants.refuse(pending, EndReason::Declined, None).await;
                }
            }
            Step::Renew(which, long) => {
                if let Some(grant) = pick(&self.live, which) {
                    let longest = Duration::from_mins(30);
                    let _ = self
                        .grants
                        .renew(grant, Duration::from_secs(long), longest)
                        .await;
                }
            }
            Step::Delegate(which, task, calls) => {
                if let (Some(grant), Some(task)) =
                    (pick(&self.live, which), pick(&self.tasks, task))
                {
                    let carving = Carving {
                        from: Arc::clone(grant),
                        task: Arc::clone(task),
                        operations: None,
                        duration: None,
                        calls: Some(calls),
                        bytes: None,
                        asked: Circumstances::UNKNOWN,
                        reason: None,
                    };
                    self.live.extend(self.grants.delegate(carving).await.ok());
                }
            }
            Step::Call(which) => {
                let grant = pick(&self.live, which).cloned();
                if let Some(exchange) = grant.as_ref().and_then(|one| one.enter(now).ok()) {
                    let claim = super::Claim::new(Some(&exchange), None);
                    self.grants.secure(claim).await.unwrap();
                    let top = self.top(exchange.grant());
                    *self.passed.entry(top).or_default() += 1;
                    self.exchanges.push(exchange);
                }
            }
            Step::Finish(which) => {
                if !self.exchanges.is_empty() {
                    let which = which % self.exchanges.len();
                    self.exchanges.swap_remove(which);
                }
            }
            Step::Sign(which) => {
                if let Some(task) = pick(&self.tasks, which) {
                    task.renew(now);
                }
            }
            Step::Pass(seconds) => self.world.hand.advance(Duration::from_secs(seconds)),
            Step::EndTask(which) => {
                self.exchanges.clear();
                if let Some(task) = pick(&self.tasks, which) {
                    let id = task.task().id.clone();
                    match self.grants.end_task(&id, EndReason::Completed).await {
                        Ok(_) => {}
                        Err(GrantsError::TaskUnknown(_)) => assert!(self.is_forgotten(&id).await),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Step::EndGrant(which) => {
                self.exchanges.clear();
                if let Some(grant) = pick(&self.live, which) {
                    let id = grant.request().grant.clone();
                    let _ = self.grants.end_grant(&id, EndReason::Revoked).await;
                }
            }
            Step::Forget => self.forget().await,
            Step::Restart => self.restart().await,
        }
    }

    /// Nothing that lives is forgotten, and what was forgotten is used for ever.
    async fn forget(&mut self) {
        self.grants.forget_ended().await.unwrap();
        let store = self.grants.store();
        for task in self.grants.0.tasks.collect(|_| true) {
            let stored = store.task(&task.task().id).await.unwrap();
            assert!(stored.is_some_and(|stored| stored.task.is_open()));
        }
        for grant in self.grants.0.grants.collect(|_| true) {
            let stored = store.grant(&grant.request().grant).await.unwrap();
            assert!(stored.is_some_and(|stored| !stored.is_ended()));
        }
        for waits in self.grants.all_pending(|_| true) {
            let stored = store.request(&waits.request().id).await.unwrap();
            assert!(stored.is_some_and(|stored| !stored.is_ended()));
        }
        for task in &self.tasks {
            let id = task.task().id.as_str();
            let again = self.grants.open_task(self.world.opening(id, None)).await;
            assert!(matches!(again, Err(GrantsError::TaskIdUsed(_))), "{id}");
        }
    }

    async fn is_forgotten(&self, id: &TaskId) -> bool {
        self.grants.task(id).is_none() && self.grants.was_forgotten(id).await.unwrap()
    }

    /// The process is gone without a word; another finds what was stored.
    async fn restart(&mut self) {
        self.exchanges.clear();
        self.clockwork.abort();
        let (grants, _) = self.world.start().await;
        self.clockwork = tokio::spawn(grants.clone().run_clockwork());
        let now = self.world.clock.now();
        for old in &self.live {
            let id = &old.request().grant;
            if old.ended(now).is_some() {
                assert!(grants.grant(id).is_none(), "{id} had ended and is back");
            }
        }
        self.tasks = grants.0.tasks.collect(|_| true);
        self.tasks.sort_by_key(|task| task.task().id.clone());
        self.live = grants.0.grants.collect(|_| true);
        self.live.sort_by_key(|grant| grant.request().grant.clone());
        self.grants = grants;
    }

    /// The grant that a part was carved from in the end.
    fn top(&self, grant: &LiveGrant) -> String {
        let request = grant.request();
        match request.parent.as_deref() {
            None => request.grant.to_string(),
            Some(above) => {
                let above = self.live.iter().find(|one| one.request().grant == *above);
                above.map_or_else(|| request.grant.to_string(), |above| self.top(above))
            }
        }
    }

    fn check(&self) {
        let now = self.world.clock.now();
        for grant in &self.live {
            let request = grant.request();
            if grant.enter(now).map(Exchange::refund).is_err() {
                continue;
            }
            let task = self.grants.task(&request.task);
            let task = task.unwrap_or_else(|| panic!("{} lives without its task", request.grant));
            if task.ended(now).is_some() {
                // Whoever would use it is refused for its task; the clockwork comes to it.
                continue;
            }
            assert!(now < grant.deadline());
            assert!(grant.deadline() <= grant.starts() + Duration::from_mins(30));
            assert!(grant.deadline() <= task.oldest());
            if let Some(parent) = &request.parent {
                let above = self.grants.grant(parent);
                let above = above.unwrap_or_else(|| panic!("{} is an orphan", request.grant));
                assert!(grant.deadline() <= above.deadline());
            }
        }
        let held = self.grants.held();
        assert!(held.deadlines <= held.tasks + 2 * held.grants + held.requests);
        assert!(held.parts <= held.tasks + held.grants, "{held:?}");
        for (top, passed) in &self.passed {
            assert!(*passed <= CALLS, "{passed} calls under {top}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_outlives_what_it_hangs_on(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for step in steps {
                run.take(step).await;
                run.check();
            }
        });
    }
}
