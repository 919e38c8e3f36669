//! Variables whose value depends on who asks: on the task, on its nursery, or on the run.
#![forbid(unsafe_code)]

mod run_var;
mod scoped;
mod task_local;
mod tree_var;

pub use run_var::{RunVar, RunVarToken};
pub use task_local::TaskLocal;
pub use tree_var::TreeVar;

use std::rc::Rc;

use crate::kernel::variables::{Key, Value};

/// What all kinds of variables have: a name for messages, an identity, and perhaps a default.
struct Variable<T> {
    name: &'static str,
    key: Key,
    default: Option<fn() -> T>,
}

impl<T: 'static> Variable<T> {
    const fn new(name: &'static str, default: Option<fn() -> T>) -> Self {
        Self { name, key: Key::new(), default }
    }

    /// A value of this variable, as the kernel keeps it, with its type again.
    fn typed(value: Value) -> Rc<T> {
        value.downcast().unwrap_or_else(|_| unreachable!("a variable's values are of its own type"))
    }

    /// What was found, or else the default.
    fn or_default(&self, found: Option<Value>) -> Option<Rc<T>> {
        found.map(Self::typed).or_else(|| self.default.map(|default| Rc::new(default())))
    }

    #[cold]
    #[track_caller]
    fn unset(&self, kind: &str) -> ! {
        panic!("the {kind} `{}` has no value here, and no default", self.name)
    }
}

/// A clone of the value, without one if nobody else has it.
fn cloned<T: Clone>(value: Rc<T>) -> T {
    Rc::try_unwrap(value).unwrap_or_else(|shared| (*shared).clone())
}
