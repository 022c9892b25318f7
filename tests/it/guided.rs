//! The program that is shipped is compiled by what it does under a load of calls.

use std::path::Path;
use std::process::Command;

use crate::harness::program;

#[test]
fn the_load_that_guides_the_compiler_passes() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/build");
    let mut load = Command::new(script);
    let ran = load
        .arg("--train")
        .arg(program())
        .arg("2")
        .output()
        .unwrap();
    // A call that should pass and does not ends it with what was answered.
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
}
