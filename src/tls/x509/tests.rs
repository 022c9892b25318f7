use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

fn certificate() -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["a.example".to_owned(), "127.0.0.1".to_owned()]);
    let params = params.as_mut().unwrap();
    let id = SanType::URI("spiffe://example.org/bot".try_into().unwrap());
    params.subject_alt_names.push(id);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "DE");
    params
        .distinguished_name
        .push(DnType::OrganizationName, " Smith, \"Sons\" + #1 ");
    params.distinguished_name.push(DnType::CommonName, "#bot\n");
    params
        .distinguished_name
        .push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1]), "x");
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn names_and_validity_are_read() {
    let read = Certificate::parse(&certificate()).unwrap();
    assert_eq!(read.dns_names, ["a.example"]);
    assert_eq!(read.uris, ["spiffe://example.org/bot"]);
    assert_eq!(read.not_before.to_string(), "1975-01-01T00:00:00Z");
    assert_eq!(read.not_after.to_string(), "4096-01-01T00:00:00Z");
    assert_eq!(read.subject, read.issuer);
    assert!(!read.is_ca);
}

#[test]
fn a_subject_is_written_so_that_it_reads_one_way() {
    let read = Certificate::parse(&certificate()).unwrap();
    let shown = distinguished_name(&read.subject).unwrap();
    let expected = r#"1.3.6.1.4.1=#0c0178,CN=\#bot\0a,O=\ Smith\, \"Sons\" \+ #1\ ,C=DE"#;
    assert_eq!(shown, expected);
}

#[test]
fn times_have_one_form() {
    let read = |tag: u8, text: &str| {
        let der = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        time(&mut Der::new(&der)).map(|time| time.to_string())
    };
    let good = |tag, text, expected: &str| {
        assert_eq!(read(tag, text).as_deref(), Some(expected), "{text}");
    };
    good(UTC_TIME, "491231235959Z", "2049-12-31T23:59:59Z");
    good(UTC_TIME, "500101000000Z", "1950-01-01T00:00:00Z");
    good(GENERALIZED_TIME, "20500101000000Z", "2050-01-01T00:00:00Z");
    good(
        GENERALIZED_TIME,
        "99991231235959Z",
        &Timestamp::MAX.to_string(),
    );
    for (tag, text) in [
        (UTC_TIME, "4912312359Z"),
        (UTC_TIME, "491231235959+0100"),
        (UTC_TIME, "491331235959Z"),
        (UTC_TIME, "4912312359 9Z"),
        (GENERALIZED_TIME, "20500101000000.5Z"),
        (GENERALIZED_TIME, "20500101000000"),
        (OCTET_STRING, "20500101000000Z"),
    ] {
        assert_eq!(read(tag, text), None, "{text}");
    }
}

#[test]
fn an_extension_stands_once() {
    let mut twice = Vec::new();
    let basic = [
        SEQUENCE,
        9,
        OID,
        3,
        0x55,
        0x1d,
        0x13,
        OCTET_STRING,
        2,
        SEQUENCE,
        0,
    ];
    for _ in 0..2 {
        twice.extend_from_slice(&basic);
    }
    let list = |content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        let mut read = Certificate::parse(&certificate()).unwrap();
        read.extensions(&[&[SEQUENCE, length], content].concat())
    };
    assert_eq!(list(&basic), Some(()));
    assert_eq!(list(&twice), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Certificate::parse(&bytes);
        let _ = distinguished_name(&bytes);
    }

    #[test]
    fn a_damaged_certificate_is_read_or_refused(at: prop::sample::Index, put: u8, cut: prop::sample::Index) {
        let mut der = certificate();
        let at = at.index(der.len());
        der[at] = put;
        if let Some(read) = Certificate::parse(&der) {
            let _ = distinguished_name(&read.subject);
        }
        der.truncate(cut.index(der.len()));
        prop_assert!(Certificate::parse(&der).is_none());
    }
}
