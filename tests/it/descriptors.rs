//! Too few files that may be open: whoever is served is served whole, and the start says what is missing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::DevDirectories;

/// A gateway that may open so many files.
struct Poor {
    child: Child,
    ready: Option<Value>,
}

impl Poor {
    fn start(directories: &DevDirectories, files: usize) -> Self {
        let dev = directories.dev(["--plain", "--output", "json"]);
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
        shell.arg(dev.get_program()).args(dev.get_args());
        shell.current_dir(dev.get_current_dir().unwrap());
        shell.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = shell.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).ok();
        let ready = ready.filter(|ready: &Value| ready["gateway"].is_string());
        Self { child, ready }
    }

    fn address(&self, url: &str) -> SocketAddr {
        let ready = self.ready.as_ref().expect("it has started");
        let (_, port) = ready[url].as_str().unwrap().rsplit_once(':').unwrap();
        (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into()
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status that a client at `source` is answered with.
fn status(source: [u8; 4], to: SocketAddr, path: &str) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source = SocketAddr::from((source, 0));
    socket.bind(&source.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn one_address_does_not_take_all_files() {
    let directories = DevDirectories::new();
    let gate = Poor::start(&directories, 256);
    let (gateway, control) = (gate.address("gateway"), gate.address("control"));
    let greedy = [gateway, control].map(|to| {
        let many = (0..250).map(|_| TcpStream::connect(to).unwrap());
        many.collect::<Vec<_>>()
    });
    assert_eq!(status([127, 0, 0, 2], gateway, "/orders"), "401");
    assert_eq!(status([127, 0, 0, 2], control, "/readyz"), "200");
    drop(greedy);
}

#[test]
fn a_gateway_without_its_workers_does_not_start() {
    let directories = DevDirectories::new();
    // Where each step of the start takes some more, the least that it starts with is just enough.
    let (mut too_few, mut enough) = (8, 256);
    while enough - too_few > 1 {
        let files = usize::midpoint(too_few, enough);
        let gate = Poor::start(&directories, files);
        if gate.ready.is_none() {
            too_few = files;
            continue;
        }
        enough = files;
        let gateway = TcpStream::connect(gate.address("gateway"));
        assert!(gateway.is_ok(), "nobody listens, with {files} files");
    }
}
