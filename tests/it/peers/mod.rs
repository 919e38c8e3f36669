//! Other people's programs at the other end: Python's Trio, nginx, curl, Chromium.
//!
//! A test that needs a program that is missing says so and is skipped; CI installs them.

mod chromium;
mod curl;
mod nginx;
mod python;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trio::process::{Command, run_process};

/// Longer than any of these takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

/// Whether a program can be run with these arguments; says so if not.
async fn is_there(program: impl AsRef<Path>, arguments: &[&str]) -> bool {
    let program = program.as_ref();
    let run = run_process(Command::new(program).args(arguments).capture_stdout(true).capture_stderr(true)).await;
    if let Err(error) = &run {
        println!("skipped: {} is not to be had here: {error}", program.display());
    }
    run.is_ok()
}

/// The Python that has Trio.
fn python() -> PathBuf {
    env::var_os("TRIO_PYTHON").unwrap_or_else(|| "python3".into()).into()
}

/// A folder for one test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("trio-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
