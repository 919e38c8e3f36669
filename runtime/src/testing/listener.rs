//! Connecting to a listener of one's own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::{TcpListener, TcpStream};

/// Connects to a listener of this machine: Trio's `open_stream_to_socket_listener`.
///
/// To the address that it is bound to, or, if that is a wildcard (`0.0.0.0` or `::`), to the loopback address of that
/// family. Nothing has to be known about how the listener was made.
///
/// A checkpoint. Cancelled or dropped, it leaves no connection behind.
///
/// # Errors
///
/// [`ClosedResourceError`](crate::ClosedResourceError) (inside the `io::Error`) if the listener was closed; the system's
/// if there is no connection.
///
/// # Examples
///
/// ```
/// use trio::net::TcpListener;
/// use trio::testing::open_stream_to_socket_listener;
/// trio::run(async {
///     let mut listener = TcpListener::bind("0.0.0.0:0").await?;
///     let mut client = open_stream_to_socket_listener(&listener).await?;
///     let (mut server, _) = listener.accept().await?;
///     client.send_all(b"x").await?;
///     assert_eq!(server.receive_some(&mut [0; 16]).await?, 1);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn open_stream_to_socket_listener(listener: &TcpListener) -> io::Result<TcpStream> {
    let mut address = listener.local_addr()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    TcpStream::connect(address).await
}
