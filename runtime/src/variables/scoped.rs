//! A variable with another value while some code runs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;

use crate::kernel::context;
use crate::kernel::variables::{Heritage, Value};

/// A variable's value that waits for its turn: the inner one while the code does not run, the outer one while it does.
struct Slot {
    heritage: Heritage,
    variable: usize,
    other: RefCell<Option<Value>>,
}

impl Slot {
    const fn new(heritage: Heritage, variable: usize, value: Value) -> Self {
        Self { heritage, variable, other: RefCell::new(Some(value)) }
    }

    /// Exchanges the two values. Without a run there are no tasks, and nothing is there to be exchanged.
    fn swap(&self) {
        context::try_with(|run| {
            let value = self.other.borrow_mut().take();
            let other = run.replace_variable(self.heritage, self.variable, value);
            let none = self.other.replace(other);
            debug_assert!(none.is_none());
        });
    }

    /// Makes the inner value count until the guard is dropped.
    fn enter(&self) -> SwapAtEnd<'_> {
        self.swap();
        SwapAtEnd(self)
    }
}

/// Exchanges the two values when it is dropped.
struct SwapAtEnd<'a>(&'a Slot);

impl Drop for SwapAtEnd<'_> {
    fn drop(&mut self) {
        self.0.swap();
    }
}

/// Runs a future in which the variable has this value. Its destructor sees it too.
pub(super) async fn scope<F: Future>(heritage: Heritage, variable: usize, value: Value, future: F) -> F::Output {
    let slot = Slot::new(heritage, variable, value);
    // Locals are dropped last first: the inner value comes in, the future goes, the inner value goes out.
    let _leave = SwapAtEnd(&slot);
    let mut future = pin!(future);
    let _enter = SwapAtEnd(&slot);
    poll_fn(|context| {
        let _entered = slot.enter();
        future.as_mut().poll(context)
    })
    .await
}

/// Calls a function in which the variable has this value.
#[track_caller]
pub(super) fn sync_scope<R>(heritage: Heritage, variable: usize, value: Value, f: impl FnOnce() -> R) -> R {
    context::with(|_| ());
    let slot = Slot::new(heritage, variable, value);
    let _entered = slot.enter();
    f()
}
