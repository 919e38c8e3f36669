//! Runs many programs under many schedules and reports what differs from Python Trio.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::interpreter::{self, Schedule};
use super::program::{Outcome, Vector};

/// Trio's strict rule, under which every operation yields, and the rule under which the vectors were made.
pub(super) const STRICT: u32 = 1;

/// How programs are run.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) schedules: Vec<Schedule>,
    pub(super) checkpoint_budget: u32,
    /// A program takes microseconds. One that takes longer than this can never end, and its thread is given up.
    pub(super) patience: Duration,
}

impl Plan {
    /// First in, first out, and this many shuffled schedules.
    pub(super) fn new(seeds: u64) -> Self {
        let schedules = [Schedule::Fifo].into_iter().chain((0..seeds).map(Schedule::Seed)).collect();
        Self { schedules, checkpoint_budget: STRICT, patience: Duration::from_secs(20) }
    }
}

/// A program that did something else than in Python, and the first schedule under which it did.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) vector: usize,
    pub(super) schedule: Schedule,
    pub(super) actual: Actual,
}

#[derive(Clone, Debug)]
pub(super) enum Actual {
    Outcome(Outcome),
    Panicked(String),
    Stuck,
}

/// The differences, in the order of the vectors.
pub(super) fn compare(vectors: &Arc<Vec<Vector>>, plan: &Plan) -> Vec<Difference> {
    let next = Arc::new(AtomicUsize::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(vectors.len()).max(1);
    let mut workers: Vec<_> = (0..threads).map(|_| Worker::start(vectors, plan, &next)).collect();
    let mut differences = Vec::new();
    while let Some(worker) = workers.pop() {
        match worker.results.recv_timeout(Duration::from_millis(100)) {
            Ok(difference) => {
                differences.push(difference);
                workers.insert(0, worker);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let doing = *worker.doing.lock().unwrap();
                match doing {
                    Some((since, vector, schedule)) if since.elapsed() > plan.patience => {
                        differences.push(Difference { vector, schedule, actual: Actual::Stuck });
                        workers.insert(0, Worker::start(vectors, plan, &next));
                    }
                    _ => workers.insert(0, worker),
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {}
        }
    }
    differences.sort_by_key(|difference| difference.vector);
    differences
}

/// A thread that takes one program after another. It cannot be stopped, only abandoned.
struct Worker {
    results: mpsc::Receiver<Difference>,
    /// What it runs, and since when.
    doing: Arc<Mutex<Option<(Instant, usize, Schedule)>>>,
}

impl Worker {
    fn start(vectors: &Arc<Vec<Vector>>, plan: &Plan, next: &Arc<AtomicUsize>) -> Self {
        let (sender, results) = mpsc::channel();
        let doing = Arc::new(Mutex::new(None));
        let worker = Self { results, doing: Arc::clone(&doing) };
        let (vectors, plan, next) = (Arc::clone(vectors), plan.clone(), Arc::clone(next));
        // Deeply nested programs are deeply nested polls, which in a debug build take room.
        let thread = thread::Builder::new().name("vectors".to_owned()).stack_size(64 << 20);
        let work = move || {
            // Once it is given up, it must take no more programs, since nobody would learn of their differences.
            while Arc::strong_count(&doing) > 1 {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= vectors.len() {
                    return;
                }
                for &schedule in &plan.schedules {
                    *doing.lock().unwrap() = Some((Instant::now(), i, schedule));
                    let actual = run(&vectors[i], schedule, plan.checkpoint_budget);
                    *doing.lock().unwrap() = None;
                    let Some(actual) = actual else { continue };
                    if sender.send(Difference { vector: i, schedule, actual }).is_err() {
                        return;
                    }
                    break;
                }
            }
        };
        thread.spawn(work).expect("a thread for the vectors");
        worker
    }
}

/// What `vector` does instead of what it should, if anything.
fn run(vector: &Vector, schedule: Schedule, checkpoint_budget: u32) -> Option<Actual> {
    let run = || interpreter::run(&vector.program, schedule, checkpoint_budget);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) if outcome == vector.expected => None,
        Ok(outcome) => Some(Actual::Outcome(outcome)),
        Err(payload) => {
            let message = payload.downcast_ref::<String>().cloned();
            let message = message.or_else(|| payload.downcast_ref::<&str>().map(|&s| s.to_owned()));
            Some(Actual::Panicked(message.unwrap_or_else(|| "with a payload that is no text".to_owned())))
        }
    }
}

/// Says for each difference where, and in which way; nothing when there is none.
pub(super) fn report(vectors: &[Vector], differences: &[Difference]) -> String {
    let mut out = String::new();
    for Difference { vector, schedule, actual } in differences {
        let vector = &vectors[*vector];
        let _ = writeln!(out, "program {} differs under schedule {schedule}:", vector.program.id);
        match actual {
            Actual::Panicked(message) => _ = writeln!(out, "  it panicked: {message}"),
            Actual::Stuck => out.push_str("  it does not end\n"),
            Actual::Outcome(actual) => compare_outcomes(&mut out, &vector.expected, actual),
        }
    }
    if !differences.is_empty() {
        let _ = writeln!(out, "{} of {} programs differ", differences.len(), vectors.len());
    }
    out
}

/// Of each task that differs, the lines from the last common one on.
fn compare_outcomes(out: &mut String, expected: &Outcome, actual: &Outcome) {
    let nothing = Vec::new();
    let mut tasks: Vec<_> = expected.trace.keys().chain(actual.trace.keys()).collect();
    tasks.sort();
    tasks.dedup();
    for task in tasks {
        let trio = expected.trace.get(task).unwrap_or(&nothing);
        let ours = actual.trace.get(task).unwrap_or(&nothing);
        if trio == ours {
            continue;
        }
        let common = trio.iter().zip(ours).take_while(|(a, b)| a == b).count();
        let from = common.saturating_sub(1);
        let _ = writeln!(out, "  task {task}, after {common} equal lines:");
        let _ = writeln!(out, "    Trio {}", compact(&trio[from..]));
        let _ = writeln!(out, "    here {}", compact(&ours[from..]));
    }
    if expected.errors != actual.errors {
        let _ = writeln!(out, "  errors:\n    Trio {:?}\n    here {:?}", expected.errors, actual.errors);
    }
}

fn compact(lines: &[(u64, String)]) -> String {
    let shown: Vec<_> = lines.iter().take(6).map(|(ms, text)| format!("{ms}: {text}")).collect();
    let more = if lines.len() > 6 { " · …" } else { "" };
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(" · ") + more }
}
