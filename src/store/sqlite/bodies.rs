//! The bodies of rows, and their way from and to the model. They mirror what is on disk; the model knows
//! nothing of them. Each conversion names every field, so that a new one can't be forgotten.

mod grant;
mod mark;
mod task;

pub(super) use grant::GrantBody;
pub(super) use mark::{ClockBody, GrantMarkBody, TaskMarkBody};
pub(super) use task::TaskBody;

use std::time::Duration;

/// A duration: seconds, and nanoseconds.
type Span = (u64, u32);

const fn span(duration: Duration) -> Span {
    (duration.as_secs(), duration.subsec_nanos())
}

const fn duration((seconds, nanos): Span) -> Duration {
    // A second's worth of nanoseconds in the second place is carried, not refused: it has one reading.
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos as u64))
}
