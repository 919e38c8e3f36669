//! What a nursery fails with: all the errors of its tasks, never just the first.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::Location;

/// An error of any type, as `?` makes them.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An error of one task of a nursery, with the task's name and where it was spawned.
///
/// Its `Display` is the error's own.
pub struct TaskError<E = BoxError> {
    error: E,
    task: Option<Cow<'static, str>>,
    location: &'static Location<'static>,
}

impl<E> TaskError<E> {
    pub(crate) fn new(error: E, task: Option<Cow<'static, str>>, location: &'static Location<'static>) -> Self {
        Self { error, task, location }
    }

    /// The task's name; `None` if the error came from the nursery's own body.
    pub fn task_name(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// Where the task was spawned, or, for the body, where the nursery was opened.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// The error.
    pub fn error(&self) -> &E {
        &self.error
    }

    /// The error, by value.
    pub fn into_error(self) -> E {
        self.error
    }
}

impl<E: fmt::Display> fmt::Display for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: fmt::Debug> fmt::Debug for TaskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskError")
            .field("error", &self.error)
            .field("task_name", &self.task)
            .field("location", &format_args!("{}", self.location))
            .finish()
    }
}

/// The errors of a nursery's tasks and body, in the order in which they happened. Never empty.
///
/// `Display` and `Debug` both print a tree: each error with its task's name, the line that spawned it, the
/// sources of a [`BoxError`], and the members of nested groups. So a `main` that returns
/// [`trio::Result`](crate::Result) shows all that went wrong, and where. Both need errors that are `Display`.
///
/// The counterpart in Python is `ExceptionGroup` (PEP 654); [`split`](Self::split) is its way of handling
/// some of the errors and passing on the rest.
///
/// # Examples
///
/// ```
/// # use trio::ErrorGroup;
/// let result: Result<(), ErrorGroup> = trio::run(async {
///     trio::try_nursery! { |n|
///         n.named("reader").start_soon(async { Err("no such page")?; Ok(()) });
///         n.named("writer").start_soon(async { Err("disk full")?; Ok(()) });
///     }
/// });
/// let group = result.unwrap_err();
/// assert_eq!(group.len(), 2);
/// let names: Vec<_> = group.iter().filter_map(|error| error.task_name()).collect();
/// assert_eq!(names, ["reader", "writer"]);
/// assert!(group.to_string().contains("disk full"));
/// ```
pub struct ErrorGroup<E = BoxError> {
    errors: Vec<TaskError<E>>,
}

impl<E> ErrorGroup<E> {
    /// `None` when there is no error.
    pub(crate) fn new(errors: Vec<TaskError<E>>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self { errors })
    }

    /// The errors, in the order in which they happened.
    pub fn iter(&self) -> std::slice::Iter<'_, TaskError<E>> {
        self.errors.iter()
    }

    /// The errors by value, without names and locations.
    pub fn into_errors(self) -> impl ExactSizeIterator<Item = E> {
        self.errors.into_iter().map(TaskError::into_error)
    }

    /// The error that happened first.
    pub fn first(&self) -> &TaskError<E> {
        &self.errors[0]
    }

    /// The number of errors. A nested group counts as one.
    #[expect(clippy::len_without_is_empty, reason = "a group is never empty")]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// The errors for which `pred` is true, and the others; each side `None` if it would be empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use trio::ErrorGroup;
    /// let failed: Result<(), ErrorGroup<u32>> = trio::run(async {
    ///     trio::try_nursery! { |n| -> Result<_, u32>
    ///         for i in 0..4_u32 { n.start_soon(async move { Err(i) }); }
    ///     }
    /// });
    /// let (even, odd) = failed.unwrap_err().split(|error| error.error() % 2 == 0);
    /// assert_eq!(even.unwrap().into_errors().collect::<Vec<_>>(), [0, 2]);
    /// assert_eq!(odd.unwrap().into_errors().collect::<Vec<_>>(), [1, 3]);
    /// ```
    pub fn split(self, mut pred: impl FnMut(&TaskError<E>) -> bool) -> (Option<Self>, Option<Self>) {
        let (yes, no) = self.errors.into_iter().partition(|error| pred(error));
        (Self::new(yes), Self::new(no))
    }
}

impl<E: fmt::Display + 'static> ErrorGroup<E> {
    /// The first error of type `X`, also when it is inside a [`BoxError`] or a nested group.
    pub fn downcast_ref<X: Error + 'static>(&self) -> Option<&X> {
        self.leaves().into_iter().find_map(|leaf| {
            let any: &dyn Any = leaf.error();
            any.downcast_ref::<X>().or_else(|| any.downcast_ref::<BoxError>()?.downcast_ref::<X>())
        })
    }

    /// All errors that are not groups themselves, those of nested groups included, depth first.
    ///
    /// A nested group is found where it is an error of the same kind of group: itself an `E`, or inside a
    /// [`BoxError`].
    pub fn leaves(&self) -> Vec<&TaskError<E>> {
        let mut leaves = Vec::new();
        for error in &self.errors {
            match nested(&error.error) {
                Some(group) => leaves.extend(group.leaves()),
                None => leaves.push(error),
            }
        }
        leaves
    }
}

/// The group of the same kind that an error is.
pub(crate) fn nested<E: fmt::Display + 'static>(error: &E) -> Option<&ErrorGroup<E>> {
    let any: &dyn Any = error;
    any.downcast_ref::<ErrorGroup<E>>().or_else(|| any.downcast_ref::<BoxError>()?.downcast_ref::<ErrorGroup<E>>())
}

impl<E> IntoIterator for ErrorGroup<E> {
    type Item = TaskError<E>;
    type IntoIter = std::vec::IntoIter<TaskError<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a ErrorGroup<E> {
    type Item = &'a TaskError<E>;
    type IntoIter = std::slice::Iter<'a, TaskError<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.iter()
    }
}

impl<E: fmt::Display + 'static> ErrorGroup<E> {
    fn write_tree(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        let count = self.errors.len();
        write!(f, "{count} error{} in a nursery", if count == 1 { "" } else { "s" })?;
        for (number, error) in self.errors.iter().enumerate() {
            let last = number + 1 == count;
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "\n{indent}{branch}")?;
            match error.task_name() {
                Some(name) => write!(f, "task '{name}', spawned at {}: ", error.location)?,
                None => write!(f, "nursery body at {}: ", error.location)?,
            }
            let indent = format!("{indent}{below}");
            match nested(&error.error) {
                Some(group) => group.write_tree(f, &indent)?,
                None => write_error(f, &error.error, &indent)?,
            }
        }
        Ok(())
    }
}

/// Writes an error and, where it is a boxed one, its sources.
fn write_error<E: fmt::Display + 'static>(f: &mut fmt::Formatter<'_>, error: &E, indent: &str) -> fmt::Result {
    let text = error.to_string();
    let mut lines = text.lines();
    f.write_str(lines.next().unwrap_or_default())?;
    for line in lines {
        write!(f, "\n{indent}{line}")?;
    }
    let any: &dyn Any = error;
    let mut source = any.downcast_ref::<BoxError>().and_then(|error| error.source());
    while let Some(error) = source {
        write!(f, "\n{indent}caused by: {error}")?;
        source = error.source();
    }
    Ok(())
}

impl<E: fmt::Display + 'static> fmt::Display for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(f, "")
    }
}

impl<E: fmt::Display + 'static> fmt::Debug for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(f, "")
    }
}

impl<E: fmt::Display + 'static> Error for ErrorGroup<E> {}
