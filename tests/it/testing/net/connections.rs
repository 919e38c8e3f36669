//! TCP in a virtual network without accidents.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use trio::net::{TcpListener, TcpStream};
use trio::testing::net::{Host, Link, Network};
use trio::testing::{
    assert_checkpoints, check_half_closeable_stream, check_two_way_stream, open_stream_to_socket_listener,
    wait_all_tasks_blocked,
};
use trio::{ErrorGroup, SendStream, StapledStream, current_time, open_tcp_listeners, open_tcp_stream};

use crate::support::secs;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) async fn listen(host: &Host, address: &str) -> io::Result<TcpListener> {
    host.run(TcpListener::bind(address)).await
}

/// Two ends of a connection between two new hosts.
pub(crate) async fn pair(network: &Network) -> (TcpStream, TcpStream) {
    let (client, server) = (network.host("client"), network.host("server"));
    let mut listener = listen(&server, "0.0.0.0:80").await.unwrap();
    let client = client.run(open_tcp_stream("server", 80)).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
    (client, server)
}

fn slow() -> Network {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(20)).jitter(millis(30)));
    network
}

/// Sends as much as there is room for.
pub(crate) async fn clog(stream: &mut impl SendStream) {
    let much = vec![0; 1_000_000];
    let sent = trio::move_on_after(secs(100), stream.send_all(&much)).await;
    assert!(sent.is_none(), "{sent:?}");
}

async fn clogged(network: Network) -> (TcpStream, TcpStream) {
    let (mut client, mut server) = pair(&network).await;
    clog(&mut client).await;
    clog(&mut server).await;
    (client, server)
}

#[trio::test(autojump, schedules = 50)]
async fn streams_pass_the_checks() {
    check_two_way_stream(async || pair(&Network::new()).await, async || clogged(Network::new()).await).await;
    check_half_closeable_stream(async || pair(&Network::new()).await, async || clogged(Network::new()).await).await;
}

#[trio::test(autojump, schedules = 50)]
async fn slow_streams_pass_the_checks() {
    check_two_way_stream(async || pair(&slow()).await, async || clogged(slow()).await).await;
    check_half_closeable_stream(async || pair(&slow()).await, async || clogged(slow()).await).await;
}

/// Two connections, of which each end uses one for each direction.
fn stapled(
    ((send_stream, from), (receive_stream, to)): ((TcpStream, TcpStream), (TcpStream, TcpStream)),
) -> (StapledStream<TcpStream, TcpStream>, StapledStream<TcpStream, TcpStream>) {
    (StapledStream { send_stream, receive_stream }, StapledStream { send_stream: to, receive_stream: from })
}

#[trio::test(autojump, schedules = 50)]
async fn stapled_streams_pass_the_checks() {
    let maker = async || stapled((pair(&Network::new()).await, pair(&Network::new()).await));
    let clogged = async || stapled((clogged(Network::new()).await, clogged(Network::new()).await));
    check_half_closeable_stream(maker, clogged).await;
}

#[trio::test(autojump)]
async fn a_connection_takes_a_round_trip_and_data_half_of_one() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(50)));
    let began = current_time();
    let (mut client, mut server) = pair(&network).await;
    assert_eq!(current_time() - began, millis(100));
    client.send_all(b"x").await.unwrap();
    assert_eq!(current_time() - began, millis(100), "sending does not wait");
    server.receive_some(&mut [0; 8]).await.unwrap();
    assert_eq!(current_time() - began, millis(150));
    client.send_eof().await.unwrap();
    assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(current_time() - began, millis(200));
}

#[trio::test(autojump)]
async fn a_narrow_link_limits_the_rate() {
    let network = Network::new();
    network.set_default_link(Link::new().bandwidth(100_000));
    let (mut client, mut server) = pair(&network).await;
    let began = current_time();
    trio::try_nursery! { |n|
        n.start_soon(async {
            client.send_all(&vec![1; 1_000_000]).await?;
            Ok(client.send_eof().await?)
        });
        let mut buffer = vec![0; 65_536];
        while server.receive_some(&mut buffer).await? > 0 {}
    }
    .unwrap();
    let took = (current_time() - began).as_secs_f64();
    assert!((9.99..10.1).contains(&took), "{took}");
}

#[trio::test(autojump, schedules = 20)]
async fn all_arrives_in_order_however_bad_the_link_is() {
    let network = Network::new();
    let bad = Link::new().latency(millis(10)).jitter(millis(100)).loss(0.3).duplication(0.3).reordering(0.5);
    network.set_default_link(bad);
    let (mut client, mut server) = pair(&network).await;
    let data: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let sent = &data;
    let mut found = Vec::new();
    trio::try_nursery! { |n|
        n.start_soon(async move {
            for piece in sent.chunks(777) {
                client.send_all(piece).await?;
            }
            Ok(client.send_eof().await?)
        });
        let mut buffer = [0; 1000];
        loop {
            match server.receive_some(&mut buffer).await? {
                0 => break,
                count => found.extend_from_slice(&buffer[..count]),
            }
        }
    }
    .unwrap();
    assert!(found == data);
}

#[trio::test(autojump)]
async fn a_sender_waits_for_room() {
    let (mut client, mut server) = pair(&Network::new()).await;
    clog(&mut client).await;
    let room = trio::move_on_after(secs(1), client.wait_send_all_might_not_block()).await;
    assert!(room.is_none());
    server.receive_some(&mut [0; 100]).await.unwrap();
    client.wait_send_all_might_not_block().await.unwrap();
    let sent = trio::move_on_after(secs(1), client.send_all(&[0; 100])).await;
    assert!(sent.unwrap().is_ok());
    let sent = trio::move_on_after(secs(1), client.send_all(&[0; 1])).await;
    assert!(sent.is_none(), "{sent:?}");
}

#[trio::test]
async fn nobody_listens() {
    let network = Network::new();
    let (a, b) = (network.host("a"), network.host_at("b", [Ipv4Addr::new(192, 0, 2, 1)]));
    let connect = async |address: &str| a.run(TcpStream::connect(address)).await.unwrap_err().kind();
    assert_eq!(connect("192.0.2.1:80").await, ErrorKind::ConnectionRefused);
    assert_eq!(connect("b:80").await, ErrorKind::ConnectionRefused);
    assert_eq!(connect("127.0.0.1:80").await, ErrorKind::ConnectionRefused);
    assert_eq!(connect("9.9.9.9:80").await, ErrorKind::HostUnreachable);
    let error = b.run(TcpStream::connect("[fd00::1]:80")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "it has no such address itself");
    let error = a.run(open_tcp_stream("localhost", 80)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let group = std::error::Error::source(&error).unwrap().downcast_ref::<ErrorGroup>().unwrap();
    assert_eq!(group.len(), 2, "both loopback addresses");
    // A listener of the same port on another host, or on another address, is not meant.
    let _elsewhere = listen(&a, "10.0.0.1:80").await.unwrap();
    assert_eq!(connect("127.0.0.1:80").await, ErrorKind::ConnectionRefused);
    a.run(TcpStream::connect("10.0.0.1:80")).await.unwrap();
}

#[trio::test(autojump)]
async fn the_first_address_that_answers_wins() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(10)));
    let client = network.host("client");
    let dead: IpAddr = "fd00:1::1".parse().unwrap();
    let server = network.host_at("server", [dead, Ipv4Addr::new(192, 0, 2, 1).into()]);
    // Only there, so that the other address refuses: after a round trip.
    let mut listener = listen(&server, "192.0.2.1:80").await.unwrap();
    let began = current_time();
    let stream = client.run(open_tcp_stream("server", 80)).await.unwrap();
    assert_eq!(current_time() - began, millis(40));
    assert_eq!(stream.peer_addr().unwrap().to_string(), "192.0.2.1:80");
    listener.accept().await.unwrap();
}

#[trio::test]
async fn an_address_is_bound_once() {
    let network = Network::new();
    let (a, b) = (network.host("a"), network.host("b"));
    let kind = async |host: &Host, address: &str| listen(host, address).await.unwrap_err().kind();
    let all = listen(&a, "0.0.0.0:80").await.unwrap();
    assert_eq!(kind(&a, "0.0.0.0:80").await, ErrorKind::AddrInUse);
    assert_eq!(kind(&a, "10.0.0.1:80").await, ErrorKind::AddrInUse);
    assert_eq!(kind(&a, "127.0.0.1:80").await, ErrorKind::AddrInUse);
    assert_eq!(kind(&a, "10.0.0.2:80").await, ErrorKind::AddrNotAvailable);
    listen(&a, "[::]:80").await.unwrap();
    listen(&b, "0.0.0.0:80").await.unwrap();
    a.run(trio::net::UdpSocket::bind("0.0.0.0:80")).await.unwrap();
    drop(all);
    let one = listen(&a, "10.0.0.1:80").await.unwrap();
    assert_eq!(kind(&a, "0.0.0.0:80").await, ErrorKind::AddrInUse);
    let other = listen(&a, "127.0.0.1:80").await.unwrap();
    assert_ne!(one.local_addr().unwrap(), other.local_addr().unwrap());
    let (chosen, next) = (listen(&a, "0.0.0.0:0").await.unwrap(), listen(&a, "0.0.0.0:0").await.unwrap());
    assert_ne!(chosen.local_addr().unwrap().port(), next.local_addr().unwrap().port());
}

#[trio::test]
async fn a_port_is_free_again_when_its_listener_is_gone() {
    let network = Network::new();
    let host = network.host("a");
    let mut listener = listen(&host, "0.0.0.0:80").await.unwrap();
    let mut client = open_there(&host, &listener).await;
    let (mut server, _) = listener.accept().await.unwrap();
    assert_checkpoints(listener.aclose()).await.unwrap();
    let mut again = listen(&host, "0.0.0.0:80").await.unwrap();
    // The connection stands.
    client.send_all(b"x").await.unwrap();
    assert_eq!(server.receive_some(&mut [0; 8]).await.unwrap(), 1);
    open_there(&host, &again).await;
    again.accept().await.unwrap();
}

async fn open_there(host: &Host, listener: &TcpListener) -> TcpStream {
    host.run(open_stream_to_socket_listener(listener)).await.unwrap()
}

#[trio::test(autojump)]
async fn who_finds_the_queue_full_waits() {
    let network = Network::new();
    let host = network.host("a");
    let mut listeners = host.run(open_tcp_listeners(80, Some("127.0.0.1")).backlog(1)).await.unwrap();
    let listener = &mut listeners[0];
    let connected = Cell::new(0);
    let began = current_time();
    trio::nursery! { |n|
        for _ in 0..3 {
            n.start_soon(host.run(async {
                TcpStream::connect("127.0.0.1:80").await.unwrap();
                connected.set(connected.get() + 1);
            }));
        }
        wait_all_tasks_blocked(Duration::ZERO).await;
        assert_eq!(connected.get(), 2);
        listener.accept().await.unwrap();
    }
    assert_eq!((connected.get(), current_time() - began), (3, secs(1)));
    // One whose client has given up is not waited for.
    let given_up = trio::move_on_after(millis(500), host.run(TcpStream::connect("127.0.0.1:80"))).await;
    assert!(given_up.is_none());
    listener.accept().await.unwrap();
    listener.accept().await.unwrap();
    assert!(trio::move_on_after(secs(10), listener.accept()).await.is_none());
}

#[trio::test(autojump, schedules = 20)]
async fn a_connection_attempt_can_be_given_up() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(100)));
    let (client, server) = (network.host("client"), network.host("server"));
    let mut listener = listen(&server, "0.0.0.0:80").await.unwrap();
    let connect = client.run(TcpStream::connect((server.address(), 80)));
    assert!(trio::move_on_after(millis(150), connect).await.is_none());
    // The server did hear of it, and then that it was over.
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.receive_some(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let nothing = trio::cancel_scope! { |scope|
        scope.cancel();
        client.run(TcpStream::connect((server.address(), 80))).await.unwrap();
    };
    assert!(nothing.is_none());
    assert!(trio::move_on_after(secs(10), listener.accept()).await.is_none(), "that one it did not hear of");
}

#[trio::test]
async fn operations_are_checkpoints() {
    let network = Network::new();
    let host = network.host("a");
    let mut listener = assert_checkpoints(listen(&host, "127.0.0.1:80")).await.unwrap();
    let mut client = assert_checkpoints(host.run(TcpStream::connect("127.0.0.1:80"))).await.unwrap();
    let (mut server, _) = assert_checkpoints(listener.accept()).await.unwrap();
    assert_checkpoints(client.send_all(b"x")).await.unwrap();
    assert_checkpoints(client.send_all(b"")).await.unwrap();
    assert_checkpoints(client.wait_send_all_might_not_block()).await.unwrap();
    assert_checkpoints(server.receive_some(&mut [0; 8])).await.unwrap();
    assert!(client.nodelay().unwrap());
    client.set_nodelay(false).unwrap();
    assert!(!client.nodelay().unwrap());
    assert_eq!(client.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(listener.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[trio::test]
async fn there_is_a_listener_for_each_kind_of_address() {
    let network = Network::new();
    let host = network.host("a");
    let listeners = host.run(open_tcp_listeners(0, None)).await.unwrap();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    assert_eq!(addresses.len(), 2);
    assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6());
    assert!(addresses.iter().all(|address| address.ip().is_unspecified()));
    assert_eq!(addresses[0].port(), addresses[1].port());
    let named = host.run(open_tcp_listeners(80, Some("a"))).await.unwrap();
    let found: Vec<_> = named.iter().map(|listener| listener.local_addr().unwrap().ip()).collect();
    assert_eq!(found, host.addresses());
}

/// A program that knows nothing of virtual networks.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 100];
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.send_all(&buffer[..count]).await?,
        }
    }
}

#[trio::test(autojump, schedules = 20)]
async fn a_server_runs_on_its_host() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(5)).jitter(millis(5)));
    let (server, clients) = (network.host("server"), [network.host("a"), network.host("b")]);
    trio::try_nursery! { |n, scope|
        let serving = server.run(n.start(|status| trio::serve_tcp(echo, 7, None).reporting(status)));
        assert_eq!(serving.await.unwrap().len(), 2);
        trio::try_nursery! { |n|
            for client in &clients {
                n.start_soon(client.run(async {
                    let mut stream = open_tcp_stream("server", 7).await?;
                    stream.send_all(b"hello").await?;
                    let mut answer = [0; 8];
                    assert_eq!(stream.receive_some(&mut answer).await?, 5);
                    io::Result::Ok(())
                }));
            }
        }?;
        scope.cancel();
    }
    .unwrap();
    let error = clients[0].run(open_tcp_stream("server", 7)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// The times at which pieces arrive over a link that varies.
async fn arrivals(seed: u64) -> Vec<Duration> {
    let network = Network::with_seed(seed);
    network.set_default_link(Link::new().latency(millis(1)).jitter(millis(50)).loss(0.1));
    let (mut client, mut server) = pair(&network).await;
    let began = current_time();
    let mut times = Vec::new();
    for _ in 0..20 {
        client.send_all(b"x").await.unwrap();
        server.receive_some(&mut [0; 8]).await.unwrap();
        times.push(current_time() - began);
    }
    times
}

#[trio::test(autojump)]
async fn the_same_seed_gives_the_same_times() {
    let first = arrivals(1).await;
    assert_eq!(arrivals(1).await, first);
    assert_ne!(arrivals(2).await, first);
}
