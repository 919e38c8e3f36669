//! Executes a program of the vectors on trio, through nothing but the public API.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use trio::testing::MockClock;
use trio::{CancelHandle, CancelScope, ErrorGroup, Event, Lock, MemoryReceiver, MemorySender, Nursery};

use super::program::{Op, Outcome, Program};

/// One of the orders in which a run may poll its tasks. A program's outcome must be the same under all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// First come, first served: what programs get that ask for nothing else.
    Fifo,
    /// Shuffled, from this seed.
    Seed(u64),
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fifo => f.write_str("first in, first out"),
            Self::Seed(seed) => write!(f, "seed {seed}"),
        }
    }
}

/// Runs `program` on a virtual clock.
pub(super) fn run(program: &Program, schedule: Schedule, checkpoint_budget: u32) -> Outcome {
    let clock = MockClock::new();
    clock.set_autojump_threshold(Some(Duration::ZERO));
    let mut builder = trio::Builder::new().clock(clock).checkpoint_budget(checkpoint_budget);
    if let Schedule::Seed(seed) = schedule {
        builder = builder.seed(seed);
    }
    builder.run(async {
        let machine = Machine::new(program);
        let result = execute(&machine, &program.main, "main", None).await;
        let mut errors = Vec::new();
        if let Err(fail) = result {
            fail.leaves(&mut errors);
        }
        errors.sort();
        Outcome { trace: machine.trace.take(), errors }
    })
}

/// What leaves a body that did not go on to its end.
#[derive(Debug)]
pub(super) enum Fail {
    /// A `fail` operation.
    Leaf(String),
    /// What a nursery collected.
    Group(Box<ErrorGroup<Self>>),
}

impl Fail {
    fn leaves(self, names: &mut Vec<String>) {
        match self {
            Self::Leaf(name) => names.push(name),
            Self::Group(group) => group.into_errors().for_each(|fail| fail.leaves(names)),
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(name) => f.write_str(name),
            Self::Group(group) => group.fmt(f),
        }
    }
}

impl std::error::Error for Fail {}

/// What all tasks of one program share.
struct Machine {
    start: Instant,
    trace: RefCell<BTreeMap<String, Vec<(u64, String)>>>,
    scopes: RefCell<HashMap<String, CancelHandle>>,
    events: RefCell<HashMap<String, Rc<Event>>>,
    locks: RefCell<HashMap<String, Rc<Lock<()>>>>,
    channels: HashMap<String, (MemorySender<i64>, MemoryReceiver<i64>)>,
}

impl Machine {
    fn new(program: &Program) -> Self {
        let channels = program.channels.iter();
        Self {
            start: trio::current_time(),
            trace: RefCell::default(),
            scopes: RefCell::default(),
            events: RefCell::default(),
            locks: RefCell::default(),
            channels: channels.map(|(name, &n)| (name.clone(), trio::open_memory_channel(n))).collect(),
        }
    }

    fn say(&self, task: &str, text: String) {
        let ms = (trio::current_time() - self.start).as_secs_f64() * 1000.0;
        self.trace.borrow_mut().entry(task.to_owned()).or_default().push((ms.round() as u64, text));
    }

    fn scope(&self, name: &str) -> Option<CancelHandle> {
        self.scopes.borrow().get(name).cloned()
    }

    fn event(&self, name: &str) -> Rc<Event> {
        Rc::clone(self.events.borrow_mut().entry(name.to_owned()).or_default())
    }

    fn lock(&self, name: &str) -> Rc<Lock<()>> {
        Rc::clone(self.locks.borrow_mut().entry(name.to_owned()).or_default())
    }
}

type Step<'a> = Pin<Box<dyn Future<Output = Result<(), Fail>> + 'a>>;

/// The nurseries that code can name: those whose body it is in, and the one that its task is in.
struct Visible<'a, 'p> {
    name: &'p str,
    nursery: &'a dyn Spawner<'p>,
    outer: Option<&'a Self>,
}

fn find<'a, 'p>(mut visible: Option<&'a Visible<'a, 'p>>, name: &str) -> &'a dyn Spawner<'p> {
    loop {
        let here = visible.unwrap_or_else(|| panic!("no nursery {name} here"));
        if here.name == name {
            return here.nursery;
        }
        visible = here.outer;
    }
}

/// A nursery without its two lifetimes, which are different ones for every nursery that a program opens.
trait Spawner<'p> {
    fn spawn(&self, machine: &'p Machine, nursery: &'p str, name: &'p str, body: &'p [Op]);

    fn start<'a>(&'a self, machine: &'p Machine, name: &'p str, before: &'p [Op], after: &'p [Op]) -> Step<'a>
    where
        'p: 'a;
}

impl<'scope, 'env, 'p: 'scope> Spawner<'p> for &'scope Nursery<'scope, 'env, Fail> {
    fn spawn(&self, machine: &'p Machine, nursery: &'p str, name: &'p str, body: &'p [Op]) {
        let n = *self;
        n.named(name.to_owned()).start_soon(async move {
            let visible = Visible { name: nursery, nursery: &n, outer: None };
            execute(machine, body, name, Some(&visible)).await
        });
    }

    fn start<'a>(&'a self, machine: &'p Machine, name: &'p str, before: &'p [Op], after: &'p [Op]) -> Step<'a>
    where
        'p: 'a,
    {
        let n = *self;
        Box::pin(async move {
            let started = n.named(name.to_owned()).start(|status| async move {
                execute(machine, before, name, None).await?;
                status.started(());
                execute(machine, after, name, None).await
            });
            started.await.map_err(|e| e.into_error().expect("every child of `start` fails or calls `started`"))
        })
    }
}

/// Says "end" when code is left, in whatever way.
struct Guard<'p> {
    machine: &'p Machine,
    task: &'p str,
    mark: &'p str,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.machine.say(self.task, format!("end {}", self.mark));
    }
}

fn ms(t: u64) -> Duration {
    Duration::from_millis(t)
}

/// Executes `ops` in `task`.
fn execute<'a, 'p: 'a>(
    machine: &'p Machine,
    ops: &'p [Op],
    task: &'p str,
    visible: Option<&'a Visible<'a, 'p>>,
) -> Step<'a> {
    Box::pin(async move {
        for op in ops {
            match op {
                Op::Log { m } => machine.say(task, m.clone()),
                Op::Sleep { t } => trio::sleep(ms(*t)).await,
                Op::Checkpoint => trio::checkpoint().await,
                Op::Scope { name, timeout, shield, body } => {
                    let mut scope = CancelScope::new().shield(*shield);
                    if let Some(t) = timeout {
                        scope = scope.deadline(trio::current_time() + ms(*t));
                    }
                    let handle = scope.handle();
                    machine.scopes.borrow_mut().insert(name.clone(), handle.clone());
                    let value = scope.run(execute(machine, body, task, visible)).await;
                    let caught = value.is_none();
                    value.unwrap_or(Ok(()))?;
                    assert_eq!(caught, handle.caught(), "the value and `caught()` of {name} contradict each other");
                    machine.say(task, format!("scope {name} caught={caught}"));
                }
                Op::Cancel { scope } => {
                    if let Some(handle) = machine.scope(scope) {
                        handle.cancel();
                    }
                }
                Op::SetTimeout { scope, t } => {
                    if let Some(handle) = machine.scope(scope) {
                        handle.set_deadline(t.map(|t| trio::current_time() + ms(t)));
                    }
                }
                Op::SetShield { scope, v } => {
                    if let Some(handle) = machine.scope(scope) {
                        handle.set_shield(*v);
                    }
                }
                Op::Nursery { name, body } => {
                    // The form whose value is an `Option`: `None` means that the nursery itself caught a cancellation, as when
                    // a shield was raised outside it too late. In Python code then goes on behind the nursery.
                    let done = trio::try_nursery! { |n, _scope| -> Result<_, Fail>
                        let visible = Visible { name, nursery: &n, outer: visible };
                        execute(machine, body, task, Some(&visible)).await?;
                    };
                    done.map_err(|group| Fail::Group(Box::new(group)))?;
                    machine.say(task, format!("nursery {name} done"));
                }
                Op::Spawn { nursery, name, body } => {
                    find(visible, nursery).spawn(machine, nursery, name, body);
                }
                Op::Start { nursery, name, before, after } => {
                    find(visible, nursery).start(machine, name, before, after).await?;
                    machine.say(task, format!("started {name}"));
                }
                Op::Fail { e } => return Err(Fail::Leaf(e.clone())),
                Op::Guard { m, body } => {
                    let _guard = Guard { machine, task, mark: m };
                    execute(machine, body, task, visible).await?;
                }
                Op::Finally { body, cleanup } => {
                    let cleanup = async {
                        let done = execute(machine, cleanup, task, visible).await;
                        done.expect("a cleanup in this language does not fail");
                    };
                    trio::finally(execute(machine, body, task, visible), cleanup).await?;
                }
                Op::Wait { event } => {
                    let event = machine.event(event);
                    event.wait().await;
                }
                Op::Set { event } => machine.event(event).set(),
                Op::Send { ch, v } => {
                    let sent = machine.channels[ch].0.send(*v).await;
                    assert!(sent.is_ok(), "channel {ch} is never closed");
                }
                Op::Recv { ch } => {
                    let Ok(v) = machine.channels[ch].1.receive().await else {
                        panic!("channel {ch} is never closed");
                    };
                    machine.say(task, format!("got {v}"));
                }
                Op::Lock { name, body } => {
                    let lock = machine.lock(name);
                    let _guard = lock.lock().await;
                    execute(machine, body, task, visible).await?;
                }
            }
        }
        Ok(())
    })
}
