//! Times what runs on one thread by the processor time of that thread, so that other work on the machine
//! counts for less.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// The processor time of the thread that measures.
pub(crate) struct Processor;

impl Measurement for Processor {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        ran()
    }

    fn end(&self, began: Duration) -> Duration {
        ran().saturating_sub(began)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        // As the formatter of wall time has it: nanoseconds.
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// For how long this thread has run.
fn ran() -> Duration {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        ran.tv_sec.try_into().unwrap(),
        ran.tv_nsec.try_into().unwrap(),
    )
}
