//! What can be set on sockets.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::SockRef;
use trio::net::{Keepalive, SocketOptions, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use trio::open_tcp_listeners;
use trio::testing::net::Network;

use super::{has_v6, scratch, soon, tcp_pair};
use crate::support::secs;

#[trio::test]
async fn options_are_kept() {
    let (a, mut b) = tcp_pair().await;
    assert_eq!(a.keepalive().unwrap(), None);
    let keepalive = Keepalive::new().idle(secs(77)).interval(secs(7)).retries(5);
    a.set_keepalive(Some(keepalive)).unwrap();
    assert_eq!(a.keepalive().unwrap(), Some(keepalive));
    a.set_keepalive(None).unwrap();
    assert_eq!(a.keepalive().unwrap(), None);
    a.set_ttl(9).unwrap();
    assert_eq!(a.ttl().unwrap(), 9);
    a.set_tos_v4(16).unwrap();
    assert_eq!(a.tos_v4().unwrap(), 16);
    assert_eq!(a.linger().unwrap(), None);
    a.set_user_timeout(Some(secs(3))).unwrap();
    assert_eq!(a.user_timeout().unwrap(), Some(secs(3)));
    a.set_quickack(true).unwrap();
    assert!(a.quickack().unwrap());
    assert!(a.take_error().unwrap().is_none());
    // Zero means a reset.
    a.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(a.linger().unwrap(), Some(Duration::ZERO));
    drop(a);
    assert_eq!(soon(b.receive_some(&mut [0; 8])).await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    if has_v6() {
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        socket.set_unicast_hops_v6(5).unwrap();
        socket.set_multicast_hops_v6(6).unwrap();
        assert_eq!((socket.unicast_hops_v6().unwrap(), socket.multicast_hops_v6().unwrap()), (5, 6));
        assert_eq!(socket.multicast_if_v6().unwrap(), 0);
        let mut listener = TcpListener::bind("[::1]:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_ttl(4).unwrap();
        assert_eq!((client.ttl().unwrap(), SockRef::from(&client).unicast_hops_v6().unwrap()), (4, 4));
        soon(listener.accept()).await.unwrap();
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.set_multicast_if_v4(Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!(socket.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
}

// Closing such a socket would block the run: with the peer silent and something unsent, for all of the time.
#[trio::test]
async fn no_socket_lingers_for_a_time() {
    let refused = |result: std::io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    let (a, _b) = tcp_pair().await;
    refused(a.set_linger(Some(secs(1))));
    assert_eq!(a.linger().unwrap(), None);
    a.set_linger(Some(Duration::ZERO)).unwrap();
    refused(a.set_linger(Some(Duration::from_nanos(1))));
    a.set_linger(None).unwrap();
    assert_eq!(a.linger().unwrap(), None);

    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let host = Network::new().host("host");
    let virtual_listener = host.run(TcpListener::bind("127.0.0.1:80")).await.unwrap();
    let options = SocketOptions::new().linger(secs(1));
    refused(options.connect(address).await.map(drop));
    refused(options.connect(&[address, address][..]).await.map(drop));
    refused(options.listen("127.0.0.1:0").await.map(drop));
    refused(options.bind_udp("127.0.0.1:0").await.map(drop));
    refused(open_tcp_listeners(0, Some("127.0.0.1")).options(options.clone()).await.map(drop));
    // What works in a virtual network works elsewhere.
    refused(host.run(options.connect(virtual_listener.local_addr().unwrap())).await.map(drop));
    refused(host.run(options.listen("127.0.0.1:81")).await.map(drop));

    let client = SocketOptions::new().linger(Duration::ZERO).connect(address).await.unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    drop(client);
    assert_eq!(soon(server.receive_some(&mut [0; 8])).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[trio::test]
async fn every_socket_has_buffers() {
    macro_rules! check {
        ($socket:expr) => {{
            let socket = $socket;
            socket.set_recv_buffer_size(50_000).unwrap();
            socket.set_send_buffer_size(40_000).unwrap();
            // Linux keeps books, and doubles.
            assert!(socket.recv_buffer_size().unwrap() >= 50_000);
            assert!((40_000..=80_000).contains(&socket.send_buffer_size().unwrap()));
            assert!(socket.take_error().unwrap().is_none());
        }};
    }
    check!(tcp_pair().await.0);
    check!(TcpListener::bind("127.0.0.1:0").await.unwrap());
    check!(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    check!(UnixStream::pair().unwrap().0);
    check!(UnixDatagram::pair().unwrap().0);
    check!(UnixListener::from_std(std::os::unix::net::UnixListener::bind(scratch("buffers")).unwrap()).unwrap());
    std::fs::remove_file(scratch("buffers")).unwrap();
}

#[trio::test]
async fn options_are_there_before_the_connection() {
    let keepalive = Keepalive::new().idle(secs(30)).interval(secs(3)).retries(2);
    let options = SocketOptions::new()
        .nodelay(false)
        .keepalive(keepalive)
        .linger(Duration::ZERO)
        .ttl(33)
        .recv_buffer_size(30_000)
        .send_buffer_size(20_000)
        .reuse_address(true)
        .backlog(7);
    let mut listener = options.listen("127.0.0.1:0").await.unwrap();
    let client = options.connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = soon(listener.accept()).await.unwrap();
    assert!(!client.nodelay().unwrap());
    assert!(server.nodelay().unwrap(), "what is accepted has the defaults of its own");
    for stream in [&client, &server] {
        assert_eq!(stream.keepalive().unwrap(), Some(keepalive));
        assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
        assert!((30_000..=60_000).contains(&stream.recv_buffer_size().unwrap()));
    }
    assert_eq!(client.ttl().unwrap(), 33);
    assert_eq!(SocketOptions::new().connect("localhost").await.unwrap_err().kind(), ErrorKind::InvalidInput);

    let socket = SocketOptions::new().broadcast(true).ttl(3).bind_udp("127.0.0.1:0").await.unwrap();
    assert_eq!((socket.broadcast().unwrap(), socket.ttl().unwrap()), (true, 3));
    if has_v6() {
        for only in [false, true] {
            let listener = SocketOptions::new().only_v6(only).listen("[::]:0").await.unwrap();
            assert_eq!(listener.only_v6().unwrap(), only);
            let port = listener.local_addr().unwrap().port();
            assert_eq!(TcpStream::connect(("127.0.0.1", port)).await.is_ok(), !only);
        }
    }
}

#[trio::test]
async fn a_port_is_shared_if_all_say_so() {
    let shared = SocketOptions::new().reuse_port(true);
    let first = shared.listen("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap();
    assert_eq!(TcpListener::bind(address).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    let second = shared.listen(address).await.unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    let again = open_tcp_listeners(address.port(), Some("127.0.0.1")).options(shared.clone()).await.unwrap();
    assert_eq!(again.len(), 1);
    let first = shared.bind_udp("127.0.0.1:0").await.unwrap();
    shared.bind_udp(first.local_addr().unwrap()).await.unwrap();
}
