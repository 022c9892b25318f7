use super::*;

const START: BootInstant = BootInstant::from_nanos(1_000);

fn key(caller: &str, key: &str) -> Key {
    Key {
        caller: caller.to_owned(),
        key: key.to_owned(),
    }
}

fn kept(body: &'static str) -> Kept {
    Kept {
        status: StatusCode::CREATED,
        location: None,
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn word(turn: &Turn) -> &'static str {
    match turn {
        Turn::Contradiction => "contradiction",
        Turn::Running => "running",
        Turn::Done(_) => "done",
        Turn::Yours => "yours",
    }
}

#[test]
fn a_key_is_one_callers_and_one_requests() {
    let answers = Idempotency::default();
    let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
    let check = |caller: &str, request, expected: &str| {
        let turn = answers.turn(&key(caller, "k"), request, START);
        assert_eq!(word(&turn), expected);
    };
    check("a", one, "yours");
    check("a", one, "running");
    check("a", other, "contradiction");
    check("b", other, "yours");
    answers.keep(&key("a", "k"), kept("x"));
    check("a", one, "done");
    check("a", other, "contradiction");
    answers.free(&key("b", "k"));
    check("b", one, "yours");
}

#[test]
fn an_answer_is_remembered_for_a_day() {
    let answers = Idempotency::default();
    let request = Digest::of(b"1");
    let at = |now| word(&answers.turn(&key("a", "k"), request, now));
    assert_eq!(at(START), "yours");
    answers.keep(&key("a", "k"), kept("x"));
    let nearly = START + (REMEMBERED - Duration::from_secs(1));
    assert_eq!(at(nearly), "done");
    assert_eq!(at(START + REMEMBERED), "yours");
}

#[test]
fn the_oldest_are_forgotten_first() {
    let answers = Idempotency::default();
    let request = Digest::of(b"1");
    let ask = |caller: &str, number: usize| {
        let key = key(caller, &number.to_string());
        let turn = answers.turn(&key, request, START);
        answers.keep(&key, kept("x"));
        word(&turn)
    };
    for number in 0..=MOST_PER_CALLER {
        assert_eq!(ask("a", number), "yours");
    }
    assert_eq!(ask("a", 1), "done");
    assert_eq!(ask("a", 0), "yours");
    for caller in 0..MOST {
        ask(&format!("c{caller}"), 0);
    }
    assert!(answers.answers().by_key.len() <= MOST);
    assert_eq!(ask("a", MOST_PER_CALLER), "yours");
}
