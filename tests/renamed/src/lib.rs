//! The macros work in a crate that knows the runtime under another name only, without a prelude.
#![cfg(test)]
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic)]
#![no_implicit_prelude]

use ::std::prelude::v1::{Err, Ok, Option, Result, Some};
use ::std::time::Duration;
use ::std::{assert_eq, format};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, PartialEq)]
struct Oops(u32);

fn check(number: u32) -> Result<u32, Oops> {
    if number == 0 { Ok(0) } else { Err(Oops(number)) }
}

async fn run(number: u32) -> Result<u32, Oops> {
    let sum = ::renamed::nursery! { |n|
        n.start_soon(::renamed::checkpoint());
        let scoped = ::renamed::cancel_scope! { |_scope| check(number)? };
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
    let group = renamed::try_nursery! { |n| -> Result<_, Oops>
        n.start_soon(async { check(0)?; Ok(()) });
        check(4)?;
    };
    assert_eq!(format!("{}", group.unwrap_err().first()), "oops 4");
}

impl ::std::fmt::Display for Oops {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        ::std::write!(f, "oops {}", self.0)
    }
}

impl ::std::error::Error for Oops {}

mod attributes {
    use ::std::prelude::v1::Ok;

    #[renamed::main(crate = renamed, seed = 7, ctrl_c = "ignore")]
    async fn program() -> renamed::Result {
        renamed::checkpoint().await;
        Ok(())
    }

    #[::std::prelude::v1::test]
    fn a_main_that_is_called() {
        let code = program();
        ::std::assert_eq!(::std::format!("{code:?}"), ::std::format!("{:?}", ::std::process::ExitCode::SUCCESS));
    }
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

#[::std::prelude::v1::test]
fn macros_imported_by_name_and_used_only_in_a_nest() {
    use renamed::{move_on_after, nursery, shield};

    async fn run() -> Option<u32> {
        nursery! { |_n|
            let inner = move_on_after!(HOUR, { shield!({ return Some(1) }) });
            inner.unwrap_or(2);
        };
        ::std::option::Option::None
    }
    assert_eq!(renamed::run(run()), Some(1));
}
