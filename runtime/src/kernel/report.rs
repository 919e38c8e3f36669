//! What a run has to say to whoever looks at the program: warnings, on standard error.

use std::fmt;
use std::io::{self, Write};

/// Says something on standard error, if anybody can still be reached there.
///
/// A reader that has gone, or a disk that is full, is no reason to panic in the middle of whatever has to be reported; that
/// is what `eprintln!` does.
pub(crate) fn report(what: fmt::Arguments<'_>) {
    // In one piece, so that the lines of several threads don't mix.
    let line = format!("trio: {what}\n");
    let _nobody_there = io::stderr().write_all(line.as_bytes());
}
