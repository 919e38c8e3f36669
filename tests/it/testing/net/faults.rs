//! What can happen to connections: resets, partitions, crashes.

use std::io::ErrorKind;
use std::time::Duration;

use trio::current_time;
use trio::net::{TcpStream, UdpSocket};
use trio::testing::net::{Host, Link, Network};
use trio::testing::wait_all_tasks_blocked;

use super::connections::{listen, pair};
use crate::support::secs;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Two hosts that are ten milliseconds apart, and a connection between them.
async fn connected() -> (Network, Host, Host, TcpStream, TcpStream) {
    let network = Network::new();
    network.set_default_link(Link::new().latency(millis(10)));
    let (a, b) = (network.host("a"), network.host("b"));
    let mut listener = listen(&b, "0.0.0.0:80").await.unwrap();
    let client = a.run(TcpStream::connect((b.address(), 80))).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (network, a, b, client, server)
}

#[trio::test(autojump)]
async fn a_close_is_an_end_after_all_that_was_sent() {
    let (mut client, mut server) = pair(&Network::new()).await;
    client.send_all(b"last words").await.unwrap();
    client.aclose().await.unwrap();
    assert_eq!(server.receive_some(&mut [0; 64]).await.unwrap(), 10);
    assert_eq!(server.receive_some(&mut [0; 64]).await.unwrap(), 0);
    // The first that is sent meets nobody; then one knows.
    server.send_all(b"hello?").await.unwrap();
    assert_eq!(server.send_all(b"hello?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(server.send_all(b"hello?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(server.receive_some(&mut [0; 64]).await.unwrap(), 0);
}

#[trio::test(autojump)]
async fn a_close_with_unread_data_is_a_reset() {
    let (mut client, mut server) = pair(&Network::new()).await;
    client.send_all(b"never read").await.unwrap();
    server.send_all(b"but this is").await.unwrap();
    drop(server);
    assert_eq!(client.receive_some(&mut [0; 64]).await.unwrap(), 11);
    assert_eq!(client.receive_some(&mut [0; 64]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.receive_some(&mut [0; 64]).await.unwrap(), 0);
    assert_eq!(client.send_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[trio::test(autojump)]
async fn a_listener_that_goes_resets_who_waits_at_it() {
    let network = Network::new();
    let host = network.host("a");
    let listener = listen(&host, "127.0.0.1:80").await.unwrap();
    let mut client = host.run(TcpStream::connect("127.0.0.1:80")).await.unwrap();
    drop(listener);
    assert_eq!(client.receive_some(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[trio::test(autojump)]
async fn one_direction_can_end_before_the_other() {
    let (mut client, mut server) = pair(&Network::new()).await;
    client.send_all(b"question").await.unwrap();
    client.send_eof().await.unwrap();
    assert_eq!(server.receive_some(&mut [0; 64]).await.unwrap(), 8);
    assert_eq!(server.receive_some(&mut [0; 64]).await.unwrap(), 0);
    server.send_all(b"answer").await.unwrap();
    assert_eq!(client.receive_some(&mut [0; 64]).await.unwrap(), 6);
    drop(server);
    assert_eq!(client.receive_some(&mut [0; 64]).await.unwrap(), 0);
}

#[trio::test(autojump, schedules = 20)]
async fn a_connection_outlives_a_partition() {
    let (network, a, b, mut client, mut server) = connected().await;
    let began = current_time();
    client.send_all(b"on its way").await.unwrap();
    network.partition(&a, &b);
    trio::sleep(millis(100)).await;
    client.send_all(b", and more").await.unwrap();
    let (mut buffer, mut count) = ([0; 64], 0);
    let nothing = trio::move_on_after(secs(3600), server.receive_some(&mut [0; 64])).await;
    assert!(nothing.is_none());
    network.heal(&a, &b);
    while count < 20 {
        count += server.receive_some(&mut buffer[count..]).await.unwrap();
    }
    assert_eq!(&buffer[..count], b"on its way, and more");
    assert_eq!(current_time() - began, secs(3600) + millis(110));
    server.send_all(b"!").await.unwrap();
    assert_eq!(client.receive_some(&mut buffer).await.unwrap(), 1);
}

#[trio::test(autojump)]
async fn nobody_answers_from_the_other_side_of_a_partition() {
    let (network, a, b, _client, _server) = connected().await;
    let mut listener = listen(&b, "0.0.0.0:81").await.unwrap();
    network.partition(&b, &a);
    let began = current_time();
    let error = a.run(TcpStream::connect((b.address(), 81))).await.unwrap_err();
    assert_eq!((error.kind(), current_time() - began), (ErrorKind::TimedOut, secs(127)));

    let (a, b, network, listener) = (&a, &b, &network, &mut listener);
    trio::nursery! { |n|
        let connecting = n.spawn(a.run(TcpStream::connect((b.address(), 81))));
        trio::sleep(secs(60)).await;
        network.heal(a, b);
        let healed = current_time();
        connecting.join().await.unwrap().unwrap();
        assert_eq!(current_time() - healed, millis(20));
    }
    // Nothing is left of the attempt that timed out.
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.receive_some(&mut [0; 8]).await.unwrap(), 0);
    assert!(trio::move_on_after(secs(1000), listener.accept()).await.is_none());
}

#[trio::test(autojump, schedules = 20)]
async fn nobody_is_told_of_a_crash_until_they_ask() {
    let (_network, a, b, mut client, server) = connected().await;
    let (mut server, mut listener) = (server, listen(&b, "0.0.0.0:81").await.unwrap());
    let (b, listener, server) = (&b, &mut listener, &mut server);
    trio::nursery! { |n|
        let accepting = n.spawn(async { listener.accept().await.map(drop) });
        let receiving = n.spawn(async { server.receive_some(&mut [0; 8]).await });
        wait_all_tasks_blocked(Duration::ZERO).await;
        b.crash();
        assert_eq!(accepting.join().await.unwrap().unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(receiving.join().await.unwrap().unwrap_err().kind(), ErrorKind::NetworkDown);
    }
    assert!(trio::move_on_after(secs(100), client.receive_some(&mut [0; 8])).await.is_none());
    client.send_all(b"are you there?").await.unwrap();
    assert!(trio::move_on_after(secs(100), client.receive_some(&mut [0; 8])).await.is_none());
    b.restart();
    let restarted = current_time();
    assert_eq!(client.receive_some(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(current_time() - restarted, millis(20));
    // Nothing of what was there is there again.
    let error = a.run(TcpStream::connect((b.address(), 81))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let mut again = listen(b, "0.0.0.0:81").await.unwrap();
    a.run(TcpStream::connect((b.address(), 81))).await.unwrap();
    again.accept().await.unwrap();
}

// Not once, and then an end as if all were well.
#[trio::test(autojump)]
async fn sockets_of_a_host_that_has_crashed_fail_for_good() {
    let (_network, _a, b, mut client, server) = connected().await;
    let accepted = listen(&b, "0.0.0.0:81").await.unwrap();
    let datagrams = b.run(UdpSocket::bind("0.0.0.0:53")).await.unwrap();
    let (mut server, mut listener) = (server, accepted);
    client.send_all(b"never read").await.unwrap();
    client.send_eof().await.unwrap();
    trio::sleep(secs(1)).await;
    b.crash();
    for restarted in [false, true] {
        for _ in 0..3 {
            let down = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::NetworkDown, "{restarted}");
            down(server.receive_some(&mut [0; 8]).await.unwrap_err());
            down(server.peek(&mut [0; 8]).await.unwrap_err());
            down(server.send_all(b"x").await.unwrap_err());
            down(server.send_eof().await.unwrap_err());
            down(listener.accept().await.map(drop).unwrap_err());
            down(datagrams.recv(&mut [0; 8]).await.unwrap_err());
            down(datagrams.send_to(b"x", "127.0.0.1:53").await.unwrap_err());
        }
        b.restart();
    }
}

#[trio::test(autojump)]
async fn a_host_that_is_down_does_not_answer() {
    let (_network, a, b, _client, _server) = connected().await;
    b.crash();
    let began = current_time();
    let error = a.run(TcpStream::connect((b.address(), 80))).await.unwrap_err();
    assert_eq!((error.kind(), current_time() - began), (ErrorKind::TimedOut, secs(127)));
    let error = b.run(TcpStream::connect((a.address(), 80))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
}
