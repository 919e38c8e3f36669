//! UDP in a virtual network.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use trio::net::UdpSocket;
use trio::testing::net::{Host, Link, Network, UdpPacket};
use trio::testing::{assert_checkpoints, wait_all_tasks_blocked};
use trio::{BusyResourceError, current_time};

use crate::support::{panic_text, secs};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn bind(host: &Host, address: &str) -> io::Result<UdpSocket> {
    host.run(UdpSocket::bind(address)).await
}

/// Two hosts, each with a socket.
async fn pair(network: &Network) -> (UdpSocket, UdpSocket) {
    let (a, b) = (network.host("a"), network.host("b"));
    let (here, there) = (bind(&a, "10.0.0.1:0").await.unwrap(), bind(&b, "10.0.0.2:0").await.unwrap());
    here.connect(there.local_addr().unwrap()).await.unwrap();
    there.connect(here.local_addr().unwrap()).await.unwrap();
    (here, there)
}

/// What arrives until nothing more does.
async fn all(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut buffer = [0; 2000];
    while let Some(count) = trio::move_on_after(secs(60), socket.recv(&mut buffer)).await {
        found.push(buffer[..count.unwrap()].to_vec());
    }
    found
}

// trio: _tests/test_fakenet.py::test_basic_udp
#[trio::test]
async fn datagrams_arrive_with_their_sender() {
    let host = Network::new().host("only");
    let (one, two) = (bind(&host, "127.0.0.1:0").await.unwrap(), bind(&host, "127.0.0.1:0").await.unwrap());
    let address = one.local_addr().unwrap();
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    assert_ne!(address.port(), 0);
    assert_ne!(address, two.local_addr().unwrap());
    let error = bind(&host, &address.to_string()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);

    let mut buffer = [0; 16];
    two.send_to(b"xyz", address).await.unwrap();
    assert_eq!(one.recv_from(&mut buffer).await.unwrap(), (3, two.local_addr().unwrap()));
    assert_eq!(&buffer[..3], b"xyz");
    one.send_to(b"abc", two.local_addr().unwrap()).await.unwrap();
    assert_eq!(two.recv_from(&mut buffer).await.unwrap(), (3, address));
    assert_eq!(&buffer[..3], b"abc");
}

// trio: _tests/test_fakenet.py::test_recv_methods
#[trio::test]
async fn every_way_to_receive_gives_the_datagram() {
    let host = Network::new().host("only");
    let (one, two) = (bind(&host, "127.0.0.1:0").await.unwrap(), bind(&host, "127.0.0.1:0").await.unwrap());
    let (to, from) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    let mut buffer = [0; 16];
    assert_eq!(assert_checkpoints(two.send_to(b"abc", to)).await.unwrap(), 3);
    assert_eq!(assert_checkpoints(one.peek_from(&mut buffer)).await.unwrap(), (3, from));
    assert_eq!(assert_checkpoints(one.recv_from(&mut buffer)).await.unwrap(), (3, from));
    assert_eq!(&buffer[..3], b"abc");
    two.send_to(b"defg", to).await.unwrap();
    assert_eq!(assert_checkpoints(one.recv(&mut buffer)).await.unwrap(), 4);
    assert_eq!(&buffer[..4], b"defg");

    assert_eq!(two.send(b"mno").await.unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(two.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    two.connect(to).await.unwrap();
    assert_eq!(two.peer_addr().unwrap(), to);
    assert_eq!(assert_checkpoints(two.send(b"mno")).await.unwrap(), 3);
    assert_eq!(one.recv(&mut buffer).await.unwrap(), 3);
}

// trio: _tests/test_fakenet.py::test_nonwindows_functionality
#[trio::test]
async fn what_has_no_room_in_the_buffer_is_lost() {
    let host = Network::new().host("only");
    let (one, two) = (bind(&host, "127.0.0.1:0").await.unwrap(), bind(&host, "127.0.0.1:0").await.unwrap());
    let to = one.local_addr().unwrap();
    assert_eq!(two.send(b"jkl").await.unwrap_err().kind(), ErrorKind::NotConnected);
    let mut buffer = [0; 5];
    for (payload, room, found) in [(&b"jkl"[..], 5, 3), (b"xyzw", 5, 4), (b"xyzwv", 2, 2), (b"", 5, 0)] {
        assert_eq!(two.send_to(payload, to).await.unwrap(), payload.len());
        assert_eq!(one.recv_from(&mut buffer[..room]).await.unwrap(), (found, two.local_addr().unwrap()));
        assert_eq!(buffer[..found], payload[..found]);
    }
    wait_all_tasks_blocked(Duration::ZERO).await;
    assert!(trio::move_on_after(millis(1), one.recv(&mut buffer)).await.is_none(), "nothing is left of them");
    let too_long = two.send_to(&vec![0; 65_508], to).await.unwrap_err();
    assert_eq!(too_long.raw_os_error(), Some(90), "EMSGSIZE");
    assert_eq!(two.send_to(&vec![0; 65_507], to).await.unwrap(), 65_507);
}

// trio: _tests/test_fakenet.py::test_init
#[trio::test]
async fn a_wildcard_is_every_address_of_the_host() {
    let network = Network::new();
    let (host, other) = (network.host("h"), network.host("other"));
    for (wildcard, loopback, outside) in [("0.0.0.0:0", "127.0.0.1", 0), ("[::]:0", "::1", 1)] {
        let all = bind(&host, wildcard).await.unwrap();
        let address = all.local_addr().unwrap();
        assert!(address.ip().is_unspecified());
        assert_ne!(address.port(), 0);
        for (from, ip) in [(&host, loopback.parse().unwrap()), (&other, host.addresses()[outside])] {
            let client = bind(from, wildcard).await.unwrap();
            client.send_to(b"x", (ip, address.port())).await.unwrap();
            let (_, source) = all.recv_from(&mut [0; 1]).await.unwrap();
            assert_eq!(source.port(), client.local_addr().unwrap().port());
            let expected: IpAddr = if from.name() == "h" { ip } else { other.addresses()[outside] };
            assert_eq!(source.ip(), expected);
            // And it answers from the address that it was reached at.
            all.send_to(b"y", source).await.unwrap();
            assert_eq!(client.recv_from(&mut [0; 1]).await.unwrap().1, SocketAddr::new(ip, address.port()));
        }
    }
    let error = bind(&host, "10.0.0.2:0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "that is the other's");
}

#[trio::test(autojump)]
async fn datagrams_take_their_time() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(30)));
    let (here, there) = pair(&network).await;
    let began = current_time();
    here.send(b"1").await.unwrap();
    trio::sleep(millis(10)).await;
    here.send(b"2").await.unwrap();
    for (expected, time) in [(b'1', 30), (b'2', 40)] {
        let mut buffer = [0; 1];
        there.recv(&mut buffer).await.unwrap();
        assert_eq!((buffer[0], current_time() - began), (expected, millis(time)));
    }
}

/// What arrives of a hundred datagrams, in order.
async fn hundred(seed: u64, link: Link) -> Vec<u8> {
    let network = Network::with_seed(seed);
    network.set_default_link(link);
    let (here, there) = pair(&network).await;
    for number in 0..100 {
        here.send(&[number]).await.unwrap();
        trio::sleep(millis(1)).await;
    }
    all(&there).await.into_iter().map(|payload| payload[0]).collect()
}

#[trio::test(autojump)]
async fn a_bad_link_loses_doubles_and_reorders() {
    let sent: Vec<u8> = (0..100).collect();
    assert_eq!(hundred(1, Link::new().latency(millis(5))).await, sent);

    let lossy = hundred(1, Link::new().loss(0.5)).await;
    assert!((25..75).contains(&lossy.len()) && lossy.is_sorted(), "{lossy:?}");
    assert!(hundred(1, Link::new().loss(1.0)).await.is_empty());

    let doubled = hundred(1, Link::new().duplication(0.3)).await;
    let mut once = doubled.clone();
    once.dedup();
    assert!((110..150).contains(&doubled.len()) && once == sent, "{doubled:?}");

    for link in [Link::new().latency(millis(10)).reordering(0.3), Link::new().jitter(millis(10))] {
        let mut reordered = hundred(1, link).await;
        assert!(!reordered.is_sorted());
        reordered.sort_unstable();
        assert_eq!(reordered, sent, "none is lost");
    }
}

#[trio::test(autojump)]
async fn the_same_seed_gives_the_same_chances() {
    let bad = Link::new().latency(millis(3)).jitter(millis(9)).loss(0.2).duplication(0.2).reordering(0.2);
    let first = hundred(7, bad).await;
    assert_eq!(hundred(7, bad).await, first);
    assert_ne!(hundred(8, bad).await, first);
}

#[trio::test(autojump)]
async fn a_narrow_link_makes_datagrams_queue() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(10)).bandwidth(1000));
    let (here, there) = pair(&network).await;
    let began = current_time();
    for _ in 0..3 {
        here.send(&[0; 100]).await.unwrap();
    }
    for time in [110, 210, 310] {
        there.recv(&mut [0; 100]).await.unwrap();
        assert_eq!(current_time() - began, millis(time));
    }
}

#[trio::test(autojump)]
async fn nothing_gets_through_a_partition() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(10)));
    let (here, there) = pair(&network).await;
    let (a, b) = (network.host("c"), network.host("d"));
    network.partition(&a, &b);
    here.send(b"others are not affected").await.unwrap();
    there.recv(&mut [0; 100]).await.unwrap();

    let (from, to) = (bind(&a, "0.0.0.0:1").await.unwrap(), bind(&b, "0.0.0.0:1").await.unwrap());
    a.run(from.send_to(b"lost", "d:1")).await.unwrap();
    network.heal(&a, &b);
    a.run(from.send_to(b"cut off", "d:1")).await.unwrap();
    network.partition(&b, &a);
    trio::sleep(secs(1)).await;
    network.heal(&a, &b);
    a.run(from.send_to(b"arrives", "d:1")).await.unwrap();
    assert_eq!(all(&to).await, [b"arrives"]);
}

#[trio::test(autojump)]
async fn a_connected_socket_is_told_that_nobody_is_there() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(10)));
    let (here, there) = pair(&network).await;
    drop(there);
    here.send(b"hello?").await.unwrap();
    assert_eq!(here.recv(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(trio::move_on_after(secs(1), here.recv(&mut [0; 1])).await.is_none(), "once");
}

#[trio::test]
async fn a_router_sees_all_and_decides() {
    let network = Network::new();
    let seen: Rc<RefCell<Vec<UdpPacket>>> = Rc::default();
    let (here, there) = pair(&network).await;
    let see = Rc::clone(&seen);
    network.set_router(move |network, mut packet| {
        see.borrow_mut().push(packet.clone());
        match packet.payload[0] {
            b'd' => {}
            b't' => {
                network.deliver_packet(packet.clone());
                network.transmit(packet);
            }
            _ => {
                packet.payload.reverse();
                network.deliver_packet(packet);
            }
        }
    });
    for word in ["abc", "drop", "two"] {
        here.send(word.as_bytes()).await.unwrap();
    }
    network.remove_router();
    here.send(b"drop").await.unwrap();
    for expected in ["cba", "two", "two", "drop"] {
        let mut buffer = [0; 8];
        let count = there.recv(&mut buffer).await.unwrap();
        assert_eq!(std::str::from_utf8(&buffer[..count]).unwrap(), expected);
    }
    let seen = seen.take();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].source, here.local_addr().unwrap());
    assert_eq!(seen[0].destination, there.local_addr().unwrap());
}

#[trio::test]
async fn a_packet_can_be_made_up() {
    let network = Network::new();
    let (a, b) = (network.host("a"), network.host("b"));
    let socket = bind(&b, "0.0.0.0:9").await.unwrap();
    let liar: SocketAddr = "1.2.3.4:5".parse().unwrap();
    network.deliver_packet(UdpPacket::new(&a, liar, SocketAddr::new(b.address(), 9), *b"x"));
    assert_eq!(socket.recv_from(&mut [0; 8]).await.unwrap(), (1, liar));
    // To where nobody is, nothing is delivered.
    network.deliver_packet(UdpPacket::new(&a, liar, "9.9.9.9:9".parse().unwrap(), *b"x"));
}

#[trio::test]
async fn broadcasts_and_groups_reach_all_who_listen() {
    let network = Network::new();
    let hosts = [network.host("a"), network.host("b"), network.host("c")];
    let group = Ipv4Addr::new(239, 0, 0, 1);
    let mut sockets = Vec::new();
    for host in &hosts {
        sockets.push(bind(host, "0.0.0.0:5").await.unwrap());
    }
    let everybody = (Ipv4Addr::BROADCAST, 5);
    assert_eq!(sockets[0].send_to(b"x", everybody).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    sockets[0].set_broadcast(true).unwrap();
    sockets[0].send_to(b"all", everybody).await.unwrap();
    for socket in &sockets {
        assert_eq!(socket.recv_from(&mut [0; 8]).await.unwrap(), (3, "10.0.0.1:5".parse().unwrap()));
    }

    sockets[0].join_multicast_v4(group, Ipv4Addr::UNSPECIFIED).unwrap();
    sockets[0].set_multicast_loop_v4(false).unwrap();
    sockets[1].join_multicast_v4(group, Ipv4Addr::UNSPECIFIED).unwrap();
    let v6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5);
    sockets[1].join_multicast_v6(v6, 0).unwrap();
    sockets[1].leave_multicast_v6(v6, 0).unwrap();
    assert!(sockets[1].leave_multicast_v6(v6, 0).is_err());
    sockets[0].send_to(b"group", (group, 5)).await.unwrap();
    assert_eq!(sockets[1].recv(&mut [0; 8]).await.unwrap(), 5);
    for other in [0, 2] {
        sockets[1].send_to(b"!", (hosts[other].address(), 5)).await.unwrap();
        assert_eq!(sockets[other].recv(&mut [0; 8]).await.unwrap(), 1, "nothing before this");
    }
}

#[trio::test]
async fn code_runs_on_its_host_and_so_do_its_tasks() {
    let network = Network::new();
    let (a, b) = (network.host("a"), network.host("b"));
    let bound: Cell<Option<IpAddr>> = Cell::new(None);
    trio::nursery! { |outside|
        a.run(async {
            b.run(async { UdpSocket::bind("10.0.0.2:1").await.unwrap() }).await;
            // Wherever it is spawned.
            outside.start_soon(async {
                bound.set(Some(UdpSocket::bind("10.0.0.1:1").await.unwrap().local_addr().unwrap().ip()));
            });
        })
        .await;
    }
    assert_eq!(bound.get(), Some(a.address()));
    // Outside there is the system, which has no such address.
    assert!(UdpSocket::bind("10.0.0.1:1").await.is_err());
}

#[trio::test]
async fn names_are_those_of_the_hosts() {
    let network = Network::new();
    let (a, b) = (network.host("a"), network.host_at("b.example", [Ipv4Addr::new(192, 0, 2, 7)]));
    let server = bind(&b, "0.0.0.0:53").await.unwrap();
    let client = bind(&a, "0.0.0.0:0").await.unwrap();
    a.run(client.send_to(b"?", "B.Example:53")).await.unwrap();
    assert_eq!(server.recv_from(&mut [0; 8]).await.unwrap().1.ip(), a.address());
    let error = a.run(client.send_to(b"?", "nowhere:53")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with("no address was found for nowhere:53"), "{error}");
    let local = a.run(UdpSocket::bind("localhost:0")).await.unwrap();
    assert!(local.local_addr().unwrap().ip().is_loopback());
    assert_eq!(
        format!("{network:?} {b:?}"),
        r#"["a", "b.example"] Host { name: "b.example", addresses: [192.0.2.7] }"#
    );
}

#[trio::test]
async fn a_host_has_one_name_and_its_own_addresses() {
    let network = Network::new();
    network.host("a");
    assert!(panic_text(|| drop(network.host("A"))).contains("already"));
    let taken = Ipv4Addr::new(10, 0, 0, 1);
    assert!(panic_text(|| drop(network.host_at("b", [taken]))).contains("has the address 10.0.0.1 already"));
    assert!(panic_text(|| drop(network.host_at("b", [Ipv4Addr::LOCALHOST]))).contains("can't have"));
    let (b, foreign) = (network.host("b"), Network::new().host("b"));
    assert!(panic_text(|| network.partition(&b, &foreign)).contains("another network"));
    assert!(panic_text(|| _ = Link::new().loss(1.5)).contains("between 0 and 1"));
}

#[trio::test]
async fn a_virtual_socket_has_no_descriptor() {
    let (here, there) = pair(&Network::new()).await;
    assert!(panic_text(|| _ = here.as_fd()).contains("has no descriptor"));
    assert_eq!(here.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(format!("{there:?}"), "Virtual(10.0.0.2:49152)");
}

#[trio::test(schedules = 20)]
async fn one_task_at_a_time_waits_for_a_datagram() {
    let (here, there) = pair(&Network::new()).await;
    let there = &there;
    trio::nursery! { |n|
        let waiting = n.spawn(async { there.recv(&mut [0; 8]).await });
        wait_all_tasks_blocked(Duration::ZERO).await;
        let busy = there.recv(&mut [0; 8]).await.unwrap_err();
        assert!(busy.get_ref().is_some_and(|inner| inner.is::<BusyResourceError>()));
        let cancelled = trio::move_on_after!(Duration::ZERO, { here.recv(&mut [0; 8]).await });
        assert!(cancelled.is_none());
        here.send(b"abc").await.unwrap();
        assert_eq!(waiting.join().await.unwrap().unwrap(), 3);
    }
}

#[trio::test(autojump)]
async fn a_crash_takes_the_sockets_away() {
    let network = Network::new();
    let host = network.host("a");
    let socket = bind(&host, "0.0.0.0:1").await.unwrap();
    let (host, socket) = (&host, &socket);
    trio::nursery! { |n|
        let waiting = n.spawn(async move { socket.recv(&mut [0; 8]).await });
        wait_all_tasks_blocked(Duration::ZERO).await;
        host.crash();
        assert_eq!(waiting.join().await.unwrap().unwrap_err().kind(), ErrorKind::NetworkDown);
    }
    assert_eq!(bind(host, "0.0.0.0:1").await.unwrap_err().kind(), ErrorKind::NetworkDown);
    host.restart();
    bind(host, "0.0.0.0:1").await.unwrap();
    assert_eq!(socket.send_to(b"x", "127.0.0.1:1").await.unwrap_err().kind(), ErrorKind::NetworkDown);
}

#[trio::test]
#[should_panic(expected = "deadlock: no task of this run can ever run again")]
async fn waiting_for_what_nobody_sends_is_found() {
    let (here, there) = pair(&Network::new()).await;
    let _: usize = there.recv(&mut [0; 8]).await.unwrap();
    drop(here);
}

#[trio::test]
async fn a_real_clock_drives_the_network_too() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(5)));
    let (here, there) = pair(&network).await;
    let began = current_time();
    for _ in 0..3 {
        here.send(b"x").await.unwrap();
        trio::fail_after(secs(60), there.recv(&mut [0; 8])).await.expect("this hangs").unwrap();
    }
    assert!(current_time() - began >= millis(15));
}
