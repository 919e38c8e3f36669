//! Results as Markdown tables, aligned so that they read well in a terminal too.

use std::fmt::Write;

use crate::harness::{Benchmark, Bound, Ratio, Results, Row};

/// The contender that everybody is compared with in the right-hand columns.
const REFERENCE: &str = "tokio LocalRuntime";

/// One table: a row per contender.
///
/// `× trio` is how many times trio's time (its first row's) the contender takes: once the ratio of the best rounds,
/// once the median of the ratios of each round. `tokio ÷ it` is how many times faster it is than the first row of
/// tokio's `LocalRuntime`, again as the median of the ratios of each round.
pub(crate) fn benchmark(benchmark: &Benchmark, results: &Results) -> String {
    let first = |prefix: &str| results.rows.iter().find(|row| row.name.starts_with(prefix));
    let (ours, theirs) = (first("trio"), first(REFERENCE));
    let times = |one: Option<&Row>, two: Option<&Row>| one?.times(two?);

    let headings = ["contender", "best", "median", "× trio, best", "× trio", "tokio ÷ it"];
    let headings = headings.iter().chain(&benchmark.columns);
    let mut lines: Vec<Vec<String>> = vec![headings.map(|&heading| heading.to_owned()).collect()];
    let mut failures = String::new();
    for row in &results.rows {
        if let Some(reason) = &row.failure {
            let _ = writeln!(failures, "\n{} did not run: {reason}.", row.name);
            continue;
        }
        let (to_ours, to_theirs) = (times(Some(row), ours), times(theirs, Some(row)));
        let mut line = vec![
            row.name.clone(),
            row.best().map_or_else(missing, duration),
            row.median().map_or_else(missing, duration),
            to_ours.map_or_else(missing, |times| ratio(times.best)),
            to_ours.map_or_else(missing, |times| ratio(times.median)),
            to_theirs.map_or_else(missing, |times| ratio(times.median)),
        ];
        line.extend((0..benchmark.columns.len()).map(|index| row.column(index).map_or_else(missing, number)));
        lines.push(line);
    }
    format!("\n### {}\n\n{}\n\n{}{failures}", benchmark.name, benchmark.what, aligned(&lines))
}

/// One line of the list of goals.
pub(crate) struct GoalLine<'a> {
    pub(crate) benchmark: &'a str,
    pub(crate) text: &'a str,
    pub(crate) bound: Bound,
    pub(crate) value: Ratio,
}

/// The table of goals: reached if both in the best rounds and in the median.
pub(crate) fn goals(goals: &[GoalLine<'_>]) -> String {
    let headings = ["benchmark", "goal", "bound", "best", "median", ""];
    let mut lines: Vec<Vec<String>> = vec![headings.map(str::to_owned).to_vec()];
    for goal in goals {
        let bound = match goal.bound {
            Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
            Bound::AtMost(bound) => format!("≤ {bound:.1}"),
        };
        let verdict = match (goal.bound.holds(goal.value.best), goal.bound.holds(goal.value.median)) {
            (true, true) => "reached",
            (true, false) => "in the best rounds only",
            (false, true) => "in the median only",
            (false, false) => "**not reached**",
        };
        let (best, median) = (ratio(goal.value.best), ratio(goal.value.median));
        lines.push(vec![goal.benchmark.to_owned(), goal.text.to_owned(), bound, best, median, verdict.to_owned()]);
    }
    format!("\n### Goals\n\n{}", aligned(&lines))
}

/// A Markdown table; the first column is aligned to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).max(2);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let fill = " ".repeat(widths[column] - cell.chars().count());
            let _ = if column == 0 { write!(text, "| {cell}{fill} ") } else { write!(text, "| {fill}{cell} ") };
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width - 1);
                let _ = if column == 0 { write!(text, "| {dashes}- ") } else { write!(text, "| {dashes}: ") };
            }
            text.push_str("|\n");
        }
    }
    text
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

fn missing() -> String {
    "–".to_owned()
}

/// Nanoseconds in the unit that reads best.
fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.2} µs", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}

fn number(value: f64) -> String {
    format!("{value:.0}")
}
