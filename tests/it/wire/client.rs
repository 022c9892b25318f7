//! A client that writes exactly the bytes it is told to, and reads answers one by one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// What works answers sooner.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
    /// The answer that comes next has no body, whatever its head says.
    pub(super) head_only: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it says that the connection ends behind it.
    pub(super) fn closes(&self) -> bool {
        let old = self.head.starts_with("http/1.0 ");
        old || self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Raw {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
            head_only: false,
        }
    }

    /// Sends; says whether the other side still took it.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(super) fn stop_sending(&mut self) {
        // It may have closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer, or none where the connection ends in its proper way before it.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        let end = self.read_until(|bytes| {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            end.map(|end| end + 4)
        })?;
        let head: Vec<u8> = self.received.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head[9..12].parse().unwrap();
        let value = |name: &str| {
            let lines = head.split("\r\n");
            let mut values = lines.filter_map(|line| line.strip_prefix(name));
            values
                .next()
                .map(|value| value.trim_start_matches(':').trim())
        };
        let bodiless = std::mem::take(&mut self.head_only) || status < 200 || status == 204;
        let body = if bodiless {
            Vec::new()
        } else if value("transfer-encoding") == Some("chunked") {
            self.chunks()
        } else if let Some(length) = value("content-length") {
            let length = length.parse().unwrap();
            let whole = self.read_until(|bytes| (bytes.len() >= length).then_some(length));
            whole.expect("the answer breaks off");
            self.received.drain(..length).collect()
        } else {
            while self.more() {}
            std::mem::take(&mut self.received)
        };
        Some(Answer { status, head, body })
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(|bytes| {
                let end = bytes.windows(2).position(|two| two == b"\r\n");
                end.map(|end| end + 2)
            });
            let line: Vec<u8> = self.received.drain(..line.unwrap()).collect();
            let size = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let size = usize::from_str_radix(&size, 16).unwrap();
            let whole = self.read_until(|bytes| (bytes.len() >= size + 2).then_some(size + 2));
            whole.expect("the answer breaks off");
            body.extend(self.received.drain(..size));
            self.received.drain(..2);
            if size == 0 {
                return body;
            }
        }
    }

    /// Whether something comes within `time`.
    pub(super) fn waits(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let came = match self.stream.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(error) => panic!("the connection ends in the wrong way: {error}"),
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        came
    }

    /// Whether the connection ends, in its proper way and with nothing before its end.
    pub(super) fn ends(&mut self) -> bool {
        while self.more() {}
        self.received.is_empty()
    }

    fn read_until(&mut self, is_there: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(end) = is_there(&self.received) {
                return Some(end);
            }
            if !self.more() {
                assert!(
                    self.received.is_empty(),
                    "the answer breaks off: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
                return None;
            }
        }
    }

    fn more(&mut self) -> bool {
        let mut space = [0; 64 << 10];
        match self.stream.read(&mut space) {
            Ok(count) => {
                self.received.extend_from_slice(&space[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!(
                    "neither an answer nor an end; so far {:?}",
                    String::from_utf8_lossy(&self.received)
                )
            }
            Err(error) => panic!("the connection ends in the wrong way: {error}"),
        }
    }
}
