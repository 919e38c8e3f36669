//! What a test can return.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// What a test can return: `()`, a `Result` or an `ExitCode`.
#[diagnostic::on_unimplemented(
    message = "a test can't return `{Self}`",
    label = "this is what the test returns",
    note = "a test returns `()`, a `Result` or an `ExitCode`"
)]
pub trait TestOutput {
    /// Whether the test failed by what it returned.
    fn is_failure(&self) -> bool;
}

impl TestOutput for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> TestOutput for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl TestOutput for ExitCode {
    fn is_failure(&self) -> bool {
        *self != Self::SUCCESS
    }
}
