use super::*;

fn shown(document: &Value) -> (String, Vec<String>) {
    let (sections, untold) = (sections(document), untold(document));
    (describe(&sections, untold.is_empty()), untold)
}

/// What a gateway could not look at may well change.
#[test]
fn what_could_not_be_compared_is_not_said_to_stay() {
    let nothing = json!({ "gains": [], "losses": [], "others": [] });
    let whole = json!({ "access": nothing, "exchanges": { "complete": true }, "replay": nothing });
    let (text, untold) = shown(&whole);
    assert_eq!(
        text,
        "nothing changes: every agent comes to every operation as before"
    );
    assert_eq!(untold, [""; 0]);

    let parts = json!({
        "access": nothing,
        "exchanges": { "count": 0, "complete": false, "items": [] },
        "replay": { "error": "can't read `data/audit`" },
    });
    let (text, untold) = shown(&parts);
    assert_eq!(text, "nothing changes of what could be compared");
    assert_eq!(
        untold,
        [
            "decisions of late were not put to the candidate: can't read `data/audit`",
            "not every worker has told which running exchanges would be cut",
        ]
    );
}
