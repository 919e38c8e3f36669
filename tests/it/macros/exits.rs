//! Every way out of every block macro, one level deep.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};

use super::{HOUR, Oops, check, drive, non_zero};

/// Uses a value, whatever it is.
fn any<T>(_: T) {}

/// Whether a future is pending after a while. It is dropped then, which no shield prevents.
fn stuck<T>(future: impl Future<Output = T>) -> bool {
    drive(async {
        let patience = pin!(trio::sleep(Duration::from_millis(1)));
        matches!(select(pin!(future), patience).await, Either::Right(_))
    })
}

/// The tests of one block macro: `$open` is what stands before the body, `$value` what makes the
/// block's value of the macro's.
macro_rules! exits_of {
    ($($name:ident: $mac:ident[$($open:tt)*], $value:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn the_end_of_the_body_is_its_value() {
                async fn run() -> u32 {
                    let value = trio::$mac!($($open)* { trio::checkpoint().await; 7 });
                    $value(value) + 1
                }
                assert_eq!(drive(run()), 8);
            }

            #[test]
            fn return_leaves_the_function() {
                async fn run(early: bool) -> &'static str {
                    let value = trio::$mac!($($open)* {
                        if early {
                            return "early";
                        }
                        trio::checkpoint().await;
                        "value"
                    });
                    let value: &str = $value(value);
                    assert_eq!(value, "value");
                    "late"
                }
                assert_eq!(drive(run(true)), "early");
                assert_eq!(drive(run(false)), "late");
            }

            #[test]
            fn return_without_a_value_leaves_the_function() {
                async fn run(early: bool, after: &mut bool) {
                    any(trio::$mac!($($open)* {
                        if early {
                            return;
                        }
                    }));
                    *after = true;
                }
                for early in [true, false] {
                    let mut after = false;
                    drive(run(early, &mut after));
                    assert_eq!(after, !early);
                }
            }

            #[test]
            fn break_and_continue_go_to_the_loop_around() {
                async fn run() -> Vec<u32> {
                    let mut seen = Vec::new();
                    for turn in 0.. {
                        any(trio::$mac!($($open)* {
                            if turn == 1 {
                                continue;
                            }
                            if turn == 4 {
                                break;
                            }
                            trio::checkpoint().await;
                        }));
                        seen.push(turn);
                    }
                    seen
                }
                assert_eq!(drive(run()), [0, 2, 3]);
            }

            #[test]
            fn break_carries_the_value_of_the_loop() {
                async fn run() -> &'static str {
                    loop {
                        any(trio::$mac!($($open)* {
                            trio::checkpoint().await;
                            break "broken";
                        }));
                    }
                }
                assert_eq!(drive(run()), "broken");
            }

            #[test]
            fn labels_reach_outer_loops_and_blocks() {
                async fn run() -> (Vec<(u32, u32)>, &'static str) {
                    let mut seen = Vec::new();
                    'outer: for a in 0..4 {
                        for b in 0..4 {
                            any(trio::$mac!($($open)* {
                                if b > a {
                                    continue 'outer;
                                }
                                if a == 2 {
                                    break 'outer;
                                }
                            }));
                            seen.push((a, b));
                        }
                    }
                    let text = 'block: {
                        any(trio::$mac!($($open)* {
                            if seen.len() == 3 {
                                break 'block "three";
                            }
                        }));
                        "not three"
                    };
                    (seen, text)
                }
                assert_eq!(drive(run()), (vec![(0, 0), (1, 0), (1, 1)], "three"));
            }

            #[test]
            fn loops_inside_the_body_keep_their_own_exits() {
                async fn run() -> u32 {
                    let mut rounds = 0;
                    loop {
                        rounds += 1;
                        any(trio::$mac!($($open)* {
                            loop {
                                trio::checkpoint().await;
                                break;
                            }
                            'inner: for a in 0.. {
                                while a < 3 {
                                    continue 'inner;
                                }
                                break 'inner;
                            }
                            let five = 'five: {
                                if rounds > 0 {
                                    break 'five 5;
                                }
                                6
                            };
                            assert_eq!(five, 5);
                        }));
                        if rounds == 3 {
                            break rounds;
                        }
                    }
                }
                assert_eq!(drive(run()), 3);
            }

            #[test]
            fn closures_and_async_blocks_inside_keep_their_own_exits() {
                async fn run() -> u32 {
                    let value = trio::$mac!($($open)* {
                        let double = |number: u32| -> Option<u32> {
                            let number = non_zero(number)?;
                            return Some(number * 2);
                        };
                        let add = async |number: u32| {
                            check(number)?;
                            Ok::<u32, Oops>(number + 1)
                        };
                        let block = async {
                            if non_zero(1).is_some() {
                                return 30;
                            }
                            31
                        };
                        let added = add(0).await.unwrap_or_default();
                        double(4).unwrap_or_default() + double(0).unwrap_or(200) + added + block.await
                    });
                    $value(value)
                }
                assert_eq!(drive(run()), 8 + 200 + 1 + 30);
            }

            #[test]
            fn a_body_can_end_in_a_statement_that_is_never_passed() {
                async fn unused() {
                    any(trio::$mac!($($open)* { trio::checkpoint().await; trio::sleep_forever().await; }));
                }
                async fn inferred() {
                    let value = trio::$mac!($($open)* { let _never = trio::sleep_forever().await; });
                    any(value);
                }
                async fn of_any_type() -> u32 {
                    $value(trio::$mac!($($open)* { trio::checkpoint().await; trio::sleep_forever().await; }))
                }
                async fn never() -> ! {
                    $value(trio::$mac!($($open)* { trio::sleep_forever().await; }))
                }
                async fn in_branches(number: u32) -> ! {
                    $value(trio::$mac!($($open)* {
                        match number {
                            0 => {
                                trio::checkpoint().await;
                                trio::sleep_forever().await;
                            }
                            1 => trio::sleep_forever().await,
                            _ => {
                                if number == 2 {
                                    trio::sleep_forever().await;
                                } else {
                                    panic!("not called with {number}");
                                }
                            }
                        }
                    }))
                }
                async fn nested() {
                    any(trio::$mac!($($open)* {
                        any(trio::$mac!($($open)* { trio::sleep_forever().await; }));
                        trio::shield!({ trio::sleep_forever().await; });
                    }));
                }
                async fn leaves() -> u32 {
                    any(trio::$mac!($($open)* {
                        trio::checkpoint().await;
                        return 5;
                    }));
                    6
                }
                assert_eq!(drive(leaves()), 5);
                assert!(stuck(unused()) && stuck(inferred()) && stuck(of_any_type()));
                assert!(stuck(never()) && stuck(nested()));
                assert!((0..3).all(|number| stuck(in_branches(number))));
            }

            #[test]
            fn a_body_that_never_ends_is_of_any_type() {
                async fn run() -> u32 {
                    let _: String = $value(trio::$mac!($($open)* {
                        loop {
                            trio::checkpoint().await;
                            if HOUR.as_secs() == 3600 {
                                return 9;
                            }
                        }
                    }));
                    10
                }
                assert_eq!(drive(run()), 9);
            }
        }
    )*};
}

exits_of! {
    nursery: nursery[|_n|], |value| value;
    scoped_nursery: nursery[|_n, _scope|], Option::unwrap;
    try_nursery: try_nursery[|_n|], Result::unwrap;
    scoped_try_nursery: try_nursery[|_n, _scope|], |value: Result<Option<_>, _>| value.unwrap().unwrap();
    cancel_scope: cancel_scope[|_scope|], Option::unwrap;
    move_on_after: move_on_after[HOUR,], Option::unwrap;
    move_on_at: move_on_at[trio::current_time() + HOUR,], Option::unwrap;
    fail_after: fail_after[HOUR,], Result::unwrap;
    fail_at: fail_at[trio::current_time() + HOUR,], Result::unwrap;
    shield: shield[], |value| value;
}

/// The `?` of every block macro but `try_nursery!`, whose `?` goes to its group.
macro_rules! questions_of {
    ($($name:ident: $mac:ident[$($open:tt)*];)*) => {$(
        mod $name {
            use super::super::*;

            #[test]
            fn a_failed_result_leaves_the_function() {
                async fn run(number: u32) -> Result<&'static str, Oops> {
                    any(trio::$mac!($($open)* {
                        trio::checkpoint().await;
                        let zero = check(number)?;
                        assert_eq!(zero, 0);
                    }));
                    Ok("end")
                }
                assert_eq!(drive(run(0)), Ok("end"));
                assert_eq!(drive(run(3)), Err(Oops(3)));
            }

            #[test]
            fn the_error_is_converted_as_it_is_outside() {
                async fn run(text: &str, number: u32) -> trio::Result<u32> {
                    any(trio::$mac!($($open)* {
                        check(number)?;
                        trio::checkpoint().await;
                        let parsed: u32 = text.parse()?;
                        assert_eq!(parsed, 12);
                    }));
                    Ok(5)
                }
                assert_eq!(drive(run("12", 0)).unwrap(), 5);
                assert!(drive(run("12", 4)).unwrap_err().is::<Oops>());
                assert!(drive(run("twelve", 0)).unwrap_err().is::<std::num::ParseIntError>());
            }

            #[test]
            fn none_leaves_the_function() {
                async fn run(number: u32) -> Option<&'static str> {
                    any(trio::$mac!($($open)* {
                        trio::checkpoint().await;
                        assert_eq!(non_zero(number)?, 2);
                    }));
                    Some("end")
                }
                assert_eq!(drive(run(2)), Some("end"));
                assert_eq!(drive(run(0)), None);
            }

            #[test]
            fn a_question_mark_in_an_argument_leaves_the_function() {
                async fn run(number: u32) -> Option<String> {
                    let mut text = None;
                    any(trio::$mac!($($open)* {
                        let numbers = vec![non_zero(number)?, 1];
                        let filled = vec![non_zero(number)?; 2];
                        assert!(non_zero(number)? > 0, "{}", non_zero(number)?);
                        text = Some(format!("{numbers:?} {filled:?} {}", non_zero(number)?));
                    }));
                    text
                }
                assert_eq!(drive(run(3)).unwrap(), "[3, 1] [3, 3] 3");
                assert_eq!(drive(run(0)), None);
            }

            #[test]
            fn it_leaves_the_closure_or_async_block_around() {
                async fn run(number: u32) -> (Option<u32>, Result<u32, Oops>) {
                    let closure = async || {
                        any(trio::$mac!($($open)* { non_zero(number)?; }));
                        Some(1)
                    };
                    let block = async {
                        any(trio::$mac!($($open)* { check(number)?; }));
                        Ok(2)
                    };
                    (closure().await, block.await)
                }
                assert_eq!(drive(run(0)), (None, Ok(2)));
                assert_eq!(drive(run(9)), (Some(1), Err(Oops(9))));
            }
        }
    )*};
}

mod question_mark {
    questions_of! {
        nursery: nursery[|_n|];
        scoped_nursery: nursery[|_n, _scope|];
        cancel_scope: cancel_scope[|_scope|];
        move_on_after: move_on_after[HOUR,];
        move_on_at: move_on_at[trio::current_time() + HOUR,];
        fail_after: fail_after[HOUR,];
        fail_at: fail_at[trio::current_time() + HOUR,];
        shield: shield[];
    }
}

#[test]
fn the_limit_is_evaluated_outside_the_block() {
    async fn run(seconds: Option<u64>) -> Option<u32> {
        trio::move_on_after!(Duration::from_secs(seconds?), { 5 })
    }
    assert_eq!(drive(run(Some(1))), Some(5));
    assert_eq!(drive(run(None)), None);
}

#[test]
fn exits_that_are_compiled_out_leave_nothing_behind() {
    async fn run(number: u32) -> Result<u32, Oops> {
        let value = trio::shield!({
            #[cfg(any())]
            check(number)?;
            #[cfg(any())]
            return Err("of another type");
            #[cfg(all())]
            check(number)?;
            match number {
                #[cfg(any())]
                0 => non_zero(number)?,
                #[cfg(all())]
                0 => 17,
                _ => 18,
            }
        });
        Ok(value)
    }
    assert_eq!(drive(run(0)), Ok(17));
    assert_eq!(drive(run(1)), Err(Oops(1)));
}
