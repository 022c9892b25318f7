//! A deployment's log as a slow stream of server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

const STEPS: [&str; 5] = [
    "pull image",
    "start replica",
    "probe health",
    "shift traffic",
    "watch errors",
];

/// A response body: one event at once, then the others at their pace.
#[derive(Debug)]
pub(super) struct Log {
    ticks: Interval,
    what: String,
    sent: u64,
    total: u64,
}

impl Log {
    /// The log of a deployment: `total` events, `pace` apart.
    pub(super) fn new(service: &str, version: &str, pace: Duration, total: u64) -> Self {
        let mut ticks = interval(pace);
        // A reader that was slow does not get the missed events in one burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            what: format!("{service} {version}"),
            sent: 0,
            total,
        }
    }

    fn event(&self) -> Bytes {
        let step = usize::try_from(self.sent).unwrap_or_default() % STEPS.len();
        let data = json!({
            "deployment": self.what,
            "step": STEPS.get(step),
            "progress": format!("{} of {}", self.sent, self.total),
        });
        Bytes::from(format!("id: {}\nevent: log\ndata: {data}\n\n", self.sent))
    }
}

impl http_body::Body for Log {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent >= self.total {
            return Poll::Ready(None);
        }
        ready!(self.ticks.poll_tick(context));
        self.sent = self.sent.saturating_add(1);
        Poll::Ready(Some(Ok(Frame::data(self.event()))))
    }
}
