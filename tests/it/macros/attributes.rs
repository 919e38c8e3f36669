//! `#[trio::test]` with everything that can stand beside it; `#[trio::main]` on a function that is called.

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use trio::testing::MockClock;

use super::{HOUR, Oops, check};

#[trio::test]
async fn a_plain_test() {
    trio::checkpoint().await;
}

/// With documentation,
#[trio::test]
/// above and below the attribute.
async fn a_documented_test() -> Result<(), Oops> {
    assert_eq!(trio::shield!({ check(0)? }), 0);
    Ok(())
}

#[trio::test]
#[ignore = "it fails"]
async fn an_ignored_test() {
    panic!("not to be run");
}

#[trio::test]
#[should_panic(expected = "as it should")]
async fn a_test_that_panics() {
    trio::checkpoint().await;
    panic!("as it should");
}

#[should_panic(expected = "as it should")]
#[trio::test(seed = 3)]
async fn an_attribute_above_is_kept() {
    panic!("as it should");
}

#[trio::test]
async fn a_test_with_an_exit_code() -> ExitCode {
    ExitCode::SUCCESS
}

#[trio::test]
async fn a_clock_that_stands_still(clock: MockClock) {
    let before = trio::current_time();
    clock.jump(HOUR);
    assert_eq!(trio::current_time() - before, HOUR);
}

#[trio::test(autojump)]
async fn a_clock_that_jumps(_: MockClock) {
    trio::sleep(HOUR).await;
}

#[trio::test(autojump = true, crate = trio)]
async fn a_clock_that_jumps_needs_no_parameter() {
    let before = trio::current_time();
    trio::sleep(HOUR).await;
    assert_eq!(trio::current_time() - before, HOUR);
}

thread_local! {
    static SCHEDULES: Cell<u32> = const { Cell::new(0) };
}

#[trio::test(schedules = 3)]
async fn every_schedule_runs() -> Result<(), Oops> {
    SCHEDULES.set(SCHEDULES.get() + 1);
    trio::checkpoint().await;
    check(0).map(drop)
}

// Tests run on threads of their own, so what the one above counted is only seen through a call.
#[test]
fn a_test_can_be_called() {
    assert_eq!(every_schedule_runs(), Ok(()));
    let expected = if std::env::var_os("TRIO_SEED").is_some() { 1 } else { 3 };
    assert_eq!(SCHEDULES.get(), expected);
}

#[trio::main(seed = 1, clock = MockClock::new().autojump())]
async fn succeeds() -> trio::Result {
    trio::sleep(Duration::from_secs(5)).await;
    trio::fail_after!(HOUR, { check(0)? })?;
    Ok(())
}

#[trio::main(ctrl_c = "ignore")]
async fn fails() -> trio::Result {
    check(4)?;
    Ok(())
}

#[test]
fn a_main_function_gives_an_exit_code() {
    assert_eq!(succeeds(), ExitCode::SUCCESS);
    assert_eq!(fails(), ExitCode::FAILURE);
}
