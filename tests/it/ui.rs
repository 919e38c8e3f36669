//! Programs that must not compile, each with the message it must give, and their corrected twins.
//!
//! The words are rustc's as much as ours, and change from one release to the next. So they are
//! compared on one release only; others still check that the twins compile.
//! After a change, `TRYBUILD=overwrite cargo test -p trio-tests ui` writes the messages anew: read them.

use std::process::Command;

/// The release whose messages are in `compile_fail/*.stderr`.
const PINNED: &str = "rustc 1.95.0 ";

#[test]
fn misuse_does_not_compile_and_its_correction_does() {
    let cases = trybuild::TestCases::new();
    cases.pass("compile_pass/*.rs");
    if is_pinned() {
        cases.compile_fail("compile_fail/*.rs");
    } else {
        println!("skipped: the messages are those of {PINNED}");
    }
}

fn is_pinned() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    version.is_ok_and(|output| output.stdout.starts_with(PINNED.as_bytes()))
}
