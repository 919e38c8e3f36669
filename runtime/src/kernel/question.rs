//! `?` taken apart, for the block macros: stable Rust has no `Try` trait.

use std::convert::Infallible;
use std::ops::ControlFlow;

/// What `?` works on.
#[diagnostic::on_unimplemented(
    message = "`?` cannot be applied to `{Self}`",
    label = "not a `Result` or an `Option`",
    note = "a future must be awaited first: `.await?`"
)]
pub trait Try {
    /// What `?` goes on with.
    type Output;
    /// What `?` leaves with; `?` on it leaves with the same.
    type Residual;

    /// Goes on or leaves.
    fn branch(self) -> ControlFlow<Self::Residual, Self::Output>;
}

impl<T, E> Try for Result<T, E> {
    type Output = T;
    type Residual = Result<Infallible, E>;

    fn branch(self) -> ControlFlow<Self::Residual, T> {
        match self {
            Ok(value) => ControlFlow::Continue(value),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }
}

impl<T> Try for Option<T> {
    type Output = T;
    type Residual = Option<Infallible>;

    fn branch(self) -> ControlFlow<Self::Residual, T> {
        match self {
            Some(value) => ControlFlow::Continue(value),
            None => ControlFlow::Break(None),
        }
    }
}
