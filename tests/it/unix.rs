//! Unix sockets: streams, listeners and their files, datagrams.

use std::cell::Cell;
use std::fs;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use socket2::SockRef;
use trio::net::{UnixDatagram, UnixListener, UnixStream};
use trio::testing::{assert_checkpoints, check_half_closeable_stream, check_two_way_stream};
use trio::{FdStream, Listener, SendStream, open_unix_socket};

use crate::support::{alone, clog, descriptors, is_closed, secs, settle, soon};

/// A folder that is gone with its value. Its name is short, since addresses are.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trio-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two ends that have both sent as much as the system takes.
async fn clogged<S: SendStream>((mut a, mut b): (S, S)) -> (S, S) {
    clog(&mut a).await;
    clog(&mut b).await;
    (a, b)
}

// ---------------------------------------------------------------------- streams

#[trio::test]
async fn unix_streams_pass_the_checks() {
    let pair = async || UnixStream::pair().unwrap();
    let clogged = async || clogged(pair().await).await;
    trio::fail_after(secs(300), check_two_way_stream(pair, clogged)).await.expect("this hangs");
    trio::fail_after(secs(300), check_half_closeable_stream(pair, clogged)).await.expect("this hangs");
}

#[trio::test]
async fn descriptors_in_both_directions_pass_the_checks() {
    let pair = async || {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        (FdStream::new(a).unwrap(), FdStream::new(b).unwrap())
    };
    let clogged = async || clogged(pair().await).await;
    trio::fail_after(secs(300), check_two_way_stream(pair, clogged)).await.expect("this hangs");
}

#[trio::test]
async fn halves_of_a_descriptor_close_their_direction_only() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut ours, mut theirs) = (FdStream::new(ours).unwrap(), FdStream::new(theirs).unwrap());
    let (mut from, mut to) = ours.split();
    to.send_all_vectored(&mut [IoSlice::new(b""), IoSlice::new(b"on"), IoSlice::new(b"e")]).await.unwrap();
    to.aclose().await.unwrap();
    assert!(is_closed(to.send_all(b"x").await));
    assert_eq!(format!("{to:?}"), "FdSendHalf(closed)");
    assert_eq!(soon(theirs.receive_some(&mut [0; 8])).await.unwrap(), 3);
    theirs.send_all(b"four").await.unwrap();
    let (mut a, mut b) = ([0; 3], [0; 3]);
    let mut buffers = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    assert_eq!(soon(from.receive_some_vectored(&mut buffers)).await.unwrap(), 4);
    from.aclose().await.unwrap();
    assert_eq!(format!("{from:?}"), "FdReceiveHalf(closed)");
    assert!(is_closed(ours.receive_some(&mut [0]).await));
    assert!(is_closed(ours.send_all(b"x").await));
    // The whole is open yet.
    assert!(trio::move_on_after(Duration::from_millis(10), theirs.receive_some(&mut [0])).await.is_none());
    drop(ours);
    assert_eq!(soon(theirs.receive_some(&mut [0])).await.unwrap(), 0);
}

#[trio::test]
async fn halves_are_for_two_tasks() {
    const SIZE: usize = 3_000_000;
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let received = Cell::new(0);
    async fn send(mut to: trio::net::UnixSendHalf<'_>) {
        to.send_all(&vec![1; SIZE]).await.unwrap();
        to.send_eof().await.unwrap();
    }
    async fn receive(mut from: trio::net::UnixReceiveHalf<'_>, received: &Cell<usize>) {
        let mut buffer = vec![0; 10_000];
        loop {
            match from.receive_some(&mut buffer).await.unwrap() {
                0 => return,
                count => received.set(received.get() + count),
            }
        }
    }
    let both = async {
        let ((a_from, a_to), (b_from, b_to)) = (a.split(), b.split());
        trio::nursery! { |n|
            n.start_soon(send(a_to));
            n.start_soon(send(b_to));
            n.start_soon(receive(a_from, &received));
            n.start_soon(receive(b_from, &received));
        }
    };
    soon(both).await;
    assert_eq!(received.get(), 2 * SIZE);
    assert!(is_closed(a.send_all(b"x").await));
}

/// Receives what was sent before, however many reads that takes.
async fn assert_all_comes(stream: &mut UnixStream, expected: &[u8], vectored: bool) {
    let (mut buffer, mut received) = ([0; 64], Vec::new());
    while received.len() < expected.len() {
        let count = match vectored {
            true => soon(stream.receive_some_vectored(&mut [IoSliceMut::new(&mut buffer)])).await.unwrap(),
            false => soon(stream.receive_some(&mut buffer)).await.unwrap(),
        };
        received.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(received, expected);
}

/// A read stops behind what descriptors were sent with, and so looks as if that was all.
async fn data_comes_with_descriptors_and_behind_them() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut ours = UnixStream::from_std(ours).unwrap();
    for vectored in [false, true, false] {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let stdin = io::stdin();
        let fds = [stdin.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&theirs, &[IoSlice::new(b"with")], &mut ancillary, SendFlags::empty()).unwrap();
        theirs.write_all(b"without").unwrap();
        assert_all_comes(&mut ours, b"withwithout", vectored).await;
    }
}

#[trio::test]
async fn descriptors_that_come_along_hide_nothing() {
    data_comes_with_descriptors_and_behind_them().await;
}

/// Nobody may take it for idleness that nobody has looked behind the descriptors yet.
#[trio::test(autojump)]
async fn descriptors_hide_nothing_while_time_is_virtual() {
    let start = trio::current_time();
    data_comes_with_descriptors_and_behind_them().await;
    assert_eq!(trio::current_time(), start);
}

/// Somebody must look behind the descriptors though there is always something else to do.
#[trio::test]
async fn descriptors_hide_nothing_from_a_busy_run() {
    trio::nursery! { |n|
        n.start_daemon(async {
            loop {
                trio::checkpoint().await;
            }
        });
        data_comes_with_descriptors_and_behind_them().await;
    }
}

/// The same between the data of two processes, if somebody has asked for their credentials.
#[trio::test]
async fn a_change_of_credentials_hides_nothing() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    rustix::net::sockopt::set_socket_passcred(&ours, true).unwrap();
    let mut ours = UnixStream::from_std(ours).unwrap();
    for vectored in [false, true] {
        theirs.write_all(b"from here").unwrap();
        let stdout = std::os::fd::OwnedFd::from(theirs.try_clone().unwrap());
        let shell = std::process::Command::new("sh").args(["-c", "printf ' and there'"]).stdout(stdout).status();
        assert!(shell.unwrap().success());
        theirs.write_all(b" and here").unwrap();
        assert_all_comes(&mut ours, b"from here and there and here", vectored).await;
    }
}

/// A read stops before urgent data, which Unix sockets have too. (It is one byte, which only `MSG_OOB` receives.)
#[cfg(target_os = "linux")]
#[trio::test]
async fn urgent_data_hides_nothing() {
    for wait_between in [false, true] {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut ours = UnixStream::from_std(ours).unwrap();
        for _ in 0..5 {
            theirs.write_all(b"ab").unwrap();
            if let Err(error) = SockRef::from(&theirs).send_out_of_band(b"!") {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                return eprintln!("this kernel has no urgent data for Unix sockets");
            }
            theirs.write_all(b"cd").unwrap();
            if wait_between {
                settle().await;
            }
            assert_all_comes(&mut ours, b"abcd", wait_between).await;
        }
    }
}

#[trio::test]
async fn pieces_are_sent_and_received_in_order() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let pieces: Vec<Vec<u8>> = (0..100).map(|number: u8| vec![number; usize::from(number) * 300]).collect();
    let all: Vec<u8> = pieces.concat();
    trio::nursery! { |n|
        let a = &mut a;
        n.start_soon(async {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            soon(a.send_all_vectored(&mut slices)).await.unwrap();
            a.send_eof().await.unwrap();
        });
        let mut received: Vec<u8> = Vec::new();
        loop {
            let (mut one, mut two) = ([0; 1000], [0; 77]);
            let mut buffers = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            let count = soon(b.receive_some_vectored(&mut buffers)).await.unwrap();
            if count == 0 {
                break;
            }
            received.extend(one.iter().chain(&two).take(count));
        }
        assert!(received == all, "something was lost or out of order");
    }
    assert_checkpoints(b.send_all_vectored(&mut [])).await.unwrap();
    let error = b.receive_some_vectored(&mut [IoSliceMut::new(&mut [])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[trio::test]
async fn peeking_takes_nothing() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    assert!(!a.is_readable().unwrap());
    b.send_all(b"abc").await.unwrap();
    let mut buffer = [0; 8];
    for _ in 0..3 {
        assert_eq!(assert_checkpoints(a.peek(&mut buffer)).await.unwrap(), 3);
    }
    assert_eq!(a.peek(&mut buffer[..1]).await.unwrap(), 1);
    assert!(a.is_readable().unwrap());
    assert_eq!(a.receive_some(&mut buffer).await.unwrap(), 3);
    assert_eq!(a.peek(&mut []).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(trio::move_on_after(Duration::from_millis(10), a.peek(&mut buffer)).await.is_none());
    drop(b);
    assert_eq!(soon(a.peek(&mut buffer)).await.unwrap(), 0);
}

#[trio::test]
async fn the_peer_is_vouched_for() {
    let folder = Folder::new("cred");
    let mut listener = UnixListener::bind(folder.path("s")).await.unwrap();
    let client = UnixStream::connect(folder.path("s")).await.unwrap();
    let (server, from) = listener.accept().await.unwrap();
    assert!(from.is_unnamed());
    for stream in [&client, &server] {
        let peer = stream.peer_cred().unwrap();
        assert_eq!(peer.pid(), i32::try_from(std::process::id()).unwrap());
        assert_eq!(peer.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid(), rustix::process::getegid().as_raw());
    }
    assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*folder.path("s")));
    assert!(client.local_addr().unwrap().is_unnamed());
}

// ---------------------------------------------------------------------- connecting

// trio: _tests/test_highlevel_open_unix_stream.py::test_open_unix_socket
#[trio::test]
async fn programs_that_know_nothing_of_trio_are_talked_to() {
    let folder = Folder::new("open");
    let path = folder.path("service");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4];
            stream.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"test");
            stream.write_all(b"response").unwrap();
        }
    });
    async fn ask(path: impl AsRef<Path>) {
        let mut stream = open_unix_socket(path).await.unwrap();
        stream.send_all(b"test").await.unwrap();
        let mut buffer = [0; 2048];
        let count = soon(stream.receive_some(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..count], b"response");
    }
    ask(&path).await;
    ask(path.to_str().unwrap()).await;
    server.join().unwrap();
}

// trio: _tests/test_highlevel_open_unix_stream.py::test_open_bad_socket
#[trio::test]
async fn a_path_without_a_listener_is_refused() {
    let folder = Folder::new("bad");
    let kind = async |path: PathBuf| assert_checkpoints(open_unix_socket(path)).await.unwrap_err().kind();
    assert_eq!(kind(folder.path("nothing")).await, ErrorKind::NotFound);
    drop(std::os::unix::net::UnixListener::bind(folder.path("stale")).unwrap());
    assert_eq!(kind(folder.path("stale")).await, ErrorKind::ConnectionRefused);
    fs::write(folder.path("plain"), "").unwrap();
    assert_eq!(kind(folder.path("plain")).await, ErrorKind::ConnectionRefused);
    assert_eq!(kind(folder.path(&"x".repeat(200))).await, ErrorKind::InvalidInput);
}

// A stream that could not be connected is closed; one that could is not.
// trio: _tests/test_highlevel_open_unix_stream.py::test_close_on_error
#[test]
fn nothing_is_left_open() {
    alone(module_path!(), "nothing_is_left_open", || {
        let folder = Folder::new("leak");
        let path = folder.path("s");
        drop(std::os::unix::net::UnixListener::bind(folder.path("stale")).unwrap());
        let before = descriptors();
        trio::run(async {
            for _ in 0..50 {
                assert!(open_unix_socket(folder.path("stale")).await.is_err());
                assert!(open_unix_socket(folder.path("nothing")).await.is_err());
                let mut listener = UnixListener::bind(&path).await.unwrap();
                assert_eq!(UnixListener::bind(&path).await.unwrap_err().kind(), ErrorKind::AddrInUse);
                let mut client = open_unix_socket(&path).await.unwrap();
                let (mut server, _) = listener.accept().await.unwrap();
                client.send_all(b"x").await.unwrap();
                assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 1);
                assert!(trio::move_on_after(Duration::ZERO, listener.accept()).await.is_none());
                let datagram = UnixDatagram::bind(folder.path("d")).await.unwrap();
                assert!(trio::move_on_after(Duration::ZERO, datagram.recv(&mut [0])).await.is_none());
                assert_eq!(trio::lowlevel::current_statistics().io_registrations, 4);
            }
            assert_eq!(trio::lowlevel::current_statistics().io_registrations, 0);
        });
        assert_eq!(descriptors(), before);
        assert_eq!(folder.files(), 1);
    });
}

#[trio::test]
async fn who_finds_too_many_waiting_waits_too() {
    let folder = Folder::new("many");
    let path = &folder.path("s");
    let mut listener = UnixListener::bind(path).backlog(1).await.unwrap();
    let connected = &Cell::new(0);
    let all = async {
        trio::nursery! { |n|
            for _ in 0..20 {
                n.start_soon(async move {
                    let mut stream = UnixStream::connect(path).await.unwrap();
                    connected.set(connected.get() + 1);
                    assert_eq!(stream.receive_some(&mut [0]).await.unwrap(), 0);
                });
            }
            settle().await;
            assert!(connected.get() < 20, "the queue is longer than was said");
            for _ in 0..20 {
                drop(listener.accept().await.unwrap());
            }
        }
    };
    soon(all).await;
    assert_eq!(connected.get(), 20);
}

// What one waits for is the other program, which does not know of our clock.
#[test]
fn who_waits_to_connect_does_so_in_real_time() {
    // It stands still.
    let clock = trio::testing::MockClock::new();
    trio::Builder::new().clock(clock.clone()).run(async {
        let folder = Folder::new("real");
        let path = &folder.path("s");
        let mut listener = UnixListener::bind(path).backlog(0).await.unwrap();
        let connected = &Cell::new(0);
        trio::nursery! { |n|
            for _ in 0..5 {
                n.start_soon(async move {
                    UnixStream::connect(path).await.unwrap();
                    connected.set(connected.get() + 1);
                });
            }
            settle().await;
            assert!(connected.get() < 5, "the queue is longer than was said");
            // Nobody has set a deadline that a clock could jump to.
            assert_eq!(trio::lowlevel::current_statistics().timers, 0);
            for _ in 0..5 {
                listener.accept().await.unwrap();
            }
        }
        assert_eq!(connected.get(), 5);
        assert_eq!(trio::lowlevel::current_statistics().io_registrations, 1);
    });
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

// trio: _tests/test_socket.py::test_unix_domain_socket
#[trio::test]
async fn names_of_all_kinds_work() {
    async fn check(mut listener: UnixListener, client: impl Future<Output = io::Result<UnixStream>>) {
        let mut client = soon(client).await.unwrap();
        let (mut server, _) = soon(listener.accept()).await.unwrap();
        client.send_all(b"x").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(soon(server.receive_some(&mut buffer)).await.unwrap(), 1);
        assert_eq!(buffer[0], b'x');
    }
    let folder = Folder::new("name");
    let path = folder.path("sock");
    let text = path.to_str().unwrap();
    check(UnixListener::bind(text).await.unwrap(), UnixStream::connect(text)).await;
    check(UnixListener::bind(&path).await.unwrap(), UnixStream::connect(&path)).await;
    check(UnixListener::bind(path.as_os_str()).await.unwrap(), UnixStream::connect(path.as_os_str())).await;
    let address = SocketAddr::from_pathname(&path).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    check(listener, UnixStream::connect_addr(&address)).await;
    // One that is bound to an address as it is leaves its file.
    assert!(path.exists());

    let name = format!("trio-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
    assert_eq!(UnixListener::bind_addr(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
    check(listener, UnixStream::connect_addr(&address)).await;
    let nobody = std::os::unix::net::UnixStream::pair().unwrap().0.local_addr().unwrap();
    assert_eq!(UnixStream::connect_addr(&nobody).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

// ---------------------------------------------------------------------- files

#[trio::test]
async fn a_stale_file_is_replaced() {
    let folder = Folder::new("stale");
    let path = folder.path("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut listener = UnixListener::bind(&path).await.unwrap();
    UnixStream::connect(&path).await.unwrap();
    listener.accept().await.unwrap();
    drop(listener);
    // So are those of datagram sockets.
    drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
    let datagram = UnixDatagram::bind(&path).await.unwrap();
    assert_eq!(UnixDatagram::bind(&path).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(datagram);
    assert_eq!(folder.files(), 0, "each has unlinked its own");
}

#[trio::test]
async fn what_is_in_use_stays() {
    let folder = Folder::new("used");
    let path = folder.path("s");
    let refused = async || {
        let error = UnixListener::bind(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(UnixDatagram::bind(&path).await.unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
    };
    let listener = UnixListener::bind(&path).await.unwrap();
    refused().await;
    // Asking has disturbed nobody.
    assert!(!listener.is_readable().unwrap());
    drop(listener);
    let datagram = UnixDatagram::bind(&path).await.unwrap();
    refused().await;
    assert!(!datagram.is_readable().unwrap());
    drop(datagram);
    // Bound, but not listening yet.
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    refused().await;
    fs::remove_file(&path).unwrap();
    drop(socket);
    fs::write(&path, "precious").unwrap();
    refused().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    // Somebody's link to nothing.
    std::os::unix::fs::symlink(folder.path("nothing"), &path).unwrap();
    let error = UnixListener::bind(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(fs::symlink_metadata(&path).is_ok());
}

#[trio::test]
async fn a_file_goes_with_its_listener_only() {
    let folder = Folder::new("file");
    let path = folder.path("s");
    let mut listener = UnixListener::bind(&path).await.unwrap();
    assert_checkpoints(listener.aclose()).await.unwrap();
    assert!(!path.exists());
    assert!(is_closed(listener.accept().await));
    assert!(is_closed(listener.local_addr()));
    assert_eq!(format!("{listener:?}"), "UnixListener(closed)");
    assert_checkpoints(listener.aclose()).await.unwrap();

    // Cancelled, it closes all the same.
    let mut listener = UnixListener::bind(&path).await.unwrap();
    let closed = trio::cancel_scope! { |scope|
        scope.cancel();
        listener.aclose().await
    };
    assert!(closed.is_none() && !path.exists());

    // Somebody else's file is left alone.
    let listener = UnixListener::bind(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).await.unwrap();
    drop(listener);
    assert!(path.exists());
    // As is that of a listener that was given away.
    drop(other.into_std().unwrap());
    assert!(path.exists());
}

#[trio::test]
async fn permissions_are_there_from_the_first_connection() {
    let folder = Folder::new("mode");
    for mode in [0o600, 0o666, 0o700] {
        let listener = UnixListener::bind(folder.path("s")).mode(mode).await.unwrap();
        let found = fs::metadata(folder.path("s")).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode);
        drop(listener);
    }
}

// Somebody tries to connect all the time; as soon as that works, the file says who may.
#[test]
fn nobody_connects_before_the_permissions_are_there() {
    // What no umask leaves.
    const MODE: u32 = 0o602;
    const ROUNDS: usize = 2000;
    let folder = Folder::new("early");
    let path = |round: usize| folder.path(&round.to_string());
    // In which round the intruder is trying, and in how many it has seen enough. Both threads are awake all the time: what
    // is to be seen does not last long.
    let (trying, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wait_for = |counter: &AtomicUsize, round: usize| {
        let begun = Instant::now();
        while counter.load(Ordering::Acquire) < round {
            assert!(begun.elapsed() < secs(60), "this hangs");
            std::thread::yield_now();
        }
    };
    let intruder = || {
        let begun = Instant::now();
        let mut modes = Vec::new();
        for round in 1..=ROUNDS {
            let path = path(round);
            while std::os::unix::net::UnixStream::connect(&path).is_err() {
                assert!(begun.elapsed() < secs(300), "this hangs");
                trying.store(round, Ordering::Release);
            }
            modes.push(fs::metadata(&path).unwrap().permissions().mode() & 0o777);
            seen.store(round, Ordering::Release);
        }
        modes
    };
    let modes = std::thread::scope(|scope| {
        let intruder = scope.spawn(intruder);
        trio::run(async {
            for round in 1..=ROUNDS {
                wait_for(&trying, round);
                let _listener = soon(UnixListener::bind(path(round)).mode(MODE)).await.unwrap();
                wait_for(&seen, round);
            }
        });
        intruder.join().unwrap()
    });
    assert_eq!(modes, [MODE; ROUNDS]);
}

// Each finds a stale file, and all want its place: one gets it, and the others see it in use.
#[test]
fn of_several_who_replace_a_stale_file_one_does() {
    const THREADS: usize = 4;
    let folder = Folder::new("race");
    for round in 0..50 {
        let path = folder.path(&round.to_string());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (begin, end) = (Barrier::new(THREADS), Barrier::new(THREADS));
        let bind = || {
            begin.wait();
            trio::run(async {
                let result = UnixListener::bind(&path).await;
                end.wait();
                match result {
                    Ok(listener) => {
                        UnixStream::connect(&path).await.unwrap();
                        drop(listener);
                        true
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::AddrInUse);
                        false
                    }
                }
            })
        };
        let winners = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(bind)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(winners, 1);
    }
    assert_eq!(folder.files(), 0);
}

// Files come and go under the eyes of those who want their place: each gets it, or sees it in use.
#[test]
fn files_that_come_and_go_confuse_nobody() {
    let folder = Folder::new("come");
    let path = folder.path("s");
    let bind = || {
        trio::run(async {
            for _ in 0..200 {
                match UnixListener::bind(&path).await {
                    Ok(listener) => drop(listener),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
                }
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(bind);
        }
    });
    assert_eq!(folder.files(), 0);
}

// While another process looks at stale files, binding waits, and can be cancelled.
#[trio::test]
async fn a_locked_folder_is_waited_for() {
    let folder = Folder::new("lock");
    let path = folder.path("s");
    let stale = || drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    stale();
    let lock = fs::File::open(&folder.0).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(trio::move_on_after(Duration::from_millis(50), UnixListener::bind(&path)).await.is_none());
    let bound = &Cell::new(false);
    trio::nursery! { |n|
        n.start_soon(async {
            drop(soon(UnixListener::bind(&path)).await.unwrap());
            bound.set(true);
        });
        settle().await;
        assert!(!bound.get());
        drop(lock);
    }
    assert!(!path.exists());
}

// Also by somebody whose clock stands still.
#[test]
fn a_locked_folder_is_waited_for_in_real_time() {
    let clock = trio::testing::MockClock::new();
    trio::Builder::new().clock(clock.clone()).run(async {
        let folder = Folder::new("clock");
        let path = folder.path("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let lock = fs::File::open(&folder.0).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        trio::nursery! { |n|
            n.start_soon(async { drop(UnixListener::bind(&path).await.unwrap()) });
            settle().await;
            assert_eq!(trio::lowlevel::current_statistics().timers, 0);
            drop(lock);
        }
        assert!(!path.exists());
    });
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

// ---------------------------------------------------------------------- datagrams

#[trio::test]
async fn datagrams_arrive_whole_and_in_order() {
    let (a, b) = UnixDatagram::pair().unwrap();
    for size in [0, 1, 1000] {
        assert_checkpoints(a.send(&vec![7; size])).await.unwrap();
    }
    let mut buffer = [0; 2000];
    assert_eq!(soon(b.recv(&mut buffer)).await.unwrap(), 0);
    assert_eq!(soon(b.peek(&mut buffer)).await.unwrap(), 1);
    assert_eq!(soon(b.recv(&mut buffer)).await.unwrap(), 1);
    assert_eq!(soon(b.recv(&mut buffer[..10])).await.unwrap(), 10, "the rest is lost");
    a.send_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")]).await.unwrap();
    let (mut one, mut two) = ([0; 3], [0; 3]);
    let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(soon(b.recv_vectored(&mut buffers)).await.unwrap(), 5);
    assert_eq!((&one, &two[..2]), (b"hel", &b"lo"[..]));
}

#[trio::test]
async fn datagrams_go_by_path_and_by_address() {
    let folder = Folder::new("dgram");
    let (server_path, client_path) = (folder.path("server"), folder.path("client"));
    let server = UnixDatagram::bind(&server_path).await.unwrap();
    let client = UnixDatagram::bind(&client_path).await.unwrap();
    client.send_to(b"question", &server_path).await.unwrap();
    let mut buffer = [0; 64];
    let (count, from) = soon(server.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..count], from.as_pathname()), (&b"question"[..], Some(&*client_path)));
    server.send_to_addr(b"answer", &from).await.unwrap();
    assert_eq!(soon(client.recv(&mut buffer)).await.unwrap(), 6);
    assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    client.connect(&server_path).unwrap();
    assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*server_path));
    client.send(b"x").await.unwrap();
    assert_eq!(soon(server.recv(&mut buffer)).await.unwrap(), 1);
    drop(server);
    assert!(!server_path.exists());
    assert_eq!(client.send_to(b"x", &server_path).await.unwrap_err().kind(), ErrorKind::NotFound);

    let address = SocketAddr::from_abstract_name(format!("trio-dgram-{}", std::process::id())).unwrap();
    let named = UnixDatagram::bind_addr(&address).unwrap();
    let client = UnixDatagram::unbound().unwrap();
    client.connect_addr(&address).unwrap();
    client.send(b"x").await.unwrap();
    assert_eq!(soon(named.recv(&mut buffer)).await.unwrap(), 1);
}

#[trio::test]
async fn a_sender_waits_for_the_receiver() {
    let (a, b) = UnixDatagram::pair().unwrap();
    let sent = &Cell::new(0_usize);
    let all = async {
        trio::nursery! { |n|
            n.start_soon(async {
                for _ in 0..1000 {
                    a.send(&[0; 100]).await.unwrap();
                    sent.set(sent.get() + 1);
                }
            });
            settle().await;
            assert!(sent.get() < 1000);
            for _ in 0..1000 {
                assert_eq!(b.recv(&mut [0; 200]).await.unwrap(), 100);
            }
        }
    };
    soon(all).await;
}

#[trio::test]
async fn a_closed_datagram_socket_is_closed() {
    let (mut a, b) = UnixDatagram::pair().unwrap();
    assert_checkpoints(a.aclose()).await.unwrap();
    assert_checkpoints(trio::AsyncResource::aclose(&mut a)).await.unwrap();
    assert!(is_closed(a.send(b"x").await));
    assert!(is_closed(a.recv(&mut [0]).await));
    assert!(is_closed(a.local_addr()));
    assert_eq!(format!("{a:?}"), "UnixDatagram(closed)");
    assert!(is_closed(a.into_std()));
    assert_eq!(b.send(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

// ---------------------------------------------------------------------- all of it together

#[trio::test]
async fn a_unix_listener_serves() {
    let folder = Folder::new("serve");
    let path = folder.path("s");
    let listener = UnixListener::bind(&path).await.unwrap();
    let shout = async |mut stream: UnixStream| -> io::Result<()> {
        let mut buffer = [0; 64];
        let count = stream.receive_some(&mut buffer).await?;
        buffer.make_ascii_uppercase();
        stream.send_all(&buffer[..count]).await
    };
    trio::try_nursery! { |n|
        n.start_daemon(trio::serve_listeners(shout, vec![listener]));
        for _ in 0..3 {
            let mut client = open_unix_socket(&path).await?;
            client.send_all(b"hello").await?;
            let mut buffer = [0; 64];
            let count = soon(client.receive_some(&mut buffer)).await?;
            assert_eq!(&buffer[..count], b"HELLO");
        }
    }
    .unwrap();
    assert!(!path.exists());
}

#[trio::test]
async fn streams_come_from_the_standard_library_and_go_back() {
    let (theirs, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    let number = theirs.as_raw_fd();
    let mut ours = UnixStream::from_std(theirs).unwrap();
    assert_eq!(ours.as_fd().as_raw_fd(), number);
    ours.send_all(b"one").await.unwrap();
    let mut buffer = [0; 3];
    other.read_exact(&mut buffer).unwrap();
    let mut theirs = ours.into_std().unwrap();
    assert_eq!(theirs.as_raw_fd(), number);
    theirs.set_nonblocking(false).unwrap();
    other.write_all(b"two").unwrap();
    theirs.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"two");
    // As a listener of any kind.
    async fn accept(listener: &mut impl Listener<Stream = UnixStream>) -> UnixStream {
        soon(listener.accept()).await.unwrap()
    }
    let folder = Folder::new("std");
    let theirs = std::os::unix::net::UnixListener::bind(folder.path("s")).unwrap();
    let mut listener = UnixListener::from_std(theirs).unwrap();
    let _client = UnixStream::connect(folder.path("s")).await.unwrap();
    accept(&mut listener).await;
    drop(listener);
    assert!(folder.path("s").exists(), "it is not ours to unlink");
}
