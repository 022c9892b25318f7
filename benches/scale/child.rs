//! A gateway in a process of its own, so that its memory and its time are its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use portcullis::tokens::SigningKey;

use crate::control::Control;
use crate::gateway::{KEY, run};
use crate::runtime;

/// Freed memory goes back to the system a little later.
const SETTLED: Duration = Duration::from_secs(3);

/// Runs the gateway of `directory` until nobody holds its standard input any more.
pub(crate) fn serve(directory: &Path, listen: &str) {
    let runtime = runtime();
    let running = runtime.block_on(run(directory, listen));
    println!(
        "{} {}",
        running.gateway_addresses()[0],
        running.control_address()
    );
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    runtime.block_on(running.stop()).unwrap();
}

/// One that runs. It stops when this is dropped.
pub(crate) struct Apart {
    child: Child,
    pub(crate) gate: SocketAddr,
    pub(crate) control: Control,
}

impl Apart {
    /// Starts the gateway of `directory`.
    pub(crate) fn start(directory: &Path, listen: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("gateway")
            .arg(directory)
            .arg(listen)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = child.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        let (gate, control) = line.trim().split_once(' ').unwrap();
        Self {
            child,
            gate: gate.parse().unwrap(),
            control: Control {
                address: control.parse().unwrap(),
                key: SigningKey::read(&directory.join(KEY)).unwrap(),
            },
        }
    }

    /// Its resident memory once it has come to rest, in KiB.
    pub(crate) fn settled(&self) -> usize {
        sleep(SETTLED);
        resident_of(&self.child.id().to_string())
    }

    /// For how long it has run, all its threads together.
    pub(crate) fn ran(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanos = threads.map(|thread| {
            let path = thread.unwrap().path().join("schedstat");
            let text = fs::read_to_string(path).unwrap();
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// The resident memory of a process, in KiB.
pub(crate) fn resident_of(process: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}
