//! Integration tests: the real gateway on real sockets.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that finds something else than it wants has to fail there"
)]
#![expect(
    clippy::large_futures,
    clippy::too_many_lines,
    reason = "a table of cases is read in one piece, and so is the story that a test tells"
)]

mod handover;
mod harness;

mod approvals;
mod asked_again;
mod attacks;
mod audit;
mod budgets;
mod checked;
mod control;
mod countries;
mod demands;
mod deploy;
mod descriptors;
mod durability;
mod explain;
mod forwarding;
mod grpc;
mod guided;
mod h2c;
mod habits;
mod held;
mod history;
mod hostile_upstream;
mod house;
mod in_flight;
mod inputs;
mod lifecycle;
mod oauth;
mod quiet;
mod readme;
mod refusals;
mod rehearsal;
mod reload;
mod risk;
mod shadow;
mod shipped_policies;
mod signals;
mod soak;
mod ssf;
mod tokens;
mod walkthrough;
mod websocket;
mod wire;
mod workers;
mod zero_standing;
