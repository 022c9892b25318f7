use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// The names that are read, relative to the directory, and what is said.
fn names(directory: &Path) -> (Vec<String>, String) {
    let (files, problems) = gather(&[directory.to_owned()]);
    let prefix = format!("{}/", directory.display());
    let name = |file: &PolicyFile| file.text.name().replace(&prefix, "");
    let names = files.toml.iter().chain(&files.cedar).map(name).collect();
    (names, problems.to_string().replace(&prefix, ""))
}

fn check(directory: &Path, expected: &[&str], problem: &str) {
    let (names, problems) = names(directory);
    assert_eq!(names, expected);
    if problem.is_empty() {
        assert_eq!(problems, "");
    } else {
        assert!(problems.contains(problem), "{problems}");
    }
}

#[test]
fn policy_files_are_found_at_any_depth() {
    let directory = directory(&[
        ("b.toml", "#"),
        ("a.toml", "#"),
        ("teams/orders/rules.cedar", "//"),
        ("teams/orders/a.toml", "#"),
        ("README.md", ""),
        ("tests/table.toml", "#"),
        ("teams/tests/table.toml", "#"),
        (".hidden.toml", "#"),
        (".#a.toml", "#"),
        ("#a.toml#", "#"),
        ("a.toml~", "#"),
        ("a.toml.swp", "#"),
        (".git/config.toml", "#"),
    ]);
    let expected = [
        "a.toml",
        "b.toml",
        "teams/orders/a.toml",
        "teams/orders/rules.cedar",
    ];
    check(directory.path(), &expected, "");
}

#[test]
fn a_mounted_config_map_is_read_once() {
    let directory = directory(&[("..2026_01/a.toml", "x = 1"), ("..2026_01/b.cedar", "//")]);
    let at = |name: &str| directory.path().join(name);
    symlink("..2026_01", at("..data")).unwrap();
    symlink("..data/a.toml", at("a.toml")).unwrap();
    symlink("..data/b.cedar", at("b.cedar")).unwrap();
    check(directory.path(), &["a.toml", "b.cedar"], "");
}

#[test]
fn what_can_not_be_read_is_said() {
    let directory = directory(&[("good.toml", "#"), ("latin.toml", "#")]);
    let at = |name: &str| directory.path().join(name);
    fs::write(at("latin.toml"), b"x = \"\xe9\"").unwrap();
    check(
        directory.path(),
        &["good.toml"],
        "latin.toml: error: this is not UTF-8, from byte 5 on",
    );
    fs::remove_file(at("latin.toml")).unwrap();
    symlink("nowhere", at("dangling.toml")).unwrap();
    check(
        directory.path(),
        &["good.toml"],
        "dangling.toml: error: this can't be read",
    );
    fs::remove_file(at("dangling.toml")).unwrap();
    // Opening a pipe would wait for a writer for ever.
    mknodat(CWD, at("pipe.toml"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    check(
        directory.path(),
        &["good.toml"],
        "pipe.toml: error: this is not a regular file",
    );
    fs::remove_file(at("pipe.toml")).unwrap();
    symlink(".", at("loop")).unwrap();
    check(
        directory.path(),
        &["good.toml"],
        "loop: error: this link leads back",
    );
}

#[test]
fn a_file_that_was_cut_to_nothing_is_not_taken_for_a_change() {
    for text in ["", " \n\t\n"] {
        let directory = directory(&[("a.toml", "#"), ("b.cedar", text)]);
        let (_, problems) = names(directory.path());
        assert!(
            problems.contains("b.cedar: error: this file is empty"),
            "{problems}"
        );
    }
}

#[test]
fn everything_is_bounded() {
    let large = directory(&[("large.toml", &" ".repeat((4 << 20) + 1))]);
    check(
        large.path(),
        &[],
        "large.toml: error: this can't be read: it is larger than 4 MiB",
    );
    let name = format!("{}a.toml", "d/".repeat(16));
    let deep = directory(&[("a.toml", "#"), (&name, "#")]);
    check(
        deep.path(),
        &["a.toml"],
        "directories are nested more than 16 deep",
    );
    let name = format!("{}a.toml", "d/".repeat(15));
    let not_deep = directory(&[(&name, "#")]);
    check(not_deep.path(), &[name.as_str()], "");
    let many = directory(&[]);
    for number in 0..=MOST_FILES {
        fs::write(many.path().join(format!("{number}.toml")), "#").unwrap();
    }
    let (names, problems) = names(many.path());
    assert_eq!(names.len(), MOST_FILES);
    assert!(
        problems.contains("more than 10000 policy files"),
        "{problems}"
    );
}

#[test]
fn no_files_are_not_no_rules() {
    let empty = directory(&[("README.md", "")]);
    check(empty.path(), &[], "error: there are no policy files here");
    check(&empty.path().join("gone"), &[], "error: this can't be read");
    let full = directory(&[("a.toml", "#")]);
    let said = |directories: &[&Path]| {
        let directories: Vec<PathBuf> = directories.iter().map(|d| d.to_path_buf()).collect();
        gather(&directories).1.to_string()
    };
    // An overlay may be empty, but must be there.
    assert_eq!(said(&[full.path(), empty.path()]), "");
    assert!(said(&[empty.path(), full.path()]).contains("no policy files"));
    assert!(said(&[full.path(), Path::new("/nowhere")]).contains("can't be read"));
}

#[test]
fn a_generation_is_names_and_contents() {
    let generation = |files: &[(&str, &str)]| {
        let directory = directory(files);
        gather(&[directory.path().to_owned()]).0.generation
    };
    let first = generation(&[("a.toml", "1"), ("b.toml", "2")]);
    assert_eq!(generation(&[("b.toml", "2"), ("a.toml", "1")]), first);
    assert_ne!(generation(&[("a.toml", "2"), ("b.toml", "1")]), first);
    assert_ne!(generation(&[("a.toml", "1"), ("c.toml", "2")]), first);
    assert_ne!(generation(&[("a.toml", "12"), ("b.toml", "")]), first);
    let (one, two) = (directory(&[("a.toml", "1")]), directory(&[("b.toml", "2")]));
    let directories = [one.path().to_owned(), two.path().to_owned()];
    assert_ne!(gather(&directories).0.generation, first);
}

#[test]
fn a_touch_is_seen_without_reading() {
    let directory = directory(&[("a.toml", "1")]);
    let directories = [directory.path().to_owned()];
    let first = stamp(&directories);
    assert_eq!(stamp(&directories), first);
    fs::write(directory.path().join("b.toml"), "#").unwrap();
    let second = stamp(&directories);
    assert_ne!(second, first);
    fs::write(directory.path().join("new"), "1").unwrap();
    assert_eq!(stamp(&directories), second);
    fs::rename(
        directory.path().join("new"),
        directory.path().join("a.toml"),
    )
    .unwrap();
    assert_ne!(stamp(&directories), second);
}
