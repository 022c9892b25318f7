use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn enrolment(root: &std::path::Path, name: &str) -> Enrolment {
    fs::create_dir_all(root.join("policies")).unwrap();
    Enrolment {
        name: name.parse().unwrap(),
        groups: vec!["support".parse().unwrap(), "night".parse().unwrap()],
        owner: Some("ana@example.com".into()),
        directory: root.join("policies"),
        key_file: root.join(format!("{name}.jwk")),
    }
}

#[test]
fn enrolment_gives_the_agent_a_private_key_and_the_gateway_the_public_part() {
    let root = tempfile::tempdir().unwrap();
    let enrolment = enrolment(root.path(), "billing-bot");
    let policy_file = enroll(&enrolment).unwrap();
    assert_eq!(
        policy_file,
        root.path().join("policies/agents/billing-bot.toml")
    );

    let mode = fs::metadata(&enrolment.key_file)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let public = crate::tokens::SigningKey::read(&enrolment.key_file)
        .unwrap()
        .public_jwk();

    let file: toml::Table = fs::read_to_string(&policy_file).unwrap().parse().unwrap();
    let agent = &file["agent"][0];
    assert_eq!(agent["id"].as_str(), Some("billing-bot"));
    assert_eq!(agent["owner"].as_str(), Some("ana@example.com"));
    assert_eq!(agent["groups"].as_array().unwrap().len(), 2);
    let key = serde_json::to_value(&agent["keys"][0]).unwrap();
    assert_eq!(key, public);
    assert!(key.get("d").is_none());
}

#[test]
fn enrolment_overwrites_nothing_and_leaves_nothing_half_done() {
    let root = tempfile::tempdir().unwrap();
    let first = enrolment(root.path(), "billing-bot");
    let policy_file = enroll(&first).unwrap();
    let before = (
        fs::read(&first.key_file).unwrap(),
        fs::read(&policy_file).unwrap(),
    );

    let again = enroll(&first).unwrap_err().to_string();
    assert!(again.contains("enrolled already"), "{again}");

    // Enrolled under another file name: the name is taken all the same.
    let moved = root.path().join("policies/all.toml");
    fs::rename(&policy_file, &moved).unwrap();
    let elsewhere = Enrolment {
        key_file: root.path().join("other.jwk"),
        ..first.clone()
    };
    let taken = enroll(&elsewhere).unwrap_err().to_string();
    assert!(taken.contains("all.toml"), "{taken}");

    // The key file exists: no policy file is written.
    let other = Enrolment {
        name: "other-bot".parse().unwrap(),
        ..first.clone()
    };
    let exists = enroll(&other).unwrap_err().to_string();
    assert!(exists.contains("not overwritten"), "{exists}");
    assert!(!root.path().join("policies/agents/other-bot.toml").exists());

    // A link that leads nowhere is not followed.
    let link = root.path().join("link.jwk");
    std::os::unix::fs::symlink(root.path().join("nowhere"), &link).unwrap();
    let linked = Enrolment {
        key_file: link,
        ..other
    };
    assert!(enroll(&linked).is_err());
    assert!(!root.path().join("nowhere").exists());

    let after = (
        fs::read(&first.key_file).unwrap(),
        fs::read(&moved).unwrap(),
    );
    assert_eq!(before, after);
}

#[test]
fn a_missing_directory_is_not_made_up() {
    let root = tempfile::tempdir().unwrap();
    let enrolment = Enrolment {
        directory: root.path().join("polices"),
        ..enrolment(root.path(), "billing-bot")
    };
    let error = enroll(&enrolment).unwrap_err().to_string();
    assert!(error.contains("no directory"), "{error}");
    assert!(!enrolment.key_file.exists());
}

#[test]
fn listing_reads_every_file_and_names_those_it_can_not() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("policies");
    enroll(&enrolment(root.path(), "zeta")).unwrap();
    enroll(&enrolment(root.path(), "alpha")).unwrap();
    fs::write(directory.join("broken.toml"), "[[agent]\n").unwrap();
    fs::write(
        directory.join("services.toml"),
        "[[service]]\nname = \"x\"\n",
    )
    .unwrap();
    fs::create_dir(directory.join("tests")).unwrap();
    fs::write(
        directory.join("tests/t.toml"),
        "[[agent]]\nid = \"nobody\"\n",
    )
    .unwrap();
    fs::create_dir(directory.join("..data")).unwrap();
    fs::write(
        directory.join("..data/a.toml"),
        "[[agent]]\nid = \"twice\"\n",
    )
    .unwrap();
    // A directory that links to itself ends somewhere.
    std::os::unix::fs::symlink(&directory, directory.join("tests/loop")).unwrap();

    let found = list::read(&directory).unwrap();
    let ids: Vec<_> = found.agents.iter().map(|agent| agent.id.as_str()).collect();
    assert_eq!(ids, ["alpha", "zeta"]);
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    assert!(found.problems[0].contains("broken.toml"));
}
