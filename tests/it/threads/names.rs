//! What the system calls a worker thread.

use trio::to_thread;

/// The name by which the system knows this thread.
#[cfg(target_os = "linux")]
fn system_name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim_end_matches('\n').to_owned()
}

// trio: _tests/test_threads.py::test_named_thread
#[trio::test]
async fn a_worker_thread_has_a_number() {
    let name = to_thread::run_sync(|| std::thread::current().name().map(str::to_owned)).await.unwrap();
    let number = name.strip_prefix("trio thread ").unwrap();
    assert!(number.parse::<u64>().is_ok(), "{name}");
    // Also while it has another name in the system.
    let name = to_thread::Call::new().name("fobiedoo").run_sync(|| std::thread::current().name().map(str::to_owned));
    assert!(name.await.unwrap().starts_with("trio thread "));
}

// Trio's default name is made of the function's and the task's; here it is the thread's number, since a name costs two
// system calls, which nobody should pay unasked.
// trio: _tests/test_threads.py::test_named_thread_os
#[cfg(target_os = "linux")]
#[trio::test]
async fn the_system_shows_the_name_of_the_call_while_it_lasts() {
    for (given, shown) in [
        ("", ""),
        ("fobiedoo", "fobiedoo"),
        ("name_longer_than_15_bytes", "name_longer_tha"),
        ("non-ascii: é", "non-ascii: ?"),
        ("zero: \0", "zero: ?"),
    ] {
        let (name, thread) =
            to_thread::Call::new().name(given).run_sync(|| (system_name(), std::thread::current().id())).await;
        assert_eq!(name, shown);
        let mut tries = 0;
        loop {
            let (name, other) = to_thread::run_sync(|| (system_name(), std::thread::current().id())).await;
            assert!(name.starts_with("trio thread"), "{name}");
            tries += 1;
            // Other tests may have taken it meanwhile.
            if other == thread || tries == 100 {
                break;
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[trio::test]
async fn the_name_goes_when_the_function_panics() {
    let call = to_thread::Call::new().name("fobiedoo");
    let result = call.run_sync(|| std::panic::catch_unwind(|| panic!("{}", system_name()))).await;
    assert_eq!(result.unwrap_err().downcast_ref::<String>().unwrap(), "fobiedoo");
    for _ in 0..10 {
        assert!(to_thread::run_sync(system_name).await.starts_with("trio thread"));
    }
}
