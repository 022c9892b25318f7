use super::*;

fn operator_key(content: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("operator.key");
    std::fs::write(&path, content).unwrap();
    read_operator_key(&path)
        .map(|key| key.expose().clone())
        .map_err(|error| error.to_string())
}

#[test]
fn an_operator_key_is_one_line_with_its_prefix() {
    assert_eq!(operator_key("pk_abc\n"), Ok("pk_abc".into()));
    for wrong in ["", "abc\n", "pk_a b\n", "pk_a\npk_b\n", "{\"kty\":\"EC\"}"] {
        let error = operator_key(wrong).unwrap_err();
        assert!(error.contains("holds no operator key"), "{wrong}: {error}");
        // What is in the file may be a secret of another kind.
        assert!(!error.contains("kty"), "{error}");
    }
}

#[test]
fn the_key_files_name_is_the_agents_unless_it_can_not_be() {
    for (path, expected) in [
        ("data/dev/demo-bot.jwk", Some("demo-bot")),
        ("billing.v2.json", Some("billing.v2")),
        ("a key.jwk", None),
        ("..", None),
    ] {
        let agent = agent_of(Path::new(path)).ok();
        assert_eq!(agent.as_ref().map(AgentId::as_str), expected, "{path}");
    }
}
