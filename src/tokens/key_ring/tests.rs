use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const NOW: i64 = 1_800_000_000;
const OVERLAP_SECONDS: i64 = 65 * 60;

fn open(directory: &Path, now: i64) -> KeyRing {
    KeyRing::open(directory, Algorithm::Es256, now).unwrap()
}

fn files(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn the_first_start_makes_one_private_key_and_the_second_finds_it() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("data/keys");
    let first = open(&keys, NOW);
    let second = open(&keys, NOW + 1);
    assert_eq!(first.signing.kid(), second.signing.kid());
    assert_eq!(files(&keys), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    assert_eq!(
        mode(&keys.join(format!("{}.jwk", first.signing.kid()))),
        0o600
    );
}

#[test]
fn an_older_key_verifies_until_its_overlap_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let old = open(directory.path(), NOW);
    let (ring, rotation) = old
        .rotate(directory.path(), Algorithm::Es256, NOW + 10)
        .unwrap();
    assert_eq!(
        rotation,
        Rotation {
            kid: ring.signing.kid(),
            removed: Vec::new()
        }
    );
    assert_ne!(ring.signing.kid(), old.signing.kid());
    assert_eq!(ring.verifying.keys().len(), 2);
    let over = NOW + 10 + OVERLAP_SECONDS;
    for (now, verifying, outdated) in [(over - 1, 2, false), (over, 1, true)] {
        assert_eq!(ring.is_outdated(now), outdated);
        // A restart sees what a running process sees, the files included.
        let (left, _) = ring.without_retired(directory.path(), now);
        assert_eq!(left.verifying.keys().len(), verifying);
        assert_eq!(left.version, ring.version + u64::from(outdated));
        assert_eq!(
            open(directory.path(), now).verifying.keys().len(),
            verifying
        );
        assert_eq!(files(directory.path()), verifying);
        assert_eq!(left.signing.kid(), rotation.kid);
    }
}

#[test]
fn two_rotations_in_one_second_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = open(directory.path(), NOW);
    for _ in 0..3 {
        ring = ring
            .rotate(directory.path(), Algorithm::Es256, NOW)
            .unwrap()
            .0;
        assert_eq!(
            open(directory.path(), NOW).signing.kid(),
            ring.signing.kid()
        );
    }
    assert_eq!(ring.verifying.keys().len(), 4);
}

#[test]
fn another_algorithm_is_a_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let old = open(directory.path(), NOW);
    let ring = KeyRing::open(directory.path(), Algorithm::EdDsa, NOW).unwrap();
    assert_eq!(ring.signing.verifying_key().algorithm(), Algorithm::EdDsa);
    assert!(
        ring.verifying
            .keys()
            .iter()
            .any(|key| key.kid() == Some(&old.signing.kid()))
    );
}

#[test]
fn keys_without_a_date_verify_and_are_never_deleted() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.jwk", "b.jwk"] {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        key.write(&directory.path().join(name)).unwrap();
    }
    let ring = open(directory.path(), NOW);
    assert_eq!(ring.verifying.keys().len(), 2);
    let (ring, _) = ring
        .rotate(directory.path(), Algorithm::Es256, NOW)
        .unwrap();
    let (ring, removed) = ring.without_retired(directory.path(), NOW + OVERLAP_SECONDS);
    assert_eq!((removed.len(), ring.verifying.keys().len()), (1, 2));
    assert_eq!(files(directory.path()), 3);
}

#[test]
fn too_many_overlapping_keys_are_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = open(directory.path(), NOW);
    while ring.verifying.keys().len() < MOST_KEYS {
        ring = ring
            .rotate(directory.path(), Algorithm::Es256, NOW)
            .unwrap()
            .0;
    }
    let refused = ring.rotate(directory.path(), Algorithm::Es256, NOW);
    assert!(matches!(refused, Err(AuthorityError::TooManyKeys(_))));
    assert_eq!(files(directory.path()), MOST_KEYS);
    open(directory.path(), NOW);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let ring = open(directory.path(), NOW);
    let path = file_of(directory.path(), &ring.signing);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let refused = KeyRing::open(directory.path(), Algorithm::Es256, NOW).unwrap_err();
    assert!(
        refused.to_string().contains(path.to_str().unwrap()),
        "{refused}"
    );
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = KeyRing::open(&file, Algorithm::Es256, NOW).unwrap_err();
    assert!(matches!(refused, AuthorityError::Directory { .. }));
}
