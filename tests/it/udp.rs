//! UDP on the loopback network of this machine.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use trio::net::{HostnameResolver, Lookup, SocketOptions, UdpSocket, set_custom_hostname_resolver};
use trio::testing::net::Network;
use trio::testing::{assert_checkpoints, wait_all_tasks_blocked};
use trio::{AsyncResource, BusyResourceError, ClosedResourceError};

use crate::support::{has_v6, soon};

async fn pair(ip: IpAddr) -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind((ip, 0)).await.unwrap(), UdpSocket::bind((ip, 0)).await.unwrap())
}

fn is<E: std::error::Error + 'static>(result: &io::Result<impl Sized>) -> bool {
    result.as_ref().is_err_and(|error| error.get_ref().is_some_and(|inner| inner.is::<E>()))
}

async fn datagrams_go_both_ways(ip: IpAddr) {
    let (a, b) = pair(ip).await;
    let (a_address, b_address) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    assert_eq!(a_address.ip(), ip);
    assert_ne!(a_address.port(), b_address.port());
    assert_eq!(a.send_to(b"question", b_address).await.unwrap(), 8);
    let mut buffer = [0; 64];
    assert_eq!(soon(b.peek_from(&mut buffer)).await.unwrap(), (8, a_address));
    buffer = [0; 64];
    assert_eq!(soon(b.recv_from(&mut buffer)).await.unwrap(), (8, a_address));
    assert_eq!(&buffer[..8], b"question");
    b.send_to(b"", &a_address).await.unwrap();
    assert_eq!(soon(a.recv_from(&mut buffer)).await.unwrap(), (0, b_address), "a datagram may be empty");

    assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    assert!(a.send(b"to whom?").await.is_err());
    a.connect(b_address).await.unwrap();
    assert_eq!(a.peer_addr().unwrap(), b_address);
    a.send(b"1234567").await.unwrap();
    assert_eq!(soon(b.recv(&mut buffer[..3])).await.unwrap(), 3, "the rest is lost");
    b.send_to(b"back", a_address).await.unwrap();
    assert_eq!(soon(a.recv(&mut buffer)).await.unwrap(), 4);
    assert_eq!(&buffer[..4], b"back");
    // A stranger is not heard by a connected socket.
    let stranger = UdpSocket::bind((ip, 0)).await.unwrap();
    stranger.send_to(b"stranger", a_address).await.unwrap();
    b.send_to(b"friend", a_address).await.unwrap();
    assert_eq!(soon(a.recv_from(&mut buffer)).await.unwrap(), (6, b_address));
}

#[trio::test]
async fn datagrams_go_both_ways_with_ipv4() {
    datagrams_go_both_ways(Ipv4Addr::LOCALHOST.into()).await;
}

#[trio::test]
async fn datagrams_go_both_ways_with_ipv6() {
    // A machine without IPv6 can't be asked.
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        datagrams_go_both_ways(Ipv6Addr::LOCALHOST.into()).await;
    }
}

#[trio::test]
async fn one_task_sends_while_another_receives() {
    let (a, b) = pair(Ipv4Addr::LOCALHOST.into()).await;
    a.connect(b.local_addr().unwrap()).await.unwrap();
    b.connect(a.local_addr().unwrap()).await.unwrap();
    async fn receive(socket: &UdpSocket) -> io::Result<()> {
        for number in 0..100_u8 {
            let mut buffer = [0; 8];
            assert_eq!((socket.recv(&mut buffer).await?, buffer[0]), (1, number));
        }
        Ok(())
    }
    async fn send(from: &UdpSocket) -> io::Result<()> {
        for number in 0..100 {
            from.send(&[number]).await?;
        }
        Ok(())
    }
    let all = trio::try_nursery! { |n|
        n.start_soon(receive(&a));
        n.start_soon(receive(&b));
        n.start_soon(send(&a));
        n.start_soon(send(&b));
    };
    all.unwrap();
}

#[trio::test]
async fn two_tasks_can_not_wait_for_one_datagram() {
    let (a, b) = pair(Ipv4Addr::LOCALHOST.into()).await;
    let a = &a;
    trio::nursery! { |n|
        let waiting = n.spawn(async { a.recv_from(&mut [0; 8]).await });
        wait_all_tasks_blocked(std::time::Duration::ZERO).await;
        assert!(is::<BusyResourceError>(&soon(a.recv(&mut [0; 8])).await));
        b.send_to(b"x", a.local_addr().unwrap()).await.unwrap();
        assert_eq!(soon(waiting.join()).await.unwrap().unwrap(), (1, b.local_addr().unwrap()));
    }
}

#[trio::test]
async fn a_cancelled_receive_loses_nothing() {
    let (a, b) = pair(Ipv4Addr::LOCALHOST.into()).await;
    let waiting = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                wait_all_tasks_blocked(std::time::Duration::ZERO).await;
                scope.cancel();
            });
            a.recv_from(&mut [0; 8]).await.unwrap()
        }
    };
    assert_eq!(waiting, None);
    let sent = trio::cancel_scope! { |scope|
        scope.cancel();
        b.send_to(b"never", a.local_addr().unwrap()).await.unwrap()
    };
    assert_eq!(sent, None);
    b.send_to(b"abc", a.local_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 8];
    assert_eq!(soon(a.recv(&mut buffer)).await.unwrap(), 3);
    assert_eq!(&buffer[..3], b"abc");
}

#[trio::test]
async fn operations_are_checkpoints_and_end_with_the_close() {
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into()).await;
    let to = b.local_addr().unwrap();
    assert_checkpoints(a.send_to(b"x", to)).await.unwrap();
    assert_checkpoints(a.send_to(b"x", ("127.0.0.1", to.port()))).await.unwrap();
    assert_checkpoints(soon(b.peek_from(&mut [0; 8]))).await.unwrap();
    assert_checkpoints(soon(b.recv_from(&mut [0; 8]))).await.unwrap();
    assert_checkpoints(a.connect(to)).await.unwrap();
    assert_checkpoints(UdpSocket::bind("127.0.0.1:0")).await.unwrap();
    assert_checkpoints(a.aclose()).await.unwrap();
    assert_checkpoints(AsyncResource::aclose(&mut a)).await.unwrap();
    assert!(is::<ClosedResourceError>(&a.send(b"x").await));
    assert!(is::<ClosedResourceError>(&a.recv(&mut [0; 8]).await));
    assert!(is::<ClosedResourceError>(&a.local_addr()));
    assert_eq!(format!("{a:?}"), "UdpSocket(closed)");
    assert!(is::<ClosedResourceError>(&a.into_std()));
}

#[trio::test]
async fn an_address_that_is_taken_is_refused() {
    let (a, _) = pair(Ipv4Addr::LOCALHOST.into()).await;
    let error = UdpSocket::bind(a.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let error = UdpSocket::bind("no port").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let both = [a.local_addr().unwrap(), (Ipv4Addr::LOCALHOST, 0).into()];
    UdpSocket::bind(&both[..]).await.unwrap();
}

#[trio::test]
async fn options_can_be_set() {
    let (a, _) = pair(Ipv4Addr::LOCALHOST.into()).await;
    assert!(!a.broadcast().unwrap());
    a.set_broadcast(true).unwrap();
    assert!(a.broadcast().unwrap());
    a.set_ttl(9).unwrap();
    a.set_multicast_ttl_v4(3).unwrap();
    assert_eq!((a.ttl().unwrap(), a.multicast_ttl_v4().unwrap()), (9, 3));
    assert!(a.multicast_loop_v4().unwrap());
    a.set_multicast_loop_v4(false).unwrap();
    assert!(!a.multicast_loop_v4().unwrap());
    let group = Ipv4Addr::new(239, 1, 2, 3);
    assert!(a.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err(), "it is not a member");
    a.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    a.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    assert!(a.join_multicast_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).is_err(), "that is no group");
}

#[trio::test]
async fn sockets_come_from_the_standard_library_and_go_back() {
    let (theirs, b) =
        (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = theirs.local_addr().unwrap();
    let ours = UdpSocket::from_std(theirs).unwrap();
    b.send_to(b"one", address).await.unwrap();
    assert_eq!(soon(ours.recv(&mut [0; 8])).await.unwrap(), 3);
    let descriptor = ours.as_fd().as_raw_fd();
    let theirs = ours.into_std().unwrap();
    assert_eq!(theirs.as_raw_fd(), descriptor);
    theirs.set_nonblocking(false).unwrap();
    b.send_to(b"three", address).await.unwrap();
    assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 5);
}

// ---------------------------------------------------------------------- names

/// Knows two names of this machine: one that has both addresses, and one that is of IPv4 only.
struct Table;

impl HostnameResolver for Table {
    fn getaddrinfo<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a, Vec<SocketAddr>> {
        let (v4, v6) = ((Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into());
        let found = if host == "both" { vec![v6, v4] } else { vec![v4] };
        Box::pin(async move { Ok(found) })
    }
}

// trio: _tests/test_socket.py::test_SocketType_resolve
#[trio::test]
async fn of_the_addresses_of_a_name_the_sockets_family_has_one() {
    set_custom_hostname_resolver(Some(Rc::new(Table)));
    let mut buffer = [0; 8];
    let (a, b) = pair(Ipv4Addr::LOCALHOST.into()).await;
    let port = b.local_addr().unwrap().port();
    for name in ["both", "old"] {
        a.send_to(b"four", (name, port)).await.unwrap();
        assert_eq!(soon(b.recv_from(&mut buffer)).await.unwrap(), (4, a.local_addr().unwrap()));
    }
    if has_v6() {
        // IPv4 is reached by what is for both.
        let any = SocketOptions::new().only_v6(false).bind_udp("[::]:0").await.unwrap();
        any.send_to(b"four", ("old", port)).await.unwrap();
        let from = soon(b.recv_from(&mut buffer)).await.unwrap().1;
        assert_eq!(from, (Ipv4Addr::LOCALHOST, any.local_addr().unwrap().port()).into());
        let (a, b) = pair(Ipv6Addr::LOCALHOST.into()).await;
        let port = b.local_addr().unwrap().port();
        for socket in [&a, &any] {
            socket.send_to(b"six", ("both", port)).await.unwrap();
            let from = soon(b.recv_from(&mut buffer)).await.unwrap().1;
            assert_eq!(from, (Ipv6Addr::LOCALHOST, socket.local_addr().unwrap().port()).into());
        }
        let only = SocketOptions::new().only_v6(true).bind_udp("[::]:0").await.unwrap();
        assert!(only.send_to(b"four", ("old", port)).await.is_err());
    }

    // The same in a virtual network, where hosts have addresses of both families.
    set_custom_hostname_resolver(None);
    let network = Network::new();
    let (here, there) = (network.host("here"), network.host("there"));
    for (any, position) in [("0.0.0.0:7", 0), ("[::]:7", 1)] {
        let a = here.run(UdpSocket::bind(any)).await.unwrap();
        let b = there.run(UdpSocket::bind(any)).await.unwrap();
        here.run(a.send_to(b"hello", "there:7")).await.unwrap();
        let (count, from) = soon(b.recv_from(&mut buffer)).await.unwrap();
        assert_eq!((count, from.ip()), (5, here.addresses()[position]));
    }
}
