//! Measured inputs of conditions: how risky an agent looks, as those who watch it say.
//!
//! [`Signals`] takes scores and answers questions with them. A score has a source, an age and a life; one
//! that has ended counts no more, and an agent of whom nobody says anything is not known to be harmless.
//!
//! Invariant: nothing here says allow or deny. Whoever has to know that a signal has changed
//! [subscribes](Signals::changes).

mod risk;

pub use risk::{Full, InvalidScore, Pushed, Score, Signals};
