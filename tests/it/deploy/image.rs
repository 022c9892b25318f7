//! `deploy/Dockerfile` and `.dockerignore`.

use std::path::Path;

use super::{DOCKERFILE, SHIPPED, UNIT, after, is_understood, list, settings_with};

#[test]
fn the_image_builds_with_the_pinned_toolchain() {
    let pinned = include_str!("../../../rust-toolchain.toml");
    let channel = after(pinned, "channel = ").next().unwrap();
    let channel = channel.trim_matches('"');
    let build = after(DOCKERFILE, "FROM rust:").next().unwrap();
    assert!(
        build.starts_with(&format!("{channel}-")),
        "not `{channel}`: {build}"
    );
}

#[test]
fn the_image_is_built_from_what_cargo_reads_alone() {
    let ignore = include_str!("../../../.dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let sent: Vec<_> = lines.map(|line| line.strip_prefix('!').unwrap()).collect();
    assert_eq!(sent, ["Cargo.lock", "Cargo.toml", "src", "benches"]);
    // Whatever `Cargo.toml` may come to include.
    let manifest = include_str!("../../../Cargo.toml");
    assert!(!manifest.contains("[workspace]") && !manifest.contains("path = \"../"));
    assert!(
        !Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("build.rs")
            .exists()
    );
}

#[test]
fn the_image_runs_what_was_built() {
    let built = "/src/target/dist/portcullis";
    assert!(after(DOCKERFILE, "RUN cargo build ").any(|flags| flags.contains("--profile dist")));
    let copied = format!("COPY --from=build {built} ");
    let copied = after(DOCKERFILE, &copied).next().unwrap();
    assert_eq!(
        list(after(DOCKERFILE, "ENTRYPOINT ").next().unwrap()),
        [copied]
    );
    assert!(UNIT.contains(&format!("\nExecStart={copied} ")));
    is_understood(list(after(DOCKERFILE, "CMD ").next().unwrap()));
}

#[test]
fn the_container_keeps_its_state_in_its_volume() {
    let volume = "/var/lib/portcullis";
    let owned = format!("COPY --from=build --chown=65532:65532 /state {volume}");
    assert!(DOCKERFILE.contains(&owned));
    let set = DOCKERFILE.split("-e PORTCULLIS_").skip(1);
    let set: Vec<_> = set
        .filter_map(|rest| rest.split_whitespace().next()?.split_once('='))
        .map(|(name, value)| (format!("PORTCULLIS_{name}"), value.to_owned()))
        .collect();
    let settings = settings_with(SHIPPED, set);
    for state in [
        &settings.store,
        &settings.audit,
        &settings.tokens.signing_keys,
    ] {
        assert!(state.starts_with(volume), "{}", state.display());
    }
}
