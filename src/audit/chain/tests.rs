use proptest::prelude::*;

use super::*;

/// One whole line after `head`, without its line break.
fn sealed(head: &mut Head, members: &str) -> Vec<u8> {
    let mut line = Vec::new();
    head.start(&mut line);
    line.extend_from_slice(members.as_bytes());
    head.seal(&mut line, 0);
    assert_eq!(line.pop(), Some(b'\n'));
    line
}

fn check(line: &[u8], expected: Result<(), Fault>) {
    assert_eq!(Head::NONE.follow(line).map(drop), expected);
}

#[test]
fn a_line_names_the_one_before_it_and_its_own_hash() {
    let mut head = Head::NONE;
    let first = sealed(&mut head, r#","kind":"start""#);
    let content = format!(r#"{{"seq":1,"prev":"{}","kind":"start""#, Digest::ZERO);
    let hash = Digest::of(content.as_bytes());
    assert_eq!(
        String::from_utf8(first.clone()).unwrap(),
        format!(r#"{content},"hash":"{hash}"}}"#)
    );
    assert_eq!(head, Head { seq: 1, hash });
    assert_eq!(Head::NONE.follow(&first), Ok(head));

    let before = head;
    let second = sealed(&mut head, "");
    assert_eq!(before.follow(&second), Ok(head));
    assert_eq!(Link::read(&second).unwrap().before(), before);
}

#[test]
fn every_fault_has_its_name() {
    let good = || Head::NONE;
    let other = Head {
        seq: 0,
        hash: Digest::of(b"another chain"),
    };
    let later = Head {
        seq: 6,
        hash: Digest::ZERO,
    };
    check(&sealed(&mut good(), ""), Ok(()));
    check(&sealed(&mut other.clone(), ""), Err(Fault::Previous));
    check(
        &sealed(&mut later.clone(), ""),
        Err(Fault::Sequence { found: 7, due: 1 }),
    );
    check(&sealed(&mut good(), ",oops"), Err(Fault::Json));
    check(b"", Err(Fault::Seal));
    check(b"{}", Err(Fault::Seal));

    let mut line = b"{\"prev\":1".to_vec();
    good().seal(&mut line, 0);
    check(line.trim_ascii_end(), Err(Fault::Start));

    let mut line = sealed(&mut good(), r#","kind":"start""#);
    line[80] ^= 1;
    check(&line, Err(Fault::Hash));
}

#[test]
fn a_line_is_torn_until_its_last_byte() {
    let line = sealed(&mut Head::NONE.clone(), r#","path":"/,\"hash\":\"""#);
    for length in 0..line.len() {
        assert!(is_torn(&line[..length]), "{length}");
    }
    assert!(!is_torn(&line));
    assert!(!is_torn(&[&line, b"\0".as_slice()].concat()));
    assert!(is_torn(&[0; 4096]));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_line(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Head::NONE.follow(&line).is_err());
    }
}
