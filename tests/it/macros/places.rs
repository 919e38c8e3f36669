//! Every place in a body where a `?` or another exit can stand, and every place a block macro can stand in.

use std::ops::ControlFlow;
use std::task::Poll;

use super::{HOUR, Oops, check, drive, non_zero};

struct Fields {
    first: u32,
    second: Option<u32>,
}

async fn later<T>(value: T) -> Option<T> {
    trio::checkpoint().await;
    Some(value)
}

#[test]
fn a_question_mark_in_every_kind_of_expression() {
    async fn run() -> Option<u32> {
        let add_one = |number: u32| number + 1;
        let mut fields = Fields { first: 1, second: Some(2) };
        trio::nursery! { |_n|
            Some(&mut fields)?.first = 5;
            Some(&mut fields)?.first += Some(2)?;
            *Some(&mut fields.second)? = Some(6);
            assert_eq!(-Some(1)?, -1);
            assert!(!Some(false)?);
            let _ = Some([1, 2])?[Some(1)?];
            let least = later(3).await?.min(later(5).await?);
            let [one, two] = Some([least, 2])?;
            let Fields { first, second: Some(second) } = Some(Fields { first: one, second: Some(two) })? else {
                return None;
            };
            assert_eq!((Some(add_one)?)(first) + Some(add_one)?(second), 4 + 3);
            let base = Fields { first: 3, ..Some(Fields { first: 1, second: None })? };
            let third = if let Fields { first: 3, second } = base { second.or(Some(0))? } else { return None };
            let fourth = loop {
                if later(true).await? {
                    break Some(7)?;
                }
            };
            let fifth = 'here: {
                if fourth == 8 {
                    break 'here Some(1)?;
                }
                2
            };
            assert_eq!(Some(Some(Some(third)?)?)? + fifth, 2);
            assert_eq!(async { Some(2) }.await?, 2);
            assert_eq!((Some(1)?..Some(3)?, [Some(0)?; 2], (Some(1)?,)), (1..3, [0, 0], (1,)));
            assert!(Some(1)? < Some(2)? && Some(true)?);
        };
        Some(fields.first + fields.second?)
    }
    assert_eq!(drive(run()), Some(7 + 6));
}

#[test]
fn a_question_mark_in_an_argument_beside_a_pattern() {
    async fn run(number: u32) -> Option<bool> {
        trio::shield!({
            let found = matches!(Some(Some(non_zero(number)?))?, Some(ref found) if *found == 1);
            Some(found && matches!(non_zero(number)?, 1 | 4))
        })
    }
    assert_eq!(drive(run(1)), Some(true));
    assert_eq!(drive(run(2)), Some(false));
    assert_eq!(drive(run(0)), None);
}

#[test]
fn a_question_mark_on_everything_that_has_one() {
    async fn flow(flow: ControlFlow<&'static str, u32>) -> ControlFlow<&'static str, u32> {
        let number = trio::nursery! { |_n| flow? };
        ControlFlow::Continue(number + 1)
    }
    async fn poll(poll: Poll<Result<u32, Oops>>) -> Result<Option<u32>, Oops> {
        let poll = trio::shield!({ poll? });
        Ok(if let Poll::Ready(number) = poll { Some(number) } else { None })
    }
    async fn next(poll: Poll<Option<Result<u32, Oops>>>) -> Poll<Option<Result<u32, Oops>>> {
        trio::shield!({ poll? }).map(|next| next.map(Ok))
    }
    assert_eq!(drive(flow(ControlFlow::Continue(1))), ControlFlow::Continue(2));
    assert_eq!(drive(flow(ControlFlow::Break("broken"))), ControlFlow::Break("broken"));

    assert_eq!(drive(poll(Poll::Ready(check(0)))), Ok(Some(0)));
    assert_eq!(drive(poll(Poll::Ready(check(1)))), Err(Oops(1)));
    assert_eq!(drive(poll(Poll::Pending)), Ok(None));

    assert_eq!(drive(next(Poll::Ready(Some(check(0))))), Poll::Ready(Some(Ok(0))));
    assert_eq!(drive(next(Poll::Ready(Some(check(1))))), Poll::Ready(Some(Err(Oops(1)))));
    assert_eq!(drive(next(Poll::Ready(None))), Poll::Ready(None));
    assert_eq!(drive(next(Poll::Pending)), Poll::Pending);
}

#[test]
fn in_arms_guards_conditions_and_let_else() {
    async fn run(number: u32) -> Result<u32, Oops> {
        let Some(checked) = trio::move_on_after!(HOUR, { check(number % 2)? }) else { return Err(Oops(100)) };
        let mut rounds = checked;
        while trio::shield!({
            trio::checkpoint().await;
            rounds < number
        }) {
            rounds += 1;
        }
        for more in trio::nursery! { |_n| vec![check(0)?, 1] } {
            rounds += more;
        }
        let kind = match rounds {
            5 if trio::shield!({ check(0)? == 0 }) => trio::shield!({ "five" }),
            7 => trio::nursery! { |_n| return Ok(77) },
            _ => trio::cancel_scope! { |_scope| "another" }.unwrap_or("none"),
        };
        trio::shield!({
            let 1.. = kind.len() else { return Err(Oops(101)) };
            Ok(kind.len().try_into().unwrap_or(0))
        })
    }
    assert_eq!(drive(run(4)), Ok(4));
    assert_eq!(drive(run(6)), Ok(77));
    assert_eq!(drive(run(8)), Ok(7));
    assert_eq!(drive(run(1)), Err(Oops(1)));
}

#[test]
fn statements_in_a_shield_without_braces() {
    async fn run(list: &[u32]) -> Option<u32> {
        let mut sum = 0;
        trio::shield! { for number in list { sum += non_zero(*number)?; trio::checkpoint().await; } }
        trio::shield! { while sum < 10 { sum += 1; trio::checkpoint().await; } }
        let one = trio::shield! { if sum > 5 { trio::checkpoint().await; 1 } else { return None } };
        let two = trio::shield! { match sum { 0 => return None, _ => 2 } };
        let three = trio::shield! { loop { trio::checkpoint().await; if sum > 0 { break 3; } } };
        let four = trio::shield! { 'here: { if three == 3 { break 'here 4; } 5 } };
        Some(sum + one + two + three + four)
    }
    assert_eq!(drive(run(&[1, 2])), Some(20));
    assert_eq!(drive(run(&[0])), None);
}

#[test]
fn attributes_in_a_body_and_on_its_parameters() {
    async fn run(number: u32) -> Option<u32> {
        trio::nursery! { |#[expect(unused_variables)] n, #[cfg(all())] scope|
            scope.cancel();
        };
        let value = trio::shield!({
            #[expect(unused_variables)]
            let unused = non_zero(number)?;
            #[cfg(all())]
            non_zero(number)?;
            #[allow(clippy::blocks_in_conditions)]
            {
                number + 1
            }
        });
        trio::shield!({
            #[allow(clippy::no_effect)]
            (value, value)
        });
        Some(value)
    }
    assert_eq!(drive(run(1)), Some(2));
    assert_eq!(drive(run(0)), None);
}

/// Macros of one's own that take every kind of fragment.
macro_rules! fragments {
    (expr $value:expr) => { trio::shield!({ $value }) };
    (block $body:block) => { trio::move_on_after!(HOUR, $body) };
    (body $body:block) => { trio::nursery!(|_n| $body) };
    (label $label:lifetime $condition:expr) => { trio::shield!({ if $condition { break $label; } }) };
    (ident $name:ident $($body:tt)*) => { trio::nursery!(|$name| { $($body)* }) };
    (statements $($statement:stmt;)*) => { trio::shield!({ $($statement;)* }) };
    (pattern $pattern:pat => $value:expr) => { trio::shield!({ match $value { $pattern => 1, _ => return None } }) };
    (hidden $value:expr) => {{ let number = 10; trio::shield!({ number + $value }) }};
    (loops $condition:expr) => { loop { trio::shield!({ if $condition { break; } }) } };
    (type $type:ty, $value:expr) => { trio::try_nursery! { |_n| -> Result<$type, Oops> let it: $type = $value; it } };
}

#[test]
fn fragments_of_a_macro_of_ones_own() {
    async fn run(number: u32) -> Option<u32> {
        let mut sum = fragments!(expr non_zero(number)? + 1);
        sum += fragments!(block { non_zero(number)? })?;
        sum += fragments!(body { if number == 9 { return Some(99); } 4 });
        'outer: for turn in 0.. {
            loop {
                fragments!(label 'outer turn > 1);
                if turn < 2 {
                    break;
                }
            }
        }
        sum += fragments!(ident n n.start_soon(trio::checkpoint()); non_zero(number)?);
        fragments!(statements let one = 1; let two = non_zero(one)?; trio::checkpoint().await; sum += two;);
        sum += fragments!(pattern Some(1) => non_zero(number));
        sum += fragments!(hidden number);
        fragments!(loops non_zero(sum)? > 1);
        sum += fragments!(type u32, check(number - 1)?).ok()?;
        Some(sum)
    }
    assert_eq!(drive(run(1)), Some(2 + 1 + 4 + 1 + 1 + 1 + 11));
    assert_eq!(drive(run(9)), Some(99));
    assert_eq!(drive(run(2)), None);
    assert_eq!(drive(run(0)), None);
}

trait Service {
    type Answer;

    async fn ask(&mut self, number: u32) -> Result<Self::Answer, Oops>;
}

impl<T: Clone> Service for Vec<T> {
    type Answer = Self;

    async fn ask(&mut self, number: u32) -> Result<Self, Oops> {
        let all = trio::try_nursery! { |n| -> Result<Self, Oops>
            n.start_soon(async { check(number)?; Ok(()) });
            trio::shield!({ self.extend_from_within(..) });
            self.clone()
        };
        all.map_err(|group| group.into_errors().next().unwrap_or(Oops(0)))
    }
}

#[test]
fn in_methods_of_generic_traits_and_where_the_type_has_no_name() {
    async fn adder(number: u32) -> Result<impl Fn(u32) -> u32, Oops> {
        trio::shield!({
            check(number)?;
            Ok(move |other| number + other)
        })
    }
    async fn error_of_the_caller<E: From<Oops>>(number: u32) -> Result<u32, E> {
        Ok(trio::nursery! { |_n| check(number)? })
    }
    async fn part<'a>(text: &'a str, from: &str) -> Option<&'a str> {
        trio::nursery! { |_n|
            if from.is_empty() {
                return Some(text);
            }
            text.get(from.len()..)
        }
    }
    async fn depth(number: u32) -> u32 {
        if number == 0 {
            return 0;
        }
        trio::nursery! { |_n| Box::pin(depth(number - 1)).await + 1 }
    }
    drive(async {
        assert_eq!(vec![1].ask(0).await, Ok(vec![1, 1]));
        assert_eq!(vec![1].ask(2).await, Err(Oops(2)));
        assert_eq!(adder(0).await.map(|add| add(3)), Ok(3));
        assert_eq!(error_of_the_caller::<Oops>(4).await, Err(Oops(4)));
        assert_eq!((part("text", "").await, part("text", "ab").await), (Some("text"), Some("xt")));
        assert_eq!(depth(5).await, 5);
    });
}
