//! Instruments: what they are told, in which order and context, and what their faults do.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use trio::lowlevel::{InstrumentId, Task, add_instrument, current_task, in_run, in_task, remove_instrument};
use trio::testing::MockClock;
use trio::{Builder, Instrument};

/// Writes down everything.
#[derive(Default)]
struct Recorder {
    lines: RefCell<Vec<String>>,
}

impl Recorder {
    fn say(&self, what: &str, task: &Task) {
        self.lines.borrow_mut().push(format!("{what} {}", short(task)));
    }

    /// What was said about tasks with one of these names, and about the run.
    fn about(&self, names: &[&str]) -> Vec<String> {
        let concerns = |line: &&String| match line.split_once(' ') {
            Some((_, name)) => names.contains(&name),
            None => true,
        };
        self.lines.borrow().iter().filter(concerns).cloned().collect()
    }
}

/// The task's name; "main" for the main task, whose name is that of its future.
fn short(task: &Task) -> &str {
    if task.name().contains("::") { "main" } else { task.name() }
}

impl Instrument for Recorder {
    fn before_run(&self) {
        self.lines.borrow_mut().push("before_run".into());
    }
    fn after_run(&self) {
        self.lines.borrow_mut().push("after_run".into());
    }
    fn task_spawned(&self, task: &Task) {
        self.say("spawned", task);
    }
    fn task_scheduled(&self, task: &Task) {
        self.say("scheduled", task);
    }
    fn before_task_step(&self, task: &Task) {
        self.say("before", task);
    }
    fn after_task_step(&self, task: &Task) {
        self.say("after", task);
    }
    fn task_exited(&self, task: &Task) {
        self.say("exited", task);
    }
}

/// Runs under Trio's rule that everything yields.
fn observed<F: Future>(recorder: &Rc<Recorder>, main: F) -> F::Output {
    Builder::new().checkpoint_budget(1).instrument(Rc::clone(recorder)).run(main)
}

// trio: _core/_tests/test_instrumentation.py::test_instruments
#[test]
fn a_task_is_scheduled_and_stepped_in_turn() {
    let recorder = Rc::new(Recorder::default());
    let (first, second) = (Rc::new(Recorder::default()), Rc::new(Recorder::default()));
    observed(&recorder, async {
        let id = add_instrument(Rc::clone(&first));
        trio::nursery! { |n|
            n.named("child").start_soon(async {
                for round in 0..5 {
                    trio::checkpoint().await;
                    if round == 2 {
                        remove_instrument(id).unwrap();
                        add_instrument(Rc::clone(&second));
                    }
                }
            });
        }
    });
    let mut expected = vec!["before_run", "spawned child", "scheduled child"];
    for _ in 0..5 {
        expected.extend(["before child", "scheduled child", "after child"]);
    }
    expected.extend(["before child", "exited child", "after child", "after_run"]);
    assert_eq!(recorder.about(&["child"]), expected);
    // What the two saw, one after the other, is what the one saw that was there all the time.
    let both = [vec!["before_run".to_owned()], first.about(&["child"]), second.about(&["child"])].concat();
    assert_eq!(both, expected);
}

// trio: _core/_tests/test_instrumentation.py::test_instruments_interleave
#[test]
fn tasks_take_turns() {
    let recorder = Rc::new(Recorder::default());
    observed(&recorder, async {
        trio::nursery! { |n|
            n.named("t1").start_soon(trio::checkpoint());
            n.named("t2").start_soon(trio::checkpoint());
        }
    });
    let pass = |name| [format!("before {name}"), format!("scheduled {name}"), format!("after {name}")];
    let last = |name| [format!("before {name}"), format!("exited {name}"), format!("after {name}")];
    let mut expected = vec!["before_run".to_owned()];
    for name in ["t1", "t2"] {
        expected.extend([format!("spawned {name}"), format!("scheduled {name}")]);
    }
    expected.extend(["t1", "t2"].into_iter().flat_map(pass));
    expected.extend(["t1", "t2"].into_iter().flat_map(last));
    expected.push("after_run".to_owned());
    assert_eq!(recorder.about(&["t1", "t2"]), expected);
}

#[test]
fn a_parent_steps_for_its_own_code_only() {
    let recorder = Rc::new(Recorder::default());
    observed(&recorder, async {
        trio::nursery! { |n|
            n.named("child").start_soon(async {
                trio::checkpoint().await;
                trio::checkpoint().await;
            });
        }
        trio::checkpoint().await;
    });
    // To the end of the block; behind the nursery, to the checkpoint; behind that.
    let main = recorder.about(&["main"]);
    assert_eq!(main.iter().filter(|line| *line == "before main").count(), 3, "{main:#?}");
    assert_eq!(main.iter().filter(|line| *line == "after main").count(), 3, "{main:#?}");
    let turns: Vec<_> = main.iter().filter(|line| *line != "scheduled main").collect();
    assert!(turns.windows(2).all(|two| two[0] != two[1]), "steps do not overlap: {main:#?}");
}

// trio: _core/_tests/test_instrumentation.py::test_null_instrument
#[test]
fn an_instrument_need_not_do_anything() {
    struct Null;
    impl Instrument for Null {}
    assert_eq!(Builder::new().instrument(Null).run(async { 5 }), 5);
    let boxed: Box<dyn Instrument> = Box::new(Null);
    assert_eq!(Builder::new().instrument(boxed).run(async { 6 }), 6);
}

// trio: _core/_tests/test_instrumentation.py::test_instrument_before_after_run
#[test]
fn the_run_begins_and_ends() {
    let recorder = Rc::new(Recorder::default());
    observed(&recorder, async {});
    assert_eq!(recorder.about(&[]), ["before_run", "after_run"]);
}

// trio: _core/_tests/test_instrumentation.py::test_instrument_task_spawn_exit
#[test]
fn the_main_task_is_spawned_and_exits() {
    let recorder = Rc::new(Recorder::default());
    observed(&recorder, async { trio::checkpoint().await });
    let main = recorder.about(&["main"]);
    assert!(main.contains(&"spawned main".to_owned()) && main.contains(&"exited main".to_owned()), "{main:?}");
}

/// Checks in which context each method is called, and counts them.
#[derive(Default)]
struct Context([Cell<u32>; 9]);

impl Context {
    fn called(&self, number: usize, task: Option<bool>) {
        self.0[number].set(self.0[number].get() + 1);
        assert!(in_run());
        if let Some(expected) = task {
            assert_eq!(in_task(), expected, "in hook {number}");
        }
    }
}

impl Instrument for Context {
    fn before_run(&self) {
        self.called(0, Some(false));
    }
    fn after_run(&self) {
        self.called(1, Some(false));
    }
    fn task_spawned(&self, _task: &Task) {
        self.called(2, None);
    }
    fn task_scheduled(&self, _task: &Task) {
        self.called(3, None);
    }
    fn before_task_step(&self, task: &Task) {
        self.called(4, Some(true));
        assert_eq!(current_task(), *task);
    }
    fn after_task_step(&self, _task: &Task) {
        self.called(5, Some(true));
    }
    fn task_exited(&self, task: &Task) {
        self.called(6, Some(true));
        assert_eq!(current_task(), *task);
    }
    fn before_io_wait(&self, _timeout: Duration) {
        self.called(7, Some(false));
    }
    fn after_io_wait(&self, _timeout: Duration) {
        self.called(8, Some(false));
    }
}

// trio: _core/_tests/test_instrumentation.py::test_instrument_call_trio_context
#[test]
fn hooks_know_where_they_are() {
    let context = Rc::new(Context::default());
    let clock = MockClock::new().autojump();
    Builder::new().clock(clock).instrument(Rc::clone(&context)).run(async {
        trio::nursery! { |n|
            n.start_soon(trio::sleep(Duration::from_secs(1)));
        }
    });
    assert!(context.0.iter().all(|count| count.get() > 0), "{:?}", context.0);
}

#[test]
fn a_panic_of_an_instrument_ends_only_that() {
    struct Faulty(Rc<Cell<u32>>);
    impl Instrument for Faulty {
        fn task_scheduled(&self, _task: &Task) {
            self.0.set(self.0.get() + 1);
            panic!("the instrument is broken");
        }
    }
    let calls = Rc::new(Cell::new(0));
    let recorder = Rc::new(Recorder::default());
    let run = Builder::new().instrument(Faulty(Rc::clone(&calls))).instrument(Rc::clone(&recorder));
    assert_eq!(
        run.run(async {
            trio::checkpoint().await;
            7
        }),
        7
    );
    assert_eq!(calls.get(), 1);
    assert_eq!(recorder.about(&[]), ["before_run", "after_run"]);
}

#[test]
fn a_task_that_panics_or_is_cancelled_exits_within_its_step() {
    let recorder = Rc::new(Recorder::default());
    let run = std::panic::AssertUnwindSafe(|| {
        observed(&recorder, async {
            trio::nursery! { |n|
                n.named("asleep").start_soon(trio::sleep_forever());
                n.named("broken").start_soon(async {
                    trio::checkpoint().await;
                    panic!("on purpose");
                });
            }
        });
    });
    std::panic::catch_unwind(run).unwrap_err();
    let broken = recorder.about(&["broken"]);
    assert_eq!(broken[broken.len() - 4..], ["before broken", "exited broken", "after broken", "after_run"]);
    assert!(recorder.about(&["asleep"]).contains(&"exited asleep".to_owned()));
}

#[test]
fn an_instrument_is_known_in_its_run_until_it_is_removed() {
    let id: InstrumentId = trio::run(async {
        let id = add_instrument(Recorder::default());
        remove_instrument(id).unwrap();
        let error = remove_instrument(id).unwrap_err();
        assert_eq!(error.to_string(), "the run has no such instrument");
        add_instrument(Recorder::default())
    });
    trio::run(async { remove_instrument(id).unwrap_err() });
}

#[test]
fn an_instrument_may_use_the_run_it_looks_at() {
    struct Spawner(Cell<bool>, Rc<Cell<bool>>);
    impl Instrument for Spawner {
        fn after_task_step(&self, _task: &Task) {
            if !self.0.replace(true) {
                let done = Rc::clone(&self.1);
                trio::lowlevel::spawn_system_task("from an instrument", async move { done.set(true) }).unwrap();
            }
        }
    }
    let done = Rc::new(Cell::new(false));
    Builder::new().instrument(Spawner(Cell::new(false), Rc::clone(&done))).run(async {
        while !done.get() {
            trio::checkpoint().await;
        }
    });
}

#[trio::main(instruments = [Recorder::default(), Recorder::default()])]
async fn with_instruments() {
    trio::checkpoint().await;
}

#[test]
fn the_main_attribute_takes_instruments() {
    assert_eq!(with_instruments(), std::process::ExitCode::SUCCESS);
}

// trio: _core/_tests/test_run.py::test_current_statistics
#[trio::test(autojump)]
async fn statistics_tell_what_there_is() {
    use trio::lowlevel::{current_statistics, current_token};
    use trio::testing::wait_all_tasks_blocked;

    wait_all_tasks_blocked(Duration::ZERO).await;
    let alone = current_statistics();
    assert_eq!((alone.tasks_runnable, alone.run_sync_soon_queue_size, alone.time_to_next_deadline), (0, 0, None));

    trio::nursery! { |n, scope|
        n.start_soon(trio::sleep_forever());
        wait_all_tasks_blocked(Duration::ZERO).await;
        let token = current_token();
        token.run_sync_soon(|| ()).unwrap();
        token.run_sync_soon_idempotent("once", || ()).unwrap();
        token.run_sync_soon_idempotent("once", || ()).unwrap();
        let parked = current_statistics();
        assert_eq!(parked.tasks_living, alone.tasks_living + 1);
        assert_eq!((parked.tasks_runnable, parked.run_sync_soon_queue_size), (0, 2));
        scope.cancel();
        // The nursery's task, which is to drop the child.
        assert_eq!(current_statistics().tasks_runnable, 1);
    };
    trio::checkpoint().await;

    let outer = trio::move_on_after(Duration::from_secs(5), async {
        assert_eq!(current_statistics().time_to_next_deadline, Some(Duration::from_secs(5)));
        trio::move_on_after(Duration::from_secs(2), async {
            assert_eq!(current_statistics().time_to_next_deadline, Some(Duration::from_secs(2)));
        })
        .await;
    });
    outer.await;
    assert_eq!(current_statistics().time_to_next_deadline, None);
}

#[test]
fn who_is_added_first_sees_whole_steps_and_nothing_older() {
    let late = Rc::new(Recorder::default());
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Builder::new().checkpoint_budget(1).run(async {
            let early = add_instrument(Recorder::default());
            trio::finally(
                async {
                    trio::nursery! { |n|
                        n.named("broken").start_soon(async move {
                            // It is gone when the step that it saw the beginning of ends in a panic.
                            remove_instrument(early).unwrap();
                            panic!("on purpose");
                        });
                    }
                },
                async {
                    add_instrument(Rc::clone(&late));
                    trio::checkpoint().await;
                },
            )
            .await;
        });
    }));
    assert!(outcome.is_err());
    let seen = late.about(&["main", "broken"]);
    assert_eq!(seen[..4], ["scheduled main", "before main", "exited main", "after main"], "{seen:?}");
}
