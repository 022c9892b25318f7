use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

const NOW: &str = "2026-11-24T00:00:00Z";

fn contents(name: &str, text: &str) -> Contents {
    Contents {
        path: PathBuf::from(name),
        bytes: text.as_bytes().to_vec(),
    }
}

/// A certificate called `name`, until `year`, issued by `issuer` or itself.
fn make(
    name: &str,
    year: i32,
    issuer: Option<&(CertificateParams, KeyPair)>,
) -> (String, CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(year - 2, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some((issuer, issuer_key)) => {
            params.signed_by(&key, &Issuer::from_params(issuer, issuer_key))
        }
        None => params.self_signed(&key),
    };
    (certificate.unwrap().pem(), params, key)
}

fn check(chain: &str, key: &str) -> Result<Timestamp, String> {
    let (chain, key) = (contents("chain.pem", chain), contents("chain.key", key));
    let checked = Credentials::check(&chain, &key, NOW.parse().unwrap());
    checked
        .map(|credentials| credentials.expires_at)
        .map_err(|error| error.to_string())
}

#[test]
fn a_chain_is_in_order_valid_and_the_keys_own() {
    let (root_pem, root, root_key) = make("root", 2028, None);
    let root = (root, root_key);
    let (leaf_pem, _, leaf_key) = make("leaf", 2027, Some(&root));
    let (old_pem, _, old_key) = make("old", 2026, Some(&root));
    let (new_pem, _, new_key) = make("new", 2029, Some(&root));
    let key = leaf_key.serialize_pem();
    let end = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(check(&leaf_pem, &key), Ok(end));
    assert_eq!(check(&format!("{leaf_pem}{root_pem}"), &key), Ok(end));
    let refused = |chain: &str, key: &str, expected: &str| {
        let message = check(chain, key).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    };
    refused(
        &format!("{leaf_pem}{new_pem}"),
        &key,
        "certificate 2 in `chain.pem` did not issue the one before it",
    );
    refused(
        &format!("{root_pem}{leaf_pem}"),
        &root.1.serialize_pem(),
        "certificate 2 in `chain.pem` did not issue the one before it",
    );
    refused(
        &old_pem,
        &old_key.serialize_pem(),
        "certificate 1 in `chain.pem` expired at 2026-01-01T00:00:00Z",
    );
    refused(
        &new_pem,
        &new_key.serialize_pem(),
        "certificate 1 in `chain.pem` is not valid before 2027-01-01T00:00:00Z",
    );
    refused(
        &leaf_pem,
        &new_key.serialize_pem(),
        "the key in `chain.key` is not that of the certificate in `chain.pem`",
    );
}

#[test]
fn files_that_hold_something_else_are_told_apart() {
    let (pem, _, key) = make("leaf", 2027, None);
    let key = key.serialize_pem();
    let table = [
        (
            "",
            key.as_str(),
            "`chain.pem` has no certificate in PEM form",
        ),
        (
            key.as_str(),
            key.as_str(),
            "`chain.pem` has no certificate in PEM form",
        ),
        (
            pem.as_str(),
            "",
            "`chain.key` has no private key in PEM form",
        ),
        (
            pem.as_str(),
            pem.as_str(),
            "`chain.key` has no private key in PEM form",
        ),
        (
            pem.get(..pem.len() - 40).unwrap(),
            key.as_str(),
            "`chain.pem` is not well-formed PEM",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            key.as_str(),
            "certificate 1 in `chain.pem` can't be read",
        ),
        (
            pem.as_str(),
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "the key in `chain.key` can't be used",
        ),
    ];
    for (chain, key, expected) in table {
        assert_eq!(check(chain, key), Err(expected.to_owned()));
    }
}

#[test]
fn a_bundle_of_the_system_is_taken_for_what_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.crt");
    let (pem, ..) = make("root", 2027, None);
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(&path, format!("{odd}{pem}")).unwrap();
    let absent = directory.path().join("absent.crt");
    assert_eq!(first_bundle(&[&absent, &path]).unwrap().len(), 1);
    assert!(matches!(
        first_bundle(&[&absent]),
        Err(TlsError::NoSystemRoots)
    ));
    fs::write(&path, odd).unwrap();
    assert!(matches!(bundle(&path), Err(TlsError::NoCertificate(_))));
    // Where a person named the file, the whole of it has to be good.
    let strict = contents("ca.pem", &format!("{pem}{odd}")).roots();
    assert!(matches!(
        strict,
        Err(TlsError::Certificate { position: 2, .. })
    ));
}

#[test]
fn an_endless_file_is_not_read() {
    let refused = Contents::read(Path::new("/dev/zero")).unwrap_err();
    assert!(matches!(refused, TlsError::File { .. }));
}
