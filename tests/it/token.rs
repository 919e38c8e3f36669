//! Calls through a token: their order, idempotent ones, and what becomes of them at the end of a run.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use trio::RunFinishedError;
use trio::lowlevel::{Token, current_statistics, current_token};

use crate::support::{OnDrop, panic_text, settle};

/// What calls have said, in order.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<usize>>>);

impl Record {
    fn says(&self, number: usize) -> impl FnOnce() + Send + use<> {
        let record = self.clone();
        move || record.0.lock().unwrap().push(number)
    }

    fn taken(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_basic
#[trio::test]
async fn a_call_is_made_soon_and_not_at_once() {
    let record = Record::default();
    current_token().run_sync_soon(record.says(1)).unwrap();
    assert!(record.taken().is_empty());
    settle().await;
    assert_eq!(record.taken(), [1]);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_FIFO
#[trio::test(schedules = 50)]
async fn calls_are_made_in_the_order_in_which_they_came() {
    let (record, token) = (Record::default(), current_token());
    for number in 0..100 {
        token.run_sync_soon(record.says(number)).unwrap();
    }
    settle().await;
    assert_eq!(record.taken(), Vec::from_iter(0..100));
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_massive_queue
#[trio::test]
async fn a_thousand_calls_at_once_are_all_made() {
    let (record, token) = (Record::default(), current_token());
    let (calls, from_thread) = (record.clone(), token.clone());
    for number in 0..1000 {
        token.run_sync_soon(record.says(number)).unwrap();
    }
    settle().await;
    assert_eq!(record.taken(), Vec::from_iter(0..1000));
    let caller = thread::spawn(move || {
        for number in 0..1000 {
            from_thread.run_sync_soon(calls.says(number)).unwrap();
        }
    });
    caller.join().unwrap();
    settle().await;
    assert_eq!(record.taken(), Vec::from_iter(0..1000));
}

#[trio::test(schedules = 10)]
async fn of_idempotent_calls_with_one_key_one_is_made() {
    let (record, token) = (Record::default(), current_token());
    for _ in 0..100 {
        token.run_sync_soon_idempotent("one", record.says(1)).unwrap();
    }
    assert_eq!(current_statistics().run_sync_soon_queue_size, 1);
    settle().await;
    assert_eq!(record.taken(), [1]);

    // Others keep the order in which they came first.
    for _ in 0..2 {
        for number in [3, 1, 2] {
            token.run_sync_soon_idempotent(number, record.says(number)).unwrap();
        }
    }
    settle().await;
    assert_eq!(record.taken(), [3, 1, 2]);
}

#[trio::test]
async fn idempotent_calls_come_after_the_others_and_count_as_new_once_they_begin() {
    let (record, token) = (Record::default(), current_token());
    token.run_sync_soon_idempotent("key", record.says(10)).unwrap();
    token.run_sync_soon(record.says(0)).unwrap();
    // Asked for by a call that is made before it: one with it.
    let (again, calls) = (token.clone(), record.clone());
    token.run_sync_soon(move || again.run_sync_soon_idempotent("key", calls.says(11)).unwrap()).unwrap();
    // New when it is asked for, by a call of the same turn: it is made in that turn too.
    let (again, calls) = (token.clone(), record.clone());
    token.run_sync_soon(move || again.run_sync_soon_idempotent("other", calls.says(12)).unwrap()).unwrap();
    assert_eq!(current_statistics().run_sync_soon_queue_size, 4);
    trio::checkpoint().await;
    assert_eq!(record.taken(), [0, 10, 12]);
    // Keys of different types that look the same.
    token.run_sync_soon_idempotent(1_u8, record.says(1)).unwrap();
    token.run_sync_soon_idempotent(1_u16, record.says(2)).unwrap();
    settle().await;
    assert_eq!(record.taken(), [1, 2]);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_idempotent_requeue
#[test]
fn an_idempotent_call_that_queues_itself_is_made_again() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    fn again(token: &Token, made: &Arc<AtomicUsize>) {
        made.fetch_add(1, Ordering::Relaxed);
        let (own, count) = (token.clone(), Arc::clone(made));
        let queued = token.run_sync_soon_idempotent("again", move || again(&own, &count));
        REFUSED.fetch_add(usize::from(queued.is_err()), Ordering::Relaxed);
    }
    let made = Arc::new(AtomicUsize::new(0));
    trio::run(async {
        let (token, count) = (current_token(), Arc::clone(&made));
        let own = token.clone();
        token.run_sync_soon_idempotent("again", move || again(&own, &count)).unwrap();
        for _ in 0..3 {
            trio::lowlevel::cancel_shielded_checkpoint().await;
        }
        assert!(made.load(Ordering::Relaxed) >= 2);
    });
    assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_starvation_resistance
#[test]
fn a_call_that_always_queues_itself_keeps_nobody_away() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    fn again(token: &Token, made: &Arc<AtomicUsize>) {
        made.fetch_add(1, Ordering::Relaxed);
        let (own, count) = (token.clone(), Arc::clone(made));
        let queued = token.run_sync_soon(move || again(&own, &count));
        REFUSED.fetch_add(usize::from(queued == Err(RunFinishedError)), Ordering::Relaxed);
    }
    let made = Arc::new(AtomicUsize::new(0));
    trio::Builder::new().checkpoint_budget(1).run(async {
        let (token, count) = (current_token(), Arc::clone(&made));
        let own = token.clone();
        token.run_sync_soon(move || again(&own, &count)).unwrap();
        for passes in 0..20 {
            assert!(made.load(Ordering::Relaxed) >= passes);
            trio::checkpoint().await;
        }
        // Nor the outside, when all tasks wait.
        let before = made.load(Ordering::Relaxed);
        trio::sleep(Duration::from_millis(1)).await;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let write = thread::spawn(move || std::io::Write::write_all(&mut &ours, b"x"));
        trio::lowlevel::wait_readable(&theirs).await.unwrap();
        write.join().unwrap().unwrap();
        assert!(made.load(Ordering::Relaxed) > before);
    });
    assert!(made.load(Ordering::Relaxed) >= 20);
    assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_threaded_stress_test
#[test]
fn a_thread_may_call_without_a_pause_until_the_run_has_ended() {
    let made = Arc::new(AtomicUsize::new(0));
    let caller = trio::run(async {
        let (token, count) = (current_token(), Arc::clone(&made));
        let caller = thread::spawn(move || {
            loop {
                let count = Arc::clone(&count);
                let call = move || {
                    count.fetch_add(1, Ordering::Relaxed);
                };
                if token.run_sync_soon(call) == Err(RunFinishedError) {
                    return;
                }
                thread::yield_now();
            }
        });
        for _ in 0..10 {
            let before = made.load(Ordering::Relaxed);
            while made.load(Ordering::Relaxed) == before {
                trio::sleep(Duration::from_millis(1)).await;
            }
        }
        caller
    });
    caller.join().unwrap();
    assert!(made.load(Ordering::Relaxed) >= 10);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_crashes
#[test]
fn a_call_that_panics_ends_the_run_and_no_other_call() {
    let (record, cancelled) = (Record::default(), Rc::new(Cell::new(false)));
    let panic = panic_text(|| {
        trio::run(async {
            let token = current_token();
            token.run_sync_soon(|| panic!("key")).unwrap();
            token.run_sync_soon(record.says(1)).unwrap();
            token.run_sync_soon_idempotent(0, record.says(2)).unwrap();
            let _dropped = OnDrop(|| cancelled.set(true));
            trio::sleep_forever().await;
        });
    });
    assert!(panic.contains("key"));
    assert_eq!(record.taken(), [1, 2]);
    assert!(cancelled.get());
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_after_main_crash
#[test]
fn a_call_that_was_queued_just_before_the_main_task_ended_is_made() {
    let record = Record::default();
    let failed = trio::run(async {
        current_token().run_sync_soon(record.says(1)).unwrap();
        Err::<(), _>("main")
    });
    assert_eq!((failed, record.taken()), (Err("main"), vec![1]));

    let panic = panic_text(|| {
        trio::run(async {
            current_token().run_sync_soon(record.says(2)).unwrap();
            current_token().run_sync_soon_idempotent((), record.says(3)).unwrap();
            panic!("main");
        });
    });
    assert_eq!(panic, "main");
    assert_eq!(record.taken(), [2, 3]);
}

// trio: _core/_tests/test_run.py::test_TrioToken_run_sync_soon_late_crash
#[test]
fn calls_from_the_very_end_are_made_and_none_after_them() {
    let (record, refused) = (Record::default(), Arc::new(AtomicUsize::new(0)));
    let panic = panic_text(|| {
        trio::run(async {
            let token = current_token();
            // Dropped with the system task, when the main task has ended already.
            let (late, calls, count) = (token.clone(), record.clone(), Arc::clone(&refused));
            let queue = OnDrop(move || {
                late.run_sync_soon(|| panic!("late")).unwrap();
                let (later, count, first, second) = (late.clone(), Arc::clone(&count), calls.says(1), calls.says(2));
                late.run_sync_soon(move || {
                    first();
                    let queued = [
                        later.run_sync_soon(|| unreachable!("the run has ended")),
                        later.run_sync_soon_idempotent("late", || unreachable!("the run has ended")),
                    ];
                    count.fetch_add(queued.into_iter().filter(Result::is_err).count(), Ordering::Relaxed);
                })
                .unwrap();
                late.run_sync_soon_idempotent("late", second).unwrap();
            });
            trio::lowlevel::spawn_system_task("late", async move {
                let _queue = queue;
                trio::sleep_forever().await;
            })
            .unwrap();
            settle().await;
        });
    });
    assert!(panic.contains("late"));
    assert_eq!(record.taken(), [1, 2]);
    assert_eq!(refused.load(Ordering::Relaxed), 2);
}

/// A key whose comparison panics, and one that counts how many of it there are.
struct Key {
    name: &'static str,
    _count: Arc<()>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        assert_ne!((self.name, other.name), ("bad", "bad"), "compared");
        self.name == other.name
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, _state: &mut H) {}
}

#[test]
fn keys_and_calls_are_dropped_whatever_becomes_of_them() {
    let count = Arc::new(());
    let key = |name| Key { name, _count: Arc::clone(&count) };
    let record = Record::default();
    let token = trio::run(async {
        let token = current_token();
        for name in ["good", "bad", "good"] {
            let call = record.says(name.len());
            token.run_sync_soon_idempotent(key(name), call).unwrap();
        }
        assert_eq!(Arc::strong_count(&count), 3);
        // A comparison that panics does so here, and the queue is as it was.
        let compared = std::panic::catch_unwind(AssertUnwindSafe(|| token.run_sync_soon_idempotent(key("bad"), || ())));
        assert!(compared.is_err());
        assert_eq!(Arc::strong_count(&count), 3);
        settle().await;
        assert_eq!(record.taken(), [4, 3]);
        assert_eq!(Arc::strong_count(&count), 1);
        token
    });
    assert_eq!(token.run_sync_soon_idempotent(key("late"), || ()), Err(RunFinishedError));
    // In a call's destructor the token may be used.
    let again = token.clone();
    let on_drop = Guard(Some(again));
    assert_eq!(token.run_sync_soon_idempotent(key("late"), move || drop(on_drop)), Err(RunFinishedError));
    assert_eq!(Arc::strong_count(&count), 1);
}

/// Uses the token when it is dropped.
struct Guard(Option<Token>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(token) = self.0.take() {
            let _ = token.run_sync_soon_idempotent(0, || ());
        }
    }
}

#[trio::test]
async fn a_call_that_is_not_needed_may_use_the_token_when_it_is_dropped() {
    let (record, token) = (Record::default(), current_token());
    token.run_sync_soon_idempotent("key", record.says(1)).unwrap();
    let (guard, unneeded) = (Guard(Some(token.clone())), record.says(2));
    token
        .run_sync_soon_idempotent("key", move || {
            drop(guard);
            unneeded();
        })
        .unwrap();
    assert_eq!(current_statistics().run_sync_soon_queue_size, 2);
    settle().await;
    assert_eq!(record.taken(), [1]);
}

#[test]
fn a_comparison_of_keys_that_panics_leaves_nothing_locked() {
    struct Never;
    impl PartialEq for Never {
        fn eq(&self, _other: &Self) -> bool {
            std::panic::panic_any("these can't be compared")
        }
    }
    impl Eq for Never {}
    impl std::hash::Hash for Never {
        fn hash<H: std::hash::Hasher>(&self, _state: &mut H) {}
    }
    let (sender, ended) = std::sync::mpsc::channel();
    // On a thread of its own: if something stayed locked, it would wait for ever.
    thread::spawn(move || {
        trio::run(async {
            let token = current_token();
            token.run_sync_soon_idempotent(Never, || ()).unwrap();
            let guard = Guard(Some(token.clone()));
            let panic = panic_text(AssertUnwindSafe(|| {
                let _refused = token.run_sync_soon_idempotent(Never, move || drop(guard));
            }));
            assert_eq!(panic, "these can't be compared");
            settle().await;
        });
        sender.send(()).unwrap();
    });
    assert!(ended.recv_timeout(Duration::from_secs(60)).is_ok());
}

/// Calls that do nothing still say that something goes on.
#[test]
fn calls_that_come_to_nothing_are_no_idleness() {
    const CUSHION: Duration = Duration::from_secs(1);
    let last = Arc::new(Mutex::new(None));
    let ended = trio::run(async {
        let (token, said) = (current_token(), Arc::clone(&last));
        let caller = thread::spawn(move || {
            for _ in 0..5 {
                thread::sleep(CUSHION / 10);
                *said.lock().unwrap() = Some(std::time::Instant::now());
                if token.run_sync_soon(|| ()).is_err() {
                    return;
                }
            }
        });
        trio::testing::wait_all_tasks_blocked(CUSHION).await;
        let ended = std::time::Instant::now();
        (ended, caller)
    });
    let (ended, caller) = ended;
    let last = last.lock().unwrap().expect("the thread has called");
    assert!(ended - last >= CUSHION || last > ended, "{:?}", ended - last);
    caller.join().unwrap();
}
