//! How the risk of agents is computed: the one `[risk]` table.

use std::time::Duration;

use crate::config::diagnostics::Diagnostics;
use crate::config::raw::RawRisk;
use crate::config::text::At;
use crate::config::units;
use crate::signals::{Combine, RiskRules};

/// The longest time that a call which was not usual counts.
const LONGEST: Duration = Duration::from_hours(24);

/// The most points of one part.
const MOST_POINTS: u32 = 100;

/// The largest of the other numbers.
const LARGEST: u32 = 1_000_000;

/// Compiles the `[risk]` tables: none, or one.
pub(super) fn compile(raw: &[RawRisk], problems: &mut Diagnostics) -> Option<RiskRules> {
    let (first, more) = raw.split_first()?;
    for other in more {
        problems
            .error(&other.place, "there is one [risk] table at most")
            .hint(format!("the first is at {}", first.place));
    }
    let mut rules = RiskRules::default();
    for (key, text) in &first.numbers {
        let points = matches!(
            *key,
            "network" | "hour" | "operation" | "input" | "refusals" | "velocity"
        );
        let least = u32::from(!points && *key != "refusals_from");
        let most = if points { MOST_POINTS } else { LARGEST };
        let number = text.value.parse::<u32>().ok();
        let number = number.filter(|number| (least..=most).contains(number));
        match number.zip(part(&mut rules, key)) {
            Some((number, part)) => *part = number,
            None => {
                let message = format!(
                    "`{key}` is a whole number from {least} to {most}, not `{}`",
                    text.value
                );
                problems.error(&text.place, message);
            }
        }
    }
    if let Some(text) = &first.combine {
        combine(text, &mut rules, problems);
    }
    if let Some(text) = &first.fades {
        fades(text, &mut rules, problems);
    }
    let ranges = [
        ("refusals", rules.refusals_from, rules.refusals_full),
        ("velocity", rules.velocity_from, rules.velocity_full),
    ];
    for (name, from, full) in ranges {
        if from >= full {
            let message =
                format!("`{name}_full` is {full}, and has to be more than `{name}_from`, {from}");
            problems.error(&first.place, message);
        }
    }
    Some(rules)
}

fn combine(text: &At<String>, rules: &mut RiskRules, problems: &mut Diagnostics) {
    match text.value.as_str() {
        "highest" => rules.combine = Combine::Highest,
        "sum" => rules.combine = Combine::Sum,
        other => {
            let message = format!("`{other}` is no way to combine scores");
            let problem = problems.error(&text.place, message);
            problem.hint("write `highest` or `sum`");
        }
    }
}

fn fades(text: &At<String>, rules: &mut RiskRules, problems: &mut Diagnostics) {
    match units::duration(&text.value) {
        Ok(span) if (Duration::from_secs(1)..=LONGEST).contains(&span) => rules.fades = span,
        Ok(_) => {
            let message =
                "what is not usual fades within a second at the soonest, and a day at the latest";
            problems.error(&text.place, message);
        }
        Err(error) => {
            problems.error(&text.place, error.to_string());
        }
    }
}

/// The number that a key of the table names.
fn part<'r>(rules: &'r mut RiskRules, key: &str) -> Option<&'r mut u32> {
    Some(match key {
        "network" => &mut rules.network,
        "hour" => &mut rules.hour,
        "operation" => &mut rules.operation,
        "input" => &mut rules.input,
        "refusals" => &mut rules.refusals,
        "refusals_from" => &mut rules.refusals_from,
        "refusals_full" => &mut rules.refusals_full,
        "velocity" => &mut rules.velocity,
        "velocity_least" => &mut rules.velocity_least,
        "velocity_from" => &mut rules.velocity_from,
        "velocity_full" => &mut rules.velocity_full,
        _ => return None,
    })
}
