//! The program language of the vectors as data: what is read from and written to JSON.
//!
//! `README.md` beside this file says what every operation means.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A program, and what Python Trio does with it. One of these is one line of `programs.jsonl`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Vector {
    #[serde(flatten)]
    pub(super) program: Program,
    #[serde(flatten)]
    pub(super) expected: Outcome,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Program {
    pub(super) id: String,
    /// Why a program was kept; only those in `minimised/` say so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) why: String,
    /// Channel names with their capacities.
    pub(super) channels: BTreeMap<String, usize>,
    pub(super) main: Vec<Op>,
}

/// What a program did: per task its lines with their virtual milliseconds, and the errors that left `main`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Outcome {
    pub(super) trace: BTreeMap<String, Vec<(u64, String)>>,
    /// The names of all `fail` errors, flattened and sorted.
    pub(super) errors: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Op {
    Log { m: String },
    Sleep { t: u64 },
    Checkpoint,
    Scope { name: String, timeout: Option<u64>, shield: bool, body: Vec<Self> },
    Cancel { scope: String },
    SetTimeout { scope: String, t: Option<u64> },
    SetShield { scope: String, v: bool },
    Nursery { name: String, body: Vec<Self> },
    Spawn { nursery: String, name: String, body: Vec<Self> },
    Start { nursery: String, name: String, before: Vec<Self>, after: Vec<Self> },
    Fail { e: String },
    Guard { m: String, body: Vec<Self> },
    Finally { body: Vec<Self>, cleanup: Vec<Self> },
    Wait { event: String },
    Set { event: String },
    Send { ch: String, v: i64 },
    Recv { ch: String },
    Lock { name: String, body: Vec<Self> },
}

impl Op {
    /// The lists of operations inside this one, each with the name of its JSON field, in the order in which they run.
    pub(super) fn bodies(&self) -> Vec<(&'static str, &Vec<Self>)> {
        match self {
            Self::Scope { body, .. }
            | Self::Nursery { body, .. }
            | Self::Spawn { body, .. }
            | Self::Guard { body, .. }
            | Self::Lock { body, .. } => vec![("body", body)],
            Self::Start { before, after, .. } => vec![("before", before), ("after", after)],
            Self::Finally { body, cleanup } => vec![("body", body), ("cleanup", cleanup)],
            _ => Vec::new(),
        }
    }

    /// As [`Op::bodies`], to change them.
    pub(super) fn bodies_mut(&mut self) -> Vec<&mut Vec<Self>> {
        match self {
            Self::Scope { body, .. }
            | Self::Nursery { body, .. }
            | Self::Spawn { body, .. }
            | Self::Guard { body, .. }
            | Self::Lock { body, .. } => vec![body],
            Self::Start { before, after, .. } => vec![before, after],
            Self::Finally { body, cleanup } => vec![body, cleanup],
            _ => Vec::new(),
        }
    }
}

/// Reads a file with one vector a line.
pub(super) fn parse_lines(text: &str) -> Vec<Vector> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not a program: {e}\n{line}")))
        .collect()
}

/// A vector as JSON that people can read: one operation, and one task's trace, a line.
pub(super) fn pretty(vector: &Vector) -> String {
    let Vector { program, expected } = vector;
    let mut out = format!("{{\"id\": {},\n", json(&program.id));
    if !program.why.is_empty() {
        let _ = writeln!(out, "\"why\": {},", json(&program.why));
    }
    let _ = write!(out, "\"channels\": {},\n\"main\": ", json(&program.channels));
    pretty_ops(&mut out, &program.main, 1);
    out.push_str(",\n\"trace\": {");
    for (i, (task, lines)) in expected.trace.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\n  {}: {}", json(task), json(lines));
    }
    let _ = writeln!(out, "}},\n\"errors\": {}}}", json(&expected.errors));
    out
}

fn pretty_ops(out: &mut String, ops: &[Op], depth: usize) {
    out.push('[');
    for (i, op) in ops.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\n{:width$}", "", width = 2 * depth);
        // The operation without its bodies is its head; its bodies follow, indented.
        let mut head = op.clone();
        head.bodies_mut().into_iter().for_each(Vec::clear);
        let mut head = json(&head);
        for (field, _) in op.bodies() {
            head = head.replace(&format!(",\"{field}\":[]"), "");
        }
        if !op.bodies().is_empty() {
            head.truncate(head.len() - 1);
        }
        out.push_str(&head);
        for (field, body) in op.bodies() {
            let _ = write!(out, ",\"{field}\": ");
            pretty_ops(out, body, depth + 1);
        }
        if !op.bodies().is_empty() {
            out.push('}');
        }
    }
    out.push(']');
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("programs are plain data")
}
