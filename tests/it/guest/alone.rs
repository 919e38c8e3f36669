//! A guest on the simplest of loops.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use trio::lowlevel::{GuestError, GuestHost, current_token, in_run, spawn_system_task, start_guest_run, wait_readable};
use trio::testing::{MockClock, wait_all_tasks_blocked};
use trio::{Builder, CancelLink, CancelScope, Clock, Event, checkpoint, open_memory_channel, sleep, sleep_forever};

use super::{PATIENCE, Queue, outcome};
use crate::support::{OnDrop, alone, descriptors};

// trio: _core/_tests/test_guest_mode.py::test_guest_trivial
#[test]
fn the_main_task_s_value_or_panic_comes_to_done() {
    let queue = Queue::new();
    let (result, done) = outcome();
    let main = async {
        checkpoint().await;
        "ok"
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    assert!(matches!(result.take(), Some(Ok("ok"))));

    let (result, done) = outcome();
    let main = async {
        checkpoint().await;
        if in_run() {
            std::panic::panic_any(7_u32);
        }
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    let Some(Err(GuestError::Panicked(panic))) = result.take() else { panic!("the panic comes out") };
    assert_eq!(panic.downcast_ref(), Some(&7_u32), "payload and all");
}

// trio: _core/_tests/test_guest_mode.py::test_guest_can_do_io
#[test]
fn a_guest_waits_for_io() {
    let queue = Queue::new();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let (result, done) = outcome();
    let main = async move {
        wait_readable(&here).await.unwrap();
        let mut byte = [0];
        here.read_exact(&mut byte).unwrap();
        byte
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.until_idle();
    assert!(!guest.is_finished());
    there.write_all(b"x").unwrap();
    queue.run(&guest);
    assert_eq!(result.take().unwrap().unwrap(), *b"x");
}

#[test]
fn descriptors_and_deadlines_that_come_while_the_thread_waits_are_waited_for() {
    let queue = Queue::new();
    let (here, mut there) = UnixStream::pair().unwrap();
    let (result, done) = outcome();
    let (sender, receiver) = open_memory_channel(0);
    let woken = Rc::new(Event::new());
    let own = Rc::clone(&woken);
    let main = async move {
        trio::nursery! { |n|
            n.start_soon(async move { sender.send(1).await.unwrap() });
            receiver.receive().await.unwrap();
            n.start_soon(async move {
                wait_readable(&here).await.unwrap();
                own.set();
            });
            sleep(Duration::from_millis(20)).await;
            there.write_all(b"x").unwrap();
            woken.wait().await;
        };
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    result.take().unwrap().unwrap();
}

// trio: _core/_tests/test_guest_mode.py::test_guest_is_initialized_when_start_returns
#[test]
fn a_guest_can_be_used_as_soon_as_it_has_been_started() {
    let queue = Queue::new();
    let record = Rc::new(RefCell::new(Vec::new()));
    let note = |what: &'static str| {
        let record = Rc::clone(&record);
        move || record.borrow_mut().push(what)
    };
    let (result, done) = outcome();
    let main = {
        let note = note("main");
        async move {
            note();
            // System tasks and calls take their turn.
            for _ in 0..3 {
                checkpoint().await;
            }
            current_token()
        }
    };
    let guest = start_guest_run(main, queue.host(), done);
    assert!(record.borrow().is_empty(), "no task has run yet");
    assert!(!in_run(), "the host is in no run");
    let system = note("system task");
    let (called, seen) = std::sync::mpsc::channel();
    let token = guest.enter(|| {
        assert!(in_run());
        spawn_system_task("early", async move { system() }).unwrap();
        current_token().run_sync_soon(move || called.send(()).unwrap()).unwrap();
        current_token()
    });
    let token = token.unwrap();
    assert!(token == guest.token());
    queue.run(&guest);
    assert!(result.take().unwrap().unwrap() == token);
    record.borrow_mut().sort_unstable();
    assert_eq!(*record.borrow(), ["main", "system task"]);
    assert_eq!(seen.try_recv(), Ok(()));
    assert!(token.run_sync_soon(|| ()).is_err());
    assert!(guest.enter(|| unreachable!("it has ended")).is_err());

    // What goes wrong at the start comes out of the start.
    struct Broken;
    impl Clock for Broken {
        fn start(&self) {
            panic!("the clock is broken")
        }
        fn now(&self) -> Instant {
            Instant::now()
        }
        fn sleep_time(&self, _: Instant) -> Option<Duration> {
            None
        }
    }
    let start = || Builder::new().clock(Broken).start_guest_run(async {}, queue.host(), |_| unreachable!());
    assert!(catch_unwind(AssertUnwindSafe(start)).is_err());
    assert!(queue.calls.try_recv().is_err(), "the host was asked for nothing");
}

// trio: _core/_tests/test_guest_mode.py::test_host_can_directly_wake_trio_task
#[test]
fn the_host_wakes_a_task_directly() {
    // Inside of the run, or just so.
    for enters in [false, true] {
        let queue = Queue::new();
        let event = Rc::new(Event::new());
        let own = Rc::clone(&event);
        let (result, done) = outcome();
        let guest = start_guest_run(async move { own.wait().await }, queue.host(), done);
        queue.until_idle();
        if enters {
            guest.enter(|| event.set()).unwrap();
        } else {
            event.set();
        }
        queue.run(&guest);
        result.take().unwrap().unwrap();
    }
}

// trio: _core/_tests/test_guest_mode.py::test_host_altering_deadlines_wakes_trio_up
#[test]
fn a_deadline_that_the_host_changes_wakes_the_guest() {
    for sleeps in [None, Some(Duration::from_secs(999))] {
        let queue = Queue::new();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (result, done) = outcome();
        let main = async move {
            scope
                .run(async {
                    match sleeps {
                        None => sleep_forever().await,
                        Some(time) => sleep(time).await,
                    }
                })
                .await
        };
        let guest = start_guest_run(main, queue.host(), done);
        queue.until_idle();
        // Of no consequence.
        let late = Duration::from_secs(1_000_000);
        guest.enter(|| handle.set_deadline(Some(trio::current_time() + late))).unwrap();
        queue.until_idle();
        assert!(!guest.is_finished());
        guest.enter(|| handle.set_deadline(Some(trio::current_time()))).unwrap();
        queue.run(&guest);
        assert!(result.take().unwrap().unwrap().is_none());
        assert!(handle.caught());
    }
}

// trio: _core/_tests/test_guest_mode.py::test_guest_mode_autojump_clock_threshold_changing
#[test]
fn a_clock_that_the_host_lets_jump_wakes_the_guest() {
    let queue = Queue::new();
    let clock = MockClock::new();
    let (result, done) = outcome();
    let main = sleep(Duration::from_secs(120));
    let guest = Builder::new().clock(clock.clone()).start_guest_run(main, queue.host(), done);
    queue.until_idle();
    let began = Instant::now();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    guest.enter(|| clock.set_autojump_threshold(Some(Duration::ZERO))).unwrap();
    queue.run(&guest);
    result.take().unwrap().unwrap();
    assert_eq!(clock.elapsed(), Duration::from_secs(120));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn waiting_for_all_tasks_and_autojumps_see_the_guest_s_tasks() {
    let queue = Queue::new();
    let (result, done) = outcome();
    let main = async {
        let began = trio::current_time();
        trio::nursery! { |n|
            n.start_soon(sleep(Duration::from_secs(3600)));
            wait_all_tasks_blocked(Duration::ZERO).await;
            assert_eq!(trio::current_time(), began);
        };
        (trio::current_time() - began).as_secs()
    };
    let clock = MockClock::new().autojump();
    let guest = Builder::new().clock(clock).start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    assert_eq!(result.take().unwrap().unwrap(), 3600);
}

#[test]
fn real_deadlines_come_when_they_should() {
    let queue = Queue::new();
    let (result, done) = outcome();
    let began = Instant::now();
    let main = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(10)).await;
        }
        trio::to_thread::run_sync(|| std::thread::sleep(Duration::from_millis(10))).await;
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    result.take().unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(40));
}

// trio: _core/_tests/test_guest_mode.py::test_guest_warns_if_abandoned
#[test]
fn a_host_that_goes_away_drops_its_guest() {
    struct Dropped(Rc<Cell<u32>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            assert!(in_run(), "the tasks are dropped as a part of the run");
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let main = |dropped: &Rc<Cell<u32>>| {
        let (one, other) = (Dropped(Rc::clone(dropped)), Dropped(Rc::clone(dropped)));
        async move {
            let _one = one;
            trio::nursery! { |n|
                n.start_soon(async move {
                    let _other = other;
                    trio::shield(sleep_forever()).await
                });
            }
        }
    };
    let never = |_| unreachable!("it has not ended");
    // Before it has begun; when it waits for a callback; and when its thread waits.
    for turns in [0, 1] {
        let queue = Queue::new();
        let guest = start_guest_run(main(&dropped), queue.host(), never);
        for _ in 0..turns {
            queue.turn();
        }
        if turns > 0 {
            // The next callback is on its way to a queue that is no more.
            guest.enter(|| ()).unwrap();
            let last = queue.calls.recv_timeout(PATIENCE).unwrap();
            drop(queue);
            drop(last);
        } else {
            drop(queue);
        }
        assert!(guest.is_finished());
        assert!(guest.enter(|| ()).is_err());
        assert_eq!(dropped.replace(0), 2);
    }
    // By name.
    let queue = Queue::new();
    let guest = start_guest_run(main(&dropped), queue.host(), never);
    queue.until_idle();
    guest.abandon();
    assert_eq!(dropped.replace(0), 2);
    assert!(!in_run());
    assert!(catch_unwind(trio::current_time).is_err());
    // A host that refuses from the beginning.
    let guest = start_guest_run(main(&dropped), GuestHost::new(drop), never);
    assert!(guest.is_finished());
    assert_eq!(dropped.replace(0), 2);
    trio::run(checkpoint());
}

#[test]
fn a_thread_that_ends_drops_its_guests() {
    struct Tells(std::sync::mpsc::Sender<bool>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(in_run()).unwrap();
        }
    }
    let (sender, dropped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let queue = Queue::new();
        let tells = Tells(sender);
        let main = async move {
            let _tells = tells;
            sleep_forever().await
        };
        start_guest_run(main, queue.host(), |_| unreachable!("it has not ended"));
        queue.until_idle();
        // The guest's thread keeps a sender, and the host forgets the queue.
        std::mem::forget(queue);
    });
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok(true));
}

#[test]
fn a_callback_on_another_thread_is_refused() {
    let queue = Queue::new();
    let guest = start_guest_run(async {}, queue.host(), |_| unreachable!("it can't go on"));
    let call = queue.calls.recv().unwrap();
    assert!(std::thread::spawn(call).join().is_err());
    assert!(!guest.is_finished());
    guest.abandon();
}

#[test]
fn a_host_s_panic_is_the_host_s() {
    // In something that it does beside.
    let queue = Queue::new();
    let (result, done) = outcome();
    let event = Rc::new(Event::new());
    let own = Rc::clone(&event);
    let guest = start_guest_run(async move { own.wait().await }, queue.host(), done);
    queue.until_idle();
    let fails = || {
        event.set();
        panic!("the host fails")
    };
    assert!(catch_unwind(AssertUnwindSafe(|| guest.enter(fails))).is_err());
    assert!(!in_run());
    queue.run(&guest);
    result.take().unwrap().unwrap();

    // In its own hook: the guest can't go on.
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    let host = queue.host().run_sync_soon_not_threadsafe({
        let sender = queue.sender.clone();
        move |callback| {
            count.set(count.get() + 1);
            assert!(count.get() < 3, "the hook fails");
            sender.send(callback).unwrap();
        }
    });
    let main = async {
        loop {
            checkpoint().await;
        }
    };
    let guest = start_guest_run(main, host, |_: super::Outcome<()>| unreachable!("it has not ended"));
    queue.turn();
    assert!(catch_unwind(AssertUnwindSafe(|| queue.turn())).is_err());
    assert!(guest.is_finished());
    assert_eq!(calls.get(), 3);

    // In `done`: it comes out of the host's loop.
    let guest = start_guest_run(async {}, queue.host(), |_| panic!("done fails"));
    assert!(catch_unwind(AssertUnwindSafe(|| queue.run(&guest))).is_err());
    assert!(guest.is_finished() && !in_run());
}

#[test]
fn a_clock_that_fails_in_the_middle_ends_the_guest() {
    struct Failing;
    impl Clock for Failing {
        fn now(&self) -> Instant {
            Instant::now()
        }
        fn sleep_time(&self, _: Instant) -> Option<Duration> {
            panic!("the clock fails")
        }
    }
    let queue = Queue::new();
    let (result, done) = outcome();
    let main = sleep(Duration::from_secs(1));
    let guest = Builder::new().clock(Failing).start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    let error = result.take().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the guest run panicked: the clock fails");
}

#[test]
fn system_tasks_and_calls_that_panic_end_the_guest() {
    for by_call in [false, true] {
        let queue = Queue::new();
        let (result, done) = outcome();
        let guest = start_guest_run(sleep_forever(), queue.host(), done);
        if by_call {
            guest.token().run_sync_soon(|| panic!("it fails")).unwrap();
        } else {
            guest.enter(|| spawn_system_task("bad", async { panic!("it fails") })).unwrap().unwrap();
        }
        queue.run(&guest);
        assert!(result.take().unwrap().unwrap_err().to_string().contains("it fails"));
    }
}

#[test]
fn a_busy_guest_lets_its_host_have_turns() {
    let queue = Queue::new();
    let steps = Rc::new(Cell::new(0));
    let own = Rc::clone(&steps);
    let main = async move {
        for _ in 0..10_000 {
            own.set(own.get() + 1);
            trio::lowlevel::cancel_shielded_checkpoint().await;
        }
    };
    let guest = start_guest_run(main, queue.host(), |outcome| outcome.unwrap());
    let mut turns = 0;
    while !guest.is_finished() {
        let before = steps.get();
        queue.turn();
        assert!(steps.get() - before <= 200, "{} steps in a turn", steps.get() - before);
        turns += 1;
    }
    assert!(turns > 50, "{turns}");
}

/// The guest's own thread finds nobody to give its callback to.
#[test]
fn a_guest_whose_host_is_gone_while_it_waits_is_dropped_at_the_next_use_of_it() {
    let dropped = Rc::new(Cell::new(false));
    let queue = Queue::new();
    let guard = OnDrop({
        let dropped = Rc::clone(&dropped);
        move || dropped.set(true)
    });
    let main = async move {
        let _guard = guard;
        sleep(Duration::from_millis(1)).await;
        sleep_forever().await
    };
    let guest = start_guest_run(main, queue.host(), |_| unreachable!("it has not ended"));
    queue.until_idle();
    drop(queue);
    // Its thread comes back from the wait for the deadline, or from this.
    let began = Instant::now();
    while guest.enter(|| ()).is_ok() {
        assert!(began.elapsed() < PATIENCE, "the guest is lost, and nobody notices");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(guest.is_finished());
    assert!(dropped.get());
}

#[test]
fn a_link_that_was_told_outside_of_its_run_can_be_told_again() {
    let queue = Queue::new();
    let (result, done) = outcome();
    let link = CancelLink::new();
    let scope = CancelScope::new().linked(&link);
    let guest = start_guest_run(async move { scope.run(sleep_forever()).await.is_none() }, queue.host(), done);
    queue.until_idle();
    link.cancel_because("too early");
    queue.until_idle();
    assert!(link.is_cancelled() && !guest.is_finished(), "nothing outside of the run reaches its scopes");
    guest.enter(|| link.cancel_because("now")).unwrap();
    queue.run(&guest);
    assert!(result.take().unwrap().unwrap());
    assert_eq!(link.reason().unwrap().text(), Some("too early"), "the first cause stays");
}

/// What somebody else does meanwhile is no idleness, even if it comes to nothing.
#[test]
fn a_wait_that_is_cut_short_is_not_taken_for_idleness() {
    const CUSHION: Duration = Duration::from_secs(1);
    let queue = Queue::new();
    let (result, done) = outcome();
    let main = async {
        wait_all_tasks_blocked(CUSHION).await;
        Instant::now()
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.until_idle();
    std::thread::sleep(CUSHION / 10);
    let last = Instant::now();
    guest.enter(|| ()).unwrap();
    queue.run(&guest);
    assert!(result.take().unwrap().unwrap() - last >= CUSHION);
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn guests_leave_nothing() {
    alone(module_path!(), "guests_leave_nothing", || {
        let before = (descriptors(), threads());
        for round in 0..100 {
            let queue = Queue::new();
            let main = async move {
                if round % 4 > 0 {
                    sleep(Duration::from_millis(1)).await;
                    sleep_forever().await;
                }
            };
            let guest = start_guest_run(main, queue.host(), |_| ());
            match round % 4 {
                0 => queue.run(&guest),
                1 => {
                    queue.until_idle();
                    guest.abandon();
                }
                2 => {
                    queue.until_idle();
                    drop(queue);
                    while guest.enter(|| ()).is_ok() {
                        std::thread::yield_now();
                    }
                }
                _ => {
                    drop(queue);
                    assert!(guest.is_finished());
                }
            }
        }
        // Nobody waits for their threads, which end by themselves.
        let began = Instant::now();
        while (descriptors(), threads()) > before {
            let left = (descriptors(), threads());
            assert!(began.elapsed() < PATIENCE, "descriptors, threads: {left:?}, and {before:?} before");
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("100 guests, ended in 4 ways: no descriptor and no thread is left");
    });
}
