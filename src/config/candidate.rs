//! A candidate: policies that are compiled whenever they change, beside those that are live, and never
//! go live themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::compile::{Sources, compile_files};
use super::files;
use super::reload::Refused;
use super::snapshot::Snapshot;
use super::watch::{Bell, Watch};
use super::work::settled;
use crate::base::{Clock, Digest, aside};
use crate::model::Generation;
use crate::pdp::Memory;

/// How often the file system is asked although no notice came.
const POLL: Duration = Duration::from_secs(5);

/// How many orders may wait for their turn.
const MOST_WAITING: usize = 16;

/// Which files are the candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `<directory>.candidate` while there is one.
    Beside,
    /// Those of this directory.
    Named(PathBuf),
    /// None.
    Nothing,
}

/// What became of a look at the candidate.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// There is none.
    Absent,
    /// It could go live.
    Ready(PathBuf, Arc<Snapshot>),
    /// It could not.
    Refused(PathBuf, Refused),
}

/// An order, and who waits for it.
type Order = (Option<Choice>, oneshot::Sender<()>);

/// Gives orders to [`Candidates`].
#[derive(Clone, Debug)]
pub struct CandidateOrders(mpsc::Sender<Order>);

/// Looks at the candidate, once it [runs](Candidates::run).
#[derive(Debug)]
pub struct Candidates {
    sources: Sources,
    clock: Clock,
    orders: mpsc::Receiver<Order>,
}

/// `<directory>.candidate` beside the policies.
#[must_use]
pub fn beside(policies: &Path) -> PathBuf {
    let mut name = policies.to_path_buf().into_os_string();
    name.push(".candidate");
    PathBuf::from(name)
}

impl CandidateOrders {
    /// Looks at the files now, at those of `choice` from now on where one is given. What is returned ends
    /// when that is done. Nothing is done where nobody looks any more, or too many wait.
    #[must_use]
    pub fn look(&self, choice: Option<Choice>) -> oneshot::Receiver<()> {
        let (done, waiting) = oneshot::channel();
        // Where there is no room, the sender is dropped, and so the waiting ends.
        let _ = self.0.try_send((choice, done));
        waiting
    }
}

impl Candidates {
    /// Candidates in the place of the first directory of `sources`.
    #[must_use]
    pub fn new(sources: Sources, clock: Clock) -> (Self, CandidateOrders) {
        let (sender, orders) = mpsc::channel(MOST_WAITING);
        let candidates = Self {
            sources,
            clock,
            orders,
        };
        (candidates, CandidateOrders(sender))
    }

    /// Tells `found` what became of the candidate, at first and whenever that changes, until nobody can
    /// give orders any more.
    pub async fn run(self, mut found: impl FnMut(Candidate)) {
        let Self {
            sources,
            clock,
            mut orders,
        } = self;
        let bell = Arc::new(Bell::default());
        let mut choice = Choice::Beside;
        let mut look = Some(Look::new(&sources, &choice, &bell));
        let mut waiting: Option<oneshot::Sender<()>> = None;
        loop {
            let Some(mut looking) = look.take() else {
                return;
            };
            let (ordered, clock) = (waiting.is_some(), clock.clone());
            let looked = aside("candidate", move || {
                let news = looking.look(ordered, &clock);
                (looking, news)
            });
            let Some((looking, news)) = looked.await else {
                tracing::error!(
                    "the look at the candidate has panicked; it is not looked at again"
                );
                return found(Candidate::Absent);
            };
            if let Some(news) = news {
                found(news);
            }
            if let Some(waiting) = waiting.take() {
                // Whoever hung up does not want to know.
                let _ = waiting.send(());
            }
            look = Some(looking);
            tokio::select! {
                order = orders.recv() => {
                    let Some((chosen, done)) = order else { return };
                    if let Some(chosen) = chosen {
                        choice = chosen;
                        look = Some(Look::new(&sources, &choice, &bell));
                    }
                    waiting = Some(done);
                }
                () = bell.rung() => bell.quiet().await,
                () = sleep(POLL) => {}
            }
        }
    }
}

/// What one look hands to the next.
struct Look {
    sources: Sources,
    directory: Option<PathBuf>,
    /// Whether a directory that is not there is none.
    optional: bool,
    watch: Watch,
    memory: Memory,
    seen: Seen,
}

/// What was found last.
#[derive(PartialEq)]
enum Seen {
    Absent,
    Files(Digest, Option<Generation>),
    Unseen,
}

impl Look {
    fn new(sources: &Sources, choice: &Choice, bell: &Arc<Bell>) -> Self {
        let mut sources = sources.clone();
        let live = sources.directories.first_mut();
        let directory = match (choice, &live) {
            (Choice::Beside, Some(live)) => Some(beside(live)),
            (Choice::Named(directory), Some(_)) => Some(directory.clone()),
            (Choice::Nothing, _) | (_, None) => None,
        };
        if let (Some(directory), Some(live)) = (&directory, live) {
            live.clone_from(directory);
        }
        let watched: &[PathBuf] = if directory.is_some() {
            &sources.directories
        } else {
            &[]
        };
        Self {
            watch: Watch::new(watched, bell),
            directory,
            optional: *choice == Choice::Beside,
            sources,
            memory: Memory::default(),
            seen: Seen::Unseen,
        }
    }

    /// What has changed since the last look.
    fn look(&mut self, ordered: bool, clock: &Clock) -> Option<Candidate> {
        self.watch.renew();
        let there = |directory: &PathBuf| !self.optional || directory.is_dir();
        let Some(directory) = self.directory.clone().filter(there) else {
            let news = self.seen != Seen::Absent;
            self.seen = Seen::Absent;
            return news.then_some(Candidate::Absent);
        };
        let directories = &self.sources.directories;
        let mut stamp = files::stamp(directories);
        let (before, known) = match &self.seen {
            Seen::Files(stamp, generation) => (Some(*stamp), generation.clone()),
            Seen::Absent | Seen::Unseen => (None, None),
        };
        if before == Some(stamp) && !ordered {
            return None;
        }
        if ordered {
            self.watch.forget_writers();
        } else {
            // The end of the writing rings.
            if !self.watch.being_written(Instant::now()).is_empty() {
                return None;
            }
            stamp = settled(directories, stamp);
        }
        let (gathered, problems) = files::gather(directories);
        match compile_files(gathered, problems, &self.sources, &mut self.memory) {
            Ok((snapshot, _)) => {
                let generation = Some(snapshot.generation().clone());
                let news = generation != known;
                self.seen = Seen::Files(stamp, generation);
                news.then(|| Candidate::Ready(directory, Arc::new(snapshot)))
            }
            Err(problems) => {
                self.seen = Seen::Files(stamp, None);
                let refused = Refused {
                    at: clock.wall(),
                    diagnostics: Arc::new(problems),
                };
                Some(Candidate::Refused(directory, refused))
            }
        }
    }
}
