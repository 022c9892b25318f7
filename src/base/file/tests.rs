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

#[test]
fn nobody_waits_for_the_writer_of_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let refused = open_file(&pipe).unwrap_err();
    assert_eq!(refused.to_string(), "not a regular file");
    open_file(directory.path()).unwrap_err();
    fs::write(directory.path().join("file"), "text").unwrap();
    open_file(&directory.path().join("file")).unwrap();
}
