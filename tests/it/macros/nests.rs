//! Block macros in block macros in block macros, in every order.

use super::{HOUR, Oops, check, drive};

/// How the innermost body is left.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leave {
    AtItsEnd,
    Return,
    Break,
    Continue,
    BreakOuter,
    ContinueOuter,
    Question,
}

/// What a function with a nest came to: how often each place was reached.
#[derive(Debug, Default, PartialEq)]
struct Trace {
    behind_nest: u32,
    behind_loop: u32,
    rounds: u32,
}

/// A test for every nest of three. Of the block macros that expand alike, one stands for all.
macro_rules! nests {
    ($([$($outer:tt)*])*) => {$(
        nests!(@outer [$($outer)*]
            [nursery [|_n|]] [try_nursery [|_n| -> Result<_, Oops>]] [move_on_after [HOUR,]] [shield []]
        );
    )*};
    (@outer [$a:ident $open_a:tt] $([$b:ident $open_b:tt])*) => {
        mod $a {
            $(
                mod $b {
                    nests!(@inner [$a $open_a] [$b $open_b] nursery [|_n|]);
                    nests!(@inner [$a $open_a] [$b $open_b] try_nursery [|_n| -> Result<_, Oops>]);
                    nests!(@inner [$a $open_a] [$b $open_b] move_on_after [HOUR,]);
                    nests!(@inner [$a $open_a] [$b $open_b] shield []);
                }
            )*
        }
    };
    (@inner [$a:ident [$($open_a:tt)*]] [$b:ident [$($open_b:tt)*]] $c:ident [$($open_c:tt)*]) => {
        #[test]
        #[allow(unused_must_use, unused_imports)]
        fn $c() {
            use super::super::*;

            async fn run(leave: Leave, trace: &mut Trace) -> Result<&'static str, Oops> {
                'outer: for turn in 0..2 {
                    loop {
                        trace.rounds += 1;
                        if trace.rounds > 10 {
                            return Ok("for ever");
                        }
                        if leave == Leave::Continue && trace.rounds == 3 {
                            break 'outer;
                        }
                        trio::$a!($($open_a)* {
                            trio::$b!($($open_b)* {
                                let value = trio::$c!($($open_c)* {
                                    trio::checkpoint().await;
                                    match leave {
                                        Leave::AtItsEnd => {}
                                        Leave::Return => return Ok("returned"),
                                        Leave::Break => break,
                                        Leave::Continue => continue,
                                        Leave::BreakOuter => break 'outer,
                                        Leave::ContinueOuter => continue 'outer,
                                        Leave::Question => {
                                            check(turn + 1)?;
                                        }
                                    }
                                    "value"
                                });
                                let _used = value;
                            });
                        });
                        trace.behind_nest += 1;
                        break;
                    }
                    trace.behind_loop += 1;
                }
                Ok("end")
            }

            let in_group = [stringify!($a), stringify!($b), stringify!($c)].contains(&"try_nursery");
            let go = |leave| {
                let mut trace = Trace::default();
                let outcome = drive(run(leave, &mut trace));
                (outcome, (trace.rounds, trace.behind_nest, trace.behind_loop))
            };
            assert_eq!(go(Leave::AtItsEnd), (Ok("end"), (2, 2, 2)));
            assert_eq!(go(Leave::Return), (Ok("returned"), (1, 0, 0)));
            assert_eq!(go(Leave::Break), (Ok("end"), (2, 0, 2)));
            assert_eq!(go(Leave::Continue), (Ok("end"), (3, 0, 0)));
            assert_eq!(go(Leave::BreakOuter), (Ok("end"), (1, 0, 0)));
            assert_eq!(go(Leave::ContinueOuter), (Ok("end"), (2, 0, 0)));
            let question = if in_group { (Ok("end"), (2, 2, 2)) } else { (Err(Oops(1)), (1, 0, 0)) };
            assert_eq!(go(Leave::Question), question);
        }
    };
}

nests! {
    [nursery [|_n|]]
    [try_nursery [|_n| -> Result<_, Oops>]]
    [move_on_after [HOUR,]]
    [shield []]
}

#[test]
fn an_inner_loop_catches_what_an_innermost_block_breaks() {
    async fn run() -> Vec<u32> {
        let mut seen = Vec::new();
        trio::nursery! { |_n|
            'here: for a in 0..4 {
                for b in 0..4 {
                    trio::shield!({
                        trio::move_on_after!(HOUR, {
                            if b > a {
                                continue 'here;
                            }
                            if a == 3 {
                                break 'here;
                            }
                            if b == 1 {
                                break;
                            }
                        });
                    });
                    seen.push(a * 10 + b);
                }
            }
            seen.push(99);
        };
        seen
    }
    assert_eq!(drive(run()), [0, 10, 20, 99]);
}

#[test]
fn a_block_in_an_argument_of_a_block() {
    async fn run(number: u32) -> Result<u32, Oops> {
        let value = trio::nursery! { |_n|
            let text = format!("{}", trio::shield!({ check(number)? + 1 }));
            trio::move_on_after!(trio::shield!({ check(number)?; HOUR }), { text.len() })
        };
        Ok(u32::try_from(value.unwrap_or(0)).unwrap_or(0))
    }
    assert_eq!(drive(run(0)), Ok(1));
    assert_eq!(drive(run(2)), Err(Oops(2)));
}

#[test]
fn a_block_in_a_closure_or_task_of_a_block_leaves_only_that() {
    async fn run() -> u32 {
        let counter = std::cell::Cell::new(0);
        trio::nursery! { |n|
            n.start_soon(async {
                trio::shield!({
                    if counter.get() == 0 {
                        counter.set(5);
                        return;
                    }
                });
                counter.set(100);
            });
            let closure = async || -> Result<(), Oops> {
                trio::shield!({ check(3)?; });
                Ok(())
            };
            assert_eq!(closure().await, Err(Oops(3)));
        };
        counter.get()
    }
    assert_eq!(drive(run()), 5);
}
