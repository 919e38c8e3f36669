//! Servers: `open_tcp_listeners`, `serve_listeners` and `serve_tcp`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use trio::net::{TcpListener, TcpStream};
use trio::testing::net::Network;
use trio::testing::{
    MemoryStream, assert_checkpoints, memory_stream_pair, open_stream_to_socket_listener, wait_all_tasks_blocked,
};
use trio::{
    BoxError, ErrorGroup, Listener, MemoryReceiver, MemorySender, SendStream, current_time, open_memory_channel,
    open_tcp_listeners, open_tcp_stream,
};

use crate::support::{has_v6, secs, soon};

// ---------------------------------------------------------------------- open_tcp_listeners

// trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_basic
#[trio::test]
async fn wildcard_listeners_take_connections_before_they_accept() {
    let mut listeners = assert_checkpoints(open_tcp_listeners(0, None)).await.unwrap();
    let addresses: Vec<SocketAddr> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    assert!(!addresses.is_empty());
    for address in &addresses {
        assert!(address.ip().is_unspecified());
        assert_ne!(address.port(), 0);
    }
    for listener in &mut listeners {
        let mut clients = [
            soon(open_stream_to_socket_listener(listener)).await.unwrap(),
            soon(open_stream_to_socket_listener(listener)).await.unwrap(),
        ];
        for _ in 0..2 {
            let (mut server, _) = soon(listener.accept()).await.unwrap();
            server.send_all(b"x").await.unwrap();
        }
        for client in &mut clients {
            assert_eq!(soon(client.receive_some(&mut [0; 8])).await.unwrap(), 1);
        }
    }
}

// trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_specific_port_specific_host
#[trio::test]
async fn one_address_has_one_listener() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listeners = open_tcp_listeners(port, Some("127.0.0.1")).await.unwrap();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    assert_eq!(addresses, [SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
}

// trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_ipv6_v6only
#[trio::test]
async fn a_listener_for_ipv6_leaves_ipv4_alone() {
    if !has_v6() {
        return;
    }
    for host in [Some("::1"), None] {
        let mut listeners = open_tcp_listeners(0, host).await.unwrap();
        listeners.retain(|listener| listener.local_addr().unwrap().is_ipv6());
        let [listener] = &listeners[..] else { panic!("{listeners:?}") };
        let port = listener.local_addr().unwrap().port();
        let refused = soon(open_tcp_stream("127.0.0.1", port)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        soon(open_tcp_stream("::1", port)).await.unwrap();
    }
}

// trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_rebind
#[trio::test]
async fn an_address_is_bound_once_and_free_again_after_the_close() {
    let mut listeners = open_tcp_listeners(0, Some("127.0.0.1")).await.unwrap();
    let port = listeners[0].local_addr().unwrap().port();
    let error = open_tcp_listeners(port, Some("127.0.0.1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    assert!(socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).is_err());

    // One connection that stands, and one that this side has ended, which leaves it in TIME_WAIT.
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..2 {
        clients.push(soon(open_tcp_stream("127.0.0.1", port)).await.unwrap());
        servers.push(soon(listeners[0].accept()).await.unwrap().0);
    }
    drop(servers.pop());
    assert_eq!(soon(clients[1].receive_some(&mut [0; 8])).await.unwrap(), 0);
    drop(clients.pop());
    drop(listeners);
    let mut again = open_tcp_listeners(port, Some("127.0.0.1")).await.unwrap();
    soon(open_tcp_stream("127.0.0.1", port)).await.unwrap();
    soon(again[0].accept()).await.unwrap();
}

#[trio::test]
async fn a_host_without_a_name_is_an_error() {
    let network = Network::new();
    let error = network.host("a").run(open_tcp_listeners(80, Some("b"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

// ---------------------------------------------------------------------- serve_listeners

/// A listener whose connections, and errors, come from the test.
struct Scripted {
    next: MemoryReceiver<io::Result<MemoryStream>>,
    closed: Rc<Cell<usize>>,
}

/// The test's side of it.
struct Script {
    next: MemorySender<io::Result<MemoryStream>>,
}

impl Script {
    fn new(closed: &Rc<Cell<usize>>) -> (Self, Scripted) {
        let (sender, receiver) = open_memory_channel(usize::MAX);
        (Self { next: sender }, Scripted { next: receiver, closed: Rc::clone(closed) })
    }

    async fn connect(&self) -> MemoryStream {
        let (client, server) = memory_stream_pair();
        self.next.send(Ok(server)).await.unwrap();
        client
    }

    async fn fail(&self, code: i32) {
        self.next.send(Err(io::Error::from_raw_os_error(code))).await.unwrap();
    }
}

impl Listener for Scripted {
    type Stream = MemoryStream;

    async fn accept(&mut self) -> io::Result<MemoryStream> {
        self.next.receive().await.expect("the test keeps its side")
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.closed.set(self.closed.get() + 1);
    }
}

// trio: _tests/test_highlevel_serve_listeners.py::test_serve_listeners_basic
#[trio::test(schedules = 20)]
async fn each_connection_has_a_task_and_is_closed_after_it() {
    let closed = Rc::new(Cell::new(0));
    let (scripts, listeners): (Vec<_>, Vec<_>) = (0..2).map(|_| Script::new(&closed)).unzip();
    let (inside, most) = (Cell::new(0), Cell::new(0));
    let all_in = trio::Event::new();
    let handler = async |mut stream: MemoryStream| {
        inside.set(inside.get() + 1);
        most.set(most.get().max(inside.get()));
        if inside.get() == 6 {
            all_in.set();
        }
        // They are there at the same time.
        all_in.wait().await;
        stream.send_all(b"x").await
    };
    let served = trio::try_nursery! { |n, scope|
        n.start(|status| trio::serve_listeners(&handler, listeners).reporting(status)).await.unwrap();
        let mut clients = Vec::new();
        for script in scripts.iter().chain(&scripts).chain(&scripts) {
            clients.push(script.connect().await);
        }
        for client in &mut clients {
            let mut buffer = [0; 8];
            assert_eq!(trio::ReceiveStream::receive_some(client, &mut buffer).await?, 1);
            assert_eq!(trio::ReceiveStream::receive_some(client, &mut buffer).await?, 0, "closed");
        }
        assert_eq!((most.get(), closed.get()), (6, 0));
        scope.cancel();
        trio::sleep_forever().await;
    };
    assert!(served.unwrap().is_none());
    assert_eq!(closed.get(), 2, "the listeners end with the server");
}

// trio: _tests/test_highlevel_serve_listeners.py::test_serve_listeners_accept_unrecognized_error
#[trio::test]
async fn an_error_of_the_listener_is_the_servers() {
    for code in [libc_like::ECONNABORTED, libc_like::EBADF] {
        let closed = Rc::new(Cell::new(0));
        let ((script, listener), (_other, other)) = (Script::new(&closed), Script::new(&closed));
        script.fail(code).await;
        let group = trio::serve_listeners(async |_| {}, [listener, other]).await.unwrap_err();
        assert_eq!(group.len(), 1);
        assert_eq!(group.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(code));
        assert_eq!(closed.get(), 2);
    }
}

/// Linux's numbers, which are those of `libc`.
mod libc_like {
    pub(super) const EBADF: i32 = 9;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ECONNABORTED: i32 = 103;
    pub(super) const ENOBUFS: i32 = 105;
}

#[trio::test(autojump)]
async fn a_listener_that_has_run_out_of_something_tries_again_later() {
    let closed = Rc::new(Cell::new(0));
    let (script, listener) = Script::new(&closed);
    for code in [libc_like::EMFILE, libc_like::ENFILE, libc_like::ENOMEM, libc_like::ENOBUFS] {
        script.fail(code).await;
    }
    let _client = script.connect().await;
    let began = current_time();
    let accepted = Cell::new(None);
    trio::try_nursery! { |_n, scope|
        let handler = async |_: MemoryStream| {
            accepted.set(Some(current_time() - began));
            scope.cancel();
        };
        let error = trio::serve_listeners(handler, [listener]).await;
        panic!("{error:?}");
    }
    .unwrap();
    assert_eq!(accepted.get(), Some(Duration::from_millis(400)));
}

#[derive(Debug)]
struct Done;

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("done")
    }
}

impl std::error::Error for Done {}

// trio: _tests/test_highlevel_serve_listeners.py::test_serve_listeners_connection_nursery
#[trio::test(autojump)]
async fn handlers_can_live_in_another_nursery() {
    let closed = Rc::new(Cell::new(0));
    let (script, listener) = Script::new(&closed);
    let handler = async |_: MemoryStream| trio::sleep(secs(1)).await;
    let result = trio::try_nursery! { |handlers|
        trio::try_nursery! { |n|
            let server = trio::serve_listeners(handler, [listener]).handlers_in(handlers);
            n.start(|status| server.reporting(status)).await.unwrap();
            for _ in 0..10 {
                script.connect().await;
            }
            wait_all_tasks_blocked(Duration::ZERO).await;
            assert_eq!((handlers.child_count(), n.child_count()), (10, 1));
            Err::<(), _>(Done)?;
        }?;
    };
    let group = result.unwrap_err();
    assert_eq!(group.len(), 1);
    let inner = group.first().error().downcast_ref::<ErrorGroup>().unwrap();
    assert_eq!(inner.len(), 1);
    assert!(inner.downcast_ref::<Done>().is_some());
}

#[trio::test]
async fn a_handler_that_fails_takes_the_server_down() {
    let closed = Rc::new(Cell::new(0));
    let (script, listener) = Script::new(&closed);
    let _clients = [script.connect().await, script.connect().await];
    let calls = Cell::new(0);
    let handler = async |_: MemoryStream| {
        calls.set(calls.get() + 1);
        if calls.get() == 2 { Err(Done) } else { trio::sleep_forever().await }
    };
    let group = trio::serve_listeners(handler, [listener]).await.unwrap_err();
    assert!(group.downcast_ref::<Done>().is_some());
    assert_eq!((group.len(), closed.get()), (1, 1));
    trio::serve_listeners(handler, Vec::<Scripted>::new()).await.expect("without listeners there is nothing to do");
}

/// An error type of one's own.
#[derive(Debug)]
enum Trouble {
    System(io::Error),
    Done,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Done> for Trouble {
    fn from(_: Done) -> Self {
        Self::Done
    }
}

#[trio::test]
async fn errors_can_be_of_any_type() {
    let closed = Rc::new(Cell::new(0));
    let (script, listener) = Script::new(&closed);
    script.connect().await;
    let handler = async |_: MemoryStream| Err::<(), _>(Done);
    let group = trio::serve_listeners(handler, [listener]).failing_with::<Trouble>().await.unwrap_err();
    assert!(matches!(group.first().error(), Trouble::Done));
    let (script, listener) = Script::new(&closed);
    script.fail(libc_like::EBADF).await;
    let group = trio::serve_listeners(handler, [listener]).failing_with::<Trouble>().await.unwrap_err();
    assert!(matches!(group.first().error(), Trouble::System(error) if error.raw_os_error() == Some(libc_like::EBADF)));
}

// ---------------------------------------------------------------------- serve_tcp

// trio: _tests/test_highlevel_open_tcp_listeners.py::test_serve_tcp
#[trio::test]
async fn a_tcp_server_tells_where_it_listens() {
    let handler = async |mut stream: TcpStream| stream.send_all(b"x").await;
    let served = trio::try_nursery! { |n, scope|
        let serving = n.start(|status| trio::serve_tcp(handler, 0, Some("127.0.0.1")).reporting(status));
        let addresses = soon(serving).await.unwrap();
        let mut client = soon(TcpStream::connect(addresses[0])).await?;
        assert_eq!(soon(client.receive_some(&mut [0; 8])).await?, 1);
        scope.cancel();
        trio::sleep_forever().await;
    };
    assert!(served.unwrap().is_none());
}

#[trio::test]
async fn what_keeps_a_server_from_listening_is_its_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let group = trio::serve_tcp(async |_| {}, port, Some("127.0.0.1")).await.unwrap_err();
    assert_eq!(group.downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::AddrInUse);
    // For whoever starts it, too.
    let result = trio::try_nursery! { |n|
        let serving = n.start(|status| trio::serve_tcp(async |_| {}, port, Some("127.0.0.1")).reporting(status));
        let error: BoxError = serving.await.unwrap_err().into_error().unwrap();
        assert!(error.downcast_ref::<ErrorGroup>().is_some());
    };
    result.unwrap();
}

#[trio::test(schedules = 10)]
async fn a_handler_may_borrow_and_be_a_plain_function() {
    async fn refuse(_: TcpStream) -> io::Result<()> {
        Ok(())
    }
    let network = Network::new();
    let host = network.host("a");
    let peers: RefCell<Vec<SocketAddr>> = RefCell::default();
    let note = async |stream: TcpStream| peers.borrow_mut().push(stream.peer_addr().unwrap());
    host.run(async {
        trio::try_nursery! { |n|
            n.start_daemon(trio::serve_tcp(note, 1, None));
            n.start_daemon(trio::serve_tcp(refuse, 2, None));
            wait_all_tasks_blocked(Duration::ZERO).await;
            for port in [1, 2] {
                let mut client = open_tcp_stream("localhost", port).await?;
                assert_eq!(client.receive_some(&mut [0; 8]).await?, 0);
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(peers.borrow().len(), 1);
}
