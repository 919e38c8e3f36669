//! Rounds, samples and goals.

use std::process::ExitCode;
use std::time::Duration;

use crate::hosts::Hosted;
use crate::options::{Options, allocator};
use crate::table;

/// What a contender measured in one round.
pub(crate) struct Sample {
    /// Nanoseconds per operation.
    pub(crate) time: f64,
    /// Further numbers, one per column in [`Benchmark::columns`]; `None` where the contender can't tell.
    pub(crate) columns: Vec<Option<f64>>,
}

impl Sample {
    pub(crate) fn new(elapsed: Duration, operations: u64) -> Self {
        Self { time: elapsed.as_nanos() as f64 / operations as f64, columns: Vec::new() }
    }
}

/// One runtime's way of doing what a benchmark measures.
struct Contender {
    name: String,
    body: Box<dyn Fn() -> Hosted<Sample>>,
}

/// A ratio of two contenders' times, in the two ways that tell least about what else the machine was doing.
#[derive(Clone, Copy)]
pub(crate) struct Ratio {
    /// Of the best round of each.
    pub(crate) best: f64,
    /// The median of the ratios of each round, since what disturbs a round disturbs both.
    pub(crate) median: f64,
}

/// How a goal's number follows from the results; `None` if a contender it needs did not run.
type Value = dyn Fn(&Results) -> Option<Ratio>;

/// A ratio that the project has set itself.
struct Goal {
    text: String,
    value: Box<Value>,
    bound: Bound,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

/// One table: contenders that all do the same.
pub(crate) struct Benchmark {
    pub(crate) name: &'static str,
    /// One sentence: what is measured, and per what.
    pub(crate) what: &'static str,
    /// Headings of the extra columns.
    pub(crate) columns: Vec<&'static str>,
    most_rounds: usize,
    contenders: Vec<Contender>,
    goals: Vec<Goal>,
}

impl Benchmark {
    pub(crate) fn new(name: &'static str, what: &'static str) -> Self {
        Self { name, what, columns: Vec::new(), most_rounds: usize::MAX, contenders: Vec::new(), goals: Vec::new() }
    }

    /// Takes no more than `rounds` rounds, however many are asked for; for a benchmark whose round takes seconds.
    pub(crate) fn at_most(mut self, rounds: usize) -> Self {
        self.most_rounds = rounds;
        self
    }

    pub(crate) fn column(mut self, heading: &'static str) -> Self {
        self.columns.push(heading);
        self
    }

    pub(crate) fn contender(mut self, name: impl Into<String>, body: impl Fn() -> Hosted<Sample> + 'static) -> Self {
        self.contenders.push(Contender { name: name.into(), body: Box::new(body) });
        self
    }

    /// States that contender `ours` is to be `times` as fast as contender `theirs`.
    pub(crate) fn goal(self, ours: &'static str, theirs: &'static str, times: f64) -> Self {
        let value = move |results: &Results| results.ratio(theirs, ours);
        self.goal_of(format!("{ours} against {theirs}"), Bound::AtLeast(times), value)
    }

    /// States a goal about any number that follows from the results.
    pub(crate) fn goal_of(
        mut self,
        text: String,
        bound: Bound,
        value: impl Fn(&Results) -> Option<Ratio> + 'static,
    ) -> Self {
        self.goals.push(Goal { text, value: Box::new(value), bound });
        self
    }

    pub(crate) fn contenders(&self) -> impl Iterator<Item = &str> {
        self.contenders.iter().map(|contender| contender.name.as_str())
    }

    /// Runs one unmeasured round, then the measured ones.
    fn run(&self, options: &Options) -> Results {
        let wanted = |contender: &&Contender| options.wants_contender(&contender.name);
        let mut rows: Vec<(&Contender, Row)> =
            self.contenders.iter().filter(wanted).map(|contender| (contender, Row::new(&contender.name))).collect();
        let rounds = options.rounds.min(self.most_rounds);
        for round in 0..=rounds {
            eprint!("\r{}: round {round} of {rounds}   ", self.name);
            let count = rows.len();
            for turn in 0..count {
                // Each round starts with another contender, so that none always runs after the same neighbour.
                let (contender, row) = &mut rows[(turn + round) % count];
                if row.failure.is_some() {
                    continue;
                }
                match (contender.body)() {
                    // Round 0 warms caches, the branch predictor and the allocator.
                    Ok(_) if round == 0 => {}
                    Ok(sample) => row.samples.push(sample),
                    Err(reason) => row.failure = Some(reason),
                }
            }
        }
        eprintln!("\r{}: {rounds} rounds              ", self.name);
        Results { rows: rows.into_iter().map(|(_, row)| row).collect() }
    }
}

/// Everything one contender measured.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
    /// Why the contender could not run.
    pub(crate) failure: Option<String>,
}

impl Row {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), samples: Vec::new(), failure: None }
    }

    /// The best time, in nanoseconds per operation.
    pub(crate) fn best(&self) -> Option<f64> {
        self.samples.iter().map(|sample| sample.time).min_by(f64::total_cmp)
    }

    /// The median time, in nanoseconds per operation.
    pub(crate) fn median(&self) -> Option<f64> {
        median(self.samples.iter().map(|sample| sample.time).collect())
    }

    /// How many times `other`'s time this contender takes.
    pub(crate) fn times(&self, other: &Self) -> Option<Ratio> {
        let rounds = self.samples.iter().zip(&other.samples);
        let median = median(rounds.map(|(own, other)| own.time / other.time).collect())?;
        Some(Ratio { best: self.best()? / other.best()?, median })
    }

    /// The median of an extra column.
    pub(crate) fn column(&self, index: usize) -> Option<f64> {
        median(self.samples.iter().filter_map(|sample| *sample.columns.get(index)?).collect())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The rows of one benchmark.
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
}

impl Results {
    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// How many times contender `two`'s time contender `one` takes.
    pub(crate) fn ratio(&self, one: &str, two: &str) -> Option<Ratio> {
        self.row(one)?.times(self.row(two)?)
    }

    /// The median of a contender's extra column.
    pub(crate) fn column(&self, name: &str, index: usize) -> Option<f64> {
        self.row(name)?.column(index)
    }
}

/// Runs the benchmarks that were asked for, printing each one's table when it is done, and all goals at the end.
///
/// A missed goal is printed, not failed on: a ratio depends on the machine, and a busy one proves nothing.
pub(crate) fn run(benchmarks: Vec<Benchmark>, options: &Options) -> ExitCode {
    let benchmarks: Vec<_> = benchmarks.into_iter().filter(|one| options.wants_benchmark(one.name)).collect();
    if benchmarks.is_empty() {
        eprintln!("no benchmark has such a name; see --list");
        return ExitCode::from(2);
    }
    println!(
        "allocator: {}; rounds: {}{}",
        allocator(),
        options.rounds,
        if options.quick { "; smoke run" } else { "" }
    );
    let mut goals = Vec::new();
    for benchmark in &benchmarks {
        let results = benchmark.run(options);
        print!("{}", table::benchmark(benchmark, &results));
        goals.extend(benchmark.goals.iter().filter_map(|goal| {
            let value = (goal.value)(&results)?;
            Some(table::GoalLine { benchmark: benchmark.name, text: &goal.text, bound: goal.bound, value })
        }));
    }
    if !goals.is_empty() {
        print!("{}", table::goals(&goals));
    }
    ExitCode::SUCCESS
}
