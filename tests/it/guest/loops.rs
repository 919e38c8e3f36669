//! Guests on loops of others: tokio's, calloop's, a trio run's, and several on one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use trio::lowlevel::{GuestHost, HostCallback, in_run, start_guest_run};
use trio::{Event, open_memory_channel, sleep};

use super::{PATIENCE, Queue, outcome};

// trio: _core/_tests/test_guest_mode.py::test_guest_mode_on_asyncio
#[test]
fn ping_pong_with_tokio() {
    for not_threadsafe_too in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let tasks = tokio::task::LocalSet::new();
        let outcome = tasks.block_on(&runtime, async move {
            let (calls, mut queue) = tokio::sync::mpsc::unbounded_channel::<HostCallback>();
            let mut host = GuestHost::new(move |callback| {
                let _ = calls.send(callback);
            });
            if not_threadsafe_too {
                host = host.run_sync_soon_not_threadsafe(|callback| {
                    tokio::task::spawn_local(async { callback() });
                });
            }
            // From trio to tokio over tokio's channel, and back over trio's.
            let (to_host, mut from_guest) = tokio::sync::mpsc::unbounded_channel::<u32>();
            let (to_guest, from_host) = open_memory_channel::<u32>(usize::MAX);
            let (done, finished) = tokio::sync::oneshot::channel();
            let main = async move {
                to_host.send(0).unwrap();
                while let Ok(number) = from_host.receive().await {
                    sleep(Duration::from_millis(1)).await;
                    if number > 10 {
                        break;
                    }
                    to_host.send(number + 1).unwrap();
                }
                "trio-main-done"
            };
            start_guest_run(main, host, |outcome| done.send(outcome.unwrap()).unwrap());
            tokio::task::spawn_local(async move {
                while let Some(callback) = queue.recv().await {
                    callback();
                }
            });
            let mut seen = Vec::new();
            while let Some(number) = from_guest.recv().await {
                assert!(!in_run());
                tokio::time::sleep(Duration::from_millis(1)).await;
                seen.push(number);
                to_guest.try_send(number + 1).unwrap();
            }
            assert_eq!(seen, [0, 2, 4, 6, 8, 10]);
            tokio::time::timeout(PATIENCE, finished).await.unwrap().unwrap()
        });
        assert_eq!(outcome, "trio-main-done");
    }
}

#[test]
fn a_guest_on_calloop_beside_its_timers() {
    struct Host {
        ticks: u32,
        answer: Option<u32>,
    }
    let mut events = calloop::EventLoop::<Host>::try_new().unwrap();
    let (sender, calls) = calloop::channel::channel::<HostCallback>();
    let handle = events.handle();
    handle
        .insert_source(calls, |event, (), _host| {
            if let calloop::channel::Event::Msg(callback) = event {
                callback();
            }
        })
        .unwrap();
    let timer = calloop::timer::Timer::from_duration(Duration::from_millis(1));
    handle
        .insert_source(timer, |_, (), host| {
            host.ticks += 1;
            calloop::timer::TimeoutAction::ToDuration(Duration::from_millis(1))
        })
        .unwrap();
    let idle = events.handle();
    let host = GuestHost::new(move |callback| {
        let _ = sender.send(callback);
    })
    .run_sync_soon_not_threadsafe(move |callback| {
        idle.insert_idle(|_host| callback());
    });
    let answer = Rc::new(Cell::new(None));
    let own = Rc::clone(&answer);
    let main = async {
        let mut sum = 0;
        for number in 0..10 {
            sleep(Duration::from_millis(2)).await;
            sum += number;
        }
        sum
    };
    start_guest_run(main, host, move |outcome| own.set(Some(outcome.unwrap())));
    let mut host = Host { ticks: 0, answer: None };
    while host.answer.is_none() {
        events.dispatch(PATIENCE, &mut host).unwrap();
        host.answer = answer.get();
    }
    assert_eq!(host.answer, Some(45));
    assert!(host.ticks > 1, "the loop's own timer went on");
}

#[test]
fn two_guests_and_runs_beside_them() {
    let queue = Queue::new();
    let (ping, pong) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (to_second, in_second) = open_memory_channel::<u32>(0);
    let (to_first, in_first) = open_memory_channel::<u32>(0);
    let (first, done) = outcome();
    let count = Rc::clone(&ping);
    let one = async move {
        for number in 0..50 {
            to_second.send(number).await.unwrap();
            assert_eq!(in_first.receive().await.unwrap(), number);
            count.set(count.get() + 1);
        }
    };
    let one = start_guest_run(one, queue.host(), done);
    let (second, done) = outcome();
    let count = Rc::clone(&pong);
    let other = async move {
        while let Ok(number) = in_second.receive().await {
            sleep(Duration::from_micros(100)).await;
            to_first.send(number).await.unwrap();
            count.set(count.get() + 1);
        }
    };
    let other = start_guest_run(other, queue.host(), done);
    assert!(one.token() != other.token());
    while !(one.is_finished() && other.is_finished()) {
        queue.turn();
        // The thread is in no run: it can have others.
        assert_eq!(trio::run(async { 7 }), 7);
    }
    first.take().unwrap().unwrap();
    second.take().unwrap().unwrap();
    assert_eq!((ping.get(), pong.get()), (50, 50));
}

#[test]
fn a_guest_enters_another_and_comes_back() {
    let queue = Queue::new();
    let event = Rc::new(Event::new());
    let own = Rc::clone(&event);
    let (inner_result, done) = outcome();
    let inner = start_guest_run(async move { own.wait().await }, queue.host(), done);
    queue.until_idle();
    let (result, done) = outcome();
    let main = async move {
        let own = trio::lowlevel::current_token();
        inner.enter(|| assert!(trio::lowlevel::current_token() != own)).unwrap();
        inner.enter(|| event.set()).unwrap();
        assert!(trio::lowlevel::current_token() == own);
        trio::checkpoint().await;
        inner
    };
    let outer = start_guest_run(main, queue.host(), done);
    queue.run(&outer);
    let inner = result.take().unwrap().unwrap();
    queue.run(&inner);
    inner_result.take().unwrap().unwrap();
}

/// The host's loop is a task of a run: each run is itself again when the other's turn is over.
#[test]
fn a_guest_on_trio() {
    trio::run(async {
        let (calls, queue) = open_memory_channel::<HostCallback>(usize::MAX);
        let token = trio::lowlevel::current_token();
        let calls = Rc::new(calls);
        // Callbacks come in through the run's own token on other threads.
        let waiting = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let place = std::sync::Arc::clone(&waiting);
        let host = GuestHost::new(move |callback| {
            place.lock().unwrap().push(callback);
            let _ = token.run_sync_soon(|| ());
        })
        .run_sync_soon_not_threadsafe(move |callback| calls.try_send(callback).unwrap());
        let host_token = trio::lowlevel::current_token();
        let log = Rc::new(RefCell::new(Vec::new()));
        let own = Rc::clone(&log);
        let main = async move {
            for number in 0..3 {
                sleep(Duration::from_millis(2)).await;
                own.borrow_mut().push(number);
            }
        };
        let guest = start_guest_run(main, host, |outcome| outcome.unwrap());
        while !guest.is_finished() {
            let mut next: Vec<HostCallback> = std::mem::take(&mut *waiting.lock().unwrap());
            next.extend(queue.try_receive().ok());
            for callback in next {
                callback();
                assert!(trio::lowlevel::current_token() == host_token);
            }
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(*log.borrow(), [0, 1, 2]);
    });
}

/// A task of the guest runs the host's loop inside of itself, as a modal dialogue does.
#[test]
fn a_loop_inside_of_a_step_does_not_come_back_into_the_guest() {
    let queue = Rc::new(Queue::new());
    let inner = Rc::clone(&queue);
    let (result, done) = outcome();
    let main = async move {
        inner.sender.send(Box::new(|| assert!(in_run()))).unwrap();
        // The guest's own callback can't be among these: it is being made.
        inner.until_idle();
        sleep(Duration::from_millis(1)).await;
    };
    let guest = start_guest_run(main, queue.host(), done);
    queue.run(&guest);
    result.take().unwrap().unwrap();
}
