//! Variables that a task has from whoever spawned it.

use std::fmt;
use std::rc::Rc;

use super::{Variable, cloned, scoped};
use crate::kernel::context;
use crate::kernel::variables::{Heritage, Value};

/// A variable that each task has its own value of: what Python's context variables are in Trio.
///
/// A task begins with the values that whoever spawned it had at that moment. From then on each goes its own way: what
/// one of the two sets, the other does not see. For what accompanies a piece of work, such as the number of the
/// request that it belongs to.
///
/// A nursery's body belongs to the task around it. System tasks are spawned by the run, which has no values to give.
/// Worker threads are no tasks: move into their closure what they need.
///
/// A run in which no variable is set pays nothing for there being some; in others, each spawn counts a reference.
///
/// # Examples
///
/// ```
/// use trio::TaskLocal;
/// static REQUEST: TaskLocal<u32> = TaskLocal::new("request");
/// async fn log(text: &str) -> String {
///     trio::checkpoint().await;
///     format!("[{}] {text}", REQUEST.get())
/// }
/// trio::run(async {
///     trio::nursery! { |n|
///         REQUEST.set(1);
///         let first = n.spawn(log("hello"));
///         REQUEST.set(2);
///         let second = n.spawn(log("hello"));
///         assert_eq!(first.join().await.unwrap(), "[1] hello");
///         assert_eq!(second.join().await.unwrap(), "[2] hello");
///     }
/// });
/// ```
pub struct TaskLocal<T> {
    variable: Variable<T>,
}

impl<T: 'static> TaskLocal<T> {
    /// A variable without a default. The name is for messages.
    ///
    /// # Examples
    ///
    /// ```
    /// static REQUEST: trio::TaskLocal<u32> = trio::TaskLocal::new("request");
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
    /// use trio::TaskLocal;
    /// static DEPTH: TaskLocal<u32> = TaskLocal::with_default("depth", || 0);
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
    /// use trio::TaskLocal;
    /// static USER: TaskLocal<String> = TaskLocal::new("user");
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
        self.try_get().unwrap_or_else(|| self.variable.unset("task-local"))
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
    /// use trio::TaskLocal;
    /// static USER: TaskLocal<String> = TaskLocal::new("user");
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
    /// use trio::TaskLocal;
    /// static USER: TaskLocal<String> = TaskLocal::new("user");
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
    /// use trio::TaskLocal;
    /// static WORDS: TaskLocal<Vec<&str>> = TaskLocal::with_default("words", Vec::new);
    /// trio::run(async {
    ///     WORDS.set(vec!["one", "two"]);
    ///     assert_eq!(WORDS.with(|words| words.len()), 2);
    /// });
    /// ```
    #[track_caller]
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        match self.variable.or_default(self.found()) {
            Some(value) => look(&value),
            None => self.variable.unset("task-local"),
        }
    }

    /// Sets the variable in the current task, until it is set again or the task ends; in a [`scope`](Self::scope) of
    /// this variable, until that ends. Tasks that are there already do not see it, children neither.
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
    /// use trio::TaskLocal;
    /// static LEVEL: TaskLocal<u32> = TaskLocal::new("level");
    /// trio::run(async {
    ///     LEVEL.set(1);
    ///     trio::nursery! { |n|
    ///         n.start_soon(async {
    ///             LEVEL.set(2);
    ///             assert_eq!(LEVEL.get(), 2);
    ///         });
    ///     }
    ///     assert_eq!(LEVEL.get(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn set(&self, value: T) {
        let number = self.variable.key.number();
        let old = context::with(|run| run.replace_variable(Heritage::Spawner, number, Some(Rc::new(value))));
        drop(old);
    }

    /// Runs a future in which the variable has this value; outside of it, and when it has ended, the variable is as
    /// before.
    ///
    /// What is [`set`](Self::set) inside counts inside only. Two such futures in one task, in a `join!` say, do not
    /// disturb each other. Tasks that are spawned inside have the value, too, also when the future has ended. The future
    /// is polled and dropped under the value. Not a checkpoint of its own.
    ///
    /// # Panics
    ///
    /// Polled outside a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TaskLocal;
    /// static LEVEL: TaskLocal<u32> = TaskLocal::with_default("level", || 0);
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
        scoped::scope(Heritage::Spawner, self.variable.key.number(), Rc::new(value), future)
    }

    /// Calls a function in which the variable has this value.
    ///
    /// A task that is spawned in it begins with this value: what `context.run(nursery.start_soon, …)` is for in Trio.
    ///
    /// # Panics
    ///
    /// Outside a run, and if the function does.
    ///
    /// # Examples
    ///
    /// ```
    /// use trio::TaskLocal;
    /// static LEVEL: TaskLocal<u32> = TaskLocal::with_default("level", || 0);
    /// trio::run(async {
    ///     assert_eq!(LEVEL.sync_scope(1, || LEVEL.get()), 1);
    ///     assert_eq!(LEVEL.get(), 0);
    /// });
    /// ```
    #[track_caller]
    pub fn sync_scope<R>(&self, value: T, call: impl FnOnce() -> R) -> R {
        scoped::sync_scope(Heritage::Spawner, self.variable.key.number(), Rc::new(value), call)
    }

    #[track_caller]
    fn found(&self) -> Option<Value> {
        context::with(|run| run.variable(Heritage::Spawner, self.variable.key.number()))
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskLocal").field(&self.variable.name).finish()
    }
}
