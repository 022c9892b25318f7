use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::config::credentials::Allowed;

/// Long enough for the slowest machine; nothing here waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// A policy directory that is watched.
struct Watched {
    root: TempDir,
    reloader: Reloader,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Watched {
    /// Starts with one person, `first`.
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("policies")).unwrap();
        fs::write(root.path().join("policies/a.toml"), person("first")).unwrap();
        Self::start_in(root)
    }

    fn start_in(root: TempDir) -> Self {
        let sources = Sources {
            directories: vec![root.path().join("policies")],
            credentials: Allowed::default(),
            stand_in: None,
        };
        let (reloader, watcher) =
            Reloader::open(sources, &Clock::system(), Memory::default()).unwrap();
        Self {
            status: reloader.watch_status(),
            task: tokio::spawn(watcher.run()),
            reloader,
            root,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Waits until a person is known.
    async fn knows(&mut self, person: &str) {
        let live = self.reloader.live();
        let known = |_: &Status| live.current().person(person).is_some();
        let found = timeout(PATIENCE, self.status.wait_for(known)).await;
        found.expect("the change is noticed").unwrap();
    }

    /// Waits until files are refused, and says why.
    async fn refuses(&mut self) -> String {
        let refused = |status: &Status| status.last_refused.is_some();
        let found = timeout(PATIENCE, self.status.wait_for(refused)).await;
        let status = found.expect("the change is noticed").unwrap();
        status
            .last_refused
            .as_ref()
            .unwrap()
            .diagnostics
            .to_string()
    }

    fn live(&self) -> String {
        self.reloader.live().current().generation().to_string()
    }
}

fn person(id: &str) -> String {
    format!("[[person]]\nid = \"{id}\"\n")
}

#[tokio::test]
async fn a_file_written_in_place_goes_live() {
    let mut watched = Watched::start();
    watched.write("policies/a.toml", &person("second"));
    watched.knows("second").await;
    assert!(watched.reloader.live().current().person("first").is_none());
    assert_eq!(
        watched.reloader.status().generation.to_string(),
        watched.live()
    );
}

#[tokio::test]
async fn a_renamed_file_goes_live() {
    let mut watched = Watched::start();
    watched.write("policies/.a.toml.new", &person("second"));
    fs::rename(
        watched.path("policies/.a.toml.new"),
        watched.path("policies/a.toml"),
    )
    .unwrap();
    watched.knows("second").await;
    fs::create_dir(watched.path("policies/team")).unwrap();
    watched.write("policies/team/b.toml", &person("third"));
    watched.knows("third").await;
    watched.write("policies/team/b.toml", &person("fourth"));
    watched.knows("fourth").await;
}

#[tokio::test]
async fn a_config_map_is_swapped_whole() {
    let root = tempfile::tempdir().unwrap();
    let mount = root.path().join("policies");
    let version = |name: &str, people: [&str; 2]| {
        fs::create_dir_all(mount.join(name)).unwrap();
        fs::write(mount.join(name).join("a.toml"), person(people[0])).unwrap();
        fs::write(mount.join(name).join("b.toml"), person(people[1])).unwrap();
    };
    version("..1", ["one-a", "one-b"]);
    symlink("..1", mount.join("..data")).unwrap();
    symlink("..data/a.toml", mount.join("a.toml")).unwrap();
    symlink("..data/b.toml", mount.join("b.toml")).unwrap();
    let mut watched = Watched::start_in(root);
    for (number, before) in [(2, "..1"), (3, "..2"), (4, "..3")] {
        let name = format!("..{number}");
        let mount = watched.path("policies");
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        fs::create_dir(mount.join(&name)).unwrap();
        fs::write(mount.join(&name).join("a.toml"), person(&a)).unwrap();
        fs::write(mount.join(&name).join("b.toml"), person(&b)).unwrap();
        symlink(&name, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        fs::remove_dir_all(mount.join(before)).unwrap();
        watched.knows(&a).await;
        assert!(watched.reloader.live().current().person(&b).is_some());
    }
}

#[tokio::test]
async fn a_linked_directory_is_swapped_whole() {
    let root = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join("a.toml"), person(name)).unwrap();
    }
    symlink("one", root.path().join("policies")).unwrap();
    let mut watched = Watched::start_in(root);
    symlink("two", watched.path("new")).unwrap();
    fs::rename(watched.path("new"), watched.path("policies")).unwrap();
    watched.knows("two").await;
    watched.write("two/a.toml", &person("three"));
    watched.knows("three").await;
}

#[tokio::test]
async fn a_burst_of_changes_goes_live_together() {
    let mut watched = Watched::start();
    let published = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&published);
    watched.reloader.on_publish(move |snapshot| {
        seen.lock().unwrap().push(snapshot.people().count());
    });
    for number in 0..100 {
        watched.write(
            &format!("policies/{number}.toml"),
            &person(&format!("p{number}")),
        );
    }
    watched.knows("p99").await;
    timeout(PATIENCE, watched.reloader.reload())
        .await
        .unwrap()
        .unwrap();
    let published = published.lock().unwrap().clone();
    assert_eq!(published.last(), Some(&102));
    assert!(published.len() <= 10, "{published:?}");
}

#[tokio::test]
async fn a_broken_edit_changes_nothing_until_it_is_mended() {
    let mut watched = Watched::start();
    let before = watched.live();
    watched.write(
        "policies/a.toml",
        "[[person]]\nid = \"second\"\ngroup = [\"x\"]\n",
    );
    let said = watched.refuses().await;
    assert!(
        said.contains("a.toml:3:1: error: unknown key `group`"),
        "{said}"
    );
    assert_eq!(watched.live(), before);
    assert_eq!(watched.reloader.status().generation.to_string(), before);
    watched.write("policies/a.toml", &person("second"));
    watched.knows("second").await;
    assert!(watched.reloader.status().last_refused.is_none());
}

#[tokio::test]
async fn a_broken_edit_that_is_taken_back_is_forgotten() {
    let mut watched = Watched::start();
    let before = watched.reloader.status();
    watched.write("policies/a.toml", "x");
    watched.refuses().await;
    watched.write("policies/a.toml", &person("first"));
    let accepted = |status: &Status| status.last_refused.is_none();
    timeout(PATIENCE, watched.status.wait_for(accepted))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(watched.reloader.status().since, before.since);
}

#[tokio::test]
async fn a_directory_that_goes_away_is_not_no_rules() {
    let mut watched = Watched::start();
    for number in 0..3 {
        let before = watched.live();
        fs::remove_dir_all(watched.path("policies")).unwrap();
        let said = watched.refuses().await;
        assert!(said.contains("policies: error: "), "{said}");
        assert_eq!(watched.live(), before);
        let next = format!("p{number}");
        fs::create_dir(watched.path("policies")).unwrap();
        watched.write("policies/a.toml", &person(&next));
        watched.knows(&next).await;
        // The new directory is the one that is watched now.
        let later = format!("q{number}");
        watched.write("policies/a.toml", &person(&later));
        watched.knows(&later).await;
    }
}

#[tokio::test]
async fn a_directory_may_be_replaced_by_another() {
    let mut watched = Watched::start();
    fs::create_dir(watched.path("new")).unwrap();
    watched.write("new/a.toml", &person("second"));
    fs::rename(watched.path("policies"), watched.path("old")).unwrap();
    fs::rename(watched.path("new"), watched.path("policies")).unwrap();
    watched.knows("second").await;
    watched.write("policies/a.toml", &person("third"));
    watched.knows("third").await;
}

#[tokio::test]
async fn an_emptied_directory_is_refused() {
    let mut watched = Watched::start();
    fs::remove_file(watched.path("policies/a.toml")).unwrap();
    let said = watched.refuses().await;
    assert!(said.contains("there are no policy files here"), "{said}");
    assert!(watched.reloader.live().current().person("first").is_some());
}

#[tokio::test]
async fn a_reload_answers_with_what_became_of_it() {
    let watched = Watched::start();
    let reload = async || {
        timeout(PATIENCE, watched.reloader.reload())
            .await
            .unwrap()
            .unwrap()
    };
    assert!(matches!(reload().await, Outcome::Unchanged));
    watched.write("policies/a.toml", "x");
    assert!(matches!(reload().await, Outcome::Refused(_)));
    // Asked again it looks again: what the files refer to may have changed.
    assert!(matches!(reload().await, Outcome::Refused(_)));
    watched.write("policies/a.toml", &person("second"));
    reload().await;
    assert!(watched.reloader.live().current().person("second").is_some());
    assert!(matches!(reload().await, Outcome::Unchanged));
}

#[tokio::test]
async fn listeners_have_run_when_a_reload_answers() {
    let watched = Watched::start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, live) = (Arc::clone(&seen), watched.reloader.live());
    watched.reloader.on_publish(move |snapshot| {
        let current = live.current().generation().clone();
        sink.lock()
            .unwrap()
            .push((snapshot.generation().clone(), current));
    });
    watched.write("policies/a.toml", &person("second"));
    let outcome = timeout(PATIENCE, watched.reloader.reload())
        .await
        .unwrap()
        .unwrap();
    let seen = seen.lock().unwrap().clone();
    let [(told, current)] = seen.as_slice() else {
        panic!("{outcome:?} {seen:?}");
    };
    assert_eq!(told, current);
    assert_eq!(told.as_str(), watched.live());
}

#[tokio::test]
async fn many_reloads_at_once_are_all_answered() {
    let watched = Watched::start();
    watched.write("policies/a.toml", &person("second"));
    let reloads: Vec<_> = (0..100)
        .map(|_| {
            let reloader = watched.reloader.clone();
            tokio::spawn(async move { reloader.reload().await })
        })
        .collect();
    for reload in reloads {
        timeout(PATIENCE, reload).await.unwrap().unwrap().unwrap();
    }
    assert!(watched.reloader.live().current().person("second").is_some());
}

#[tokio::test]
async fn a_listener_that_panics_does_not_end_the_watch() {
    let mut watched = Watched::start();
    watched.reloader.on_publish(|_| panic!("a defect"));
    watched.write("policies/a.toml", &person("second"));
    watched.knows("second").await;
    watched.write("policies/a.toml", &person("third"));
    watched.knows("third").await;
}

#[tokio::test]
async fn the_watch_ends_with_its_last_handle() {
    let Watched {
        root: _root,
        reloader,
        status,
        task,
    } = Watched::start();
    let second = reloader.clone();
    drop(reloader);
    assert!(matches!(second.reload().await, Ok(Outcome::Unchanged)));
    drop((second, status));
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_waits_for_a_watch_that_is_gone() {
    let watched = Watched::start();
    watched.task.abort();
    let _ = watched.task.await;
    assert_eq!(watched.reloader.reload().await.unwrap_err(), Stopped);
}

#[test]
fn nothing_starts_without_good_files() {
    let open = |directory: &Path| {
        let sources = Sources {
            directories: vec![directory.to_owned()],
            credentials: Allowed::default(),
            stand_in: None,
        };
        Reloader::open(sources, &Clock::system(), Memory::default()).map(|_| ())
    };
    let root = tempfile::tempdir().unwrap();
    assert!(open(&root.path().join("missing")).is_err());
    assert!(open(root.path()).is_err());
    fs::write(root.path().join("a.toml"), "x").unwrap();
    assert!(open(root.path()).is_err());
    fs::write(root.path().join("a.toml"), person("first")).unwrap();
    assert!(open(root.path()).is_ok());
}
