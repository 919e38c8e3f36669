//! Looking at the task tree: who runs, under whom, and how much of everything there is.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::context;
use super::deadlock::draw;
use super::header::{Flag, Kind, Node, NodeId};
use super::reason::CancelReason;
use super::run::Run;
use super::tree::Tree;

/// A read-only view of a task. It stays valid, with its name and its way upward, when the task has ended.
///
/// Two views are equal if they are of the same task.
#[derive(Clone)]
pub struct Task {
    id: NodeId,
    name: Rc<str>,
    location: Option<&'static Location<'static>>,
    /// Where it lived when the view was made.
    nursery: Option<Box<NurseryInfo>>,
}

/// A read-only view of a nursery. It stays valid, with its way upward, when the nursery has ended.
///
/// Two views are equal if they are of the same nursery.
#[derive(Clone)]
pub struct NurseryInfo {
    id: NodeId,
    location: &'static Location<'static>,
    parent: Option<Box<Task>>,
}

impl Task {
    /// A view of the task that a node belongs to.
    pub(crate) fn of(tree: &Tree, node: Node) -> Self {
        let node = tree.task_of(node);
        let name = if node.kind.get() == Kind::Task { node.name() } else { "<run>".into() };
        let nursery = node.parent.get().map(|parent| Box::new(NurseryInfo::of(tree, parent)));
        Self { id: tree.id(node), name: Rc::from(&*name), location: node.location(), nursery }
    }

    /// A number that no other task of the run has.
    pub fn id(&self) -> u64 {
        self.id.serial()
    }

    /// The name: what [`named`](crate::Nursery::named) gave, or that of the function whose future the task is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was spawned; `None` for the run itself, which is the root of the tree.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// The nursery that the task is in; `None` for the root. For an ended task, the one that it was in when the view
    /// was made. During [`start`](crate::Nursery::start), until `started`, this is a nursery inside of that call.
    pub fn parent_nursery(&self) -> Option<NurseryInfo> {
        let live = context::try_with(|run| {
            let tree = &run.tree;
            tree.get(self.id)?.parent.get().map(|parent| NurseryInfo::of(tree, parent))
        });
        live.flatten().or_else(|| self.nursery.as_deref().cloned())
    }

    /// The nursery that the task will move to when it calls [`started`](crate::TaskStatus::started); `None` for
    /// every task that is not being started.
    pub fn eventual_parent_nursery(&self) -> Option<NurseryInfo> {
        let eventual = context::try_with(|run| {
            let tree = &run.tree;
            let call = tree.get(self.id)?.parent.get()?;
            tree.destination(call).map(|nursery| NurseryInfo::of(tree, nursery))
        });
        eventual.flatten()
    }

    /// The nurseries that the task has open, outermost first.
    pub fn child_nurseries(&self) -> Vec<NurseryInfo> {
        let found = context::try_with(|run| {
            let tree = &run.tree;
            let own = own_nodes(tree, tree.get(self.id)?).into_iter();
            let nurseries = own.filter(|node| node.kind.get() == Kind::Nursery);
            Some(nurseries.map(|node| NurseryInfo::of(tree, node)).collect())
        });
        found.flatten().unwrap_or_default()
    }

    /// Whether the task has not ended.
    pub fn is_alive(&self) -> bool {
        context::try_with(|run| run.has(self.id)).unwrap_or(false)
    }

    /// What the task is doing now.
    pub fn state(&self) -> TaskState {
        let state = context::try_with(|run| run.tree.get(self.id).map(|task| TaskState::of(run, task)));
        state.flatten().unwrap_or(TaskState::Ended)
    }

    /// Whether the task keeps its nursery open no longer than others do: see
    /// [`start_daemon`](crate::Nursery::start_daemon).
    pub fn is_daemon(&self) -> bool {
        let daemon = |task: Node| task.is(Flag::DAEMON) && !task.is(Flag::DEFERRED);
        context::try_with(|run| run.tree.get(self.id).is_some_and(daemon)) == Some(true)
    }

    /// The cancel status of the task as a whole, as it comes to the code in it that is in none of its own
    /// [`scopes`](Self::scopes); `None` when it has ended.
    pub fn cancel_status(&self) -> Option<CancelStatus> {
        CancelStatus::of(self.id)
    }

    /// The cancel scopes that the task is in now, shields included, outermost first. Its nurseries are scopes too, but not
    /// among these: see [`child_nurseries`](Self::child_nurseries).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use trio::lowlevel::current_task;
    /// trio::run(async {
    ///     trio::move_on_after(Duration::from_secs(60), trio::shield(async {
    ///         let scopes = current_task().scopes();
    ///         assert!(scopes[0].deadline.is_some());
    ///         assert!(scopes[1].shielded);
    ///     }))
    ///     .await;
    /// });
    /// ```
    pub fn scopes(&self) -> Vec<CancelStatus> {
        let found = context::try_with(|run| {
            run.arm();
            let task = run.tree.get(self.id)?;
            let scopes = own_nodes(&run.tree, task).into_iter().filter(|node| node.kind.get() == Kind::Scope);
            Some(scopes.map(|scope| CancelStatus::of_node(run, scope)).collect())
        });
        found.flatten().unwrap_or_default()
    }
}

/// What is below a task's node and belongs to no other task, from the outside in.
fn own_nodes(tree: &Tree, task: Node) -> Vec<Node> {
    let mut found = Vec::new();
    let mut stack = tree.children(task);
    stack.reverse();
    while let Some(node) = stack.pop() {
        if node.kind.get() != Kind::Task {
            found.push(node);
            stack.extend(tree.children(node).into_iter().rev());
        }
    }
    found
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It is taking a step now: it is the task that asks.
    Running,
    /// It will take a step in this pass or the next.
    Runnable,
    /// It waits for something.
    Parked,
    /// It was [deferred](crate::Nursery::defer), and its turn has not come.
    Deferred,
    /// It has ended.
    Ended,
}

impl TaskState {
    pub(super) fn of(run: &Run, task: Node) -> Self {
        let tree = &run.tree;
        if tree.task_of(run.current()) == task {
            return Self::Running;
        }
        // A task that is only to poll one of its children waits itself.
        let can_run = |node: &Node| node.queued.get() && node.woken.get();
        if can_run(&task) || own_nodes(tree, task).iter().any(can_run) {
            Self::Runnable
        } else if task.is(Flag::DEFERRED) {
            Self::Deferred
        } else {
            Self::Parked
        }
    }
}

/// A snapshot of what cancels a task, nursery or scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelStatus {
    /// Why it was cancelled itself, if it was.
    pub cancelled: Option<CancelReason>,
    /// It is cancelled, or something further out is that no shield keeps off.
    pub effectively_cancelled: bool,
    /// Cancellations from further out do not reach it.
    pub shielded: bool,
    /// When it cancels itself.
    pub deadline: Option<Instant>,
    /// Where the task was spawned, the nursery opened, or the scope made.
    pub location: Option<&'static Location<'static>>,
}

impl CancelStatus {
    fn of(id: NodeId) -> Option<Self> {
        let status = context::try_with(|run| {
            run.arm();
            run.tree.get(id).map(|node| Self::of_node(run, node))
        });
        status.flatten()
    }

    fn of_node(run: &Run, node: Node) -> Self {
        Self {
            cancelled: node.reason().map(|reason| (*reason).clone()),
            effectively_cancelled: node.is(Flag::EFFECTIVE),
            shielded: node.is(Flag::SHIELD),
            deadline: run.epoch().instant(node.deadline.get()),
            location: node.location(),
        }
    }
}

/// A drawing of all tasks, nurseries and scopes of a run, as they were when it was made: its `Display` has a line for each.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskTree(String);

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Draws the run's tree of tasks, nurseries and scopes: who waits for whom, what was started where, what is cancelled, and
/// how much time is left. For logs, and for finding out why something does not end.
///
/// Not a checkpoint. Looks at every task.
///
/// # Panics
///
/// Outside a run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// trio::run(async {
///     trio::nursery! { |n, scope|
///         let read = async move {
///             println!("{}", trio::lowlevel::task_tree());
///             scope.cancel();
///         };
///         n.named("reader").start_soon(async { trio::fail_after(Duration::from_secs(60), read).await.unwrap() });
///         n.named("writer").start_soon(async { trio::sleep_forever().await });
///     };
/// });
/// ```
///
/// prints something like this:
///
/// ```text
/// run
///   nursery, opened at …
///     body
///     task 'main', spawned at src/main.rs:2:1
///       nursery, opened at src/main.rs:3:5
///         task 'reader', spawned at src/main.rs:4:27, running
///           cancel scope, made at src/main.rs:4:38, 60.000 s left
///         task 'writer', spawned at src/main.rs:8:27, can run
/// ```
#[track_caller]
pub fn task_tree() -> TaskTree {
    context::with(|run| TaskTree(draw(run)))
}

impl NurseryInfo {
    fn of(tree: &Tree, node: Node) -> Self {
        let location = node.location().expect("a nursery knows where it was opened");
        let parent = node.parent.get().map(|parent| Box::new(Task::of(tree, parent)));
        Self { id: tree.id(node), location, parent }
    }

    /// The task that opened the nursery.
    pub fn parent_task(&self) -> Option<Task> {
        self.parent.as_deref().cloned()
    }

    /// The tasks that are in the nursery now, oldest first; what was [deferred](crate::Nursery::defer) is among them.
    pub fn child_tasks(&self) -> Vec<Task> {
        let found = context::try_with(|run| {
            let tree = &run.tree;
            let children = tree.children(tree.get(self.id)?).into_iter();
            let tasks = children.filter(|node| node.kind.get() == Kind::Task);
            Some(tasks.map(|task| Task::of(tree, task)).collect())
        });
        found.flatten().unwrap_or_default()
    }

    /// Where it was opened.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// The nursery's cancel status; `None` when it has ended.
    pub fn cancel_status(&self) -> Option<CancelStatus> {
        CancelStatus::of(self.id)
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Task {}

impl PartialEq for NurseryInfo {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for NurseryInfo {}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task('{}'", self.name)?;
        if let Some(location) = self.location {
            write!(f, ", spawned at {location}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for NurseryInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nursery(opened at {})", self.location)
    }
}

/// The task that is running.
///
/// # Panics
///
/// Outside a run, and outside a task (see [`in_task`]).
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let parent = trio::lowlevel::current_task();
///     trio::open_nursery(async |n| {
///         n.named("child").start_soon(async {
///             let child = trio::lowlevel::current_task();
///             assert_eq!(child.name(), "child");
///             assert_eq!(child.parent_nursery().unwrap().parent_task().unwrap(), parent);
///         });
///     })
///     .await;
/// });
/// ```
#[track_caller]
pub fn current_task() -> Task {
    context::with(|run| {
        assert!(run.current() != run.tree.root, "this needs a trio task: call it from async code in a run");
        Task::of(&run.tree, run.current())
    })
}

/// The root of the task tree: the run itself, whose one nursery has the main task and the system tasks.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn current_root_task() -> Task {
    context::with(|run| Task::of(&run.tree, run.tree.root))
}

/// Whether this thread is inside a run.
pub fn in_run() -> bool {
    context::try_with(|_| ()).is_some()
}

/// Whether a task is running on this thread: false in calls that a [`Token`](super::token::Token) made, and outside a
/// run.
pub fn in_task() -> bool {
    context::try_with(|run| run.current() != run.tree.root).unwrap_or(false)
}

/// A snapshot of a run's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunStatistics {
    /// Tasks that have not ended, main and system tasks included.
    pub tasks_living: usize,
    /// Tasks and nursery bodies that can run.
    pub tasks_runnable: usize,
    /// Time until the earliest deadline: zero if it has passed, `None` if there is none.
    pub time_to_next_deadline: Option<Duration>,
    /// Tasks, nurseries, nursery bodies and scopes.
    pub nodes: usize,
    /// Deadlines and sleeps that have been set and not taken away.
    pub timers: usize,
    /// Descriptors that the run watches.
    pub io_registrations: usize,
    /// Calls from other threads that have not been made.
    pub run_sync_soon_queue_size: usize,
}

/// How much of everything there is in the run now.
///
/// # Panics
///
/// Outside a run.
#[track_caller]
pub fn current_statistics() -> RunStatistics {
    context::with(|run| {
        let tree = &run.tree;
        run.arm();
        let timers = run.timers.borrow();
        let next = timers.next().and_then(|next| run.epoch().instant(next));
        RunStatistics {
            tasks_living: tree.tasks.get(),
            tasks_runnable: tree.runnable(),
            time_to_next_deadline: next.map(|next| next.saturating_duration_since(run.instant_now())),
            nodes: tree.len(),
            timers: timers.len(),
            io_registrations: run.reactor.len(),
            run_sync_soon_queue_size: run.opened.inbox.calls(),
        }
    })
}

/// When the code that asks will be cancelled at the latest, as far as is known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectiveDeadline {
    /// No scope that reaches this code has a deadline.
    Never,
    /// The earliest deadline of the scopes that reach this code.
    At(Instant),
    /// A scope that reaches this code is cancelled already.
    Cancelled,
}

/// The earliest deadline of all scopes, from this code outward, as far as no shield keeps them away. For handing a
/// time limit to something that is not trio's.
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
/// use std::time::Duration;
/// use trio::{EffectiveDeadline, current_effective_deadline, current_time};
/// trio::run(async {
///     assert_eq!(current_effective_deadline(), EffectiveDeadline::Never);
///     let soon = current_time() + Duration::from_secs(5);
///     trio::move_on_at(soon, async {
///         assert_eq!(current_effective_deadline(), EffectiveDeadline::At(soon));
///     })
///     .await;
/// });
/// ```
#[track_caller]
pub fn current_effective_deadline() -> EffectiveDeadline {
    context::with(|run: &Run| {
        run.arm();
        match run.tree.effective_deadline(run.current()) {
            None => EffectiveDeadline::Cancelled,
            Some(time) => run.epoch().instant(time).map_or(EffectiveDeadline::Never, EffectiveDeadline::At),
        }
    })
}
