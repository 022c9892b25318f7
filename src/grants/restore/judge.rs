//! Which of the things that had not ended live on.

use std::collections::HashMap;
use std::sync::Arc;

use super::passage::Passage;
use crate::base::BootInstant;
use crate::grants::activation::later;
use crate::grants::ahead::first_stored;
use crate::grants::unstored::Unstored;
use crate::grants::{LiveGrant, LiveTask};
use crate::model::{EndReason, Grant, GrantId, GrantState, Task, TaskId, TaskState, Transition};
use crate::store::{Change, ClockMark, Contents, GrantMark, TaskMark};

/// What lives on, and what has to be stored about what does not.
pub(super) struct Judged {
    /// Each after the task that it is a span of.
    pub(super) tasks: Vec<Arc<LiveTask>>,
    pub(super) grants: Vec<Arc<LiveGrant>>,
    /// Requests that wait for people, and until when.
    pub(super) pending: Vec<(Grant, BootInstant)>,
    /// The ends.
    pub(super) changes: Vec<Change>,
    /// Whether every mark is in the store as it reads now.
    pub(super) marked: bool,
    pub(super) ended: usize,
}

struct Judge {
    now: ClockMark,
    passage: Passage,
    /// Where what lives on says that it has changed.
    unstored: Unstored,
    tasks: HashMap<TaskId, Arc<LiveTask>>,
    /// Those from which others were carved.
    wholes: HashMap<GrantId, Option<Arc<LiveGrant>>>,
    judged: Judged,
}

pub(super) fn judge(contents: Contents, now: ClockMark, unstored: Unstored) -> Judged {
    let Contents {
        mut tasks,
        grants,
        clock,
    } = contents;
    let passage = Passage::new(clock.as_ref(), &now);
    let mut judge = Judge {
        passage,
        now,
        unstored,
        tasks: HashMap::with_capacity(tasks.len()),
        wholes: grants.iter().filter_map(whole).collect(),
        judged: Judged {
            tasks: Vec::with_capacity(tasks.len()),
            grants: Vec::with_capacity(grants.len()),
            pending: Vec::new(),
            changes: Vec::new(),
            marked: passage.is_in_one_boot(),
            ended: 0,
        },
    };
    // A task comes before its spans. Grants are in the order of asking: one that was carved from another
    // was asked for later.
    tasks.sort_by_key(|(task, _)| task.depth);
    for (task, mark) in tasks {
        judge.task(task, mark);
    }
    for (grant, mark) in grants {
        judge.grant(grant, mark);
    }
    judge.judged
}

/// The name of what a grant was carved from, and that nobody has judged it yet.
fn whole<T, M>((grant, _): &(Grant, M)) -> Option<(GrantId, Option<T>)> {
    let parent = grant.request.parent.as_deref()?;
    Some((parent.clone(), None))
}

impl Judge {
    /// The grant of this name that others were carved from, if it lives on.
    fn whole(&self, name: &GrantId) -> Option<&Arc<LiveGrant>> {
        self.wholes.get(name)?.as_ref()
    }

    fn task(&mut self, task: Task, mark: Option<TaskMark>) {
        self.judged.marked &= mark.is_some();
        match self.task_lives(&task, mark) {
            Ok(mark) => {
                let live = LiveTask::restored(task, mark).telling(&self.unstored.tasks);
                let live = Arc::new(live);
                self.tasks.insert(live.task().id.clone(), Arc::clone(&live));
                self.judged.tasks.push(live);
            }
            Err(reason) => {
                let at = self.now.wall;
                let state = TaskState::Ended { reason, at };
                self.end(Change::PutTask(Task { state, ..task }, None));
            }
        }
    }

    /// The task's mark as it reads now, or why the task is over.
    fn task_lives(&self, task: &Task, mark: Option<TaskMark>) -> Result<TaskMark, EndReason> {
        let above = task.parent.as_ref();
        if above.is_some_and(|above| !self.tasks.contains_key(above)) {
            return Err(EndReason::ParentEnded);
        }
        let passage = self.passage;
        let (opened, lapses, oldest, history) = match mark {
            Some(mark) => (
                passage.begin(mark.opened),
                passage.end(mark.lapses),
                passage.end(mark.oldest),
                mark.history,
            ),
            // It was opened by a program that marks nothing; its lease has run since.
            None => (
                passage.begin_by_wall(task.opened_at),
                passage.end_by_wall(later(task.opened_at, task.lease)),
                passage.end_by_wall(later(task.opened_at, task.max_age)),
                Vec::new(),
            ),
        };
        let history = history.into_iter().map(|mut counted| {
            counted.last = passage.begin(counted.last);
            counted
        });
        Ok(TaskMark {
            opened,
            oldest: oldest.ok_or(EndReason::TaskMaxAge)?,
            lapses: lapses.ok_or(EndReason::LeaseLapsed)?,
            history: history.collect(),
        })
    }

    fn grant(&mut self, mut grant: Grant, mark: Option<GrantMark>) {
        self.judged.marked &= mark.is_some();
        let request = &grant.request;
        let above = request.parent.as_deref();
        let orphan = above.is_some_and(|above| self.whole(above).is_none());
        let end = if self.tasks.contains_key(&request.task) && !orphan {
            self.end_of(&grant, mark)
        } else {
            Err(EndReason::ParentEnded)
        };
        match end {
            Ok(until) if grant.term().is_none() => self.judged.pending.push((grant, until)),
            Ok(deadline) => {
                let mark = self.grant_mark(&grant, mark, deadline);
                let above = grant.request.parent.as_deref();
                let above = above.and_then(|above| self.whole(above));
                let live = LiveGrant::restored(grant, &mark).telling(&self.unstored.grants);
                let live = Arc::new(match above {
                    Some(above) => live.sharing(above),
                    None => live,
                });
                if let Some(whole) = self.wholes.get_mut(&live.request().grant) {
                    *whole = Some(Arc::clone(&live));
                }
                self.judged.grants.push(live);
            }
            Err(reason) => {
                // Only what has ended can't end, and nothing of that was loaded.
                if grant.apply(Transition::End(reason), self.now.wall).is_ok() {
                    self.end(Change::PutGrant(grant));
                }
            }
        }
    }

    fn end_of(&self, grant: &Grant, mark: Option<GrantMark>) -> Result<BootInstant, EndReason> {
        let wall = match &grant.state {
            GrantState::Active(term) | GrantState::Suspended(term) => term.expires_at,
            GrantState::Pending { until, .. } => *until,
            // Nobody was told of it: it is stored only once it waits or is in force.
            GrantState::Requested | GrantState::Ended { .. } => return Err(EndReason::Expired),
        };
        let end = match mark {
            Some(mark) => self.passage.end_by_both(mark.deadline, wall),
            None => self.passage.end_by_wall(wall),
        };
        let end = end.ok_or(EndReason::Expired)?;
        // Without a mark a stepped wall clock could make more of it than was asked for.
        let unmarked = mark.is_none() && grant.term().is_some();
        let longest = self.now.now + grant.request.duration;
        Ok(if unmarked { end.min(longest) } else { end })
    }

    fn grant_mark(
        &self,
        grant: &Grant,
        mark: Option<GrantMark>,
        deadline: BootInstant,
    ) -> GrantMark {
        let budget = grant.request.right.budget;
        match mark {
            Some(mark) => GrantMark {
                starts: self.passage.begin(mark.starts),
                deadline,
                // A limit that the mark does not know of was not counted.
                calls_left: budget.calls.map(|_| mark.calls_left.unwrap_or(0)),
                bytes_left: budget.bytes.map(|_| mark.bytes_left.unwrap_or(0)),
            },
            None => GrantMark {
                starts: grant.term().map_or(self.now.now, |term| {
                    self.passage.begin_by_wall(term.starts_at)
                }),
                deadline,
                calls_left: budget.calls.map(first_stored),
                bytes_left: budget.bytes,
            },
        }
    }

    fn end(&mut self, change: Change) {
        self.judged.changes.push(change);
        self.judged.ended += 1;
    }
}
