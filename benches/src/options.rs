//! The command line.

/// What `--help` prints, and what a mistake in the arguments is answered with.
pub(crate) const USAGE: &str = "\
usage: cargo run --release -p trio-bench [--features mimalloc] -- [OPTIONS] [NAME]...

Runs the benchmarks whose name contains one of the NAMEs, or all of them, and prints a table for each.

options:
  --only NAME    only the contenders whose name contains NAME (may be repeated)
  --rounds N     measured rounds of every benchmark, N >= 1 (default 11; the large ones take at most 5)
  --quick        a smoke run: two rounds with a fiftieth of the work, to see that everything still runs
  --allocator A  refuse to run unless the program was built with allocator A: `system` or `mimalloc`
  --list         print the benchmarks and their contenders
  --help         print this text

The mimalloc feature replaces malloc for every contender, trio and peers alike.";

/// How much work one round of a benchmark does.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    divisor: u64,
}

impl Scale {
    /// `count` operations, or a fiftieth of them in a smoke run.
    pub(crate) fn of(self, count: u64) -> u64 {
        (count / self.divisor).max(1)
    }
}

/// What the command line asks for.
pub(crate) struct Options {
    /// Benchmarks to run: those whose name contains one of these; all if empty.
    names: Vec<String>,
    /// Contenders to run: those whose name contains one of these; all if empty.
    only: Vec<String>,
    /// Measured rounds.
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) list: bool,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { names: Vec::new(), only: Vec::new(), rounds: 11, quick: false, list: false, help: false };
        let mut rounds = None;
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = |what: &str| args.next().ok_or_else(|| format!("{arg} wants {what}\n\n{USAGE}"));
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                "--only" => options.only.push(value("a contender's name")?.to_lowercase()),
                "--rounds" => {
                    let number = value("a number")?;
                    let number = number.parse::<usize>().ok().filter(|&n| n > 0);
                    rounds = Some(number.ok_or_else(|| format!("--rounds wants a number of at least 1\n\n{USAGE}"))?);
                }
                "--allocator" => check_allocator(&value("`system` or `mimalloc`")?)?,
                flag if flag.starts_with('-') => {
                    return Err(format!("unknown option {flag}\n\n{USAGE}"));
                }
                name => options.names.push(name.to_lowercase()),
            }
        }
        options.rounds = rounds.unwrap_or(if options.quick { 2 } else { options.rounds });
        Ok(options)
    }

    pub(crate) fn scale(&self) -> Scale {
        Scale { divisor: if self.quick { 50 } else { 1 } }
    }

    pub(crate) fn wants_benchmark(&self, name: &str) -> bool {
        matches(&self.names, name)
    }

    pub(crate) fn wants_contender(&self, name: &str) -> bool {
        matches(&self.only, name)
    }
}

/// The name of the allocator this program was built with.
pub(crate) fn allocator() -> &'static str {
    if cfg!(feature = "mimalloc") { "mimalloc" } else { "system" }
}

/// An allocator can't be changed once the program runs (memory would be freed by the one that did not hand it out),
/// so this option only guards a script against having built the wrong one.
fn check_allocator(wanted: &str) -> Result<(), String> {
    match wanted {
        _ if wanted == allocator() => Ok(()),
        "mimalloc" => Err("built with the system's allocator; add `--features mimalloc` to the cargo command".into()),
        "system" => Err("built with mimalloc; leave `--features mimalloc` out of the cargo command".into()),
        other => Err(format!("unknown allocator {other}\n\n{USAGE}")),
    }
}

fn matches(wanted: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()))
}
