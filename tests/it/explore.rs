//! Schedules: every choice is one that a run can take, planted mistakes are found, and what failed fails again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use trio::lowlevel::{Task, add_instrument};
use trio::testing::{Exploration, Explored, MockClock, Schedule};
use trio::{Instrument, Lock, ParkingLot};

use crate::support::{secs, yields};

/// What panicked, of a test that failed.
fn message(explored: Explored<()>) -> String {
    let panic = explored.into_last().unwrap_err();
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

/// Finds the same failure at random, systematically, and again under the schedules that were found. First in, first out has
/// to be innocent.
fn is_found(test: impl AsyncFn(MockClock), what: &str) {
    assert_eq!(Exploration::only(Schedule::FIFO).run(&test).failed_under(), None, "first in, first out shows it");
    for exploration in [Exploration::random(200), Exploration::systematic(2_000)] {
        let explored = exploration.run(&test);
        let schedule = explored.failed_under().unwrap_or_else(|| panic!("{exploration:?} does not find it")).clone();
        assert!(!explored.is_exhaustive());
        let first = message(explored);
        assert!(first.contains(what), "{first}");
        // From its text, as through TRIO_SEED.
        let schedule: Schedule = schedule.to_string().parse().unwrap();
        for _ in 0..2 {
            let again = Exploration::only(schedule.clone()).run(&test);
            assert_eq!(again.failed_under(), Some(&schedule));
            assert_eq!(message(again), first, "{schedule}");
        }
    }
}

// ---------------------------------------------------------------- planted mistakes

/// A gate that looks, does something else, and then waits: what happens in between is missed.
#[derive(Default)]
struct LeakyGate {
    open: Cell<bool>,
    passed: Lock<u32>,
    waiting: ParkingLot,
}

impl LeakyGate {
    async fn pass(&self) {
        if !self.open.get() {
            *self.passed.lock().await += 1;
            self.waiting.park().await.unwrap();
        }
    }

    fn open(&self) {
        self.open.set(true);
        self.waiting.unpark_all();
    }
}

#[test]
fn a_lost_wake_up_is_found() {
    let test = async |_| {
        let (gate, unrelated) = (&LeakyGate::default(), &Lock::new(()));
        trio::nursery! { |n|
            n.start_soon(gate.pass());
            n.start_soon(async {
                for _ in 0..2 {
                    drop(unrelated.lock().await);
                }
                gate.open();
            });
        }
    };
    is_found(test, "can ever run again");
}

#[test]
fn locks_taken_in_two_orders_are_found() {
    let test = async |_| {
        let (one, two, unrelated) = (&Lock::new(()), &Lock::new(()), &Lock::new(()));
        trio::nursery! { |n|
            n.start_soon(async {
                let _one = one.lock().await;
                let _two = two.lock().await;
            });
            n.start_soon(async {
                for _ in 0..2 {
                    drop(unrelated.lock().await);
                }
                let _two = two.lock().await;
                let _one = one.lock().await;
            });
        }
    };
    is_found(test, "can ever run again");
}

#[test]
fn the_order_of_equal_deadlines_is_no_promise() {
    let test = async |_| {
        let order = &RefCell::new(Vec::new());
        trio::nursery! { |n|
            n.start_soon(async {
                trio::move_on_after(secs(1), trio::sleep_forever()).await;
                order.borrow_mut().push("first");
            });
            n.start_soon(async {
                trio::move_on_after(secs(1), trio::sleep_forever()).await;
                order.borrow_mut().push("second");
            });
        }
        assert_eq!(*order.borrow(), ["first", "second"], "in another order");
    };
    is_found(test, "in another order");
}

/// In the order in which the deadlines came, whatever order of steps follows from that.
#[test]
fn which_of_two_equal_deadlines_comes_first_is_a_choice() {
    #[derive(Clone, Default)]
    struct Woken(Rc<RefCell<Vec<String>>>);
    impl Instrument for Woken {
        fn task_scheduled(&self, task: &Task) {
            self.0.borrow_mut().push(task.name().to_owned());
        }
    }
    let first_woken = |exploration: Exploration| {
        let seen = RefCell::new(BTreeSet::new());
        let explored = exploration.run(async |_| {
            let woken = Woken::default();
            trio::nursery! { |n|
                for name in ["one", "other"] {
                    n.named(name).start_soon(async { assert!(trio::move_on_after(secs(1), trio::sleep_forever()).await.is_none()) });
                }
                trio::testing::wait_all_tasks_blocked(Duration::ZERO).await;
                add_instrument(woken.clone());
            }
            seen.borrow_mut().insert(woken.0.borrow()[0].clone());
        });
        assert!(explored.failed_under().is_none());
        seen.into_inner().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(first_woken(Exploration::only(Schedule::FIFO)), ["one"]);
    assert_eq!(first_woken(Exploration::random(50)), ["one", "other"]);
    assert_eq!(first_woken(Exploration::systematic(500)), ["one", "other"]);
}

// ---------------------------------------------------------------- what a search covers

/// The orders in which a test can end, as its tasks write them down.
fn orders(exploration: &Exploration, test: impl AsyncFn(&RefCell<String>)) -> (BTreeSet<String>, u64, bool) {
    let orders: RefCell<BTreeSet<String>> = RefCell::default();
    let explored = exploration.run(async |_| {
        let log = RefCell::default();
        test(&log).await;
        orders.borrow_mut().insert(log.into_inner());
    });
    assert!(explored.failed_under().is_none());
    let found = (explored.schedules(), explored.is_exhaustive());
    (orders.into_inner(), found.0, found.1)
}

#[test]
fn a_systematic_search_takes_every_order_once() {
    let (orders, schedules, exhaustive) = orders(&Exploration::systematic(1_000), async |log| {
        trio::nursery! { |n|
            for name in ['a', 'b', 'c', 'd'] {
                n.start_soon(async move { log.borrow_mut().push(name) });
            }
        }
    });
    assert_eq!(orders.len(), 24);
    assert_eq!((schedules, exhaustive), (48, true), "the nursery's end may yield or not, and nothing else");
}

#[test]
fn whether_an_operation_yields_is_a_choice() {
    let one_step = async |log: &RefCell<String>| {
        let lock = &Lock::new(());
        trio::nursery! { |n|
            n.start_soon(async {
                log.borrow_mut().push('a');
                drop(lock.lock().await);
                log.borrow_mut().push('a');
            });
            n.start_soon(async { log.borrow_mut().push('b') });
        }
    };
    let (orders, _, exhaustive) = orders(&Exploration::systematic(1_000), one_step);
    assert!(exhaustive);
    assert_eq!(orders.into_iter().collect::<Vec<_>>(), ["aab", "aba", "baa"]);
}

#[test]
fn a_task_that_yields_never_lets_others_take_more_than_its_passes() {
    let (orders, _, exhaustive) = orders(&Exploration::systematic(10_000), async |log| {
        trio::nursery! { |n|
            for name in ['a', 'b'] {
                n.start_soon(async move {
                    for _ in 0..3 {
                        log.borrow_mut().push(name);
                        trio::checkpoint().await;
                    }
                });
            }
        }
    });
    assert!(exhaustive);
    // In each of three passes, one before the other.
    assert_eq!(orders.len(), 8);
    assert!(orders.iter().all(|order| order.as_bytes().chunks(2).all(|pass| pass[0] != pass[1])), "{orders:?}");
}

#[test]
fn a_search_that_is_cut_short_says_so() {
    let test = async |_| {
        trio::nursery! { |n|
            for _ in 0..4 {
                n.start_soon(trio::checkpoint());
            }
        }
    };
    let explored = Exploration::systematic(100).run(test);
    assert_eq!((explored.schedules(), explored.is_exhaustive()), (100, false));
    let explored = Exploration::systematic(100).run(async |_| trio::checkpoint().await);
    assert_eq!((explored.schedules(), explored.is_exhaustive()), (1, true));
    // No bound is too small.
    let explored = Exploration::systematic(0).run(test);
    assert_eq!((explored.schedules(), explored.is_exhaustive()), (1, false));
}

#[test]
fn what_differs_least_comes_first() {
    // Fails as soon as the third to run is not the third.
    let explored = Exploration::systematic(10_000).run(async |_| {
        let log = &RefCell::new(String::new());
        trio::nursery! { |n|
            for name in ['a', 'b', 'c'] {
                n.start_soon(async move { log.borrow_mut().push(name) });
            }
        }
        assert!(log.borrow().ends_with('c'));
    });
    let schedule = explored.failed_under().unwrap().to_string();
    assert_eq!(schedule.matches(':').count(), 1, "one choice is enough: {schedule}");
}

#[test]
fn a_test_without_a_course_of_its_own_is_reported() {
    let times = Cell::new(0);
    let explored = Exploration::systematic(100).run(async |_| {
        times.set(times.get() + 1);
        trio::nursery! { |n|
            for _ in 0..5 - times.get().min(4) {
                n.start_soon(trio::checkpoint());
            }
        }
    });
    assert!(message(explored).contains("another course"));
}

#[test]
fn a_random_schedule_takes_the_same_course_each_time() {
    let course = |seed| {
        let (mut orders, _, _) = orders(&Exploration::only(Schedule::seeded(seed)), async |log| {
            trio::nursery! { |n|
                for (name, seconds) in [('a', 1), ('b', 1), ('c', 2)] {
                    n.start_soon(async move {
                        for _ in 0..10 {
                            log.borrow_mut().push(name);
                            trio::move_on_after(secs(seconds), trio::sleep(secs(1))).await;
                        }
                    });
                }
            }
        });
        orders.pop_first().unwrap()
    };
    let courses: Vec<String> = (0..20).map(course).collect();
    assert_eq!((0..20).map(course).collect::<Vec<_>>(), courses);
    assert!(courses.iter().collect::<BTreeSet<_>>().len() > 10, "{courses:?}");
}

// ---------------------------------------------------------------- as an attribute

#[trio::test(autojump, schedules = 1000, systematic)]
async fn a_lock_is_held_by_one_under_every_schedule() {
    let (lock, holders) = (&Lock::new(()), &Cell::new(0));
    trio::nursery! { |n|
        for _ in 0..2 {
            n.start_soon(async {
                let _guard = lock.lock().await;
                assert_eq!(holders.replace(1), 0);
                trio::checkpoint().await;
                holders.set(0);
            });
        }
    }
}

#[trio::test(schedules = 50, checkpoint_budget = 1)]
async fn with_a_budget_of_one_every_operation_yields() {
    let lock = Lock::new(());
    for _ in 0..10 {
        assert!(yields(async { drop(lock.lock().await) }).await);
    }
}

/// Fails under some schedules only. Not run with the others, but by the tests below.
#[trio::test(schedules = 200)]
#[ignore = "fails on purpose, for the test of what is printed"]
async fn planted_at_random() {
    planted().await;
}

#[trio::test(systematic)]
#[ignore = "fails on purpose, for the test of what is printed"]
async fn planted_systematically() {
    planted().await;
}

async fn planted() {
    let log = &RefCell::new(String::new());
    trio::nursery! { |n|
        for name in ['a', 'b', 'c'] {
            n.start_soon(async move { log.borrow_mut().push(name) });
        }
    }
    assert_ne!(*log.borrow(), "cab", "the planted order");
}

/// Runs one of the planted tests in a process of its own; gives what it printed, if it failed.
fn run_planted(name: &str, seed: Option<&str>) -> Option<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("explore::{name}"), "--nocapture"]).env_remove("TRIO_SEED");
    let output = command.envs(seed.map(|seed| ("TRIO_SEED", seed))).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("running 1 test"), "{printed}");
    (!output.status.success()).then_some(printed)
}

#[test]
fn the_line_that_is_printed_replays_the_failure() {
    for name in ["planted_at_random", "planted_systematically"] {
        let printed = run_planted(name, None).expect("the planted order is found");
        let line = printed.lines().find(|line| line.starts_with("trio: failed under schedule")).expect("a line");
        let seed = line.split("TRIO_SEED=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(line.ends_with(&format!("TRIO_SEED={seed} cargo test explore::{name}")), "{line}");
        let again = run_planted(name, Some(seed)).expect("it fails again");
        assert!(again.contains("the planted order") && again.contains(line), "{again}");
        assert!(run_planted(name, Some("fifo")).is_none(), "first in, first out is innocent");
    }
    let wrong = run_planted("planted_at_random", Some("7:")).expect("that is no schedule");
    assert!(wrong.contains("TRIO_SEED: '7:' is not a schedule"), "{wrong}");
}

#[test]
fn time_is_no_part_of_a_schedule() {
    let explored = Exploration::random(20).run(async |_| {
        let started = trio::current_time();
        trio::sleep(Duration::from_secs(3600)).await;
        assert_eq!(trio::current_time() - started, Duration::from_secs(3600));
    });
    assert_eq!((explored.schedules(), explored.failed_under()), (20, None));
}
