//! What the tests about tasks and cancellation share: a log, guards that tell of their drop, and an error.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use trio::net::{TcpListener, TcpStream};
use trio::{ClosedResourceError, ErrorGroup, SendStream};

/// What happened, in order.
#[derive(Debug)]
pub(crate) struct Log {
    lines: RefCell<Vec<String>>,
    zero: Option<Instant>,
}

impl Log {
    /// A log of plain lines.
    pub(crate) fn new() -> Self {
        Self { lines: RefCell::default(), zero: None }
    }

    /// A log whose lines end with the time in seconds on the run's clock, from now on.
    pub(crate) fn timed() -> Self {
        Self { lines: RefCell::default(), zero: Some(trio::current_time()) }
    }

    /// When a timed log began.
    pub(crate) fn zero(&self) -> Option<Instant> {
        self.zero
    }

    pub(crate) fn say(&self, what: impl fmt::Display) {
        let line = match self.zero {
            None => what.to_string(),
            Some(zero) => format!("{what} at {}", (trio::current_time() - zero).as_secs_f64()),
        };
        self.lines.borrow_mut().push(line);
    }

    /// Says "`what` dropped" when it is dropped, unless it is disarmed before.
    pub(crate) fn guard(&self, what: impl Into<String>) -> Guard<'_> {
        Guard { log: self, what: Some(what.into()) }
    }

    /// The lines since the last call.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.take()
    }

    /// As `lines`, for lines in no particular order.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines
    }
}

/// See [`Log::guard`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Guard<'a> {
    log: &'a Log,
    what: Option<String>,
}

impl Guard<'_> {
    pub(crate) fn disarm(mut self) {
        self.what = None;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(what) = self.what.take() {
            self.log.say(format!("{what} dropped"));
        }
    }
}

/// Calls a closure when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// An error that tests can tell from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed(pub(crate) &'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {}

/// What a nursery failed with, in no particular order.
#[track_caller]
pub(crate) fn failures<T>(result: Result<T, ErrorGroup<Failed>>) -> Vec<&'static str> {
    let Err(group) = result else { panic!("the nursery did not fail") };
    let mut failures: Vec<_> = group.into_errors().map(|error| error.0).collect();
    failures.sort_unstable();
    failures
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Waits until no other task can go on.
pub(crate) async fn settle() {
    trio::testing::wait_all_tasks_blocked(Duration::ZERO).await;
}

/// Waits until it is dropped, as a task that ends with `()`.
pub(crate) async fn forever() {
    trio::sleep_forever().await;
}

/// Waits until it is dropped, as a task that could fail.
pub(crate) async fn forever_or_fail() -> Result<(), Failed> {
    trio::sleep_forever().await
}

/// Says that it has begun, and waits until it is dropped, which it says too.
pub(crate) async fn park(log: &Log, name: &str) {
    log.say(name);
    let _guard = log.guard(name);
    forever().await;
}

/// Whether a checkpoint that is begun here, now, meets a cancellation: then it parks, and otherwise it goes on.
///
/// This is how one task can meet the same cancellation several times: it gives the parked checkpoint up instead of
/// being dropped with it.
pub(crate) async fn meets_cancellation() -> bool {
    std::future::poll_fn(|context| {
        let checkpoint = pin!(trio::lowlevel::checkpoint_if_cancelled());
        Poll::Ready(checkpoint.poll(context).is_pending())
    })
    .await
}

/// Yields to the other tasks, cancelled or not.
pub(crate) async fn yield_shielded() {
    trio::lowlevel::cancel_shielded_checkpoint().await;
}

/// The panic of a call, as text.
#[track_caller]
pub(crate) fn panic_text<T>(call: impl FnOnce() -> T) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    let Err(panic) = caught else { panic!("the call was expected to panic") };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&'static str>().map_or_else(String::new, |text| (*text).to_owned()),
    }
}

/// Whether an operation yields to the other tasks before it completes.
pub(crate) async fn yields(operation: impl Future) -> bool {
    let mut operation = pin!(operation);
    let first = std::future::poll_fn(|context| Poll::Ready(operation.as_mut().poll(context).is_pending()));
    let pending = first.await;
    if pending {
        operation.await;
    }
    pending
}

/// Whether a sequence consists of these groups, one after the other, the order within each left open.
pub(crate) fn in_groups<T: AsRef<str>>(sequence: &[T], groups: &[&[&str]]) -> bool {
    let mut rest = sequence;
    for group in groups {
        let Some((first, others)) = rest.split_at_checked(group.len()) else { return false };
        let sorted = |mut items: Vec<&str>| {
            items.sort_unstable();
            items.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        if sorted(first.iter().map(AsRef::as_ref).collect()) != sorted(group.to_vec()) {
            return false;
        }
        rest = others;
    }
    rest.is_empty()
}

/// How many descriptors the process has open.
pub(crate) fn descriptors() -> usize {
    // Counts the one that reads the directory, every time.
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Runs a test of the module in a process of its own, where no other test opens, closes or starts anything.
pub(crate) fn alone(module: &str, test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "TRIO_TEST_ALONE";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let (_crate, module) = module.split_once("::").unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// Fails instead of hanging. The time is real, and long enough for any machine.
pub(crate) async fn soon<T>(operation: impl Future<Output = T>) -> T {
    trio::fail_after(secs(60), operation).await.expect("this hangs")
}

/// Whether an operation has failed because its resource was closed.
#[track_caller]
pub(crate) fn is_closed<T: fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().get_ref().is_some_and(|inner| inner.is::<ClosedResourceError>())
}

/// Whether this machine has IPv6.
pub(crate) fn has_v6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Two ends of a TCP connection.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = soon(TcpStream::connect(listener.local_addr().unwrap())).await.unwrap();
    (client, soon(listener.accept()).await.unwrap().0)
}

/// Sends until that has to wait.
pub(crate) async fn clog(stream: &mut impl SendStream) {
    let much = vec![0; 20_000_000];
    let sent = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                settle().await;
                scope.cancel();
            });
            stream.send_all(&much).await
        }
    };
    assert!(sent.is_none(), "{sent:?}");
}

/// Sends over TCP until there is no room, and none will be before the other side receives. The system may find some a little
/// later than it said there was none, but not any more once the other side has told it that it has none.
pub(crate) async fn clog_tcp<S: SendStream>(stream: &mut S, tcp: impl Fn(&S) -> &TcpStream) {
    loop {
        let told = has_been_told_to_wait(tcp(stream));
        clog(stream).await;
        if told {
            return;
        }
        trio::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether the system has asked the other side of a connection for room, and all that was sent has arrived.
fn has_been_told_to_wait(stream: &TcpStream) -> bool {
    // SAFETY: a structure of numbers, of which zeros are some.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    let descriptor = stream.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and there is as much room as is said, for numbers.
    let code = unsafe {
        libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    assert_eq!(code, 0, "{}", io::Error::last_os_error());
    // It asks when it has something to send and nothing is on its way, and waits the longer for each further time.
    info.tcpi_unacked == 0 && info.tcpi_backoff > 0
}
