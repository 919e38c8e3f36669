//! Does trio do what Python Trio does? Random programs with the trace that Python Trio gave decide; see `README.md`.

mod compare;
mod fresh;
mod interpreter;
mod minimise;
mod oracle;
mod program;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use compare::{Plan, compare, report};
use program::{Vector, parse_lines, pretty};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn assert_equal(vectors: Vec<Vector>, seeds: u64) {
    let vectors = Arc::new(vectors);
    let differences = compare(&vectors, &Plan::new(seeds));
    assert!(differences.is_empty(), "\n{}", report(&vectors, &differences));
}

/// All programs of `programs.jsonl`, each first in, first out, and under eight shuffled schedules.
#[test]
fn programs_do_what_python_trio_does() {
    let vectors = parse_lines(&read(&data().join("programs.jsonl")));
    assert_eq!(vectors.len(), 600);
    assert_equal(vectors, 8);
}

fn minimised() -> Vec<(PathBuf, Vector)> {
    let folder = data().join("minimised");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let parse = |path: PathBuf| {
        let vector = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, vector)
    };
    paths.into_iter().map(parse).collect()
}

/// The small programs that were kept: differences of the past, minimised, and edge cases of single rules.
#[test]
fn minimised_programs_do_what_python_trio_does() {
    assert_equal(minimised().into_iter().map(|(_, vector)| vector).collect(), 32);
}

/// Asks Python Trio again what the small programs do, and writes the answer into their files.
#[test]
#[ignore = "writes into the sources; needs Python with Trio"]
fn record_minimised() {
    let mut oracle = oracle::Python::find().expect("Python Trio is there").oracle();
    for (path, mut vector) in minimised() {
        let outcome = oracle.ask(&vector.program);
        vector.expected = outcome.unwrap_or_else(|| panic!("Python does not do one thing with {}", path.display()));
        fs::write(&path, pretty(&vector)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

/// Runs the programs of any file: `TRIO_VECTORS_FILE`, under `TRIO_VECTORS_SEEDS` schedules (8), at most
/// `TRIO_VECTORS_BUDGET` (1) operations a step. Minimises the first `TRIO_VECTORS_MINIMISE` (0) of those that differ.
#[test]
#[ignore = "for soak tests and for work on the kernel; needs TRIO_VECTORS_FILE"]
fn file_does_what_python_trio_does() {
    let number = |name: &str, default| env::var(name).map_or(default, |n| n.parse().expect("a number"));
    let file = env::var_os("TRIO_VECTORS_FILE").expect("TRIO_VECTORS_FILE names a file");
    let vectors = Arc::new(parse_lines(&read(Path::new(&file))));
    let checkpoint_budget = number("TRIO_VECTORS_BUDGET", 1) as u32;
    let plan = Plan { checkpoint_budget, ..Plan::new(number("TRIO_VECTORS_SEEDS", 8)) };
    let begin = Instant::now();
    let differences = compare(&vectors, &plan);
    let runs = vectors.len() * plan.schedules.len();
    println!("{} programs, {runs} runs in {:.1?}", vectors.len(), begin.elapsed());
    println!("{}", report(&vectors, &differences));
    let some = number("TRIO_VECTORS_MINIMISE", 0) as usize;
    if some > 0 && !differences.is_empty() {
        let python = oracle::Python::find().expect("Python Trio is there");
        for difference in differences.iter().take(some) {
            let vector = &vectors[difference.vector];
            let small = minimise::minimise(&python, vector, Duration::from_secs(120));
            println!("{} minimised:\n{}", vector.program.id, pretty(&small));
            let small = Arc::new(vec![small]);
            println!("{}", report(&small, &compare(&small, &Plan::new(8))));
        }
    }
    assert!(differences.is_empty(), "{} programs differ", differences.len());
}
