use std::fs;
use std::path::PathBuf;

use super::*;

#[test]
fn the_contents_of_tls_files_count() {
    let directory = tempfile::tempdir().unwrap();
    let ca: PathBuf = directory.path().join("ca.pem");
    let tls = UpstreamTls {
        ca: Some(ca.clone()),
        ..UpstreamTls::default()
    };
    fs::write(&ca, "one").unwrap();
    let before = files_digest(&tls);
    assert_eq!(before, files_digest(&tls));
    fs::write(&ca, "two").unwrap();
    assert_ne!(before, files_digest(&tls));
}
