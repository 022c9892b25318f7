use std::thread::current;

use rustix::process::getpriority_process;

use super::*;

/// The nice value of the calling thread.
fn niceness() -> i32 {
    getpriority_process(None).unwrap()
}

#[tokio::test]
async fn it_runs_elsewhere_and_gives_way() {
    let before = niceness();
    let seen = aside("compile", || {
        (current().name().map(str::to_owned), niceness())
    })
    .await;
    let (name, there) = seen.unwrap();
    assert_eq!(name.as_deref(), Some("compile"));
    assert_eq!(there, (before + NICER).min(19));
    assert_eq!(niceness(), before, "nobody else steps back");
}

#[tokio::test]
async fn work_that_panics_comes_to_nothing() {
    let failed = aside("odd", || panic!("a test says so")).await;
    assert_eq!(failed, None::<()>);
}
