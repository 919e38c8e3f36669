//! The macros work in a crate that knows the runtime under another name only, and where there is no prelude.
#![cfg(test)]
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic)]

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

const HOUR: Duration = Duration::new(3600, 0);

#[derive(Debug, PartialEq)]
struct Oops(u32);

impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl std::error::Error for Oops {}

fn check(number: u32) -> Result<u32, Oops> {
    if number == 0 { Ok(0) } else { Err(Oops(number)) }
}

async fn run(number: u32) -> Result<u32, Oops> {
    let sum = renamed::nursery! { |n|
        n.start_soon(renamed::checkpoint());
        let scoped = renamed::cancel_scope! { |_scope| check(number)? };
        let limited = renamed::move_on_after!(HOUR, { renamed::fail_after!(HOUR, { check(number)? }) });
        renamed::shield!({
            if number == 0 {
                return Ok(scoped.unwrap_or(1) + limited.map_or(1, |limited| limited.unwrap_or(1)) + 5);
            }
            check(number)?
        })
    };
    Ok(sum)
}

#[renamed::test(crate = renamed)]
async fn every_block_macro() {
    assert_eq!(run(0).await, Ok(5));
    assert_eq!(run(3).await, Err(Oops(3)));
}

#[renamed::test(crate = ::renamed, seed = 1, schedules = 2, autojump)]
async fn inline_tasks_and_a_group() {
    let outcome = renamed::try_nursery! { |n| -> Result<_, Oops>
        n.start_soon(async { check(0)?; Ok(()) });
        check(4)?;
    };
    assert_eq!(outcome.unwrap_err().first().to_string(), "oops 4");
}

#[renamed::main(crate = renamed, seed = 7, ctrl_c = "ignore")]
async fn program() -> renamed::Result {
    renamed::checkpoint().await;
    Ok(())
}

#[test]
fn a_main_function_that_is_called() {
    assert_eq!(program(), ExitCode::SUCCESS);
}

/// As a crate of one's own might re-export them.
mod facade {
    pub(super) use renamed::{self as structured, nursery, shield};
}

#[renamed::test(crate = facade::structured)]
async fn a_re_export() {
    let seven = facade::nursery! { |_n| facade::shield!({ facade::structured::move_on_after!(HOUR, { 7 }) }) };
    assert_eq!(seven, Some(7));
}

#[test]
fn macros_imported_by_name_and_used_only_in_a_nest() {
    use renamed::{move_on_after, nursery, shield};

    async fn run() -> Option<u32> {
        nursery! { |_n|
            let inner = move_on_after!(HOUR, { shield!({ return Some(1) }) });
            inner.unwrap_or(2);
        };
        None
    }
    assert_eq!(renamed::run(run()), Some(1));
}

/// Where no name is there by itself, not even `Some`, `Ok` or the crates.
mod no_prelude {
    #![no_implicit_prelude]

    use super::{HOUR, Oops, check};

    async fn run(number: u32) -> ::std::result::Result<u32, Oops> {
        ::renamed::nursery! { |n, scope|
            n.start_soon(::renamed::checkpoint());
            let _ = ::renamed::try_nursery! { |n| n.start_soon(async { check(0)?; ::std::result::Result::Ok(()) }); };
            if number == 5 {
                scope.cancel();
                ::renamed::checkpoint().await;
            }
            let _ = ::renamed::cancel_scope! { |_scope| ::renamed::shield!({ check(number)? }) };
            let _ = ::renamed::move_on_at!(::renamed::current_time() + HOUR, { check(number)? });
            let _ = ::renamed::fail_at!(::renamed::current_time() + HOUR, { check(number)? });
            return ::std::result::Result::Ok(7);
        };
        ::std::result::Result::Ok(8)
    }

    #[::renamed::test(crate = ::renamed)]
    async fn every_shape() {
        ::std::assert_eq!(run(0).await, ::std::result::Result::Ok(7));
        ::std::assert_eq!(run(1).await, ::std::result::Result::Err(Oops(1)));
        ::std::assert_eq!(run(5).await, ::std::result::Result::Ok(8));
    }
}
