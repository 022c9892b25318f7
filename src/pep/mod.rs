//! The enforcement point.
mod canonical;
mod cut;
mod describe;
mod refusal;
