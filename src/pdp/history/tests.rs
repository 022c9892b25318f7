use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::model::{InputValue, Inputs, Risk};
use crate::pdp::testing::{Asked, House, entitlement, operation};
use crate::pdp::{Decision, Kept};

const OPERATIONS: [&str; 6] = [
    "orders.list",
    "orders.refund",
    "orders.ping",
    "deploys.list",
    "deploys.start",
    // It was called once, and is not there any more.
    "orders.gone",
];

fn past(calls: i64, last: Option<i64>, sums: &[(&str, i64)]) -> OperationHistory {
    OperationHistory {
        calls,
        succeeded: calls.saturating_sub(1),
        last_age_seconds: last,
        sum: sums
            .iter()
            .map(|(name, sum)| ((*name).into(), *sum))
            .collect(),
    }
}

fn history<const N: usize>(called: [(&str, OperationHistory); N]) -> History {
    called.map(|(id, of)| (id.parse().unwrap(), of)).into()
}

/// A group's counters as text: calls, those that succeeded, the age of the last, the sums.
fn shown(group: &str, history: &History) -> String {
    let groups = Groups::of(&House::new().catalogue());
    let of = groups.get(group).unwrap().of(history);
    let sums: Vec<String> = of
        .sum
        .iter()
        .map(|(name, sum)| format!(" {name}={sum}"))
        .collect();
    let last = of.last_age_seconds;
    format!("{} {} {last:?}{}", of.calls, of.succeeded, sums.concat())
}

#[test]
fn a_group_counts_what_was_called_of_its_members() {
    let called = history([
        ("orders.refund", past(3, Some(40), &[("amount", 70)])),
        (
            "deploys.start",
            past(2, Some(9), &[("replicas", 5), ("amount", 1)]),
        ),
        ("orders.list", past(1, Some(1), &[])),
        ("orders.gone", past(9, Some(0), &[("amount", 9)])),
    ]);
    // `deploys.start` declares no amount, whatever it did before a reload.
    for (group, expected) in [
        ("write", "5 3 Some(9) amount=70 replicas=5"),
        ("read", "1 0 Some(1)"),
        ("orders", "4 2 Some(1) amount=70"),
        ("deploys", "2 1 Some(9) replicas=5"),
        ("risk:high", "3 2 Some(40) amount=70"),
        ("risk:medium", "2 1 Some(9) replicas=5"),
        ("risk:low", "1 0 Some(1)"),
        ("baseline", "0 0 None"),
        ("call", "6 3 Some(1) amount=70 replicas=5"),
    ] {
        assert_eq!(shown(group, &called), expected, "{group}");
    }
    assert_eq!(
        shown("call", &History::new()),
        "0 0 None amount=0 replicas=0"
    );
}

#[test]
fn sums_beyond_all_numbers_are_the_nearest_whatever_the_order() {
    let mut house = House::new();
    let amount = [("amount", InputKind::Long)];
    for id in ["orders.a", "orders.b", "orders.c"] {
        house
            .operations
            .push(operation(id, &["money"], Risk::Low, &amount));
    }
    let groups = Groups::of(&house.catalogue());
    for (sums, expected) in [
        ([i64::MAX, i64::MAX, -1], i64::MAX),
        ([i64::MIN, -1, -1], i64::MIN),
        ([i64::MAX, 5, -10], i64::MAX - 5),
        ([-10, 5, i64::MAX], i64::MAX - 5),
    ] {
        let [a, b, c] = sums.map(|sum| past(sum, None, &[("amount", sum)]));
        let called = history([("orders.a", a), ("orders.b", b), ("orders.c", c)]);
        let of = groups.get("money").unwrap().of(&called);
        assert_eq!(
            (of.calls, of.sum["amount"]),
            (expected, expected),
            "{sums:?}"
        );
    }
}

#[test]
fn only_groups_that_are_read_are_kept_with_a_rule() {
    let groups = Groups::of(&House::new().catalogue());
    let names = |parts: Option<&Parts>| -> Vec<String> {
        let read = groups.read(parts);
        read.iter().map(|(name, _)| name.to_owned()).collect()
    };
    let some = Parts::Of(["write".to_owned(), "orders.list".to_owned()].into());
    assert_eq!(names(None), Vec::<String>::new());
    assert_eq!(names(Some(&some)), ["write"]);
    assert_eq!(names(Some(&Parts::Every)).len(), groups.iter().count());
}

/// Which groups an operation is in, its risk, whether it is a baseline one, and which inputs it declares.
type Shape = (u8, usize, bool, u8);

/// The calls, those that succeeded, the age of the last, and the sums.
type Called = Option<(i64, i64, Option<i64>, i64, i64)>;

/// A group, one of its counters, how it is compared, and with what.
type Clause = (Index, Index, Index, i64);

const RISKS: [Risk; 3] = [Risk::Low, Risk::Medium, Risk::High];

fn kinds(bits: u8) -> Vec<(&'static str, InputKind)> {
    let amount = if bits & 1 == 0 {
        InputKind::Long
    } else {
        InputKind::String
    };
    let all = [
        ("amount", amount),
        ("replicas", InputKind::Long),
        ("urgent", InputKind::Bool),
    ];
    let declared = all.into_iter().enumerate();
    declared
        .filter(|(place, _)| bits >> (place + 1) & 1 == 1)
        .map(|(_, one)| one)
        .collect()
}

fn house(shapes: &[Shape]) -> House {
    let mut house = House::new();
    house.operations = OPERATIONS
        .iter()
        .zip(shapes)
        .map(|(id, (groups, risk, baseline, inputs))| {
            let names = ["a", "b", "money"].into_iter().enumerate();
            let groups: Vec<&str> = names
                .filter(|(place, _)| groups >> place & 1 == 1)
                .map(|(_, name)| name)
                .collect();
            let mut made = operation(id, &groups, RISKS[*risk], &kinds(*inputs));
            made.baseline = *baseline;
            made
        })
        .collect();
    house.entitlements = vec![entitlement("refunds", &OPERATIONS[..5])];
    house
}

fn is_member(operation: &Operation, group: &str) -> bool {
    group == "call"
        || operation.service.as_str() == group
        || operation.groups.iter().any(|one| one.as_str() == group)
        || group.strip_prefix("risk:") == Some(operation.risk.as_str())
        || (group == "baseline" && operation.baseline)
}

/// A clause as it is written, and whether it holds: counted by the book.
fn clause(
    house: &House,
    called: &History,
    (group, counter, word, number): &Clause,
) -> (String, bool) {
    let names = schema::groups(&house.catalogue());
    let group = group.get(&names);
    let members = house.operations.iter().filter(|one| is_member(one, group));
    let members: Vec<&Operation> = members.collect();
    let mut counters = vec![
        "calls".to_owned(),
        "succeeded".to_owned(),
        "last_age_seconds".to_owned(),
    ];
    for input in ["amount", "replicas"] {
        let declares = |one: &&Operation| {
            one.inputs
                .get(input)
                .is_some_and(|one| one.kind == InputKind::Long)
        };
        if members.iter().any(declares) {
            counters.push(format!("sum.{input}"));
        }
    }
    let counter = counter.get(&counters);
    let of = |one: &&Operation| -> Option<i64> {
        let past = called.get(&one.id)?;
        match counter.split_once('.') {
            None if counter == "calls" => Some(past.calls),
            None if counter == "succeeded" => Some(past.succeeded),
            None => past.last_age_seconds,
            Some((_, input)) => {
                let declared = one.inputs.get(input)?;
                (declared.kind == InputKind::Long).then(|| past.sum[input])
            }
        }
    };
    let each = members.iter().filter_map(of);
    let value = if counter == "last_age_seconds" {
        each.min()
    } else {
        let exact: i128 = each.map(i128::from).sum();
        Some(i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX }))
    };
    let (word, holds): (&str, fn(i64, i64) -> bool) = *word.get(&[
        ("<", (|a, b| a < b) as fn(i64, i64) -> bool),
        (">=", |a, b| a >= b),
        ("==", |a, b| a == b),
    ]);
    let path = format!("context.history[\"{group}\"]");
    let test = if counter == "last_age_seconds" {
        format!("{path} has last_age_seconds && ")
    } else {
        String::new()
    };
    let written = format!("({test}{path}.{counter} {word} {number})");
    (written, value.is_some_and(|value| holds(value, *number)))
}

fn shape() -> impl Strategy<Value = Shape> {
    (0_u8..8, 0_usize..3, any::<bool>(), 0_u8..16)
}

fn called() -> impl Strategy<Value = Called> {
    let sum = || prop::sample::select(vec![i64::MIN, -1, 0, 1, 5, i64::MAX]);
    let past = (0_i64..4, 0_i64..4, prop::option::of(0_i64..4), sum(), sum());
    prop::option::weighted(0.7, past)
}

fn written() -> impl Strategy<Value = Clause> {
    let number = prop::sample::select(vec![i64::MIN, 0, 1, 2, 3, 5, 6, i64::MAX]);
    (any::<Index>(), any::<Index>(), any::<Index>(), number)
}

/// The inputs that an operation declares, each with some value.
fn inputs(operation: &Operation) -> Inputs {
    let inputs = operation.inputs.iter().map(|(name, input)| {
        let value = match input.kind {
            InputKind::Bool => InputValue::Bool(true),
            InputKind::Long => InputValue::Long(1),
            InputKind::String => InputValue::String("one".into()),
        };
        (Arc::clone(name), value)
    });
    inputs.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// However operations are grouped and whatever was called of them, compiled rules and Cedar read the same of
    /// groups, and it is what their members come to.
    #[test]
    fn groups_are_read_alike_by_compiled_rules_and_by_cedar(
        shapes in prop::collection::vec(shape(), 5),
        past in prop::collection::vec(prop::collection::vec(called(), 6), 4),
        clauses in prop::collection::vec(written(), 3),
    ) {
        let house = house(&shapes);
        let kept = Kept::default();
        let put = |past: &[Called]| {
            let called = OPERATIONS.iter().zip(past).filter_map(|(id, past)| {
                let (calls, succeeded, last, amount, replicas) = (*past)?;
                let sum = [("amount".into(), amount), ("replicas".into(), replicas)].into();
                let of = OperationHistory { calls, succeeded, last_age_seconds: last, sum };
                Some((id.parse().unwrap(), of))
            });
            let called: History = called.collect();
            let refund = &house.operations[1];
            Asked::refund().with(|it| (it.history, it.input) = (called, inputs(refund)))
        };
        let text = |history: &History| -> (Vec<String>, bool) {
            let clauses = clauses.iter().map(|one| clause(&house, history, one));
            let (written, holds): (Vec<String>, Vec<bool>) = clauses.unzip();
            (written, holds[0] && (holds[1] || holds[2]))
        };
        let (written, _) = text(&History::new());
        let condition = format!("{} && ({} || {})", written[0], written[1], written[2]);
        let rule = format!(
            "@id(\"one\") permit(principal, action == Action::\"orders.refund\", resource) when {{ {condition} }};"
        );
        let policies = house.policies(&rule);
        prop_assert_eq!(policies.interpreted().count(), 0, "{}", rule);
        for past in &past {
            let asked = put(past);
            let (_, holds) = text(&asked.history);
            let [ours, prepared, cedars] = asked.ask(|question| policies.all_ways(question, &kept));
            prop_assert_eq!(&ours, &cedars, "{}\n{:#?}", rule, asked);
            prop_assert_eq!(&prepared, &cedars, "{}\n{:#?}", rule, asked);
            let decision = asked.ask(|question| policies.decide(question));
            let allowed = matches!(decision, Decision::Allow(_));
            prop_assert_eq!(allowed, holds, "{}\n{:#?}", rule, asked);
        }
    }
}
