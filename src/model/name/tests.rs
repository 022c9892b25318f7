use super::*;

fn check(text: &str, expected: &Result<&str, NameError>) {
    let parsed = text.parse::<AgentId>();
    assert_eq!(
        parsed.as_ref().map(AgentId::as_str),
        expected.as_ref().copied(),
        "{text:?}"
    );
}

#[test]
fn names_keep_to_one_safe_alphabet() {
    check("billing-bot", &Ok("billing-bot"));
    check("ana@example.com", &Ok("ana@example.com"));
    check("orders.refund", &Ok("orders.refund"));
    check("", &Err(NameError::Empty));
    check("a b", &Err(NameError::Character(' ')));
    check("a/b", &Err(NameError::Character('/')));
    check("a\r\nb", &Err(NameError::Character('\r')));
    check("a\"b", &Err(NameError::Character('"')));
    check("bot\u{202e}", &Err(NameError::Character('\u{202e}')));
    check("..", &Err(NameError::Start));
    check("-rf", &Err(NameError::Start));
    check(&"a".repeat(129), &Err(NameError::TooLong(129)));
}

#[test]
fn random_ids_are_names() {
    let id = TaskId::random();
    assert_eq!(id.as_str().parse::<TaskId>(), Ok(id));
}

#[test]
fn only_what_looks_made_here_is_of_random_form() {
    let check = |id: &str, expected| {
        let id: TaskId = id.parse().unwrap();
        assert_eq!(id.is_of_random_form(), expected, "{id}");
    };
    check(TaskId::random().as_str(), true);
    check("tsk_0123456789abcdefghjkmnpqrs", true);
    check("tsk_0123456789abcdefghjkmnpqr", false);
    check("tsk_0123456789abcdefghjkmnpqrst", false);
    check("tsk_0123456789abcdefghijkmnpqr", false);
    check("TSK_0123456789abcdefghjkmnpqrs", false);
    check("grt_0123456789abcdefghjkmnpqrs", false);
    check("tsk_1", false);
    check("refund-7", false);
}

#[test]
fn generations_read_back() {
    let generation = Generation::new(crate::base::Digest::of(b"rules"));
    assert_eq!(
        Generation::from_hex(generation.as_str()),
        Some(generation.clone())
    );
    for wrong in ["", "0", &"F".repeat(16), &"g".repeat(16), &"0".repeat(17)] {
        assert_eq!(Generation::from_hex(wrong), None, "{wrong}");
    }
}

#[test]
fn an_id_is_found_by_its_text_whoever_has_made_it() {
    let random = GrantId::random();
    assert_eq!(random.as_str().len(), RANDOM);
    let long = format!("{random}x");
    for text in [
        "grt_1",
        random.as_str(),
        &long,
        "x.234567890123456789012345678-z",
    ] {
        let id: GrantId = text.parse().unwrap();
        assert_eq!(id.as_str(), text);
        let by_hash = std::collections::HashSet::from([id.clone()]);
        let in_order = std::collections::BTreeSet::from([random.clone(), id.clone()]);
        assert!(by_hash.contains(text) && in_order.contains(text));
        assert_eq!(id == random, text == random.as_str());
    }
    let ids = ["b", random.as_str(), "a"].map(|id| id.parse::<RequestId>().unwrap());
    let mut in_order = ids.clone();
    in_order.sort();
    assert_eq!(in_order, [&ids[2], &ids[0], &ids[1]].map(Clone::clone));
}

#[test]
fn a_random_id_takes_nothing_from_the_heap() {
    let id = GrantId::random();
    let taken = allocation_counter::measure(|| drop(id.clone()));
    assert_eq!(taken.count_total, 0);
    let parsed = allocation_counter::measure(|| drop(id.as_str().parse::<GrantId>()));
    assert_eq!(parsed.count_total, 0);
}
