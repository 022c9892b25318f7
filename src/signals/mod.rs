//! Measured inputs of conditions: how risky an agent looks, as those who watch it say, and what is usual
//! for it, as its own calls show.
//!
//! [`Signals`] takes scores and answers questions with them. A score has a source, an age and a life; one
//! that has ended counts no more, and an agent of whom nobody says anything is not known to be harmless.
//!
//! Invariant: nothing here says allow or deny. Whoever has to know that a signal has changed
//! [subscribes](Signals::changes).

mod habits;
mod learning;
mod risk;
mod written;

pub use habits::{Baseline, Habit, HabitRules, Habits, Network, WeekHour};
pub use learning::Seen;
pub use risk::{Full, InvalidScore, Pushed, Score, Signals};
