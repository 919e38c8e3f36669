//! TCP: streams, listeners, names; among ourselves and with programs that know nothing of trio.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use trio::net::{TcpListener, TcpReceiveHalf, TcpSendHalf, TcpStream};
use trio::{AsyncResource, ErrorGroup, HalfCloseableStream, Listener, ReceiveStream, SendStream, open_tcp_stream};

use crate::support::{clog_tcp, forever, is_closed, settle, soon, yields};

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let (mut listener, address) = listener().await;
    let client = soon(TcpStream::connect(address)).await.unwrap();
    let (server, peer) = soon(listener.accept()).await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

/// One end of ours, the other the standard library's.
async fn half_foreign_pair() -> (TcpStream, std::net::TcpStream) {
    let (ours, theirs) = pair().await;
    let theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    (ours, theirs)
}

async fn receive_to_end(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

async fn receive_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut all = vec![0; count];
    let mut got = 0;
    while got < count {
        match soon(stream.receive_some(&mut all[got..])).await.unwrap() {
            0 => panic!("the stream ended after {got} bytes of {count}"),
            more => got += more,
        }
    }
    all
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

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// Whether this is the process that [`alone`] started.
fn is_alone() -> bool {
    std::env::var_os("TRIO_TEST_ALONE").is_some()
}

/// Runs a test of this file again in a process of its own, where no other test opens and closes descriptors, and with
/// at most so many of them.
fn alone(test: &str, descriptors: u32) {
    let module = module_path!().split_once("::").map_or("", |(_, module)| module);
    let program = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {descriptors}; exec \"$0\" --exact '{module}::{test}' --test-threads=1 --nocapture"))
        .arg(program)
        .env("TRIO_TEST_ALONE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    assert!(
        status.status.success() && output.contains("1 passed"),
        "{output}\n{}",
        String::from_utf8_lossy(&status.stderr)
    );
}

// ---------------------------------------------------------------------- data

// trio: _tests/test_highlevel_socket.py::test_SocketStream_send_all
#[trio::test]
async fn all_is_sent_however_much_it_is() {
    const BIG: usize = 10_000_000;
    let (mut a, mut b) = pair().await;
    // Both ends take their turn as the sender.
    for _ in 0..2 {
        let sent = Random(11).bytes(BIG);
        let (sending, receiving) = (&mut a, &mut b);
        trio::nursery! { |n|
            n.start_soon(async {
                sending.send_all(&sent).await.unwrap();
                sending.send_all(b"e").await.unwrap();
            });
            let got = receive_exactly(receiving, BIG + 1).await;
            assert!(got[..BIG] == sent[..], "what arrived is not what was sent");
            assert_eq!(got[BIG], b'e');
        }
        std::mem::swap(&mut a, &mut b);
    }
    a.send_eof().await.unwrap();
    assert_eq!(soon(b.receive_some(&mut [0; 10])).await.unwrap(), 0);
}

#[trio::test]
async fn an_echo_gives_back_what_it_got() {
    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = [0; 5000];
        loop {
            match stream.receive_some(&mut buffer).await? {
                0 => return stream.send_eof().await,
                count => stream.send_all(&buffer[..count]).await?,
            }
        }
    }
    let (mut client, server) = pair().await;
    let mut random = Random(5);
    trio::nursery! { |n|
        n.start_soon(async { echo(server).await.unwrap() });
        for _ in 0..200 {
            let count = 1 + random.below(20_000);
            let question = random.bytes(count);
            client.send_all(&question).await.unwrap();
            assert!(receive_exactly(&mut client, question.len()).await == question);
        }
        client.send_eof().await.unwrap();
        assert_eq!(soon(client.receive_some(&mut [0; 10])).await.unwrap(), 0);
    }
}

/// The largest room, the smallest, and none.
#[trio::test]
async fn a_buffer_without_room_is_refused_and_no_data_is_fine() {
    let (mut a, mut b) = pair().await;
    a.send_all(b"").await.unwrap();
    a.send_all(b"xy").await.unwrap();
    assert_eq!(b.receive_some(&mut []).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut one = [0];
    for expected in *b"xy" {
        assert_eq!(soon(b.receive_some(&mut one)).await.unwrap(), 1);
        assert_eq!(one[0], expected);
    }
}

#[trio::test]
async fn after_the_end_there_is_the_end() {
    let (mut a, mut b) = pair().await;
    a.send_all(b"last words").await.unwrap();
    drop(a);
    assert_eq!(soon(receive_to_end(&mut b)).await.unwrap(), b"last words");
    for _ in 0..3 {
        assert_eq!(soon(b.receive_some(&mut [0; 10])).await.unwrap(), 0);
        settle().await;
    }
}

// trio: _tests/test_highlevel_socket.py::test_socket_stream_works_when_peer_has_already_closed
#[trio::test]
async fn a_peer_that_has_gone_before_it_was_accepted_is_heard() {
    let (mut listener, address) = listener().await;
    let mut early = std::net::TcpStream::connect(address).unwrap();
    early.write_all(b"x").unwrap();
    drop(early);
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    assert_eq!(soon(receive_to_end(&mut stream)).await.unwrap(), b"x");
}

#[trio::test]
async fn one_direction_can_end_before_the_other() {
    let (mut client, mut server) = pair().await;
    client.send_all(b"question").await.unwrap();
    client.send_eof().await.unwrap();
    client.send_eof().await.unwrap();
    assert!(is_closed(client.send_all(b"more").await));
    assert!(is_closed(client.send_all(b"").await));
    assert!(is_closed(client.wait_send_all_might_not_block().await));
    assert_eq!(soon(receive_to_end(&mut server)).await.unwrap(), b"question");
    server.send_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(soon(receive_to_end(&mut client)).await.unwrap(), b"answer");
}

#[trio::test]
async fn two_tasks_use_the_halves_of_a_stream_at_one_time() {
    // More than the system buffers: nobody gets through it if only one direction moves.
    const SIZE: usize = 5_000_000;
    async fn send(to: &mut impl SendStream) -> io::Result<()> {
        to.wait_send_all_might_not_block().await?;
        to.send_all(&vec![7; SIZE]).await
    }
    async fn receive(from: &mut impl ReceiveStream, all: &Cell<usize>) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        while all.get() < SIZE {
            all.set(all.get() + from.receive_some(&mut buffer).await?);
        }
        Ok(())
    }

    let (mut client, mut server) = pair().await;
    let received = [Cell::new(0), Cell::new(0)];
    let (mut client_from, mut client_to) = client.split();
    let (mut server_from, mut server_to) = server.split();
    soon(trio::open_try_nursery(async |n| {
        n.start_soon(send(&mut client_to));
        n.start_soon(send(&mut server_to));
        n.start_soon(receive(&mut client_from, &received[0]));
        n.start_soon(receive(&mut server_from, &received[1]));
        io::Result::Ok(())
    }))
    .await
    .unwrap();
    assert_eq!(received, [Cell::new(SIZE), Cell::new(SIZE)]);
    // A half that is dropped has closed nothing, and the stream is whole again.
    client.send_all(b"?").await.unwrap();
    assert_eq!(soon(server.receive_some(&mut [0; 2])).await.unwrap(), 1);
}

#[trio::test]
async fn closing_a_half_closes_its_direction_for_good() {
    let (mut client, mut server) = pair().await;
    let (mut from, mut to) = client.split();
    assert_eq!(format!("{from:?}").split('(').next(), Some("TcpReceiveHalf"));
    assert_eq!(format!("{to:?}").split('(').next(), Some("TcpSendHalf"));
    to.send_all(b"last words").await.unwrap();
    // Also when it is cancelled.
    let closed = trio::move_on_after(Duration::ZERO, AsyncResource::aclose(&mut to)).await;
    assert!(closed.is_none());
    to.aclose().await.unwrap();
    to.send_eof().await.unwrap();
    assert!(is_closed(to.send_all(b"x").await));
    assert!(is_closed(to.wait_send_all_might_not_block().await));
    assert_eq!(format!("{to:?}"), "TcpSendHalf(closed)");
    assert_eq!(soon(receive_to_end(&mut server)).await.unwrap(), b"last words");
    server.send_all(b"and").await.unwrap();
    assert_eq!(soon(from.receive_some(&mut [0; 9])).await.unwrap(), 3);

    assert!(trio::move_on_after(Duration::ZERO, AsyncResource::aclose(&mut from)).await.is_none());
    from.aclose().await.unwrap();
    assert!(is_closed(from.receive_some(&mut [0; 9]).await));
    assert_eq!(format!("{from:?}"), "TcpReceiveHalf(closed)");
    assert!(is_closed(client.receive_some(&mut [0; 9]).await));
    assert!(is_closed(client.send_all(b"x").await));
    assert!(client.peer_addr().is_ok());

    // `send_eof` of the half is that of the stream.
    let (mut client, mut server) = pair().await;
    client.split().1.send_eof().await.unwrap();
    assert!(is_closed(client.send_all(b"x").await));
    assert_eq!(soon(server.receive_some(&mut [0; 9])).await.unwrap(), 0);

    client.aclose().await.unwrap();
    let (mut from, mut to): (TcpReceiveHalf<'_>, TcpSendHalf<'_>) = client.split();
    assert!(is_closed(from.receive_some(&mut [0; 9]).await));
    assert!(is_closed(to.send_eof().await));
    from.aclose().await.unwrap();
    to.aclose().await.unwrap();
}

#[trio::test]
async fn a_reset_is_an_error_on_both_sides() {
    let (mut ours, theirs) = half_foreign_pair().await;
    SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs);
    assert_eq!(soon(ours.receive_some(&mut [0; 10])).await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    // The reset finds the sender waiting for room.
    let (mut ours, theirs) = half_foreign_pair().await;
    SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
    trio::nursery! { |n|
        n.start_soon(async {
            let error = soon(ours.send_all(&vec![0; 20_000_000])).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        });
        settle().await;
        drop(theirs);
    }
}

/// A read stops before urgent data, however much has come behind it, and so looks as if that was all.
#[cfg(target_os = "linux")]
#[trio::test]
async fn urgent_data_hides_nothing() {
    for wait_between in [false, true] {
        let (mut ours, mut theirs) = half_foreign_pair().await;
        let mut buffer = [0; 64];
        for _ in 0..5 {
            theirs.write_all(b"ab").unwrap();
            SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
            theirs.write_all(b"cd").unwrap();
            let mut got = Vec::new();
            while got.len() < 4 {
                if wait_between {
                    settle().await;
                }
                let count = soon(ours.receive_some(&mut buffer)).await.unwrap();
                got.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(got, b"abcd");
        }
        // Nothing but urgent data makes nobody go round in circles.
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        trio::nursery! { |n|
            n.start_soon(async { assert_eq!(ours.receive_some(&mut buffer).await.unwrap(), 1) });
            settle().await;
            theirs.write_all(b"e").unwrap();
        }
    }
}

#[trio::test]
async fn one_can_wait_for_room() {
    let (mut ours, mut theirs) = half_foreign_pair().await;
    soon(ours.wait_send_all_might_not_block()).await.unwrap();
    clog_tcp(&mut ours, |stream| stream).await;
    let free = Cell::new(false);
    trio::nursery! { |n|
        n.start_soon(async {
            soon(ours.wait_send_all_might_not_block()).await.unwrap();
            free.set(true);
            ours.aclose().await.unwrap();
        });
        settle().await;
        assert!(!free.get());
        theirs.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 100_000];
        loop {
            match theirs.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => trio::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(free.get());
    }
}

// ---------------------------------------------------------------------- cancellation

#[trio::test]
async fn waiting_operations_can_be_cancelled() {
    let (mut listener, address) = listener().await;
    let quickly = Duration::from_millis(5);
    assert!(trio::move_on_after(quickly, listener.accept()).await.is_none());
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    assert!(trio::move_on_after(quickly, client.receive_some(&mut [0; 10])).await.is_none());
    // They are as good as before.
    server.send_all(b"x").await.unwrap();
    assert_eq!(soon(client.receive_some(&mut [0; 10])).await.unwrap(), 1);
    // This one tells us only that it can be interrupted.
    assert!(trio::move_on_after(quickly, client.send_all(&vec![0; 50_000_000])).await.is_none());
}

#[trio::test]
async fn connecting_can_be_cancelled() {
    // With a full queue, and nobody who accepts, connections hang.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(ANY_PORT).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut connected = Vec::new();
    for _ in 0..20 {
        match trio::move_on_after(Duration::from_millis(100), TcpStream::connect(address)).await {
            Some(stream) => connected.push(stream.unwrap()),
            None => {
                let statistics = trio::lowlevel::current_statistics();
                assert_eq!(statistics.io_registrations, connected.len());
                return;
            }
        }
    }
    println!("skipped: this system queues more than it is asked to");
}

#[trio::test]
async fn cancelled_operations_have_no_effect() {
    let (mut listener, address) = listener().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    assert!(trio::move_on_after(Duration::ZERO, listener.accept()).await.is_none());
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    client.send_all(b"x").await.unwrap();
    settle().await;
    assert!(trio::move_on_after(Duration::ZERO, server.receive_some(&mut [0; 10])).await.is_none());
    assert!(trio::move_on_after(Duration::ZERO, client.send_all(b"y")).await.is_none());
    assert!(trio::move_on_after(Duration::ZERO, client.send_eof()).await.is_none());
    client.send_all(b"z").await.unwrap();
    assert_eq!(receive_exactly(&mut server, 2).await, b"xz");
    // But closing closes.
    assert!(trio::move_on_after(Duration::ZERO, client.aclose()).await.is_none());
    assert!(is_closed(client.send_all(b"").await));
    assert_eq!(soon(server.receive_some(&mut [0; 10])).await.unwrap(), 0);
    assert!(trio::move_on_after(Duration::ZERO, listener.aclose()).await.is_none());
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Polls a future a few times, whether it was woken or not, and then drops it, as foreign combinators do.
async fn poll_at_most<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        trio::checkpoint().await;
    }
    None
}

#[trio::test(schedules = 4)]
async fn no_data_is_lost_when_receiving_is_given_up() {
    let mut random = Random(3);
    let data = random.bytes(100_000);
    let (mut ours, mut theirs) = pair().await;
    let (mut got, mut given_up) = (Vec::new(), 0);
    trio::nursery! { |n|
        let sent = &data;
        n.start_soon(async move {
            let (mut random, mut rest) = (Random(4), &sent[..]);
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(1 + random.below(2_000)));
                theirs.send_all(piece).await.unwrap();
                rest = later;
                for _ in 0..random.below(4) {
                    trio::checkpoint().await;
                }
            }
        });
        let mut buffer = [0; 1_000];
        loop {
            let room = 1 + random.below(buffer.len());
            let receiving = ours.receive_some(&mut buffer[..room]);
            let result = match random.below(3) {
                0 => poll_at_most(random.below(4), receiving).await,
                1 => trio::move_on_after(Duration::from_micros(random.below(100) as u64), receiving).await,
                _ => Some(soon(receiving).await),
            };
            match result {
                Some(Ok(0)) => break,
                Some(Ok(count)) => got.extend_from_slice(&buffer[..count]),
                Some(Err(error)) => panic!("{error}"),
                None => given_up += 1,
            }
        }
    }
    assert!(given_up > 10, "only {given_up} were given up");
    assert!(got == data, "{} of {} bytes", got.len(), data.len());
}

#[trio::test(schedules = 4)]
async fn no_connection_is_lost_when_accepting_is_given_up() {
    const CLIENTS: usize = 50;
    let (mut listener, address) = listener().await;
    let mut random = Random(9);
    trio::nursery! { |n|
        for _ in 0..CLIENTS {
            n.start_soon(async move {
                let mut client = TcpStream::connect(address).await.unwrap();
                // Answered if accepted: a connection that is lost would be reset.
                assert_eq!(soon(client.receive_some(&mut [0; 10])).await.unwrap(), 5);
            });
        }
        let mut accepted = 0;
        while accepted < CLIENTS {
            let result = match random.below(3) {
                0 => poll_at_most(random.below(4), listener.accept()).await,
                1 => trio::move_on_after(Duration::from_micros(random.below(100) as u64), listener.accept()).await,
                _ => Some(soon(listener.accept()).await),
            };
            if let Some(result) = result {
                result.unwrap().0.send_all(b"hello").await.unwrap();
                accepted += 1;
            }
        }
    }
}

#[trio::test]
async fn operations_are_checkpoints() {
    let (mut listener, address) = listener().await;
    let std_client = std::net::TcpStream::connect(address).unwrap();
    settle().await;
    let mut server = None;
    assert!(yields(async { server = Some(listener.accept().await.unwrap().0) }).await);
    let mut server = server.unwrap();
    (&std_client).write_all(b"x").unwrap();
    settle().await;
    assert!(yields(server.receive_some(&mut [0; 10])).await);
    assert!(yields(server.send_all(b"x")).await);
    assert!(yields(server.send_all(b"")).await);
    assert!(yields(server.wait_send_all_might_not_block()).await);
    assert!(yields(server.send_eof()).await);
    assert!(yields(server.send_eof()).await);
    assert!(yields(server.aclose()).await);
    assert!(yields(server.aclose()).await);
    assert!(yields(listener.aclose()).await);
    assert!(yields(TcpListener::bind(ANY_PORT)).await);
    assert!(yields(TcpStream::connect(address)).await);
    assert!(yields(open_tcp_stream("127.0.0.1", address.port())).await);
}

// ---------------------------------------------------------------------- connections

#[trio::test]
async fn a_connection_can_be_refused() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // The system's own error, when there is one address.
    assert!(error.raw_os_error().is_some());
    let error = TcpStream::connect(&[address, address][..]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let group = error.source().unwrap().downcast_ref::<ErrorGroup>().unwrap();
    assert_eq!(group.len(), 2);
    assert_eq!(group.first().location().file(), file!());
}

#[trio::test]
async fn a_thousand_connections_are_accepted() {
    const ROUNDS: usize = 10;
    const AT_ONCE: usize = 100;
    let (mut listener, address) = listener().await;
    async fn answer(mut stream: TcpStream) {
        let question = soon(receive_to_end(&mut stream)).await.unwrap();
        stream.send_all(&question).await.unwrap();
    }
    async fn answer_all(listener: &mut TcpListener) {
        trio::nursery! { |n|
            loop {
                n.start_soon(answer(listener.accept().await.unwrap().0));
            }
        }
    }
    async fn ask(address: SocketAddr, number: usize, answered: &RefCell<Vec<usize>>) {
        let mut stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.send_all(number.to_string().as_bytes()).await.unwrap();
        stream.send_eof().await.unwrap();
        let answer = soon(receive_to_end(&mut stream)).await.unwrap();
        answered.borrow_mut().push(String::from_utf8(answer).unwrap().parse().unwrap());
    }
    let answered = RefCell::new(Vec::new());
    trio::nursery! { |n|
        n.start_daemon(answer_all(&mut listener));
        for round in 0..ROUNDS {
            trio::nursery! { |n|
                for number in 0..AT_ONCE {
                    n.start_soon(ask(address, round * AT_ONCE + number, &answered));
                }
            }
        }
    }
    let mut answered = answered.into_inner();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..ROUNDS * AT_ONCE));
    assert_eq!(trio::lowlevel::current_statistics().io_registrations, 1, "only the listener is left");
}

// What the socket is made of is a matter of types here.
// trio: _tests/test_highlevel_socket.py::test_SocketStream_basics
#[trio::test]
async fn small_pieces_go_out_at_once_unless_one_says_otherwise() {
    let (client, server) = pair().await;
    for stream in [client, server] {
        assert!(stream.nodelay().unwrap());
        stream.set_nodelay(false).unwrap();
        assert!(!stream.nodelay().unwrap());
        assert!(!SockRef::from(&stream).tcp_nodelay().unwrap());
    }
}

// trio: _tests/test_highlevel_socket.py::test_SocketListener
#[trio::test]
async fn a_listener_says_who_connects_and_can_be_closed() {
    let (mut listener, address) = listener().await;
    let client = TcpStream::connect(address).await.unwrap();
    let (server, peer) = soon(listener.accept()).await.unwrap();
    assert_eq!((server.local_addr().unwrap(), server.peer_addr().unwrap()), (address, peer));
    assert_eq!((client.local_addr().unwrap(), client.peer_addr().unwrap()), (peer, address));
    listener.aclose().await.unwrap();
    listener.aclose().await.unwrap();
    assert!(is_closed(listener.accept().await));
    assert!(is_closed(listener.local_addr()));
    assert_eq!(format!("{listener:?}"), "TcpListener(closed)");
}

#[trio::test]
async fn what_is_closed_stays_closed() {
    let (mut client, _server) = pair().await;
    client.aclose().await.unwrap();
    client.aclose().await.unwrap();
    assert!(is_closed(client.send_all(b"x").await));
    assert!(is_closed(client.receive_some(&mut [0]).await));
    assert!(is_closed(client.send_eof().await));
    assert!(is_closed(client.wait_send_all_might_not_block().await));
    assert!(is_closed(client.local_addr()));
    assert!(is_closed(client.nodelay()));
    assert_eq!(format!("{client:?}"), "TcpStream(closed)");
    assert!(is_closed(client.into_std()));
}

#[trio::test]
async fn an_address_is_free_again_when_its_listener_is_gone() {
    let (mut first, address) = listener().await;
    let error = TcpListener::bind(address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    // A connection that this side closes first stays known to the system for a while.
    let mut client = TcpStream::connect(address).await.unwrap();
    drop(soon(first.accept()).await.unwrap());
    assert_eq!(soon(client.receive_some(&mut [0; 10])).await.unwrap(), 0);
    drop((first, client));
    TcpListener::bind(address).await.unwrap();
}

#[trio::test]
async fn descriptors_that_are_given_out_anew_are_not_mixed_up() {
    let (mut listener, address) = listener().await;
    // Others wait for data all the time while connections come and go at the same numbers.
    trio::nursery! { |n|
        let mut quiet = Vec::new();
        for _ in 0..10 {
            let mut client = TcpStream::connect(address).await.unwrap();
            quiet.push(soon(listener.accept()).await.unwrap().0);
            n.start_soon(async move {
                let mut buffer = [0; 10];
                assert_eq!(client.receive_some(&mut buffer).await.unwrap(), 3, "nobody else's data");
                assert_eq!(&buffer[..3], b"now");
            });
        }
        let mut numbers = Vec::new();
        for round in 0..100_u32 {
            let mut client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = soon(listener.accept()).await.unwrap();
            numbers.push(std::os::fd::AsFd::as_fd(&client).as_raw_fd());
            // One that waits, and is dropped with data on its way.
            let message = round.to_le_bytes();
            server.send_all(&message).await.unwrap();
            if round % 2 == 0 {
                assert_eq!(receive_exactly(&mut client, 4).await, message);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() < 100, "no number was given out anew");
        for mut stream in quiet {
            stream.send_all(b"now").await.unwrap();
        }
    }
}

#[trio::test]
async fn sockets_come_from_the_standard_library_and_go_back() {
    let std_listener = std::net::TcpListener::bind(ANY_PORT).unwrap();
    let mut listener = TcpListener::from_std(std_listener).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut client = TcpStream::from_std(client).unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    client.send_all(b"x").await.unwrap();
    assert_eq!(receive_exactly(&mut server, 1).await, b"x");
    let server = server.into_std().unwrap();
    server.set_nonblocking(false).unwrap();
    (&server).write_all(b"y").unwrap();
    assert_eq!(receive_exactly(&mut client, 1).await, b"y");
    let listener = listener.into_std().unwrap();
    assert_eq!(TcpListener::from_std(listener).unwrap().local_addr().unwrap(), server.local_addr().unwrap());
}

#[test]
fn a_socket_ends_with_its_run() {
    let (mut client, server) = trio::run(pair());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        trio::run(async {
            // The other run has sockets too.
            let _others = pair().await;
            client.receive_some(&mut [0; 10]).await
        })
    }));
    let panic = panic.unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("another trio run"), "{text}");
    // Dropping them is all that one can do.
    drop(server);
    trio::run(async { drop(client) });
}

#[test]
fn descriptors_do_not_leak() {
    if !is_alone() {
        return alone("descriptors_do_not_leak", 256);
    }
    let open = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let Ok(before) = open() else {
        println!("skipped: there is no /proc/self/fd");
        return;
    };
    for _ in 0..20 {
        trio::run(async {
            let (mut listener, address) = listener().await;
            for round in 0..30 {
                let mut client = TcpStream::connect(address).await.unwrap();
                // Some are never accepted, some given up, some closed in other ways.
                if round % 3 != 0 {
                    let (mut server, _) = soon(listener.accept()).await.unwrap();
                    trio::move_on_after(Duration::ZERO, server.receive_some(&mut [0])).await;
                    trio::nursery! { |n, scope|
                        n.start_soon(async { drop(server.receive_some(&mut [0]).await) });
                        n.start_soon(async { drop(client.receive_some(&mut [0]).await) });
                        settle().await;
                        scope.cancel();
                    };
                    client.aclose().await.unwrap();
                }
                drop(trio::move_on_after(Duration::ZERO, TcpStream::connect(address)).await);
                drop(poll_at_most(1, TcpStream::connect(address)).await);
                drop(poll_at_most(2, open_tcp_stream("127.0.0.1", address.port())).await);
                drop(poll_at_most(3, open_tcp_stream("127.0.0.1", address.port())).await);
            }
            let statistics = trio::lowlevel::current_statistics();
            assert_eq!(statistics.io_registrations, 1);
        });
        assert_eq!(open().unwrap(), before);
    }
}

// That errors of one connection are skipped is tested next to the list of them, since no peer can cause them reliably.
// trio: _tests/test_highlevel_socket.py::test_SocketListener_accept_errors
#[test]
fn a_listener_that_has_run_out_of_descriptors_says_so_and_goes_on() {
    if !is_alone() {
        return alone("a_listener_that_has_run_out_of_descriptors_says_so_and_goes_on", 64);
    }
    trio::run(async {
        let (mut listener, address) = listener().await;
        let mut clients = vec![std::net::TcpStream::connect(address).unwrap()];
        clients.push(std::net::TcpStream::connect(address).unwrap());
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        for _ in 0..3 {
            let error = soon(listener.accept()).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
        }
        drop(hoard);
        for _ in clients {
            soon(listener.accept()).await.unwrap();
        }
    });
}

// ---------------------------------------------------------------------- names

// trio: _tests/test_highlevel_open_tcp_stream.py::test_open_tcp_stream_real_socket_smoketest
#[trio::test]
async fn a_host_can_be_named() {
    let (mut listener, address) = listener().await;
    for host in ["127.0.0.1", "localhost"] {
        let mut client = soon(open_tcp_stream(host, address.port())).await.unwrap();
        let (mut server, _) = soon(listener.accept()).await.unwrap();
        client.send_all(b"x").await.unwrap();
        assert_eq!(receive_exactly(&mut server, 1).await, b"x");
    }
    soon(TcpStream::connect(("localhost", address.port()))).await.unwrap();
    soon(TcpStream::connect(format!("localhost:{}", address.port()))).await.unwrap();
    let named = soon(TcpListener::bind("localhost:0")).await.unwrap();
    assert!(named.local_addr().unwrap().ip().is_loopback());
}

#[trio::test]
async fn an_address_that_means_nothing_is_an_error() {
    for nothing in ["", "nowhere", "127.0.0.1", "localhost:http", "localhost:65536"] {
        let error = TcpStream::connect(nothing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{nothing}");
        assert!(error.to_string().contains(&format!("'{nothing}'")), "{error}");
        assert!(TcpListener::bind(nothing).await.is_err());
    }
    assert_eq!(TcpStream::connect(&[][..]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(TcpListener::bind(&[][..]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    // No resolver has to ask anybody for this one.
    let error = soon(open_tcp_stream("not..a..name", 80)).await.unwrap_err();
    assert!(error.to_string().starts_with("no address was found for not..a..name:80: "), "{error}");
}

#[trio::test]
async fn a_refusal_names_the_host_and_the_reasons() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = soon(open_tcp_stream("127.0.0.1", address.port())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), format!("all attempts to connect to {address} failed: connection refused"));
    let group = error.source().unwrap().downcast_ref::<ErrorGroup>().unwrap();
    assert_eq!(group.first().task_name(), Some(&*format!("connect to {address}")));
    assert_eq!(group.first().location().file(), file!());
    assert!(group.downcast_ref::<io::Error>().unwrap().raw_os_error().is_some());
}

#[trio::test]
async fn a_lookup_can_be_given_up() {
    for _ in 0..20 {
        let caught = trio::nursery! { |n, scope|
            n.start_soon(async {
                let _ = open_tcp_stream("localhost", 1).await;
                forever().await;
            });
            trio::checkpoint().await;
            scope.cancel();
            forever().await;
        };
        assert!(caught.is_none());
    }
}

// ---------------------------------------------------------------------- traits

#[trio::test]
async fn code_can_be_written_for_any_stream() {
    async fn talk(mut stream: impl HalfCloseableStream) -> Vec<u8> {
        stream.wait_send_all_might_not_block().await.unwrap();
        stream.send_all(b"hello").await.unwrap();
        stream.send_eof().await.unwrap();
        let mut buffer = [0; 10];
        let count = stream.receive_some(&mut buffer).await.unwrap();
        stream.aclose().await.unwrap();
        buffer[..count].to_vec()
    }
    async fn answer<L: Listener>(mut listener: L)
    where
        L::Stream: SendStream + ReceiveStream,
    {
        let mut stream = listener.accept().await.unwrap();
        let mut buffer = [0; 10];
        let count = stream.receive_some(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"hello");
        stream.send_all(b"bye").await.unwrap();
        stream.aclose().await.unwrap();
    }
    let (mut listener, address) = listener().await;
    for by_reference in [false, true] {
        let mut client = TcpStream::connect(address).await.unwrap();
        trio::nursery! { |n|
            n.start_soon(answer(&mut listener));
            let said = if by_reference { talk(&mut client).await } else { talk(client).await };
            assert_eq!(said, b"bye");
        }
    }
    AsyncResource::aclose(&mut listener).await.unwrap();
}

// ---------------------------------------------------------------------- programs that know nothing of trio

/// Starts a program; `None`, with the reason printed, if it is not there.
fn program(name: &str, arguments: &[&str]) -> Option<Child> {
    let started = Command::new(name).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) => {
            println!("skipped: {name} can't be started here: {error}");
            None
        }
    }
}

/// What a program prints; it must succeed.
fn output(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[trio::test]
async fn a_python_client_is_served() {
    const SCRIPT: &str = "
import socket, sys, threading
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
data = bytes(i * 7 % 251 for i in range(1_000_000))
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b''
while True:
    piece = s.recv(65536)
    if not piece: break
    got += piece
print('same' if got == data else 'different')
";
    let (mut listener, address) = listener().await;
    let Some(client) = program("python3", &["-c", SCRIPT, &address.port().to_string()]) else { return };
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let data = soon(receive_to_end(&mut stream)).await.unwrap();
    assert_eq!(data.len(), 1_000_000);
    soon(stream.send_all(&data)).await.unwrap();
    drop(stream);
    assert_eq!(output(client).trim(), "same");
}

#[trio::test]
async fn a_python_server_answers() {
    const SCRIPT: &str = "
import socket, sys
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
s, _ = listener.accept()
got = b''
while True:
    piece = s.recv(65536)
    if not piece: break
    got += piece
s.sendall(got[::-1])
s.close()
";
    let Some(mut server) = program("python3", &["-c", SCRIPT]) else { return };
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut stream = soon(open_tcp_stream("localhost", line.trim().parse().unwrap())).await.unwrap();
    let mut data = Random(1).bytes(500_000);
    soon(stream.send_all(&data)).await.unwrap();
    stream.send_eof().await.unwrap();
    let got = soon(receive_to_end(&mut stream)).await.unwrap();
    data.reverse();
    assert!(got == data);
    assert!(server.wait().unwrap().success());
}

#[trio::test]
async fn curl_gets_a_page() {
    let (mut listener, address) = listener().await;
    let url = format!("http://{address}/page");
    let Some(client) = program("curl", &["-sS", "--noproxy", "*", &url]) else { return };
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 1000];
    while !request.ends_with(b"\r\n\r\n") {
        let count = soon(stream.receive_some(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "curl hung up");
        request.extend_from_slice(&buffer[..count]);
    }
    assert!(request.starts_with(b"GET /page HTTP/1.1\r\n"));
    stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, curl").await.unwrap();
    stream.aclose().await.unwrap();
    assert_eq!(output(client), "hello, curl");
}

#[trio::test]
async fn a_duplicate_that_outlives_its_stream_does_no_harm() {
    let (mut client, server) = pair().await;
    let before = trio::lowlevel::current_statistics().io_registrations;
    let duplicate = std::os::fd::AsFd::as_fd(&server).try_clone_to_owned().unwrap();
    drop(server);
    assert_eq!(trio::lowlevel::current_statistics().io_registrations, before - 1);
    // What comes for the duplicate is nobody's business, and its place is somebody else's.
    client.send_all(b"for the duplicate").await.unwrap();
    let (mut left, mut right) = pair().await;
    for _ in 0..10 {
        left.send_all(b"ping").await.unwrap();
        assert_eq!(receive_exactly(&mut right, 4).await, b"ping");
        client.send_all(b".").await.unwrap();
    }
    // It can come back, too.
    let mut again = TcpStream::from_std(duplicate.into()).unwrap();
    assert_eq!(receive_exactly(&mut again, 27).await, b"for the duplicate..........");
    again.send_all(b"thanks").await.unwrap();
    assert_eq!(receive_exactly(&mut client, 6).await, b"thanks");
}
