//! One case: bytes, their answers, and what the upstream sees.

use super::client::Raw;
use super::harness::Gateway;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It ends, and nothing behind the bytes is read.
    Closed,
    /// It serves on.
    Open,
}

pub(super) use Then::{Closed, Open};

pub(super) struct Case {
    name: String,
    send: Vec<u8>,
    expected: Vec<u16>,
    then: Then,
    seen: Vec<String>,
}

/// In `send` and `seen`, `$H` is a line with the host, `$A` one with the token, `$P` a path of this case
/// alone, `$T` the token.
pub(super) fn case(
    name: &str,
    send: impl AsRef<[u8]>,
    expected: &[u16],
    then: Then,
    seen: &[&str],
) -> Case {
    Case {
        name: name.to_owned(),
        send: send.as_ref().to_vec(),
        expected: expected.to_vec(),
        then,
        seen: seen.iter().map(|line| (*line).to_owned()).collect(),
    }
}

/// A request that is refused with `status`, and the connection with it.
pub(super) fn refused(name: &str, send: impl AsRef<[u8]>, status: u16) -> Case {
    case(name, send, &[status], Closed, &[])
}

/// Requests that all pass.
pub(super) fn served(name: &str, send: impl AsRef<[u8]>, seen: &[&str]) -> Case {
    case(name, send, &vec![200; seen.len()], Open, seen)
}

/// Runs the cases, each on a connection of its own, and at the end looks at all that the upstream has
/// seen and all that was recorded.
pub(super) fn run(gateway: Gateway, cases: &[Case]) {
    for (number, case) in cases.iter().enumerate() {
        Run {
            case,
            prefix: format!("/c{number}"),
            gateway: &gateway,
        }
        .run();
    }
    let mut expected = 0;
    for (number, case) in cases.iter().enumerate() {
        let probes = usize::from(case.then == Open);
        expected += case.seen.len() + probes;
        let lines = gateway.upstream.lines(&format!("/c{number}/"));
        assert_eq!(
            lines.len(),
            case.seen.len() + probes,
            "{}: {lines:?}",
            case.name
        );
    }
    let all = gateway.upstream.all();
    let whole = all.iter().filter(|one| one.whole).count();
    assert_eq!(whole, expected, "the upstream saw more than it was sent");
    let smuggled = all.iter().find(|one| one.target.contains("smuggled"));
    assert!(smuggled.is_none(), "{smuggled:?}");

    let records = gateway.stop();
    let answers = |status: u16| {
        let all = cases.iter().flat_map(|case| case.expected.iter());
        all.filter(|one| **one == status).count()
    };
    for status in [400, 401, 404, 408, 414, 431] {
        let recorded = records.iter().filter(|record| record["status"] == status);
        assert_eq!(recorded.count(), answers(status), "records of {status}");
    }
}

struct Run<'a> {
    case: &'a Case,
    prefix: String,
    gateway: &'a Gateway,
}

impl Run<'_> {
    fn run(&self) {
        let Case {
            name,
            expected,
            then,
            seen,
            ..
        } = self.case;
        let mut client = self.gateway.connect();
        let mut send = self.filled(&self.case.send);
        if *then == Closed {
            send.extend(self.filled(b"GET /smuggled HTTP/1.1\r\n$H$A\r\n"));
        }
        client.send(&send);
        let mut last = None;
        for (number, status) in expected.iter().enumerate() {
            let answer = client.answer();
            let answer = answer.unwrap_or_else(|| panic!("{name}: no answer {number}"));
            assert_eq!(answer.status, *status, "{name}: {}", answer.text());
            if answer.status == 200
                && let Some(line) = seen
                    .iter()
                    .filter(|_| seen.len() == expected.len())
                    .nth(number)
            {
                assert_eq!(answer.text(), self.line(line), "{name}");
            }
            last = Some(answer);
        }
        match then {
            Closed => {
                assert!(client.ends(), "{name}: more than the expected answers");
                let said = last.is_none_or(|last| last.closes());
                assert!(said, "{name}: the end is not announced");
            }
            Open => self.probe(&mut client),
        }
        let mut expected: Vec<_> = seen.iter().map(|line| self.line(line)).collect();
        expected.extend((*then == Open).then(|| self.line("GET $P/probe")));
        assert_eq!(
            self.gateway.upstream.lines(&format!("{}/", self.prefix)),
            expected,
            "{name}"
        );
    }

    fn probe(&self, client: &mut Raw) {
        client.send(&self.filled(b"GET $P/probe HTTP/1.1\r\n$H$A\r\n"));
        let answer = client.answer();
        let answer = answer.unwrap_or_else(|| panic!("{}: the connection ends", self.case.name));
        assert_eq!(
            answer.text(),
            self.line("GET $P/probe"),
            "{}",
            self.case.name
        );
    }

    fn line(&self, line: &str) -> String {
        line.replace("$P", &self.prefix)
    }

    fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        let host = format!("Host: {}\r\n", self.gateway.address);
        let authorization = format!("Authorization: Bearer {}\r\n", self.gateway.token);
        let mut filled = bytes.to_vec();
        for (name, value) in [
            ("$H", host.as_str()),
            ("$A", authorization.as_str()),
            ("$P", self.prefix.as_str()),
            ("$T", self.gateway.token.as_str()),
            ("$N", &self.gateway.address.to_string()),
        ] {
            while let Some(at) = filled.windows(2).position(|two| two == name.as_bytes()) {
                filled.splice(at..at + 2, value.bytes());
            }
        }
        filled
    }
}
