//! Why something was cancelled.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

use super::context;

/// What kind of event cancelled a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelSource {
    /// The scope's deadline passed.
    Deadline,
    /// The nursery's body or one of its children failed or panicked, or it was cancelled from above.
    Nursery,
    /// Somebody called [`cancel`](crate::CancelHandle::cancel).
    Explicit,
    /// The main task has ended, and the run ends with it.
    Shutdown,
    /// Ctrl-C, as `#[trio::main]` treats it.
    KeyboardInterrupt,
}

impl fmt::Display for CancelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "deadline",
            Self::Nursery => "nursery",
            Self::Explicit => "explicit",
            Self::Shutdown => "shutdown",
            Self::KeyboardInterrupt => "KeyboardInterrupt",
        })
    }
}

/// Why a scope was cancelled: the first cause wins, later ones are not recorded.
///
/// Its `Display` reads as in Trio, with the place in the source added where it is known: `cancelled due to explicit with
/// reason 'too many errors' from task 'watch', at src/watch.rs:10:15`.
///
/// # Examples
///
/// ```
/// use trio::{CancelScope, CancelSource};
/// trio::run(async {
///     let scope = CancelScope::new();
///     let handle = scope.handle();
///     handle.cancel_because("hello");
///     assert_eq!(scope.run(trio::sleep_forever()).await, None);
///     let reason = handle.reason().unwrap();
///     assert_eq!(reason.source(), CancelSource::Explicit);
///     assert_eq!(reason.text(), Some("hello"));
///     assert_eq!(reason.location().unwrap().file(), file!());
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelReason {
    source: CancelSource,
    text: Option<Cow<'static, str>>,
    task: Option<Cow<'static, str>>,
    location: Option<&'static Location<'static>>,
}

impl CancelReason {
    pub(crate) const fn new(source: CancelSource) -> Self {
        Self { source, text: None, task: None, location: None }
    }

    pub(crate) fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    pub(crate) const fn at(mut self, location: Option<&'static Location<'static>>) -> Self {
        self.location = location;
        self
    }

    /// The cause of whatever the caller's caller cancels.
    #[track_caller]
    pub(crate) const fn explicit() -> Self {
        Self::new(CancelSource::Explicit).at(Some(Location::caller()))
    }

    /// Names the task that is running, unless a task is named already.
    pub(crate) fn in_current_task(self) -> Self {
        if self.task.is_some() {
            return self;
        }
        let task = context::try_with(|run| run.tree.task_name(run.current()));
        self.in_task(task.flatten())
    }

    pub(crate) fn in_task(mut self, task: Option<Cow<'static, str>>) -> Self {
        self.task = task;
        self
    }

    /// What kind of event it was.
    pub fn source(&self) -> CancelSource {
        self.source
    }

    /// The text that the canceller gave, if any.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The name of the task in which the cause arose; `None` for a deadline, and outside tasks.
    pub fn task_name(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// Where in the source the cause is: the call that cancelled; for a deadline, where it was last set or else the scope
    /// was made; for a failed task, where that was spawned. `None` where there is no such place (Ctrl-C, the run's end).
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled due to {}", self.source)?;
        if let Some(text) = &self.text {
            write!(f, " with reason '{text}'")?;
        }
        if let Some(task) = &self.task {
            write!(f, " from task '{task}'")?;
        }
        if let Some(location) = self.location {
            write!(f, ", at {location}")?;
        }
        Ok(())
    }
}
