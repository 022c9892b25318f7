use std::fs;
use std::io::Write;

use super::*;

fn from_file(content: &[u8]) -> Result<Secret<HeaderValue>, UpstreamError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    Credential::read(&CredentialSource::File(file.path().to_owned()))
}

fn check(content: &[u8], expected: Option<&str>) {
    let read = from_file(content).ok();
    let read = read.as_ref().map(|secret| secret.expose());
    let shown = content.get(..content.len().min(40));
    assert_eq!(
        read.map(|value| value.to_str().unwrap()),
        expected,
        "{shown:?}"
    );
    assert!(read.is_none_or(HeaderValue::is_sensitive), "{shown:?}");
}

#[test]
fn blanks_after_a_credential_are_not_part_of_it() {
    check(b"Bearer s3cret", Some("Bearer s3cret"));
    check(b"Bearer s3cret \r\n\n", Some("Bearer s3cret"));
}

#[test]
fn what_no_header_can_carry_is_refused() {
    check(b"", None);
    check(b" \n", None);
    check(b"one\ntwo", None);
    check(b"nul\0", None);
}

#[test]
fn a_credential_has_at_most_eight_kibibytes() {
    let longest = "k".repeat(8 * 1024);
    check(longest.as_bytes(), Some(&longest));
    check(format!("{longest}k").as_bytes(), None);
}

#[test]
fn neither_errors_nor_debug_show_a_credential() {
    let error = from_file(b"s3cret\nsecond").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    let secret = from_file(b"s3cret").unwrap();
    assert!(!format!("{secret:?}").contains("s3cret"));
}

#[test]
fn environment_variables_are_read_and_missing_ones_named() {
    let path = Credential::read(&CredentialSource::Env("PATH".into())).unwrap();
    assert_eq!(
        path.expose().as_bytes(),
        env::var("PATH").unwrap().as_bytes()
    );
    let missing = CredentialSource::Env("PORTCULLIS_TEST_UNSET".into());
    let error = Credential::read(&missing).unwrap_err();
    assert_eq!(error.to_string(), "`env:PORTCULLIS_TEST_UNSET` is not set");
}

#[test]
fn only_regular_files_are_read() {
    for path in ["/dev/zero", "/", "/nowhere/at/all"] {
        let error = Credential::read(&CredentialSource::File(path.into())).unwrap_err();
        assert_eq!(error.to_string(), format!("can't read `file:{path}`"));
    }
}

#[test]
fn a_credential_that_is_replaced_or_taken_away_is_noticed_by_a_look_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let injected = Injected::open(&Injection {
        header: http::header::AUTHORIZATION,
        value_from: CredentialSource::File(file.clone()),
    });
    let check = |expected: Option<&str>| {
        let current = injected.current();
        let value = current.as_ref().as_ref().ok();
        let value = value.map(|secret| secret.expose().to_str().unwrap());
        assert_eq!(value, expected);
        assert!(!format!("{injected:?}").contains("s3cret"));
    };
    check(None);
    fs::write(&file, "s3cret one\n").unwrap();
    check(None);
    injected.refresh();
    check(Some("s3cret one"));
    fs::write(&file, "s3cret two\n").unwrap();
    check(Some("s3cret one"));
    injected.refresh();
    check(Some("s3cret two"));
    fs::remove_file(&file).unwrap();
    injected.refresh();
    check(None);
}
