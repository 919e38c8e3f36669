//! Measures trio against other single-threaded async runtimes, all in one process, and prints tables of ratios.
//!
//! `cargo run --release -p trio-bench` runs everything. `benches/README.md` says what each benchmark measures
//! and keeps the last recorded tables.
//!
//! Times differ from one machine, and from one minute, to the next; so a table is about the *ratio* of two
//! contenders, and the contenders of one benchmark take turns, round by round, so that a noisy moment hits all alike.

use std::process::ExitCode;

mod bench;
mod harness;
mod hosts;
mod memory;
mod options;
mod parts;
mod table;

#[cfg(not(feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: memory::Counted<std::alloc::System> = memory::Counted(std::alloc::System);

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: memory::Counted<mimalloc::MiMalloc> = memory::Counted(mimalloc::MiMalloc);

fn main() -> ExitCode {
    let options = match options::Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build; its ratios mean nothing. Use `cargo run --release -p trio-bench`");
    }
    let benchmarks = bench::all(options.scale());
    if options.list {
        for benchmark in &benchmarks {
            println!("{}: {}", benchmark.name, benchmark.contenders().collect::<Vec<_>>().join(", "));
        }
        return ExitCode::SUCCESS;
    }
    harness::run(benchmarks, &options)
}
