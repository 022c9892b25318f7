//! The program itself, as people start it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than the program takes for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that the tests were built with.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_portcullis"))
}

/// A started program, ended with the test.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts `command` and listens to what it says.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut error = child.stderr.take().unwrap();
        let (sender, lines) = sync_channel(1024);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            // What is no text is of no use to a person either.
            let _ = error.read_to_string(&mut text);
            text
        });
        Self {
            child,
            lines,
            errors: Some(errors),
        }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line for {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.ends();
                panic!("it ended with {status}: {}", self.said())
            }
        }
    }

    /// Its lines up to and with the first that `last` is true of.
    pub(crate) fn lines_until(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let done = last(&line);
            lines.push(line);
            if done {
                return lines;
            }
        }
    }

    /// Listens no more: its standard output is closed.
    pub(crate) fn nobody_reads(&mut self) {
        let (_, nothing) = sync_channel(0);
        self.lines = nothing;
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let naps = PATIENCE.as_millis() / 10;
        for _ in 0..naps {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it still runs after {PATIENCE:?}");
    }

    /// What it said on its standard error output, once it has ended.
    pub(crate) fn said(&mut self) -> String {
        let errors = self.errors.take().expect("asked once");
        errors.join().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directories of a development gateway, with a copy of the shipped policies.
pub(crate) struct DevDirectories(tempfile::TempDir);

impl DevDirectories {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        copy(&shipped, &directory.path().join("policies"));
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `portcullis dev` on ports that are free, in these directories.
    pub(crate) fn dev<I: AsRef<OsStr>>(&self, more: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(program());
        command.args(["dev", "--port", "0", "--control-port", "0"]);
        for name in ["data", "certs", "policies"] {
            command.arg(format!("--{name}")).arg(self.path(name));
        }
        command.args(more).current_dir(self.0.path());
        for name in [
            "PORTCULLIS_CONTROL",
            "PORTCULLIS_CA",
            "PORTCULLIS_AGENT_KEY",
            "PORTCULLIS_LOG",
        ] {
            command.env_remove(name);
        }
        command
    }
}

/// Starts `portcullis serve` with the sockets of gateway and control handed over, and `portcullis.toml` of
/// `directories`. What it says is to be read from its standard error output.
pub(crate) fn serve(
    directories: &DevDirectories,
    [gateway, control]: [&TcpListener; 2],
    more: &str,
) -> Child {
    let owned = |socket: &TcpListener| OwnedFd::from(socket.try_clone().unwrap());
    // The shell puts the sockets where sd_listen_fds(3) says that they are.
    let script = format!(
        "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; \
         exec \"$1\" serve {more} --config \"$2\""
    );
    Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(program())
        .arg(directories.path("portcullis.toml"))
        .stdin(Stdio::from(owned(gateway)))
        .stdout(Stdio::from(owned(control)))
        .stderr(Stdio::piped())
        .env_remove("PORTCULLIS_LOG")
        .spawn()
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
