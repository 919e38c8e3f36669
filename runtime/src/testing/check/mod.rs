//! What every stream must do, checked: Trio's `check_one_way_stream` and its relatives.

mod half_closeable;
mod makers;
mod one_way;
mod shared;
mod two_way;

pub use half_closeable::check_half_closeable_stream;
pub use makers::{CloggedStreamMaker, NeverClogged};
pub use shared::{check_shared_half_closeable_stream, check_shared_one_way_stream};
pub use two_way::check_two_way_stream;

pub use one_way::check_one_way_stream;

use std::fmt;
use std::io;
use std::time::Duration;

use super::checkpoints::watch;
use super::wait_all_tasks_blocked;
use crate::kernel::nursery::open_nursery;
use crate::kernel::reactor::{BusyResourceError, ClosedResourceError};
use crate::kernel::scope::CancelScope;
use crate::stream::{AsyncResource, HalfCloseableStream, ReceiveStream, SendStream, aclose_forcefully};
use crate::sync::BrokenResourceError;

// ---------------------------------------------------------------------- operations that must be checkpoints

/// Awaits an operation. If it succeeds, it must have been a checkpoint; errors may come at once.
async fn checkpointed<T>(what: &str, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let (result, seen) = watch(operation).await;
    if result.is_ok() {
        assert!(seen.whole_checkpoint(), "{what} must be a checkpoint, but it executed {}", seen.describe());
    }
    result
}

async fn send_all(stream: &mut impl SendStream, data: &[u8]) -> io::Result<()> {
    checkpointed("send_all", stream.send_all(data)).await
}

async fn wait_send_all_might_not_block(stream: &mut impl SendStream) -> io::Result<()> {
    checkpointed("wait_send_all_might_not_block", stream.wait_send_all_might_not_block()).await
}

async fn send_eof(stream: &mut impl HalfCloseableStream) {
    works("send_eof", checkpointed("send_eof", stream.send_eof()).await);
}

async fn aclose(resource: &mut impl AsyncResource) {
    works("aclose", checkpointed("aclose", resource.aclose()).await);
}

/// Receives at most `max` bytes.
async fn receive_some(stream: &mut impl ReceiveStream, max: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; max];
    let count = checkpointed("receive_some", stream.receive_some(&mut buffer)).await?;
    assert!(count <= max, "receive_some says that it put {count} bytes where there is room for {max}");
    buffer.truncate(count);
    Ok(buffer)
}

async fn sends(stream: &mut impl SendStream, data: &[u8]) {
    works("send_all", send_all(stream, data).await);
}

/// Receives at most `max` bytes, which must be these.
async fn receives(stream: &mut impl ReceiveStream, max: usize, expected: &[u8]) {
    let got = works("receive_some", receive_some(stream, max).await);
    assert_eq!(got, expected, "receive_some with room for {max} bytes gave the wrong data");
}

/// Sends until the stream is found to be broken.
async fn sends_until_broken(stream: &mut impl SendStream) {
    let data = [b'x'; 100];
    loop {
        if let Err(error) = send_all(stream, &data).await {
            return is_broken("send_all after the receiver was closed", Err::<(), _>(error));
        }
    }
}

/// Closes a resource without grace. Dropping it would do so too, but then nobody can look at what it does afterwards.
async fn close_forcefully(resource: &mut impl AsyncResource) {
    // What it has to say does not matter.
    let _ = aclose_forcefully(resource).await;
}

/// Runs an operation in a scope that is cancelled already.
async fn cancelled<T>(operation: impl Future<Output = T>) -> Option<T> {
    let scope = CancelScope::new();
    scope.handle().cancel();
    scope.run(operation).await
}

/// Lets all other tasks get as far as they can.
async fn settle() {
    wait_all_tasks_blocked(Duration::ZERO).await;
}

// ---------------------------------------------------------------------- tasks

/// Runs two futures as two tasks.
async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    let result = open_nursery(async move |nursery| {
        let (first, second) = (nursery.spawn(first), nursery.spawn(second));
        (first.join().await, second.join().await)
    });
    match result.await {
        (Ok(first), Ok(second)) => (first, second),
        _ => unreachable!("nobody has the handles of these tasks"),
    }
}

/// Runs two futures as two tasks, and gives the second up when the first has completed.
async fn first_of<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> A {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let first = async {
        let value = first.await;
        handle.cancel();
        value
    };
    both(first, scope.run(second)).await.0
}

// ---------------------------------------------------------------------- results

#[track_caller]
fn works<T>(what: &str, result: io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what} failed: {error:?}"),
    }
}

#[track_caller]
fn is_closed<T: fmt::Debug>(what: &str, result: io::Result<T>) {
    let right = result.as_ref().is_err_and(has::<ClosedResourceError>);
    assert!(right, "{what} must fail with ClosedResourceError, but gave {result:?}");
}

#[track_caller]
fn is_broken<T: fmt::Debug>(what: &str, result: io::Result<T>) {
    let right = result.as_ref().is_err_and(says_broken);
    assert!(right, "{what} must fail because the stream is broken, but gave {result:?}");
}

fn has<E: std::error::Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

fn is_busy<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(has::<BusyResourceError>)
}

/// Whether the error is what Trio calls `BrokenResourceError`; streams of the operating system have its own errors.
fn says_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let broken = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
    has::<BrokenResourceError>(error)
        || (broken.contains(&error.kind()) && !has::<ClosedResourceError>(error) && !has::<BusyResourceError>(error))
}
