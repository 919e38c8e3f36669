//! The values of variables: of the run, of its tasks, and along its nurseries.
//!
//! Values are kept among the details of the nodes that have any, so they go with their nodes, and a run in which none is
//! set pays one look at a flag for each spawn and each nursery. A node's values are shared with those that inherited them
//! until one of the two changes its own.
//!
//! Dropping a value runs foreign code: whatever was replaced is handed back, to be dropped when nothing is borrowed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::header::{Details, Node};
use super::run::Run;

/// A variable's value, whose type the variable knows.
pub(crate) type Value = Rc<dyn Any>;

/// What tells a variable from all others, whatever their types. It is given at the first use, so that variables can be
/// made in constants.
pub(crate) struct Key(AtomicUsize);

impl Key {
    /// The number that stands for "not given yet".
    const NONE: usize = 0;

    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(Self::NONE))
    }

    pub(crate) fn number(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(Key::NONE + 1);
        match self.0.load(Ordering::Relaxed) {
            Self::NONE => {
                let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
                // Another thread may have been first: then the number is that one's.
                let given = self.0.compare_exchange(Self::NONE, fresh, Ordering::Relaxed, Ordering::Relaxed);
                given.map_or_else(|given| given, |_| fresh)
            }
            number => number,
        }
    }
}

/// Some variables' values, in the order of the variables' numbers.
#[derive(Clone, Default)]
pub(crate) struct Values(Vec<(usize, Value)>);

impl Values {
    fn place(&self, variable: usize) -> Result<usize, usize> {
        self.0.binary_search_by_key(&variable, |(number, _)| *number)
    }

    fn get(&self, variable: usize) -> Option<Value> {
        let place = self.place(variable).ok()?;
        Some(Rc::clone(&self.0[place].1))
    }

    /// Sets a variable, or unsets it; gives the value that it had.
    fn replace(&mut self, variable: usize, value: Option<Value>) -> Option<Value> {
        match (self.place(variable), value) {
            (Ok(place), Some(value)) => Some(std::mem::replace(&mut self.0[place].1, value)),
            (Ok(place), None) => Some(self.0.remove(place).1),
            (Err(place), Some(value)) => {
                self.0.insert(place, (variable, value));
                None
            }
            (Err(_), None) => None,
        }
    }
}

/// How a variable's values get from one task to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heritage {
    /// From whoever spawns a task.
    Spawner,
    /// From whoever opened the task's nursery.
    Opener,
}

impl Heritage {
    /// Where a node has its values of this kind.
    fn of_mut(self, details: &mut Details) -> &mut Option<Rc<Values>> {
        match self {
            Self::Spawner => &mut details.spawned_with,
            Self::Opener => &mut details.opened_with,
        }
    }

    /// The values of this kind that a node keeps itself.
    fn of(self, node: Node) -> Option<Rc<Values>> {
        let details = node.details.borrow();
        let details = details.as_ref()?;
        match self {
            Self::Spawner => details.spawned_with.clone(),
            Self::Opener => details.opened_with.clone(),
        }
    }
}

/// The variables of one run.
#[derive(Default)]
pub(crate) struct Variables {
    /// Some node has had values.
    in_use: Cell<bool>,
    /// The values that all tasks share.
    shared: RefCell<Values>,
}

impl Run {
    /// A run variable's value.
    pub(crate) fn shared_variable(&self, variable: usize) -> Option<Value> {
        self.variables.shared.borrow().get(variable)
    }

    /// Sets a run variable, or unsets it; gives the value that it had, for the caller to drop.
    #[must_use = "dropping it may run foreign code: do that when nothing is borrowed"]
    pub(crate) fn replace_shared_variable(&self, variable: usize, value: Option<Value>) -> Option<Value> {
        self.variables.shared.borrow_mut().replace(variable, value)
    }

    /// Drops the values of the run itself, while it still is one.
    pub(crate) fn forget_variables(&self) {
        let shared = std::mem::take(&mut *self.variables.shared.borrow_mut());
        let details = self
            .tree
            .root
            .details
            .borrow_mut()
            .as_mut()
            .map(|details| (details.spawned_with.take(), details.opened_with.take()));
        drop((shared, details));
    }

    /// A task variable's value in the current task.
    pub(crate) fn variable(&self, heritage: Heritage, variable: usize) -> Option<Value> {
        if !self.variables.in_use.get() {
            return None;
        }
        self.values(heritage, self.current_task())?.get(variable)
    }

    /// Sets a variable in the current task, or unsets it; gives the value that it had, for the caller to drop.
    #[must_use = "dropping it may run foreign code: do that when nothing is borrowed"]
    pub(crate) fn replace_variable(&self, heritage: Heritage, variable: usize, value: Option<Value>) -> Option<Value> {
        self.variables.in_use.set(true);
        let task = self.current_task();
        // Taken, not copied, so that values that nobody else has are changed where they are.
        let own = task.with_details(|details| heritage.of_mut(details).take());
        let mut values = own.or_else(|| self.values(heritage, task)).unwrap_or_default();
        let old = Rc::make_mut(&mut values).replace(variable, value);
        // Who has set nothing, or no longer, has nothing to pass on.
        task.with_details(|details| *heritage.of_mut(details) = Some(values).filter(|values| !values.0.is_empty()));
        old
    }

    /// Gives a new task the values of the one that spawns it.
    #[inline]
    pub(crate) fn inherit_at_spawn(&self, task: Node) {
        if self.variables.in_use.get() {
            self.inherit(Heritage::Spawner, task);
        }
    }

    /// Keeps, at a new nursery, the values of the task that opens it.
    #[inline]
    pub(crate) fn inherit_at_opening(&self, nursery: Node) {
        if self.variables.in_use.get() {
            self.inherit(Heritage::Opener, nursery);
        }
    }

    #[cold]
    fn inherit(&self, heritage: Heritage, heir: Node) {
        let task = self.current_task();
        // What calls from other threads have set at the root is no affair of the main task and the system tasks.
        let values = if task == self.tree.root { None } else { self.values(heritage, task) };
        if let Some(values) = values {
            heir.with_details(|details| *heritage.of_mut(details) = Some(values));
        }
    }

    fn current_task(&self) -> Node {
        self.tree.task_of(self.tree.current.get())
    }

    /// The values that a task has now.
    fn values(&self, heritage: Heritage, task: Node) -> Option<Rc<Values>> {
        heritage.of(task).or_else(|| match heritage {
            // It got them when it was spawned.
            Heritage::Spawner => None,
            Heritage::Opener => {
                let nursery = task.parent.get()?;
                heritage.of(self.tree.destination(nursery).unwrap_or(nursery))
            }
        })
    }
}
