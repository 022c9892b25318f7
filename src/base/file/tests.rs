use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_private_file_is_replaced_whole_and_leaves_no_draft() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, "old and longer").unwrap();
    write_whole(&path, b"new", Readers::OwnerOnly).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_draft() {
    let directory = tempfile::tempdir().unwrap();
    let taken = directory.path().join("taken");
    fs::create_dir(&taken).unwrap();
    write_whole(&taken, b"x", Readers::Everyone).unwrap_err();
    assert!(taken.is_dir());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    write_whole(&directory.path().join("no/such"), b"x", Readers::Everyone).unwrap_err();
    write_whole(Path::new("/"), b"x", Readers::Everyone).unwrap_err();
}
