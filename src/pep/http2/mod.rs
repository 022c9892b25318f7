//! HTTP/2 on its way in, timed and counted before the protocol engine sees it.
//!
//! The engine (h2) holds what can go wrong within the protocol: header lists and blocks that are too
//! large, streams beyond their number, resets of streams that nobody has looked at yet. It keeps no time,
//! and of what costs work and brings nothing it takes as much as comes. [`Paced`] stands below it and
//! follows the heads of frames: a preface, a head or a frame that has begun has to come to its end, a
//! connection without a stream does not stay for ever, and settings, pings, priorities, resets and empty
//! frames come out of a budget.
//!
//! Invariant: not a byte is changed or withheld in either direction, but behind the end.

mod frames;
mod paced;
mod preface;

pub(super) use paced::Paced;
pub(super) use preface::{Rewound, begins};
