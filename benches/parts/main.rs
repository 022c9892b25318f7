//! What the parts of a request cost, and of a change of the rules, one group each.
//!
//! `cargo bench --bench parts`, some minutes; `cargo bench --bench parts -- decide` only one group:
//! `decide` `compile_10000` `lookup` `cold_token` `record` `reload` `pipeline` `vigil`. `decide`,
//! `lookup`, `cold_token` and `vigil` are processor time, the others time by the clock.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops where its own fixture is wrong"
)]

#[path = "../support/control.rs"]
mod control;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/server.rs"]
mod server;

mod cold_token;
mod decide;
mod lookup;
mod pipeline;
mod processor;
mod record;
mod reload;
mod vigil;

use criterion::{Criterion, criterion_group, criterion_main};
use processor::Processor;

criterion_group!(
    name = on_one_thread;
    config = Criterion::default().with_measurement(Processor);
    targets = decide::decide, lookup::lookup, cold_token::cold_token, vigil::vigil
);
criterion_group!(
    on_several,
    record::record,
    pipeline::pipeline,
    reload::reload,
    decide::compiling,
);
criterion_main!(on_one_thread, on_several);
