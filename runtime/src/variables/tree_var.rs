//! Variables that a task has from whoever opened its nursery.

use std::fmt;
use std::rc::Rc;

use super::{Variable, cloned, scoped};
use crate::kernel::context;
use crate::kernel::variables::{Heritage, Value};

/// A variable whose value comes along the tree of nurseries: the `TreeVar` of tricycle, a library for Trio.
///
/// A task begins with the value that the task which opened its nursery had *when it opened it*, whoever spawns it, and
/// whenever. So whatever a nursery's tasks rely on can be promised where the nursery is opened, and a value never
/// outlives the block that it was set around: for what belongs to a place in the program, such as an open connection
/// or a service nursery. A task under [`start`](crate::Nursery::start) has its value from the nursery that it is to go
/// to.
///
/// [`TaskLocal`](crate::TaskLocal) is the other kind, whose value comes from whoever spawns.
///
/// A run in which no variable is set pays nothing for there being some; in others, each nursery counts a reference.
///
/// # Examples
///
/// ```
/// use trio::TreeVar;
/// static PLACE: TreeVar<&str> = TreeVar::new("place");
/// trio::run(async {
///     PLACE.set("outside");
///     trio::nursery! { |outer|
///         PLACE.set("inside");
///         trio::nursery! { |inner|
///             inner.start_soon(async {
///                 assert_eq!(PLACE.get(), "inside");
///                 // Spawned here, but it lives there.
///                 outer.start_soon(async { assert_eq!(PLACE.get(), "outside") });
///             });
///         }
///     }
/// });
/// ```
pub struct TreeVar<T> {
    variable: Variable<T>,
}

impl<T: 'static> TreeVar<T> {
    /// A variable without a default. The name is for messages.
    ///
    /// # Examples
    ///
    /// ```
    /// static PLACE: trio::TreeVar<&str> = trio::TreeVar::new("place");
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
    /// use trio::TreeVar;
    /// static DEPTH: TreeVar<u32> = TreeVar::with_default("depth", || 0);
    /// trio::run(async {
    ///     assert_eq!(DEPTH.get(), 0);
    ///     assert_eq!(DEPTH.get_or(5), 5, "a default that is given here comes first");
    /// });
    /// ```
    pub const fn with_default(name: &'static str, default: fn() -> T) -> Self {
        Self { variable: Variable::new(name, Some(default)) }
    }

    /// A clone of the value in the current task, or the default.
    ///
    /// Not a checkpoint.
    ///
    /// # Panics
    ///
    /// Outside a run, and if there is neither a value nor a default (Trio's `LookupError`): [`try_get`](Self::try_get)
    /// gives `None` then.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TreeVar;
    /// static USER: TreeVar<String> = TreeVar::new("user");
    /// trio::run(async {
    ///     USER.set("ada".to_owned());
    ///     assert_eq!(USER.get(), "ada");
    /// });
    /// ```
    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.try_get().unwrap_or_else(|| self.variable.unset("tree variable"))
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
    /// use trio::TreeVar;
    /// static USER: TreeVar<String> = TreeVar::new("user");
    /// trio::run(async {
    ///     assert_eq!(USER.try_get(), None);
    /// });
    /// ```
    #[track_caller]
    pub fn try_get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.variable.or_default(self.found()).map(cloned)
    }

    /// A clone of the value in the current task, or else the one given, which comes before the variable's own default.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TreeVar;
    /// static USER: TreeVar<String> = TreeVar::new("user");
    /// trio::run(async {
    ///     assert_eq!(USER.get_or("nobody".to_owned()), "nobody");
    /// });
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
    /// use trio::TreeVar;
    /// static WORDS: TreeVar<Vec<&str>> = TreeVar::with_default("words", Vec::new);
    /// trio::run(async {
    ///     WORDS.set(vec!["one", "two"]);
    ///     assert_eq!(WORDS.with(|words| words.len()), 2);
    /// });
    /// ```
    #[track_caller]
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        match self.variable.or_default(self.found()) {
            Some(value) => look(&value),
            None => self.variable.unset("tree variable"),
        }
    }

    /// Sets the variable in the current task, until it is set again or the task ends; in a [`scope`](Self::scope) of
    /// this variable, until that ends. Tasks of nurseries that are opened from now on see it, those of nurseries that
    /// are open do not.
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
    /// use trio::TreeVar;
    /// static LEVEL: TreeVar<u32> = TreeVar::with_default("level", || 0);
    /// trio::run(async {
    ///     trio::nursery! { |n|
    ///         LEVEL.set(1);
    ///         n.start_soon(async { assert_eq!(LEVEL.get(), 0) });
    ///     }
    ///     assert_eq!(LEVEL.get(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn set(&self, value: T) {
        let number = self.variable.key.number();
        let old = context::with(|run| run.replace_variable(Heritage::Opener, number, Some(Rc::new(value))));
        drop(old);
    }

    /// Runs a future in which the variable has this value; outside of it, and when it has ended, the variable is as
    /// before.
    ///
    /// What is [`set`](Self::set) inside counts inside only. Two such futures in one task, in a `join!` say, do not
    /// disturb each other. Tasks of nurseries that are opened inside have the value, too. The future is polled and dropped
    /// under the value. Not a checkpoint of its own. (tricycle's `being`.)
    ///
    /// # Panics
    ///
    /// Polled outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TreeVar;
    /// static LEVEL: TreeVar<u32> = TreeVar::with_default("level", || 0);
    /// trio::run(async {
    ///     let inside = LEVEL.scope(1, async {
    ///         trio::checkpoint().await;
    ///         LEVEL.get()
    ///     });
    ///     assert_eq!(inside.await, 1);
    ///     assert_eq!(LEVEL.get(), 0);
    /// });
    /// ```
    pub fn scope<F: Future>(&self, value: T, future: F) -> impl Future<Output = F::Output> + use<T, F> {
        scoped::scope(Heritage::Opener, self.variable.key.number(), Rc::new(value), future)
    }

    /// Calls a function in which the variable has this value.
    ///
    /// A nursery that is opened in it has this value for its tasks; but opening one takes an `await`: see
    /// [`scope`](Self::scope).
    ///
    /// # Panics
    ///
    /// Outside a run, and if the function does.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TreeVar;
    /// static LEVEL: TreeVar<u32> = TreeVar::with_default("level", || 0);
    /// trio::run(async {
    ///     assert_eq!(LEVEL.sync_scope(1, || LEVEL.get()), 1);
    ///     assert_eq!(LEVEL.get(), 0);
    /// });
    /// ```
    #[track_caller]
    pub fn sync_scope<R>(&self, value: T, call: impl FnOnce() -> R) -> R {
        scoped::sync_scope(Heritage::Opener, self.variable.key.number(), Rc::new(value), call)
    }

    #[track_caller]
    fn found(&self) -> Option<Value> {
        context::with(|run| run.variable(Heritage::Opener, self.variable.key.number()))
    }
}

impl<T> fmt::Debug for TreeVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TreeVar").field(&self.variable.name).finish()
    }
}
