//! Waiting for descriptors: `wait_readable`, `wait_writable` and `notify_closing`.

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::task::Poll;

use socket2::SockRef;
use trio::lowlevel::{notify_closing, wait_readable, wait_writable};
use trio::{BusyResourceError, CancelScope, ClosedResourceError, Event};

use crate::support::{forever, secs, settle};

/// Two ends that don't block, with little room on the way.
fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    for end in [&a, &b] {
        end.set_nonblocking(true).unwrap();
        SockRef::from(end).set_send_buffer_size(10_000).unwrap();
    }
    (a, b)
}

/// Sends until there is no more room.
fn fill(mut end: &UnixStream) {
    loop {
        match end.write(&[b'x'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Receives until there is nothing more.
fn drain(mut end: &UnixStream) {
    loop {
        match end.read(&mut [0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether a wait failed with this.
#[track_caller]
fn failed_with<E: Error + 'static>(result: io::Result<()>) -> bool {
    let error = result.expect_err("the wait should fail");
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

/// Polls a wait once, and says whether it is over.
async fn is_ready(mut wait: Pin<&mut impl Future<Output = io::Result<()>>>) -> bool {
    match poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await {
        Poll::Ready(result) => {
            result.unwrap();
            true
        }
        Poll::Pending => false,
    }
}

/// A descriptor by its number only, as code from other languages has it.
fn by_number(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: not kept: these tests are about numbers whose descriptor is closed or another one by now. That is safe
    // here since trio reads and writes nothing; it uses the number in calls to the selector, which may fail.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Runs a test with sockets, and with what is left of them at the lowest level.
macro_rules! for_each_kind_of_descriptor {
    ($test:ident) => {{
        let (a, b) = pair();
        $test(&a, &a, &b).await;
        let (a, b) = pair();
        let fd = OwnedFd::from(a.try_clone().unwrap());
        $test(&fd, &a, &b).await;
    }};
}

async fn double_read(fd: &impl AsFd) {
    let woken = Cell::new(false);
    trio::nursery! { |n, scope|
        n.start_soon(async {
            wait_readable(fd).await.unwrap();
            woken.set(true);
        });
        settle().await;
        assert!(failed_with::<BusyResourceError>(wait_readable(fd).await));
        settle().await;
        scope.cancel();
    };
    assert!(!woken.get());
}

// trio: _core/_tests/test_io.py::test_double_read
#[trio::test]
async fn only_one_task_can_wait_for_data() {
    async fn test(fd: &impl AsFd, _: &UnixStream, _: &UnixStream) {
        double_read(fd).await;
    }
    for_each_kind_of_descriptor!(test);
}

// trio: _core/_tests/test_io.py::test_double_write
#[trio::test]
async fn only_one_task_can_wait_for_room() {
    async fn test(fd: &impl AsFd, a: &UnixStream, _: &UnixStream) {
        fill(a);
        let woken = Cell::new(false);
        trio::nursery! { |n, scope|
            n.start_soon(async {
                wait_writable(fd).await.unwrap();
                woken.set(true);
            });
            settle().await;
            assert!(failed_with::<BusyResourceError>(wait_writable(fd).await));
            settle().await;
            scope.cancel();
        };
        assert!(!woken.get());
    }
    for_each_kind_of_descriptor!(test);
}

// trio: _core/_tests/test_io.py::test_interrupted_by_close
#[trio::test]
async fn a_close_that_is_announced_ends_every_wait() {
    async fn test(fd: &impl AsFd, a: &UnixStream, _: &UnixStream) {
        fill(a);
        trio::nursery! { |n|
            n.start_soon(async { assert!(failed_with::<ClosedResourceError>(wait_readable(fd).await)) });
            n.start_soon(async { assert!(failed_with::<ClosedResourceError>(wait_writable(fd).await)) });
            settle().await;
            notify_closing(fd);
        }
    }
    for_each_kind_of_descriptor!(test);
}

// trio: _core/_tests/test_io.py::test_socket_simultaneous_read_write
#[trio::test]
async fn one_task_waits_for_data_and_another_for_room() {
    async fn test(fd: &impl AsFd, a: &UnixStream, b: &UnixStream) {
        let (read, written) = (Cell::new(false), Cell::new(false));
        fill(a);
        trio::nursery! { |n|
            n.start_soon(async {
                wait_readable(fd).await.unwrap();
                read.set(true);
            });
            n.start_soon(async {
                wait_writable(fd).await.unwrap();
                written.set(true);
            });
            settle().await;
            assert_eq!((read.get(), written.get()), (false, false));
            (&*b).write_all(b"x").unwrap();
            settle().await;
            assert_eq!((read.get(), written.get()), (true, false));
            drain(b);
            settle().await;
            assert_eq!((read.get(), written.get()), (true, true));
        }
    }
    for_each_kind_of_descriptor!(test);
}

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Sends data in pieces of all sizes, then the end; gives how many times it had to wait.
async fn send(fd: &impl AsFd, mut socket: &UnixStream, data: &[u8], seed: u64) -> usize {
    let (mut random, mut waits, mut rest) = (Random(seed), 0, data);
    while !rest.is_empty() {
        let piece = rest.len().min(1 + random.below(50_000));
        match socket.write(&rest[..piece]) {
            Ok(sent) => rest = &rest[sent..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                wait_writable(fd).await.unwrap();
                waits += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    socket.shutdown(Shutdown::Write).unwrap();
    waits
}

/// Receives up to the end, in pieces of all sizes; also gives how many times it had to wait.
async fn receive(fd: &impl AsFd, mut socket: &UnixStream, seed: u64) -> (Vec<u8>, usize) {
    let (mut random, mut waits, mut all) = (Random(seed), 0, Vec::new());
    let mut buffer = vec![0; 50_000];
    loop {
        let room = 1 + random.below(buffer.len());
        match socket.read(&mut buffer[..room]) {
            Ok(0) => return (all, waits),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                wait_readable(fd).await.unwrap();
                waits += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

// trio: _core/_tests/test_io.py::test_socket_actual_streaming
#[trio::test]
async fn data_flows_both_ways_at_once() {
    async fn test(fd: &impl AsFd, a: &UnixStream, b: &UnixStream) {
        let mut random = Random(7);
        let mut data = || (0..1_100_000).map(|_| random.below(256) as u8).collect::<Vec<_>>();
        let (there, back) = (data(), data());
        trio::nursery! { |n|
            let sending = n.spawn(send(fd, a, &there, 1));
            let answering = n.spawn(send(b, b, &back, 2));
            let receiving = n.spawn(receive(fd, a, 3));
            let hearing = n.spawn(receive(b, b, 4));
            let (heard, heard_waits) = hearing.join().await.unwrap();
            let (received, received_waits) = receiving.join().await.unwrap();
            assert!(heard == there, "what arrived is not what was sent");
            assert!(received == back, "what came back is not what was sent");
            let waits = sending.join().await.unwrap() + answering.join().await.unwrap();
            // Otherwise nothing was tested.
            assert!(waits > 0 && heard_waits + received_waits > 0);
        }
    }
    for_each_kind_of_descriptor!(test);
}

// trio: _core/_tests/test_io.py::test_wait_on_invalid_object
#[trio::test]
async fn what_is_no_descriptor_is_an_error_at_once() {
    // More than any process can have.
    let none = by_number(RawFd::MAX - 1);
    assert_eq!(wait_readable(&none).await.unwrap_err().raw_os_error(), Some(9), "EBADF");
    assert_eq!(wait_writable(&none).await.unwrap_err().raw_os_error(), Some(9), "EBADF");
    // Nobody can wait for a plain file, which is always ready.
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    assert!(wait_readable(&file).await.is_err());
    assert!(wait_writable(&file).await.is_err());
    // Nor does anything of the attempts stay behind.
    let (a, b) = pair();
    (&b).write_all(b"x").unwrap();
    wait_readable(&a).await.unwrap();
}

// trio: _core/_tests/test_io.py::test_can_survive_unnotified_close
#[trio::test]
async fn a_close_that_nobody_announced_is_survived() {
    /// Waits for whatever comes of it; all that is asked for is that it can be cancelled.
    async fn wait(fd: BorrowedFd<'_>, write: bool, begun: &Event) {
        begun.set();
        let _ = if write { wait_writable(&fd).await } else { wait_readable(&fd).await };
    }

    // The only handle; and one of which there is a duplicate, so that the system knows nothing of the close.
    for duplicate in [false, true] {
        let (a, b) = pair();
        let kept = duplicate.then(|| a.try_clone().unwrap());
        let (fd, begun) = (by_number(a.as_raw_fd()), Event::new());
        trio::nursery! { |n, scope|
            n.start_soon(wait(fd, false, &begun));
            begun.wait().await;
            settle().await;
            drop(a);
            settle().await;
            scope.cancel();
        };
        drop((b, kept));
    }

    // A reader and a writer.
    let (a, b) = pair();
    fill(&a);
    let (fd, begun) = (by_number(a.as_raw_fd()), Event::new());
    trio::nursery! { |n, scope|
        n.start_soon(wait(fd, false, &begun));
        n.start_soon(wait(fd, true, &begun));
        settle().await;
        drop(a);
        settle().await;
        scope.cancel();
    };
    drop(b);

    // Data comes for what was closed, through the duplicate.
    let (a, b) = pair();
    let kept = a.try_clone().unwrap();
    let (fd, begun) = (by_number(a.as_raw_fd()), Event::new());
    trio::nursery! { |n, scope|
        n.start_soon(wait(fd, false, &begun));
        settle().await;
        drop(a);
        (&b).write_all(b"x").unwrap();
        settle().await;
        scope.cancel();
    };
    // The run is as good as before.
    wait_readable(&kept).await.unwrap();
}

/// A pair whose first end has this number; `None` if another thread has taken it.
fn pair_at(number: RawFd) -> Option<(UnixStream, UnixStream)> {
    let (a, b) = pair();
    match number {
        n if n == a.as_raw_fd() => Some((a, b)),
        n if n == b.as_raw_fd() => Some((b, a)),
        _ => None,
    }
}

/// Does it with new numbers until it works: other tests open and close descriptors meanwhile.
async fn until_it_works(mut test: impl AsyncFnMut() -> Option<()>) {
    for _ in 0..1000 {
        if test().await.is_some() {
            return;
        }
    }
    panic!("the number was never given out anew");
}

#[trio::test]
async fn a_number_can_be_used_again_before_those_who_waited_have_run() {
    until_it_works(async || {
        let (a, b) = pair();
        let number = a.as_raw_fd();
        let closed = Event::new();
        trio::nursery! { |n|
            n.start_soon(async {
                assert!(failed_with::<ClosedResourceError>(wait_readable(&by_number(number)).await));
                closed.set();
            });
            settle().await;
            notify_closing(&a);
            drop(a);
            // Nobody has run since. The new one is not the old one.
            let (new, other) = pair_at(number)?;
            trio::nursery! { |inner|
                inner.start_soon(async { wait_readable(&new).await.unwrap() });
                settle().await;
                assert!(closed.is_set());
                (&other).write_all(b"x").unwrap();
            }
        }
        drop(b);
        Some(())
    })
    .await;
}

#[trio::test]
async fn a_wait_for_a_number_that_was_closed_does_not_stand_in_the_way_of_the_next() {
    until_it_works(async || {
        let (a, b) = pair();
        let number = a.as_raw_fd();
        let scope = CancelScope::new();
        let handle = scope.handle();
        trio::nursery! { |n|
            n.start_soon(async move {
                // It may hang, or end.
                let _ = scope.run(wait_readable(&by_number(number))).await;
            });
            settle().await;
            drop(a);
            let (new, other) = pair_at(number)?;
            trio::nursery! { |n|
                n.start_soon(async { trio::fail_after(secs(30), wait_readable(&new)).await.unwrap().unwrap() });
                settle().await;
                // The end of the old wait is not that of the new one.
                handle.cancel();
                settle().await;
                (&other).write_all(b"x").unwrap();
            }
        }
        drop(b);
        Some(())
    })
    .await;
}

#[trio::test]
async fn a_wait_that_is_over_does_not_keep_the_next_one_out() {
    let (a, b) = pair();
    trio::nursery! { |n|
        let mut first = pin!(wait_readable(&a));
        assert!(!is_ready(first.as_mut()).await);
        (&b).write_all(b"x").unwrap();
        settle().await;
        // The first has been woken, and has not been polled since.
        n.start_soon(async { wait_readable(&a).await.unwrap() });
        settle().await;
        // Even if another takes its place, and nothing is ready any more, it is over.
        drain(&a);
        n.start_soon(async { wait_readable(&a).await.unwrap() });
        settle().await;
        assert!(is_ready(first.as_mut()).await);
        (&b).write_all(b"x").unwrap();
    }
}

#[trio::test]
async fn a_wait_that_is_polled_for_nothing_goes_on() {
    let (a, b) = pair();
    let mut wait = pin!(wait_readable(&a));
    for _ in 0..5 {
        assert!(!is_ready(wait.as_mut()).await);
        settle().await;
    }
    (&b).write_all(b"x").unwrap();
    wait.await.unwrap();
}

#[trio::test]
async fn a_cancelled_wait_is_not_granted_any_more() {
    let (a, b) = pair();
    let granted = Cell::new(false);
    let go = Event::new();
    trio::nursery! { |n, scope|
        n.start_soon(async {
            // The shield keeps the wait from being dropped at once.
            let mut wait = pin!(wait_readable(&a));
            let mut shielded = pin!(trio::shield(go.wait()));
            poll_fn(|context| {
                if !granted.get() {
                    granted.set(wait.as_mut().poll(context).is_ready());
                }
                shielded.as_mut().poll(context)
            })
            .await;
        });
        settle().await;
        scope.cancel();
        (&b).write_all(b"x").unwrap();
        trio::shield(async {
            settle().await;
            assert!(!granted.get());
            go.set();
        })
        .await;
    };
    assert!(!granted.get());
}

#[trio::test]
async fn a_cancelled_wait_leaves_no_trace() {
    let (a, b) = pair();
    for _ in 0..3 {
        let caught = trio::nursery! { |n, scope|
            n.start_soon(async { wait_readable(&a).await.unwrap() });
            settle().await;
            scope.cancel();
            forever().await;
        };
        assert!(caught.is_none());
    }
    (&b).write_all(b"x").unwrap();
    wait_readable(&a).await.unwrap();
    let waiting = trio::lowlevel::current_statistics().io_registrations;
    assert_eq!(waiting, 0);
}

#[trio::test]
async fn what_was_ready_before_the_cancellation_is_kept() {
    let (a, b) = pair();
    let ready = Cell::new(false);
    trio::nursery! { |n, scope|
        n.start_soon(async {
            wait_readable(&a).await.unwrap();
            ready.set(true);
        });
        settle().await;
        (&b).write_all(b"x").unwrap();
        // The reactor grants the wait; in the same moment, before the task has run, it is cancelled.
        let also = a.try_clone().unwrap();
        n.start_soon(async move {
            wait_readable(&also).await.unwrap();
            scope.cancel();
        });
    };
    assert!(ready.get());
}

#[trio::test]
async fn waiting_beside_a_socket_takes_nothing_from_it() {
    let mut listener = trio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = trio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 64];
    for _ in 0..10 {
        client.send_all(b"hello").await.unwrap();
        trio::fail_after(secs(30), wait_readable(&server)).await.unwrap().unwrap();
        assert_eq!(trio::fail_after(secs(30), server.receive_some(&mut buffer)).await.unwrap().unwrap(), 5);
        trio::fail_after(secs(30), wait_writable(&server)).await.unwrap().unwrap();
        // A wait that is given up may have used the edge up.
        client.send_all(b"hello").await.unwrap();
        {
            let mut given_up = pin!(wait_readable(&server));
            assert!(!is_ready(given_up.as_mut()).await);
            settle().await;
        }
        assert_eq!(trio::fail_after(secs(30), server.receive_some(&mut buffer)).await.unwrap().unwrap(), 5);
    }
}

/// A duplicate keeps a closed socket open, and the system goes on telling of it, under a mark that belongs to another
/// descriptor by then.
#[trio::test]
async fn what_comes_for_a_closed_socket_concerns_nobody_else() {
    let (mut listener, mut client) = {
        let listener = trio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = trio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener, client)
    };
    let (mut server, _) = listener.accept().await.unwrap();
    let duplicate = server.as_fd().try_clone_to_owned().unwrap();
    server.aclose().await.unwrap();
    let (waiting, mut other) = pair();
    let woken = Cell::new(false);
    trio::nursery! { |n|
        n.start_soon(async {
            wait_readable(&waiting).await.unwrap();
            woken.set(true);
        });
        settle().await;
        client.send_all(b"for the duplicate").await.unwrap();
        trio::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!woken.get(), "it was told of somebody else's data");
        other.write_all(b"x").unwrap();
    }
    assert!(woken.get());
    drop(duplicate);
}
