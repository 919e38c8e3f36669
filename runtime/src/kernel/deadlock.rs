//! The report of a run that can never make progress again, and the drawing of its task tree.

use std::fmt::Write;

use super::run::Run;
use super::tree::{Kind, Tree};

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
        let tree = draw(&run.tree.borrow());
        match self {
            Self::Report => eprintln!("trio: {MESSAGE}; the tasks are:\n{tree}"),
            Self::Panic => panic!("{MESSAGE}; the tasks are:\n{tree}"),
        }
    }
}

/// Draws the tree of tasks, nurseries and scopes.
pub(crate) fn draw(tree: &Tree) -> String {
    let mut text = String::new();
    // An explicit stack, since scopes may be nested deeper than the thread's stack is.
    let mut stack = vec![(Tree::ROOT, 0)];
    while let Some((index, depth)) = stack.pop() {
        describe(tree, index, depth, &mut text);
        let children = tree.children(index);
        stack.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
    }
    text
}

fn describe(tree: &Tree, index: u32, depth: usize, text: &mut String) {
    let node = tree.at(index);
    let indent = "  ".repeat(depth);
    let status = match (node.cancelled, node.effective, node.shield) {
        (true, ..) => " (cancelled)",
        (_, true, _) => " (cancelled from above)",
        (_, _, true) => " (shielded)",
        _ => "",
    };
    // Writing to a string does not fail.
    let _ = match &node.kind {
        Kind::Root => writeln!(text, "run"),
        Kind::Task { name, location, daemon, .. } => {
            let kind = if *daemon { "daemon task" } else { "task" };
            writeln!(text, "{indent}{kind} '{name}', spawned at {location}{status}")
        }
        Kind::Body => writeln!(text, "{indent}body{status}"),
        Kind::Nursery { location, .. } => writeln!(text, "{indent}nursery, opened at {location}{status}"),
        Kind::Scope => writeln!(text, "{indent}cancel scope{status}"),
        Kind::Finally => writeln!(text, "{indent}finally{status}"),
        Kind::Operation { .. } => writeln!(text, "{indent}operation that may refuse to be cancelled{status}"),
    };
}
