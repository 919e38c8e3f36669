//! Variables that all tasks of a run share.

use std::fmt;
use std::rc::Rc;

use super::{Variable, cloned};
use crate::kernel::context;
use crate::kernel::variables::Value;

/// A variable that all tasks of one run share, and that other runs have their own values of: Trio's `RunVar`.
///
/// For what a library has one of per run, such as a default limiter or a resolver. A run begins without values, and
/// drops them when it ends.
///
/// # Examples
///
/// ```
/// use trio::lowlevel::RunVar;
/// static CONNECTIONS: RunVar<u32> = RunVar::with_default("connections", || 0);
/// async fn connect() {
///     CONNECTIONS.set(CONNECTIONS.get() + 1);
/// }
/// trio::run(async {
///     trio::nursery! { |n|
///         n.start_soon(connect());
///         n.start_soon(connect());
///     }
///     assert_eq!(CONNECTIONS.get(), 2);
/// });
/// trio::run(async { assert_eq!(CONNECTIONS.get(), 0) });
/// ```
pub struct RunVar<T> {
    variable: Variable<T>,
}

impl<T: 'static> RunVar<T> {
    /// A variable without a default. The name is for messages.
    ///
    /// # Examples
    ///
    /// ```
    /// static CACHE: trio::lowlevel::RunVar<Vec<u32>> = trio::lowlevel::RunVar::new("cache");
    /// ```
    pub const fn new(name: &'static str) -> Self {
        Self { variable: Variable::new(name, None) }
    }

    /// A variable with a default, which counts where no value is. The name is for messages.
    ///
    /// The default is made anew each time it is asked for, and not kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static LIMIT: RunVar<usize> = RunVar::with_default("limit", || 40);
    /// trio::run(async { assert_eq!(LIMIT.get(), 40) });
    /// ```
    pub const fn with_default(name: &'static str, default: fn() -> T) -> Self {
        Self { variable: Variable::new(name, Some(default)) }
    }

    /// A clone of the value, or the default. Not a checkpoint.
    ///
    /// # Panics
    ///
    /// Outside a run (Trio's `RuntimeError`), and if there is neither a value nor a default (Trio's `LookupError`):
    /// [`try_get`](Self::try_get) gives `None` then.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAME: RunVar<&str> = RunVar::new("name");
    /// trio::run(async {
    ///     NAME.set("a run");
    ///     assert_eq!(NAME.get(), "a run");
    /// });
    /// ```
    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.try_get().unwrap_or_else(|| self.variable.unset("run variable"))
    }

    /// As [`get`](Self::get), but `None` if there is neither a value nor a default.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAME: RunVar<&str> = RunVar::new("name");
    /// trio::run(async { assert_eq!(NAME.try_get(), None) });
    /// ```
    #[track_caller]
    pub fn try_get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.variable.or_default(self.found()).map(cloned)
    }

    /// A clone of the value, or else the one given, which comes before the variable's own default: Trio's
    /// `get(default)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAME: RunVar<&str> = RunVar::new("name");
    /// trio::run(async { assert_eq!(NAME.get_or("none yet"), "none yet") });
    /// ```
    #[track_caller]
    pub fn get_or(&self, otherwise: T) -> T
    where
        T: Clone,
    {
        self.found().map(Variable::<T>::typed).map_or(otherwise, cloned)
    }

    /// Looks at the value, or the default, without a clone.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAMES: RunVar<Vec<&str>> = RunVar::with_default("names", Vec::new);
    /// trio::run(async { assert!(NAMES.with(|names| names.is_empty())) });
    /// ```
    #[track_caller]
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        match self.variable.or_default(self.found()) {
            Some(value) => look(&value),
            None => self.variable.unset("run variable"),
        }
    }

    /// Sets the variable for all tasks of the run. The token can be used to undo this: see [`reset`](Self::reset).
    ///
    /// Not a checkpoint.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAME: RunVar<&str> = RunVar::new("name");
    /// trio::run(async {
    ///     NAME.set("first");
    ///     let token = NAME.set("second");
    ///     assert_eq!(token.previous(), Some(&"first"));
    /// });
    /// ```
    #[track_caller]
    pub fn set(&self, value: T) -> RunVarToken<T> {
        let variable = self.variable.key.number();
        context::with(|run| {
            let previous = run.replace_shared_variable(variable, Some(Rc::new(value)));
            RunVarToken { variable, run: run.opened.run, previous: previous.map(Variable::typed) }
        })
    }

    /// Makes the variable what it was before the [`set`](Self::set) that gave this token, which may be without a value.
    ///
    /// A token can be used once, which its type says: Trio's `ValueError` for a second use is a compile error here. Any
    /// task of the run may use it. Not a checkpoint.
    ///
    /// # Panics
    ///
    /// Outside a run, in another run than that of the `set`, and with the token of another variable.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAME: RunVar<&str> = RunVar::new("name");
    /// trio::run(async {
    ///     let token = NAME.set("for a moment");
    ///     NAME.reset(token);
    ///     assert_eq!(NAME.try_get(), None);
    /// });
    /// ```
    ///
    /// ```compile_fail,E0382
    /// # use trio::lowlevel::RunVar;
    /// # static NAME: RunVar<&str> = RunVar::new("name");
    /// # trio::run(async {
    /// let token = NAME.set("for a moment");
    /// NAME.reset(token);
    /// NAME.reset(token);
    /// # });
    /// ```
    #[track_caller]
    pub fn reset(&self, token: RunVarToken<T>) {
        let variable = self.variable.key.number();
        assert!(token.variable == variable, "this token is of another run variable than `{}`", self.variable.name);
        let run = context::with(|run| run.opened.run);
        assert!(token.run == run, "this token for `{}` is of another trio run", self.variable.name);
        let previous = token.previous.map(|previous| previous as Value);
        let old = context::with(|run| run.replace_shared_variable(variable, previous));
        drop(old);
    }

    #[track_caller]
    fn found(&self) -> Option<Value> {
        context::with(|run| run.shared_variable(self.variable.key.number()))
    }
}

impl<T> fmt::Debug for RunVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunVar").field(&self.variable.name).finish()
    }
}

/// What a [`RunVar`] was before it was [`set`](RunVar::set): Trio's `RunVarToken`.
///
/// Dropping it leaves the variable as it is.
pub struct RunVarToken<T> {
    variable: usize,
    run: u64,
    previous: Option<Rc<T>>,
}

impl<T> RunVarToken<T> {
    /// The value before; `None` if there was none: Trio's `previous_value`.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::lowlevel::RunVar;
    /// static NAME: RunVar<&str> = RunVar::new("name");
    /// trio::run(async {
    ///     assert_eq!(NAME.set("first").previous(), None);
    ///     assert_eq!(NAME.set("second").previous(), Some(&"first"));
    /// });
    /// ```
    pub fn previous(&self) -> Option<&T> {
        self.previous.as_deref()
    }
}

impl<T> fmt::Debug for RunVarToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunVarToken").field("has_previous", &self.previous.is_some()).finish_non_exhaustive()
    }
}
