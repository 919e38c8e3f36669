//! A virtual network: hosts that do not exist, on which programs run that do not know it.
//!
//! Code that runs on a [`Host`] makes the same [`TcpStream`](crate::net::TcpStream)s,
//! [`TcpListener`](crate::net::TcpListener)s and [`UdpSocket`](crate::net::UdpSocket)s as ever, in the same ways, but they
//! are those of a virtual network, whose hosts it also finds by name. So a client, a server and whatever lies between them
//! are tested in one run, without a port of the machine, and with a [virtual clock](crate::testing::MockClock) without any
//! time passing. A [`Link`] may be slow, narrow or bad, hosts may be [separated](Network::partition) or
//! [crash](Host::crash); all of it happens the same way each time, as the seed says.
//!
//! What is not as in reality: IPv6 sockets never serve IPv4 as well; addresses have no zones; descriptors do not exist, so
//! that [`into_std`](crate::net::TcpStream::into_std) fails and [`AsFd`](std::os::fd::AsFd) panics; a host's names and
//! addresses are known to all at once; a TCP connection of which nothing gets through waits for ever, instead of a
//! quarter of an hour or so.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use trio::net::TcpListener;
//! use trio::testing::net::{Link, Network};
//!
//! async fn serve() -> std::io::Result<()> {
//!     let mut listener = TcpListener::bind("0.0.0.0:80").await?;
//!     let (mut stream, _) = listener.accept().await?;
//!     let mut buffer = [0; 64];
//!     let count = stream.receive_some(&mut buffer).await?;
//!     stream.send_all(&buffer[..count]).await
//! }
//!
//! #[trio::test(autojump)]
//! async fn an_echo_takes_four_times_the_latency() {
//!     let network = Network::new();
//!     network.set_default_link(Link::new().latency(Duration::from_millis(50)));
//!     let (server, client) = (network.host("server"), network.host("client"));
//!     let began = trio::current_time();
//!     trio::try_nursery! { |n|
//!         n.start_soon(server.run(serve()));
//!         let talk = client.run(async {
//!             let mut stream = trio::open_tcp_stream("server", 80).await?;
//!             stream.send_all(b"hello").await?;
//!             stream.receive_some(&mut [0; 64]).await
//!         });
//!         assert_eq!(talk.await?, 5);
//!     }
//!     .unwrap();
//!     assert_eq!(trio::current_time() - began, Duration::from_millis(200));
//! }
//! ```

mod connection;
mod core;
mod datagram;
mod host;
mod link;
mod listener;
mod network;
mod packet;
mod random;

pub use host::Host;
pub use link::Link;
pub use network::Network;
pub use packet::UdpPacket;
