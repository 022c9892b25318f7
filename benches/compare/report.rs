//! What was found, as Markdown to paste.

use std::fs;

use portcullis::base::Clock;

use crate::load::Sample;

/// One line of a table: what was measured, and what it checks.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) checks: &'static str,
    pub(crate) samples: Vec<Sample>,
    /// In KiB.
    pub(crate) resident: u64,
}

/// A ratio that was set out to be reached.
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) goal: f64,
}

/// On what, when, and how.
pub(crate) fn print_heading(rounds: usize, seconds: f64, load_before: &str) {
    let now = Clock::system().wall().strftime("%Y-%m-%d %H:%M UTC");
    println!(
        "\nMeasured {now} on {}, Linux {}; load averages {load_before} before and {} after.",
        processor(),
        read("/proc/sys/kernel/osrelease"),
        load_average(),
    );
    println!(
        "Medians of {rounds} interleaved rounds of {seconds} s each, least and most in brackets."
    );
}

pub(crate) fn print_lines(lines: &[Line], base: &str) {
    println!(
        "\n| | checks | µs of processor/request | of {base} | requests/s | p50 µs | p99 µs | MiB | core busy |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for line in lines {
        let of = |value: fn(&Sample) -> f64| line.samples.iter().map(value).collect::<Vec<_>>();
        println!(
            "| {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % |",
            line.name,
            line.checks,
            spread(&of(|sample| sample.cost), 1),
            spread(&ratios(line, &lines[0]), 2),
            median(&of(|sample| sample.rate)),
            median(&of(|sample| f64::from(sample.p50))),
            median(&of(|sample| f64::from(sample.p99))),
            line.resident as f64 / 1024.0,
            median(&of(|sample| sample.busy)) * 100.0,
        );
    }
}

/// How `ours` stands to others.
pub(crate) fn print_goals(ours: &Line, others: &[(Goal, &Line)]) {
    println!("\n| {} / | goal | measured | |", ours.name);
    println!("|---|---|---|---|");
    for (Goal { name, goal }, other) in others {
        let ratios = ratios(ours, other);
        let verdict = if median(&ratios) <= *goal {
            "met"
        } else {
            "not met"
        };
        println!(
            "| {name} | ≤ {goal:.2} | {} | {verdict} |",
            spread(&ratios, 2)
        );
    }
}

/// Cost against cost, round by round.
fn ratios(line: &Line, base: &Line) -> Vec<f64> {
    let pairs = line.samples.iter().zip(&base.samples);
    pairs.map(|(one, other)| one.cost / other.cost).collect()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!(
        "{:.digits$} ({least:.digits$}–{most:.digits$})",
        median(values)
    )
}

pub(crate) fn load_average() -> String {
    let text = read("/proc/loadavg");
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let line = text.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split(": ").nth(1));
    let cores = text.lines().filter(|line| line.starts_with("processor"));
    let cores = cores.count();
    format!(
        "{}, {cores} cores",
        model.unwrap_or("a processor without a name")
    )
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
