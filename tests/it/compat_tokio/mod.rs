//! Futures of tokio's inside of trio's tasks.
#![forbid(unsafe_code)]

mod cancel;
mod database;
mod ends;
mod mixed;
mod nested;
mod waits;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use trio::to_thread::pool_statistics;

use crate::support::secs;

/// Whether the code is in a runtime of tokio's.
fn in_tokio() -> bool {
    Handle::try_current().is_ok()
}

/// Says, when it is dropped, whether that was in a runtime of tokio's.
struct Witness<'a>(&'a Cell<Option<bool>>);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        self.0.set(Some(in_tokio()));
    }
}

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// A task of tokio's that answers each number with the next one.
fn start_echo() -> mpsc::Sender<(u32, oneshot::Sender<u32>)> {
    let (sender, mut receiver) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(1);
    tokio::spawn(async move {
        while let Some((number, answer)) = receiver.recv().await {
            // Whoever asked may have been cancelled.
            let _gone = answer.send(number + 1);
        }
    });
    sender
}

async fn ask(echo: &mpsc::Sender<(u32, oneshot::Sender<u32>)>, number: u32) -> u32 {
    let (answer, answered) = oneshot::channel();
    echo.send((number, answer)).await.expect("the echo lives as long as the runtime");
    answered.await.expect("the echo answers")
}

/// Whether all worker threads have come to the end of their work.
fn workers_are_idle() -> bool {
    let statistics = pool_statistics();
    statistics.idle_threads == statistics.threads
}

/// Waits, outside of a run, for what happens soon.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Opens what tokio opens once in a process, for signals, and never closes.
fn open_what_stays_open() {
    trio::run(trio::compat::tokio::open(async |_| ())).unwrap();
}
