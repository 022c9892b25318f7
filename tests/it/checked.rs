//! `portcullis check --config` tells before a start what would stop it: also what is wrong with the files that
//! the settings name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use portcullis::base::Clock;
use portcullis::tls::mint::development_identity;
use serde_json::Value;

use crate::harness::program;
use crate::rehearsal::told;

/// A configuration in a directory of its own, in which everything is in order.
struct Scene(tempfile::TempDir);

const SETTINGS: &str = r#"
[gateway]
public_url = "https://localhost:8443"
[[gateway.listen]]
address = "127.0.0.1:0"
tls = { certificate = "certs/gateway.pem", key = "certs/gateway.key" }

[control]
listen = "127.0.0.1:0"
public_url = "https://localhost:8444"
tls = { certificate = "certs/gateway.pem", key = "certs/gateway.key" }

[[trusted_issuer]]
issuer = "https://idp.example"
jwks_file = "idp.json"
audience = "https://localhost:8443"
"#;

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        development_identity(&scene.path().join("certs"), &Clock::system()).unwrap();
        development_identity(&scene.path().join("others"), &Clock::system()).unwrap();
        fs::create_dir(scene.path().join("policies")).unwrap();
        scene.write(
            "policies/people.toml",
            "[[person]]\nid = \"ana@example.com\"\ngroups = [\"operators\"]\n",
        );
        scene.write("idp.json", r#"{ "keys": [] }"#);
        scene.write("portcullis.toml", SETTINGS);
        scene
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// The exit code, and each problem with its severity.
    fn checked(&self) -> (i32, Vec<String>) {
        let (code, report) = told(self.path(), &["check", "--config", "portcullis.toml"]);
        let line = |one: &Value| {
            let of = |member: &str| one[member].as_str().unwrap().to_owned();
            format!("{}: {}: {}", of("file"), of("severity"), of("message"))
        };
        let found = report["diagnostics"].as_array().unwrap();
        (code, found.iter().map(line).collect())
    }
}

#[track_caller]
fn finds(scene: &Scene, code: i32, parts: &[&str]) {
    let (exit, found) = scene.checked();
    assert_eq!((exit, found.len()), (code, 1), "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "`{part}`: {found:#?}");
    }
}

#[test]
fn what_is_in_order_is_said_to_be_and_nothing_is_made() {
    let scene = Scene::new();
    let (code, found) = scene.checked();
    assert_eq!((code, found), (0, Vec::new()));
    for made in ["data", "data/keys", "data/audit"] {
        assert!(!scene.path().join(made).exists(), "{made}");
    }
}

#[test]
fn a_key_that_is_missing_or_anothers_is_found_before_the_start() {
    let scene = Scene::new();
    let key = scene.path().join("certs/gateway.key");
    fs::copy(scene.path().join("others/gateway.key"), &key).unwrap();
    let identity = "portcullis.toml: error: a TLS identity can't be used";
    finds(&scene, 1, &[identity, "certs/gateway.key"]);
    fs::remove_file(&key).unwrap();
    finds(&scene, 1, &[identity, "certs/gateway.key", "No such file"]);
}

#[test]
fn keys_that_sign_are_read_too() {
    let scene = Scene::new();
    let keys = scene.path().join("data/keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("broken.jwk"), "{}").unwrap();
    finds(
        &scene,
        1,
        &["error: the token signing keys can't be used", "broken.jwk"],
    );
}

/// A gateway starts without them, and looks for them again and again: that is a doubt, not an error.
#[test]
fn an_issuer_without_keys_is_a_doubt() {
    let scene = Scene::new();
    scene.write("idp.json", "no key set");
    let doubt = "portcullis.toml: warning: nothing of `https://idp.example` is believed";
    finds(&scene, 0, &[doubt]);
    fs::remove_file(scene.path().join("idp.json")).unwrap();
    finds(&scene, 0, &[doubt, "idp.json", "No such file"]);
}

/// Whoever starts a gateway may have any bytes in variables that are no matter of ours.
#[test]
fn a_variable_that_is_no_text_stops_nothing() {
    let scene = Scene::new();
    for (command, code) in [("check", 0), ("serve", 1)] {
        let config = if code == 0 {
            "portcullis.toml"
        } else {
            "none.toml"
        };
        let output = Command::new(program())
            .current_dir(scene.path())
            .args([command, "--config", config])
            .env("LS_COLORS", OsStr::from_bytes(b"di=\xff"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{command}: {output:?}");
    }
}
