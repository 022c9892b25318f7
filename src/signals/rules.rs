//! How the risk of an agent is computed from what it does, as operators configure it.

use std::time::Duration;

/// The points of each part of a computed score, and when they are given. A part of 0 points is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiskRules {
    /// What becomes of the computed score and the pushed ones.
    pub combine: Combine,
    /// Points for a call from a network that is not usual for the agent.
    pub network: u32,
    /// Points for a call in an hour of the week that is not usual.
    pub hour: u32,
    /// Points for a call of an operation that is not usual.
    pub operation: u32,
    /// Points for a numeric input outside its usual range.
    pub input: u32,
    /// How long after such a call they fade, evenly.
    pub fades: Duration,
    /// Points for refusals.
    pub refusals: u32,
    /// Up to so many refusals in a minute there are none.
    pub refusals_from: u32,
    /// At so many there are all; evenly more in between.
    pub refusals_full: u32,
    /// Points for calling faster than the agent does.
    pub velocity: u32,
    /// Fewer calls in a minute are never too fast.
    pub velocity_least: u32,
    /// Up to so many times its own pace there are none.
    pub velocity_from: u32,
    /// At so many times there are all; evenly more in between.
    pub velocity_full: u32,
}

/// What becomes of the computed score and the pushed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// The highest of them is the risk.
    #[default]
    Highest,
    /// The computed score and the highest pushed one are added, up to 100.
    Sum,
}

impl Default for RiskRules {
    fn default() -> Self {
        Self {
            combine: Combine::Highest,
            network: 30,
            hour: 10,
            operation: 15,
            input: 20,
            fades: Duration::from_mins(15),
            refusals: 30,
            refusals_from: 5,
            refusals_full: 30,
            velocity: 30,
            velocity_least: 60,
            velocity_from: 4,
            velocity_full: 16,
        }
    }
}
