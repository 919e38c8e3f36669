//! Shrinks a program that differs until nothing can be left out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compare::{Plan, compare};
use super::oracle::Python;
use super::program::{Op, Program, Vector};

/// The smallest program found in `time` that still differs, and that still does one thing only in Python Trio under all
/// schedules, with what it does there.
pub(super) fn minimise(python: &Python, vector: &Vector, time: Duration) -> Vector {
    let mut oracle = python.oracle();
    let plan = Plan { patience: Duration::from_secs(3), ..Plan::new(8) };
    let deadline = Instant::now() + time;
    let mut smallest = vector.clone();
    // A small program may allow what a larger one did not, so edits are tried until a whole round has found nothing.
    loop {
        let before = size(&smallest.program);
        let mut i = 0;
        while let Some(program) = edit(&smallest.program, i) {
            if Instant::now() > deadline {
                return smallest;
            }
            i += 1;
            if size(&program) >= size(&smallest.program) {
                continue;
            }
            let Some(expected) = oracle.ask(&program) else {
                continue;
            };
            let candidate = Arc::new(vec![Vector { program, expected }]);
            if !compare(&candidate, &plan).is_empty() {
                smallest = candidate[0].clone();
                // The edits are numbered from the start of the program: what is left stands at the same number.
                i -= 1;
            }
        }
        if size(&smallest.program) == before {
            return smallest;
        }
    }
}

/// What must get smaller with every step: the operations first, then what is in them.
fn size(program: &Program) -> (usize, u64) {
    fn add(ops: &[Op], ops_seen: &mut usize, weight: &mut u64) {
        for op in ops {
            *ops_seen += 1;
            *weight += match op {
                Op::Sleep { t } => digits(*t),
                Op::Scope { timeout, shield, .. } => timeout.map_or(0, |t| 1 + digits(t)) + u64::from(*shield),
                Op::SetTimeout { t, .. } => t.map_or(0, |t| 1 + digits(t)),
                Op::Start { .. } => 1,
                _ => 0,
            };
            for (_, body) in op.bodies() {
                add(body, ops_seen, weight);
            }
        }
    }
    let (mut ops, mut weight) = (0, program.channels.len() as u64);
    add(&program.main, &mut ops, &mut weight);
    (ops, weight)
}

/// Digits up to the trailing zeros, which is what makes a time hard to read.
fn digits(t: u64) -> u64 {
    t.to_string().trim_end_matches('0').len() as u64
}

/// The `i`th simplification of `program`.
fn edit(program: &Program, i: usize) -> Option<Program> {
    let mut new = program.clone();
    if let Some(name) = program.channels.keys().nth(i) {
        // Python refuses the program if the channel is in use.
        new.channels.remove(name);
        return Some(new);
    }
    let mut left = i - program.channels.len();
    edit_list(&mut new.main, &mut left).then_some(new)
}

/// Makes edit number `left` of those of `ops` and all below it, or takes their number off `left`.
fn edit_list(ops: &mut Vec<Op>, left: &mut usize) -> bool {
    // Runs of operations, the long ones first.
    let mut length = ops.len();
    while length > 0 {
        let places = ops.len() - length + 1;
        if *left < places {
            ops.drain(*left..*left + length);
            return true;
        }
        *left -= places;
        length /= 2;
    }
    for i in 0..ops.len() {
        if edit_op(ops, i, left) {
            return true;
        }
    }
    ops.iter_mut().flat_map(Op::bodies_mut).any(|body| edit_list(body, left))
}

/// Edits of one operation that stays, or is replaced by what is in it.
fn edit_op(ops: &mut Vec<Op>, i: usize, left: &mut usize) -> bool {
    let mut edits: Vec<Vec<Op>> = Vec::new();
    let op = &ops[i];
    let bodies = op.bodies();
    if !bodies.is_empty() {
        edits.push(bodies.iter().flat_map(|(_, body)| body.iter().cloned()).collect());
    }
    if bodies.len() > 1 {
        edits.extend(bodies.iter().map(|(_, body)| body.to_vec()));
    }
    match op {
        Op::Sleep { t } => {
            edits.extend(rounded(*t).map(|t| vec![Op::Sleep { t }]));
            // Two sleeps in a row are one.
            if let Some(Op::Sleep { t: more }) = ops.get(i + 1) {
                edits.push(vec![Op::Sleep { t: t + more }]);
            }
        }
        Op::SetTimeout { scope, t: Some(t) } => {
            edits.extend(rounded(*t).map(|t| vec![Op::SetTimeout { scope: scope.clone(), t: Some(t) }]));
        }
        Op::Scope { name, timeout, shield, body } => {
            let scope = |timeout, shield| vec![Op::Scope { name: name.clone(), timeout, shield, body: body.clone() }];
            edits.push(scope(None, *shield));
            edits.push(scope(*timeout, false));
            edits.extend(timeout.iter().flat_map(|&t| rounded(t)).map(|t| scope(Some(t), *shield)));
        }
        Op::Start { nursery, name, before, after } => edits.push(vec![Op::Spawn {
            nursery: nursery.clone(),
            name: name.clone(),
            body: [&before[..], after].concat(),
        }]),
        _ => {}
    }
    if *left >= edits.len() {
        *left -= edits.len();
        return false;
    }
    let edit = edits.swap_remove(*left);
    let merged = matches!((&ops[i], &edit[..], ops.get(i + 1)),
        (Op::Sleep { t }, [Op::Sleep { t: sum }], Some(Op::Sleep { t: more })) if *sum == t + more);
    ops.splice(i..i + 1 + usize::from(merged), edit);
    true
}

/// Times near `t` that are easier to read.
fn rounded(t: u64) -> impl Iterator<Item = u64> {
    [10_000, 1_000, 100].into_iter().flat_map(move |unit| [t / unit * unit, t.div_ceil(unit) * unit])
}
