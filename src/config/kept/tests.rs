use super::*;
use crate::config::files;

fn directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("policies/deep")).unwrap();
    fs::write(root.path().join("policies/a.toml"), "# \u{e4}\n").unwrap();
    fs::write(root.path().join("policies/deep/b.cedar"), "// b\n").unwrap();
    root
}

#[test]
fn what_is_kept_is_read_back_as_the_same_generation_wherever_it_lies_then() {
    let root = directory();
    let policies = [root.path().join("policies")];
    let kept = kept_beside(&root.path().join("data/portcullis.db"));
    assert!(kept.load(&policies).unwrap().is_none());
    let (files, problems) = files::gather(&policies);
    assert!(problems.is_empty(), "{problems}");
    kept.save(&files).unwrap();
    let moved = [root.path().join("elsewhere")];
    let back = kept.load(&moved).unwrap().unwrap();
    assert_eq!(back.generation, files.generation);
    assert_eq!((back.toml.len(), back.cedar.len()), (1, 1));
    let file = &back.cedar[0];
    assert_eq!(file.text.text(), files.cedar[0].text.text());
    assert!(file.text.name().ends_with("elsewhere/deep/b.cedar"));
    assert_eq!(*file.directory, moved[0].join("deep"));
    kept.remove().unwrap();
    kept.remove().unwrap();
    assert!(kept.load(&moved).unwrap().is_none());
}

#[test]
fn a_copy_that_is_not_whole_or_another_programs_is_no_copy() {
    let root = directory();
    let policies = [root.path().join("policies")];
    let kept = kept_beside(&root.path().join("portcullis.db"));
    kept.save(&files::gather(&policies).0).unwrap();
    let file = root.path().join("policies.live.json");
    let text = fs::read_to_string(&file).unwrap();
    for (bad, said) in [
        (text.replace("\"files\"", "\"fil"), "it is damaged"),
        (text.replace("// b", "// c"), "does not hold generation"),
        (
            text.replace("\"version\":1", "\"version\":2"),
            "another version",
        ),
        (
            text.replace("\"directory\":0", "\"directory\":1"),
            "more directories",
        ),
    ] {
        assert_ne!(bad, text);
        fs::write(&file, bad).unwrap();
        let error = kept.load(&policies).unwrap_err();
        let told = kept.unusable(&error).to_string();
        assert!(told.contains(said), "{told}");
        assert!(told.contains("policies.live.json"), "{told}");
        assert!(told.contains("remove this file"), "{told}");
    }
}
