use super::*;

const LINE: &[u8] = b"a line\n";

fn opened() -> (tempfile::TempDir, PathBuf, Files) {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::open(directory.path(), 1).unwrap();
    files.append(LINE).unwrap();
    files.sync().unwrap();
    let path = directory.path().join(name(1));
    (directory, path, files)
}

fn refusal(files: &mut Files) -> String {
    files.append(LINE).unwrap();
    files.sync().unwrap_err().to_string()
}

#[test]
fn nothing_is_written_to_a_segment_that_is_not_there_any_more() {
    let (directory, path, mut files) = opened();
    let aside = directory.path().join("rotated");
    fs::rename(&path, &aside).unwrap();
    assert!(refusal(&mut files).contains("was moved or removed"));
    // As what rotates logs leaves it.
    fs::write(&path, "").unwrap();
    assert!(refusal(&mut files).contains("was moved or removed"));
    fs::rename(&aside, &path).unwrap();
    files.sync().unwrap();

    fs::remove_dir_all(directory.path()).unwrap();
    assert!(refusal(&mut files).contains("was moved or removed"));
}

#[test]
fn what_was_cut_from_a_segment_is_not_made_up() {
    let (_directory, path, mut files) = opened();
    let cut = File::options().write(true).open(&path).unwrap();
    cut.set_len(0).unwrap();
    assert!(refusal(&mut files).contains("was changed by somebody else"));
    // So the writer starts over, as often as it likes.
    for _ in 0..3 {
        files.truncate(LINE.len() as u64).unwrap_err();
        files.append(LINE).unwrap_err();
        files.sync().unwrap_err();
    }
    assert_eq!(fs::read(&path).unwrap(), LINE, "the one that was noticed");

    let (_directory, path, mut files) = opened();
    let cut = File::options().write(true).open(&path).unwrap();
    cut.set_len(0).unwrap();
    files.truncate(LINE.len() as u64).unwrap_err();
    assert!(fs::read(&path).unwrap().is_empty());
}
