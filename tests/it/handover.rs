//! One gateway takes over from another: both have the same listening sockets (`LISTEN_FDS`), and the store
//! goes from hand to hand. Clients notice nothing but a pause.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{DevDirectories, serve};

/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request is made so often by each client.
const PACE: Duration = Duration::from_millis(1);

/// The sockets that all gateways of a test have.
struct Sockets {
    gateway: TcpListener,
    control: TcpListener,
}

/// `portcullis serve` with handed-over sockets.
struct Served {
    child: Child,
    lines: Receiver<String>,
}

impl Served {
    fn start(directories: &DevDirectories, sockets: &Sockets, more: &str) -> Self {
        let mut child = serve(directories, [&sockets.gateway, &sockets.control], more);
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = sync_channel(1024);
        thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits until it says something.
    fn says(&self, text: &str) {
        let mut said = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("it does not say `{text}`, but {said:#?}");
            };
            if line.contains(text) {
                return;
            }
            said.push(line);
        }
    }

    fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that asks again and again.
struct Client {
    address: SocketAddr,
    path: &'static str,
    /// Whether its connection is for more than one request.
    keeps: bool,
    connection: Option<TcpStream>,
}

impl Client {
    /// One answer. A connection that was kept may have been closed before the request came to it, which
    /// every client has to expect (RFC 9112 §9.3.1); nothing else may go wrong.
    fn ask(&mut self) -> io::Result<u16> {
        if let Some(kept) = self.connection.take()
            && let Ok(status) = self.ask_on(kept)
        {
            return Ok(status);
        }
        let fresh = TcpStream::connect(self.address)?;
        fresh.set_nodelay(true)?;
        fresh.set_read_timeout(Some(PATIENCE))?;
        self.ask_on(fresh)
    }

    fn ask_on(&mut self, mut connection: TcpStream) -> io::Result<u16> {
        let close = if self.keeps {
            ""
        } else {
            "connection: close\r\n"
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n",
            self.path
        );
        connection.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            connection.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head)
            .map_err(io::Error::other)?
            .to_ascii_lowercase();
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .clone()
                .find(|(one, _)| *one == name)
                .map(|(_, value)| value.to_owned())
        };
        let length = field("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        connection.read_exact(&mut body)?;
        if self.keeps && field("connection").as_deref() != Some("close") {
            self.connection = Some(connection);
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::other(head))
    }
}

fn directories(sockets: &Sockets) -> DevDirectories {
    let directories = DevDirectories::new();
    let settings = format!(
        "[gateway]\nworkers = 2\n[[gateway.listen]]\naddress = \"{}\"\n\
         [control]\nlisten = \"{}\"\n[limits]\ndrain = \"5s\"\n",
        sockets.gateway.local_addr().unwrap(),
        sockets.control.local_addr().unwrap(),
    );
    std::fs::write(directories.path("portcullis.toml"), settings).unwrap();
    directories
}

fn sockets() -> Sockets {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    Sockets {
        gateway: bind(),
        control: bind(),
    }
}

#[test]
fn a_successor_takes_over_without_a_failed_request() {
    let sockets = sockets();
    let directories = directories(&sockets);
    let gateway = sockets.gateway.local_addr().unwrap();
    let control = sockets.control.local_addr().unwrap();
    let mut running = Served::start(&directories, &sockets, "");
    running.says("the control side listens on");
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let metadata = "/.well-known/oauth-protected-resource";
    let loads = [
        (gateway, metadata, true),
        (gateway, metadata, true),
        (gateway, metadata, false),
        (gateway, metadata, false),
        (control, "/livez", false),
    ];
    thread::scope(|scope| {
        for (address, path, keeps) in loads {
            let (over, answers) = (&over, &answers);
            scope.spawn(move || {
                let mut client = Client {
                    address,
                    path,
                    keeps,
                    connection: None,
                };
                while !over.load(Ordering::Relaxed) {
                    let answer = client.ask();
                    if !matches!(answer, Ok(200)) {
                        over.store(true, Ordering::Relaxed);
                        panic!("{path} on a connection that is kept ({keeps}): {answer:?}");
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(PACE);
                }
            });
        }
        let answered = |more: usize| {
            let goal = answers.load(Ordering::Relaxed) + more;
            while answers.load(Ordering::Relaxed) < goal && !over.load(Ordering::Relaxed) {
                thread::sleep(PACE);
            }
        };
        for _ in 0..3 {
            answered(200);
            let next = Served::start(&directories, &sockets, "--take-over");
            next.says("waiting for the gateway before this one to stop");
            answered(200);
            let before = std::mem::replace(&mut running, next);
            assert!(before.stop().success());
            running.says("the control side listens on");
            answered(200);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(running.stop().success());
}

/// What a program reads line by line has nothing else in it.
#[test]
fn a_log_for_programs_is_json_line_by_line() {
    let sockets = sockets();
    let directories = directories(&sockets);
    let served = Served::start(&directories, &sockets, "--output json");
    let mut said = Vec::new();
    while !said
        .iter()
        .any(|line: &String| line.contains("the control side listens on"))
    {
        said.push(served.lines.recv_timeout(PATIENCE).expect("it serves"));
    }
    let mut served = served;
    kill_process(Pid::from_child(&served.child), Signal::TERM).unwrap();
    assert!(served.child.wait().unwrap().success());
    said.extend(served.lines.iter());
    for line in said {
        let read: Result<serde_json::Value, _> = serde_json::from_str(&line);
        assert!(read.is_ok(), "{line}");
    }
}

/// As process 1 of a container it would not even notice the signal if it did not ask for it.
#[test]
fn a_gateway_that_is_not_ready_yet_can_be_stopped() {
    let sockets = sockets();
    let directories = directories(&sockets);
    let running = Served::start(&directories, &sockets, "");
    running.says("the control side listens on");
    let next = Served::start(&directories, &sockets, "--take-over");
    next.says("waiting for the gateway before this one to stop");
    // Whoever changes a file does not know that it is not ready.
    kill_process(Pid::from_child(&next.child), Signal::HUP).unwrap();
    assert!(next.stop().success());
    assert!(running.stop().success());
}

#[test]
fn a_socket_that_no_listener_is_for_stops_the_start() {
    let sockets = sockets();
    let directories = directories(&sockets);
    let stray = Sockets {
        gateway: sockets.gateway,
        control: TcpListener::bind("127.0.0.1:0").unwrap(),
    };
    drop(sockets.control);
    let served = Served::start(&directories, &stray, "");
    served.says(&format!(
        "a socket for `{}` was handed over, where the settings have no listener",
        stray.control.local_addr().unwrap()
    ));
}
