//! The block macros: `macro_rules!` fronts of the procedural macros that do the work.
//!
//! A procedural macro can't know the name under which this crate is a dependency, but a
//! `macro_rules!` can: it passes its `$crate` along. The arm `@lowered` is for a block macro in the
//! body of another one; the outer one has done the inner one's work already.
#![forbid(unsafe_code)]

/// Opens a nursery, runs a block in it, and waits until every task started in it has ended.
///
/// `|n|` names the nursery; what follows is a block like any other. Its value is the value of
/// the macro. Tasks started with [`n.start_soon(…)`](crate::Nursery::start_soon) run while the
/// block goes on and after it has ended; they may borrow everything declared before the nursery,
/// because none of them outlives the macro's own `.await`.
///
/// The children are infallible: their output is `()`. To start tasks that can fail, use
/// [`try_nursery!`](crate::try_nursery).
///
/// # A block, not a closure
///
/// `?`, `return`, `break` and `continue`, with labels or without, mean what they mean in a plain
/// block: they leave it for the enclosing function, closure, `async` block or loop. They take
/// effect once the children have ended. `return`, `break` and `continue` wait for the children;
/// a `?` that fails cancels them first. Block macros can be nested in each other in any order.
///
/// Only what can be seen in the body counts: an exit hidden in another macro's definition
/// can't be carried out of the block, and does not compile.
///
/// In two things the block is no plain one. A variable declared outside must have its first value before
/// the block. And rustc does not see that a block never ends: where `{ return 5; };` may be the
/// last statement of a function with a value, `nursery! { |n| return 5; }` must stand there without
/// its semicolon, as an expression.
///
/// # Forms
///
/// | form | value |
/// | --- | --- |
/// | `nursery! { \|n\| … }` or `nursery!(\|n\| { … })` | the block's value `T` |
/// | `nursery! { \|n, scope\| … }` | `Option<T>`, with the [`CancelHandle`](crate::CancelHandle) of the nursery's own scope: `None` if the scope was cancelled before the block's end |
/// | `nursery! { move \|n\| … }` | `T`; the block owns the variables it uses |
///
/// # Examples
///
/// Two tasks run at once, and borrow from the function that starts them:
///
/// ```
/// use std::{cell::Cell, time::Duration};
///
/// async fn add_after(pause: Duration, amount: u32, sum: &Cell<u32>) {
///     trio::sleep(pause).await;
///     sum.set(sum.get() + amount);
/// }
///
/// #[trio::main]
/// async fn main() {
///     let sum = Cell::new(0);
///     trio::nursery! { |n|
///         n.start_soon(add_after(Duration::from_millis(2), 40, &sum));
///         n.start_soon(add_after(Duration::from_millis(1), 2, &sum));
///     };
///     assert_eq!(sum.get(), 42);
/// }
/// ```
///
/// `return` leaves the function, after the children have ended:
///
/// ```
/// async fn first_even(numbers: &[u32]) -> Option<u32> {
///     trio::nursery! { |n|
///         n.start_soon(trio::checkpoint());
///         for number in numbers {
///             if number % 2 == 0 {
///                 return Some(*number);
///             }
///         }
///     };
///     None
/// }
///
/// assert_eq!(trio::run(first_even(&[3, 5, 8, 9])), Some(8));
/// ```
///
/// With its second name, the block can cancel the nursery, itself included:
///
/// ```
/// # trio::run(async {
/// let outcome = trio::nursery! { |n, scope|
///     n.start_soon(trio::sleep(std::time::Duration::from_secs(3600)));
///     scope.cancel();
///     trio::checkpoint().await;
///     "the checkpoint is where the block was left"
/// };
/// assert_eq!(outcome, None);
/// # });
/// ```
#[macro_export]
macro_rules! nursery {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__nursery!([$crate] $($input)*) };
}

/// Opens a nursery whose tasks can fail, and waits until every one of them has ended.
///
/// The value is a `Result<T, ErrorGroup<E>>`. The first failure, a child's or the block's own,
/// cancels everything else in the nursery; every error that occurred is in the
/// [`ErrorGroup`](crate::ErrorGroup). `E` is [`BoxError`](crate::BoxError) unless it is written, as
/// in `|n| -> Result<_, MyError>`.
///
/// The block is like a `try` block: a `?` in it that fails ends the block, and its error goes
/// to the group; the value at its end becomes the `Ok`. `return`, `break` and `continue` leave it
/// as they leave any block, once the children have ended, and only if none of them has failed:
/// an error is never lost to a jump.
///
/// # Inline tasks
///
/// An `async` block given to `n.start_soon(…)` and its kin can use `?` without any annotation:
/// its error type is the nursery's. That goes for calls through the nursery's own name.
/// A call of an `async fn` can have any error type that converts to `E`.
///
/// # Forms
///
/// | form | value |
/// | --- | --- |
/// | `try_nursery! { \|n\| … }` | `Result<T, ErrorGroup>` |
/// | `try_nursery! { \|n\| -> Result<_, MyError> … }` | `Result<T, ErrorGroup<MyError>>` |
/// | `try_nursery! { \|n, scope\| … }` | `Result<Option<T>, ErrorGroup>`: `Ok(None)` if the nursery's own scope was cancelled before the block's end |
///
/// Braces or parentheses around it, braces around the body and `move` before the bars are as in
/// [`nursery!`](crate::nursery).
///
/// # Examples
///
/// One failure ends its sibling, and comes out with its name:
///
/// ```
/// use std::time::Duration;
///
/// async fn parse(text: &str) -> Result<(), std::num::ParseIntError> {
///     text.parse::<u32>().map(drop)
/// }
///
/// # trio::run(async {
/// let outcome = trio::try_nursery! { |n|
///     n.named("a number").start_soon(parse("7"));
///     n.named("no number").start_soon(parse("seven"));
///     n.start_soon(async { trio::sleep(Duration::from_secs(3600)).await; Ok(()) });
/// };
/// let group = outcome.unwrap_err();
/// assert_eq!(group.len(), 1);
/// assert_eq!(group.first().to_string(), "invalid digit found in string");
/// # });
/// ```
///
/// A `?` in the block, and one in an inline task:
///
/// ```
/// # trio::run(async {
/// let total = trio::try_nursery! { |n|
///     n.start_soon(async {
///         let answer: u32 = "42".parse()?;
///         assert_eq!(answer, 42);
///         Ok(())
///     });
///     "1".parse::<u32>()? + "2".parse::<u32>()?
/// };
/// assert_eq!(total.unwrap(), 3);
/// # });
/// ```
///
/// With an error type of its own:
///
/// ```
/// #[derive(Debug, PartialEq)]
/// struct TooLarge(u32);
///
/// # trio::run(async {
/// let outcome = trio::try_nursery! { |n| -> Result<_, TooLarge>
///     n.start_soon(async { Err(TooLarge(11)) });
/// };
/// let errors: Vec<_> = outcome.unwrap_err().into_errors().collect();
/// assert_eq!(errors, [TooLarge(11)]);
/// # });
/// ```
#[macro_export]
macro_rules! try_nursery {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__try_nursery!([$crate] $($input)*) };
}

/// Runs a block in a cancel scope of its own: `Some` of its value, or `None` if the scope was cancelled.
///
/// `|scope|` names the scope's [`CancelHandle`](crate::CancelHandle), which can be cloned and given to
/// others. A cancelled block is dropped at its next checkpoint.
///
/// It is a block, not a closure: see [`nursery!`](crate::nursery#a-block-not-a-closure) for what
/// `?`, `return`, `break` and `continue` do. The function form is
/// [`CancelScope::run`](crate::CancelScope::run).
///
/// # Examples
///
/// ```
/// # trio::run(async {
/// let outcome = trio::cancel_scope! { |scope|
///     scope.cancel();
///     trio::checkpoint().await;
///     "not reached"
/// };
/// assert_eq!(outcome, None);
///
/// let outcome = trio::cancel_scope! { |scope|
///     assert!(!scope.is_cancelled());
///     "reached"
/// };
/// assert_eq!(outcome, Some("reached"));
/// # });
/// ```
#[macro_export]
macro_rules! cancel_scope {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__cancel_scope!([$crate] $($input)*) };
}

/// Runs a block for at most some time: `Some` of its value, or `None` if the time was up first.
///
/// It is a block, not a closure: see [`nursery!`](crate::nursery#a-block-not-a-closure) for what
/// `?`, `return`, `break` and `continue` do. For a future there is the function
/// [`move_on_after`](fn@crate::move_on_after).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # trio::run(async {
/// let mut steps = 0;
/// let outcome = trio::move_on_after!(Duration::from_millis(10), {
///     loop {
///         trio::sleep(Duration::from_millis(4)).await;
///         steps += 1;
///     }
/// });
/// assert!(outcome.is_none());
/// assert!(steps <= 3);
/// # });
/// ```
#[macro_export]
macro_rules! move_on_after {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__move_on_after!([$crate] $($input)*) };
}

/// Runs a block until some instant of the run's clock at most: `Some` of its value, or `None` if the
/// instant came first.
///
/// It is a block, not a closure: see [`nursery!`](crate::nursery#a-block-not-a-closure) for what
/// `?`, `return`, `break` and `continue` do. For a future there is the function
/// [`move_on_at`](fn@crate::move_on_at).
///
/// # Examples
///
/// One deadline for two steps:
///
/// ```
/// use std::time::Duration;
///
/// # trio::run(async {
/// let deadline = trio::current_time() + Duration::from_secs(5);
/// let first = trio::move_on_at!(deadline, { trio::checkpoint().await; 1 });
/// let second = trio::move_on_at!(deadline, { trio::checkpoint().await; 2 });
/// assert_eq!((first, second), (Some(1), Some(2)));
/// # });
/// ```
#[macro_export]
macro_rules! move_on_at {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__move_on_at!([$crate] $($input)*) };
}

/// Runs a block for at most some time: `Ok` of its value, or a
/// [`TooSlowError`](crate::TooSlowError) if the time was up first.
///
/// It is a block, not a closure: see [`nursery!`](crate::nursery#a-block-not-a-closure) for what
/// `?`, `return`, `break` and `continue` do. For a future there is the function
/// [`fail_after`](fn@crate::fail_after).
///
/// # Examples
///
/// The `?` inside is the block's own failure, the one behind it the lack of time:
///
/// ```
/// use std::time::Duration;
///
/// async fn answer(text: &str) -> trio::Result<u32> {
///     let number = trio::fail_after!(Duration::from_secs(5), {
///         trio::checkpoint().await;
///         text.parse::<u32>()?
///     })?;
///     Ok(number)
/// }
///
/// # trio::run(async {
/// assert_eq!(answer("42").await.unwrap(), 42);
/// assert!(answer("many").await.is_err());
/// # });
/// ```
#[macro_export]
macro_rules! fail_after {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__fail_after!([$crate] $($input)*) };
}

/// Runs a block until some instant of the run's clock at most: `Ok` of its value, or a
/// [`TooSlowError`](crate::TooSlowError) if the instant came first.
///
/// It is a block, not a closure: see [`nursery!`](crate::nursery#a-block-not-a-closure) for what
/// `?`, `return`, `break` and `continue` do. For a future there is the function
/// [`fail_at`](fn@crate::fail_at).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # trio::run(async {
/// let soon = trio::current_time() + Duration::from_millis(1);
/// let outcome = trio::fail_at!(soon, {
///     trio::sleep(Duration::from_secs(3600)).await;
///     "an hour later"
/// });
/// assert!(outcome.is_err());
/// # });
/// ```
#[macro_export]
macro_rules! fail_at {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__fail_at!([$crate] $($input)*) };
}

/// Runs a block that cancellation from outside does not reach, and gives its value.
///
/// A cancelled task goes on until the block has ended, and is dropped at its next checkpoint
/// behind it. Keep such blocks short, or give them a deadline of their own: nobody can stop them.
///
/// It is a block, not a closure: see [`nursery!`](crate::nursery#a-block-not-a-closure) for what
/// `?`, `return`, `break` and `continue` do. For a future there is the function
/// [`shield`](fn@crate::shield).
///
/// # Examples
///
/// The time is up at once, but the block comes to its end:
///
/// ```
/// use std::time::Duration;
///
/// # trio::run(async {
/// let mut saved = false;
/// let outcome = trio::move_on_after!(Duration::ZERO, {
///     trio::shield!({
///         trio::sleep(Duration::from_millis(1)).await;
///         saved = true;
///     });
///     trio::checkpoint().await;
///     "not reached"
/// });
/// assert!(saved);
/// assert_eq!(outcome, None);
/// # });
/// ```
#[macro_export]
macro_rules! shield {
    (@lowered $($block:tt)*) => { $($block)* };
    ($($input:tt)*) => { $crate::__private::__shield!([$crate] $($input)*) };
}
