//! Python Trio, asked for what a program does there.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::program::{Outcome, Program};

/// The first version of Python Trio that has the rules of the recorded traces. In 0.22, for one, a nursery's end was still
/// a cancel point.
const OLDEST: (u32, u32) = (0, 35);

/// Whether a version, such as `0.35.0` or `0.36.0+dev`, has the rules that are to be followed.
fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>());
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST)
}

#[test]
fn an_old_python_trio_is_no_oracle() {
    assert!(["0.35.0", "0.35.1", "0.36.0+dev", "1.0.0", "1.0"].map(is_recent).iter().all(|recent| *recent));
    assert!(!["0.22.2", "0.34.0", "0.9", "", "0", "dev"].map(is_recent).iter().any(|recent| *recent));
}

/// Where Python and the reference implementation of the program language are.
pub(super) struct Python {
    /// `TRIO_PYTHON` if set, else `python3`.
    pub(super) interpreter: PathBuf,
    pub(super) reference: PathBuf,
    /// The version of Python Trio.
    pub(super) version: String,
}

impl Python {
    /// Finds both, or says why there is nothing to compare with.
    pub(super) fn find() -> Result<Self, String> {
        let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/reference.py");
        if !reference.is_file() {
            return Err(format!("{} does not exist", reference.display()));
        }
        let interpreter = PathBuf::from(env::var_os("TRIO_PYTHON").unwrap_or_else(|| "python3".into()));
        let shown = interpreter.display();
        let output = Command::new(&interpreter)
            .args(["-c", "import trio; print(trio.__version__)"])
            .output()
            .map_err(|e| format!("{shown} does not start: {e} (TRIO_PYTHON chooses the Python)"))?;
        if !output.status.success() {
            return Err(format!("{shown} has no trio (TRIO_PYTHON chooses the Python)"));
        }
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !is_recent(&version) {
            let (major, minor) = OLDEST;
            return Err(format!("{shown} has trio {version}, which differs from {major}.{minor} in its rules"));
        }
        Ok(Self { interpreter, reference, version })
    }

    /// Starts an oracle, which answers until it is dropped.
    pub(super) fn oracle(&self) -> Oracle {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/oracle.py");
        let mut child = Command::new(&self.interpreter)
            .arg(script)
            .arg(&self.reference)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts, as it did a moment ago");
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Oracle { child, questions, answers }
    }
}

/// A Python process that runs the programs it is given.
pub(super) struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// What `program` does in Python Trio. `None` if that depends on the schedule, or if it never ends or is misuse.
    pub(super) fn ask(&mut self, program: &Program) -> Option<Outcome> {
        let question = serde_json::to_string(program).expect("programs are plain data");
        writeln!(self.questions, "{question}").expect("the oracle listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the oracle answers");
        assert!(!answer.is_empty(), "the oracle died; its message is above");
        serde_json::from_str(&answer).expect("the oracle answers in JSON")
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
