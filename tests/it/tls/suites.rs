//! TLS streams do what every stream must do.

use trio::net::TcpStream;
use trio::testing::net::Network;
use trio::testing::{check_half_closeable_stream, check_two_way_stream};
use trio::tls::TlsStream;
use trio::{ClosedResourceError, ReceiveStream, SendStream};

use super::line::{narrow, wide};
use super::pki::{Tls12, Tls13, VERSIONS, Version, assert_fails, both, narrow_pair, over, shake, wide_pair};
use crate::testing::net::connections;

async fn two_way(version: Version, https_compatible: bool) {
    let set = |(client, server): (TlsStream<_>, TlsStream<_>)| {
        (client.https_compatible(https_compatible), server.https_compatible(https_compatible))
    };
    let maker = async || set(wide_pair(version));
    let clogged = async || shake(narrow_pair(version)).await;
    Box::pin(check_two_way_stream(maker, clogged)).await;
}

// trio: _tests/test_ssl.py::test_SSLStream_generic
#[trio::test(autojump)]
async fn a_tls_stream_is_a_stream() {
    for version in VERSIONS {
        for https_compatible in [false, true] {
            two_way(version, https_compatible).await;
        }
    }
}

#[trio::test(autojump, schedules = 50)]
async fn a_tls_stream_is_a_stream_under_any_schedule() {
    two_way(Tls13, false).await;
}

#[trio::test(autojump, schedules = 50)]
async fn an_old_tls_stream_is_a_stream_under_any_schedule() {
    two_way(Tls12, false).await;
}

#[trio::test(autojump, schedules = 50)]
async fn a_direction_can_be_closed_alone() {
    let maker = async || wide_pair(Tls13);
    let clogged = async || shake(narrow_pair(Tls13)).await;
    Box::pin(check_half_closeable_stream(maker, clogged)).await;
}

/// Two ends over TCP of a virtual network.
async fn virtual_pair(version: Version) -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    over(connections::pair(&Network::new()).await, version)
}

/// Those, with as much on the way as there is room for.
async fn clogged_virtual_pair(version: Version) -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    let (mut client, mut server) = shake(virtual_pair(version).await).await;
    connections::clog(&mut client).await;
    connections::clog(&mut server).await;
    (client, server)
}

#[trio::test(autojump, schedules = 50)]
async fn tls_over_virtual_tcp_is_a_stream() {
    let maker = async || virtual_pair(Tls13).await;
    let clogged = async || clogged_virtual_pair(Tls13).await;
    Box::pin(check_half_closeable_stream(maker, clogged)).await;
}

#[trio::test(autojump, schedules = 50)]
async fn old_tls_over_virtual_tcp_is_a_stream() {
    let maker = async || virtual_pair(Tls12).await;
    let clogged = async || clogged_virtual_pair(Tls12).await;
    Box::pin(check_two_way_stream(maker, clogged)).await;
}

/// TLS whose transport is TLS.
fn twice<T: trio::ByteStream>(
    transports: (T, T),
    version: Version,
) -> (TlsStream<TlsStream<T>>, TlsStream<TlsStream<T>>) {
    over(over(transports, version), version)
}

#[trio::test(autojump, schedules = 50)]
async fn tls_over_tls_is_a_stream() {
    let maker = async || twice(wide(), Tls13);
    let clogged = async || shake(twice(narrow(), Tls13)).await;
    Box::pin(check_two_way_stream(maker, clogged)).await;
}

#[trio::test(autojump, schedules = 5)]
async fn a_transport_may_be_borrowed() {
    let (mut here, mut there) = wide();
    let (mut client, mut server) = over((&mut here, &mut there), Tls13);
    let (sent, received) = both(client.send_all(b"hello"), server.receive_some(&mut [0; 16])).await;
    sent.unwrap();
    assert_eq!(received.unwrap(), 5);
    // Closing the one closes the other, with grace and without.
    client.aclose().await.unwrap();
    let scope = trio::CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(server.aclose()).await.is_none());
    assert_fails::<ClosedResourceError>(here.send_all(b"x").await);
    assert_fails::<ClosedResourceError>(there.receive_some(&mut [0; 16]).await);
}
