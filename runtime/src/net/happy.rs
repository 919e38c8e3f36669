//! Happy eyeballs: connecting to whichever of a host's addresses answers first (RFC 8305).
//!
//! A host may have addresses that lead nowhere, typically IPv6 ones on a network that forwards only IPv4. Trying one
//! after the other makes people wait for timeouts, trying all at once is rude to servers. So the next attempt begins
//! when the one before has failed, or has kept us waiting for a quarter of a second. Each attempt is a task; the
//! first to succeed cancels the nursery, and the streams of the others are closed as those are dropped.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::address::sealed::Target;
use super::builder::SocketOptions;
use super::resolve::resolve;
use super::stream::TcpStream;
use crate::kernel::group::{ErrorGroup, TaskError};
use crate::kernel::handle::CancelHandle;
use crate::kernel::scope::move_on_after;
use crate::sync::Event;

/// How long an attempt has the field to itself: the recommendation of RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to a host by name or address: Trio's `open_tcp_stream`.
///
/// The name is looked up on another thread. If it has several addresses they are tried in the order in which the
/// system recommends them, with the second of the other family (IPv4, IPv6) than the first: each gets a head start of
/// 250 ms, or less if it fails earlier, before the next is tried as well. The first connection that stands is the
/// result; the other attempts are cancelled.
///
/// A checkpoint. Cancelled or dropped, it leaves no connection behind; a name lookup that is under way is left to its
/// thread. There is no time limit: see [`fail_after`](crate::fail_after()).
///
/// # Errors
///
/// The resolver's error when the name is not known. When all attempts failed, an error whose kind is the one
/// that they have in common, or that of the first; its source is an [`ErrorGroup`] with all of them.
///
/// # Examples
///
/// ```
/// use std::{error::Error, io::ErrorKind};
/// use trio::{ErrorGroup, net::TcpListener, open_tcp_stream};
/// trio::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let port = listener.local_addr()?.port();
///     let mut stream = open_tcp_stream("localhost", port).await?;
///     stream.send_all(b"hello").await?;
///
///     drop(listener);
///     let error = open_tcp_stream("127.0.0.1", port).await.unwrap_err();
///     assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
///     let group = error.source().unwrap().downcast_ref::<ErrorGroup>().unwrap();
///     assert_eq!(group.len(), 1);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn open_tcp_stream(host: &str, port: u16) -> OpenTcpStream {
    OpenTcpStream {
        target: Target::named(host, port),
        options: SocketOptions::new(),
        head_start: Some(HEAD_START),
        caller: Location::caller(),
        opening: None,
    }
}

/// What [`open_tcp_stream`] gives: a future, and what can be said about it before it is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct OpenTcpStream {
    target: Target,
    options: SocketOptions,
    head_start: Option<Duration>,
    caller: &'static Location<'static>,
    opening: Option<Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>>,
}

impl OpenTcpStream {
    /// How long each attempt has before the next address is tried as well: 250 ms unless said, which RFC 8305
    /// recommends. `None`: until it has failed, so that there is one attempt at a time.
    pub fn happy_eyeballs_delay(mut self, delay: Option<Duration>) -> Self {
        self.head_start = delay;
        self
    }

    /// The address of this machine to connect from, for those which have several. The other family's addresses then fail.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.options = self.options.local_ip(address);
        self
    }

    /// What else is to be said of the sockets.
    pub fn options(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }
}

impl Future for OpenTcpStream {
    type Output = io::Result<TcpStream>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let opening = this.opening.get_or_insert_with(|| {
            let (target, options) = (this.target.clone(), std::mem::take(&mut this.options));
            let (head_start, caller) = (this.head_start, this.caller);
            Box::pin(async move {
                let addresses = resolve(&target).await?;
                open(&target, addresses, head_start, caller, async |to| connect_to(to, Some(&options)).await).await
            })
        });
        opening.as_mut().poll(context)
    }
}

impl fmt::Debug for OpenTcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTcpStream")
            .field("target", &self.target)
            .field("happy_eyeballs_delay", &self.head_start)
            .finish_non_exhaustive()
    }
}

/// As [`open_tcp_stream`], but the error of a single address is that of the system.
pub(crate) async fn connect(
    target: Target,
    options: Option<SocketOptions>,
    caller: &'static Location<'static>,
) -> io::Result<TcpStream> {
    let options = options.as_ref();
    match *resolve(&target).await? {
        [address] => TcpStream::connect_to(address, options).await,
        ref addresses => {
            let connect = async |to| connect_to(to, options).await;
            open(&target, addresses.to_vec(), Some(HEAD_START), caller, connect).await
        }
    }
}

async fn connect_to(address: SocketAddr, options: Option<&SocketOptions>) -> io::Result<TcpStream> {
    TcpStream::connect_to(address, options).await
}

/// Connects to one of a target's addresses by means of `connect`.
async fn open<S>(
    target: &Target,
    mut addresses: Vec<SocketAddr>,
    head_start: Option<Duration>,
    caller: &'static Location<'static>,
    connect: impl AsyncFn(SocketAddr) -> io::Result<S>,
) -> io::Result<S> {
    alternate(&mut addresses);
    race(&addresses, head_start, connect).await.map_err(|failures| all_failed(target, failures, caller))
}

/// Moves the first address of the other family to the second place. RFC 8305 recommends to alternate further; with
/// what Trio does nobody waits longer for a family that works, and the system's order counts for more.
fn alternate(addresses: &mut [SocketAddr]) {
    let Some(first) = addresses.first() else { return };
    let family = first.is_ipv4();
    if let Some(other) = addresses.iter().position(|address| address.is_ipv4() != family) {
        addresses[1..=other].rotate_right(1);
    }
}

/// An attempt that failed.
type Failure<A> = (A, io::Error);

/// How a race stands.
struct Race<A, S> {
    winner: RefCell<Option<S>>,
    failures: RefCell<Vec<Failure<A>>>,
}

/// Lets the attempts run, each with a head start on the next; without one, the next begins when one has failed. The first to succeed wins; `Err` if none did.
async fn race<A: Copy, S>(
    addresses: &[A],
    head_start: Option<Duration>,
    connect: impl AsyncFn(A) -> io::Result<S>,
) -> Result<S, Vec<Failure<A>>> {
    let race = Race { winner: RefCell::new(None), failures: RefCell::default() };
    // Each attempt with the event of its failure.
    let attempts: Vec<_> = addresses.iter().map(|address| (*address, Event::new())).collect();
    let (race_of, connect) = (&race, &connect);
    crate::nursery! { |n, scope|
        for (address, failed) in &attempts {
            n.start_soon(attempt(race_of, connect, *address, failed, scope.clone()));
            match head_start {
                Some(head_start) => drop(move_on_after(head_start, failed.wait()).await),
                None => failed.wait().await,
            }
        }
    };
    race.winner.into_inner().ok_or_else(|| race.failures.into_inner())
}

/// One attempt. `race` says when the others can stop.
async fn attempt<A: Copy, S>(
    race: &Race<A, S>,
    connect: &impl AsyncFn(A) -> io::Result<S>,
    address: A,
    failed: &Event,
    others: CancelHandle,
) {
    match connect(address).await {
        Ok(stream) => {
            // If two succeed in the same moment, the second is closed here.
            race.winner.borrow_mut().get_or_insert(stream);
            others.cancel_because("another attempt has connected");
        }
        Err(error) => {
            race.failures.borrow_mut().push((address, error));
            failed.set();
        }
    }
}

/// What [`open_tcp_stream`] fails with.
#[derive(Debug)]
struct AllFailed {
    target: String,
    /// What all failures have in common.
    kind: Option<io::ErrorKind>,
    group: Option<ErrorGroup>,
}

fn all_failed<A: fmt::Display>(
    target: &Target,
    failures: Vec<Failure<A>>,
    caller: &'static Location<'static>,
) -> io::Error {
    let mut kinds = failures.iter().map(|(_, error)| error.kind());
    let first = kinds.next().unwrap_or(io::ErrorKind::InvalidInput);
    let kind = kinds.all(|kind| kind == first).then_some(first);
    let errors = failures
        .into_iter()
        .map(|(address, error)| TaskError::new(error.into(), Some(format!("connect to {address}").into()), caller))
        .collect();
    io::Error::new(first, AllFailed { target: target.to_string(), kind, group: ErrorGroup::new(errors) })
}

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all attempts to connect to {} failed", self.target)?;
        match self.kind {
            Some(kind) => write!(f, ": {kind}"),
            None => Ok(()),
        }
    }
}

impl Error for AllFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.group.as_ref().map(|group| group as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::testing::MockClock;
    use crate::{Builder, sleep};

    /// What becomes of an attempt, after so many milliseconds.
    #[derive(Clone, Copy)]
    enum Fate {
        Connects(u64),
        Fails(u64),
    }
    use Fate::{Connects, Fails};

    /// A network on a virtual clock, in which the addresses' fates are known beforehand.
    struct Network<'a> {
        fates: &'a [(&'a str, Fate)],
        clock: MockClock,
        /// When each attempt began, in milliseconds.
        begun: RefCell<Vec<(SocketAddr, u128)>>,
        /// How many streams and attempts are open.
        open: Cell<usize>,
    }

    struct Stream<'a> {
        to: SocketAddr,
        open: &'a Cell<usize>,
    }

    impl Drop for Stream<'_> {
        fn drop(&mut self) {
            self.open.set(self.open.get() - 1);
        }
    }

    fn address(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 80)
    }

    impl<'a> Network<'a> {
        fn new(fates: &'a [(&'a str, Fate)]) -> Self {
            let clock = MockClock::new().autojump();
            Self { fates, clock, begun: RefCell::default(), open: Cell::new(0) }
        }

        fn addresses(&self) -> Vec<SocketAddr> {
            self.fates.iter().map(|(ip, _)| address(ip)).collect()
        }

        async fn connect(&self, to: SocketAddr) -> io::Result<Stream<'_>> {
            self.begun.borrow_mut().push((to, self.clock.elapsed().as_millis()));
            self.open.set(self.open.get() + 1);
            let stream = Stream { to, open: &self.open };
            match self.fates.iter().find(|(ip, _)| address(ip) == to).unwrap().1 {
                Connects(after) => sleep(Duration::from_millis(after)).await,
                Fails(0) => return Err(io::ErrorKind::Unsupported.into()),
                Fails(after) => {
                    sleep(Duration::from_millis(after)).await;
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("no {to}")));
                }
            }
            Ok(stream)
        }

        fn run<T>(&self, future: impl Future<Output = T>) -> T {
            Builder::new().clock(self.clock.clone()).fail_on_deadlock().checkpoint_budget(1).run(future)
        }

        /// Who wins (by their number), when, and when the attempts began, in milliseconds; `u64::MAX` is no head start at all.
        fn race(&self, head_start: u64) -> (Option<usize>, u128, Vec<u128>) {
            let addresses = self.addresses();
            let head_start = (head_start != u64::MAX).then(|| Duration::from_millis(head_start));
            let won = self.run(race(&addresses, head_start, async |to| self.connect(to).await));
            let time = self.clock.elapsed().as_millis();
            let winner = match &won {
                Ok(stream) => {
                    assert_eq!(self.open.get(), 1, "all but the winner are closed");
                    addresses.iter().position(|address| *address == stream.to)
                }
                Err(failures) => {
                    assert_eq!((self.open.get(), failures.len()), (0, self.begun.borrow().len()));
                    None
                }
            };
            (winner, time, self.begun.borrow().iter().map(|(_, time)| *time).collect())
        }

        fn open(&self) -> io::Result<Stream<'_>> {
            let target = Target::named("test.example.com", 80);
            let connect = async |to| self.connect(to).await;
            self.run(open(&target, self.addresses(), Some(HEAD_START), Location::caller(), connect))
        }
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_one_host_quick_success
    // trio: _tests/test_highlevel_open_tcp_stream.py::test_one_host_slow_success
    #[test]
    fn a_single_address_has_all_the_time_it_needs() {
        assert_eq!(Network::new(&[("1.2.3.4", Connects(123))]).race(250), (Some(0), 123, vec![0]));
        assert_eq!(Network::new(&[("1.2.3.4", Connects(100_000))]).race(250), (Some(0), 100_000, vec![0]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_one_host_quick_fail
    // trio: _tests/test_highlevel_open_tcp_stream.py::test_one_host_slow_fail
    #[test]
    fn a_single_address_that_fails_is_the_end() {
        assert_eq!(Network::new(&[("1.2.3.4", Fails(123))]).race(250), (None, 123, vec![0]));
        assert_eq!(Network::new(&[("1.2.3.4", Fails(100_000))]).race(250), (None, 100_000, vec![0]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_basic_fallthrough
    // trio: _tests/test_highlevel_open_tcp_stream.py::test_none_default
    #[test]
    fn a_slow_attempt_is_overtaken() {
        let fates = [("1.1.1.1", Connects(1000)), ("2.2.2.2", Connects(1000)), ("3.3.3.3", Connects(200))];
        assert_eq!(Network::new(&fates).race(250), (Some(2), 700, vec![0, 250, 500]));
        let network = Network::new(&fates);
        assert_eq!(network.open().unwrap().to, address("3.3.3.3"));
        assert_eq!(network.clock.elapsed(), Duration::from_millis(700));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_early_success
    #[test]
    fn what_is_not_needed_is_not_begun() {
        let fates = [("1.1.1.1", Connects(1000)), ("2.2.2.2", Connects(100)), ("3.3.3.3", Connects(200))];
        assert_eq!(Network::new(&fates).race(250), (Some(1), 350, vec![0, 250]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_custom_delay
    #[test]
    fn the_head_start_counts() {
        let fates = [("1.1.1.1", Connects(1000)), ("2.2.2.2", Connects(1000)), ("3.3.3.3", Connects(200))];
        assert_eq!(Network::new(&fates).race(450), (Some(0), 1000, vec![0, 450, 900]));
    }

    #[test]
    fn without_a_head_start_there_is_one_attempt_at_a_time() {
        let fates = [("1.1.1.1", Fails(100)), ("2.2.2.2", Fails(1000)), ("3.3.3.3", Connects(10_000))];
        assert_eq!(Network::new(&fates).race(u64::MAX), (Some(2), 11_100, vec![0, 100, 1100]));
        let slow = [("1.1.1.1", Connects(100_000)), ("2.2.2.2", Connects(1))];
        assert_eq!(Network::new(&slow).race(u64::MAX), (Some(0), 100_000, vec![0]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_custom_errors_expedite
    #[test]
    fn a_failure_ends_the_head_start() {
        let fates = [
            ("1.1.1.1", Fails(100)),
            ("2.2.2.2", Fails(200)),
            ("3.3.3.3", Connects(10_000)),
            ("4.4.4.4", Connects(250)),
        ];
        assert_eq!(Network::new(&fates).race(250), (Some(3), 800, vec![0, 100, 300, 550]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_all_fail
    #[test]
    fn if_all_fail_the_error_has_every_failure() {
        let fates =
            [("1.1.1.1", Fails(100)), ("2.2.2.2", Fails(200)), ("3.3.3.3", Fails(10_000)), ("4.4.4.4", Fails(250))];
        let network = Network::new(&fates);
        let error = network.open().err().unwrap();
        assert_eq!(network.clock.elapsed(), Duration::from_millis(10_300));
        assert_eq!(network.begun.borrow().iter().map(|(_, time)| *time).collect::<Vec<_>>(), [0, 100, 300, 550]);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), "all attempts to connect to test.example.com:80 failed: connection refused");
        let group = error.source().unwrap().downcast_ref::<ErrorGroup>().unwrap();
        // In the order in which they happened.
        let texts: Vec<_> = group.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["no 1.1.1.1:80", "no 2.2.2.2:80", "no 4.4.4.4:80", "no 3.3.3.3:80"]);
        assert_eq!(group.first().task_name(), Some("connect to 1.1.1.1:80"));
        assert!(group.downcast_ref::<io::Error>().is_some());
    }

    #[test]
    fn different_failures_have_no_common_kind() {
        let network = Network::new(&[("1.1.1.1", Fails(0)), ("2.2.2.2", Fails(1))]);
        let error = network.open().err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "all attempts to connect to test.example.com:80 failed");
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_multi_success
    #[test]
    fn of_those_who_succeed_at_once_one_wins() {
        let fates = [
            ("1.1.1.1", Fails(500)),
            ("2.2.2.2", Connects(10_000)),
            ("3.3.3.3", Connects(9_000)),
            ("4.4.4.4", Connects(8_000)),
            ("5.5.5.5", Connects(7_000)),
        ];
        let (winner, time, begun) = Network::new(&fates).race(1000);
        assert_ne!(winner.unwrap(), 0);
        assert_eq!((time, begun), (10_500, vec![0, 500, 1500, 2500, 3500]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_handles_no_ipv4
    #[test]
    fn a_family_that_does_not_exist_costs_no_time() {
        let fates = [("::1", Connects(10_000)), ("2.2.2.2", Fails(0)), ("::3", Connects(100)), ("4.4.4.4", Fails(0))];
        assert_eq!(Network::new(&fates).race(1000), (Some(2), 1100, vec![0, 1000, 1000]));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_cancel
    #[test]
    fn a_cancellation_closes_all() {
        let fates = [
            ("1.1.1.1", Connects(10_000)),
            ("2.2.2.2", Connects(10_000)),
            ("3.3.3.3", Connects(10_000)),
            ("4.4.4.4", Connects(10_000)),
        ];
        let network = Network::new(&fates);
        let addresses = network.addresses();
        let connect = async |to| network.connect(to).await;
        let caught = network.run(move_on_after(Duration::from_secs(5), race(&addresses, Some(HEAD_START), connect)));
        assert!(caught.is_none());
        assert_eq!(network.clock.elapsed(), Duration::from_secs(5));
        assert_eq!((network.open.get(), network.begun.borrow().len()), (0, 4));
    }

    // What is no failure of the connection goes through as it is.
    // trio: _tests/test_highlevel_open_tcp_stream.py::test_one_host_failed_after_connect
    // trio: _tests/test_highlevel_open_tcp_stream.py::test_close_all
    #[test]
    fn a_panic_comes_out_and_closes_all() {
        let fates = [("1.1.1.1", Connects(10_000)), ("2.2.2.2", Connects(750)), ("3.3.3.3", Connects(10_000))];
        let network = Network::new(&fates);
        let addresses = network.addresses();
        let connect = async |to| {
            let stream = network.connect(to).await?;
            if to == address("2.2.2.2") {
                panic!("what is set then can't be");
            }
            Ok(stream)
        };
        let run = || network.run(race(&addresses, Some(HEAD_START), connect));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).err().unwrap();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"what is set then can't be"));
        assert_eq!(network.clock.elapsed(), Duration::from_secs(1));
        assert_eq!((network.open.get(), network.begun.borrow().len()), (0, 3));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_reorder_for_rfc_6555_section_5_4
    #[test]
    fn the_second_address_is_of_the_other_family() {
        fn alternated(ips: &[&str]) -> Vec<String> {
            let mut addresses: Vec<_> = ips.iter().map(|ip| address(ip)).collect();
            alternate(&mut addresses);
            addresses.iter().map(|address| address.ip().to_string()).collect()
        }
        for unchanged in
            [&[][..], &["1.1.1.1"], &["::1"], &["1.1.1.1", "2.2.2.2"], &["1.1.1.1", "::2", "::3"], &["::1", "2.2.2.2"]]
        {
            assert_eq!(alternated(unchanged), unchanged);
        }
        assert_eq!(
            alternated(&["1.1.1.1", "2.2.2.2", "3.3.3.3", "::4", "::5"]),
            ["1.1.1.1", "::4", "2.2.2.2", "3.3.3.3", "::5"]
        );
    }
}
