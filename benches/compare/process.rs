//! Programs that run beside this one, each on the core it is told, and what they use of the machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Where what is measured runs. Load and server run on core 0.
pub(crate) const MEASURED: &str = "1";

/// How often something that should come about is looked for, and how long.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: u32 = 500;

/// A program that was started, and is stopped when this is dropped. It goes with us, too, if we are killed.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// The nanoseconds that each thread of a program has run. Those of threads that are gone don't count.
pub(crate) struct Ran(BTreeMap<(u32, u32), u64>);

impl Process {
    /// Starts `command` on `cores`; what it says goes to `log`.
    pub(crate) fn start(cores: &str, command: &Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", cores])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let log = log.to_owned();
        Self { child, log }
    }

    /// Waits until it takes connections at `address`.
    ///
    /// # Errors
    ///
    /// What it said, where it ended or nothing came of it.
    pub(crate) fn ready(&mut self, address: SocketAddr) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                break;
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            sleep(PAUSE);
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let said: Vec<_> = said.lines().rev().take(3).collect();
        Err(format!("it does not start: {}", said.join(" · ")))
    }

    /// The program and its descendants.
    fn all(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut next = 0;
        while let Some(one) = all.get(next).copied() {
            for task in entries(&format!("/proc/{one}/task")) {
                let children = fs::read_to_string(format!("/proc/{one}/task/{task}/children"));
                let children = children.unwrap_or_default();
                all.extend(
                    children
                        .split_whitespace()
                        .map(|id| id.parse::<u32>().unwrap()),
                );
            }
            next += 1;
        }
        all
    }

    pub(crate) fn ran(&self) -> Ran {
        let threads = |process: u32| {
            entries(&format!("/proc/{process}/task"))
                .into_iter()
                .map(move |thread| (process, thread))
        };
        let ran = |(process, thread): (u32, u32)| {
            // First of three: nanoseconds on a processor, as in `utime` + `stime`, but finer.
            let path = format!("/proc/{process}/task/{thread}/schedstat");
            let text = fs::read_to_string(path).ok()?;
            let nanos = text.split(' ').next()?.parse().ok()?;
            Some(((process, thread), nanos))
        };
        let all = self.all().into_iter();
        Ran(all.flat_map(threads).filter_map(ran).collect())
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let of = |process: &u32| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.all().iter().filter_map(of).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Not a kill: a master has to stop its workers.
        if let Some(id) = id
            && kill_process(id, Signal::TERM).is_ok()
        {
            for _ in 0..PATIENCE {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                sleep(PAUSE);
            }
        }
        // It is gone already, or nothing else helps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// What has run since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let since = |(thread, nanos): (&(u32, u32), &u64)| {
            nanos.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0))
        };
        Duration::from_nanos(self.0.iter().map(since).sum())
    }
}

/// The numbers among the names in `directory`.
fn entries(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}
