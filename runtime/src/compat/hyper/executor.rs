//! hyper's tasks in a nursery.
#![forbid(unsafe_code)]

use std::fmt;

use crate::kernel::child::TaskOutput;
use crate::kernel::nursery::Nursery;

/// Runs hyper's futures in a nursery: what hyper's HTTP/2 wants.
///
/// The futures may borrow as much as the nursery's tasks, and need not be `Send`. They end with the nursery at the latest.
///
/// # Examples
///
/// ```
/// use hyper::rt::Executor as _;
/// use trio::compat::hyper::Executor;
/// trio::run(async {
///     let said = std::cell::Cell::new("nothing");
///     trio::nursery! { |n|
///         Executor::new(n).execute(async { said.set("hello") });
///     }
///     assert_eq!(said.get(), "hello");
/// });
/// ```
pub struct Executor<'scope, 'env, E = std::convert::Infallible>(&'scope Nursery<'scope, 'env, E>);

impl<'scope, 'env, E> Executor<'scope, 'env, E> {
    /// Runs futures in this nursery.
    pub const fn new(nursery: &'scope Nursery<'scope, 'env, E>) -> Self {
        Self(nursery)
    }
}

impl<E> Clone for Executor<'_, '_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Executor<'_, '_, E> {}

impl<E> fmt::Debug for Executor<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Executor").field(self.0).finish()
    }
}

impl<'scope, F, E> hyper::rt::Executor<F> for Executor<'scope, '_, E>
where
    F: Future + 'scope,
    F::Output: TaskOutput<E>,
{
    fn execute(&self, future: F) {
        self.0.start_soon(future);
    }
}
