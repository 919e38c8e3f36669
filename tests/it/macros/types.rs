//! Types reach into a body and out of it as they do in a plain block.

use std::convert::Infallible;
use std::fmt::Debug;

use super::{HOUR, Oops, check, drive, non_zero};

#[test]
fn the_expected_type_reaches_the_value() {
    async fn run() -> Option<Box<dyn Debug>> {
        trio::nursery! { |_n| Some(Box::new(5)) }
    }
    assert_eq!(format!("{:?}", drive(run())), "Some(5)");
}

#[test]
fn the_expected_type_reaches_return_and_break() {
    async fn run(how: u32) -> Result<Option<Box<dyn Debug>>, Box<dyn Debug>> {
        let broken: Option<Box<dyn Debug>> = loop {
            trio::move_on_after!(HOUR, {
                trio::shield!({
                    if how == 0 {
                        return Err(Box::new("returned"));
                    }
                    if how == 1 {
                        return Ok(Some(Box::new(Oops(1))));
                    }
                    if how == 2 {
                        break Some(Box::new("broken"));
                    }
                    break Some(Box::new(3.5));
                });
            });
        };
        Ok(broken)
    }
    let texts: Vec<String> = (0..4).map(|how| format!("{:?}", drive(run(how)))).collect();
    assert_eq!(texts, [r#"Err("returned")"#, "Ok(Some(Oops(1)))", r#"Ok(Some("broken"))"#, "Ok(Some(3.5))"]);
}

#[test]
fn inference_goes_through_the_block() {
    async fn run(text: &str) -> Result<u8, std::num::ParseIntError> {
        let list: Vec<_> = trio::shield!({ (0..3).map(|number| number * 2).collect() });
        let parsed = trio::cancel_scope! { |_scope| text.parse()? };
        Ok(parsed.unwrap_or(list[2]))
    }
    assert_eq!(drive(run("3")), Ok(3));
}

#[test]
fn every_question_mark_has_its_own_type() {
    async fn run(numbers: (u32, u32)) -> Result<u32, trio::BoxError> {
        let value = trio::nursery! { |_n|
            let first = check(numbers.0)?;
            let second: u32 = "5".parse()?;
            let third = non_zero(numbers.1).ok_or("zero")?;
            first + second + third
        };
        Ok(value)
    }
    assert_eq!(drive(run((0, 2))).unwrap(), 7);
    assert!(drive(run((1, 2))).unwrap_err().is::<Oops>());
    assert_eq!(drive(run((0, 0))).unwrap_err().to_string(), "zero");
}

#[test]
fn a_function_that_never_returns_can_end_in_a_block() {
    async fn forever() -> ! {
        trio::nursery! { |_n|
            loop {
                trio::checkpoint().await;
            }
        }
    }
    async fn forever_shielded() -> ! {
        trio::shield!({ forever().await })
    }
    let outcome = drive(trio::move_on_after(std::time::Duration::from_millis(5), forever()));
    assert!(outcome.is_none());
    drop(forever_shielded());
}

#[test]
fn a_block_that_always_leaves_is_a_tail() {
    async fn leaves(number: u32) -> Result<u32, Oops> {
        trio::nursery! { |_n|
            check(number)?;
            return Ok(number);
        }
    }
    assert_eq!(drive(leaves(0)), Ok(0));
    assert_eq!(drive(leaves(2)), Err(Oops(2)));
}

#[test]
fn generic_functions_have_blocks_too() {
    async fn pick<T: Clone, E>(values: &[Result<T, E>]) -> Option<T>
    where
        E: Clone,
    {
        trio::nursery! { |_n|
            for value in values {
                trio::shield!({
                    if let Ok(value) = value {
                        return Some(value.clone());
                    }
                });
            }
        };
        None
    }
    assert_eq!(drive(pick::<_, Oops2>(&[Err(Oops2), Ok("two")])), Some("two"));
}

#[derive(Clone)]
struct Oops2;

#[test]
fn a_written_error_type_is_the_groups() {
    async fn run(number: u32) -> Result<u32, Vec<Oops>> {
        let outcome = trio::try_nursery! { |n| -> Result<_, Oops>
            n.start_soon(async { Ok(()) });
            n.start_soon(async { Err(Oops(number)) });
            if number == 0 {
                return Ok(1);
            }
            2
        };
        outcome.map_err(|group| group.into_errors().collect())
    }
    assert_eq!(drive(run(5)), Err(vec![Oops(5)]));
}

#[test]
fn any_alias_of_result_names_the_error_type() {
    type Outcome<T> = Result<T, Oops>;
    async fn run(number: u32) -> Option<u8> {
        let value = trio::try_nursery! { |_n| -> Outcome<u8>
            check(number)?;
            7
        };
        value.ok()
    }
    assert_eq!(drive(run(0)), Some(7));
    assert_eq!(drive(run(1)), None);
}

#[test]
fn the_value_is_dropped_where_it_would_be_in_a_block() {
    struct Loud<'a>(&'a std::cell::RefCell<Vec<u32>>, u32);
    impl Drop for Loud<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let log = std::cell::RefCell::new(Vec::new());
    drive(async {
        let kept = trio::nursery! { |_n|
            let _first = Loud(&log, 1);
            let kept = Loud(&log, 9);
            let _second = Loud(&log, 2);
            kept
        };
        log.borrow_mut().push(3);
        drop(kept);
    });
    assert_eq!(*log.borrow(), [2, 1, 3, 9]);
}

#[test]
fn uninhabited_values_are_allowed() {
    async fn run(number: u32) -> Result<Infallible, Oops> {
        trio::nursery! { |_n|
            trio::checkpoint().await;
            Err(Oops(number))
        }
    }
    assert_eq!(drive(run(6)), Err(Oops(6)));
}
