//! Integration tests: the real gateway on real sockets.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds something else than it wants has to fail there"
)]

mod harness;

mod audit;
mod budgets;
mod control;
mod forwarding;
mod house;
mod in_flight;
mod oauth;
mod readme;
mod refusals;
mod reload;
mod shipped_policies;
mod tokens;
mod walkthrough;
mod wire;
mod zero_standing;
