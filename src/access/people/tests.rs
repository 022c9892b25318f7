use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn the_first_key_is_made_once_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new/operator.key");
    People::open(&file).unwrap();
    let key = fs::read_to_string(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let people = People::open(&file).unwrap();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        key,
        "a second start keeps it"
    );
    let person = people.by_key(key.trim()).unwrap();
    assert!(People::is_operator(person));
    for wrong in [
        "",
        "pk_",
        key.trim().trim_end_matches(|_| true),
        "pk_00000000000000000000000000",
    ] {
        assert!(people.by_key(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_file_that_holds_something_else_is_not_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("operator.key");
    fs::write(&file, "hello").unwrap();
    assert!(matches!(
        People::open(&file),
        Err(PeopleError::Malformed(_))
    ));
}
