//! Measured inputs of conditions: how risky an agent looks, as those who watch it say and as its own calls
//! show, what is usual for it, and which country it calls from.
//!
//! [`Signals`] takes scores and answers questions with them. A score has a source, an age and a life; one
//! that has ended counts no more, and an agent of whom nobody says anything is not known to be harmless.
//! Where operators have configured [rules](RiskRules) for it, a score is [computed](Signals::score) besides,
//! once a second, from what the request path has counted.
//!
//! Invariant: nothing here says allow or deny. Whoever has to know that a signal has changed
//! [subscribes](Signals::changes).

mod activity;
mod countries;
mod habits;
mod lapses;
mod learning;
mod magnitude;
mod risk;
mod rules;
mod scoring;
mod written;

pub use activity::Pace;
pub use countries::{CountriesError, check_countries};
pub use habits::{Baseline, Habit, HabitRules, Habits, Network, WeekHour};
pub use learning::{Became, Numbers, Seen};
pub use magnitude::{Magnitude, Step};
pub use risk::{Changed, Full, InvalidScore, Pushed, Score, Signals};
pub use rules::{Combine, RiskRules};
pub use scoring::{CallCounts, Component, RiskReport};
