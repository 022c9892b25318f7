use std::collections::HashMap;

use cedar_policy::Policy;
use proptest::prelude::*;

use super::pattern::Pattern;
use super::*;
use crate::pdp::Kept;
use crate::pdp::testing::random::{self, ATOMS};
use crate::pdp::testing::{Asked, House, typed};

fn compiled(condition: &str) -> Result<Conditions, Uncovered> {
    let text = format!("permit(principal, action, resource) when {{ {condition} }};");
    let groups = Groups::of(&House::new().catalogue());
    Conditions::of(&Policy::parse(None, text).unwrap(), &groups)
}

/// Conditions on a whole record are left to Cedar, and nothing else of what rules usually say.
#[test]
fn what_rules_usually_say_is_compiled() {
    for condition in ATOMS {
        let whole = condition.contains("== context");
        let got = compiled(condition);
        assert_eq!(got.is_err(), whole, "{condition}: {got:?}");
    }
}

#[test]
fn what_is_not_compiled_is_named() {
    for (condition, what) in [
        ("context == context", "`context` as a whole"),
        (
            "context.source == context.source",
            "`context.source` as a whole",
        ),
        ("decimal(\"1.0\").lessThan(decimal(\"2.0\"))", "`lessThan`"),
        ("context.history has x", "`context.history has x`"),
        (
            "Agent::\"a\" in AgentGroup::\"b\"",
            "`Agent::\"a\"` where an entity is compared",
        ),
        (
            "[context.auth.proof].contains(\"dpop\")",
            "`context.auth.proof` in a list",
        ),
    ] {
        assert_eq!(compiled(condition).unwrap_err().to_string(), what);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// The standard way to match, written the other way round, and slowly.
    #[test]
    fn patterns_match_as_cedars_do(pattern in "[ab*é]{0,6}", text in "[abé]{0,8}") {
        fn slow(pattern: &[char], text: &[char]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                (['*', rest @ ..], _) => {
                    slow(rest, text) || (!text.is_empty() && slow(pattern, &text[1..]))
                }
                ([one, rest @ ..], [other, more @ ..]) => one == other && slow(rest, more),
                _ => false,
            }
        }
        let ours = Pattern::new(pattern.chars().map(|one| (one != '*').then_some(one)));
        let (pattern, text_chars): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(ours.matches(&text), slow(&pattern, &text_chars));
    }
}

/// How many sets of rules are asked, by all tests of [`PARTS`] together; each is asked [`QUESTIONS`] questions. A
/// million in all, unless it is told otherwise.
fn sets() -> u32 {
    let sets = std::env::var("PORTCULLIS_TEST_CEDAR_CASES").ok();
    sets.and_then(|sets| sets.parse().ok()).unwrap_or(2500)
}

const QUESTIONS: usize = 400;

/// So many tests share the work, and with it the processors.
const PARTS: u32 = 4;

/// Rules as they are written: whether each permits, its scope, its condition.
type Rules = Vec<(bool, String, String)>;

fn rules() -> impl Strategy<Value = Rules> {
    prop::collection::vec((any::<bool>(), random::scope(), typed::truth(3)), 1..6)
}

/// The program against Cedar's authorizer: verdict, deciding rules, messages and errors.
fn decide_alike(rules: &Rules, questions: &[Asked]) -> Result<(), TestCaseError> {
    let statements = rules.iter().map(|(permit, scope, condition)| {
        let word = if *permit { "permit" } else { "forbid" };
        format!("{word}({scope}) when {{ {condition} }};\n")
    });
    let text: String = statements.collect();
    let policies = House::new().policies(&text);
    prop_assert_eq!(policies.index.uncovered().count(), 0, "{}", text);
    // As grants keep them, for all their calls: what the first call prepared, the others ask.
    let mut kept: HashMap<String, Kept> = HashMap::new();
    for asked in questions {
        let grant = asked.granted.then_some(&asked.entitlement);
        let task = asked.task.as_ref().filter(|_| asked.granted);
        let of = format!("{:?} {grant:?} {task:?}", asked.agent);
        let kept = kept.entry(of).or_default();
        let [ours, prepared, cedars] = asked.ask(|question| policies.all_ways(question, kept));
        prop_assert_eq!(&ours, &cedars, "{}\n{:#?}", text, asked);
        prop_assert_eq!(prepared, cedars, "{}\n{:#?}", text, asked);
    }
    Ok(())
}

macro_rules! parts {
    ($($part:ident)*) => { proptest! {
        #![proptest_config(ProptestConfig { cases: sets().div_ceil(PARTS), ..ProptestConfig::default() })]
        $(
            #[test]
            fn $part(
                rules in rules(),
                questions in prop::collection::vec(random::asked(), QUESTIONS),
            ) {
                decide_alike(&rules, &questions)?;
            }
        )*
    } };
}

// Each draws from a seed of its own.
parts! {
    compiled_rules_decide_as_cedar_does_1
    compiled_rules_decide_as_cedar_does_2
    compiled_rules_decide_as_cedar_does_3
    compiled_rules_decide_as_cedar_does_4
}
