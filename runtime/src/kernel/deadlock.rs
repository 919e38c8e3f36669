//! The report of a run that can never make progress again, and the drawing of its task tree.

use std::fmt::Write;
use std::time::Instant;

use super::header::{Flag, Kind, Node};
use super::report::report;
use super::run::Run;
use super::view::TaskState;

/// What to do about a deadlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Say so on stderr, and go on waiting.
    Report,
    /// Panic.
    Panic,
}

const MESSAGE: &str = "deadlock: no task of this run can ever run again (none is ready, and no deadline, I/O, \
                       signal, thread or token is outstanding)";

impl Action {
    pub(crate) fn act(self, run: &Run) {
        let tree = draw(run);
        match self {
            Self::Report => report(format_args!("{MESSAGE}; the tasks are:\n{tree}")),
            Self::Panic => panic!("{MESSAGE}; the tasks are:\n{tree}"),
        }
    }
}

/// Draws the tree of tasks, nurseries and scopes.
pub(crate) fn draw(run: &Run) -> String {
    // Scopes that have been entered get their nodes, and deadlines are known.
    run.arm();
    let tree = &run.tree;
    let mut text = String::new();
    // An explicit stack, since scopes may be nested deeper than the thread's stack is.
    let mut stack = vec![(tree.root, 0)];
    while let Some((node, depth)) = stack.pop() {
        describe(run, node, depth, &mut text);
        let children = tree.children(node);
        stack.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
    }
    text
}

fn describe(run: &Run, node: Node, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let status = match (node.is(Flag::CANCELLED), node.is(Flag::EFFECTIVE), node.is(Flag::SHIELD)) {
        (true, ..) => " (cancelled)",
        (_, true, _) => " (cancelled from above)",
        (_, _, true) => " (shielded)",
        _ => "",
    };
    let left = run.epoch().instant(node.deadline.get()).map(|deadline| left(deadline, run.instant_now()));
    let left = left.unwrap_or_default();
    // Writing to a string does not fail.
    let at = node.location().map(|location| format!(" at {location}")).unwrap_or_default();
    let _ = match node.kind.get() {
        Kind::Root => writeln!(text, "run"),
        Kind::Task => {
            let kind = match (node.is(Flag::DEFERRED), node.is(Flag::DAEMON)) {
                (true, _) => "deferred task",
                (_, true) => "daemon task",
                (false, false) => "task",
            };
            let state = match TaskState::of(run, node) {
                TaskState::Running => ", running",
                TaskState::Runnable => ", can run",
                TaskState::Deferred => ", waits for the nursery's end",
                TaskState::Parked | TaskState::Ended => "",
            };
            writeln!(text, "{indent}{kind} '{}', spawned{at}{state}{status}", node.name())
        }
        Kind::Body => writeln!(text, "{indent}body{status}"),
        Kind::Nursery => writeln!(text, "{indent}nursery, opened{at}{left}{status}"),
        Kind::Scope => writeln!(text, "{indent}cancel scope, made{at}{left}{status}"),
        Kind::Finally => writeln!(text, "{indent}finally{status}"),
        Kind::Operation => writeln!(text, "{indent}operation that may refuse to be cancelled{status}"),
    };
}

/// How much time is left.
fn left(deadline: Instant, now: Instant) -> String {
    format!(", {:.3} s left", deadline.saturating_duration_since(now).as_secs_f64())
}
