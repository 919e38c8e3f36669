//! Which task has something, kept as a number and turned into a view only when somebody asks.

use crate::kernel::context;
use crate::kernel::header::NodeId;
use crate::kernel::view::{Task, current_root_task};

/// The task that took something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(NodeId);

impl Owner {
    /// The task that is running; `None` outside a run.
    #[inline]
    pub(crate) fn current() -> Option<Self> {
        context::try_with(|run| {
            let tree = &run.tree;
            Self(tree.id(tree.task_of(tree.current.get())))
        })
    }

    /// A number that no other task of the run has.
    pub(crate) fn id(self) -> u64 {
        self.0.serial()
    }

    /// The task, if it has not ended. Searches the tree.
    pub(crate) fn task(self) -> Option<Task> {
        if context::try_with(|run| run.has(self.0)) != Some(true) {
            return None;
        }
        let mut stack = vec![current_root_task()];
        while let Some(task) = stack.pop() {
            if task.id() == self.id() {
                return Some(task);
            }
            for nursery in task.child_nurseries() {
                stack.extend(nursery.child_tasks());
            }
        }
        None
    }
}
