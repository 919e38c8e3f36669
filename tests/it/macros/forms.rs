//! The ways to write a block macro, and the places to write it in.

use super::{HOUR, Oops, check, drive};

#[test]
fn braces_parentheses_and_brackets() {
    drive(async {
        let text = String::from("x");
        let lengths = [
            trio::nursery! { |_n| text.len() },
            trio::nursery!(|_n| { text.len() }),
            trio::nursery!(|_n| text.len()),
            trio::nursery! { |_n| { text.len() } },
            trio::nursery!(|_n| { text.len() },),
            trio::nursery![|_n| text.len()],
            trio::nursery! { |_| text.len() },
            trio::nursery! { |_n, _scope| text.len() }.unwrap(),
            trio::cancel_scope!(|_scope| { text.len() }).unwrap(),
            trio::move_on_after!(HOUR, { text.len() }).unwrap(),
            trio::move_on_after! { HOUR, { text.len() } }.unwrap(),
            trio::move_on_after!(HOUR, { text.len() },).unwrap(),
            trio::shield!({ text.len() }),
            trio::shield! { { text.len() } },
            trio::shield! {
                trio::checkpoint().await;
                text.len()
            },
        ];
        assert_eq!(lengths, [1; 15]);
        trio::shield! { trio::checkpoint().await }
    });
}

#[test]
#[allow(clippy::many_single_char_names)]
fn move_goes_before_the_bars_or_the_braces() {
    drive(async {
        let text = || String::from("x");
        let (a, b, c, d, e) = (text(), text(), text(), text(), text());
        assert_eq!(trio::nursery! { move |_n| a.len() }, 1);
        assert_eq!(trio::nursery!(move |_n| { b.len() }), 1);
        assert_eq!(trio::cancel_scope! { move |_scope| c.len() }, Some(1));
        assert_eq!(trio::move_on_after!(HOUR, move { d.len() }), Some(1));
        assert_eq!(trio::shield!(move { e.len() }), 1);
    });
}

#[test]
fn an_empty_body_is_a_block_too() {
    drive(async {
        trio::nursery! { |_n| }
        trio::nursery!(|_n| {});
        trio::shield!({});
        let () = trio::nursery! { |_n| };
        let empty: trio::Result<(), trio::ErrorGroup> = trio::try_nursery! { |_n| };
        assert!(empty.is_ok());
    });
}

#[test]
fn names_and_types_of_the_parameters_are_free() {
    async fn run() -> u32 {
        trio::nursery! { |any_name: &trio::Nursery<'_, '_>|
            any_name.start_soon(trio::checkpoint());
        };
        let outcome = trio::nursery! { |mutable, mut handle|
            mutable.start_soon(trio::checkpoint());
            handle = handle.clone();
            assert!(!handle.is_cancelled());
            5
        };
        outcome.unwrap()
    }
    assert_eq!(drive(run()), 5);
}

#[test]
fn statement_and_expression_position() {
    async fn tail(number: u32) -> u32 {
        trio::nursery! { |_n| number }
    }
    async fn run() -> Result<u32, Oops> {
        trio::nursery! { |n| n.start_soon(trio::checkpoint()); }
        trio::nursery! { |n| n.start_soon(trio::checkpoint()); };
        let sum = tail(1).await + trio::nursery! { |_n| check(0)? } + trio::shield!({ 2 });
        if trio::shield!({ check(0)? == 0 }) && !trio::nursery! { |_n| check(0)? > 0 } {
            let texts = [trio::shield!({ "a" }), trio::shield!({ "b" })];
            assert_eq!(trio::shield!({ texts.concat() }), "ab");
        }
        match trio::move_on_after!(HOUR, { 5 }) {
            Some(5) => Ok(sum),
            _ => Err(Oops(1)),
        }
    }
    assert_eq!(drive(run()), Ok(3));
}

#[test]
fn a_question_mark_follows_the_macro() {
    async fn run(number: u32) -> trio::Result<u32> {
        trio::try_nursery! { |_n| check(number)?; }?;
        let value = trio::fail_after!(HOUR, { check(number)? })?;
        Ok(value + 1)
    }
    assert_eq!(drive(run(0)).unwrap(), 1);
    assert!(drive(run(9)).unwrap_err().is::<trio::ErrorGroup>());
}

#[test]
#[allow(clippy::many_single_char_names)]
fn exits_in_every_kind_of_expression() {
    struct Point {
        x: u32,
        y: u32,
    }
    async fn run(fail_at: u32) -> Result<u32, Oops> {
        let at = |place| check(if place == fail_at { place } else { 0 });
        let sum = trio::shield!({
            let Point { x, y } = Point { x: at(1)?, y: at(2)? };
            let (a, [b, c]) = (at(3)?, [at(4)?, at(5)?]);
            let Some(d) = Some(at(6)?) else { return Ok(1000) };
            let 0 = at(25)? else { return Ok(1001) };
            assert_eq!({ at(26)? + at(27)? }, 0);
            assert_eq!({ list(at(28)?)?[0] + at(29)? }, 0);
            let e = if at(7)? == 0 { at(8)? } else { 1 };
            let f = match at(9)? {
                number if at(10)? == 1 => number,
                _ => at(11)?,
            };
            let mut g = 10 - at(12)?;
            g += at(13)?;
            while at(14)? != 0 {}
            for _ in 0..at(15)? {}
            at(16)?.checked_add(at(17)?).unwrap();
            at(18)? as usize;
            borrow(&[at(19)?]);
            let h = { at(20)? };
            let i = -i64::from(at(21)?) + async { 1 }.await;
            let j = (|| Some(at(0).ok()? + 1))().unwrap_or(1);
            let k = [0; 3][at(22)? as usize];
            (at(23)?..=at(24)?).count();
            x + y + a + b + c + d + e + f + g + h + k + j + u32::try_from(i).unwrap_or(0)
        });
        Ok(sum)
    }
    fn borrow(_: &[u32]) {}
    fn list(number: u32) -> Result<[u32; 1], Oops> {
        check(number).map(|_| [0])
    }
    assert_eq!(drive(run(0)), Ok(12));
    for place in 1..=29 {
        assert_eq!(drive(run(place)), Err(Oops(place)), "place {place}");
    }
}

#[test]
fn a_macro_of_ones_own_around_them() {
    macro_rules! patiently {
        ($limit:expr, $body:block) => {
            trio::shield!({ trio::fail_after!($limit, $body) })
        };
        (|$name:ident| $($body:tt)*) => { trio::nursery! { |$name| $($body)* } };
    }
    async fn run(number: u32) -> trio::Result<u32> {
        let value = patiently!(HOUR, { check(number)? + 1 })?;
        let sum = patiently! { |n|
            n.start_soon(trio::checkpoint());
            trio::shield!({
                if number == 0 {
                    return Ok(value + 5);
                }
            });
            7
        };
        Ok(sum)
    }
    assert_eq!(drive(run(0)).unwrap(), 6);
    assert!(drive(run(1)).unwrap_err().is::<Oops>());
}

#[test]
fn names_of_the_expansion_do_not_meet_the_users() {
    #[derive(Debug, PartialEq)]
    enum Exit {
        Value(u32),
    }
    #[derive(Debug, PartialEq)]
    struct None;
    #[allow(dead_code)]
    struct Some;
    #[allow(dead_code)]
    struct Option;
    #[allow(dead_code)]
    mod core {}
    async fn run() -> (u32, Exit, None) {
        let (none, value, exit, witness0, probe, scope, handle) = (1, 2, 3, 4, 5, 6, 7);
        let sum = trio::nursery! { |_n|
            trio::cancel_scope! { |_scope|
                if none == 0 {
                    return (value, Exit::Value(exit), None);
                }
                none + value + exit + witness0 + probe + scope + handle
            }
            .unwrap_or(0)
        };
        (sum, Exit::Value(value), None)
    }
    assert_eq!(drive(run()), (28, Exit::Value(2), None));
}
