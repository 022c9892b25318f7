//! A sign of life while something is awaited, on terminals only.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use super::output::{Output, clean};

const FRAMES: [char; 4] = ['|', '/', '-', '\\'];
const FRAME: Duration = Duration::from_millis(120);

/// Awaits `work`; meanwhile a person at a terminal sees `what` turn. Nothing is drawn for programs.
pub(super) async fn spin<T>(output: Output, what: &str, work: impl Future<Output = T>) -> T {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if output == Output::Json || dumb || !io::stderr().is_terminal() {
        return work.await;
    }
    let what = clean(what);
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(FRAME);
    for frame in FRAMES.iter().cycle() {
        tokio::select! {
            done = &mut work => {
                draw("\r\u{1b}[K");
                return done;
            }
            _ = ticks.tick() => draw(&format!("\r{frame} {what}")),
        }
    }
    work.await
}

/// A terminal that can't be drawn on is no reason to stop waiting.
fn draw(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
