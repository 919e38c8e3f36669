//! What a socket is, and what goes through each kind.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Protocol, SockRef, Type};
use trio::net::{Keepalive, SocketOptions, TcpListener, TcpStream, UdpSocket};
use trio::open_tcp_stream;
use trio::testing::net::Network;

use super::{has_v6, is_closed, soon, tcp_pair};
use crate::support::secs;

// trio: _tests/test_socket.py::test_socket
// trio: _tests/test_socket.py::test_socket_v6
#[trio::test]
async fn the_address_says_the_family() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(SockRef::from(&socket).domain().unwrap(), Domain::IPV4);
    if has_v6() {
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        assert_eq!(SockRef::from(&socket).domain().unwrap(), Domain::IPV6);
    }
    // The end of its scope closes it: the address is free again.
    let address = socket.local_addr().unwrap();
    drop(socket);
    UdpSocket::bind(address).await.unwrap();
}

// trio: _tests/test_socket.py::test_from_stdlib_socket
#[trio::test]
async fn a_socket_that_is_taken_over_is_the_same() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut other, _) = listener.accept().unwrap();
    let number = theirs.as_raw_fd();
    let mut ours = TcpStream::from_std(theirs).unwrap();
    assert_eq!(ours.as_fd().as_raw_fd(), number);
    ours.send_all(b"x").await.unwrap();
    let mut buffer = [0; 1];
    other.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"x");
}

// trio: _tests/test_socket.py::test_SocketType_basics
#[trio::test]
async fn a_socket_has_one_descriptor_until_it_is_closed() {
    let (mut a, b) = tcp_pair().await;
    assert!(a.as_fd().as_raw_fd() > 2);
    for socket in [&a, &b] {
        let flags = rustix::io::fcntl_getfd(socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "children inherit nothing");
        let socket = SockRef::from(socket);
        assert_eq!((socket.domain().unwrap(), socket.r#type().unwrap()), (Domain::IPV4, Type::STREAM));
        assert_eq!(socket.protocol().unwrap(), Some(Protocol::TCP));
    }
    assert!(a.nodelay().unwrap());
    a.set_nodelay(false).unwrap();
    assert!(!a.nodelay().unwrap());
    a.aclose().await.unwrap();
    assert!(is_closed(a.nodelay()));
    assert!(is_closed(a.into_std()));
    let number = b.as_fd().as_raw_fd();
    assert_eq!(b.into_std().unwrap().as_raw_fd(), number, "what is given away is not closed");
}

// trio: _tests/test_socket.py::test_SocketType_dup
#[trio::test]
async fn a_duplicate_outlives_the_original() {
    let (mut a, mut b) = tcp_pair().await;
    let duplicate = a.as_fd().try_clone_to_owned().unwrap();
    assert_ne!(duplicate.as_raw_fd(), a.as_fd().as_raw_fd());
    let mut second = TcpStream::from_std(duplicate.into()).unwrap();
    a.aclose().await.unwrap();
    second.send_all(b"x").await.unwrap();
    assert_eq!(soon(b.receive_some(&mut [0; 8])).await.unwrap(), 1);
}

// trio: _tests/test_socket.py::test_SocketType_simple_server
#[trio::test]
async fn addresses_agree_at_both_ends() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        if ip.is_ipv6() && !has_v6() {
            continue;
        }
        let mut listener = TcpListener::bind((ip, 0)).await.unwrap();
        assert_eq!(listener.local_addr().unwrap().ip(), ip);
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, peer) = soon(listener.accept()).await.unwrap();
        assert_eq!(peer, server.peer_addr().unwrap());
        assert_eq!(peer, client.local_addr().unwrap());
        server.send_all(b"x").await.unwrap();
        assert_eq!(soon(client.receive_some(&mut [0; 8])).await.unwrap(), 1);
    }
}

// trio: _tests/test_socket.py::test_SocketType_is_readable
#[trio::test]
async fn readable_is_what_would_not_wait() {
    let (mut a, mut b) = tcp_pair().await;
    assert!(!a.is_readable().unwrap());
    b.send_all(b"x").await.unwrap();
    soon(trio::lowlevel::wait_readable(&a)).await.unwrap();
    assert!(a.is_readable().unwrap());
    assert_eq!(a.receive_some(&mut [0; 1]).await.unwrap(), 1);
    assert!(!a.is_readable().unwrap());
    // Of listeners too.
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(!listener.is_readable().unwrap());
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    soon(trio::lowlevel::wait_readable(&listener)).await.unwrap();
    assert!(listener.is_readable().unwrap());
    listener.accept().await.unwrap();
    a.aclose().await.unwrap();
    assert!(is_closed(a.is_readable()));
}

// trio: _tests/test_socket.py::test_send_recv_variants
#[trio::test]
async fn data_is_sent_and_received_in_every_way() {
    let (mut a, mut b) = tcp_pair().await;
    a.send_all(b"x").await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(soon(b.peek(&mut buffer)).await.unwrap(), 1);
    assert_eq!(soon(b.receive_some(&mut buffer)).await.unwrap(), 1);
    a.send_all_vectored(&mut [IoSlice::new(b"yx"), IoSlice::new(b"xx")]).await.unwrap();
    let (mut one, mut two) = ([0; 1], [0; 9]);
    let mut got = 0;
    while got < 4 {
        let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        got += soon(b.receive_some_vectored(&mut buffers)).await.unwrap();
    }
    assert_eq!((&one, &two[..3]), (b"y", &b"xxx"[..]));
    let (mut from, mut to) = a.split();
    to.send_all_vectored(&mut [IoSlice::new(b"half")]).await.unwrap();
    b.send_all(b"back").await.unwrap();
    assert_eq!(soon(b.receive_some(&mut buffer)).await.unwrap(), 4);
    assert_eq!(soon(from.receive_some_vectored(&mut [IoSliceMut::new(&mut buffer)])).await.unwrap(), 4);

    // Datagrams, to an address and to a name.
    let (c, d) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let to = d.local_addr().unwrap();
    let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"c")];
    assert_eq!(c.send_to_vectored(&pieces, to).await.unwrap(), 3);
    assert_eq!(c.send_to(b"de", ("127.0.0.1", to.port())).await.unwrap(), 2);
    assert_eq!(c.send_to_vectored(&pieces, ("localhost", to.port())).await.unwrap(), 3);
    let from = c.local_addr().unwrap();
    assert_eq!(soon(d.recv_from(&mut buffer)).await.unwrap(), (3, from));
    assert_eq!(soon(d.peek(&mut buffer)).await.unwrap(), 2);
    let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(soon(d.recv_vectored(&mut buffers)).await.unwrap(), 2);
    assert_eq!((&one, &two[..1]), (b"d", &b"e"[..]));
    // A connected socket keeps them apart too.
    d.connect(from).await.unwrap();
    c.connect(to).await.unwrap();
    assert_eq!(soon(d.recv(&mut buffer)).await.unwrap(), 3);
    c.send(b"a").await.unwrap();
    c.send_vectored(&pieces).await.unwrap();
    assert_eq!(soon(d.recv(&mut buffer)).await.unwrap(), 1);
    assert_eq!(soon(d.recv(&mut buffer)).await.unwrap(), 3);
}

// The same calls where there is no system.
#[trio::test(autojump)]
async fn a_virtual_network_takes_them_all() {
    let network = Network::new();
    let (client, server) = (network.host("client"), network.host("server"));
    let mut listener = server.run(SocketOptions::new().reuse_port(true).listen("0.0.0.0:80")).await.unwrap();
    let connect = client.run(open_tcp_stream("server", 80).happy_eyeballs_delay(None));
    let (mut a, (mut b, _)) = (connect.await.unwrap(), listener.accept().await.unwrap());
    a.send_all_vectored(&mut [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo")]).await.unwrap();
    trio::sleep(secs(1)).await;
    let mut buffer = [0; 8];
    assert_eq!(b.peek(&mut buffer[..1]).await.unwrap(), 1);
    assert_eq!(b.peek(&mut buffer).await.unwrap(), 5);
    let mut buffers = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut buffer)];
    assert_eq!(b.receive_some_vectored(&mut buffers).await.unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
    a.set_keepalive(Some(Keepalive::new())).unwrap();
    a.set_send_buffer_size(10).unwrap();
    assert_eq!(a.keepalive().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(a.is_readable().unwrap_err().kind(), ErrorKind::Unsupported);
    a.send_eof().await.unwrap();
    trio::sleep(secs(1)).await;
    assert_eq!(b.peek(&mut buffer).await.unwrap(), 0);

    let c = client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap();
    let d = server.run(SocketOptions::new().bind_udp("0.0.0.0:53")).await.unwrap();
    client.run(c.send_to_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"bc")], ("server", 53))).await.unwrap();
    client.run(c.connect(("server", 53))).await.unwrap();
    c.send_vectored(&[IoSlice::new(b"d")]).await.unwrap();
    let (mut one, mut two) = ([0; 2], [0; 9]);
    let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(d.recv_vectored(&mut buffers).await.unwrap(), 3);
    assert_eq!((&one, two[0]), (b"ab", b'c'));
    assert_eq!(d.peek(&mut buffer).await.unwrap(), 1);
}
