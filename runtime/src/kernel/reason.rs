//! Why something was cancelled.

use std::borrow::Cow;
use std::fmt;

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
/// Its `Display` reads as in Trio: `cancelled due to explicit with reason 'too many errors' from task 'watch'`.
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
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelReason {
    source: CancelSource,
    text: Option<Cow<'static, str>>,
    task: Option<Cow<'static, str>>,
}

impl CancelReason {
    pub(crate) const fn new(source: CancelSource) -> Self {
        Self { source, text: None, task: None }
    }

    pub(crate) fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
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
        Ok(())
    }
}
